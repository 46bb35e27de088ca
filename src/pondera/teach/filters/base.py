"""What a filter is, and how completions pass through filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pondera.core.answers import Answer
from pondera.core.records import Sample


@dataclass(frozen=True)
class Candidate:
    """A recorded completion on its way to become a rationale.

    Args:
        sample: what it is about.
        k: which completion.
        completion: the text.
        answer: the parsed text.
        prompt: what the teacher was asked, as sent; "" where it was asked nothing in words.
    """

    sample: Sample
    k: int
    completion: str
    answer: Answer
    prompt: str = ""

    @property
    def think(self) -> str:
        """The thought, "" without one."""
        return self.answer.think or ""


Check = Callable[[Candidate], str | None]


@dataclass(frozen=True)
class Filter:
    """One reason to drop completions.

    Args:
        name: key in the counts.
        reason: why, for people.
        start: makes a fresh check; filters that compare completions keep what they have seen in it.
        compares: whether it does compare them, so that its verdict depends on what came before.
    """

    name: str
    reason: str
    start: Callable[[], Check]
    compares: bool = False


def remembering(item: Filter) -> Filter:
    """The same filter, which looks at each completion of a sample once; one that compares is returned as it is.

    So filtering can be done while responses are still coming in, and a last pass in order costs nothing.
    """
    if item.compares:
        return item
    look, seen = item.start(), dict[tuple[str, int], str | None]()

    def check(candidate: Candidate) -> str | None:
        pair = (candidate.sample.id, candidate.k)
        if pair not in seen:
            seen[pair] = look(candidate)
        return seen[pair]

    return replace(item, start=lambda: check)


def run_filters(
    candidates: Sequence[Candidate], filters: Sequence[Filter]
) -> tuple[list[Candidate], list[tuple[Candidate, str, str]]]:
    """Pass candidates through filters, in order.

    Returns:
        The candidates that pass, and for each dropped one (candidate, name of the filter, what was wrong).

    Raises:
        ValueError: two filters share a name.
    """
    if len({item.name for item in filters}) != len(filters):
        raise ValueError(f"filters must have different names, got {[item.name for item in filters]}")
    checks = [(item.name, item.start()) for item in filters]
    kept, dropped = [], []
    for candidate in candidates:
        found = ((name, wrong) for name, check in checks if (wrong := check(candidate)) is not None)
        name, wrong = next(found, ("", ""))
        if name:
            dropped.append((candidate, name, wrong))
        else:
            kept.append(candidate)
    return kept, dropped
