"""Tables of scores that somebody else made: CSV, JSONL or parquet, with errors that name file, line and column."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pondera.data.text_files import csv_cells, opened, plain_number
from pondera.errors import DatasetError
from pondera.evaluate.predictions import read_parquet

_REQUIRED = ("mos", "score")
_NUMERIC = ("mos", "score", "mos_std")
_NAMES = ("dataset", "subset", "reference")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_LARGEST = 1e75  # its fourth power is still a double
_EMPTY = ("", "nan", "na", "none", "null")

Record = tuple[str, dict[str, Any]]  # where it stands, and its cells


def read_table(path: str | Path) -> dict[str, list[Any]]:
    """Read the columns that metrics need.

    Args:
        path: a .csv, .jsonl or .parquet file with `mos` and `score`; `dataset`, `subset`, `reference`, `mos_std` and
            `valid` are used where present, other columns are ignored.

    Returns:
        Columns by name. Numbers are floats; NaN where the cell is empty (no label, or no valid answer) and, for
        `score`, where `valid` is false. Names are text or None.

    Raises:
        DatasetError: the file, a column or a cell is wrong; the message says where and what to do.
        MissingExtra: a parquet file without pyarrow.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; give a CSV, JSONL or parquet file with columns mos and score")
    readers: dict[str, Callable[[Path], Iterator[Record]]] = {
        ".csv": _csv_records,
        ".jsonl": _jsonl_records,
        ".parquet": _parquet_records,
    }
    if path.suffix.lower() not in readers:
        raise DatasetError(f"{path}: cannot tell the format from {path.suffix!r}; use .csv, .jsonl or .parquet")
    columns: dict[str, list[Any]] = {name: [] for name in (*_NUMERIC, *_NAMES)}
    seen: set[str] = set()
    for where, record in readers[path.suffix.lower()](path):
        _take(columns, where, record)
        seen.update(record)
    if not columns["mos"]:
        raise DatasetError(f"{path}: no rows; give at least two with mos and score")
    for name in _REQUIRED:
        _check_span(path, name, columns[name])
    return {name: values for name, values in columns.items() if name in seen}


def _check_span(path: Path, name: str, values: Sequence[float]) -> None:
    """Refuse a column whose squares and products a double cannot hold."""
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    if max(-low, high) > _LARGEST or 0 < high - low < 1 / _LARGEST:
        raise DatasetError(
            f"{path}: column {name!r} runs from {low:g} to {high:g}, beyond what can be computed with; multiply or "
            "divide it by a power of ten, correlations stay the same"
        )


def _take(columns: dict[str, list[Any]], where: str, record: dict[str, Any]) -> None:
    for name in _REQUIRED:
        if name not in record:
            raise DatasetError(f"{where}: no column {name!r}; found {', '.join(sorted(record)) or 'none'}")
    for name in _NUMERIC:
        columns[name].append(_number(where, name, record.get(name)))
    if columns["mos_std"][-1] < 0:
        raise DatasetError(f"{where}: column 'mos_std': {columns['mos_std'][-1]:g} is negative; correct the row")
    for name in _NAMES:
        value = record.get(name)
        columns[name].append(None if value is None or str(value).strip() == "" else str(value).strip())
    if not _is_valid(where, record.get("valid", True)):
        columns["score"][-1] = math.nan


def _number(where: str, name: str, value: Any) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in _EMPTY):
        return math.nan
    try:
        if isinstance(value, (bool, list, dict)):
            raise ValueError
        return plain_number(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):  # a whole number of four hundred digits
        raise DatasetError(
            f"{where}: column {name!r}: {reprlib.repr(value)} is not a number; leave the cell empty where there is none"
        ) from None


def _is_valid(where: str, value: Any) -> bool:
    if value is None or value == "":
        return True
    truth = value if isinstance(value, bool) else _TRUTH.get(str(value).strip().lower())
    if truth is None:
        raise DatasetError(f"{where}: column 'valid': {value!r} is neither true nor false")
    return truth


def _csv_records(path: Path) -> Iterator[Record]:
    rows = csv_cells(path)
    line, cells = next(rows, (1, []))
    header = [name.strip() for name in cells]
    for name in header:
        if header.count(name) > 1:
            raise DatasetError(f"{path}:{line}: column {name!r} stands twice; keep one")
    for name in _REQUIRED:
        if name not in header:
            raise DatasetError(f"{path}:{line}: no column {name!r}; found {', '.join(header) or 'none'}")
    for line, cells in rows:
        if len(cells) != len(header):
            raise DatasetError(
                f"{path}:{line}: {len(cells)} cells under {len(header)} columns; a cell that holds a comma must stand "
                "in quotes"
            )
        yield f"{path}:{line}", dict(zip(header, cells, strict=True))


def _jsonl_records(path: Path) -> Iterator[Record]:
    with opened(path) as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except json.JSONDecodeError as error:
                raise DatasetError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno})") from None
            if not isinstance(record, dict):
                raise DatasetError(f"{path}:{number}: a line is one JSON object, got {type(record).__name__}")
            yield f"{path}:{number}", record


def _parquet_records(path: Path) -> Iterator[Record]:
    table = read_parquet(path)
    for name in _REQUIRED:
        if name not in table.column_names:
            raise DatasetError(f"{path}: no column {name!r}; found {', '.join(table.column_names) or 'none'}")
    wanted = [name for name in (*_NUMERIC, *_NAMES, "valid") if name in table.column_names]
    row = 0
    for batch in table.select(wanted).to_batches():
        for record in batch.to_pylist():
            row += 1
            yield f"{path}, row {row}", record
