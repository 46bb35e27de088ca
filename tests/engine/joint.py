"""Runs recipes as one of the processes that torchrun starts, and writes down what this one saw.

    torchrun --nproc-per-node N -m tests.engine.joint JOBS.json

JOBS is a list of {recipe, out, overrides, stop_at, starve}. A run with `stop_at: STEP` is interrupted behind that step
of its first stage, and resumed; with `starve: true`, memory ends in the first pass of the second process's first
update. OUT/rankN.json is what process N saw of it, OUT/STAGE.npz the gradient of each first step; JOBS-leftN.json how
many models DDP still wrapped when the group was destroyed.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from torch import distributed as dist
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from pondera.config import load_recipe
from pondera.engine import reinforce, run, update
from pondera.engine.training import MetricsFile
from pondera.engine.validation import Validation
from pondera.models.distribution import joined, rank, reshard, world_size


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Run a recipe; what this process saw."""
    recipe, out = load_recipe(job["recipe"], job.get("overrides", [])), Path(job["out"])
    with watched(out, job.get("stop_at")) as seen, starved() if job.get("starve") else nullcontext():
        with suppress(KeyboardInterrupt):
            run.run_recipe(recipe, out)
        if seen["stopped"]:
            run.run_recipe(recipe, out, resume=True)
    return seen


@contextmanager
def watched(out: Path, stop_at: int | None) -> Iterator[dict[str, Any]]:
    """Watch what runs inside."""
    seen: dict[str, Any] = {
        "world_size": world_size(),
        "stopped": [],
        "begun": [],
        "steps": [],
        "stages": {},
        "validated": [],
    }
    grade, assess = reinforce.grade, Validation._assess

    def watched_grade(system: Any, own: Any, everyone: Any, **options: Any) -> Any:
        graded = grade(system, own, everyone, **options)
        seen["steps"].append(
            {
                "pool": [[record.sample.id, *record.texts] for record in everyone],
                "places": [record.place for record in own],
                "reward": graded.reward_GK.tolist(),
                "advantage": graded.advantage_GK.tolist(),
            }
        )
        return graded

    def watched_assess(self: Any, samples: Any) -> Any:
        seen["validated"].append([sample.id for sample in samples])
        return assess(self, samples)

    def on_step_begin(self: Any, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        if state.global_step == stop_at and not seen["stopped"]:
            seen["stopped"].append(state.global_step)
            raise KeyboardInterrupt
        seen["begun"].append(state.global_step)
        gc.collect()  # the models of earlier runs
        reshard(model)  # behind a validation, a part of it is still together
        weights = list(model.parameters())
        seen["stages"][self.stage] = {
            "parameters": len(weights),
            "sharded": sum(isinstance(weight, DTensor) for weight in weights),
            "wrapped": num_wrapped(),
        }

    def on_pre_optimizer_step(self: Any, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        if state.global_step == 0:
            whole = {n: _whole(p.grad) for n, p in model.named_parameters() if p.grad is not None}  # by all together
            if rank() == 0:
                np.savez(out / f"{self.stage}.npz", **whole)

    with (
        mock.patch.object(reinforce, "grade", watched_grade),
        mock.patch.object(Validation, "_assess", watched_assess),
        mock.patch.object(MetricsFile, "on_step_begin", on_step_begin, create=True),
        mock.patch.object(MetricsFile, "on_pre_optimizer_step", on_pre_optimizer_step, create=True),
    ):
        yield seen


@contextmanager
def starved() -> Iterator[None]:
    """Memory ends once, in the second process only, before its model has computed anything."""
    logps, failed = update.packed_logps, []

    def failing(*args: Any, **options: Any) -> Any:
        if rank() == 1 and not failed:
            failed.append(True)
            raise MemoryError
        return logps(*args, **options)

    with mock.patch.object(update, "packed_logps", failing):
        yield


def _whole(gradient: Any) -> np.ndarray:
    return (gradient.full_tensor() if isinstance(gradient, DTensor) else gradient).numpy()


def num_wrapped() -> int:
    """How many models DDP wraps in this process."""
    return sum(type(thing) is DistributedDataParallel for thing in gc.get_objects())


def main() -> None:
    path = Path(sys.argv[1])
    destroy = dist.destroy_process_group

    def watched_destroy(group: Any = None) -> None:
        if group is None:
            path.with_name(f"{path.stem}-left{rank()}.json").write_text(json.dumps(num_wrapped()))
        destroy(group)

    with mock.patch.object(dist, "destroy_process_group", watched_destroy), joined():
        me = rank()
        with mock.patch.object(run, "joined", nullcontext):  # one group for all runs
            for job in json.loads(path.read_text()):
                seen = run_job(job)
                (Path(job["out"]) / f"rank{me}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
