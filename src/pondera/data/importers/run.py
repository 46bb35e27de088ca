"""Importing: the checks that every source of samples goes through before its manifest is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pondera.core.records import LabelScale, Sample
from pondera.errors import DatasetError

_MOST_NAMED = 3
Range = Literal["nominal", "observed"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found.

    Args:
        samples: those to write.
        num_without_files: samples left out because a file is missing.
        warnings: what a user has to know about the labels.
    """

    samples: tuple[Sample, ...]
    num_without_files: int
    warnings: tuple[str, ...] = ()

    @property
    def split_counts(self) -> Mapping[str, int]:
        """Samples per split; "" is no split."""
        return Counter(sample.split or "" for sample in self.samples)


def import_samples(
    found: Iterable[Sample],
    *,
    title: str,
    source: str | None,
    expected_count: int | None = None,
    count_from: str = "",
    label_range: Range = "nominal",
    partial: bool = False,
    check_media: bool = True,
    missing_labels: Sequence[str] = (),
    has_bounds: bool = True,
    split_counts: Mapping[str, int] = MappingProxyType({}),
    label_files: Sequence[Path] = (),
) -> Imported:
    """Check count, ids and files, and settle the scale.

    Args:
        found: samples of one data set.
        title: its name in messages.
        source: where to download it, for messages; None for data of one's own.
        expected_count: labels of a whole release; None when it is not known.
        count_from: what was counted; the message about another number says "print", which nobody counted.
        label_range: `observed` makes the smallest and largest label of the whole release the scale (labels stay as
            they are), which is what several published results were computed with.
        partial: take what is there: fewer labels than expected, and only samples whose files exist.
        check_media: look whether every file exists.
        missing_labels: label files known to be missing or cut, named in messages.
        has_bounds: the owner states bounds; otherwise the scale is the observed range in any case.
        split_counts: labels of each split of a whole release whose number is known.
        label_files: what was counted, named in messages; looked at when all samples are read.

    Raises:
        DatasetError: labels or files are missing, an id occurs twice, or nothing is left; says what to do.
    """
    way_out = f"Download it again from {source}, or take what is there with --partial"
    if missing_labels and not partial:  # before the rows are read, which may be none
        raise DatasetError(f"{title}: {_named(missing_labels)}. {way_out}")
    samples = list(found)
    _check_ids(samples, title)
    count = f"{len(samples):,} labels" + (f" instead of {expected_count:,}" if expected_count is not None else "")
    if count_from == "print":
        count += " (a number from print)"
    lacking = _lacking(samples, expected_count, count, split_counts)
    is_cut = bool(missing_labels or lacking)
    counted = f" (counted in {_first(list(map(str, label_files)))})" if label_files else ""
    if lacking and not partial:
        raise DatasetError(f"{title}: {'; '.join(lacking)}: a cut file or another release{counted}. {way_out}")
    warnings = [f"{title}: taken in part: {what}" for what in ([_named(missing_labels)] if missing_labels else [])]
    warnings += [f"{title}: taken in part: {what}" for what in lacking]
    num_without_split = sum(sample.split is None for sample in samples)
    if split_counts and num_without_split:
        warnings.append(f"{title}: {num_without_split:,} labels are in no split: no table of the owner names them")
    if expected_count is None and source is not None:
        warnings.append(
            f"{title}: {count} read; how many a whole release has is not known here, so a cut label file cannot be "
            f"noticed. Compare with {source}"
        )
    if is_cut and (label_range == "observed" or not has_bounds):
        warnings.append(
            f"{title}: the scale is the range of {count}, so that a whole release may have another; do not mix the two"
        )
    if label_range == "observed":
        samples = _observed(samples)
    whole = _with_files(samples, title, source, partial) if check_media else samples
    if not whole:
        raise DatasetError(f"{title}: nothing to import{counted}" + (f"; download it from {source}" if source else ""))
    return Imported(tuple(whole), len(samples) - len(whole), tuple(warnings))


def _lacking(
    samples: Sequence[Sample], expected_count: int | None, count: str, split_counts: Mapping[str, int]
) -> list[str]:
    """What is not as in a whole release, in words: the number of labels, and that of each split."""
    found = [count] if expected_count not in (None, len(samples)) else []
    number_of = Counter(sample.split for sample in samples)
    return found + [
        f"split {split} has {number_of[split]:,} labels instead of {number:,}"
        for split, number in split_counts.items()
        if number_of[split] != number
    ]


def _named(missing: Sequence[str]) -> str:
    """How many label files are missing or cut, and the first of them."""
    are = "label file is" if len(missing) == 1 else "label files are"
    return f"{len(missing):,} {are} missing or cut: {_first(missing)}"


def _first(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _check_ids(samples: list[Sample], title: str) -> None:
    for name, count in Counter(sample.id for sample in samples).most_common(1):
        if count > 1:
            raise DatasetError(f"{title}: {name!r} has {count} labels; a sample has one. Keep one row")


def _observed(samples: list[Sample]) -> list[Sample]:
    """The samples with the range of their labels as scale; unlabelled ones keep theirs."""
    labels = [sample.mos for sample in samples if sample.mos is not None]
    if not labels or min(labels) == max(labels):
        raise DatasetError("the labels have no range to observe; use --range nominal")
    scale = LabelScale(min(labels), max(labels))
    return [sample if sample.mos is None else replace(sample, scale=scale) for sample in samples]


def _with_files(samples: list[Sample], title: str, source: str | None, partial: bool) -> list[Sample]:
    if not partial:
        way_out = f"Download them from {source}" if source else "Say with --media DIR where the files are"
        require_files(samples, title, f"{way_out}, or take what is there with --partial")
        return samples
    exists = _exists(samples)
    return [sample for sample in samples if all(exists[media.path] for media in sample.media)]


def require_files(samples: Sequence[Sample], title: object, way_out: str) -> None:
    """Look whether the media of all samples are there.

    Args:
        samples: of one data set.
        title: its name in the message.
        way_out: last sentence of the message.

    Raises:
        DatasetError: a file is missing; names the first in order and counts all.
    """
    exists = _exists(samples)
    missing = [path for path, is_there in exists.items() if not is_there]
    if missing:
        raise DatasetError(
            f"{missing[0]}: missing ({len(missing):,} of {len(exists):,} files of {title} are). {way_out}"
        )


def _exists(samples: Sequence[Sample]) -> dict[str, bool]:
    """Whether each file is there, in the order of the samples."""
    paths = dict.fromkeys(media.path for sample in samples for media in sample.media)
    return {path: Path(path).is_file() for path in paths}
