"""What goes to an OpenAI-compatible service and what comes back: requests, replies, and what can go wrong.

A reply is checked before anybody sees it: services answer with error pages, half objects and other models than asked
for, and none of that may be recorded as a completion.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pondera.errors import TeacherError

SHOWN = 200  # characters of a service's words in an error
_CONTENT_CODES = ("content_filter", "content_policy_violation")


class RequestFailed(TeacherError):  # noqa: N818 - it is also returned, as the outcome of one request
    """One request got no usable reply; others may."""


class ServiceRefused(TeacherError):  # noqa: N818 - as RequestFailed
    """Every further request would end the same way: no such model, no permission, nobody there."""


class LimitReached(TeacherError):  # noqa: N818 - as RequestFailed
    """A limit that the user set ended the work."""


class BadReply(Exception):  # noqa: N818 - as RequestFailed
    """A reply that is no completion. It never leaves the client: such requests are tried again.

    Args:
        words: what is wrong with it.
        seen: of its body, so far as it was kept: it may say what the reply cost.
    """

    def __init__(self, words: str, seen: bytes) -> None:
        super().__init__(words)
        self.seen = seen


class AnotherModel(BadReply):
    """A completion of a model that was not asked for."""


class RequestNotes(Protocol):
    """Who keeps the books of a request."""

    def sent(self, number: int) -> None:
        """Called just before each try, with its number from 1."""
        ...

    def unusable(self, usage: Mapping[str, float]) -> None:
        """Called when a reply was not accepted, but says what it used: it will be charged for."""
        ...


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request for a chat completion.

    Args:
        key: by which the caller knows it again; never sent.
        messages: as the protocol has them: [{"role": ..., "content": ...}].
        temperature: 0 is greedy.
        max_tokens: longest completion.
        seed: for services that have one; None sends none.
        notes: who keeps the books.
    """

    key: Any
    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None
    notes: RequestNotes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """One completion.

    Args:
        text: the completion, "" when the service gave none (it then says why in `finish_reason`).
        finish_reason: stop, length, content_filter or whatever the service says; "" without one.
        usage: prompt_tokens and completion_tokens as far as the service counts them, tries (1 when the first
            succeeded), and cost where prices are known.
        seconds: from the first try to the reply, waiting included.
        reasoning: the thought, where the service keeps it apart from the text.
    """

    text: str
    finish_reason: str
    usage: Mapping[str, float]
    seconds: float
    reasoning: str = ""


def read_reply(body: bytes, accepted_models: Sequence[str]) -> tuple[str, str, str, dict[str, float]]:
    """Text, finish reason, reasoning and token counts of a reply's body.

    Args:
        body: what the service sent with status 200.
        accepted_models: the model asked for and others that may answer; a dated version of one counts as it.

    Raises:
        BadReply: it is no chat completion, or another model's.
    """
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        reason = str(choice.get("finish_reason") or "")
        reasoning = _text(message.get("reasoning_content") or message.get("reasoning"))
        refusal = _text(message.get("refusal"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadReply(f"no chat completion: {type(error).__name__}; it begins {_beginning(body)!r}", body) from None
    if not (text or refusal or reasoning or reason):
        raise BadReply("a completion without text and without a reason to finish", body)
    model = content.get("model")
    if isinstance(model, str) and model and not any(_is_version_of(model, name) for name in accepted_models):
        raise AnotherModel(f"model {model[:SHOWN]!r} answered, asked for was {accepted_models[0]!r}", body)
    return text or refusal, reason, reasoning, _token_counts(content.get("usage"))


def num_chars(messages: Sequence[Mapping[str, Any]]) -> int:
    """Length of the words in messages; images do not count."""
    parts = [part for message in messages for part in _parts(message["content"])]
    return sum(len(part.get("text", "")) for part in parts)


def _parts(content: str | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return [{"text": content}] if isinstance(content, str) else content


def error_words(body: bytes) -> tuple[str, str]:
    """Code and message of an error's body, for people; the body's beginning when it has no such form."""
    try:
        error = json.loads(body)
        error = error.get("error", error)
        if isinstance(error, str):
            return "", error[:SHOWN]
        message = error.get("message") or error.get("detail")
        if message:
            return str(error.get("code") or ""), str(message)[:SHOWN]
    except (ValueError, AttributeError, RecursionError):
        pass  # proxies answer in HTML: their beginning is shown instead
    return "", _beginning(body)


def is_about_content(body: bytes) -> bool:
    """Whether an error says that what was sent is not wanted, so that other requests may pass under the same status.

    Known forms: the codes of content filters, and the `metadata.reasons` with which OpenRouter answers 403.
    """
    try:
        error = json.loads(body)["error"]
        metadata = error.get("metadata")
        has_reasons = isinstance(metadata, dict) and bool(metadata.get("reasons"))
        return has_reasons or error.get("code") in _CONTENT_CODES
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def _text(value: Any) -> str:
    """Text of a message part, which may be absent or a list of parts.

    A lone surrogate, which JSON can carry, could not be written to any file, so it becomes a question mark.
    """
    if value is None:
        return ""
    if isinstance(value, list):
        value = "".join(part["text"] for part in value if part.get("type") in ("text", "output_text"))
    if not isinstance(value, str):
        raise TypeError(f"content is {type(value).__name__}")
    return value.encode("utf-8", "replace").decode("utf-8")


def _is_version_of(model: str, name: str) -> bool:
    """Whether a service that was asked for `name` may call itself `model`: name, name-2026-01-31, name@001."""
    return re.fullmatch(rf"{re.escape(name)}(?:[-@:]\d[\d.-]*)?", model, re.IGNORECASE) is not None


def _token_counts(usage: Any) -> dict[str, float]:
    """Counts where they are counts; services that send none, or nonsense, cost nothing that we know of."""
    found = {}
    for name in ("prompt_tokens", "completion_tokens"):
        value = usage.get(name) if isinstance(usage, dict) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
            found[name] = float(value)
    return found


def usage_in(body: bytes) -> dict[str, float]:
    """Token counts that stand in a reply that is no completion, be it no JSON or the end of one; {} for none.

    Words of the model are not mistaken for them: inside a string of JSON the quotation marks would be escaped.
    """
    text = body.decode("utf-8", "replace")
    for match in reversed(list(re.finditer(r'"usage"\s*:\s*(?=\{)', text))):
        try:
            usage, _ = json.JSONDecoder().raw_decode(text, match.end())
        except (ValueError, RecursionError):
            continue
        if counts := _token_counts(usage):
            return counts
    return {}


def _beginning(body: bytes) -> str:
    return " ".join(body[: 2 * SHOWN].decode("utf-8", "replace").split())[:SHOWN]
