"""The journal of requests: what went out, how often, and what was paid for replies that were no use.

A line a note: `KEY` when a request goes out for the first time, `KEY again` when the same run tries it once more,
`KEY unusable {...}` for the tokens and the cost of a reply that could not be accepted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JournalCounts:
    """What a journal says about some keys.

    Args:
        requests: how many went out, those of all runs.
        repeated: those of them that repeated one of an earlier run that brought nothing.
        retries: further tries of requests, within a run.
        unusable: number of `replies` that were paid for and not accepted, and what they used; empty without any.
    """

    requests: int = 0
    repeated: int = 0
    retries: int = 0
    unusable: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The numbers of requests, as plain types."""
        return {"requests": self.requests, "repeated": self.repeated, "retries": self.retries}


class RequestJournal:
    """Keys of requests in the order in which they went out: what kills and failures wasted can be counted.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def of(self, key: str) -> KeyNotes:
        """Where a client notes what becomes of this request."""
        return KeyNotes(self, key)

    def note(self, line: str) -> None:
        """Add a line; it is with the operating system when this returns."""
        if self._file is None:  # kept open: opening it costs more than the line
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(self._path, "ab")
        self._file.write(f"{line}\n".encode("ascii"))

    def close(self) -> None:
        """Close the file; a later note opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def count(self, keys: Collection[str]) -> JournalCounts:
        """What stands in the journal about these keys."""
        if not self._path.exists():
            return JournalCounts()
        sent: Counter[str] = Counter()
        retries, unusable = 0, []
        with self._path.open(encoding="ascii", errors="replace") as file:
            for line in file:
                key, _, note = line.rstrip("\n").partition(" ")
                if key not in keys:
                    continue
                if not note:
                    sent[key] += 1
                elif note == "again":
                    retries += 1
                elif note.startswith("unusable ") and (usage := _usage(note.removeprefix("unusable "))):
                    unusable.append({"replies": 1, **usage})
        return JournalCounts(sent.total(), sent.total() - len(sent), retries, total_usage(unusable))


def _usage(text: str) -> dict[str, float]:
    """The numbers of a note; {} for one that a full disk or a kill cut off, which must not hide all others."""
    try:
        return {str(name): float(value) for name, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


class KeyNotes:
    """The notes on one request; see `generate.chat_reply.RequestNotes`."""

    def __init__(self, journal: RequestJournal, key: str) -> None:
        self._journal, self._key = journal, key

    def sent(self, number: int) -> None:
        """A try goes out."""
        self._journal.note(self._key if number == 1 else f"{self._key} again")

    def unusable(self, usage: Mapping[str, float]) -> None:
        """A reply was paid for and not accepted."""
        self._journal.note(f"{self._key} unusable {json.dumps(dict(usage))}")


def journal_of(log: Path) -> Path:
    """Where the requests behind a log are noted; logs in one folder share a journal."""
    return log.with_name("requests.log")


def total_usage(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """What several replies used together, by name."""
    totals: Counter[str] = Counter()
    for usage in parts:
        totals.update(usage)  # type: ignore[arg-type]  # sums floats as well as counts
    return {name: round(float(total), 6) for name, total in sorted(totals.items())}
