"""Global batches: which samples each step asks about, on all processes together.

Rank rewards compare samples of one dataset and task, so a batch holds either none of a kind or enough of them. The
plan of a whole stage is made before it starts, from the seed alone: it does not depend on the number of processes,
and a resumed run finds its place in it.

Shape letter: B samples of a global batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from pondera.core.records import Sample
from pondera.errors import TrainingError

Kind = tuple[str, str]  # dataset and task: what one pool holds


def plan_batches(
    samples: Sequence[Sample],
    *,
    batch_size: int,
    num_batches: int,
    least: int = 1,
    shares: Mapping[str, float] | None = None,
    seed: int,
) -> list[tuple[int, ...]]:
    """Choose the samples of every global batch.

    Each kind of sample (dataset and task) collects credit by its share of the samples, spends it when it takes part,
    and takes part with at least `least` samples. So shares hold over the steps though not in each one, and a kind with
    a small share comes rarely rather than alone. No sample is twice in a batch; a kind's samples all come once before
    any comes again.

    Args:
        samples: what to choose from.
        batch_size: B.
        num_batches: how many.
        least: samples of a kind in any batch that holds it, >= 1.
        shares: relative share by dataset name; by default its number of samples.
        seed: of the order.

    Returns:
        Indices into `samples`, B of them a batch.

    Raises:
        TrainingError: a batch cannot be filled so; the message says by how much.
    """
    members: dict[Kind, list[int]] = {}
    for i, sample in enumerate(samples):
        members.setdefault((sample.dataset, sample.task), []).append(i)
    check_batches(members, batch_size=batch_size, least=least, shares=shares)
    share = _kind_shares(members, shares)
    members = {kind: indices for kind, indices in members.items() if share[kind] > 0}
    streams = {kind: _Stream(indices, seed, kind) for kind, indices in members.items()}
    credit = dict.fromkeys(members, 0.0)
    batches = []
    for _ in range(num_batches):
        for kind in members:
            credit[kind] += batch_size * share[kind]
        count = _counts(credit, {kind: len(indices) for kind, indices in members.items()}, batch_size, least)
        for kind, number in count.items():
            credit[kind] -= number
        batches.append(tuple(i for kind, number in count.items() for i in streams[kind].take(number)))
    return batches


def check_batches(
    members: Mapping[Kind, Sequence[int]], *, batch_size: int, least: int, shares: Mapping[str, float] | None
) -> None:
    """Refuse, before anything runs, batches that cannot be filled.

    Raises:
        TrainingError: names the dataset and the numbers.
    """
    if batch_size < least:
        raise TrainingError(
            f"samples_per_step is {batch_size}, but each global batch needs {least} samples of one dataset to compare; "
            f"set samples_per_step to {least} or more"
        )
    for dataset in shares or {}:
        if dataset not in {name for name, _ in members}:
            raise TrainingError(f"shares names dataset {dataset!r}, of which there is no training sample")
    used = {kind: len(m) for kind, m in members.items() if shares is None or shares.get(kind[0], 0) > 0}
    for (dataset, task), number in used.items():
        if number < least:
            raise TrainingError(
                f"dataset {dataset!r} has {number} training samples of task {task!r}, but a global batch compares at "
                f"least {least} of them; add samples, or leave the dataset out"
            )
    total = sum(used.values())
    if batch_size > total:
        raise TrainingError(f"samples_per_step is {batch_size} but there are {total} training samples")
    if (needed := len(_largest(used, batch_size))) * least > batch_size:
        raise TrainingError(
            f"samples_per_step is {batch_size}: to fill it takes {needed} kinds of samples, and {least} of each are "
            f"compared, which makes {needed * least}; lower samples_per_step"
        )


def own_share(batch: Sequence[int], *, rank: int, world_size: int) -> tuple[int, ...]:
    """The places of a batch that one process works on: every `world_size`-th.

    Raises:
        TrainingError: the batch cannot be divided evenly.
    """
    if len(batch) % world_size:
        raise TrainingError(
            f"samples_per_step is {len(batch)} over all processes, which {world_size} processes cannot share evenly; "
            f"try {-(-len(batch) // world_size) * world_size}"
        )
    return tuple(range(rank, len(batch), world_size))


def _kind_shares(members: Mapping[Kind, Sequence[int]], shares: Mapping[str, float] | None) -> dict[Kind, float]:
    """Shares that add up to 1; tasks of one dataset divide its share by their numbers of samples."""
    in_dataset: dict[str, int] = {}
    for (dataset, _), indices in members.items():
        in_dataset[dataset] = in_dataset.get(dataset, 0) + len(indices)
    weight = {
        kind: len(indices) / in_dataset[kind[0]] * shares.get(kind[0], 0.0) if shares else float(len(indices))
        for kind, indices in members.items()
    }
    total = sum(weight.values())
    return {kind: value / total for kind, value in weight.items()}


def _counts(credit: Mapping[Kind, float], size: Mapping[Kind, int], batch_size: int, least: int) -> dict[Kind, int]:
    """How many samples of each kind a batch takes: those with the most credit first."""
    present = _chosen(sorted(credit, key=lambda kind: (-credit[kind], kind)), credit, size, batch_size, least)
    if sum(size[kind] for kind in present) < batch_size:  # many small kinds and no room for a large one
        present = _largest(size, batch_size)
    count = dict.fromkeys(present, least)
    while sum(count.values()) < batch_size:
        open_kinds = [kind for kind in count if count[kind] < size[kind]]
        kind = max(open_kinds, key=lambda k: (credit[k] - count[k], k))
        count[kind] += 1
    return count


def _chosen(
    by_credit: Sequence[Kind], credit: Mapping[Kind, float], size: Mapping[Kind, int], batch_size: int, least: int
) -> list[Kind]:
    """Kinds that can pay for `least` samples, and as many more as it takes to fill the batch."""
    present: list[Kind] = []
    for kind in by_credit:
        is_filled = sum(size[k] for k in present) >= batch_size
        if (len(present) + 1) * least <= batch_size and (credit[kind] >= least or not is_filled):
            present.append(kind)
    return present


def _largest(size: Mapping[Kind, int], batch_size: int) -> list[Kind]:
    """The fewest kinds that fill a batch: if any choice can, these can."""
    present: list[Kind] = []
    for kind in sorted(size, key=lambda k: (-size[k], k)):
        if sum(size[k] for k in present) < batch_size:
            present.append(kind)
    return present


class _Stream:
    """Samples of one kind in a seeded order without end, one permutation after the other."""

    def __init__(self, indices: Sequence[int], seed: int, kind: Kind) -> None:
        self.indices = list(indices)
        self.generator = np.random.default_rng([seed, zlib.crc32("/".join(kind).encode())])
        self.queue: list[int] = []

    def take(self, number: int) -> list[int]:
        """The next ones, all different."""
        taken, self.queue = self.queue[:number], self.queue[number:]
        if len(taken) < number:
            fresh = [self.indices[i] for i in self.generator.permutation(len(self.indices))]
            # Those of the permutation before wait, or one sample would be twice in the batch.
            waiting = [i for i in fresh if i in taken]
            fresh = [i for i in fresh if i not in taken]
            more = number - len(taken)
            taken, self.queue = taken + fresh[:more], waiting + fresh[more:]
        return taken
