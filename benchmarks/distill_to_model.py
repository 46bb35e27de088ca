"""From images to a trained model, through a service: distil, be killed, resume, verify, cold start.

    python benchmarks/distill_to_model.py --out work                       500 images, pondera serve --model nano
    python benchmarks/distill_to_model.py --out work --base-url URL --model NAME

Images are made from the bundled training and validation photographs (`pondera data synthesize` would make the same);
`pondera serve` answers their questions on loopback; `pondera distill` is killed with SIGKILL when half of the answers
are recorded, and started again; `pondera train` then cold-starts a model on what passed the filters
(benchmarks/distill_to_model.yaml: a fresh decoder behind nano's vision tower), scores the held-out images in between
and keeps the best. Every step is the command a user would give. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pondera.data.manifest import read_manifest, write_manifest
from pondera.data.photographs import PHOTOGRAPH_SPLITS
from pondera.data.synthesize import bundled_references, synthesize

PONDERA = (sys.executable, "-m", "pondera.cli")
RECIPE = Path(__file__).with_suffix(".yaml")
HELD_OUT_SHARE = 0.16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=500, help="to be explained; more are held out")
    parser.add_argument("--base-url", help="a running service; default: one is started with --model")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--epochs", type=int, help="default: those of the recipe")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="further changes of the recipe")
    args = parser.parse_args()
    manifest = make_data(args.out, args.images)
    found: dict[str, Any] = {"images": len(read_manifest(manifest, split="train"))}
    with ExitStack() as stack:
        url = args.base_url or stack.enter_context(served(args.model))
        found |= distil_with_a_kill(args, url, manifest)
    found |= train(args, manifest)
    (args.out / "distill_to_model.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


def make_data(out: Path, num_images: int) -> Path:
    """At least so many training images; contents of the validation split are held out."""
    references, splits = bundled_references()
    references = [r for r in references if PHOTOGRAPH_SPLITS[r.content] != "test"]
    num_train = sum(splits[r.content] == "train" for r in references)
    each = math.ceil(num_images / num_train)
    counts = {"train": each, "val": max(4, round(HELD_OUT_SHARE * each * num_train / 3))}
    return synthesize(
        out / "data", references=references, num_per_reference=counts, splits=splits, seed=5, num_workers=1
    )


@contextmanager
def served(model: str) -> Iterator[str]:
    """`pondera serve` on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([*PONDERA, "serve", "--model", model, "--port", str(port)], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.monotonic() + 300
        while not answers(f"{url}/models"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("pondera serve did not start")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def distil_with_a_kill(args: argparse.Namespace, url: str, manifest: Path) -> dict[str, Any]:
    """Half of it, SIGKILL, the rest; counts of all."""
    taught = args.out / "taught.jsonl"
    log = args.out / "taught.distill" / "responses.jsonl"
    command = [*PONDERA, "distill", str(manifest), "--split", "train", "--out", str(taught), "--teacher", "openai"]
    command += ["--base-url", url, "--teacher-model", args.model, "--prompt", "short.unit", "--max-tokens", "96"]
    command += ["--concurrency", str(args.concurrency), "--temperature", "0.7", "--api-key-env", ""]
    num_before = recorded(log)
    wanted = len(read_manifest(manifest, split="train"))
    killed = False
    start = time.monotonic()
    if num_before < wanted // 2:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and recorded(log) < wanted // 2:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        killed = process.wait() == -signal.SIGKILL
    num_at_kill = recorded(log)
    ended = subprocess.run([*command, "--format", "json"], check=True, capture_output=True, text=True)
    done = json.loads(ended.stdout)
    status = subprocess.run(
        [*PONDERA, "distill", "--out", str(taught), "--status", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
    )
    counted = json.loads(status.stdout)
    return {
        "killed": killed,
        "recorded_at_kill": num_at_kill,
        "asked_after_the_kill": done["num_new"],
        "asked_twice": num_at_kill + done["num_new"] - wanted,
        "requests": counted["requests"],
        "repeated_requests": counted["repeated"],
        "kept": done["num_kept"],
        "dropped": {name: count for name, count in done["dropped"].items() if count},
        "distill_s": round(time.monotonic() - start, 1),
    }


def recorded(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def train(args: argparse.Namespace, manifest: Path) -> dict[str, Any]:
    """Cold start on the rationales, scored on the held-out contents."""
    rationales = args.out / "rationales.jsonl"
    write_manifest(rationales, [*read_manifest(args.out / "taught.jsonl"), *read_manifest(manifest, split="val")])
    changes = [f"data.manifest={rationales}", *args.set]
    if args.epochs is not None:
        changes.append(f"stages.cold_start.epochs={args.epochs}")
    command = [*PONDERA, "train", str(RECIPE), "--out", str(args.out / "run"), "--resume"]
    start = time.monotonic()
    subprocess.run(
        [*command, *(word for change in changes for word in ("--set", change))],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    lines = [json.loads(line) for line in (args.out / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    curve = [line for line in lines if "val_valid" in line]
    return {
        "train_s": round(time.monotonic() - start, 1),
        "steps": [line["step"] for line in curve],
        "validation_srcc": [round(line["val_srcc"], 4) if "val_srcc" in line else None for line in curve],
        "validation_valid": [round(line["val_valid"], 4) for line in curve],
        "model": str(args.out / "run" / "final"),
    }


if __name__ == "__main__":
    main()
