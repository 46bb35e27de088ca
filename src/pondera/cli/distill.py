"""`pondera distill`: rationales for a cold start, from a teacher."""

from __future__ import annotations

import json
import shlex
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pondera.cli.options import Plain, PlainOption, aligned, progress

if TYPE_CHECKING:
    from pondera.core.answers import AnswerFormat
    from pondera.core.records import LabelScale, Sample
    from pondera.teach import Distillation, Teacher
    from pondera.teach.filters import Filter


class TeacherKind(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """Who is asked."""

    measuring = "measuring"
    command = "command"


def distill(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL, one sample a line.")],
    out: Annotated[Path, typer.Option(help="Manifest to write (.jsonl), or a folder; responses are logged beside it.")],
    teacher: Annotated[
        TeacherKind, typer.Option(help="measuring: offline, from pixel statistics; command: any program.")
    ] = TeacherKind.measuring,
    command: Annotated[
        str | None,
        typer.Option(help="The program, teacher command only: a JSON request per line in, a JSON answer per line out."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What the program is asked, command only.", show_default="quality.expert")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only samples of this split.", show_default="all")] = None,
    num: Annotated[int, typer.Option(min=1, help="Completions per sample; the best verified one is kept.")] = 1,
    tolerance: Annotated[
        float | None, typer.Option(help="Drop answers farther than this from the label.", show_default="no limit")
    ] = None,
    replace_score: Annotated[
        bool, typer.Option("--replace-score", help="Put the label in place of the teacher's score.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the teacher.")] = 0,
    form: PlainOption = Plain.table,
) -> None:
    """Ask a teacher to explain images, verify what it says, and write a manifest with rationales.

    Every response is logged first: an interrupted run goes on where it was, and other filters ask for nothing again.
    """
    if tolerance is not None and not tolerance > 0:
        raise typer.BadParameter(f"must be > 0 (units of the scale), got {tolerance:g}", param_hint="--tolerance")

    from pondera.teach import distill as run

    chosen = _samples(manifest, split)
    who, answer_format = _teacher(teacher, command, prompt)
    done = run(
        chosen,
        who,
        out,
        num=num,
        filters=_filters(answer_format, tolerance),
        seed=seed,
        replace_score=replace_score,
        answer_format=answer_format,
        on_progress=progress("responses"),
    )
    typer.echo(json.dumps(done.to_dict(), indent=2, ensure_ascii=False) if form is Plain.json else _text(done))
    if not done.num_kept:
        typer.echo("no completion passed the filters: see the counts above", err=True)
        raise typer.Exit(1)


def _samples(manifest: Path, split: str | None) -> list[Sample]:
    from pondera.data.manifest import read_manifest

    chosen = read_manifest(manifest, split=split)
    if not chosen:
        where = f"has split {split!r}" if split else "is there"
        raise typer.BadParameter(f"no sample {where} in {manifest}", param_hint="--split" if split else "MANIFEST")
    return chosen


def _teacher(kind: TeacherKind, command: str | None, prompt: str | None) -> tuple[Teacher, AnswerFormat]:
    from pondera.core.answers import AnswerFormat
    from pondera.teach import CommandTeacher, MeasuringTeacher

    if kind is TeacherKind.measuring:
        given = [name for name, value in (("--command", command), ("--prompt", prompt)) if value is not None]
        if given:
            raise typer.BadParameter("goes with --teacher command only", param_hint=", ".join(given))
        return MeasuringTeacher(), AnswerFormat()
    words = shlex.split(command or "")
    if not words:
        raise typer.BadParameter("teacher command needs the program to run", param_hint="--command")
    program = CommandTeacher(words, prompt=prompt or "quality.expert")
    return program, program.prompt.answer


def _filters(answer_format: AnswerFormat, tolerance: float | None) -> tuple[Filter, ...]:
    from pondera.teach.filters import default_filters, tolerance_filter

    filters = default_filters(answer_format)
    if tolerance is None:
        return filters
    return (*filters, tolerance_filter(tolerance, _scale(answer_format)))


def _scale(answer_format: AnswerFormat) -> LabelScale:
    from pondera.core.answers import Numbers
    from pondera.core.records import LabelScale

    if not isinstance(answer_format.body, Numbers):
        raise typer.BadParameter("needs a prompt that asks for numbers", param_hint="--tolerance")
    return LabelScale(answer_format.body.low, answer_format.body.high)


def _text(done: Distillation) -> str:
    lines = [f"{done.manifest}: {done.num_kept} of {done.num_samples} samples have a rationale"]
    lines.append(f"{done.num_responses} responses, {done.num_new} of them new")
    rows = [(f"  {count}", name, done.reasons[name]) for name, count in done.dropped.items() if count]
    return "\n".join([*lines, *(["dropped:", aligned(rows)] if rows else [])])
