"""Roll-outs through vLLM: an engine in this process, or a server that gets the weights after every step.

UNVERIFIED ON GPU: written from the documentation of vLLM 0.29 to 0.33 and tested against stand-ins that behave as it
says (`docs/vllm.md` has the sources and the limits). Whatever vLLM returns is checked before it is learned from: its
expanded prompt ids must be the trainer's, tokens must come with log-probabilities, and placeholders must not be drawn.
"""

from __future__ import annotations

import base64
import copy
import http.client
import io
import json
import os
import random
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from pondera.errors import MissingExtra, TrainingError
from pondera.generate.backend import Completion
from pondera.generate.chat_address import read_key, without_key
from pondera.models import EncodedPrompt, Family, PromptSource
from pondera.models.policy_weights import weight_shapes, whole_weights

SUPPORTED = ">=0.29,<0.34"
_BAN = -100.0  # the lowest bias that the protocol knows: e^-100 of a token's probability
_NO_LOGP = -9999.0  # what the server writes where it has none
_ERROR_BYTES = 65_536  # read of an error, so that no key is cut in two where its words are
_START = 'start it with VLLM_SERVER_DEV_MODE=1 and --weight-transfer-config \'{"backend": "nccl"}\''


def load_vllm() -> Any:
    """The module `vllm`, if its version is one that this file was written for.

    Raises:
        MissingExtra: vLLM is not installed, or older or newer than the supported range.
    """
    from packaging.specifiers import SpecifierSet

    try:
        import vllm
    except ImportError:
        raise MissingExtra("generating with vLLM needs vllm, Linux and a GPU", "vllm") from None
    if not SpecifierSet(SUPPORTED).contains(str(vllm.__version__), prereleases=True):
        raise MissingExtra(f"vLLM {vllm.__version__} is not supported, only {SUPPORTED}", "vllm")
    return vllm


@dataclass(frozen=True)
class Reply:
    """What an engine says to one prompt.

    Args:
        prompt_ids: the prompt that it really used, placeholders expanded.
        samples: (token ids, their log-probabilities) of each completion.
    """

    prompt_ids: Sequence[int]
    samples: Sequence[tuple[Sequence[int], Sequence[float]]]


class Engine(Protocol):
    """One of the two ways to reach vLLM."""

    def complete(self, prompts: Sequence[PromptSource], sampling: Sequence[Mapping[str, Any]]) -> list[Reply]:
        """One reply a prompt; `sampling` has vLLM's own names."""
        ...

    def load(self, model: torch.nn.Module) -> None:
        """Take over all weights of a model, and forget what was computed with the old ones."""
        ...


class VllmBackend:
    """Sampling with vLLM, checked against the trainer's view of each prompt.

    Args:
        family: the policy as it is trained.
        engine: `ColocatedEngine` or `ServerEngine`.
    """

    def __init__(self, family: Family, engine: Engine) -> None:
        self.family, self.engine = family, engine
        self._step: int | None = None

    def refresh(self, step: int) -> None:
        """Hand the weights over, once a step.

        Raises:
            TrainingError: the engine refused them. Some may be in place, so training must not go on.
        """
        if step == self._step:  # gradient accumulation: nothing has changed
            return
        self.engine.load(self.family.model)
        self._step = step

    def generate(
        self,
        prompts: Sequence[EncodedPrompt],
        *,
        num_completions: int = 1,
        max_new_tokens: int,
        temperature: float = 0.0,
        seeds: Sequence[int],
    ) -> list[list[Completion]]:
        """Complete every prompt; as `TransformersBackend.generate`, but equal seeds give other completions than there.

        Raises:
            ValueError: `refresh` was never called, or an argument is out of range.
            TrainingError: vLLM read another prompt than the trainer, did not answer, or answered out of form.
        """
        if self._step is None:
            raise ValueError("call refresh() first: the engine starts with random weights")
        if len(seeds) != len(prompts) or temperature < 0:
            raise ValueError(
                f"need one seed a prompt and a temperature >= 0, got {len(seeds)} for {len(prompts)} and {temperature}"
            )
        # vLLM refuses n > 1 at temperature 0: all would be the same.
        num_drawn = 1 if temperature == 0 else num_completions
        sampling = [self._sampling(num_drawn, max_new_tokens, temperature, seed) for seed in seeds]
        replies = self.engine.complete([_source(prompt) for prompt in prompts], sampling)
        groups = []
        for prompt, reply in zip(prompts, replies, strict=True):
            check_prompt_ids(prompt.ids, reply.prompt_ids, self.family)
            if len(reply.samples) != num_drawn:
                raise TrainingError(f"vLLM gave {len(reply.samples)} completions where {num_drawn} were asked for")
            group = [self._completion(ids, logps) for ids, logps in reply.samples]
            groups.append(group * (num_completions // num_drawn))
        return groups

    def _sampling(self, num: int, max_new_tokens: int, temperature: float, seed: int) -> dict[str, Any]:
        """Everything is said, because a server fills gaps from the model's generation_config.json."""
        return {
            "n": num,
            "seed": seed,  # completion k is drawn with seed + k
            "temperature": temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "max_tokens": max_new_tokens,
            "stop_token_ids": sorted(self.family.stop_ids),
            "logit_bias": dict.fromkeys(self.family.placeholder_ids, _BAN),
        }

    def _completion(self, ids: Sequence[int], logps: Sequence[float]) -> Completion:
        if not ids or len(ids) != len(logps):
            raise TrainingError(f"vLLM gave {len(ids)} tokens with {len(logps)} log-probabilities; need one each")
        if not set(self.family.placeholder_ids).isdisjoint(ids):
            raise TrainingError("vLLM drew an image placeholder though it is banned: its logit_bias has no effect")
        if not all(_NO_LOGP < logp <= 1e-3 for logp in logps):  # NaN fails too
            raise TrainingError(f"vLLM gave log-probabilities from {min(logps)} to {max(logps)}; need finite ones <= 0")
        ids = tuple(int(token) for token in ids)
        text = self.family.decode(ids)
        return Completion(ids, tuple(map(float, logps)), text, ids[-1] in self.family.stop_ids)


def _source(prompt: EncodedPrompt) -> PromptSource:
    if prompt.source is None:
        raise TrainingError(
            "vLLM needs the pixels of a prompt, but this one kept a frozen tower's output, varied its views or shows "
            "a clip; roll out with backend: transformers"
        )
    return prompt.source


def check_prompt_ids(own: Sequence[int], theirs: Sequence[int], family: Family) -> None:
    """Stop when the engine read other tokens than the trainer will learn from.

    Raises:
        TrainingError: names the first difference, and how many image tokens either side has.
    """
    own, theirs = list(own), list(theirs)
    if own == theirs:
        return
    t = next((t for t, (a, b) in enumerate(zip(own, theirs, strict=False)) if a != b), min(len(own), len(theirs)))
    images = [ids.count(family.image_token_id) for ids in (own, theirs)]
    shown = [f"{ids[t : t + 4]} {family.tokenizer.decode(ids[t : t + 4])!r}" for ids in (own, theirs)]
    hint = "another tokenizer or chat template"
    if images[0] != images[1]:
        hint = "another image processor, pixel budget or library version, or placeholders expanded twice"
    elif family.pad_id in (theirs[:1] + theirs[-1:]):
        hint = "padding sent along as if it were text"
    raise TrainingError(
        f"vLLM read another prompt than the trainer: first difference at token {t}, trainer {shown[0]}, vLLM "
        f"{shown[1]}; {len(own)} tokens with {images[0]} of images against {len(theirs)} with {images[1]}. "
        f"Likely {hint}; both sides must load one model folder with one version of transformers"
    )


class ColocatedEngine:
    """A vLLM engine inside the training process, on its GPU; with several processes, each has its own.

    Args:
        family: the policy; its configuration and processor are what the engine starts from.
        gpu_memory: share of the GPU that the engine may fill.
        max_length: longest prompt with completion, tokens; None is the model's own limit.
        dtype: of the engine's weights; "auto" is that of the model.

    Raises:
        MissingExtra, TrainingError: vLLM is missing, of another version, or cannot start this model.
    """

    def __init__(self, family: Family, *, gpu_memory: float, max_length: int | None, dtype: str = "auto") -> None:
        vllm = load_vllm()
        self._vllm = vllm
        # Weights are handed over as tensors, so the engine core must not move to a process of its own. This also makes
        # vLLM's scheduling, and with it the roll-outs, repeatable.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        folder = tempfile.mkdtemp(prefix="pondera-vllm-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        _save_without_weights(family, folder)
        options: dict[str, Any] = {"distributed_executor_backend": "external_launcher"} if _world()[1] > 1 else {}
        try:
            with _kept_random_state():
                self.llm = vllm.LLM(
                    model=folder,
                    load_format="dummy",  # the weights come with the first `load`
                    gpu_memory_utilization=gpu_memory,
                    max_model_len=max_length,
                    dtype=str(family.model.dtype).removeprefix("torch.") if dtype == "auto" else dtype,
                    seed=0,
                    logprobs_mode="raw_logprobs",
                    **options,
                )
        except (RuntimeError, ValueError) as error:  # out of memory, an architecture it does not know
            raise TrainingError(f"vLLM cannot start {type(family.model).__name__}: {error}") from error

    def complete(self, prompts: Sequence[PromptSource], sampling: Sequence[Mapping[str, Any]]) -> list[Reply]:
        """As `Engine.complete`."""
        asked = [_offline_prompt(prompt) for prompt in prompts]
        params = [self._vllm.SamplingParams(**chosen, logprobs=0, detokenize=False) for chosen in sampling]
        outputs = self.llm.generate(asked, sampling_params=params, use_tqdm=False)
        return [
            Reply(output.prompt_token_ids, [_sampled(completion) for completion in output.outputs])
            for output in outputs
        ]

    def load(self, model: torch.nn.Module) -> None:
        """As `Engine.load`."""

        def take(engine_model: Any) -> None:
            loaded = engine_model.load_weights(whole_weights(model))
            missing = {name for name, _ in engine_model.named_parameters()} - set(loaded or ())
            if loaded is not None and missing:
                raise ValueError(f"{len(missing)} weights stayed as they were, the first is {min(missing)}")

        try:
            self.llm.apply_model(take)
        except (KeyError, ValueError, AssertionError, RuntimeError) as error:
            raise TrainingError(
                f"vLLM refused the new weights: {error}; its model differs from the trainer's"
            ) from error
        # Both caches are keyed by content, not by weights: what stays in them is of the last step's policy.
        if not self.llm.reset_prefix_cache():
            raise TrainingError(
                "vLLM did not forget its prefix cache after a weight update: requests are still running"
            )
        self.llm.llm_engine.reset_encoder_cache()


def _offline_prompt(prompt: PromptSource) -> dict[str, Any]:
    """Text with one placeholder an image: vLLM expands them itself, and expanded ids would be expanded again."""
    images = [Image.fromarray(image) for image in prompt.images]
    return {"prompt": prompt.text} | ({"multi_modal_data": {"image": images}} if images else {})


def _sampled(completion: Any) -> tuple[list[int], list[float]]:
    ids = list(completion.token_ids)
    return ids, [found[token].logprob for found, token in zip(completion.logprobs, ids, strict=True)]


def _save_without_weights(family: Family, folder: str) -> None:
    base = family.model.get_base_model() if hasattr(family.model, "get_base_model") else family.model
    config = copy.deepcopy(base.config)
    config.architectures = [type(base).__name__]
    config.save_pretrained(folder)
    base.generation_config.save_pretrained(folder)
    family.processor.save_pretrained(folder)


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """An engine in this process seeds Python, NumPy and torch; the trainer's draws must not depend on that."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class ServerEngine:
    """A server started with `vllm serve`; weights go to it by NCCL, through vLLM's own trainer side.

    Every process sends the images of its own prompts; rank 0 alone sends the weights.

    Args:
        url: such as http://gpu7:8000.
        timeout_s: longest wait for one answer.
        concurrency: requests of this process under way at a time.

    Raises:
        MissingExtra, TrainingError: vLLM is missing, there is no server, or its version is another.
    """

    def __init__(self, url: str, *, timeout_s: float, concurrency: int) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.timeout_s, self.concurrency = timeout_s, concurrency
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # images do not belong on a proxy
        own = str(load_vllm().__version__)
        theirs = str(self._ask("/version")["version"])
        if own != theirs:
            raise TrainingError(
                f"vLLM is {own} here and {theirs} at {self.url}; weights pass between equal versions only"
            )
        self.model = str(self._ask("/v1/models")["data"][0]["id"])
        self._transfer: Any = None

    def complete(self, prompts: Sequence[PromptSource], sampling: Sequence[Mapping[str, Any]]) -> list[Reply]:
        """As `Engine.complete`; one request a prompt, so that its images travel once."""
        with ThreadPoolExecutor(self.concurrency) as pool:
            replies = [pool.submit(self._chat, *asked) for asked in zip(prompts, sampling, strict=True)]
            try:
                return [reply.result() for reply in replies]
            except TrainingError:
                pool.shutdown(wait=False, cancel_futures=True)  # where one failed, the rest need not be asked
                raise

    def load(self, model: torch.nn.Module) -> None:
        """As `Engine.load`; all processes call it together."""
        rank, size = _world()
        if rank == 0:
            self._ask("/get_world_size")  # a server that is gone would leave the broadcast waiting for ever
        try:
            if self._transfer is None:
                self._transfer = self._connect(model, rank)
            self._transfer.send_weights()
        except TrainingError:
            raise
        except Exception as error:  # vLLM's client raises whatever its HTTP and NCCL layers raise
            raise TrainingError(f"{self.url} refused the new weights: {error}; {_START}") from error
        if rank == 0:
            if not self._ask("/reset_prefix_cache", {}).get("success", False):
                raise TrainingError(
                    f"{self.url} did not forget its prefix cache: somebody else is asking it; stop them"
                )
            # Image embeddings are cached by content and survive a weight update: vllm-project/vllm issue 44910.
            self._ask("/reset_encoder_cache", {})
        if size > 1:
            torch.distributed.barrier()  # nobody samples before the weights are in place

    def _connect(self, model: torch.nn.Module, rank: int) -> Any:
        from vllm.distributed.weight_transfer import (
            HTTPVLLMWeightSyncClient,
            ParamMeta,
            WeightSource,
            WeightTransferTrainerFactory,
        )
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        class Policy(WeightSource):
            def metadata(self) -> list[Any]:
                return [ParamMeta(*shape) for shape in weight_shapes(model)]

            def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
                return whole_weights(model)

        num_workers = int(self._ask("/get_world_size")["world_size"])
        address, port = _meeting_point(self.url)
        info = NCCLTrainerInitInfo(master_address=address, master_port=port, world_size=num_workers + 1, rank=rank)
        client = HTTPVLLMWeightSyncClient(self.url, timeout=self.timeout_s)
        return WeightTransferTrainerFactory.trainer_init(init_info=info, client=client, source=Policy())

    def _chat(self, prompt: PromptSource, sampling: Mapping[str, Any]) -> Reply:
        answer = self._ask(
            "/v1/chat/completions",
            {
                **sampling,
                "model": self.model,
                "messages": [{"role": "user", "content": [_content(part) for part in prompt.parts]}],
                "logprobs": True,
                "return_token_ids": True,
                "add_special_tokens": True,  # as the trainer's processor does
            },
        )
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        if answer.get("prompt_token_ids") is None or any(choice.get("token_ids") is None for choice in choices):
            raise TrainingError(f"{self.url} returns no token ids: it does not know return_token_ids; is it vLLM?")
        samples = [(choice["token_ids"], _logps(choice)) for choice in choices]
        return Reply(answer["prompt_token_ids"], samples)

    def _ask(self, path: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """GET, or POST with a payload; an empty answer is {}."""
        body = None if payload is None else json.dumps(payload).encode()
        headers = {"Content-Type": "application/json"}
        if key := read_key("VLLM_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with self._opener.open(request, timeout=self.timeout_s) as response:
                content = response.read()
            return json.loads(content) if content.strip() else {}
        except urllib.error.HTTPError as error:
            said = without_key(error.read(_ERROR_BYTES), key).decode(errors="replace")[:500]
            way_out = f"; {_START}" if error.code == 404 else ""
            raise TrainingError(f"{self.url}{path} answered {error.code}: {said}{way_out}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise TrainingError(
                f"{self.url}{path} does not answer: {error}; see the server's log, start it again, and resume training"
            ) from error


def _content(part: np.ndarray | str) -> dict[str, Any]:
    """A part of a chat message; pictures as PNG of the very pixels that the trainer's processor gets."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    content = io.BytesIO()
    Image.fromarray(part).save(content, "PNG", compress_level=1)
    url = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _logps(choice: Mapping[str, Any]) -> list[float]:
    return [token["logprob"] for token in (choice.get("logprobs") or {}).get("content") or ()]


def _meeting_point(url: str) -> tuple[str, int]:
    """The address of this machine as the server's machine sees it, and a free port."""
    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # connecting a datagram socket sends nothing
        probe.connect((parts.hostname, parts.port or 80))
        address = probe.getsockname()[0]
    with socket.socket() as free:
        free.bind((address, 0))
        return address, free.getsockname()[1]


def _world() -> tuple[int, int]:
    """Rank and number of processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()
