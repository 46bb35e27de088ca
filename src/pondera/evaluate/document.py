"""Everything a reader gets from finished evaluations: the page, and the table of results as Markdown and LaTeX."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pondera.core.aspects import borne_out_worst_aspect
from pondera.core.metrics import jsonable
from pondera.core.records import Sample
from pondera.data.distortions import DISTORTIONS
from pondera.errors import DatasetError
from pondera.evaluate.aspects import aspect_truthfulness
from pondera.evaluate.environment import environment
from pondera.evaluate.page import write_report
from pondera.evaluate.percentiles import ReferenceSet
from pondera.evaluate.protocols import Protocol
from pondera.evaluate.run import Evaluation, compare_systems
from pondera.report import read_curves
from pondera.report.results import Answers, Cell, Intervals, ResultRow, Results, to_latex, to_markdown

_FITS = {"raw": "raw", "4p": "after a 4-parameter fit", "5p": "after a 5-parameter fit"}


def write_documents(
    out: Path,
    evaluations: Sequence[Evaluation],
    *,
    title: str,
    protocol: Protocol | None = None,
    reference: ReferenceSet | None = None,
    baseline: int | None = None,
    folders: Sequence[Path | None] = (),
) -> Path:
    """Write report.html, table.md and table.tex, and the comparisons into comparisons.json and every metrics.json.

    Args:
        out: their folder; made where missing.
        evaluations: in the order of the tables.
        title: of the page.
        protocol: gives the order of the sets and the published results.
        reference: gives percentiles.
        baseline: as in `compare_with_baseline`.
        folders: where each evaluation was saved by this run; None is one of an earlier run, which stays as it is.

    Returns:
        The page.
    """
    saved = list(zip(evaluations, folders, strict=True)) if folders else []
    evaluations = with_distinct_names(evaluations)
    comparisons = compare_with_baseline(evaluations, baseline)
    results = results_table(evaluations, protocol, comparisons)
    out.mkdir(parents=True, exist_ok=True)
    names = [e.name for e in evaluations]
    _save_comparisons(out, comparisons, [(name, *one) for name, one in zip(names, saved, strict=False)])
    (out / "table.md").write_text(to_markdown(results), encoding="utf-8")
    (out / "table.tex").write_text(to_latex(results), encoding="utf-8")
    return write_report(
        out / "report.html",
        evaluations,
        title=title,
        comparisons=comparisons,
        curves=_curves(evaluations[-1]),
        truthfulness=_truthfulness(evaluations),
        environment=environment(),
        results=results,
        reference=reference,
    )


def with_distinct_names(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations under the names that they are shown by, see `distinct_names`."""
    names = distinct_names([(e.name, str(e.protocol.get("mode", ""))) for e in evaluations])
    return [replace(e, name=name) for e, name in zip(evaluations, names, strict=True)]


def distinct_names(systems: Sequence[tuple[str, str]]) -> list[str]:
    """One model in two modes gets the mode behind its name; what is then still equal, a number.

    Args:
        systems: name and mode of each, in the order of the tables.
    """
    count = Counter(name for name, _ in systems)
    named = [f"{name}, {mode}" if count[name] > 1 else name for name, mode in systems]
    again = Counter(named)
    return [f"{name} ({named[: i + 1].count(name)})" if again[name] > 1 else name for i, name in enumerate(named)]


def under_protocol(evaluation: Evaluation, protocol: Protocol, where: object) -> Evaluation:
    """An earlier evaluation as one of a protocol: with the protocol's domains, and what of its sets is missing.

    Args:
        evaluation: of samples that the protocol tests, under the names that it gives them.
        protocol: to be shown with its published results.
        where: the folder of the evaluation, for messages.

    Raises:
        DatasetError: a sample is not of a part that the protocol tests.
    """
    samples = [
        Sample(row["sample"], (), dataset=row["dataset"], split=row["split"], reference=row["reference"])
        for row in evaluation.rows
    ]
    split_of = {test.name: test.split for test in protocol.tests}
    for sample in samples:
        if split_of.get(sample.dataset, "") not in (None, sample.split):
            raise DatasetError(
                f"{where}: sample {sample.id!r} of dataset {sample.dataset!r}, split {sample.split!r}, is not of a "
                f"part that protocol {protocol.name!r} tests: {', '.join(map(str, protocol.tests))}. Evaluate its "
                f"manifest with --protocol {protocol.name}, or leave the protocol out"
            )
    return replace(evaluation, protocol={**evaluation.protocol, **protocol.facts(samples)})


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


def results_table(
    evaluations: Sequence[Evaluation], protocol: Protocol | None, comparisons: Sequence[Mapping[str, Any]] = ()
) -> Results:
    """SRCC and PLCC per dataset, published rows first; differences, and what invalid answers cost.

    Args:
        evaluations: ours.
        protocol: which PLCC, which order, and the published rows; those without a set in common with ours are left
            out.
        comparisons: from `compare_with_baseline`.
    """
    tested = {name for e in evaluations for name in _sets_and_views(e)}
    test_of = protocol.columns if protocol else {}
    order = [name for name in test_of if name in tested]
    columns = (*order, *sorted(tested - set(order)))
    domain_of = protocol.domains(_contents(evaluations)) if protocol else {}
    key = protocol.plcc_key if protocol else "plcc"
    quoted = []
    for published in protocol.published if protocol else ():
        for system, found in published.systems.items():
            cells = tuple(_quoted(found.get(name)) for name in columns)
            if any(math.isfinite(value) for cell in cells for value in cell):
                quoted.append(ResultRow(system, cells, published.source))
    ours = [
        ResultRow(
            e.name,
            tuple(_measured(e, name, key) for name in columns),
            intervals=tuple(_intervals(e, name, key) for name in columns),
        )
        for e in evaluations
    ]
    return Results(
        columns,
        (*quoted, *ours),
        f"PLCC {_FITS[protocol.plcc if protocol else 'raw']}",
        tuple(domain_of.get(test_of.get(name, name), "") for name in columns),
        tuple(comparisons),
        tuple(lost for e in evaluations for lost in _lost(e, key)),
        tuple(e.name for e in evaluations if not math.isfinite(e.metrics["overall"]["srcc"])),
    )


def _contents(evaluations: Sequence[Evaluation]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in (row for e in evaluations for row in e.rows):
        found.setdefault(row["dataset"], set()).add(row["reference"])
    return found


def _quoted(pair: tuple[float | None, float | None] | None) -> Cell:
    srcc, plcc = pair or (None, None)
    return (math.nan if srcc is None else srcc, math.nan if plcc is None else plcc)


def _sets_and_views(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    return {**evaluation.metrics["datasets"], **evaluation.metrics.get("views", {})}


def _measured(evaluation: Evaluation, name: str, key: str) -> Cell:
    summary = _sets_and_views(evaluation).get(name)
    return (summary["srcc"], summary[key]) if summary else (math.nan, math.nan)


def _intervals(evaluation: Evaluation, name: str, key: str) -> Intervals:
    summary = _sets_and_views(evaluation).get(name, {})
    srcc, plcc = (summary.get(f"{metric}_ci", (math.nan, math.nan)) for metric in ("srcc", key))
    return ((srcc[0], srcc[1]), (plcc[0], plcc[1]))


def _lost(evaluation: Evaluation, key: str) -> list[Answers]:
    """The parts with answers that could not be read: all sets together, sets, subsets."""
    worst = evaluation.metrics.get("worst_case")
    if worst is None:  # saved by an earlier version
        return []
    sets = {name: (s, worst["datasets"][name]) for name, s in evaluation.metrics["datasets"].items()}
    parts = {"overall": (evaluation.metrics["overall"], worst["overall"])} if len(sets) > 1 else {}
    parts |= sets
    for level in ("views", "subsets"):
        parts |= {name: (s, worst[level][name]) for name, s in evaluation.metrics.get(level, {}).items()}
    return [
        Answers(evaluation.name, name, one["n"], one["n_invalid"], (one["srcc"], one[key]), (two["srcc"], two[key]))
        for name, (one, two) in parts.items()
        if one["n_invalid"]
    ]


def _save_comparisons(
    out: Path, comparisons: Sequence[Mapping[str, Any]], saved: Sequence[tuple[str, Evaluation, Path | None]]
) -> None:
    """All comparisons into comparisons.json, and each system's own into the metrics.json of this run.

    Args:
        out: folder of the run.
        comparisons: under distinct names.
        saved: distinct name, evaluation as it was saved, and where.
    """
    text = json.dumps(jsonable(comparisons), indent=2, ensure_ascii=False)
    (out / "comparisons.json").write_text(text + "\n", encoding="utf-8")
    for name, evaluation, folder in saved:
        if folder is not None:
            own = [c for c in comparisons if name in (c["baseline"], c["other"])]
            evaluation.save_metrics(folder, comparisons=own)


def _truthfulness(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    aspect_of = {name: kind.aspect for name, kind in DISTORTIONS.items()}
    able = [e for e in evaluations if any(row["reasoning"] and row["distortions"] for row in e.rows)]
    return {e.name: aspect_truthfulness(e.rows, aspect_of, borne_out_worst_aspect) for e in able}


def _curves(evaluation: Evaluation) -> dict[str, list[dict[str, float]]]:
    """Training curves, where the model lies in the run folder that made it: RUN/final or RUN/stages/NAME/model."""
    folder = Path(str(evaluation.protocol.get("model", "")))
    for run in (folder.parent, folder.parent.parent.parent):
        if folder.is_dir() and (run / "recipe.yaml").is_file() and (run / "metrics.jsonl").is_file():
            return read_curves(run / "metrics.jsonl")
    return {}
