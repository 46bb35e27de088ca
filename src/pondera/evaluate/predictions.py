"""The predictions table: one row per sample with its label and all that the model said, in memory and as parquet.

`aspects` and `distortions` are a mapping and a list in memory, and JSON text in the file, so that any parquet reader
shows them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pondera.core.records import Assessment, Sample
from pondera.errors import DatasetError, MissingExtra

Row = dict[str, Any]

TEXT = ("sample", "path", "dataset", "subset", "split", "reference", "mode", "reasoning", "completion", "error")
NUMBERS = ("mos", "mos_std", "scale_low", "scale_high", "score", "spread", "percentile", "seconds")
STRUCTURED = ("aspects", "distortions")
COLUMNS = (*TEXT, *NUMBERS, "valid", *STRUCTURED, "fingerprint")
_LATER = {"percentile": math.nan}  # files of earlier versions have none


def prediction_row(sample: Sample, assessment: Assessment) -> Row:
    """One row; score and spread are converted to the sample's scale (kept as they are for unlabelled samples).

    Returns:
        `mos`, `mos_std`, `score` and `spread` on [scale_low, scale_high]; NaN where unknown or invalid. `reference`
        is the content that intervals are clustered by. `percentile` is NaN until `percentiles.with_percentiles`.
    """
    scale = sample.scale or assessment.scale
    valid = assessment.valid and math.isfinite(assessment.score)
    return {
        "sample": sample.id,
        "path": sample.main_path,
        "dataset": sample.dataset,
        "subset": sample.subset,
        "split": sample.split,
        "reference": sample.content,
        "mode": assessment.mode,
        "reasoning": assessment.reasoning,
        "completion": assessment.completion,
        "error": assessment.error,
        "mos": math.nan if sample.mos is None else sample.mos,
        "mos_std": math.nan if sample.mos_std is None else sample.mos_std,
        "scale_low": scale.low,
        "scale_high": scale.high,
        "score": float(assessment.scale.convert(assessment.score, scale)) if valid else math.nan,
        "spread": float(assessment.scale.convert_std(assessment.spread, scale)) if valid else math.nan,
        "percentile": math.nan,
        "seconds": assessment.seconds,
        "valid": valid,
        "aspects": dict(assessment.aspects),
        "distortions": sample.to_dict().get("distortions", []),
        "fingerprint": assessment.fingerprint,
    }


def write_predictions(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table as parquet; the file appears only when it is complete.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    types = {name: arrow.float64() for name in NUMBERS} | {"valid": arrow.bool_()}
    schema = arrow.schema([(name, types.get(name, arrow.string())) for name in COLUMNS])
    columns = {name: [_to_file(name, {**_LATER, **row}[name]) for row in rows] for name in COLUMNS}
    partial = path.with_name(path.name + ".partial")
    parquet.write_table(arrow.table(columns, schema=schema), partial)
    partial.replace(path)


def read_predictions(path: str | Path) -> list[Row]:
    """Read a table that `write_predictions` wrote.

    Raises:
        DatasetError: the file is missing, is no parquet file, or lacks a column.
        MissingExtra: pyarrow is not installed.
    """
    path = Path(path)
    table = read_parquet(path)
    missing = [name for name in COLUMNS if name not in table.column_names and name not in _LATER]
    if missing:
        raise DatasetError(f"{path}: no column {missing[0]!r}; predictions are written by: pondera evaluate")
    return [{name: _from_file(name, {**_LATER, **row}[name]) for name in COLUMNS} for row in table.to_pylist()]


def read_parquet(path: Path) -> Any:
    """A parquet file as an arrow table.

    Raises:
        DatasetError: the file is missing or is no parquet file.
        MissingExtra: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    if not path.is_file():
        raise DatasetError(f"{path}: no such file. Predictions are written by: pondera evaluate")
    try:
        return parquet.read_table(path)
    except (arrow.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: not a parquet file that can be read ({error})") from None


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("parquet files need pyarrow", "report") from None
    return pyarrow, pyarrow.parquet


def _to_file(name: str, value: Any) -> Any:
    if name in STRUCTURED:
        return json.dumps(value, ensure_ascii=False)
    return None if isinstance(value, float) and math.isnan(value) else value


def _from_file(name: str, value: Any) -> Any:
    if name in STRUCTURED:
        return json.loads(value)
    return math.nan if name in NUMBERS and value is None else value
