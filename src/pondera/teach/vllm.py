"""The teacher `vllm`: a vision-language model that vLLM runs on this machine's GPUs, in batches, without a server.

Unverified on GPU, as all that uses vLLM here: `docs/vllm.md`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from pondera import prompts
from pondera.core.records import Sample
from pondera.errors import ConfigError, TeacherError
from pondera.generate.backend import sample_seed
from pondera.generate.chat_images import fitted_image
from pondera.teach.base import TeacherResponse, Unanswered
from pondera.teach.question import NUM_FRAMES, question, shown_parts, tells_label

_BATCH = 256  # completions handed over at a time: enough to fill a GPU, few enough to lose at a kill


class VllmTeacher:
    """A teacher on this machine.

    Args:
        model: folder or hub id that vLLM can load.
        prompt: name of the prompt; completion k gets wording k.
        temperatures: of the completions, completion k gets number k, counted around; 0 is greedy.
        max_tokens: longest completion.
        max_pixels: larger images are scaled down to this.
        num_frames: of each video that is given as a file, taken at even distances.
        version: anything that the model's name does not show but its completions depend on, such as a revision.
        gpus: the model is spread over so many.
        max_length: longest prompt with completion, tokens; None is the model's own limit.

    Raises:
        ConfigError: there is no such prompt, or a setting is out of range.
        MissingExtra: vLLM is not installed in a version that is supported.
    """

    name = "vllm"

    def __init__(
        self,
        model: str,
        *,
        prompt: str = "quality.expert",
        temperatures: Sequence[float] = (0.7,),
        max_tokens: int = 1024,
        max_pixels: int = 1_000_000,
        num_frames: int = NUM_FRAMES,
        version: str = "",
        gpus: int = 1,
        max_length: int | None = None,
    ) -> None:
        least = min(max_tokens, max_pixels, num_frames, gpus, 1 if max_length is None else max_length)
        if not temperatures or min(temperatures) < 0 or least < 1:
            raise ConfigError(
                "need temperatures >= 0 and max_tokens, max_pixels, num_frames, gpus and max_length >= 1, got "
                f"{list(temperatures)}, {max_tokens}, {max_pixels}, {num_frames}, {gpus} and {max_length}"
            )
        from pondera.generate.vllm_backend import load_vllm
        from pondera.models.loading import hash_weights

        self._vllm = load_vllm()  # said now rather than after all images were read
        self.model, self.version, self.gpus, self.max_length = model, version, gpus, max_length
        self.prompt, self.num_frames = prompts.get(prompt), num_frames
        self.temperatures = tuple(float(value) for value in temperatures)
        self.max_tokens, self.max_pixels = max_tokens, max_pixels
        self._weights = hash_weights(Path(model)) if Path(model).is_dir() else model
        self._llm: Any = None

    @property
    def sees_labels(self) -> bool:
        """Whether the prompt tells them: then responses count for one label only."""
        return tells_label(self.prompt)

    @property
    def fingerprint(self) -> str:
        """Over weights, prompt and settings; not over the number of GPUs, nor the version of vLLM."""
        content: list[Any] = [self._weights, self.version, self.prompt.hash]
        content += [list(self.temperatures), self.max_tokens, self.max_pixels]
        if self.num_frames != NUM_FRAMES:  # responses of before there was a choice stay valid
            content += [self.num_frames]
        return f"vllm-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]}"

    def respond(self, samples: Sequence[Sample], num: int, seed: int, *, first: int = 0) -> Iterator[TeacherResponse]:
        """Completions batch by batch, in the order of the samples.

        Raises:
            Unanswered: at the end, when vLLM refused some: a prompt longer than it was started for.
            TeacherError: vLLM cannot start the model, or a sample does not fit the prompt.
            MediaError: an image cannot be read.
        """
        fingerprint = self.fingerprint
        reasons: dict[tuple[str, int], str] = {}
        asked = list(product(samples, range(first, first + num)))
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            started = time.perf_counter()
            answers = self._answers(batch, seed)
            seconds = (time.perf_counter() - started) / len(batch)
            for (sample, k), answer in zip(batch, answers, strict=True):
                if isinstance(answer, str):
                    reasons[sample.id, k] = answer
                    continue
                usage = {
                    "prompt_tokens": float(len(answer.prompt_token_ids)),
                    "completion_tokens": float(len(answer.outputs[0].token_ids)),
                    "seconds": round(seconds, 6),
                }
                yield TeacherResponse(sample.id, k, answer.outputs[0].text, fingerprint, seed, usage)
        if reasons:
            raise Unanswered(reasons)

    def _answers(self, batch: Sequence[tuple[Sample, int]], seed: int) -> list[Any]:
        """What vLLM returned for each, or why it would not."""
        messages = [self._message(sample, k) for sample, k in batch]
        params = [self._sampling(sample, k, seed) for sample, k in batch]
        try:
            return list(self._engine().chat(messages, sampling_params=params, use_tqdm=False))
        except ValueError as error:  # one prompt that is too long refuses the whole batch
            if len(batch) == 1:
                return [str(error)]
            return [self._answers([pair], seed)[0] for pair in batch]

    def _engine(self) -> Any:
        """Started when first needed: a finished log needs no GPU."""
        if self._llm is None:
            try:
                self._llm = self._vllm.LLM(
                    model=self.model, tensor_parallel_size=self.gpus, max_model_len=self.max_length, seed=0
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise TeacherError(f"vLLM cannot start {self.model!r} on {self.gpus} GPU(s): {error}") from error
        return self._llm

    def _message(self, sample: Sample, k: int) -> list[dict[str, Any]]:
        text = {"type": "text", "text": question(self.prompt, sample, k)}
        content: list[dict[str, Any]] = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_pil", "image_pil": fitted_image(part, self.max_pixels)}
            for part in shown_parts(sample, self.num_frames)
        ]
        return [{"role": "user", "content": [*content, text]}]

    def _sampling(self, sample: Sample, k: int, seed: int) -> Any:
        return self._vllm.SamplingParams(
            temperature=self.temperatures[k % len(self.temperatures)],
            max_tokens=self.max_tokens,
            seed=sample_seed(f"{sample.id}/{k}", seed=seed),
        )
