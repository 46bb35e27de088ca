"""What `pondera data import NAME ROOT` reads for each name: a data set, a published list, or data of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from pondera.core.records import LabelScale, Sample
from pondera.data.adapters import get_adapter
from pondera.data.importers.fields import Labels
from pondera.data.importers.generic import deqa_samples, folder_samples
from pondera.data.importers.hub import huggingface_samples
from pondera.data.importers.own_table import csv_samples
from pondera.data.importers.published import get_list, list_samples
from pondera.errors import ConfigError

GENERIC: Mapping[str, str] = {
    "csv": "a table with a header, cells separated by commas, semicolons or tabs",
    "folder": "images and videos below a folder, without labels",
    "deqa": "a JSON list as DeQA-Score publishes them",
    "huggingface": "the parquet or Arrow files of a downloaded Hugging Face data set",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a user can say about their own data. Each source reads some of it and refuses the rest.

    Args:
        media: folder that names are relative to; for huggingface, where images are written.
        scale: bounds of the labels.
        columns: field to column.
        lower_is_better: turn labels around.
        levels: number of each word, for labels that are words.
        dataset: name of the data set; the file or folder name when not given.
    """

    media: Path | None = None
    scale: LabelScale | None = None
    columns: Mapping[str, str] | None = None
    lower_is_better: bool = False
    levels: Mapping[str, float] | None = None
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Samples, and what messages say about them.

    Args:
        samples: read as they are asked for.
        title: name in messages.
        origin: where to get the files; None for data of one's own.
        expected_count: labels of a whole release; None when it is not known.
        count_from: what was counted, as an adapter says it.
        missing_labels: label files that are not there, or are cut; as an adapter says it.
        has_bounds: the owner states bounds of the labels.
        split_counts: labels of each split whose number is known.
        label_files: those that are read; complete when all samples are.
    """

    samples: Iterator[Sample]
    title: str
    origin: str | None
    expected_count: int | None = None
    count_from: str = ""
    missing_labels: tuple[str, ...] = ()
    has_bounds: bool = True
    split_counts: Mapping[str, int] = field(default_factory=dict)
    label_files: Sequence[Path] = ()


def open_source(name: str, root: Path, options: Options) -> Source:
    """The source of this name.

    Args:
        name: a data set, a published list (`preresq-r1/pipal`), or one of `GENERIC`.
        root: folder of the data set or list; the file of csv and deqa.
        options: refused where the source does not read them.

    Raises:
        ConfigError: the name is unknown, an option does not belong to it, or one is missing.
    """
    if name in GENERIC:
        return _generic(name, root, options)
    if "/" in name:
        published = get_list(name)
        _refuse_others(options, name, {"media"})
        samples = list_samples(published, root, options.media or root)
        count = published.expected_count
        files = [root / file for file, _, _ in published.files]
        splits = {split: number for _, split, number in published.files if split}
        return Source(samples, name, published.source, count, split_counts=splits, label_files=files)
    adapter = get_adapter(name)
    _refuse_others(options, name, set())
    missing = tuple(adapter.missing_labels(root))
    samples, has_bounds = adapter.samples(root), adapter.scale is not None
    return Source(
        samples,
        adapter.title,
        adapter.source,
        adapter.expected_count,
        adapter.count_from,
        missing,
        has_bounds,
        adapter.split_counts,
        adapter.label_files,
    )


def where_from(name: str) -> str:
    """In words, what ROOT is for this name and where to get it.

    Raises:
        ConfigError: the name is unknown.
    """
    if name in GENERIC:
        return f"It is {GENERIC[name]}"
    if "/" in name:
        return f"It is the folder with the files of the list, from {get_list(name).source}"
    adapter = get_adapter(name)
    return f"It is the folder that {adapter.title} was unpacked into; get it from {adapter.source}"


def _generic(name: str, root: Path, options: Options) -> Source:
    dataset = options.dataset or root.absolute().stem
    columns = options.columns or {}
    if name == "folder":
        _refuse_others(options, name, {"dataset"})
        samples = folder_samples(root, dataset=dataset)
    elif name == "deqa":
        _refuse_others(options, name, {"dataset", "media"})
        samples = deqa_samples(root, dataset=dataset, media=options.media or root.parent)
    elif name == "csv":
        place = options.media or root.parent
        samples = csv_samples(root, _labels(options, name), dataset=dataset, columns=columns, media=place)
    else:
        if options.media is None:
            raise ConfigError("huggingface needs --media DIR: the folder that its images are written into")
        samples = huggingface_samples(
            root, _labels(options, name), dataset=dataset, columns=columns, media=options.media
        )
    return Source(samples, dataset, None)


def _labels(options: Options, name: str) -> Labels:
    if options.scale is None:
        raise ConfigError(f"{name} needs --scale LOW HIGH: the bounds of its labels, such as --scale 1 5")
    return Labels(options.scale, options.lower_is_better, options.levels or {})


def _refuse_others(options: Options, name: str, known: set[str]) -> None:
    for option in fields(options):
        if option.name not in known and getattr(options, option.name):
            raise ConfigError(f"--{option.name.replace('_', '-')} means nothing to {name!r}; leave it out")
