"""A chat completion service on loopback that behaves as it is told: the tests' and the benchmark's other side."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Said:
    """One HTTP answer. `cut` ends the connection after so many bytes of it; `pause_s` stands before it."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    cut: int | None = None


def completion(text: str, *, model: str = "teacher", **changes: Any) -> dict[str, Any]:
    """A chat completion's body."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {"id": "1", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage} | changes


def say(text: str, **changes: Any) -> Said:
    return Said(json.dumps(completion(text, **changes)).encode())


class ChatServer:
    """Answers POST requests with `behave(payload)`; a context manager that gives itself, listening."""

    def __init__(self, behave: Callable[[dict[str, Any]], Said]) -> None:
        self.behave = behave
        self.payloads: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.num_open = self.most_open = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> ChatServer:
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self.loop
        ).result()
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self.server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection has to end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        payload = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.payloads.append(payload)
        self.headers.append(headers)
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        try:
            said = self.behave(payload)
            await asyncio.sleep(said.pause_s)
        finally:
            self.num_open -= 1
        lines = [f"HTTP/1.1 {said.status} .", f"content-length: {len(said.body)}"]
        lines += [f"{name}: {value}" for name, value in said.headers.items()]
        whole = "\r\n".join([*lines, "", ""]).encode() + said.body
        writer.write(whole if said.cut is None else whole[: said.cut])
        await writer.drain()
        return said.cut is None
