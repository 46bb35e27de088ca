"""Splitting a manifest by content: everything made from one content stays on one side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pondera.core.records import Sample


def split_manifest(samples: Sequence[Sample], fractions: Mapping[str, float], seed: int) -> list[Sample]:
    """Give every sample a split, by reference content and never by file. A split already set is replaced.

    Contents are shuffled; each split gets one, then each next content goes where most samples are missing. With
    contents of equal size the split sizes are those asked for, up to one content.

    Args:
        samples: any order; those with one `content` go to one split, across data sets too.
        fractions: share of the samples per split, each > 0, summing to 1.
        seed: >= 0; together with the contents (not their order) it decides the result.

    Returns:
        The samples in their order, with `split` set.

    Raises:
        ValueError: the fractions are not positive, do not sum to 1, or there are fewer contents than splits.
    """
    if not fractions or any(not share > 0 for share in fractions.values()):
        raise ValueError(f"fractions must be > 0 each, got {dict(fractions)}; leave a split without samples out")
    if not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-6):
        raise ValueError(f"fractions must sum to 1, got {sum(fractions.values()):g} from {dict(fractions)}")
    size_of = Counter(sample.content for sample in samples)
    if len(size_of) < len(fractions):
        raise ValueError(
            f"{len(size_of)} contents cannot fill {len(fractions)} splits ({', '.join(fractions)}); "
            "set 'reference' only where samples share their content, or ask for fewer splits"
        )
    contents = sorted(size_of)
    order = np.random.default_rng(seed).permutation(len(contents))
    split_of = _dealt([contents[i] for i in order], size_of, fractions)
    return [replace(sample, split=split_of[sample.content]) for sample in samples]


def _dealt(contents: Sequence[str], size_of: Mapping[str, int], fractions: Mapping[str, float]) -> dict[str, str]:
    total = sum(size_of.values())
    missing = {split: share * total for split, share in fractions.items()}
    empty = list(fractions)
    split_of = {}
    for content in contents:
        split = empty.pop(0) if empty else max(missing, key=lambda name: missing[name])
        split_of[content] = split
        missing[split] -= size_of[content]
    return split_of
