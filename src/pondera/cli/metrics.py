"""`pondera metrics`: how good are the scores in this file?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer


class Format(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """How results are printed."""

    table = "table"
    json = "json"


def metrics(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="CSV, JSONL or parquet with columns mos and score; optional: dataset, subset, reference, mos_std, "
            "valid. An empty score is an invalid answer.",
            exists=True,
            dir_okay=False,
        ),
    ],
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.table,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples; 0 for no intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """SRCC, PLCC (raw, 4- and 5-parameter fit), KRCC, RMSE, pairwise accuracy and outlier ratio, with 95 % intervals.

    Rows that share a reference are drawn together. Several datasets are averaged, never pooled.

    Example: pondera metrics predictions.csv --format json
    """
    from pondera.core.metrics import jsonable, summarise_groups
    from pondera.evaluate.tables import read_table

    table = read_table(predictions)
    groups = summarise_groups(
        table["score"],
        table["mos"],
        dataset=[name or "default" for name in table["dataset"]] if "dataset" in table else None,
        subset=table.get("subset"),
        mos_std=table.get("mos_std"),
        cluster=_clusters(table),
        num_resamples=resamples,
        seed=seed,
    )
    if form is Format.json:
        document = {**groups["overall"], "datasets": groups["datasets"], "subsets": groups["subsets"]}
        typer.echo(json.dumps(jsonable(document), indent=2, ensure_ascii=False))
        return
    typer.echo(as_table(groups))


def as_table(groups: Mapping[str, Any]) -> str:
    """The summaries as aligned text: one block per line of numbers, intervals below their numbers."""
    lines = [("", *(title for _, title in _COLUMNS))]
    sets = groups["datasets"] if len(groups["datasets"]) > 1 else {}
    overall = groups["overall"]
    for name, summary in {"overall": overall, **sets, **groups["subsets"]}.items():
        lines.append((name, *(_cell(summary[key]) for key, _ in _COLUMNS)))
        lines.append(("", *(_interval(summary.get(f"{key}_ci")) for key, _ in _COLUMNS)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    text += [f"note: {note}" for note in overall["notes"]]
    text += [f"note: {name}: {note}" for name, subset in groups["subsets"].items() for note in subset["notes"]]
    if math.isnan(overall["outlier_ratio"]):
        text.append("note: outliers need mos_std, the standard deviation of the opinions of each row")
    text.append(f"overall is {overall['aggregation']}; {overall['n_clusters']} contents; brackets are 95 % intervals")
    return "\n".join(line.rstrip() for line in text)


_COLUMNS = (
    ("n", "n"),
    ("n_invalid", "invalid"),
    ("srcc", "SRCC"),
    ("plcc", "PLCC"),
    ("plcc_4p", "PLCC 4p"),
    ("plcc_5p", "PLCC 5p"),
    ("krcc", "KRCC"),
    ("rmse", "RMSE"),
    ("pairwise_accuracy", "pairs"),
    ("outlier_ratio", "outliers"),
)


def _clusters(table: Mapping[str, list[Any]]) -> list[str] | None:
    """The contents; a row without a reference is its own."""
    if "reference" not in table:
        return None
    return [f"row {i} alone" if name is None else f"content {name}" for i, name in enumerate(table["reference"])]


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.4f}"


def _interval(value: list[float] | None) -> str:
    return "" if value is None or math.isnan(value[0]) else f"[{value[0]:.3f}, {value[1]:.3f}]"
