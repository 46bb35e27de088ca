"""Roll-outs through vLLM, against stand-ins of the module and of the server that run a real small model."""

from __future__ import annotations

import copy
import random
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from pondera.config import ReinforceStage
from pondera.errors import MissingExtra, TrainingError
from pondera.generate import vllm_backend
from pondera.generate.rollout import open_backend
from pondera.generate.transformers_backend import TransformersBackend
from pondera.generate.vllm_backend import SUPPORTED, check_prompt_ids, load_vllm
from pondera.models import EncodedPrompt, Family
from pondera.models.packing import Branch, pack, packed_logps
from tests.generate.vllm_standin import Server, installed
from tests.models.tiny import noise_image, tiny_family

DRAW = {"num_completions": 3, "max_new_tokens": 4, "temperature": 1.0}


@pytest.fixture(scope="module")
def family():
    return tiny_family()


@pytest.fixture(scope="module")
def prompts(family):
    """Two questions, the second about two images."""
    images = [noise_image(seed=i) for i in range(3)]
    return [family.encode(images[:1], "Rate it."), family.encode(images[1:], "Rate the quality of this image.")]


def _rollout(**values):
    optimiser = {"learning_rate": 1e-4}
    return ReinforceStage.model_validate({"optimiser": optimiser, "steps": 1, "rollout": values}).rollout


@pytest.fixture(params=["vllm", "vllm_server"])
def opened(request, monkeypatch, family):
    """A function from faults to a back-end with the weights of `family`, in the process or on a server."""
    open_things = []

    def opening(*faults, policy=family):
        module = installed(monkeypatch, *faults)
        module.__enter__()
        open_things.append(module)
        if request.param == "vllm":
            return open_backend(_rollout(backend="vllm"), policy)
        server = Server(tiny_family(seed=9), frozenset(faults)).__enter__()
        open_things.append(server)
        return open_backend(_rollout(backend="vllm_server", url=server.url, timeout_s=20), policy)

    yield opening
    for thing in reversed(open_things):
        thing.__exit__(None, None, None)


def _changed(family):
    """The same policy after an update."""
    other = Family(copy.deepcopy(family.model), family.processor)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return other


@torch.no_grad()
def _gap(family, prompts, groups):
    """Largest difference between reported log-probabilities and those of the training pass."""
    batch = pack(family, [(p, [Branch.scored(c.ids) for c in g]) for p, g in zip(prompts, groups, strict=True)])
    logp_M, _ = packed_logps(family.model, batch)
    reported_M = torch.tensor([logp for group in groups for c in group for logp in c.logps])
    return float((logp_M - reported_M).abs().max())


def test_completions_come_with_the_log_probabilities_of_the_training_pass(opened, family, prompts):
    backend = opened()
    backend.refresh(0)
    groups = backend.generate(prompts, seeds=[5, 6], **DRAW)
    assert [len(group) for group in groups] == [3, 3]
    assert _gap(family, prompts, groups) < 2e-5
    for completion in groups[0] + groups[1]:
        assert completion.is_finished == (completion.ids[-1] in family.stop_ids)
        assert completion.is_finished or len(completion.ids) == 4
        assert completion.text == family.decode(completion.ids)
        assert family.image_token_id not in completion.ids


def test_greedy_completions_are_those_of_the_transformers_back_end_and_asked_for_once(opened, family, prompts):
    backend = opened()
    backend.refresh(0)
    options = {"num_completions": 2, "max_new_tokens": 4, "temperature": 0.0, "seeds": [0, 0]}
    ours, theirs = backend.generate(prompts, **options), TransformersBackend(family).generate(prompts, **options)
    assert [[c.ids for c in group] for group in ours] == [[c.ids for c in group] for group in theirs]


def test_a_completion_does_not_depend_on_its_neighbours_in_the_batch(opened, prompts):
    backend = opened()
    backend.refresh(0)
    together = backend.generate(prompts, seeds=[5, 6], **DRAW)
    alone = backend.generate(prompts[1:], seeds=[6], **DRAW)
    assert [c.ids for c in alone[0]] == [c.ids for c in together[1]]
    assert len({c.ids for c in together[0]}) > 1


def test_after_an_update_nothing_of_the_old_weights_is_left_not_even_in_caches(opened, family, prompts):
    policy = _changed(family)
    backend = opened(policy=policy)
    backend.refresh(0)
    backend.generate(prompts, seeds=[5, 6], **DRAW)
    with torch.no_grad():
        for new, old in zip(policy.model.parameters(), family.model.parameters(), strict=True):
            new.copy_(old)
    stale = backend.generate(prompts, seeds=[5, 6], **DRAW)
    assert _gap(policy, prompts, stale) > 1e-3  # the test can see old weights
    backend.refresh(1)
    assert _gap(policy, prompts, backend.generate(prompts, seeds=[5, 6], **DRAW)) < 2e-5


def test_weights_are_handed_over_once_a_step(opened, family, monkeypatch):
    backend = opened()
    loads = []
    monkeypatch.setattr(backend.engine, "load", loads.append)
    for step in (0, 0, 1, 1, 1, 2):
        backend.refresh(step)
    assert loads == [family.model] * 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("expands twice", "placeholders expanded twice"),
        ("pads", "padding sent along as if it were text"),
        ("draws placeholders", "drew an image placeholder"),
    ],
)
def test_what_vllm_read_or_drew_wrongly_stops_training(opened, prompts, fault, said):
    backend = opened(fault)
    backend.refresh(0)
    with pytest.raises(TrainingError, match=said):
        backend.generate(prompts, seeds=[5, 6], **DRAW)


@pytest.mark.parametrize("fault", ["unknown weight", "forgets weights", "busy"])
def test_a_refused_push_in_the_process_names_the_reason(monkeypatch, family, fault):
    with installed(monkeypatch, fault):
        backend = open_backend(_rollout(backend="vllm"), family)
        reasons = {"unknown weight": "no module or parameter named", "forgets weights": "stayed as they were"}
        with pytest.raises(TrainingError, match=reasons.get(fault, "prefix cache")):
            backend.refresh(0)
        with pytest.raises(ValueError, match="call refresh"):
            backend.generate([], seeds=[], **DRAW)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no dev mode", "VLLM_SERVER_DEV_MODE=1"),
        ("refuses weights", "refused the new weights: HTTP Error 500"),
        ("unknown weight", "refused the new weights: HTTP Error 400"),
        ("busy", "somebody else is asking it"),
    ],
)
def test_a_refused_push_to_a_server_names_the_reason(monkeypatch, family, fault, said):
    with installed(monkeypatch), Server(tiny_family(seed=9), frozenset({fault})) as server:
        backend = open_backend(_rollout(backend="vllm_server", url=server.url), family)
        with pytest.raises(TrainingError, match=said):
            backend.refresh(0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no token ids", "does not know return_token_ids"),
        ("no logprobs", "with 0 log-probabilities"),
        ("other template", "first difference at token"),
    ],
)
def test_a_server_that_answers_out_of_form_stops_training(monkeypatch, family, prompts, fault, said):
    with installed(monkeypatch), Server(tiny_family(seed=9), frozenset({fault})) as server:
        backend = open_backend(_rollout(backend="vllm_server", url=server.url), family)
        backend.refresh(0)
        with pytest.raises(TrainingError, match=said):
            backend.generate(prompts, seeds=[5, 6], **DRAW)


def test_a_server_that_dies_in_the_middle_is_said_to_be_dead(monkeypatch, family, prompts):
    with installed(monkeypatch), Server(tiny_family(seed=9), dies_after=3) as server:
        backend = open_backend(_rollout(backend="vllm_server", url=server.url, concurrency=1), family)
        backend.refresh(0)
        backend.generate(prompts, seeds=[5, 6], **DRAW)
        with pytest.raises(TrainingError, match=r"chat/completions does not answer: .*start it again, and resume"):
            backend.generate(prompts * 4, seeds=range(8), **DRAW)
        assert server.paths().count("/v1/chat/completions") < 10  # the rest was not asked for
    with pytest.raises(TrainingError, match="does not answer"):
        backend.refresh(1)


def test_a_server_gets_each_image_once_and_lossless_and_every_setting_said(monkeypatch, family, prompts):
    monkeypatch.setenv("VLLM_API_KEY", "secret-key")
    with installed(monkeypatch), Server(tiny_family(seed=9)) as server:
        backend = open_backend(_rollout(backend="vllm_server", url=server.url + "/v1/"), family)
        backend.refresh(0)
        backend.generate(prompts, seeds=[5, 6], **DRAW)
        asked = [payload for path, payload in server.requests if path == "/v1/chat/completions"]
        kinds = sorted([part["type"] for part in payload["messages"][0]["content"]] for payload in asked)
        assert kinds == [["image_url", "image_url", "text"], ["image_url", "text"]]
        assert {payload["n"] for payload in asked} == {3}
        assert {payload["seed"] for payload in asked} == {5, 6}
        assert asked[0]["logit_bias"] == {str(family.image_token_id): -100.0}
        assert all(headers["Authorization"] == "Bearer secret-key" for headers in server.headers[:2])


def test_a_server_that_quotes_the_key_does_not_bring_it_into_an_error(monkeypatch, family):
    """It stood in the message that ends the training, and so in its log."""

    class Quoting(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"bad key secret-key"
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("VLLM_API_KEY", "secret-key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quoting)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with installed(monkeypatch), pytest.raises(TrainingError, match="answered 401") as caught:
            open_backend(_rollout(backend="vllm_server", url=f"http://127.0.0.1:{server.server_port}"), family)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "secret" not in str(caught.value)


def test_without_vllm_the_install_line_is_said(monkeypatch, family):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match=r'pip install "pondera\[vllm\]"'):
        open_backend(_rollout(backend="vllm"), family)


@pytest.mark.parametrize("version", ["0.28.0", "0.34.0", "0.11.2"])
def test_another_version_is_refused_with_the_range(monkeypatch, version):
    with installed(monkeypatch, version=version), pytest.raises(MissingExtra, match=f"{version}.*{SUPPORTED}"):
        load_vllm()


@pytest.mark.parametrize("version", ["0.29.0", "0.33.0", "0.33.1rc1", "0.31.0+cu130"])
def test_versions_of_the_range_are_accepted(monkeypatch, version):
    with installed(monkeypatch, version=version):
        assert load_vllm().__version__ == version


def test_a_server_of_another_version_than_the_trainers_is_refused(monkeypatch, family):
    said = pytest.raises(TrainingError, match=r"0\.33\.0 here and 0\.32\.1 at http")
    with installed(monkeypatch, version="0.33.0"), Server(family, version="0.32.1") as server, said:
        open_backend(_rollout(backend="vllm_server", url=server.url), family)


def test_an_engine_that_cannot_start_says_why(monkeypatch, family):
    with installed(monkeypatch, "does not fit"), pytest.raises(TrainingError, match="No available memory"):
        open_backend(_rollout(backend="vllm"), family)


def test_the_engine_gets_the_settings_of_the_recipe_and_leaves_the_random_state_alone(monkeypatch, family):
    with installed(monkeypatch) as engine:
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
        open_backend(_rollout(backend="vllm", gpu_memory=0.5, max_length=77, dtype="bfloat16"), family)
        after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
        assert before[:2] == after[:2] and torch.equal(before[2], after[2])
        options = engine.made[0].options
        assert (options["max_model_len"], options["dtype"]) == (77, "bfloat16")
        open_backend(_rollout(backend="vllm"), family)
        assert engine.made[1].options["dtype"] == "float32"
        assert "distributed_executor_backend" not in engine.made[1].options


def test_several_processes_start_an_engine_each(monkeypatch, family):
    monkeypatch.setattr(vllm_backend, "_world", lambda: (1, 2))
    with installed(monkeypatch) as engine:
        open_backend(_rollout(backend="vllm"), family)
        assert engine.made[0].options["distributed_executor_backend"] == "external_launcher"


def test_prompts_that_kept_no_pixels_are_refused(opened, prompts):
    backend = opened()
    backend.refresh(0)
    kept = EncodedPrompt(prompts[0].ids, prompts[0].media)
    jittered = backend.family.encode([noise_image()], "Rate it.", jitter_seed=3)
    for prompt in (kept, jittered):
        with pytest.raises(TrainingError, match="kept a frozen tower's output, varied its views or shows a clip"):
            backend.generate([prompt], seeds=[1], **DRAW)


def test_the_first_difference_of_two_prompts_is_shown(family):
    ids = [*family.encode_text("Rate the quality of this image."), *[family.image_token_id] * 3]
    check_prompt_ids(ids, tuple(ids), family)
    other = [*ids[:2], ids[2] + 1, *ids[3:]]
    with pytest.raises(TrainingError, match=rf"token 2, trainer \[{ids[2]}, .*chat template"):
        check_prompt_ids(ids, other, family)
    with pytest.raises(
        TrainingError,
        match=rf"token {len(ids)}, .*with 3 of images against {len(ids) + 1} with 4",
    ):
        check_prompt_ids(ids, [*ids, family.image_token_id], family)


@pytest.mark.parametrize(
    "values",
    [
        {"backend": "vllm_server"},
        {"backend": "vllm_server", "url": "gpu7:8000"},
        {"backend": "vllm", "url": "http://gpu7:8000"},
        {"backend": "transformers", "gpu_memory": 0.5},
        {"backend": "vllm", "gpu_memory": 1.0},
        {"backend": "sglang"},
    ],
)
def test_settings_of_another_back_end_are_refused(values):
    with pytest.raises(ValueError, match="rollout"):
        _rollout(**values)
