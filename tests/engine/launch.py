"""Starts processes as torchrun does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
