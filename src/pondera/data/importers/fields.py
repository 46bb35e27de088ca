"""What the columns of a data set of one's own are, and how its labels become numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pondera.core.records import LabelScale, Media, MediaKind, Sample
from pondera.data.adapters.base import on_scale
from pondera.data.adapters.tables import Row
from pondera.data.images import is_image_file
from pondera.data.video.container import is_video_file
from pondera.errors import ConfigError, DatasetError

_MORE = ("mos_std", "split", "reference", "subset", "text", "id")
CSV_FIELDS = ("file", "mos", *_MORE)
HUB_FIELDS = ("image", "mos", *_MORE)

# Names that such columns often have; they are suggested, never taken by themselves.
_MEDIA_NAMES = (
    "image",
    "image_name",
    "img",
    "image_path",
    "img_path",
    "filename",
    "file_name",
    "name",
    "path",
    "video",
)
_OFTEN = {
    "file": _MEDIA_NAMES,
    "image": ("img", "picture", "photo", "images", "bytes"),
    "mos": (
        "score",
        "label",
        "rating",
        "quality_mos",
        "mean_score",
        "mos_quality",
        "mean",
        "gt_score",
        "quality",
        "dmos",
    ),
}
_NOTHING = frozenset({"na", "nan", "none", "null", "inf"})  # what programs write where there is no number


@dataclass(frozen=True, slots=True)
class Labels:
    """How a cell becomes a label.

    Args:
        scale: bounds of the labels as they stand in the data set.
        lower_is_better: turn labels around on the scale.
        levels: number of each word, for labels that are words; empty for labels that are numbers.
    """

    scale: LabelScale
    lower_is_better: bool = False
    levels: Mapping[str, float] = field(default_factory=dict)

    def read(self, row: Row, column: str, decimal: str = ".") -> float:
        """The label of a row, higher is better; `75%` is 75.

        Raises:
            DatasetError: the cell holds no number or no known word, or the label is off the scale.
        """
        text = row.text(column)
        if self.levels:
            if text not in self.levels:
                known = ", ".join(self.levels)
                raise DatasetError(f"{row.where}: {column} is {text!r}, which --levels does not name; it names {known}")
            value = self.levels[text]
        else:
            value = _number(row, column, text, decimal)
        label = on_scale(value, self.scale, row, "correct the row, or --scale LOW HIGH")
        return self.scale.low + self.scale.high - label if self.lower_is_better else label


def media_kind(path: str | Path) -> MediaKind:
    """By the end of the name; a GIF counts as an image."""
    return "video" if is_video_file(path) and not is_image_file(Path(path)) else "image"


def choose_columns(
    where: object, found: Sequence[str], asked: Mapping[str, str], fields: Sequence[str], *, nested: bool = False
) -> dict[str, str]:
    """The column of every field that has one.

    A field takes the column that is asked for, or the one of its own name, whatever the letter case.

    Args:
        where: the table, for messages.
        found: its columns.
        asked: field to column.
        fields: that there are; the first two are needed.
        nested: behind a dot stands a key or a place inside a column, as in `conversations.1.value`.

    Raises:
        ConfigError: there is no such field.
        DatasetError: a column that is asked for or needed is not there; lists those that are.
    """
    unknown = [name for name in asked if name not in fields]
    if unknown:
        raise ConfigError(f"no field is called {unknown[0]!r}; there are {', '.join(fields)}")
    columns = {}
    for name in fields:
        column = _match(asked.get(name, name), found, nested)
        if column is not None:
            columns[name] = column
        elif name in asked:
            raise DatasetError(
                f"{where}: no column {asked[name]!r}, which --columns names for {name}; there are {', '.join(found)}"
            )
    missing = [name for name in fields[:2] if name not in columns]
    if missing:
        raise DatasetError(
            f"{where}: no column {missing[0]!r}; there are {', '.join(found)}. {_advice(missing, found)}"
        )
    return columns


def labelled_sample(
    row: Row,
    columns: Mapping[str, str],
    labels: Labels,
    *,
    dataset: str,
    item: str,
    path: Path,
    decimal: str = ".",
    split: str | None = None,
) -> Sample:
    """The sample of a row.

    Args:
        row: its cells.
        columns: field to column.
        labels: how its label is read.
        dataset: name of the data set.
        item: name of the sample where no column holds an id.
        path: its file.
        decimal: the decimal mark.
        split: where no column holds one.

    Raises:
        DatasetError: a value is missing or wrong.
    """
    there = {name: column for name, column in columns.items() if row.has(column)}
    more: dict[str, Any] = {"split": split} if split else {}
    more |= {name: row.text(there[name]) for name in ("split", "reference", "subset", "text") if name in there}
    if "mos_std" in there:
        more["mos_std"] = row.number(there["mos_std"], decimal=decimal, low=0.0)
    return Sample(
        id=row.text(there["id"]) if "id" in there else f"{dataset}/{item}",
        media=(Media(path.as_posix()),),
        kind=media_kind(path),
        dataset=dataset,
        mos=labels.read(row, columns["mos"], decimal),
        scale=labels.scale,
        **more,
    )


def _number(row: Row, column: str, text: str, decimal: str) -> float:
    if decimal == "." and re.fullmatch(r"-?\d+,\d+", text):
        raise DatasetError(
            f"{row.where}: {column} is {text!r}; write it with a dot, or separate cells by semicolons, and commas are "
            "decimal marks"
        )
    if re.fullmatch(r"[^\W\d_][\w -]*", text) and text.lower() not in _NOTHING:
        raise DatasetError(
            f"{row.where}: {column} is {text!r}, a word; name a column of numbers with --columns mos=..., or give each "
            "word its number with --levels bad=1,poor=2,..."
        )
    bare = Row(row.file, row.line, {column: text.removesuffix("%")})
    return bare.number(column, decimal=decimal)


def _match(column: str, found: Sequence[str], nested: bool) -> str | None:
    """The column of this name; of a nested one, `a.b`, the whole of it when `a` is there."""
    top, dot, rest = column.partition(".")
    for wanted, tail in ((column, ""), (top, dot + rest))[: 2 if nested else 1]:
        same = [name for name in found if name == wanted] or [n for n in found if n.lower() == wanted.lower()]
        if len(same) == 1:
            return same[0] + tail
    return None


def _advice(missing: Sequence[str], found: Sequence[str]) -> str:
    """How to name the columns, with those that look right."""
    guesses = {}
    for name in missing:
        likely = [column for column in found for often in _OFTEN[name] if column.lower() == often]
        guesses[name] = likely[0] if likely else "..."
    return f"Say which it is: --columns {','.join(f'{name}={column}' for name, column in guesses.items())}"
