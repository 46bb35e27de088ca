"""Starts processes as torchrun does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def torchrun(*command: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a command in several processes on the CPU; one that does not end fails the test."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [*launch, *map(str, command)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        timeout=float(os.environ.get("PONDERA_TEST_TIMEOUT_S", "900")),
    )


def two_processes(out: Path, jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Run jobs of `tests.engine.joint` one after the other in two processes, each in a folder of its name.

    Returns:
        What both saw, by name of the job.
    """
    path = out / "jobs.json"
    path.write_text(json.dumps([{"out": str(out / name), **job} for name, job in jobs.items()]))
    done = torchrun("-m", "tests.engine.joint", path)
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: [json.loads((out / name / f"rank{r}.json").read_text()) for r in range(2)] for name in jobs}
