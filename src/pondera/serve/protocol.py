"""What requests may hold. What this server does not do is refused by name, so that nothing is accepted and ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pondera.assess.assessor import Mode

# Settings of the protocol, and of servers that extend it, at the values at which they change nothing here. Clients of
# other services send them whether they are needed or not.
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "stop": ([], ""),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "best_of": (1,),
    "top_k": (-1, 0),
    "min_p": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "use_beam_search": (False,),
    "ignore_eos": (False,),
}
_RECORDS = ("user", "metadata", "safety_identifier", "prompt_cache_key")  # for a service's books: any value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_said(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v is not None} if isinstance(values, dict) else values


class TextPart(_Strict):
    """Words."""

    type: Literal["text"]
    text: str


class ImageUrl(_Strict):
    """Where an image is; `detail` is for services that scale, this one sees what it is sent."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(_Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(_Strict):
    """One message; a conversation is an optional system message and one of the user."""

    role: Literal["system", "developer", "user"]
    content: str | list[Part]

    def parts(self) -> list[TextPart | ImagePart]:
        """The content as a list."""
        return [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class StreamOptions(_Strict):
    """What else a stream holds."""

    include_usage: bool = False
    include_obfuscation: bool = Field(False, description="Padding against listeners; streams here have none.")


class ChatBody(_Strict):
    """Body of `/v1/chat/completions`. Settings of the protocol that would change nothing here may have that value."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=2)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=10)
    n: int = Field(1, ge=1, le=64)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stream: bool = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_what_changes_nothing(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name, harmless in _HARMLESS.items():
            if values.get(name) is not None and values[name] not in harmless:
                allowed = " or ".join(json.dumps(value) for value in harmless)
                raise ValueError(f"{name} is not supported, it may only be {allowed}; leave it out")
        return {name: value for name, value in values.items() if name not in _HARMLESS and name not in _RECORDS}

    @model_validator(mode="after")
    def _options_of_a_stream_need_one(self) -> ChatBody:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options go with stream: true only")
        return self

    @model_validator(mode="after")
    def _one_user_message_last(self) -> ChatBody:
        roles = [message.role for message in self.messages]
        if roles[-1] != "user" or "user" in roles[:-1]:
            raise ValueError(f"messages are an optional system message and one user message, got roles {roles}")
        if any(isinstance(part, ImagePart) for message in self.messages[:-1] for part in message.parts()):
            raise ValueError("images belong into the user message")
        return self

    def shown(self) -> list[TextPart | ImagePart]:
        """What comes before the question: images in order, and the words between them."""
        return self._split()[0]

    def text(self) -> str:
        """The question: the system message and the user's words behind the last image, or where there are none, those
        before the first one: models are trained on the question behind the images."""
        system = [part for message in self.messages[:-1] for part in message.parts()]
        return "\n".join(part.text for part in [*system, *self._split()[1]] if isinstance(part, TextPart))

    def _split(self) -> tuple[list[TextPart | ImagePart], list[TextPart | ImagePart]]:
        parts = self.messages[-1].parts()
        images = [i for i, part in enumerate(parts) if isinstance(part, ImagePart)]
        if not images:
            return [], parts
        first, behind = images[0], images[-1] + 1
        if behind == len(parts):
            return parts[first:], parts[:first]
        return parts[:behind], parts[behind:]

    def with_usage(self) -> bool:
        """Whether a stream ends with token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    def image_urls(self) -> list[str]:
        """All images, in order."""
        return [part.image_url.url for part in self.shown() if isinstance(part, ImagePart)]


class ScoreBody(_Strict):
    """Body of `/v1/score`: the options of `pondera score`."""

    image: str
    mode: Mode = "reason"
    samples: int | None = Field(None, ge=2, le=64)
    seed: int | None = Field(None, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _samples_are_for_consensus(self) -> ScoreBody:
        if self.mode != "consensus" and (self.samples is not None or self.seed is not None):
            raise ValueError(f"samples and seed need mode consensus; mode {self.mode} draws no samples")
        return self

    def options(self) -> dict[str, Any]:
        """What was chosen of the options of consensus mode."""
        return {name: value for name in ("samples", "seed") if (value := getattr(self, name)) is not None}
