"""Assessments as text: a table for people; CSV, JSON and JSON Lines for programs. Each yields as results come."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from pondera.cli.options import printable, text_width

if TYPE_CHECKING:
    from pondera.core.records import Assessment

CSV_COLUMNS = (
    "path", "score", "spread", "low", "high", "mode", "valid", "error", "reasoning", "aspects", "numbers", "seconds",
    "fingerprint",
)  # fmt: skip


class Format(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """How assessments are written."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


def as_table(assessments: Iterable[Assessment]) -> Iterator[str]:
    """Score and file on one line; below it the reasoning, or what went wrong."""
    for i, item in enumerate(assessments):
        if i == 0:
            yield f"score  file   (scores from {item.scale.low:g}, worst, to {item.scale.high:g}, best)\n"
        spread = "" if math.isnan(item.spread) else f" \N{PLUS-MINUS SIGN} {item.spread:.2f}"
        number = "    -" if item.error is not None else f"{item.score:5.2f}{spread}"
        yield f"{number}  {printable(item.path)}\n"
        if item.numbers:
            yield _below(", ".join(f"{name} {value:.2f}" for name, value in item.numbers.items()))
        yield _below(f"error: {item.error}" if item.error is not None else item.reasoning)


def as_json(assessments: Iterable[Assessment]) -> Iterator[str]:
    """One array, when all is done."""
    yield json.dumps([item.to_dict() for item in assessments], indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_jsonl(assessments: Iterable[Assessment]) -> Iterator[str]:
    """One object a line."""
    for item in assessments:
        yield json.dumps(item.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(assessments: Iterable[Assessment]) -> Iterator[str]:
    """One row a file; `aspects` and `numbers` are JSON, what is not known is empty."""
    yield _csv_line(dict(zip(CSV_COLUMNS, CSV_COLUMNS, strict=True)))
    for item in assessments:
        values = item.to_dict()
        values |= {"low": item.scale.low, "high": item.scale.high}
        values |= {name: json.dumps(values[name]) for name in ("aspects", "numbers")}
        yield _csv_line(values)


FORMATS: dict[Format, Callable[[Iterable[Assessment]], Iterator[str]]] = {
    Format.table: as_table,
    Format.json: as_json,
    Format.jsonl: as_jsonl,
    Format.csv: as_csv,
}


def format_for(form: Format | None, out: Path | None) -> Format:
    """The format asked for, or the one that the name of the output ends in."""
    if form is not None:
        return form
    suffix = out.suffix.lower().removeprefix(".") if out is not None else ""
    return Format(suffix) if suffix in ("json", "jsonl", "csv") else Format.table


@contextmanager
def opened(out: Path | None) -> Iterator[TextIO]:
    """A file to write to, or stdout."""
    if out is None:
        yield typer.get_text_stream("stdout")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield file


def _below(text: str) -> str:
    if not text.strip():
        return ""
    indent = " " * 7
    lines = textwrap.wrap(printable(text), text_width(), initial_indent=indent, subsequent_indent=indent)
    return "\n".join(lines) + "\n"


def _csv_line(values: dict[str, object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(["" if values[n] is None else values[n] for n in CSV_COLUMNS])
    return line.getvalue()
