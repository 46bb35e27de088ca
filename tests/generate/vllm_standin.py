"""A `vllm` module and a `vllm serve` that behave as vLLM's documentation says, on a real small model.

Both load the folder or the weights that they are given, expand placeholders with their own processor, draw completion k
with seed + k, report raw log-probabilities, and keep image embeddings and prefixes of old weights until they are told
to forget them. What may go wrong is switched on by name.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import threading
import types
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from pondera.models import Family
from pondera.models.family import EncodedPrompt

VERSION = "0.32.1+cu130"
SAMPLING = {"n", "seed", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty"}
SAMPLING |= {"frequency_penalty", "max_tokens", "stop_token_ids", "logit_bias"}


class EngineModel:
    """The model as vLLM's model runner holds it."""

    def __init__(self, family: Family, faults: frozenset[str]) -> None:
        self.family, self.faults = family, faults
        self.cached: dict[str, dict[str, torch.Tensor]] = {}  # weights that an image was first seen with

    def named_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        return self.family.model.named_parameters()

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        own = dict(self.named_parameters())
        loaded = set()
        for name, weight in weights:
            if name not in own or "unknown weight" in self.faults:
                raise ValueError(
                    f"There is no module or parameter named {name!r} in {type(self.family.model).__name__}"
                )
            own[name].copy_(weight)
            loaded.add(name)
            if "forgets weights" in self.faults and len(loaded) == 3:
                break
        return loaded

    def forget(self) -> None:
        self.cached.clear()

    @torch.no_grad()
    def generate(self, text: str, images: list[np.ndarray], sampling: dict[str, Any]) -> tuple[list[int], list[Any]]:
        """Expanded prompt ids, and (ids, raw log-probabilities, reason to finish) of each completion."""
        family = self.family
        encoded = family.processor(text=[text], images=images)
        ids = [int(token) for token in encoded.pop("input_ids")[0]]
        encoded.pop("attention_mask")
        prompt = EncodedPrompt(tuple(ids), {n: torch.as_tensor(np.asarray(v)) for n, v in encoded.items()})
        key = "".join(f"{image.shape}{image.tobytes()[:64]}" for image in images)
        now = {name: weight.clone() for name, weight in family.model.state_dict().items()}
        family.model.load_state_dict(self.cached.setdefault(key, now))
        try:
            samples = [self._sample(prompt, k, sampling) for k in range(sampling["n"])]
        finally:
            family.model.load_state_dict(now)
        if "expands twice" in self.faults:
            first = ids.index(family.image_token_id)
            ids[first:first] = [family.image_token_id] * ids.count(family.image_token_id)
        if "pads" in self.faults:
            ids = [family.pad_id, *ids]
        return ids, samples

    def _sample(self, prompt: EncodedPrompt, k: int, sampling: dict[str, Any]) -> tuple[list[int], list[float], str]:
        generator = torch.Generator().manual_seed(sampling["seed"] + k)
        ids: list[int] = []
        logps: list[float] = []
        while True:
            row = torch.tensor([[*prompt.ids, *ids]])
            logits_V = self.family.model(input_ids=row, **self.family.media_batch([prompt])).logits[0, -1].float()
            biased_V = logits_V.clone()
            for token, bias in sampling["logit_bias"].items():
                biased_V[int(token)] += bias
            if sampling["temperature"] == 0:
                token = int(biased_V.argmax())
            else:
                probability_V = (biased_V / sampling["temperature"]).softmax(-1)
                token = int(torch.multinomial(probability_V, 1, generator=generator))
            if "draws placeholders" in self.faults:
                token = self.family.image_token_id
            ids.append(token)
            logps.append(float(logits_V.log_softmax(-1)[token]))
            if "draws placeholders" in self.faults or token in sampling["stop_token_ids"]:
                return ids, logps, "stop"
            if len(ids) == sampling["max_tokens"]:
                return ids, logps, "length"


def check_sampling(sampling: dict[str, Any]) -> None:
    assert set(sampling) == SAMPLING, set(sampling) ^ SAMPLING
    if sampling["temperature"] == 0 and sampling["n"] > 1:
        raise ValueError(f"n must be 1 when using greedy sampling, got {sampling['n']}.")


class SamplingParams:
    def __init__(self, *, logprobs: int, detokenize: bool, **sampling: Any) -> None:
        check_sampling(sampling)
        assert logprobs == 0 and not detokenize
        self.sampling = sampling


class LLM:
    """Takes what vLLM's class takes, and starts with weights of its own."""

    made: ClassVar[list[LLM]] = []
    faults: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *, model: str, load_format: str, gpu_memory_utilization: float, **options: Any) -> None:
        assert load_format == "dummy" and 0 < gpu_memory_utilization < 1
        assert options["logprobs_mode"] == "raw_logprobs"
        self.options = options
        torch.manual_seed(options["seed"])  # vLLM seeds the process it runs in
        np.random.seed(options["seed"])
        config = AutoConfig.from_pretrained(model)
        if "does not fit" in self.faults:
            raise ValueError("No available memory for the cache blocks.")
        assert config.architectures
        policy = AutoModelForImageTextToText.from_config(config).eval()
        policy.generation_config = GenerationConfig.from_pretrained(model)
        self.engine = EngineModel(Family(policy, AutoProcessor.from_pretrained(model)), self.faults)
        self.llm_engine = types.SimpleNamespace(reset_encoder_cache=self.engine.forget)
        type(self).made.append(self)

    def generate(
        self, prompts: list[dict[str, Any]], *, sampling_params: list[SamplingParams], use_tqdm: bool
    ) -> list[Any]:
        outputs = []
        for prompt, chosen in zip(prompts, sampling_params, strict=True):
            assert set(prompt) <= {"prompt", "multi_modal_data"}
            images = [np.asarray(image) for image in prompt["multi_modal_data"]["image"]]
            ids, samples = self.engine.generate(prompt["prompt"], images, chosen.sampling)
            outputs.append(types.SimpleNamespace(prompt_token_ids=ids, outputs=[_output(*s) for s in samples]))
        return outputs

    def apply_model(self, function: Any) -> list[Any]:
        return [function(self.engine)]

    def reset_prefix_cache(self) -> bool:
        return "busy" not in self.faults


def _output(ids: list[int], logps: list[float], reason: str) -> Any:
    logprobs = [{token: types.SimpleNamespace(logprob=logp)} for token, logp in zip(ids, logps, strict=True)]
    return types.SimpleNamespace(token_ids=ids, logprobs=logprobs, finish_reason=reason)


# The trainer's side of a weight transfer; tensors go through HTTP here instead of NCCL.


class WeightSource:
    """The base class that a source must have."""


@dataclass(frozen=True)
class ParamMeta:
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(kw_only=True)
class NCCLTrainerInitInfo:
    master_address: str
    master_port: int
    world_size: int
    rank: int


class HTTPVLLMWeightSyncClient:
    def __init__(self, base_url: str, timeout: float = 300) -> None:
        self.url, self.timeout = base_url, timeout

    def post(self, path: str, payload: dict[str, Any]) -> None:
        body = json.dumps(payload).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=self.timeout).read()


@dataclass
class Transfer:
    client: HTTPVLLMWeightSyncClient
    source: Any

    def send_weights(self) -> None:
        self.client.post("/start_weight_update", {})
        meta = self.source.metadata()
        sent = []
        for declared, (name, tensor) in zip(meta, self.source, strict=True):
            assert (declared.name, declared.dtype, declared.shape) == (name, tensor.dtype, tuple(tensor.shape))
            sent.append([name, list(tensor.shape), base64.b64encode(tensor.float().numpy().tobytes()).decode()])
        self.client.post("/update_weights", {"update_info": {"tensors": sent}})
        self.client.post("/finish_weight_update", {})


class WeightTransferTrainerFactory:
    @staticmethod
    def trainer_init(*, init_info: NCCLTrainerInitInfo, client: HTTPVLLMWeightSyncClient, source: Any) -> Transfer:
        assert isinstance(source, WeightSource)
        client.post("/init_weight_transfer_engine", {"init_info": vars(init_info)})
        return Transfer(client, source)


@contextmanager
def installed(
    monkeypatch: Any, *faults: str, version: str = VERSION, llm: type = LLM, params: type = SamplingParams
) -> Iterator[Any]:
    """The module `vllm`, importable; gives its class LLM."""
    package = types.ModuleType("vllm")
    engine = type("LLM", (llm,), {"faults": frozenset(faults), "made": []})
    transfer = types.ModuleType("vllm.distributed.weight_transfer")
    nccl = types.ModuleType("vllm.distributed.weight_transfer.nccl_engine")
    vars(package).update(__version__=version, LLM=engine, SamplingParams=params)
    names = (WeightSource, ParamMeta, HTTPVLLMWeightSyncClient, WeightTransferTrainerFactory)
    vars(transfer).update({thing.__name__: thing for thing in names})
    vars(nccl).update(NCCLTrainerInitInfo=NCCLTrainerInitInfo)
    with monkeypatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")  # whoever changes it is undone
        modules = {"vllm": package, "vllm.distributed": types.ModuleType("vllm.distributed")}
        for name, module in {**modules, transfer.__name__: transfer, nccl.__name__: nccl}.items():
            patch.setitem(sys.modules, name, module)
        yield engine


@dataclass
class Server:
    """`vllm serve` on loopback, for one model.

    Args:
        family: model and processor of the server.
        faults: what goes wrong.
        dies_after: it stops answering after so many completions requests.
    """

    family: Family
    faults: frozenset[str] = frozenset()
    dies_after: int | None = None
    version: str = VERSION
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> Server:
        self.engine = EngineModel(self.family, self.faults)
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

            def _answer(self, payload: dict[str, Any]) -> None:
                with server.lock:
                    server.requests.append((self.path, payload))
                    server.headers.append(dict(self.headers))
                    asked = server.paths().count("/v1/chat/completions")
                    if server.dies_after is not None and asked > server.dies_after:
                        self.close_connection = True
                        return
                    try:
                        status, answer = server.answer(self.path, payload)
                    except (ValueError, AssertionError) as error:
                        status, answer = 400, {"error": {"message": str(error)}}
                content = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, path: str, payload: dict[str, Any]) -> tuple[int, Any]:
        match path:
            case "/version":
                return 200, {"version": self.version}
            case "/v1/models":
                return 200, {"object": "list", "data": [{"id": "policy", "object": "model"}]}
            case "/v1/chat/completions":
                return 200, self._chat(payload)
        if "no dev mode" in self.faults:
            return 404, {"detail": "Not Found"}
        match path:
            case "/get_world_size":
                return 200, {"world_size": 2}
            case "/init_weight_transfer_engine":
                assert payload["init_info"]["world_size"] == 3 and payload["init_info"]["rank"] == 0
            case "/update_weights":
                if "refuses weights" in self.faults:
                    return 500, {"error": "shape mismatch for lm_head.weight"}
                self.engine.load_weights(_decoded(payload["update_info"]["tensors"]))
            case "/reset_prefix_cache":
                return 200, {"success": "busy" not in self.faults}
            case "/reset_encoder_cache":
                self.engine.forget()
                return 200, None
        return 200, {"message": "done"}

    def _chat(self, payload: dict[str, Any]) -> dict[str, Any]:
        content = payload["messages"][0]["content"]
        images = [_image(part["image_url"]["url"]) for part in content if part["type"] == "image_url"]
        plain = [{"type": "image"} if part["type"] == "image_url" else part for part in content]
        if "other template" in self.faults:
            plain = plain[::-1]
        text = self.family.processor.apply_chat_template(
            [{"role": "user", "content": plain}], add_generation_prompt=True, tokenize=False
        )
        sampling = {name: payload[name] for name in SAMPLING}
        check_sampling(sampling)
        assert payload["model"] == "policy" and payload["logprobs"] and payload["add_special_tokens"]
        prompt_ids, samples = self.engine.generate(text, images, sampling)
        choices = []
        for index, (ids, logps, reason) in enumerate(samples):
            tokens = [{"token": "?", "logprob": max(logp, -9999.0)} for logp in logps]
            choice = {"index": index, "message": {"role": "assistant", "content": "?"}, "finish_reason": reason}
            choice |= {"logprobs": {"content": tokens}, "token_ids": ids}
            if "no token ids" in self.faults:
                del choice["token_ids"]
            if "no logprobs" in self.faults:
                choice["logprobs"] = None
            choices.append(choice)
        answer: dict[str, Any] = {"object": "chat.completion", "model": "policy", "choices": choices[::-1]}
        return answer | ({} if "no token ids" in self.faults else {"prompt_token_ids": prompt_ids})


def _decoded(tensors: list[list[Any]]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, shape, content in tensors:
        array = np.frombuffer(base64.b64decode(content), dtype=np.float32)
        yield name, torch.from_numpy(array.reshape(shape).copy())


def _image(url: str) -> np.ndarray:
    content = re.fullmatch(r"data:image/png;base64,(.*)", url)
    assert content is not None, url[:40]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content[1]))).convert("RGB"))
