"""Importers for data of one's own: a table, a folder, a DeQA-style JSON file, a Hugging Face data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pondera.core.records import FIVE_POINT, LabelScale, Media, Sample
from pondera.data.adapters.base import on_scale
from pondera.data.adapters.tables import Row, csv_rows, json_entries
from pondera.data.images import is_image_file, list_media
from pondera.errors import ConfigError, DatasetError, MissingExtra

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".y4m"})

CSV_FIELDS = ("file", "mos", "mos_std", "split", "reference", "subset", "text", "id")


def csv_samples(
    table: Path,
    *,
    scale: LabelScale,
    dataset: str,
    columns: Mapping[str, str],
    media: Path,
    lower_is_better: bool = False,
) -> Iterator[Sample]:
    """Samples from a comma or tab (.tsv) separated table with a header.

    Args:
        table: the file.
        scale: bounds of its labels as they stand in the table.
        dataset: name of the data set.
        columns: field (`CSV_FIELDS`) to column. Fields not named here are looked for under their own name; only
            `file` and `mos` must be there.
        media: folder that `file` is relative to.
        lower_is_better: turn labels around on their scale.

    Raises:
        ConfigError: a field is unknown.
        DatasetError: the file or a column is missing, or a value is wrong.
    """
    unknown = sorted(set(columns) - set(CSV_FIELDS))
    if unknown:
        raise ConfigError(f"no field is called {unknown[0]!r}; there are {', '.join(CSV_FIELDS)}")
    if not table.is_file():
        raise DatasetError(f"{table}: no such table")
    column = {field: columns.get(field, field) for field in CSV_FIELDS}
    for row in csv_rows(table, delimiter="\t" if table.suffix.lower() == ".tsv" else ","):
        file, mos = row.text(column["file"]), row.number(column["mos"])
        more: dict[str, Any] = {
            field: row.text(column[field])
            for field in ("split", "reference", "subset", "text")
            if row.has(column[field])
        }
        if row.has(column["mos_std"]):
            more["mos_std"] = row.number(column["mos_std"])
        yield Sample(
            id=row.text(column["id"]) if row.has(column["id"]) else f"{dataset}/{file}",
            media=(Media((media / file).as_posix()),),
            kind="video" if _is_video(Path(file)) else "image",
            dataset=dataset,
            mos=on_scale(scale.low + scale.high - mos if lower_is_better else mos, scale, row),
            scale=scale,
            **more,
        )


def folder_samples(folder: Path, *, dataset: str) -> Iterator[Sample]:
    """Images and videos below a folder, without labels; the first folder below it becomes the subset.

    Raises:
        DatasetError: the folder is not there.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    files = {*list_media([folder]), *(path for path in folder.rglob("*") if _is_video(path))}
    for path in sorted(files):
        place = path.relative_to(folder)
        yield Sample(
            id=f"{dataset}/{place.as_posix()}",
            media=(Media(path.as_posix()),),
            kind="image" if is_image_file(path) else "video",
            dataset=dataset,
            subset=place.parts[0] if len(place.parts) > 1 else None,
        )


def deqa_samples(file: Path, *, dataset: str, media: Path) -> Iterator[Sample]:
    """Samples from a JSON list as DeQA-Score publishes them (Data-DeQA-Score).

    The label is `gt_score_norm`, 1..5, higher is better: the owner stretched the observed range of each set.
    `level_probs`, excellent first, becomes `votes`, worst first. A file called train_... or test_... has that split.
    Source: layout from zhiyuanyou/DeQA-Score, build_soft_labels/gen_soft_label.py.

    Raises:
        DatasetError: the file is missing or an entry is wrong.
    """
    if not file.is_file():
        raise DatasetError(
            f"{file}: no such file. It is one of https://huggingface.co/datasets/zhiyuanyou/Data-DeQA-Score"
        )
    split = next((name for name in ("train", "test") if file.name.startswith(f"{name}_")), None)
    for number, entry in enumerate(json_entries(file), start=1):
        row = Row(file, number, {key: str(entry.get(key, "")) for key in ("image", "gt_score_norm", "std_norm")})
        levels = entry.get("level_probs")
        yield Sample(
            id=f"{dataset}/{row.text('image')}",
            media=(Media((media / row.text("image")).as_posix()),),
            dataset=dataset,
            mos=on_scale(row.number("gt_score_norm"), FIVE_POINT, row),
            mos_std=row.number("std_norm") if row.has("std_norm") else None,
            scale=FIVE_POINT,
            votes=tuple(map(float, reversed(levels))) if levels else None,
            split=split,
        )


def huggingface_samples(
    folder: Path, *, scale: LabelScale, dataset: str, columns: Mapping[str, str], media: Path
) -> Iterator[Sample]:
    """Samples from the parquet files of a downloaded Hugging Face data set; images are written into a folder.

    Args:
        folder: what `hf download --repo-type dataset NAME --local-dir FOLDER` made.
        scale: bounds of its labels, higher is better.
        dataset: name of the data set.
        columns: where `image` and `mos` stand, when not under these names.
        media: folder for the images; those already there are not written again.

    The split is the first word of the file name, as in train-00000-of-00002.parquet.

    Raises:
        ConfigError: a field is unknown.
        DatasetError: there is no parquet file, or a column or an image is missing.
        MissingExtra: reading parquet needs pyarrow.
    """
    unknown = sorted(set(columns) - {"image", "mos"})
    if unknown:
        raise ConfigError(f"no field is called {unknown[0]!r}; there are image, mos")
    shards = sorted(folder.rglob("*.parquet"))
    if not shards:
        raise DatasetError(
            f"{folder}: no parquet files. Get them with: hf download --repo-type dataset NAME --local-dir {folder}"
        )
    image, mos = columns.get("image", "image"), columns.get("mos", "mos")
    for shard in shards:
        for number, entry in enumerate(_parquet_rows(shard, [image, mos]), start=1):
            row = Row(shard, number, {mos: "" if entry[mos] is None else str(entry[mos])})
            path = _write_image(row, entry[image], media / f"{shard.stem}-{number:06d}")
            yield Sample(
                id=f"{dataset}/{path.name}",
                media=(Media(path.as_posix()),),
                dataset=dataset,
                mos=on_scale(row.number(mos), scale, row),
                scale=scale,
                split=shard.name.split("-")[0] if "-" in shard.name else None,
            )


def _parquet_rows(shard: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("reading parquet needs pyarrow", "report") from None
    with parquet.ParquetFile(shard) as file:
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise DatasetError(
                f"{shard}: no column {missing[0]!r}; there are {', '.join(file.schema_arrow.names)}. "
                "Name them with --columns image=...,mos=..."
            )
        for batch in file.iter_batches(batch_size=64, columns=list(columns)):
            yield from batch.to_pylist()


def _write_image(row: Row, cell: Any, stem: Path) -> Path:
    """An image cell is {bytes, path}; its name keeps only the ending."""
    content = cell.get("bytes") if isinstance(cell, dict) else None
    if not isinstance(content, bytes):
        raise DatasetError(
            f"{row.where} (row): the image cell holds no bytes, got {json.dumps(cell, default=str)[:60]}"
        )
    path = stem.with_name(stem.name + (Path(cell.get("path") or "").suffix.lower() or ".png"))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES
