"""Tables as Markdown and LaTeX: SRCC and PLCC per test set, ours and published; differences; what lost answers cost."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pondera.report.words import p_value

Cell = tuple[float, float]  # SRCC, PLCC; NaN where unknown
Interval = tuple[float, float]  # low, high; NaN where unknown
Intervals = tuple[Interval, Interval]  # of SRCC and PLCC
_BOLD = "Bold is the highest printed value of a column."
_UNKNOWN: Intervals = ((math.nan, math.nan), (math.nan, math.nan))

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|&~#])")
_LATEX = {
    "<": "$<$", ">": "$>$", "|": r"\textbar{}",  # other signs in the fonts that LaTeX takes by default
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


@dataclass(frozen=True)
class ResultRow:
    """One system.

    Args:
        name: of the system.
        cells: one per column of the table.
        source: of a published result; "" where it was measured in this run.
        intervals: 95 % intervals, one pair per column; none where they are not known.
    """

    name: str
    cells: tuple[Cell, ...]
    source: str = ""
    intervals: tuple[Intervals, ...] = ()


@dataclass(frozen=True)
class Answers:
    """What answers that could not be read do to one part of one system.

    Args:
        system: its name.
        part: dataset, or dataset and subset.
        n: answers that were read.
        num_invalid: those that were not.
        dropped: SRCC and PLCC without these samples.
        worst: SRCC and PLCC where they have the lowest score of the scale.
    """

    system: str
    part: str
    n: int
    num_invalid: int
    dropped: Cell
    worst: Cell


@dataclass(frozen=True)
class Results:
    """Systems by test sets.

    Args:
        columns: names of the test sets.
        rows: systems.
        plcc: which PLCC ours are, in words.
        domains: "in", "cross" or "shared origin" by column, where known.
        comparisons: of systems with the baseline, see `evaluate.compare_systems`.
        answers: of the parts with answers that could not be read.
        uncompared: systems that `comparisons` leaves out, because they have no correlations.
    """

    columns: tuple[str, ...]
    rows: tuple[ResultRow, ...]
    plcc: str = "PLCC raw"
    domains: tuple[str, ...] = ()
    comparisons: tuple[Mapping[str, Any], ...] = ()
    answers: tuple[Answers, ...] = ()
    uncompared: tuple[str, ...] = ()

    @property
    def sources(self) -> list[str]:
        """Of the published rows, each once; a row refers to its source by place in this list, from 1."""
        return list(dict.fromkeys(row.source for row in self.rows if row.source))

    def mark(self, row: ResultRow) -> str:
        """Number of the row's source, "" for ours."""
        return str(self.sources.index(row.source) + 1) if row.source else ""

    def heading(self, column: int) -> str:
        """Name of a column with its domain."""
        domain = self.domains[column] if self.domains else ""
        return f"{self.columns[column]} ({domain})" if domain else self.columns[column]

    def is_best(self, column: int, which: int, value: float) -> bool:
        """Whether a value, as printed, is the highest of its column; `which` is 0 for SRCC, 1 for PLCC."""
        known = [row.cells[column][which] for row in self.rows if math.isfinite(row.cells[column][which])]
        return len(known) > 1 and _number(value) == _number(max(known))


@dataclass(frozen=True)
class _Table:
    """Cells without markup.

    Args:
        caption: below it.
        heads: of the columns.
        rows: texts.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def to_markdown(results: Results) -> str:
    """Markdown tables; the best of each column is bold, sources stand below."""
    heads = ["System", *(_markdown(results.heading(i)) for i in range(len(results.columns)))]
    lines = _markdown_head(heads)
    for row in results.rows:
        mark = f" [{results.mark(row)}]" if row.source else ""
        intervals = row.intervals or (_UNKNOWN,) * len(row.cells)
        cells = [
            _cell(results, i, cell, "**{}**", pair)
            for i, (cell, pair) in enumerate(zip(row.cells, intervals, strict=True))
        ]
        lines.append("| " + " | ".join([_markdown(row.name) + mark, *cells]) + " |")
    lines += ["", f"{_legend(results)} {_BOLD}"]
    if results.sources:
        lines += ["", "Published, not measured here:", ""]
    lines += [f"{i}. {_markdown(source)}" for i, source in enumerate(results.sources, start=1)]
    for table in _further(results):
        lines += ["", *_markdown_head([_markdown(head) for head in table.heads])]
        lines += ["| " + " | ".join(map(_markdown, row)) + " |" for row in table.rows]
        lines += ["", _markdown(table.caption)]
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


def to_latex(results: Results) -> str:
    """LaTeX tables that need the package booktabs; the best of each column is bold, intervals stand below values."""
    lines = []
    for row in results.rows:
        mark = f"$^{{{results.mark(row)}}}$" if row.source else ""
        cells = [_minus(_cell(results, i, cell, r"\textbf{{{}}}")) for i, cell in enumerate(row.cells)]
        lines.append(_latex_row([_latex(row.name) + mark, *cells]))
        below = [_minus(_intervals(pair)) for pair in row.intervals or ()]
        if any(below):
            lines.append(_latex_row(["", *(rf"{{\scriptsize {text}}}" if text else "" for text in below)]))
    notes = [f"{_latex(_legend(results))} {_BOLD}"]
    notes += [f"$^{{{i}}}$ Published, not measured here: {_latex(s)}." for i, s in enumerate(results.sources, start=1)]
    heads = ["System", *(_latex(results.heading(i)) for i in range(len(results.columns)))]
    text = _latex_table(heads, "c" * len(results.columns), lines, " ".join(notes))
    for table in _further(results):
        rows = [_latex_row([_minus(_latex(cell)) for cell in row]) for row in table.rows]
        columns = "l" + "r" * (len(table.heads) - 2)
        text += "\n" + _latex_table([_latex(head) for head in table.heads], columns, rows, _latex(table.caption))
    return text


def _markdown_head(heads: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]


def _latex_table(heads: Sequence[str], columns: str, rows: Sequence[str], caption: str) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{l{columns}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{caption}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    line = " & ".join(cells).strip()
    # Behind the end of a row, a bracket or a star would belong to the line break.
    return ("{}" if line.startswith(("[", "*")) else "") + line + r" \\"


def _legend(results: Results) -> str:
    has_intervals = any(row.intervals for row in results.rows)
    return f"SRCC / PLCC ({results.plcc})." + (" Brackets are 95 % intervals." if has_intervals else "")


def _further(results: Results) -> list[_Table]:
    """Differences from the baseline, and what lost answers cost; none where there are none."""
    return [table for table in (_differences(results), _lost(results)) if table.rows]


def _differences(results: Results) -> _Table:
    rows = []
    for comparison in results.comparisons:
        sets: Mapping[str, Any] = comparison.get("datasets", {})
        parts = [(next(iter(sets), "overall"), comparison)] if len(sets) < 2 else [("overall", comparison)]
        parts += sorted(sets.items()) if len(sets) > 1 else []
        for part, values in parts:
            both = [text for key in ("srcc", "plcc") for text in _difference(values[key])]
            rows.append((comparison["other"], part, str(values["n"]), *both))
    names = ", ".join(dict.fromkeys(comparison["baseline"] for comparison in results.comparisons))
    caption = (
        f"Difference from {names}, paired by sample on those that both could score; brackets are 95 % intervals, "
        "contents drawn whole; p is two-sided. PLCC is raw."
    )
    if results.uncompared:
        caption += f" Without a correlation, so not compared: {', '.join(results.uncompared)}."
    return _Table(caption, ("System", "set", "n", "SRCC", "p", "PLCC", "p"), tuple(rows))


def _difference(values: Mapping[str, Any]) -> tuple[str, str]:
    """Value with interval, and p."""
    difference = values["difference"]
    sign = "+" if math.isfinite(difference) and difference > 0 else ""
    return f"{sign}{_number(difference)} {_interval(values['ci'])}".rstrip(), _p(values["p"])


def _p(value: float) -> str:
    return p_value(value).replace("0.", ".", 1) if math.isfinite(value) else "--"


def _lost(results: Results) -> _Table:
    rows = [
        (
            a.system,
            a.part,
            str(a.n),
            str(a.num_invalid),
            *(f"{_number(dropped)} / {_number(worst)}" for dropped, worst in zip(a.dropped, a.worst, strict=True)),
        )
        for a in results.answers
    ]
    caption = (
        "Answers that could not be read: each correlation without these samples / with the lowest score of the scale "
        f"for them. {results.plcc}."
    )
    return _Table(caption, ("System", "set", "n", "invalid", "SRCC", "PLCC"), tuple(rows))


def _cell(results: Results, column: int, cell: Cell, bold: str, intervals: Intervals = _UNKNOWN) -> str:
    """SRCC / PLCC, each with its interval where there is one; the best of the column in bold."""
    if not any(math.isfinite(value) for value in cell):
        return "--"
    texts = []
    for which, value in enumerate(cell):
        text = bold.format(_number(value)) if results.is_best(column, which, value) else _number(value)
        texts.append(f"{text} {_interval(intervals[which])}".rstrip())
    return " / ".join(texts)


def _intervals(pair: Intervals) -> str:
    """Both intervals; nothing where neither is known."""
    texts = [_interval(interval) for interval in pair]
    return " / ".join(text or "--" for text in texts) if any(texts) else ""


def _interval(interval: Sequence[float]) -> str:
    low, high = interval
    return f"[{_number(low)}, {_number(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def _number(value: float) -> str:
    """0.812 as .812, as the field prints it."""
    if not math.isfinite(value):
        return "--"
    return f"{value:.3f}".replace("0.", ".", 1)


def _minus(text: str) -> str:
    """A minus sign in place of the hyphen before a number, for LaTeX."""
    return re.sub(r"(?<![\w-])-(?=\.?\d)", "$-$", text)


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in " ".join(text.split()))
