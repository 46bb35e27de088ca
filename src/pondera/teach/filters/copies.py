"""Copies: thoughts that repeat the instructions or talk about them, and thoughts that were kept before.

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
from functools import lru_cache

import numpy as np

from pondera.teach.filters.base import Candidate, Check, Filter
from pondera.teach.filters.text import Phrases

_BANDS, _ROWS = 16, 4  # similar by 0.9: missed once in 3e7; by 0.3: compared in one of eight cases
_PRIME = (1 << 31) - 1  # products of two numbers below it fit into 64 bits

_ECHO = 0.5  # share of a thought's word triples that may stand in the prompt: aspects' names recur in honest ones
_ECHO_WORDS = 12  # from which such a share says something
# Words about the task and the form of the answer: nobody who describes a picture needs them.
_TASK_TALK = Phrases(
    (
        r"\b(?:the\s+)?user\s+(?:is\s+asking|asks?|asked|wants?|wanted|requests?|requested|needs?|would\s+like|expects?"
        r"|provided|uploaded|has\s+(?:asked|provided|given|uploaded))\b",
        r"\bi(?:'m|\s+am|\s+was|\s+have\s+been|'ve\s+been)\s+(?:asked|instructed|supposed|required|requested|tasked"
        r"|expected)\b",
        r"\b(?:(?:my|our)\s+(?:task|assignment|job)|the\s+task)\s+(?:here\s+)?(?:is|says|asks|requires|wants)\b",
        r"\b(?:the\s+)?(?:instructions?|prompt|guidelines|system\s+message)\s+(?:says?|asks?\s+(?:me|us|to)|requires?"
        r"|tells?|states?|wants?|demands?|specif(?:y|ies)|given)\b",
        r"\b(?:according\s+to|following|as\s+per|per)\s+(?:the|my|your)\s+(?:instructions?|prompt|guidelines|format"
        r"|task)\b",
        r"\b(?:think|answer|reasoning)\s+(?:tags?|blocks?|section)\b",
        r"\b(?:inside|within|in)\s+(?:the\s+)?(?:think|answer|tags)\b(?!\s+of)",
        r"\b(?:required|requested|specified|asked|output|answer|response)\s+format\b",
        r"\bi\s+(?:need|have|must|should|will\s+now|'ll\s+now|'ll)\s+(?:to\s+)?(?:now\s+)?(?:output|put\s+(?:it|the|my)"
        r"|write\s+(?:it|the|my|down)|close\s+with|end\s+with|respond|return|(?:give|provide|produce"
        r"|start\s+with)\s+(?:a|an"
        r"|one|the|my)\s+(?:\w+\s+)?(?:number|score|answer|rating|sentence|response))\b",
        r"\b(?:two\s+decimals|decimal\s+places?)\b",
    )
)

Triples = frozenset[int]
Bands = list[tuple[int, bytes]]


def copied_filter(longest: int = 7) -> Filter:
    """Drops thoughts that repeat the instructions or talk about them instead of the picture.

    That is: more than `longest` words in a row that stand in the prompt, more than half of all word triples, or words
    about the task and the form of the answer. The text of a generated image (`Sample.text`) may be quoted. Candidates
    without a prompt are only held against the last.

    Raises:
        ValueError: longest is below 1.
    """
    if longest < 1:
        raise ValueError(f"longest must be >= 1 (words), got {longest}")

    def check(candidate: Candidate) -> str | None:
        text = candidate.sample.text or "\0"
        asked, said = candidate.prompt.replace(text, "\0"), _words(candidate.think.replace(text, "\0"))
        runs = _runs_of_prompt(asked, longest + 1)
        copy = next((run for run in _runs(said, longest + 1) if run in runs), None)
        if copy is not None:
            return f"repeats the instructions: {' '.join(copy)!r}"
        triples = list(_runs(said, 3))
        echoed = len(_runs_of_prompt(asked, 3).intersection(triples))
        if len(said) >= _ECHO_WORDS and echoed > _ECHO * len(triples):
            return f"repeats the instructions in {echoed} of {len(triples)} word triples"
        talk = _TASK_TALK.find(candidate.think.lower())
        return None if talk is None else f"talks about the task: {talk!r}"

    return Filter("copied", "the thought repeats its instructions or talks about them", lambda: check)


def duplicate_filter(similarity: float = 0.9, max_copies: int = 100, own_similarity: float = 0.8) -> Filter:
    """Drops near copies among the completions of one sample, and thoughts that return too often over samples.

    Args:
        similarity: share of common word triples (Jaccard) from which thoughts on two samples count as one, (0, 1].
        own_similarity: the same for thoughts on one sample; lower, because a second one should say something else. One
            word of thirty that differs leaves 0.82.
        max_copies: how often one thought may stand for different samples, >= 1. Not too few: a teacher of few words
            rightly repeats itself on clean pictures.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0 < similarity <= 1 or not 0 < own_similarity <= 1 or max_copies < 1:
        raise ValueError(
            "need 0 < similarity <= 1, 0 < own_similarity <= 1 and max_copies >= 1, got "
            f"{similarity}, {own_similarity} and {max_copies}"
        )

    def start() -> Check:
        everywhere = _Kept(similarity)
        of_sample: dict[str, list[Triples]] = defaultdict(list)

        def check(candidate: Candidate) -> str | None:
            triples = _triples(candidate.think)
            if not triples:  # an answer without a thought copies nothing
                return None
            others = of_sample[candidate.sample.id]
            if any(_jaccard(triples, other) >= own_similarity for other in others):
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


@lru_cache(maxsize=64)  # a prompt has a few wordings, asked for thousands of samples
def _runs_of_prompt(prompt: str, length: int) -> frozenset[tuple[str, ...]]:
    return frozenset(_runs(_words(prompt), length))
