"""Making a labelled video set: moving content, damaged on purpose, graded by a full-reference measure.

A scene is one camera move over one photograph, shown in several damaged versions. What happens in a scene depends on
seed, content and the scene's number alone; scenes are made in parallel, each leaves its clips and, last, a record of
them, so that an interrupted run goes on where it was and the number of workers changes nothing. PyAV on use.
Shape letters: T frames, H height, W width, C channels.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pondera.core.records import FIVE_POINT, Distortion, Media, Sample
from pondera.data.images import load_image
from pondera.data.manifest import write_manifest
from pondera.data.moving_content import MovingContent
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.data.temporal_distortions import TEMPORAL_DISTORTIONS, available_distortions, distort_clip
from pondera.data.video import VideoReader
from pondera.data.video.container import import_av
from pondera.data.video_quality import video_quality
from pondera.errors import DatasetError

UInt8Array = NDArray[np.uint8]

MANIFEST_NAME = "manifest.jsonl"
VERSION = 1  # raise it when the same settings would give other clips or labels

_SETTINGS_NAME = "synthesis.json"
# Nearly lossless; without mbtree, with which x264 gives other bits in some runs. Labels are measured behind it.
_STORED = {"crf": "6", "preset": "veryfast", "x264-params": "mbtree=0"}
_BT709 = 1


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """What a set is made of.

    Args:
        scenes: camera moves per content, by split, >= 1.
        versions: clips per scene, >= 1.
        num_frames: of a clip.
        rate: frames a second.
        size: width and height in pixels, even numbers.
        pristine: share of undamaged clips.
        double: share with a fault of time and, behind it, a codec; the rest has one distortion.
        types: names in `TEMPORAL_DISTORTIONS`; every type and level is used equally often.

    Raises:
        ValueError: a value is out of range or a type unknown.
    """

    scenes: Mapping[str, int]
    versions: int = 12
    num_frames: int = 48
    rate: int = 24
    size: tuple[int, int] = (256, 160)
    pristine: float = 0.06
    double: float = 0.14
    types: tuple[str, ...] = tuple(TEMPORAL_DISTORTIONS)

    def __post_init__(self) -> None:
        if min(*self.scenes.values(), self.versions, self.num_frames, self.rate) < 1 or any(s % 2 for s in self.size):
            raise ValueError(
                f"scenes, versions, num_frames and rate must be >= 1 and sides even, got {self.scenes}, "
                f"{self.versions}, {self.num_frames}, {self.rate}, {self.size}"
            )
        if min(self.pristine, self.double) < 0 or self.pristine + self.double > 1:
            raise ValueError(f"shares must be >= 0 and sum to at most 1, got {self.pristine}, {self.double}")
        unknown = [name for name in self.types if name not in TEMPORAL_DISTORTIONS]
        if unknown or not self.types:
            raise ValueError(f"types must be names of {', '.join(TEMPORAL_DISTORTIONS)}; got {self.types}")
        if self.double > 0 and not (self.codecs and self.faults):
            raise ValueError(f"a double share needs a codec and a fault of time among the types, got {self.types}")

    @property
    def codecs(self) -> tuple[str, ...]:
        """The types that code a clip."""
        return tuple(name for name in self.types if TEMPORAL_DISTORTIONS[name].aspect == "compression")

    @property
    def faults(self) -> tuple[str, ...]:
        """The types that damage its course in time."""
        return tuple(name for name in self.types if TEMPORAL_DISTORTIONS[name].aspect != "compression")


@dataclass(frozen=True, slots=True)
class _Scene:
    content: str
    source: str
    split: str
    number: int
    seed: int
    versions: tuple[tuple[Distortion, ...], ...]

    @property
    def name(self) -> str:
        return f"{self.content}-{self.number:03d}"


def bundled_scenes() -> dict[str, tuple[str, str]]:
    """The photographs of the package: file and split by content; the argument `contents` of `make_clips`."""
    return {path.stem: (str(path), PHOTOGRAPH_SPLITS[path.stem]) for path in list_photographs()}


def make_clips(
    out: str | Path,
    *,
    contents: Mapping[str, tuple[str, str]],
    settings: ClipSettings,
    seed: int,
    num_workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make clips with pseudo-MOS labels on [1, 5], as MP4 files and a manifest.

    The label of a clip is `video_quality` of what stands in its file, against the undamaged move: `mos` is the overall
    one, `targets` holds spatial and temporal. Clips of one photograph share `reference`. Types that this build of PyAV
    cannot encode are left out.

    Args:
        out: folder, made if need be; a run with the same settings that was interrupted there goes on.
        contents: (photograph, split) by content id.
        settings: what is made of each.
        seed: >= 0.
        num_workers: processes; None is the number of processors, at most 4.
        on_progress: called with (clips done, clips in all) after each scene.

    Returns:
        The manifest, `out / "manifest.jsonl"`.

    Raises:
        ValueError: an argument is wrong.
        DatasetError: the folder holds a set with other settings, or other files.
        MediaError: a photograph cannot be read or is too small.
        MissingExtra: PyAV is not installed.
    """
    import_av()
    out = Path(out)
    if not contents or seed < 0:
        raise ValueError(f"contents must not be empty and seed >= 0, got {list(contents)}, {seed}")
    missing = {split for _, split in contents.values()} - set(settings.scenes)
    if missing:
        raise ValueError(f"scenes has no number for the split {min(missing)!r}")
    settings = replace(settings, types=tuple(name for name in settings.types if name in available_distortions()))
    for source, _ in contents.values():
        if not Path(source).is_file():
            load_image(source)  # says what is wrong with it
    _claim(out, contents, settings, seed)
    scenes = [scene for content in contents for scene in _scenes(content, *contents[content], settings, seed)]
    total = sum(len(scene.versions) for scene in scenes)
    todo = [scene for scene in scenes if not _record(out, scene).is_file()]
    done = total - sum(len(scene.versions) for scene in todo)
    for num in _mapped(partial(_make_scene, out, settings), todo, num_workers):
        done += num
        if on_progress:
            on_progress(done, total)
    if not (out / MANIFEST_NAME).is_file():
        write_manifest(out / MANIFEST_NAME, (sample for scene in scenes for sample in _recorded(out, scene)))
    return out / MANIFEST_NAME


def _claim(out: Path, contents: Mapping[str, tuple[str, str]], settings: ClipSettings, seed: int) -> None:
    """Make the folder ours, or make sure that it already is."""
    digests = {
        content: [split, hashlib.sha256(Path(source).read_bytes()).hexdigest()]
        for content, (source, split) in contents.items()
    }
    values = {"version": VERSION, "seed": seed, **asdict(settings), "contents": digests}
    text = json.dumps(values, indent=1)
    path = out / _SETTINGS_NAME
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            raise DatasetError(f"{path}: this folder holds a set with other settings; choose another, or delete it")
        return
    if out.is_dir() and any(out.iterdir()):
        raise DatasetError(f"{out}: the folder is not empty and no video set of ours; choose a new or empty folder")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _scenes(content: str, source: str, split: str, settings: ClipSettings, seed: int) -> Iterator[_Scene]:
    """The scenes of one content; its clips together use every type and level equally often."""
    generator = np.random.default_rng([seed, zlib.crc32(content.encode())])
    deck = _dealt(generator, [Distortion(name, level) for name in settings.types for level in (1, 2, 3, 4, 5)])
    for number in range(settings.scenes[split]):
        # Evenly spaced points with one random offset: counts near the shares, and right on average.
        points = (generator.permutation(settings.versions) + generator.random()) / settings.versions
        versions = tuple(_version(float(point), deck, settings, generator) for point in points)
        yield _Scene(content, source, split, number, int(generator.integers(2**31)), versions)


def _dealt(generator: np.random.Generator, cards: Sequence[Distortion]) -> Iterator[Distortion]:
    while True:
        for i in generator.permutation(len(cards)):
            yield cards[i]


def _version(
    point: float, deck: Iterator[Distortion], settings: ClipSettings, generator: np.random.Generator
) -> tuple[Distortion, ...]:
    if point < settings.pristine:
        return ()
    first = next(deck)
    if point >= settings.pristine + settings.double:
        return (first,)
    is_codec = first.type in settings.codecs
    others = settings.faults if is_codec else settings.codecs
    second = Distortion(others[generator.integers(len(others))], int(generator.integers(1, 6)))
    return (second, first) if is_codec else (first, second)  # a codec comes last


def _mapped(make: Callable[[_Scene], int], scenes: Sequence[_Scene], num_workers: int | None) -> Iterator[int]:
    if num_workers is not None and num_workers < 1:
        raise ValueError(f"num_workers must be >= 1, got {num_workers}")
    workers = min(len(scenes), num_workers if num_workers is not None else min(os.cpu_count() or 1, 4))
    if workers <= 1:
        yield from map(make, scenes)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of whoever calls us
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(make, scenes)


def _make_scene(out: Path, settings: ClipSettings, scene: _Scene) -> int:
    """Make the clips of a scene, then its record; a scene with a record is complete."""
    move = MovingContent(scene.source, scene.seed, settings.num_frames, float(settings.rate), settings.size)
    frames_THWC = move.frames()
    (out / "clips" / scene.content).mkdir(parents=True, exist_ok=True)
    samples = [_make_clip(out, frames_THWC, settings, scene, n) for n in range(len(scene.versions))]
    record = _record(out, scene)
    record.parent.mkdir(exist_ok=True)
    unfinished = record.with_suffix(".partial")
    unfinished.write_text("".join(json.dumps(s.to_dict()) + "\n" for s in samples), encoding="utf-8")
    unfinished.replace(record)
    return len(samples)


def _make_clip(out: Path, frames_THWC: UInt8Array, settings: ClipSettings, scene: _Scene, number: int) -> Sample:
    damaged_THWC = aligned_THWC = frames_THWC
    for n, distortion in enumerate(scene.versions[number]):
        clip = distort_clip(damaged_THWC, float(settings.rate), distortion, scene.seed + 100 * number + n)
        # Behind a fault of time, the picture that belongs to each frame is the one that the fault put there.
        aligned_THWC = clip.aligned if n == 0 else aligned_THWC
        damaged_THWC = clip.frames
    path = f"clips/{scene.content}/{scene.number:03d}-{number:02d}.mp4"
    write_clip(out / path, damaged_THWC, settings.rate)
    quality = video_quality(frames_THWC, _read(out / path), aligned_THWC)
    return Sample(
        id=f"{scene.content}/{scene.number:03d}-{number:02d}",
        media=(Media(path),),
        kind="video",
        dataset="synthetic-video",
        mos=round(quality.overall, 4),
        scale=FIVE_POINT,
        targets={"spatial": round(quality.spatial, 4), "temporal": round(quality.temporal, 4)},
        split=scene.split,
        reference=scene.content,
        distortions=scene.versions[number],
    )


def write_clip(path: Path, frames_THWC: UInt8Array, rate: int) -> None:
    """Write a clip nearly without loss (H.264, CRF 6, 4:2:0, BT.709), whole or not at all.

    Args:
        path: an MP4 file.
        frames_THWC: uint8 [T, H, W, 3], even sides.
        rate: frames a second.
    """
    av = import_av()
    unfinished = path.with_suffix(".partial")
    with av.open(str(unfinished), "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=rate, options=dict(_STORED))
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = _BT709, 1
        for image in frames_THWC:
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=1)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    unfinished.replace(path)


def _read(path: Path) -> UInt8Array:
    with VideoReader(path) as reader:
        return np.stack([frame.image for frame in reader.run(0.0, reader.info.duration_s + 1.0)])


def _record(out: Path, scene: _Scene) -> Path:
    return out / "records" / f"{scene.name}.jsonl"


def _recorded(out: Path, scene: _Scene) -> Iterator[Sample]:
    for line in _record(out, scene).read_text(encoding="utf-8").splitlines():
        sample = Sample.from_dict(json.loads(line))
        yield replace(sample, media=tuple(Media(str(out / m.path), m.role) for m in sample.media))
