"""At which times to look at a video, and the clip that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from pondera.data.video.container import VideoInfo
from pondera.data.video.frames import Frame, UInt8Array, VideoReader


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames sampled from one video, in time order.

    Args:
        info: the video; `duration_s` is corrected where the file ends before its header says.
        frames: at least one.
        ends_early: the video ended more than one sampling step before its header says (cut off, or a longer sound
            track): the frames were spread over what there is.
    """

    info: VideoInfo
    frames: tuple[Frame, ...]
    ends_early: bool = False


def bin_centres(duration_s: float, num: int) -> list[float]:
    """Centres of `num` equal bins over a duration, in seconds: the deterministic sampling times.

    Raises:
        ValueError: num < 1, or the duration is negative.
    """
    _check(duration_s, num)
    return [duration_s * (i + 0.5) / num for i in range(num)]


def jittered_times(duration_s: float, num: int, seed: int | Sequence[int]) -> list[float]:
    """One time in each of `num` equal bins, uniform within its bin, ascending: sampling for training.

    Args:
        duration_s: >= 0.
        num: of bins, >= 1.
        seed: >= 0, or several such numbers; the same seed gives the same times.

    Raises:
        ValueError: an argument is out of range.
    """
    _check(duration_s, num)
    offset_N = np.random.default_rng(seed).random(num)
    return [float(t) for t in duration_s * (np.arange(num) + offset_N) / num]


def sample_clip(
    path: str | Path, num: int, *, seed: int | None = None, max_side: int | None = None, limit_s: float = 300.0
) -> Clip:
    """Sample a video at the centres of equal time bins, or jittered within them.

    Args:
        path: any file that FFmpeg reads.
        num: of frames, >= 1; a video with fewer has some of them several times.
        seed: None for bin centres; a number >= 0 jitters within the bins.
        max_side: frames are scaled down (Lanczos) to this longer side as soon as they are decoded; None keeps them.
        limit_s: seconds after which reading gives up.

    Raises:
        ValueError: an argument is out of range.
        MediaError: the file cannot be read.
        MissingExtra: PyAV is not installed.
    """
    return sample_clips(path, [(num, max_side)], seed=seed, limit_s=limit_s)[0]


def sample_clips(
    path: str | Path,
    parts: Sequence[tuple[int, int | None]],
    *,
    seed: int | None = None,
    limit_s: float = 300.0,
) -> tuple[Clip, ...]:
    """Sample a video several times over in one pass: for example 16 small frames and 3 large ones.

    Args:
        path: any file that FFmpeg reads.
        parts: number of frames and longer side (None keeps it) of each clip; see `sample_clip`.
        seed: as in `sample_clip`; each part draws its own jitter.
        limit_s: as in `sample_clip`.

    Returns:
        One clip for each part.

    Raises:
        ValueError, MediaError, MissingExtra: as in `sample_clip`.
    """
    bad = [side for _, side in parts if side is not None and side < 1]
    if bad or not parts:
        raise ValueError(f"parts must be at least one, each with max_side None or >= 1 pixel, got {list(parts)}")
    with VideoReader(path, limit_s=limit_s) as reader:
        info = reader.info
        frames = _sampled(reader, info.duration_s, parts, seed)
        last = max((f for part in frames for f in part), key=lambda f: f.asked_s)
        end_s = max(last.time_s, 0.0) + (1 / info.rate if info.rate else 0.0)  # damaged files have times below 0
        if last.asked_s - end_s <= info.duration_s / max(num for num, _ in parts):
            return tuple(Clip(info, tuple(part)) for part in frames)
        frames = _sampled(reader, end_s, parts, seed)
        info = replace(info, duration_s=end_s)
        return tuple(Clip(info, tuple(part), ends_early=True) for part in frames)


def shrunk(image_HWC: UInt8Array, max_side: int | None) -> UInt8Array:
    """Scale down to a longer side in pixels (Lanczos); never up."""
    height, width = image_HWC.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return image_HWC
    factor = max_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(image_HWC).resize(size, Image.Resampling.LANCZOS))


def _sampled(
    reader: VideoReader, duration_s: float, parts: Sequence[tuple[int, int | None]], seed: int | None
) -> list[list[Frame]]:
    """The frames of each part, read in the order of their times."""
    asked = []
    for place, (num, _) in enumerate(parts):
        times = bin_centres(duration_s, num) if seed is None else jittered_times(duration_s, num, [seed, place])
        asked += [(time_s, place) for time_s in times]
    asked.sort()
    frames: list[list[Frame]] = [[] for _ in parts]
    for frame, (_, place) in zip(reader.at(time_s for time_s, _ in asked), asked, strict=True):
        frames[place].append(replace(frame, image=shrunk(frame.image, parts[place][1])))
    return frames


def _check(duration_s: float, num: int) -> None:
    if num < 1 or not duration_s >= 0:
        raise ValueError(f"num must be >= 1 and duration_s >= 0, got num {num}, duration_s {duration_s}")
