"""Two processes with half of the samples each do what one does with all: side arrays, pools, losses, gradient."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


def _run(folder: Path, name: str, world: int) -> dict[str, np.ndarray]:
    out = folder / f"{name}-{world}.npz"
    program = [sys.executable, "-m", "tests.engine.second_views.one_step", name, str(folder), str(out)]
    if world > 1:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={world}"]
        program = [*launcher, *program[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert run.returncode == 0, run.stderr[-4000:]
    return dict(np.load(out))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["everything", "frames"])
def test_two_processes_do_what_one_does(name, tmp_path):
    one, two = (_run(tmp_path, name, world) for world in (1, 2))
    assert int(one["world"]) == 1 and int(two["world"]) == 2
    assert one.keys() == two.keys()
    for key in one.keys() - {"world", "gradient"}:
        np.testing.assert_allclose(two[key], one[key], rtol=1e-4, atol=1e-6, err_msg=key)
    error = np.linalg.norm(two["gradient"] - one["gradient"]) / np.linalg.norm(one["gradient"])
    assert error < 1e-5
