"""One table of SRCC and PLCC per test set, ours and published, as Markdown and LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

Cell = tuple[float, float]  # SRCC, PLCC; NaN where unknown

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|&~#])")
_LATEX = {
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
    """

    name: str
    cells: tuple[Cell, ...]
    source: str = ""


@dataclass(frozen=True)
class Results:
    """Systems by test sets.

    Args:
        columns: names of the test sets.
        rows: systems.
        plcc: which PLCC ours are, in words.
        domains: "in" or "cross" by column, where known.
    """

    columns: tuple[str, ...]
    rows: tuple[ResultRow, ...]
    plcc: str = "PLCC raw"
    domains: tuple[str, ...] = ()

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


def to_markdown(results: Results) -> str:
    """A Markdown table; the best of each column is bold, sources stand below."""
    heads = ["System", *(_markdown(results.heading(i)) for i in range(len(results.columns)))]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in results.rows:
        mark = f" [{results.mark(row)}]" if row.source else ""
        cells = [_cell(results, i, cell, "**{}**") for i, cell in enumerate(row.cells)]
        lines.append("| " + " | ".join([_markdown(row.name) + mark, *cells]) + " |")
    lines += ["", f"SRCC / PLCC ({results.plcc}). Bold is the highest printed value of a column."]
    if results.sources:
        lines += ["", "Published, not measured here:", ""]
    lines += [f"{i}. {_markdown(source)}" for i, source in enumerate(results.sources, start=1)]
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


def to_latex(results: Results) -> str:
    """A LaTeX table that needs the package booktabs; the best of each column is bold."""
    heads = ["System", *(_latex(results.heading(i)) for i in range(len(results.columns)))]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{l{'c' * len(results.columns)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for row in results.rows:
        mark = f"$^{{{results.mark(row)}}}$" if row.source else ""
        cells = [_cell(results, i, cell, r"\textbf{{{}}}") for i, cell in enumerate(row.cells)]
        lines.append(" & ".join([_latex(row.name) + mark, *cells]) + r" \\")
    notes = [f"SRCC / PLCC ({results.plcc})."]
    notes += [f"$^{{{i}}}$ Published, not measured here: {_latex(s)}." for i, s in enumerate(results.sources, start=1)]
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{' '.join(notes)}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _cell(results: Results, column: int, cell: Sequence[float], bold: str) -> str:
    if not any(math.isfinite(value) for value in cell):
        return "--"
    texts = [_number(value) for value in cell]
    best = [results.is_best(column, which, value) for which, value in enumerate(cell)]
    return " / ".join(bold.format(text) if is_best else text for text, is_best in zip(texts, best, strict=True))


def _number(value: float) -> str:
    """0.812 as .812, as the field prints it."""
    if not math.isfinite(value):
        return "--"
    return f"{value:.3f}".replace("0.", ".", 1)


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in " ".join(text.split()))
