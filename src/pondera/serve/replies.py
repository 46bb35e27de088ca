"""Completions in the form that chat clients read, whole or as a stream of events."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from pondera.serve.compute import Completed


def chat_reply(name: str, completed: Completed) -> dict[str, Any]:
    """The body of a chat completion.

    Args:
        name: of the model.
        completed: what it wrote.
    """
    choices = [
        {
            "index": i,
            "message": {"role": "assistant", "content": completion.text},
            "finish_reason": "stop" if completion.is_finished else "length",
        }
        for i, completion in enumerate(completed.completions)
    ]
    num_tokens = sum(len(completion.ids) for completion in completed.completions)
    usage = {
        "prompt_tokens": completed.num_prompt_tokens,
        "completion_tokens": num_tokens,
        "total_tokens": completed.num_prompt_tokens + num_tokens,
    }
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "created": int(time.time())}
    return {**head, "model": name, "choices": choices, "usage": usage}


def chat_events(reply: dict[str, Any], *, with_usage: bool) -> Iterator[str]:
    """The same as server-sent events: each choice in one piece, its reason to finish, and the end mark.

    Args:
        reply: as `chat_reply` gives it.
        with_usage: whether the token counts stand in an event of their own at the end.
    """
    head = {name: reply[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for choice in reply["choices"]:
        for delta, reason in ((choice["message"], None), ({}, choice["finish_reason"])):
            piece = {"index": choice["index"], "delta": delta, "finish_reason": reason}
            yield _event({**head, "choices": [piece]})
    if with_usage:
        yield _event({**head, "choices": [], "usage": reply["usage"]})
    yield "data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
