"""`/v1/chat/completions`, `/v1/models` and `/v1/score` for one model.

Every error is JSON in the form that chat clients read: {"error": {"message", "type", "code"}}.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from pondera.assess import Assessor
from pondera.errors import MediaError, PonderaError
from pondera.serve.batches import BatchWorker, QueueFull
from pondera.serve.compute import ChatGroup, ChatJob, ScoreGroup, compute
from pondera.serve.images import EncodedImage, check, fetch, read_data_url
from pondera.serve.protocol import ChatBody, ScoreBody, TextPart
from pondera.serve.replies import chat_events, chat_reply
from pondera.serve.room import Held, Room

_Body = TypeVar("_Body", bound=BaseModel)


@dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Args:
        body_bytes: longest request.
        image_pixels: largest image.
        images: most images in a request.
        waiting: requests that may wait for the model; more are sent away with status 429.
        waiting_bytes: what all requests that are not answered yet may hold; likewise. At least two longest requests.
        batch_size: requests computed side by side.
        allow_urls: fetch images from http and https addresses. Whoever can reach the server can then make it read any
            address that the server can reach.
    """

    body_bytes: int = 32 << 20
    image_pixels: int = 50_000_000
    images: int = 16
    waiting: int = 256
    waiting_bytes: int = 512 << 20
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
    room = Room(max(limits.waiting_bytes, 2 * limits.body_bytes))
    described = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "pondera"}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(worker.close)

    app = FastAPI(title="Pondera", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [described]}

    @app.get("/v1/models/{asked:path}")
    async def model(asked: str) -> dict[str, Any]:
        _check_name(asked, name)
        return described

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(request: Request) -> Response:
        with room.held() as held:
            group, job, asked = await _chat_job(request, name, limits, held)
            completed = await asyncio.wrap_future(worker.submit(group, job))
        reply = chat_reply(name, completed)
        if not asked.stream:
            return JSONResponse(reply)
        events = chat_events(reply, with_usage=asked.with_usage)
        return StreamingResponse(events, media_type="text/event-stream")

    @app.post("/v1/score")
    async def score(request: Request) -> dict[str, Any]:
        if assessor.card.kind == "video":
            raise _Refused(400, f"{name} judges videos, which cannot be sent: pondera score --model {name} clip.mp4")
        with room.held() as held:
            group, image = await _score_job(request, limits, held)
            assessment = await asyncio.wrap_future(worker.submit(group, image))
        return assessment.to_dict()

    _answer_errors(app)
    return app


@dataclass(frozen=True)
class _Streaming:
    """How the answer goes out."""

    stream: bool
    with_usage: bool


async def _chat_job(request: Request, name: str, limits: Limits, held: Held) -> tuple[ChatGroup, ChatJob, _Streaming]:
    """What to compute. The body ends with this function: while the job waits, only encoded images are held."""
    body = _parsed(ChatBody, await _read(request, limits.body_bytes, held))
    _check_name(body.model, name)
    urls = body.image_urls()
    if len(urls) > limits.images:
        raise _Refused(400, f"{len(urls)} images are too many; the limit is {limits.images}")
    images = iter(await _images(urls, limits, held))
    shown = [part.text if isinstance(part, TextPart) else next(images) for part in body.shown()]
    job = ChatJob(shown, body.text(), body.max_completion_tokens or body.max_tokens, body.seed)
    return ChatGroup(body.n, body.temperature), job, _Streaming(body.stream, body.with_usage())


async def _score_job(request: Request, limits: Limits, held: Held) -> tuple[ScoreGroup, EncodedImage]:
    content = await _read(request, limits.body_bytes, held)
    if request.headers.get("content-type", "").startswith("image/"):
        body = _checked(ScoreBody, {**request.query_params, "image": ""})
        await asyncio.to_thread(check, content, limits.image_pixels)
        image = EncodedImage(content)
    else:
        body = _parsed(ScoreBody, content)
        (image,) = await _images([body.image], limits, held)
    return ScoreGroup(body.mode, tuple(sorted(body.options().items()))), image


def _check_name(asked: str, name: str) -> None:
    if asked != name:
        raise _Refused(404, f"there is no model {asked!r} here; ask for {name!r}", "model_not_found")


async def _read(request: Request, max_bytes: int, held: Held) -> bytes:
    """The body, as long as it is short enough and there is room for it."""
    content = bytearray()
    async for chunk in request.stream():
        held.add(len(chunk))
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
    where, what = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


async def _images(urls: list[str], limits: Limits, held: Held) -> list[EncodedImage]:
    """The images of a request, as they were sent; those that are fetched may have `body_bytes` together."""
    images, left_bytes = [], limits.body_bytes
    for url in urls:
        if url[:8].lower().startswith(("http://", "https://")):
            if not limits.allow_urls:
                raise _Refused(400, "this server fetches no addresses; send the image as data:image/png;base64,...")
            content = await fetch(url, left_bytes)
            left_bytes -= len(content)
            held.add(len(content))
        else:
            content = read_data_url(url)
        await asyncio.to_thread(check, content, limits.image_pixels)
        images.append(EncodedImage(content))
    return images


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
