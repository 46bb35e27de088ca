"""Everything a reader gets from finished evaluations: the page, and the table of results as Markdown and LaTeX."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pondera.core.aspects import worst_aspect
from pondera.data.distortions import DISTORTIONS
from pondera.evaluate.aspects import aspect_truthfulness
from pondera.evaluate.environment import environment
from pondera.evaluate.page import write_report
from pondera.evaluate.percentiles import ReferenceSet
from pondera.evaluate.protocols import Protocol
from pondera.evaluate.run import Evaluation, compare_systems
from pondera.report import read_curves
from pondera.report.results import Cell, ResultRow, Results, to_latex, to_markdown

_FITS = {"raw": "raw", "4p": "after a 4-parameter fit", "5p": "after a 5-parameter fit"}


def write_documents(
    out: Path,
    evaluations: Sequence[Evaluation],
    *,
    title: str,
    protocol: Protocol | None = None,
    reference: ReferenceSet | None = None,
    baseline: int | None = None,
) -> Path:
    """Write report.html, table.md and table.tex.

    Args:
        out: their folder; made where missing.
        evaluations: in the order of the tables.
        title: of the page.
        protocol: gives the order of the sets and the published results.
        reference: gives percentiles.
        baseline: as in `compare_with_baseline`.

    Returns:
        The page.
    """
    evaluations = with_distinct_names(evaluations)
    results = results_table(evaluations, protocol)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(to_markdown(results), encoding="utf-8")
    (out / "table.tex").write_text(to_latex(results), encoding="utf-8")
    return write_report(
        out / "report.html",
        evaluations,
        title=title,
        comparisons=compare_with_baseline(evaluations, baseline),
        curves=_curves(evaluations[-1]),
        truthfulness=_truthfulness(evaluations),
        environment=environment(),
        results=results,
        reference=reference,
    )


def with_distinct_names(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """One model in two modes gets the mode behind its name; what is then still equal, a number."""
    count = Counter(e.name for e in evaluations)
    named = [f"{e.name}, {e.protocol.get('mode', '')}" if count[e.name] > 1 else e.name for e in evaluations]
    again = Counter(named)
    return [
        replace(e, name=f"{name} ({named[: i + 1].count(name)})" if again[name] > 1 else name)
        for i, (e, name) in enumerate(zip(evaluations, named, strict=True))
    ]


def compare_with_baseline(evaluations: Sequence[Evaluation], baseline: int | None = None) -> list[dict[str, Any]]:
    """The other systems that have correlations against one, on the samples that both have seen; none without shared
    samples.

    Args:
        evaluations: of all systems.
        baseline: place of the one in `evaluations`; by default that of the first model with correlations, or of the
            first system where no model has any.
    """
    usable = [e for e in evaluations if math.isfinite(e.metrics["overall"]["srcc"])]
    if baseline is None and not usable:
        return []
    one = next(iter([*filter(_is_model, usable), *usable])) if baseline is None else evaluations[baseline]
    seen = _samples_of(one)
    return [compare_systems(one, other) for other in usable if other is not one and _samples_of(other) & seen]


def _is_model(evaluation: Evaluation) -> bool:
    return "baseline" not in evaluation.protocol and evaluation.protocol.get("mode") != "baseline"


def _samples_of(evaluation: Evaluation) -> set[tuple[str, str]]:
    return {(row["dataset"], row["sample"]) for row in evaluation.rows}


def results_table(evaluations: Sequence[Evaluation], protocol: Protocol | None) -> Results:
    """SRCC and PLCC per dataset, published rows first.

    Args:
        evaluations: ours.
        protocol: which PLCC, which order, and the published rows; those without a set in common with ours are left
            out.
    """
    tested = {name for e in evaluations for name in e.metrics["datasets"]}
    order = [t.name for t in protocol.tests if t.name in tested] if protocol else []
    columns = (*order, *sorted(tested - set(order)))
    domain_of = {test.name: test.domain for test in protocol.tests} if protocol else {}
    key = protocol.plcc_key if protocol else "plcc"
    quoted = []
    for published in protocol.published if protocol else ():
        for system, found in published.systems.items():
            cells = tuple(_quoted(found.get(name)) for name in columns)
            if any(math.isfinite(value) for cell in cells for value in cell):
                quoted.append(ResultRow(system, cells, published.source))
    ours = [ResultRow(e.name, tuple(_measured(e, name, key) for name in columns)) for e in evaluations]
    return Results(
        columns,
        (*quoted, *ours),
        f"PLCC {_FITS[protocol.plcc if protocol else 'raw']}",
        tuple(domain_of.get(name, "") for name in columns),
    )


def _quoted(pair: tuple[float | None, float | None] | None) -> Cell:
    srcc, plcc = pair or (None, None)
    return (math.nan if srcc is None else srcc, math.nan if plcc is None else plcc)


def _measured(evaluation: Evaluation, dataset: str, key: str) -> Cell:
    summary: Mapping[str, float] | None = evaluation.metrics["datasets"].get(dataset)
    return (summary["srcc"], summary[key]) if summary else (math.nan, math.nan)


def _truthfulness(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    aspect_of = {name: kind.aspect for name, kind in DISTORTIONS.items()}
    able = [e for e in evaluations if any(row["reasoning"] and row["distortions"] for row in e.rows)]
    return {e.name: aspect_truthfulness(e.rows, aspect_of, worst_aspect) for e in able}


def _curves(evaluation: Evaluation) -> dict[str, list[dict[str, float]]]:
    """Training curves, where the model lies in the run folder that made it: RUN/final or RUN/stages/NAME/model."""
    folder = Path(str(evaluation.protocol.get("model", "")))
    for run in (folder.parent, folder.parent.parent.parent):
        if folder.is_dir() and (run / "recipe.yaml").is_file() and (run / "metrics.jsonl").is_file():
            return read_curves(run / "metrics.jsonl")
    return {}
