"""Checking a manifest before hours of training depend on it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pondera.core.records import LabelScale, Sample
from pondera.data.images import load_image
from pondera.data.manifest import read_manifest
from pondera.errors import MediaError

_NUM_BINS = 8


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """The labels of one dataset.

    Args:
        scale: nominal scale of its labelled samples.
        mean: of the labels.
        std: population standard deviation.
        low: smallest label.
        high: largest label.
        histogram: how many labels lie in each of 8 equal parts of the scale, worst first.
    """

    scale: LabelScale
    mean: float
    std: float
    low: float
    high: float
    histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ManifestReport:
    """What `check_manifest` found.

    Args:
        path: the manifest.
        num_samples: lines.
        num_contents: distinct contents.
        split_counts: samples per split; "" is no split.
        dataset_counts: samples per dataset.
        num_unlabelled: samples without `mos`.
        labels: per dataset that has labels.
        errors: what makes results wrong: unreadable files, contents or identical files in two splits, two scales.
        warnings: what deserves a look: identical files in one split, labels that never vary.
    """

    path: Path
    num_samples: int
    num_contents: int
    split_counts: Mapping[str, int]
    dataset_counts: Mapping[str, int]
    num_unlabelled: int
    labels: Mapping[str, LabelSummary]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        """Whether there are no errors."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self) | {"path": str(self.path), "is_ok": self.is_ok}

    def to_text(self) -> str:
        """For people: counts, a histogram per dataset, then warnings and errors."""
        lines = [f"{self.path}: {self.num_samples} samples, {self.num_contents} contents"]
        lines += [f"  split {name or '(none)'}: {count}" for name, count in self.split_counts.items()]
        if self.num_unlabelled:
            lines.append(f"  without a label: {self.num_unlabelled}")
        for dataset, label in self.labels.items():
            lines.append(
                f"  {dataset}: labels {label.low:.3g} to {label.high:.3g} on [{label.scale.low:g}, "
                f"{label.scale.high:g}], mean {label.mean:.3g}, std {label.std:.3g}"
            )
            lines.append(f"    histogram, worst first: {' '.join(map(str, label.histogram))}")
        lines += [f"warning: {text}" for text in self.warnings] + [f"error: {text}" for text in self.errors]
        return "\n".join([*lines, "ok" if self.is_ok else f"{len(self.errors)} error(s)"])


def check_manifest(path: str | Path, *, decode: bool = True) -> ManifestReport:
    """Read every line and every file of a manifest and report what is wrong, all of it at once.

    Args:
        path: a JSONL manifest.
        decode: decode each image fully; False only asks whether the files are there and not empty. Videos are never
            decoded.

    Raises:
        ManifestError: a line cannot be read; later lines are then not looked at.
    """
    path = Path(path)
    samples = read_manifest(path)
    errors, warnings = _check_media(samples, decode)
    errors += _straddling(samples)
    labels = {}
    for dataset in dict.fromkeys(s.dataset for s in samples):
        labelled = [s for s in samples if s.dataset == dataset and s.mos is not None]
        if len({s.scale for s in labelled}) > 1:
            scales = sorted({f"[{s.scale.low:g}, {s.scale.high:g}]" for s in labelled if s.scale})
            errors.append(f"dataset {dataset!r} has labels on {' and '.join(scales)}; one dataset has one scale")
        elif labelled:
            labels[dataset] = _summary(labelled)
            if len(labelled) > 1 and labels[dataset].std == 0:
                warnings.append(f"dataset {dataset!r}: all {len(labelled)} labels are {labelled[0].mos:g}")
    return ManifestReport(
        path=path,
        num_samples=len(samples),
        num_contents=len({s.content for s in samples}),
        split_counts=dict(Counter(s.split or "" for s in samples)),
        dataset_counts=dict(Counter(s.dataset for s in samples)),
        num_unlabelled=sum(s.mos is None for s in samples),
        labels=labels,
        errors=tuple(errors),
        warnings=tuple(warnings),
    )


def _check_media(samples: Sequence[Sample], decode: bool) -> tuple[list[str], list[str]]:
    """Look at each file once; a file that is the test medium of two samples is a duplicate as its copy would be."""
    problem_of: dict[str, str | None] = {}
    digest_of: dict[str, str] = {}
    tested: defaultdict[str, list[Sample]] = defaultdict(list)
    errors = []
    for sample in samples:
        for media in sample.media:
            if media.path not in problem_of:
                as_image = decode and (sample.kind == "image" or media.role in ("frame", "montage"))
                problem_of[media.path] = _problem(media.path, as_image)
            problem = problem_of[media.path]
            if problem is not None:
                errors.append(f"sample {sample.id!r}: {problem}")
            elif media.role == "test":
                digest = digest_of.setdefault(media.path, "") or _digest(media.path)
                digest_of[media.path] = digest
                tested[digest].append(sample)
    warnings = []
    for same in tested.values():
        ids = list(dict.fromkeys(s.id for s in same))
        if len(ids) > 1 and len({s.split for s in same}) > 1:
            errors.append(f"samples {_listed(ids)} are the same file in different splits; keep one of them")
        elif len(ids) > 1:
            warnings.append(f"samples {_listed(ids)} are the same file")
    return errors, warnings


def _problem(path: str, as_image: bool) -> str | None:
    """What is wrong with a file, or None."""
    try:
        if as_image:
            load_image(path)
        elif not Path(path).is_file():
            return f"{path}: no such file; paths are relative to the manifest"
        elif Path(path).stat().st_size == 0:
            return f"{path}: the file is empty (0 bytes); copy or download it again"
    except MediaError as error:
        return str(error)
    return None


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _straddling(samples: Sequence[Sample]) -> list[str]:
    splits_of: defaultdict[str, set[str]] = defaultdict(set)
    for sample in samples:
        splits_of[sample.content].add(sample.split or "(none)")
    return [
        f"content {content!r} is in the splits {', '.join(sorted(splits))}; split by content: pondera data split"
        for content, splits in splits_of.items()
        if len(splits) > 1
    ]


def _summary(labelled: Sequence[Sample]) -> LabelSummary:
    scale = labelled[0].scale
    assert scale is not None  # a label without a scale does not get past the reader
    mos = [s.mos for s in labelled if s.mos is not None]
    mean = math.fsum(mos) / len(mos)
    std = math.sqrt(math.fsum((m - mean) ** 2 for m in mos) / len(mos)) if max(mos) > min(mos) else 0.0
    bins = Counter(min(_NUM_BINS - 1, int((m - scale.low) / scale.width * _NUM_BINS)) for m in mos)
    return LabelSummary(scale, mean, std, min(mos), max(mos), tuple(bins[b] for b in range(_NUM_BINS)))


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:5])) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
