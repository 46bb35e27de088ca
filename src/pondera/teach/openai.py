"""The teacher `openai`: a vision-language model behind an OpenAI-compatible service, such as vLLM or a hosted one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pondera import prompts
from pondera.core.records import Sample
from pondera.errors import ConfigError
from pondera.generate.ahead import made_ahead
from pondera.generate.backend import sample_seed
from pondera.generate.chat import ChatClient, ChatReply, ChatRequest, RequestFailed
from pondera.generate.chat_images import data_url
from pondera.generate.chat_reply import RequestNotes
from pondera.teach.base import TeacherResponse, Unanswered
from pondera.teach.question import NUM_FRAMES, question, shown_parts, tells_label


class OpenAITeacher:
    """A teacher that is asked over HTTP.

    Args:
        client: address, model, limits.
        prompt: name of the prompt; completion k gets wording k.
        temperatures: of the completions, completion k gets number k, counted around; 0 is greedy.
        max_tokens: longest completion.
        max_pixels: larger images are scaled down to this; smaller ones are sent as they are.
        num_frames: of each video that is given as a file, taken at even distances.
        version: anything that the model's name does not show but its completions depend on, such as a revision.

    Raises:
        ConfigError: there is no such prompt, or a setting is out of range.
    """

    name = "openai"

    def __init__(
        self,
        client: ChatClient,
        *,
        prompt: str = "quality.expert",
        temperatures: Sequence[float] = (0.7,),
        max_tokens: int = 1024,
        max_pixels: int = 1_000_000,
        num_frames: int = NUM_FRAMES,
        version: str = "",
    ) -> None:
        if not temperatures or min(temperatures) < 0 or min(max_tokens, max_pixels, num_frames) < 1:
            raise ConfigError(
                "need temperatures >= 0 and max_tokens, max_pixels and num_frames >= 1, got "
                f"{list(temperatures)}, {max_tokens}, {max_pixels} and {num_frames}"
            )
        self.client, self.num_frames = client, num_frames
        self.prompt = prompts.get(prompt)
        self.temperatures = tuple(float(value) for value in temperatures)
        self.max_tokens, self.max_pixels, self.version = max_tokens, max_pixels, version
        self.notes: Callable[[str, int], RequestNotes] | None = None

    @property
    def sees_labels(self) -> bool:
        """Whether the prompt tells them: then responses count for one label only."""
        return tells_label(self.prompt)

    @property
    def fingerprint(self) -> str:
        """Over model, prompt and settings, not over the address: a model that moved need not be paid again."""
        content: list[Any] = [self.client.model, self.version, self.prompt.hash]
        content += [list(self.temperatures), self.max_tokens, self.max_pixels]
        if self.num_frames != NUM_FRAMES:  # responses of before there was a choice stay valid
            content += [self.num_frames]
        return f"openai-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]}"

    def respond(self, samples: Sequence[Sample], num: int, seed: int, *, first: int = 0) -> Iterator[TeacherResponse]:
        """Completions as they come, several requests at a time; see `respond_to`."""
        return self.respond_to([(sample, range(first, first + num)) for sample in samples], seed)

    def respond_to(self, wanted: Sequence[tuple[Sample, Sequence[int]]], seed: int) -> Iterator[TeacherResponse]:
        """Completions as they come, several requests at a time.

        Args:
            wanted: samples, each with the numbers k of its completions.
            seed: of the run.

        Raises:
            Unanswered: at the end, when some requests failed for good.
            TeacherError: the service refuses everything, a limit is reached, or a sample does not fit the prompt.
            MediaError: an image cannot be read.
        """
        fingerprint = self.fingerprint
        reasons: dict[tuple[str, int], str] = {}
        for request, outcome in self.client.replies(self._requests(wanted, seed)):
            if isinstance(outcome, RequestFailed):
                reasons[request.key] = str(outcome)
                continue
            sample, k = request.key
            usage = {**outcome.usage, "seconds": round(outcome.seconds, 6)}
            yield TeacherResponse(sample, k, self._completion(outcome), fingerprint, seed, usage)
        if reasons:
            raise Unanswered(reasons)

    def _requests(self, wanted: Sequence[tuple[Sample, Sequence[int]]], seed: int) -> Iterator[ChatRequest]:
        for requests in made_ahead(lambda pair: self._requests_about(*pair, seed), wanted):
            yield from requests

    def _requests_about(self, sample: Sample, numbers: Sequence[int], seed: int) -> list[ChatRequest]:
        """Those about one sample, which share its images."""
        questions = {k: question(self.prompt, sample, k) for k in numbers}  # refused before reading
        shown = self._shown(sample)
        return [
            ChatRequest(
                key=(sample.id, k),
                messages=[{"role": "user", "content": [*shown, {"type": "text", "text": text}]}],
                temperature=self.temperatures[k % len(self.temperatures)],
                max_tokens=self.max_tokens,
                seed=sample_seed(f"{sample.id}/{k}", seed=seed),
                notes=None if self.notes is None else self.notes(sample.id, k),
            )
            for k, text in questions.items()
        ]

    def _shown(self, sample: Sample) -> list[dict[str, Any]]:
        return [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": data_url(part, self.max_pixels)}}
            for part in shown_parts(sample, self.num_frames)
        ]

    def _completion(self, reply: ChatReply) -> str:
        """The text; some services take the thought out of it, and it is put back where the prompt asks for one."""
        if not reply.reasoning or self.prompt.answer.think != "required" or "<think>" in reply.text:
            return reply.text
        return f"<think>{reply.reasoning.strip()}</think>{reply.text.lstrip()}"
