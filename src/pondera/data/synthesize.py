"""Making a labelled data set: crops of pristine content, damaged on purpose, graded by a full-reference metric.

A plan comes first: what happens to sample n of a content depends on seed, content and n alone. Then batches of the plan
are made in parallel; each leaves its images and, last, a record of them, so that an interrupted run goes on where it
was and the number of workers changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pondera.core.records import FIVE_POINT, Distortion, Media, Sample
from pondera.data.dead_leaves import DeadLeaves
from pondera.data.distortions import CAPTURE_ORDER, DISTORTIONS, distort
from pondera.data.full_reference import mdsi, pseudo_mos
from pondera.data.images import UInt8Array, load_image
from pondera.data.manifest import write_manifest
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.errors import DatasetError

MANIFEST_NAME = "manifest.jsonl"
VERSION = 1  # raise it when the same settings would give other images or labels

_SETTINGS_NAME = "synthesis.json"
_BATCH = 25  # samples a worker makes at a time: small enough to share the work evenly
_CONTENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BOX_LEVELS = (3, 4, 5)  # weaker damage on a part of an image is not seen
_BOX_SIDE = (0.3, 0.7)  # of the image's sides


@dataclass(frozen=True, slots=True)
class Reference:
    """Pristine content.

    Args:
        content: its id: letters, digits, dot, dash, underscore; it names a folder.
        source: an image file, or a procedural image.
    """

    content: str
    source: str | Path | DeadLeaves


@dataclass(frozen=True, slots=True)
class Mix:
    """What a data set is made of. The four shares sum to 1.

    Args:
        pristine: share of untouched crops.
        single: share with one distortion of the whole image.
        double: share with two, of different aspects, in the order in which a camera would add them.
        local: share with one distortion inside a box.
        types: names in `DISTORTIONS`; each is used equally often.

    Raises:
        ValueError: a share is negative, they do not sum to 1, a type is unknown, or double has only one aspect.
    """

    pristine: float = 0.06
    single: float = 0.60
    double: float = 0.22
    local: float = 0.12
    types: tuple[str, ...] = field(default_factory=lambda: tuple(DISTORTIONS))

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"the shares of a mix are >= 0 and sum to 1, got {self.shares}")
        unknown = [name for name in self.types if name not in DISTORTIONS]
        if unknown or not self.types or len(set(self.types)) != len(self.types):
            raise ValueError(f"types must be distinct names of {', '.join(DISTORTIONS)}; got {self.types}")
        if self.double > 0 and len({DISTORTIONS[name].aspect for name in self.types}) < 2:
            raise ValueError(f"two distortions need types of two aspects, got {self.types}; set double to 0")

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """Pristine, single, double, local."""
        return (self.pristine, self.single, self.double, self.local)


@dataclass(frozen=True, slots=True)
class _Plan:
    """One sample to be made: `place` is where the crop lies, in shares of the room there is."""

    content: str
    index: int
    place: tuple[float, float]
    distortions: tuple[Distortion, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class _Batch:
    reference: Reference
    split: str
    plans: tuple[_Plan, ...]

    @property
    def name(self) -> str:
        return f"{self.reference.content}-{self.plans[0].index:05d}"


def bundled_references(num_dead_leaves: int = 0) -> tuple[list[Reference], dict[str, str]]:
    """The photographs of the package (13 train, 3 val, 8 test), and procedural images in train as asked for.

    Returns:
        References, and the split of each content: the arguments `references` and `splits` of `synthesize`.
    """
    references = [Reference(path.stem, path) for path in list_photographs()]
    references += [Reference(f"leaves-{n:03d}", DeadLeaves(n)) for n in range(1, num_dead_leaves + 1)]
    return references, {r.content: PHOTOGRAPH_SPLITS.get(r.content, "train") for r in references}


def synthesize(
    out: str | Path,
    *,
    references: Sequence[Reference],
    num_per_reference: int | Mapping[str, int],
    splits: Mapping[str, str],
    seed: int,
    size: tuple[int, int] = (384, 256),
    mix: Mix | None = None,
    num_workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make a data set with pseudo-MOS labels on [1, 5], as PNG files and a manifest.

    Each sample is a crop at native resolution, damaged as the mix says; its label is `pseudo_mos(mdsi(crop, damaged))`.
    Samples of one content share `reference`. The result depends on the arguments but not on `num_workers`, nor on
    whether the run was interrupted. With more than one worker, processes are spawned: a script needs its
    `if __name__ == "__main__":`.

    Args:
        out: folder, made if need be; a run with the same settings that was interrupted there goes on.
        references: distinct contents.
        num_per_reference: samples per content, or per content of each split, > 0.
        splits: the split of each content.
        seed: >= 0.
        size: width and height of the crops in pixels; a smaller source is used whole in that direction.
        mix: shares and types; None is `Mix()`.
        num_workers: processes; None is the number of processors, at most 4.
        on_progress: called with (samples done, samples in all) after each batch.

    Returns:
        The manifest, `out / "manifest.jsonl"`.

    Raises:
        ValueError: an argument is wrong.
        DatasetError: the folder holds a data set with other settings, or other files.
        MediaError: a source cannot be read.
    """
    out, mix = Path(out), mix or Mix()
    counts = _counts(references, splits, num_per_reference, size, seed)
    settings = _settings(references, counts, splits, seed, size, mix)
    _claim(out, settings)
    manifest = out / MANIFEST_NAME
    batches = list(_batches(references, counts, splits, seed, mix))
    todo = [b for b in batches if not _is_made(out, b, listed=manifest.is_file())]
    total = sum(counts.values())
    done = total - sum(len(b.plans) for b in todo)
    for num in _mapped(partial(_make_batch, out, size), todo, num_workers):
        done += num
        if on_progress:
            on_progress(done, total)
    if not manifest.is_file():
        write_manifest(manifest, (s for b in batches for s in _recorded(out, b)))
    _remove_records(out, batches)
    return manifest


def _counts(
    references: Sequence[Reference],
    splits: Mapping[str, str],
    num_per_reference: int | Mapping[str, int],
    size: tuple[int, int],
    seed: int,
) -> dict[str, int]:
    """Samples per content, after a look at the arguments."""
    contents = [r.content for r in references]
    if not contents or len(set(contents)) != len(contents):
        raise ValueError(f"references must be at least one, with distinct contents; got {contents}")
    bad = [c for c in contents if not _CONTENT_ID.fullmatch(c)]
    if bad:
        raise ValueError(f"content id {bad[0]!r}: use letters, digits, dot, dash, underscore; it names a folder")
    without = [c for c in contents if c not in splits]
    if without:
        raise ValueError(f"content {without[0]!r} has no split; give one to each content")
    if min(size) < 1 or seed < 0:
        raise ValueError(f"size must be >= 1 pixel each way and seed >= 0, got size {size}, seed {seed}")
    if isinstance(num_per_reference, int):
        counts = dict.fromkeys(contents, num_per_reference)
    else:
        missing = sorted({splits[c] for c in contents} - set(num_per_reference))
        if missing:
            raise ValueError(f"num_per_reference has no number for the split {missing[0]!r}")
        counts = {c: num_per_reference[splits[c]] for c in contents}
    if min(counts.values()) < 1:
        raise ValueError(f"num_per_reference must be >= 1, got {num_per_reference}")
    return counts


def _settings(
    references: Sequence[Reference],
    counts: Mapping[str, int],
    splits: Mapping[str, str],
    seed: int,
    size: tuple[int, int],
    mix: Mix,
) -> dict[str, Any]:
    """All that the result depends on, as plain JSON types."""
    return {
        "version": VERSION,
        "seed": seed,
        "size": list(size),
        "mix": asdict(mix) | {"types": {name: list(DISTORTIONS[name].levels) for name in mix.types}},
        "references": {r.content: [splits[r.content], counts[r.content], _digest(r.source)] for r in references},
    }


def _digest(source: str | Path | DeadLeaves) -> str:
    if isinstance(source, DeadLeaves):
        return f"dead leaves {source.seed}, {source.size[0]} x {source.size[1]}"
    if not Path(source).is_file():
        load_image(source)  # says what is wrong with it
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


def _claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder ours, or make sure that it already is."""
    path = out / _SETTINGS_NAME
    text = json.dumps(settings, indent=1)
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            before = {}
        if before != json.loads(text):
            keys = [key for key in settings if before.get(key) != json.loads(text)[key]]
            raise DatasetError(
                f"{path}: this folder holds a data set with other settings ({', '.join(keys) or 'more of them'}); "
                "choose another folder, or delete this one"
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise DatasetError(f"{out}: the folder is not empty and no data set of ours; choose a new or empty folder")
    out.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _batches(
    references: Sequence[Reference], counts: Mapping[str, int], splits: Mapping[str, str], seed: int, mix: Mix
) -> Iterator[_Batch]:
    for reference in references:
        plans = _planned(reference.content, counts[reference.content], seed, mix)
        for start in range(0, len(plans), _BATCH):
            yield _Batch(reference, splits[reference.content], tuple(plans[start : start + _BATCH]))


def _planned(content: str, num: int, seed: int, mix: Mix) -> list[_Plan]:
    """What to make of one content: shares within one sample of the mix, types and levels equally often."""
    generator = np.random.default_rng([seed, zlib.crc32(content.encode())])
    # Evenly spaced points with one random offset: counts near n * share, and right on average however small n is.
    points = (generator.permutation(num) + generator.random()) / num
    kinds = np.searchsorted(np.cumsum(mix.shares[:3]), points, side="right")
    types, levels, box_levels = (_dealt(generator, cards) for cards in (mix.types, (1, 2, 3, 4, 5), _BOX_LEVELS))
    plans = []
    for index, kind in enumerate(kinds.tolist()):
        distortions: tuple[Distortion, ...] = ()
        if kind == 1:
            distortions = (Distortion(next(types), next(levels)),)
        elif kind == 2:
            distortions = _pair(types, levels)
        elif kind == 3:
            distortions = (Distortion(next(types), next(box_levels), _box(generator)),)
        place = (generator.random(), generator.random())
        plans.append(_Plan(content, index, place, distortions, int(generator.integers(2**31))))
    return plans


def _dealt(generator: np.random.Generator, cards: Sequence[Any]) -> Iterator[Any]:
    """Deal shuffled decks without end: after each deck, every card was dealt equally often."""
    while True:
        for i in generator.permutation(len(cards)):
            yield cards[i]


def _pair(types: Iterator[str], levels: Iterator[int]) -> tuple[Distortion, ...]:
    first = next(types)
    second = next(name for name in types if DISTORTIONS[name].aspect != DISTORTIONS[first].aspect)
    names = sorted((first, second), key=lambda name: CAPTURE_ORDER[DISTORTIONS[name].aspect])
    return tuple(Distortion(name, next(levels)) for name in names)


def _box(generator: np.random.Generator) -> tuple[float, float, float, float]:
    width, height = generator.uniform(*_BOX_SIDE, 2)
    left, top = generator.random(2) * (1 - width, 1 - height)
    left, top, right, bottom = (round(float(edge), 4) for edge in (left, top, left + width, top + height))
    return (left, top, min(right, 1.0), min(bottom, 1.0))


def _mapped(make: Callable[[_Batch], int], batches: Sequence[_Batch], num_workers: int | None) -> Iterator[int]:
    workers = min(len(batches), num_workers if num_workers is not None else min(os.cpu_count() or 1, 4))
    if num_workers is not None and num_workers < 1:
        raise ValueError(f"num_workers must be >= 1, got {num_workers}")
    if workers <= 1:
        yield from map(make, batches)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of whoever calls us
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(make, batches)


def _is_made(out: Path, batch: _Batch, *, listed: bool) -> bool:
    """Whether the samples of a batch are recorded (in the manifest or on their own) and their images are there."""
    recorded = listed or (out / "records" / f"{batch.name}.jsonl").is_file()
    return recorded and all((out / _image_path(plan)).is_file() for plan in batch.plans)


def _image_path(plan: _Plan) -> str:
    return f"images/{plan.content}/{plan.index:05d}.png"


def _make_batch(out: Path, size: tuple[int, int], batch: _Batch) -> int:
    """Make the images of a batch, then its record; a batch with a record is complete."""
    source = batch.reference.source
    content_HWC = source.image() if isinstance(source, DeadLeaves) else load_image(source)
    (out / "images" / batch.reference.content).mkdir(parents=True, exist_ok=True)
    samples = [_make_sample(out, content_HWC, size, batch.split, plan) for plan in batch.plans]
    (out / "records").mkdir(exist_ok=True)
    record = out / "records" / f"{batch.name}.jsonl"
    unfinished = record.with_suffix(".partial")
    unfinished.write_text("".join(json.dumps(s.to_dict()) + "\n" for s in samples), encoding="utf-8")
    unfinished.replace(record)
    return len(samples)


def _make_sample(out: Path, content_HWC: UInt8Array, size: tuple[int, int], split: str, plan: _Plan) -> Sample:
    height, width = (min(have, want) for have, want in zip(content_HWC.shape[:2], (size[1], size[0]), strict=True))
    left = round(plan.place[0] * (content_HWC.shape[1] - width))
    top = round(plan.place[1] * (content_HWC.shape[0] - height))
    crop_HWC = content_HWC[top : top + height, left : left + width]
    image_HWC = crop_HWC
    for n, distortion in enumerate(plan.distortions):
        image_HWC = distort(image_HWC, distortion, plan.seed + n)
    value = mdsi(crop_HWC, image_HWC)
    path = _image_path(plan)
    unfinished = (out / path).with_suffix(".partial")
    Image.fromarray(image_HWC).save(unfinished, "PNG", compress_level=1)
    unfinished.replace(out / path)
    return Sample(
        id=f"{plan.content}/{plan.index:05d}",
        media=(Media(path),),
        dataset="synthetic",
        mos=round(pseudo_mos(value), 4),
        scale=FIVE_POINT,
        split=split,
        reference=plan.content,
        distortions=plan.distortions,
        meta={"mdsi": round(value, 6), "crop": [left, top, left + width, top + height], "seed": plan.seed},
    )


def _recorded(out: Path, batch: _Batch) -> Iterator[Sample]:
    text = (out / "records" / f"{batch.name}.jsonl").read_text(encoding="utf-8")
    for line in text.splitlines():
        sample = Sample.from_dict(json.loads(line))
        yield replace(sample, media=tuple(Media(str(out / m.path), m.role) for m in sample.media))


def _remove_records(out: Path, batches: Sequence[_Batch]) -> None:
    """The manifest holds what the records held."""
    folder = out / "records"
    if folder.is_dir():
        for batch in batches:
            (folder / f"{batch.name}.jsonl").unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
