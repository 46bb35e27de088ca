"""Copies: thoughts that repeat the instructions, and thoughts that were kept before.

Near copies are found by the Jaccard similarity of their word triples. Among the few completions of one sample it is
computed outright; over all samples MinHash signatures in bands name the few earlier thoughts worth comparing with.
All hashes are fixed: the same completions in the same order give the same drops everywhere.

Source: MinHash, Broder 1997, "On the resemblance and containment of documents"; bands as in Leskovec, Rajaraman and
Ullman, "Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from pondera.teach.filters.base import Candidate, Check, Filter

_BANDS, _ROWS = 16, 4  # similar by 0.9: missed once in 3e7; by 0.3: compared in one of eight cases
_PRIME = (1 << 31) - 1  # products of two numbers below it fit into 64 bits

Triples = frozenset[int]
Bands = list[tuple[int, bytes]]


def copied_filter(longest: int = 7) -> Filter:
    """Drops thoughts that repeat the instructions: more than `longest` words in a row that stand in the prompt.

    The text of a generated image (`Sample.text`) may be quoted. Candidates without a prompt pass.

    Raises:
        ValueError: longest is below 1.
    """
    if longest < 1:
        raise ValueError(f"longest must be >= 1 (words), got {longest}")

    def check(candidate: Candidate) -> str | None:
        prompt = candidate.prompt.replace(candidate.sample.text or "\0", "\0")
        asked = set(_runs(_words(prompt), longest + 1))
        copy = next((run for run in _runs(_words(candidate.think), longest + 1) if run in asked), None)
        return None if copy is None else f"repeats the instructions: {' '.join(copy)!r}"

    return Filter("copied", "the thought repeats its instructions", lambda: check)


def duplicate_filter(similarity: float = 0.9, max_copies: int = 100) -> Filter:
    """Drops near copies among the completions of one sample, and thoughts that return too often over samples.

    Args:
        similarity: share of common word triples (Jaccard) from which two thoughts count as one, (0, 1].
        max_copies: how often one thought may stand for different samples, >= 1. Not too few: a teacher of few words
            rightly repeats itself on clean pictures.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0 < similarity <= 1 or max_copies < 1:
        raise ValueError(f"need 0 < similarity <= 1 and max_copies >= 1, got {similarity} and {max_copies}")

    def start() -> Check:
        everywhere = _Kept(similarity)
        of_sample: dict[str, list[Triples]] = defaultdict(list)

        def check(candidate: Candidate) -> str | None:
            triples = _triples(candidate.think)
            if not triples:  # an answer without a thought copies nothing
                return None
            others = of_sample[candidate.sample.id]
            if any(_jaccard(triples, other) >= similarity for other in others):
                return "nearly the same thought for the same sample"
            bands = _bands(triples)
            found = everywhere.nearest(triples, bands)
            if found is not None and everywhere.copies[found] >= max_copies:
                return f"nearly the same thought for {max_copies} samples before"
            everywhere.add(triples, bands, found)
            others.append(triples)
            return None

        return check

    return Filter("duplicate", "nearly the same thought was kept before", start, compares=True)


@dataclass
class _Kept:
    """Distinct thoughts, how often each was kept, and where their signatures' bands lead."""

    similarity: float
    thoughts: list[Triples] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)
    buckets: dict[tuple[int, bytes], list[int]] = field(default_factory=lambda: defaultdict(list))

    def nearest(self, triples: Triples, bands: Bands) -> int | None:
        """The most similar of those kept, the earliest of equals; None where none is similar enough."""
        near = sorted({index for key in bands for index in self.buckets.get(key, ())})
        alike = [(_jaccard(triples, self.thoughts[index]), -index) for index in near]
        best = max(alike, default=(0.0, 0))
        return -best[1] if best[0] >= self.similarity else None

    def add(self, triples: Triples, bands: Bands, found: int | None) -> None:
        """Keep a thought, or count it as a copy of the one that was found."""
        if found is not None:
            self.copies[found] += 1
            return
        for key in bands:
            self.buckets[key].append(len(self.thoughts))
        self.thoughts.append(triples)
        self.copies.append(1)


def _signature_factors() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1997)
    return rng.integers(1, _PRIME, (_BANDS * _ROWS, 1)), rng.integers(0, _PRIME, (_BANDS * _ROWS, 1))


_FACTOR, _SHIFT = _signature_factors()


def _bands(triples: Triples) -> Bands:
    hashes = np.array(sorted(triples), dtype=np.int64) % _PRIME
    signature = ((_FACTOR * hashes + _SHIFT) % _PRIME).min(axis=1).reshape(_BANDS, _ROWS)
    return [(band, rows.tobytes()) for band, rows in enumerate(signature)]


def _triples(text: str) -> Triples:
    words = _words(text)
    runs = list(_runs(words, 3)) or ([tuple(words)] if words else [])
    return frozenset(zlib.crc32(" ".join(run).encode()) for run in runs)


def _jaccard(one: Triples, other: Triples) -> float:
    return len(one & other) / len(one | other)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|\0", text.lower())


def _runs(words: list[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]
