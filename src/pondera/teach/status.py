"""How far a distillation is: what a run says about itself while it goes on, and what its files say about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pondera.errors import PonderaError, TeacherError
from pondera.generate.journal import RequestJournal, journal_of, total_usage
from pondera.generate.record_files import is_being_written
from pondera.generate.recorded import read_answers
from pondera.teach.log import read_log

_KILLED = "it was killed, or its machine stopped; the same command goes on"


@dataclass(frozen=True)
class Places:
    """The files of a distillation."""

    manifest: Path
    log: Path
    state: Path

    @classmethod
    def of(cls, out: str | Path) -> Places:
        """Those of what is given as `out` to `distill`."""
        out = Path(out)
        if out.suffix == ".jsonl":
            work = out.with_name(out.name.removesuffix(".jsonl") + ".distill")
            return cls(out, work / "responses.jsonl", work / "state.json")
        return cls(out / "rationales.jsonl", out / "responses.jsonl", out / "state.json")

    @property
    def opinions(self) -> Path:
        """The log of second opinions."""
        return self.log.with_name("opinions.jsonl")

    @property
    def report(self) -> Path:
        """What was dropped, for people."""
        return self.log.with_name("filters.md")


class RunState:
    """`state.json` of a run: asking, then done, or stopped and why. A context manager; a kill leaves it at asking.

    Args:
        path: the file.
        begun: what the run set out to do.
    """

    def __init__(self, path: Path, begun: Mapping[str, Any]) -> None:
        self._path = path
        self._content = {"state": "asking", **begun}

    def __enter__(self) -> RunState:
        self._save()
        return self

    def add(self, **more: Any) -> None:
        """Say more."""
        self._content |= more
        self._save()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.add(state="stopped", reason=_words(error))

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(self._path.name + ".partial")
        partial.write_text(json.dumps(self._content, indent=1, ensure_ascii=False), encoding="utf-8")
        partial.replace(self._path)


def status(out: str | Path) -> dict[str, Any]:
    """How far a distillation is.

    Args:
        out: as given to `distill`.

    Returns:
        `state`: running, done, stopped (`reason` says why) or interrupted by a kill; where nobody can know whether a
        run still goes on (Windows), asking. `wanted` and `recorded` responses; `requests` sent for them, how many of
        these were `repeated` because a kill or a failure lost the first, and `retries` within a run; `usage` of the
        responses, `opinions` and `opinion_usage`, which say the same of second opinions, `unusable` replies of both
        that were paid for and not accepted, and the `cost` of all, where prices were given. When done, all of
        `Distillation` as well. Teachers that cost nothing send no requests.

    Raises:
        TeacherError: there is none.
    """
    places = Places.of(out)
    if not places.state.is_file():
        raise TeacherError(
            f"{out}: no distillation was started there; start one with: pondera distill MANIFEST --out ..."
        )
    state = json.loads(places.state.read_text(encoding="utf-8"))
    journal = RequestJournal(journal_of(places.log))
    log = read_log(places.log)
    wanted = set(state["wanted"])
    recorded = [log[key] for key in state["wanted"] if key in log]
    of_teacher = journal.count(wanted)
    found = {
        **state,
        **_how_it_goes(state, places),
        "wanted": len(wanted),
        "recorded": len(recorded),
        **of_teacher.to_dict(),
        "usage": total_usage(response.usage for response in recorded),
        "opinions": state.get("opinions", {}),
        "opinion_usage": {},
    }
    unusable = [of_teacher.unusable]
    if opinions_wanted := set(state.get("opinions_wanted", [])):
        answers = [answer for key, answer in read_answers(places.opinions).items() if key in opinions_wanted]
        of_opinions = journal.count(opinions_wanted)
        counts = {"wanted": len(opinions_wanted), "recorded": len(answers), **of_opinions.to_dict()}
        found["opinions"] = {**counts, **found["opinions"]}
        found["opinion_usage"] = total_usage(answer.usage for answer in answers)
        unusable.append(of_opinions.unusable)
    found["unusable"] = total_usage(unusable)
    costs = [found[part]["cost"] for part in ("usage", "opinion_usage", "unusable") if "cost" in found[part]]
    return {**found, **({"cost": round(sum(costs), 6)} if costs else {})}


def _how_it_goes(state: Mapping[str, Any], places: Places) -> dict[str, str]:
    is_running = is_being_written(places.log)
    if is_running:
        return {"state": "running"}
    if state["state"] == "asking" and is_running is not None:
        return {"state": "interrupted", "reason": _KILLED}
    return {}


def _words(error: BaseException) -> str:
    """Why a run stopped. Words of errors that are not ours may hold anything, so they are not kept."""
    if isinstance(error, KeyboardInterrupt):
        return "Ctrl-C"
    return str(error) if isinstance(error, PonderaError) else type(error).__name__
