"""A Hugging Face data set that lies in a folder: parquet files as the Hub has them, or Arrow files of `save_to_disk`.

People publish labels under many names (mos, score, mean_score, quality_mos), inside nested columns, or as class labels,
whose numbers are places in a list of words and no scores. So columns are named, and nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pondera.core.records import Sample
from pondera.data.adapters.base import first_file
from pondera.data.adapters.tables import Row
from pondera.data.importers.fields import HUB_FIELDS, Labels, choose_columns, labelled_sample
from pondera.errors import DatasetError, MissingExtra

_ROWS_AT_ONCE = 64  # an image may have many megabytes
_SPLITS = {"train": "train", "training": "train", "validation": "val", "valid": "val", "val": "val", "test": "test"}
_ENDS = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"RIFF", ".webp"))

_Reader = Callable[[Sequence[str]], Iterator[dict[str, Any]]]


def huggingface_samples(
    folder: Path, labels: Labels, *, dataset: str, columns: Mapping[str, str], media: Path
) -> Iterator[Sample]:
    """Samples of a downloaded data set; images that stand in its rows are written into a folder.

    Args:
        folder: what `hf download --repo-type dataset NAME --local-dir FOLDER` or `save_to_disk` made, or a file of it.
        labels: how its labels are read.
        dataset: name of the data set.
        columns: field (`HUB_FIELDS`) to column; `conversations.1.value` is a value inside one. Fields not named here
            are looked for under their own name; only `image` and `mos` must be there.
        media: folder for the images. An image cell may also hold a path: that file stays where it is.

    The split is that of the column, if there is one, else that of the file: train-00000-of-00002.parquet or
    train/0000.parquet. `validation` is val in both.

    Raises:
        ConfigError: a field is unknown.
        DatasetError: there are no such files, or a column, an image or a label is missing or wrong.
        MissingExtra: reading them needs pyarrow.
    """
    root = folder if folder.is_dir() else folder.parent
    for shard in _shards(folder):
        place = shard.relative_to(root).with_suffix("")
        split = _split_of(place)
        with _opened_shard(shard) as (names, words, read):
            chosen = choose_columns(shard, names, columns, HUB_FIELDS, nested=True)
            path_of = {field: _path_into(column, names) for field, column in chosen.items()}
            for number, entry in enumerate(read(sorted({path[0] for path in path_of.values()})), start=1):
                values = {field: _value(shard, number, entry, path) for field, path in path_of.items()}
                cell = values.pop("image")
                if isinstance(values.get("split"), str):
                    values["split"] = _SPLITS.get(values["split"].strip().lower(), values["split"])
                cells = {chosen[field]: _text(value, words.get(chosen[field])) for field, value in values.items()}
                row = Row(shard, number, cells)
                path = _image(row, cell, media / f"{'-'.join(place.parts)}-{number:06d}", (root, shard.parent))
                yield labelled_sample(row, chosen, labels, dataset=dataset, item=path.name, path=path, split=split)


def _shards(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    caches = ("cache-", "tmp")  # what `datasets` leaves beside the data of save_to_disk
    for end in ("parquet", "arrow"):
        found = sorted(path for path in folder.rglob(f"*.{end}") if not path.name.startswith(caches))
        if found:
            return found
    table = next(iter(sorted(folder.rglob("metadata.csv"))), None)
    if table:
        raise DatasetError(
            f"{folder}: images beside a table; import that: csv {table} --columns file=file_name,mos=..."
        )
    raise DatasetError(
        f"{folder}: no parquet or arrow files. Get them with: hf download --repo-type dataset NAME --local-dir {folder}"
    )


def _split_of(place: Path) -> str | None:
    """Of train-00000-of-00002, train/0000, train/data-00000-of-00001; a split of the publisher's own keeps its name."""
    stem = re.sub(r"-\d+-of-\d+$", "", place.name)
    for name in (stem, *reversed(place.parent.parts)):
        known = _SPLITS.get(name.removeprefix("partial-").lower())
        if known:
            return known
    return stem if stem not in (place.name, "data") else None


@contextmanager
def _opened_shard(shard: Path) -> Iterator[tuple[list[str], dict[str, list[str]], _Reader]]:
    """Names of its columns, the words of its class labels, and a reader of rows."""
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError:
        raise MissingExtra("reading parquet needs pyarrow", "report") from None
    try:
        if shard.suffix == ".arrow":
            with pyarrow.memory_map(str(shard)) as source, ipc.open_stream(source) as stream:
                yield stream.schema.names, _words(stream.schema), lambda columns: _rows(stream, columns)
        else:
            with parquet.ParquetFile(shard) as file:
                schema = file.schema_arrow
                yield (
                    schema.names,
                    _words(schema),
                    lambda columns: _rows(file.iter_batches(_ROWS_AT_ONCE, columns=list(columns)), columns),
                )
    except pyarrow.ArrowInvalid as error:
        raise DatasetError(f"{shard}: damaged, or a pointer of Git LFS ({error}); download it again") from None


def _rows(batches: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            yield from batch.select(columns).slice(start, _ROWS_AT_ONCE).to_pylist()


def _words(schema: Any) -> dict[str, list[str]]:
    """The words of every class label, from what `datasets` writes into a schema."""
    written = (schema.metadata or {}).get(b"huggingface")
    features = json.loads(written).get("info", {}).get("features", {}) if written else {}
    return {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _path_into(column: str, names: Sequence[str]) -> list[str]:
    """A column, and the keys and places inside it."""
    return [column] if column in names else column.split(".")


def _value(shard: Path, number: int, entry: dict[str, Any], path: Sequence[str]) -> Any:
    """What stands at the end of the path, None where a value on the way is null."""
    value: Any = entry[path[0]]
    for step in path[1:]:
        if value is None:
            return None
        place: Any = int(step) if isinstance(value, list) and step.isdecimal() else step
        there = len(value) if isinstance(value, list) else list(value) if isinstance(value, dict) else 0
        try:
            value = value[place]
        except (KeyError, IndexError, TypeError):
            raise DatasetError(
                f"{shard}:{number} (row): no {step!r} in {'.'.join(path)}; "
                + (f"there are {there} entries, from 0" if isinstance(there, int) else f"there are {', '.join(there)}")
            ) from None
    return value


def _text(value: Any, words: Sequence[str] | None) -> str:
    """A cell as text; of a class label its word, -1 being none."""
    if words and isinstance(value, int):
        return words[value] if 0 <= value < len(words) else ""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _image(row: Row, cell: Any, stem: Path, folders: Sequence[Path]) -> Path:
    """The file of an image: written from the bytes in a cell, or the one that a path in it names.

    An image cell is {bytes, path}, and sometimes bytes, a path, or a list of one of these.
    """
    while isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    parts = cell if isinstance(cell, dict) else {"bytes": cell} if isinstance(cell, bytes) else {"path": cell}
    content, name = parts.get("bytes"), parts.get("path")
    if isinstance(content, bytes) and content:
        path = stem.with_name(stem.name + _end(content, name))
        if not path.exists() or path.stat().st_size != len(content):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return path
    if isinstance(name, str) and name:
        return first_file([folder / name for folder in folders])
    found = json.dumps(cell, default=repr)[:60]
    raise DatasetError(f"{row.where} (row): no image, but {found}; name the column with --columns image=...")


def _end(content: bytes, name: Any) -> str:
    """How the name of a file with this content ends."""
    end = Path(name).suffix.lower() if isinstance(name, str) else ""
    return end or next((end for start, end in _ENDS if content.startswith(start)), ".png")
