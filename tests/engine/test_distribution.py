"""Two processes of torchrun do what one does: same pools, rewards and advantages, same updated weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.engine.small import small_manifest, weights

ROOT = Path(__file__).parents[2]
RECIPE = """
name: joint
model: {{init: nano}}
data: {{manifest: {manifest}, validation_split: null}}
prompts: {{max_new_tokens: 60}}
stages:
  - kind: reinforce
    system: pondera
    steps: 2
    samples_per_step: 4
    group_size: 4
    normalise: dapo  # its weights ask for the tokens of both processes
    kl_weight: 0.05
    token_budget: 700
    optimiser: {{learning_rate: 0.0001, schedule: constant}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    path = folder / "joint.yaml"
    path.write_text(RECIPE.format(manifest=small_manifest(folder)))
    return path


def _run(recipe, out, processes, *overrides):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*launch, "-m", "tests.engine.joint", str(recipe), str(out), *overrides]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=540)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((out / f"rank{r}.json").read_text()) for r in range(processes)]


def _by_place(ranks, step, name):
    found = {}
    for seen in ranks:
        found |= dict(zip(seen["steps"][step]["places"], seen["steps"][step][name], strict=True))
    return np.array([found[place] for place in sorted(found)])


# AdamW divides a gradient by its own size, so rounding of gradients near zero shows at the scale of the learning rate:
# steps of 1e-4 a weight, and 1e-5 is the bound.
@pytest.mark.slow
def test_two_processes_do_what_one_does(recipe, tmp_path):
    (one,) = _run(recipe, tmp_path / "one", 1)
    assert one["world_size"] == 1 and one["sharded"] == 0
    assert np.ptp([step["reward"] for step in one["steps"]]) > 0  # there is something to learn
    start = weights(tmp_path / "one" / "final")
    for name, more in {"ddp": [], "fsdp2": ["model.sharded=true"]}.items():
        ranks = _run(recipe, tmp_path / name, 2, *more)
        assert [seen["world_size"] for seen in ranks] == [2, 2]
        assert {seen["sharded"] for seen in ranks} == ({ranks[0]["parameters"]} if more else {0})
        for step, alone in enumerate(one["steps"]):
            for seen in ranks:
                assert seen["steps"][step]["pool"] == alone["pool"]
            for value in ("reward", "advantage"):
                np.testing.assert_allclose(_by_place(ranks, step, value), alone[value], rtol=0, atol=1e-12)
        found = weights(tmp_path / name / "final")
        assert found.keys() >= start.keys()  # a sharded model also writes the head that is tied to the embedding
        worst = max(float(np.abs(found[k].astype(float) - start[k].astype(float)).max()) for k in start)
        assert worst < 1e-5, f"{name}: weights differ by {worst}"
