"""Parts of a run for several processes and machines: who scores what, and whether all are done.

Whole batches are dealt out, so that an image stands in the same batch however many processes there are: scores then
agree to the last bit, and several processes give the same table as one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from pondera.core.records import Sample
from pondera.errors import ConfigError, DatasetError

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Shard:
    """One part of a run.

    Args:
        index: 1 to count.
        count: how many parts there are.

    Raises:
        ConfigError: index is outside 1 to count.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ConfigError(f"a shard is 1/N to N/N, got {self.index}/{self.count}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "2/8".

        Raises:
            ConfigError: it is not of this form.
        """
        index, slash, count = text.partition("/")
        if not (slash and index.strip().isdecimal() and count.strip().isdecimal()):
            raise ConfigError(f"a shard is written I/N, such as 2/8 for the second of eight, got {text!r}")
        return cls(int(index), int(count))

    @classmethod
    def of_this_process(cls) -> Shard:
        """From RANK and WORLD_SIZE as torchrun and accelerate set them; the whole where they are not set."""
        return cls(int(os.environ.get("RANK", "0")) + 1, int(os.environ.get("WORLD_SIZE", "1")))

    def batches(self, items: Sequence[T], size: int) -> list[Sequence[T]]:
        """Every count-th batch of the items, from the index-th on."""
        starts = range((self.index - 1) * size, len(items), self.count * size)
        return [items[first : first + size] for first in starts]


def samples_digest(samples: Sequence[Sample]) -> str:
    """A hash of which samples these are, in order, with their labels: shards of one run agree in it."""
    lines = [(s.dataset, s.id, s.mos, s.split, s.subset, s.reference) for s in samples]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def write_receipt(folder: Path, shard: Shard, facts: Mapping[str, Any]) -> None:
    """Note that a shard is done, and of what: system, questions with their fingerprints, samples."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{shard.index}-of-{shard.count}.json"
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def read_receipts(folder: Path, samples: str, *, count: int | None = None) -> dict[str, Any]:
    """The facts that all shards agree on.

    Args:
        folder: where they were written.
        samples: `samples_digest` of the samples to be merged.
        count: how many shards there are; what the folder says where it is not given.

    Raises:
        DatasetError: a shard is missing, or they are not parts of one run; the message names the shard.
    """
    paths = sorted(folder.glob(f"*-of-{count or '*'}.json"), key=_shard_of)
    if not paths:
        raise DatasetError(f"{folder}: no finished shard. Run the same command with --shard 1/N to N/N first")
    count = _one_count(folder, paths)
    missing = sorted(set(range(1, count + 1)) - {_shard_of(path).index for path in paths})
    if missing:
        raise DatasetError(
            f"{folder}: shard {missing[0]}/{count} is not finished; run it with --shard {missing[0]}/{count}"
        )
    facts = [_receipt(path) for path in paths]
    for path, other in zip(paths, facts, strict=True):
        for key in ("asked", "samples"):
            if key not in other:
                raise DatasetError(f"{path}: written by another version of Pondera; run this shard again")
            if other[key] != facts[0][key]:
                raise DatasetError(
                    f"{path}: {key} differs from that of {paths[0].name}; run both with the same command"
                )
    if facts[0]["samples"] != samples:
        raise DatasetError(
            f"{folder}: the shards scored other samples; merge with the manifests and the split they had"
        )
    merged: dict[str, Any] = facts[0]
    return merged


def _shard_of(path: Path) -> Shard:
    """The shard that a receipt is of, by its name."""
    match = re.fullmatch(r"(\d+)-of-(\d+)\.json", path.name)
    try:
        if match is None:
            raise ConfigError("it is not called I-of-N.json")
        return Shard(int(match[1]), int(match[2]))
    except ConfigError as error:
        raise DatasetError(f"{path}: not the receipt of a shard ({error}). Delete it, and merge again") from None


def _receipt(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError(f"it holds a {type(facts).__name__}")
    except ValueError as error:
        raise DatasetError(
            f"{path}: damaged ({error}). Delete it and run the command with --shard {_shard_of(path)} again, which "
            "scores nothing twice"
        ) from None
    return facts


def _one_count(folder: Path, paths: Sequence[Path]) -> int:
    """Of how many parts the receipts are; they have to agree."""
    names_of: dict[int, list[str]] = {}
    for path in paths:
        names_of.setdefault(_shard_of(path).count, []).append(path.name)
    if len(names_of) > 1:
        runs = "; ".join(
            f"in {count} part{'s' if count > 1 else ''}: {', '.join(names)}"
            for count, names in sorted(names_of.items())
        )
        raise DatasetError(
            f"{folder}: receipts of runs that were cut differently ({runs}). Delete those of the run that is not to be "
            "merged, which loses no score, and merge again"
        )
    return next(iter(names_of))


def wait_for_all(shard: Shard) -> None:
    """Return when every process that torchrun started has come here; at once where there is one only."""
    if shard.count == 1 or "WORLD_SIZE" not in os.environ:
        return
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=timedelta(days=7))  # the slowest shard may take days
    dist.barrier()
