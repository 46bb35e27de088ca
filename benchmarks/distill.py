"""Distillation over HTTP: its throughput beside a plain load generator's, and what a hostile service costs.

    python benchmarks/distill.py --json                        a service that waits 0.4 s and answers
    python benchmarks/distill.py --serve nano             `pondera serve` on loopback, in a process of its own
    python benchmarks/distill.py --base-url http://127.0.0.1:8000/v1 --model nano --prompt short.unit

The load generator sends the very same requests, made beforehand, at the same concurrency, and throws the replies away:
what is missing to it is the price of reading images, checking replies, recording and filtering. Behind a warm-up both
run in turn, the first of a round changing, and each ratio is of neighbours; medians count. The service has a process of
its own: `pondera serve` with --serve, else one on loopback that plays the teacher, of which a second run then meets one
that fails half the time.

On a busy machine wall clocks say little. `cpu_ms` is processor time for one request, of this process and of the
service (where it was started here), and hardly changes with the load. `cpu_ratio` is what the throughput ratio would
be if processors were all that both wait for: (service + plain client) / (service + distill client). A service that
waits for something else, such as another machine, leaves the client's time hidden in the waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
from PIL import Image

from pondera import prompts
from pondera.core.records import Media, Sample
from pondera.data.photographs import list_photographs
from pondera.generate.chat import ChatClient
from pondera.teach import Distillation, OpenAITeacher, distill

SERVER = Path(__file__).parents[1] / "tests" / "generate" / "chat_server.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--base-url", help="a real service; default: one that plays the teacher")
    parser.add_argument("--serve", metavar="MODEL", help="start pondera serve with this model, and ask it")
    parser.add_argument("--model", default="teacher")
    parser.add_argument("--prompt", default="short.unit")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--size", type=int, default=256, help="width and height of the images, in pixels")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--pause-ms", type=float, default=400, help="of the played service")
    parser.add_argument("--repeat", type=int, default=4, help="rounds; the median ratio counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = make_samples(Path(folder), args.samples, args.size)
        if args.serve:
            args.model = args.serve
            with served(args.serve) as (url, service):
                found = measure(url, service, samples, args, Path(folder))
        elif args.base_url:
            found = measure(args.base_url, None, samples, args, Path(folder))
        else:
            with Played(args.pause_ms / 1000, failing=0.0) as (url, service):
                found = measure(url, service, samples, args, Path(folder))
            with Played(args.pause_ms / 1000, failing=0.5) as (url, _):
                found["hostile"] = meet_failures(url, samples, args, Path(folder))
    found["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    found["configuration"] = {**vars(args), "python": platform.python_version(), "machine": platform.machine()}
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{name}: {value}" for name, value in found.items()))


def make_samples(folder: Path, count: int, size: int) -> list[Sample]:
    """Squares cut from the photographs of the package."""
    photographs = [Image.open(path).convert("RGB") for path in list_photographs()]
    samples = []
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        random_place = random.Random(i)
        left, top = (random_place.randrange(side - size + 1) for side in photograph.size)
        path = folder / f"{i}.png"
        photograph.crop((left, top, left + size, top + size)).save(path)
        samples.append(Sample(f"s{i}", (Media(str(path)),)))
    return samples


def teacher_for(url: str, args: argparse.Namespace, **settings: Any) -> OpenAITeacher:
    client = ChatClient(url, args.model, concurrency=args.concurrency, **settings)
    return OpenAITeacher(client, prompt=args.prompt, temperatures=(0.7,), max_tokens=args.max_tokens)


def explain(samples: list[Sample], url: str, args: argparse.Namespace, out: Path, **settings: Any) -> Distillation:
    form = prompts.get(args.prompt).answer
    return distill(samples, teacher_for(url, args, **settings), out, answer_format=form)


def measure(
    url: str, service: int | None, samples: list[Sample], args: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Both in turn, several times; `service` is its process where it runs here."""
    payloads = [
        {
            "model": args.model,
            "messages": request.messages,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
        }
        for request in teacher_for(url, args)._requests([(sample, [0]) for sample in samples], 0)
    ]
    asyncio.run(load(url, payloads[: 2 * args.concurrency], args.concurrency))  # the service's first batches are slow
    rounds: list[dict[str, Spent]] = []
    for number in range(args.repeat):
        timed: dict[str, Spent] = {}
        for who in ("plain", "distill") if number % 2 == 0 else ("distill", "plain"):
            before = Spent.now(service)
            if who == "plain":
                asyncio.run(load(url, payloads, args.concurrency))
            else:
                done = explain(samples, url, args, folder / f"round{number}")
            timed[who] = Spent.now(service).since(before)
        rounds.append(timed)
    ratios = [timed["plain"].wall_s / timed["distill"].wall_s for timed in rounds]
    cpu_ms = {who: cpu_of([timed[who] for timed in rounds], len(samples)) for who in rounds[0]}
    plain, ours = (cpu_ms[who]["client"] + cpu_ms[who].get("service", math.nan) for who in ("plain", "distill"))
    return {
        "throughput_ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "requests_per_s": {who: [round(len(samples) / timed[who].wall_s, 1) for timed in rounds] for who in rounds[0]},
        "cpu_ms": cpu_ms,
        "cpu_ratio": None if math.isnan(ours) else round(plain / ours, 3),
        "num_responses": done.num_responses,
        "num_kept": done.num_kept,
    }


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of processors: of this process and of the service (NaN where it runs elsewhere)."""

    wall_s: float
    client_s: float
    service_s: float

    @classmethod
    def now(cls, service: int | None) -> Spent:
        return cls(time.perf_counter(), time.process_time(), processor_s(service))

    def since(self, before: Spent) -> Spent:
        return Spent(self.wall_s - before.wall_s, self.client_s - before.client_s, self.service_s - before.service_s)


def processor_s(pid: int | None) -> float:
    """What a process has used so far; NaN without one, and where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_of(rounds: list[Spent], num: int) -> dict[str, float]:
    """Milliseconds of processor time for one request, medians over rounds."""
    median = {
        "client": statistics.median(1000 * spent.client_s / num for spent in rounds),
        "service": statistics.median(1000 * spent.service_s / num for spent in rounds),
    }
    return {name: round(value, 2) for name, value in median.items() if not math.isnan(value)}


async def load(url: str, payloads: list[dict[str, Any]], concurrency: int) -> None:
    """Send all payloads."""
    waiting = iter(payloads)

    async def worker(client: httpx2.AsyncClient) -> None:
        for payload in waiting:
            (await client.post(f"{url}/chat/completions", json=payload)).raise_for_status()

    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx2.AsyncClient(timeout=300, limits=limits) as client:
        await asyncio.gather(*(worker(client) for _ in range(concurrency)))


def meet_failures(url: str, samples: list[Sample], args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    settings = {"timeout_s": 2.0, "backoff_s": 0.02, "max_wait_s": 0.5, "tries": 30, "max_reply_bytes": 100_000}
    start = time.perf_counter()
    done = explain(samples, url, args, folder / "hostile", **settings)
    seconds = time.perf_counter() - start
    again = explain(samples, url, args, folder / "hostile")
    whole = (folder / "round0" / "rationales.jsonl").read_bytes()
    return {
        "num_responses": done.num_responses,
        "tries": done.usage["tries"],
        "seconds": round(seconds, 2),
        "asked_again_afterwards": again.num_new,
        "same_file": done.manifest.read_bytes() == whole,
    }


@contextmanager
def served(model: str) -> Iterator[tuple[str, int]]:
    """`pondera serve` on a free port of this machine: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pondera.cli", "serve", "--model", model, "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        while not has_started(url):
            if process.poll() is not None:
                raise SystemExit(f"pondera serve ended with {process.returncode}")
            time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def has_started(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/models", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


class Played:
    """The tests' chat server in a process of its own, so that it does not share the client's interpreter."""

    def __init__(self, pause_s: float, failing: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=play, args=(sender, pause_s, failing), daemon=True)

    def __enter__(self) -> tuple[str, int]:
        self.process.start()
        return self.receiver.recv(), self.process.pid or 0

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.join()


def play(sender: Any, pause_s: float, failing: float) -> None:
    server = load_server()
    generator = random.Random(0)

    def behave(payload: dict[str, Any]) -> Any:
        instance.payloads.clear()
        instance.headers.clear()
        digest = hashlib.sha256(json.dumps(payload).encode()).hexdigest()
        text = f"<think>scene {digest}: its edges are soft and its sky is clean</think><answer>0.50</answer>"
        body = server.say(text).body
        failures = [
            server.Said(b"slow down", 429, {"retry-after": "0.05"}),
            server.Said(b"<html>", 500),
            server.Said(body, pause_s=5.0),
            server.Said(body, cut=0),
            server.Said(body, cut=len(body) // 2),
            server.Said(body[:50]),
            server.say("x", choices=[]),
            server.say("x", model="another"),
            server.Said(b"x" * 1_000_000),
        ]
        return generator.choice(failures) if generator.random() < failing else server.Said(body, pause_s=pause_s)

    instance = server.ChatServer(behave)
    with instance:
        sender.send(instance.url)
        instance.thread.join()


def load_server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chat_server", SERVER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["chat_server"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
