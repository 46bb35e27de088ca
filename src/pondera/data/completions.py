"""Logged completions as parquet files: one row a completion, images by their path, readable while a run goes on.

A file holds one step and is there whole or not at all. A run that is resumed writes the files of the steps that it
repeats again under the same name, so no completion is ever there twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pondera.errors import DatasetError, MissingExtra

_JSON = ("targets", "side")  # objects of any shape, as JSON text


def write_completions(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one file.

    Args:
        path: its folder is made.
        rows: step, sample, dataset, task, media (list of paths), mos, mos_std, scale ([low, high] or None), targets,
            side, num_tokens, completion, reward, advantage.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    schema = arrow.schema(
        [
            ("step", arrow.int64()),
            *((name, arrow.string()) for name in ("sample", "dataset", "task")),
            ("media", arrow.list_(arrow.string())),
            ("mos", arrow.float64()),
            ("mos_std", arrow.float64()),
            ("scale", arrow.list_(arrow.float64())),
            *((name, arrow.string()) for name in _JSON),
            ("num_tokens", arrow.int64()),
            ("completion", arrow.string()),
            ("reward", arrow.float64()),
            ("advantage", arrow.float64()),
        ]
    )
    plain = [{**row, **{name: json.dumps(row[name]) if row[name] else None for name in _JSON}} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    parquet.write_table(arrow.Table.from_pylist(plain, schema=schema), partial)
    partial.replace(path)


def read_completions(path: Path) -> list[str]:
    """Completions as JSON lines, as `pondera.core.explain` reads them.

    Args:
        path: a parquet file, or a folder of them, read in the order of their names.

    Raises:
        DatasetError: there is no such file, none in the folder, or one that is no parquet file.
        MissingExtra: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DatasetError(f"{path}: no parquet files in this folder; a run writes them to stages/NAME/rollouts")
    lines = []
    for file in files:
        try:
            rows = parquet.read_table(file, partitioning=None).to_pylist()
        except (arrow.ArrowInvalid, OSError) as error:
            raise DatasetError(f"{file}: not a parquet file that can be read ({error})") from None
        for row in rows:
            objects = {name: json.loads(row[name]) for name in _JSON if row.get(name)}
            lines.append(json.dumps({k: v for k, v in {**row, **objects}.items() if v is not None}))
    return lines


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("parquet files need pyarrow", "train") from None
    return pyarrow, pyarrow.parquet
