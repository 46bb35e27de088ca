"""What requests may hold. What this server does not do is refused by name, so that nothing is accepted and ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pondera.assess.assessor import Mode


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextPart(_Strict):
    """Words."""

    type: Literal["text"]
    text: str


class ImageUrl(_Strict):
    """Where an image is; `detail` is for services that scale, this one sees what it is sent."""

    url: str
    detail: Literal["auto", "high"] | None = None


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


class ChatBody(_Strict):
    """Body of `/v1/chat/completions`. Settings of the protocol that would change nothing here may have that value."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=2)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=10)
    n: int = Field(1, ge=1, le=64)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stream: Literal[False] | None = None
    top_p: Literal[1] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    stop: None = None
    user: str | None = Field(None, description="For the client's own records.")

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
