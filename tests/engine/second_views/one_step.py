"""One training step, on one process or on its share of several; rank 0 writes side arrays and the averaged gradient.

python -m tests.engine.second_views.one_step everything|frames FOLDER OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from accelerate import PartialState
from torch.nn.parallel import DistributedDataParallel

from pondera.models.distribution import joined
from tests.engine.second_views.plain import gradient, samples_in, trainer_on

SYSTEMS = {
    "everything": ("q-ponder-text", [{"kind": "degraded", "weight": 1.0}, {"kind": "caption", "weight": 1.0}]),
    "frames": ("vqathinker", []),
}


def main(name: str, folder: Path, out: Path) -> None:
    with joined():
        _step(name, folder, out)


def _step(name: str, folder: Path, out: Path) -> None:
    state = PartialState(cpu=True)
    rank, world = state.process_index, state.num_processes
    own = folder / f"{name}-{world}-{rank}"
    own.mkdir()
    samples = samples_in(own, num_frames=3 if name == "frames" else 0)
    system, views = SYSTEMS[name]
    mine = samples[rank::world]
    trainer = trainer_on(samples, own, system=system, second_views=views, opposed_views=True)
    trainer.backend.first = rank
    model = trainer.family.model
    wrapped = DistributedDataParallel(model) if world > 1 else model
    found = {}
    look = trainer._side_arrays

    def remember(rollouts):
        found.update(look(rollouts))
        return found

    trainer._side_arrays = remember
    trainer.training_step(wrapped, {"samples": mine, "places": range(rank, len(samples), world)})
    arrays = {key: _all(value, world) for key, value in found.items()}
    if rank == 0:
        np.savez(out, world=world, gradient=gradient(trainer.family).numpy(), **arrays)


def _all(value: np.ndarray, world: int) -> np.ndarray:
    """The rows of all processes, in the order of the samples."""
    if world == 1:
        return value
    parts = [torch.zeros(value.shape, dtype=torch.float64) for _ in range(world)]
    dist.all_gather(parts, torch.from_numpy(value).double())
    return np.concatenate([part.numpy() for part in parts])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
