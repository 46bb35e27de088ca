"""Tables of scores that somebody else made: CSV, JSONL or parquet, with errors that name file, line and column."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pondera.errors import DatasetError
from pondera.evaluate.predictions import read_parquet

_REQUIRED = ("mos", "score")
_NUMERIC = ("mos", "score", "mos_std")
_NAMES = ("dataset", "subset", "reference")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
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
    return {name: values for name, values in columns.items() if name in seen}


def _take(columns: dict[str, list[Any]], where: str, record: dict[str, Any]) -> None:
    for name in _REQUIRED:
        if name not in record:
            raise DatasetError(f"{where}: no column {name!r}; found {', '.join(sorted(record)) or 'none'}")
    for name in _NUMERIC:
        columns[name].append(_number(where, name, record.get(name)))
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
        return float(value)
    except ValueError:
        raise DatasetError(
            f"{where}: column {name!r}: {value!r} is not a number; leave the cell empty where there is none"
        ) from None


def _is_valid(where: str, value: Any) -> bool:
    if value is None or value == "":
        return True
    truth = value if isinstance(value, bool) else _TRUTH.get(str(value).strip().lower())
    if truth is None:
        raise DatasetError(f"{where}: column 'valid': {value!r} is neither true nor false")
    return truth


def _csv_records(path: Path) -> Iterator[Record]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            for name in header:
                if header.count(name) > 1:
                    raise DatasetError(f"{path}:1: column {name!r} stands twice; keep one")
            for name in _REQUIRED:
                if name not in header:
                    raise DatasetError(f"{path}:1: no column {name!r}; found {', '.join(header) or 'none'}")
            for cells in reader:
                if len(cells) not in (0, len(header)):
                    raise DatasetError(f"{path}:{reader.line_num}: {len(cells)} cells under {len(header)} columns")
                if cells:
                    yield f"{path}:{reader.line_num}", dict(zip(header, cells, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise DatasetError(f"{path}:{reader.line_num + 1}: not CSV text in UTF-8 ({error})") from None


def _jsonl_records(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as file:
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
