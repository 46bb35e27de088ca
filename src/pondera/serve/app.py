"""`/v1/chat/completions`, `/v1/models` and `/v1/score` for one model.

Every error is JSON in the form that chat clients read: {"error": {"message", "type", "code"}}.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from pondera.assess import Assessor
from pondera.errors import MediaError, PonderaError
from pondera.serve.batches import BatchWorker, QueueFull
from pondera.serve.compute import ChatGroup, ChatJob, Completed, ScoreGroup, compute
from pondera.serve.images import decode, fetch, read_data_url
from pondera.serve.protocol import ChatBody, ScoreBody, TextPart

_Body = TypeVar("_Body", bound=BaseModel)


@dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Args:
        body_bytes: longest request.
        image_pixels: largest image.
        images: most images in a request.
        waiting: requests that may wait for the model; more are sent away with status 429.
        batch_size: requests computed side by side.
        allow_urls: fetch images from http and https addresses. Whoever can reach the server can then make it read any
            address that the server can reach.
    """

    body_bytes: int = 32 << 20
    image_pixels: int = 50_000_000
    images: int = 16
    waiting: int = 256
    batch_size: int = 16
    allow_urls: bool = False


class _Refused(Exception):  # noqa: N818 - it says what is the case
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def create_app(assessor: Assessor, name: str, limits: Limits = Limits()) -> FastAPI:
    """The application.

    Args:
        assessor: the model. It belongs to the application: its thread alone computes with it.
        name: under which clients ask for it.
        limits: of requests.
    """
    worker = BatchWorker(partial(compute, assessor), batch_size=limits.batch_size, max_waiting=limits.waiting)
    began = int(time.time())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(worker.close)

    app = FastAPI(title="Pondera", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        model = {"id": name, "object": "model", "created": began, "owned_by": "pondera"}
        return {"object": "list", "data": [model]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        body = _parsed(ChatBody, await _read(request, limits.body_bytes))
        if body.model != name:
            raise _Refused(404, f"there is no model {body.model!r} here; ask for {name!r}", "model_not_found")
        images = iter([await _image(url, limits) for url in _counted(body.image_urls(), limits.images)])
        shown = [part.text if isinstance(part, TextPart) else next(images) for part in body.shown()]
        job = ChatJob(shown, body.text(), body.max_completion_tokens or body.max_tokens, body.seed)
        completed = await asyncio.wrap_future(worker.submit(ChatGroup(body.n, body.temperature), job))
        return _chat_reply(name, completed)

    @app.post("/v1/score")
    async def score(request: Request) -> dict[str, Any]:
        content = await _read(request, limits.body_bytes)
        if request.headers.get("content-type", "").startswith("image/"):
            body = _checked(ScoreBody, {**request.query_params, "image": ""})
            image = await asyncio.to_thread(decode, content, limits.image_pixels)
        else:
            body = _parsed(ScoreBody, content)
            image = await _image(body.image, limits)
        group = ScoreGroup(body.mode, tuple(sorted(body.options().items())))
        assessment = await asyncio.wrap_future(worker.submit(group, image))
        return assessment.to_dict()

    _answer_errors(app)
    return app


async def _read(request: Request, max_bytes: int) -> bytes:
    """The body, as long as it is short enough."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > max_bytes:
            raise _Refused(413, f"the request has more than {max_bytes} bytes; send smaller images", "too_large")
    return bytes(content)


def _parsed(kind: type[_Body], content: bytes) -> _Body:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _Refused(400, _words(error)) from None


def _checked(kind: type[_Body], values: dict[str, Any]) -> _Body:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _Refused(400, _words(error)) from None


def _words(error: ValidationError) -> str:
    """The first thing that is wrong and where; values are left out, because they may be images."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _counted(urls: list[str], most: int) -> list[str]:
    if len(urls) > most:
        raise _Refused(400, f"{len(urls)} images are too many; the limit is {most}")
    return urls


async def _image(url: str, limits: Limits) -> np.ndarray:
    if url[:8].lower().startswith(("http://", "https://")):
        if not limits.allow_urls:
            raise _Refused(400, "this server fetches no addresses; send the image as data:image/png;base64,...")
        content = await fetch(url, limits.body_bytes)
    else:
        content = read_data_url(url)
    return await asyncio.to_thread(decode, content, limits.image_pixels)


def _chat_reply(name: str, completed: Completed) -> dict[str, Any]:
    num_tokens = sum(len(completion.ids) for completion in completed.completions)
    choices = [
        {
            "index": i,
            "message": {"role": "assistant", "content": completion.text},
            "finish_reason": "stop" if completion.is_finished else "length",
        }
        for i, completion in enumerate(completed.completions)
    ]
    usage = {
        "prompt_tokens": completed.num_prompt_tokens,
        "completion_tokens": num_tokens,
        "total_tokens": completed.num_prompt_tokens + num_tokens,
    }
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": choices,
        "usage": usage,
    }


def _answer_errors(app: FastAPI) -> None:
    """JSON for everything that can go wrong."""

    def body(status: int, message: str, code: str | None = None, **headers: str) -> JSONResponse:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return JSONResponse({"error": {"message": message, "type": kind, "code": code}}, status, headers)

    @app.exception_handler(_Refused)
    async def refused(_: Request, error: _Refused) -> JSONResponse:
        return body(error.status, str(error), error.code)

    @app.exception_handler(PonderaError)
    async def wrong(_: Request, error: PonderaError) -> JSONResponse:
        return body(400, str(error), "bad_image" if isinstance(error, MediaError) else None)

    @app.exception_handler(QueueFull)
    async def busy(_: Request, error: QueueFull) -> JSONResponse:
        return body(429, f"{error}; try again soon", "busy", **{"Retry-After": "1"})

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return body(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return body(500, f"the model failed ({type(error).__name__}); the server's log says more")
