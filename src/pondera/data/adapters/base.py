"""What a data set adapter is, and what all of them share: finding files, checking labels, building samples.

An adapter reads the files of one public data set as their owner publishes them and yields samples. It does not
download, shuffle, resize or normalise. It turns lower-is-better labels around, once, and its docstring says so.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pondera.core.records import LabelScale, Media, MediaKind, Sample
from pondera.data.adapters.tables import Row
from pondera.errors import DatasetError

CountSource = Literal["owner's files", "list", "print", "unknown"]


class Adapter(ABC):
    """One public data set. The docstring of a subclass holds citation, label direction, a raw row and the evidence.

    Evidence is what shows the layout: a public file or reader, as owner/name@commit:path on GitHub.

    Class attributes:
        name: registry name, and the `dataset` of its samples.
        version: raised when samples, labels or splits change, so that scores stay comparable within a version.
        title: the set's name in print.
        kind: image or video.
        rates: what the label rates, one of `prompts.QUESTIONS`; "" where that is not known.
        scale: nominal scale of the labels, higher is better; None when the owner states no bounds, in which case
            the observed range of the whole release is the scale.
        expected_count: labelled items of a whole release; None where the owner's file could not be counted.
        count_from: what was counted: a public copy of the owner's label files, a list that others publish, or nothing
            (print: a number in publications); unknown where no count is expected.
        splits: the official splits and where they come from; "none" when there are none.
        split_counts: labels of each split whose number is known.
        licence: terms of use in a few words.
        source: where to download it.
        verified: whether there is public evidence for the layout of the owner's files.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    title: ClassVar[str]
    kind: ClassVar[MediaKind] = "image"
    rates: ClassVar[str] = "quality"
    scale: ClassVar[LabelScale | None]
    expected_count: ClassVar[int | None]
    count_from: ClassVar[CountSource]
    splits: ClassVar[str] = "none"
    split_counts: ClassVar[Mapping[str, int]] = MappingProxyType({})
    licence: ClassVar[str]
    source: ClassVar[str]
    verified: ClassVar[bool] = True

    @property
    def citation(self) -> str:
        """Who to cite, as the docstring of the class says; empty where it does not."""
        _, _, rest = inspect.cleandoc(type(self).__doc__ or "").partition("Citation:")
        return " ".join(rest.partition("Evidence:")[0].split()).removesuffix(".")

    @abstractmethod
    def samples(self, root: Path) -> Iterator[Sample]:
        """Every labelled item in the order of the owner's label file; media files need not be there yet.

        Args:
            root: the folder the data set was unpacked into.

        Raises:
            DatasetError: a label file is missing or a row is wrong; the message names it and the way out.
        """

    def missing_labels(self, root: Path) -> list[str]:
        """Label files of a whole release that are not there, or are cut; for sets with one label file per reference.

        Others have no list of their label files to hold a folder against: `samples` asks for each one by name.

        Args:
            root: as in `samples`.

        Raises:
            DatasetError: the folder of the label files is missing.
        """
        return []

    @cached_property
    def label_files(self) -> list[Path]:
        """Those that `file` has found so far, each once: what a wrong count is about."""
        return []

    def file(self, root: Path, *names: str) -> Path:
        """The first of these label files, or folders of them, that exists below `root`.

        Raises:
            DatasetError: none does; says what to download and from where.
        """
        for name in names:
            if (root / name).exists():
                if root / name not in self.label_files:
                    self.label_files.append(root / name)
                return root / name
        others = f" (or {', '.join(names[1:])})" if names[1:] else ""
        raise DatasetError(
            f"{root / names[0]}: missing{others}. {self.title} needs it. Where to download: {self.source}. "
            f"Then give the folder into which it was unpacked"
        )

    def sample(
        self,
        row: Row,
        item: str,
        mos: float,
        media: Iterable[Media],
        *,
        scale: LabelScale | None = None,
        **more: Any,
    ) -> Sample:
        """A sample called `name/item`.

        Args:
            row: where the label stands; named when it is wrong.
            item: name of the item, unique in the data set.
            mos: label on the scale, higher is better.
            media: its files.
            scale: only where the adapter states none.
            more: further fields of the sample; None and empty ones are left out. A `reference` becomes
                `name/reference`, so that equal names in two data sets stay two contents.

        Raises:
            DatasetError: the label is not on the scale, or nobody voted.
        """
        refuse_no_votes(row, more.get("votes"))
        scale = scale or self.scale
        assert scale is not None  # an adapter without a scale passes the observed one
        if more.get("reference"):
            more["reference"] = f"{self.name}/{more['reference']}"
        more["meta"] = {**(more.get("meta") or {}), "adapter_version": self.version}
        return Sample(
            id=f"{self.name}/{item}",
            media=tuple(media),
            kind=self.kind,
            dataset=self.name,
            mos=on_scale(mos, scale, row),
            scale=scale,
            **{key: value for key, value in more.items() if value not in (None, "")},
        )


def on_scale(mos: float, scale: LabelScale, row: Row, way_out: str = "correct the row") -> float:
    """The label, if it lies on the scale.

    A hair outside is rounding, as in the 100.00000000000001 of a published list, and becomes the bound.

    Raises:
        DatasetError: it lies outside; names file, line and value.
    """
    nearest = min(max(mos, scale.low), scale.high)
    if math.isnan(mos) or abs(mos - nearest) > 1e-9 * scale.width:
        raise DatasetError(f"{row.where}: label {mos:g} is outside {scale.low:g}..{scale.high:g}; {way_out}")
    return nearest


def refuse_no_votes(row: Row, votes: Sequence[float] | None) -> None:
    """Refuse votes of nobody; negative ones are refused where they are read.

    Raises:
        DatasetError: there are votes, and all are 0.
    """
    if votes is not None and not any(votes):
        raise DatasetError(f"{row.where}: the votes are all 0; correct the row, or remove it")


def observed_scale(labels: Iterable[float], where: Path) -> LabelScale:
    """The range of these labels.

    Raises:
        DatasetError: there are fewer than two different labels.
    """
    found = list(labels)
    if not found or not min(found) < max(found):
        raise DatasetError(f"{where}: the labels have no range ({len(found)} labels); is the file whole?")
    return LabelScale(min(found), max(found))


def tested(path: Path, reference: Path | None = None) -> tuple[Media, ...]:
    """The file to be judged, and what it was made from."""
    test = Media(path.as_posix())
    return (test,) if reference is None else (test, Media(reference.as_posix(), "reference"))


def first_file(paths: Sequence[Path]) -> Path:
    """The first of these that is there; where none is, the first, at which it was expected."""
    return next((path for path in paths if path.is_file()), paths[0])


class FileIndex:
    """Finds files by name anywhere below a folder, letter case ignored.

    For releases whose archives unpack into folders of the user's choice, and for those whose names differ in letter
    case between table and disk (TID2013).
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path_of: Mapping[str, Path] = {
            path.name.lower(): path for path in sorted(root.rglob("*"), reverse=True) if path.is_file()
        }

    def path(self, name: str) -> Path:
        """The file of this name; where there is none, the path at which it was expected."""
        return self._path_of.get(name.lower(), self._root / name)
