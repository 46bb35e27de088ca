"""Chat requests whose answers are recorded: nothing that stands in the log is asked again, in this run or another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pondera.errors import TeacherError
from pondera.generate.ahead import made_ahead
from pondera.generate.chat_reply import ChatReply, ChatRequest
from pondera.generate.chat_stream import Outcome
from pondera.generate.journal import JournalCounts, RequestJournal, journal_of, total_usage
from pondera.generate.record_files import appending, whole_lines


class Client(Protocol):
    """The part of `generate.chat.ChatClient` that is needed here."""

    model: str

    def complete_all(
        self, requests: Iterator[ChatRequest], on_reply: Callable[[ChatRequest, Outcome], None], /
    ) -> None:
        """Call `on_reply(request, outcome)` for every request."""
        ...


@dataclass(frozen=True)
class Answer:
    """One answer as it came, and what it cost: named numbers, empty in logs of versions that did not count."""

    text: str
    usage: Mapping[str, float]


@dataclass(frozen=True)
class Answers:
    """What was answered to the requests that were wanted.

    Args:
        found: answers by key, those of earlier runs included.
        failed: why there is none, by key.
        num_asked: requests of this run.
        usage: totals over the answers.
        counts: requests for them, of all runs.
    """

    found: Mapping[str, Answer]
    failed: Mapping[str, str]
    num_asked: int
    usage: Mapping[str, float]
    counts: JournalCounts


def ask_recorded(
    client: Client,
    keys: Iterable[str],
    make: Callable[[str], ChatRequest],
    log: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Answers from the log, and for the rest from the client; each is recorded before anything else happens to it.

    Args:
        client: whom to ask.
        keys: what is wanted: a hash of all that an answer depends on. Equal ones are asked once.
        make: the request for a key; called only for those that are asked, in a few threads.
        log: JSONL file of answers. Requests are noted in the journal beside it.
        on_progress: called with (requests dealt with, requests wanted).

    Raises:
        TeacherError: another run has the log, it is damaged, the service refuses everything, or a limit is reached.
            What was answered is recorded.
    """
    wanted = list(dict.fromkeys(keys))
    failed: dict[str, str] = {}
    with appending(log) as writer, closing(RequestJournal(journal_of(log))) as journal:
        known = read_answers(log)
        found = {key: known[key] for key in wanted if key in known}
        missing = [key for key in wanted if key not in found]

        def take(request: ChatRequest, outcome: Outcome) -> None:
            if isinstance(outcome, ChatReply):
                usage = {**outcome.usage, "seconds": round(outcome.seconds, 6)}
                writer.add({"key": request.key, "model": client.model, "text": outcome.text, "usage": usage})
                found[request.key] = Answer(outcome.text, usage)
            else:
                failed[request.key] = str(outcome)
            if on_progress is not None:
                on_progress(len(found) + len(failed), len(wanted))

        requests = made_ahead(lambda key: replace(make(key), key=key, notes=journal.of(key)), missing)
        client.complete_all(requests, take)
        counts = journal.count(set(wanted))
    return Answers(found, failed, len(missing), total_usage(answer.usage for answer in found.values()), counts)


def read_answers(log: Path) -> dict[str, Answer]:
    """Recorded answers by key; a missing file holds none, and a last line that a kill cut off is no answer.

    Raises:
        TeacherError: a complete line is no recorded answer.
    """
    answers: dict[str, Answer] = {}
    for number, line in whole_lines(log):
        try:
            record = json.loads(line)
            usage = {str(name): float(value) for name, value in record.get("usage", {}).items()}
            answers.setdefault(record["key"], Answer(record["text"], usage))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise TeacherError(f"{log}:{number}: no recorded answer; remove this line to ask again") from None
    return answers
