"""The teacher `vllm`, against a stand-in of the module that says what it was asked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
from PIL import Image
from tests.generate.vllm_standin import installed
from typer.testing import CliRunner

from pondera.cli import app
from pondera.core.records import Media
from pondera.data.manifest import read_manifest, write_manifest
from pondera.errors import ConfigError, MissingExtra, TeacherError
from pondera.generate.backend import sample_seed
from pondera.teach import Unanswered, VllmTeacher, distill
from pondera.teach import vllm as module

THOUGHT = (
    "<think>The photo shows random texture with clear edges. Sharpness is good, noise is fair and exposure is good, so "
    "the noise decides.</think><answer>{score:.2f}</answer>"
)


@dataclass(frozen=True, kw_only=True)
class Params:
    temperature: float
    max_tokens: int
    seed: int


class TeacherLLM:
    """Answers with a score made from the seed; refuses prompts about images that are 20 pixels high."""

    made: ClassVar[list[TeacherLLM]] = []
    faults: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *, model: str, tensor_parallel_size: int, max_model_len: int | None, seed: int) -> None:
        if "does not fit" in self.faults:
            raise ValueError("No available memory for the cache blocks.")
        self.options = (model, tensor_parallel_size, max_model_len, seed)
        self.calls: list[list[tuple[tuple[int, int], str, Params]]] = []
        type(self).made.append(self)

    def chat(self, messages, *, sampling_params, use_tqdm):
        asked = []
        for (message,), chosen in zip(messages, sampling_params, strict=True):
            *images, text = message["content"]
            assert message["role"] == "user" and text["type"] == "text"
            assert all(image["type"] == "image_pil" for image in images)
            asked.append((images[0]["image_pil"].size, text["text"], chosen))
        self.calls.append(asked)
        if any(size[1] == 20 for size, _, _ in asked):
            raise ValueError("The decoder prompt (length 9000) is longer than the maximum model length of 4096.")
        return [_output(chosen.seed) for _, _, chosen in asked]


def _output(seed):
    completion = SimpleNamespace(text=THOUGHT.format(score=1 + seed % 401 / 100), token_ids=[1] * 7)
    return SimpleNamespace(prompt_token_ids=[0] * 300, outputs=[completion])


@pytest.fixture
def vllm(monkeypatch):
    with installed(monkeypatch, llm=TeacherLLM, params=Params) as llm:
        yield llm


def test_each_completion_has_its_wording_temperature_and_seed(vllm, make_samples):
    teacher = VllmTeacher("some/model", temperatures=(0.0, 0.9), max_tokens=50, gpus=2, max_length=4096)
    samples = make_samples(2)
    responses = list(teacher.respond(samples, 3, 5, first=1))
    assert [(r.sample, r.k) for r in responses] == [("s0", 1), ("s0", 2), ("s0", 3), ("s1", 1), ("s1", 2), ("s1", 3)]
    assert vllm.made[0].options == ("some/model", 2, 4096, 0)
    (asked,) = vllm.made[0].calls
    assert [params.temperature for _, _, params in asked] == [0.9, 0.0, 0.9] * 2
    assert [params.seed for _, _, params in asked[:3]] == [sample_seed(f"s0/{k}", seed=5) for k in (1, 2, 3)]
    assert {params.max_tokens for _, _, params in asked} == {50}
    assert asked[0][1] == asked[3][1]
    assert len({text for _, text, _ in asked[:3]}) == min(3, len(teacher.prompt.paraphrases))
    assert responses[0].usage["prompt_tokens"] == 300 and responses[0].usage["completion_tokens"] == 7


def test_large_images_are_scaled_down_and_small_ones_left_alone(vllm, make_samples):
    list(VllmTeacher("m", max_pixels=900).respond(make_samples(1), 1, 0))
    list(VllmTeacher("m", max_pixels=48 * 40).respond(make_samples(1), 1, 0))
    sizes = [llm.calls[0][0][0] for llm in vllm.made]
    assert sizes[0][0] * sizes[0][1] <= 900 and sizes[1] == (48, 40)


def test_work_goes_out_in_batches_and_comes_back_whole(vllm, make_samples, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 4)
    teacher = VllmTeacher("m")
    pairs = [(r.sample, r.k) for r in teacher.respond(make_samples(3), 3, 0)]
    assert pairs == [(f"s{s}", k) for s in range(3) for k in range(3)]
    assert [len(call) for call in vllm.made[0].calls] == [4, 4, 1]


def test_a_prompt_that_is_refused_costs_only_its_own_completion(vllm, make_samples):
    samples = make_samples(3)
    Image.new("RGB", (48, 20)).save(samples[1].media[0].path)
    answered = []
    with pytest.raises(Unanswered, match="longer than the maximum model length") as missing:
        for response in VllmTeacher("m").respond(samples, 1, 0):
            answered.append(response.sample)
    assert answered == ["s0", "s2"] and set(missing.value.reasons) == {("s1", 0)}


def test_the_log_spares_what_was_asked_and_needs_no_engine_then(vllm, make_samples, tmp_path):
    samples = make_samples(3)
    first = distill(samples, VllmTeacher("m"), tmp_path / "out.jsonl", num=2)
    again = distill(samples, VllmTeacher("m"), tmp_path / "out.jsonl", num=2)
    assert (first.num_new, again.num_new, len(vllm.made)) == (6, 0, 1)
    assert first.num_kept == again.num_kept == 3


@pytest.mark.parametrize(
    "change",
    [{"prompt": "quality.short"}, {"temperatures": (0.1,)}, {"max_tokens": 9}, {"max_pixels": 9}, {"version": "b"}],
)
def test_what_can_change_a_completion_makes_another_teacher(vllm, change):
    assert VllmTeacher("m").fingerprint != VllmTeacher("m", **change).fingerprint
    assert VllmTeacher("m").fingerprint == VllmTeacher("m", gpus=4, max_length=99).fingerprint


def test_a_folder_counts_by_its_weights_not_by_its_place(vllm, tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
    a, b, c = (VllmTeacher(str(tmp_path / name)).fingerprint for name in "abc")
    assert a == b != c


def test_a_model_that_cannot_start_is_named(monkeypatch, make_samples):
    with installed(monkeypatch, "does not fit", llm=TeacherLLM, params=Params):
        teacher = VllmTeacher("some/model", gpus=2)
        with pytest.raises(TeacherError, match=r"'some/model' on 2 GPU.*No available memory"):
            list(teacher.respond(make_samples(1), 1, 0))


def test_samples_without_images_to_show_and_settings_out_of_range_are_refused(vllm, make_samples):
    (sample,) = make_samples(1)
    hidden = replace(sample, media=(Media(sample.media[0].path, "reference"),))
    with pytest.raises(TeacherError, match="without media of role test or other"):
        list(VllmTeacher("m").respond([hidden], 1, 0))
    for change in ({"temperatures": ()}, {"temperatures": (-1,)}, {"max_tokens": 0}, {"gpus": 0}, {"max_length": 0}):
        with pytest.raises(ConfigError, match="need temperatures"):
            VllmTeacher("m", **change)


def test_without_vllm_the_install_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match=r'pip install "pondera\[vllm\]"'):
        VllmTeacher("m")


def test_the_command_distils_with_vllm(vllm, make_samples, tmp_path):
    write_manifest(tmp_path / "m.jsonl", make_samples(2))
    words = ["distill", tmp_path / "m.jsonl", "--out", tmp_path / "taught.jsonl", "--teacher", "vllm", "--model", "m"]
    words += ["--num", "2", "--temperature", "0", "--temperature", "0.8", "--gpus", "4", "--max-length", "4096"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert vllm.made[0].options == ("m", 4, 4096, 0)
    assert all(sample.rationale for sample in read_manifest(tmp_path / "taught.jsonl"))


def test_other_teachers_do_not_wait_for_torch():
    code = "import sys, pondera.teach; print(*{'torch', 'transformers', 'scipy', 'httpx2'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []
