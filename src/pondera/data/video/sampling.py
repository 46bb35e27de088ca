"""At which times to look at a video, and the clip that comes of it."""

from __future__ import annotations

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


def jittered_times(duration_s: float, num: int, seed: int) -> list[float]:
    """One time in each of `num` equal bins, uniform within its bin, ascending: sampling for training.

    Args:
        duration_s: >= 0.
        num: of bins, >= 1.
        seed: >= 0; the same seed gives the same times.

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
    if max_side is not None and max_side < 1:
        raise ValueError(f"max_side must be >= 1 pixel, got {max_side}")
    with VideoReader(path, limit_s=limit_s) as reader:
        info = reader.info
        frames = _sampled(reader, _times(info.duration_s, num, seed), max_side)
        end_s = frames[-1].time_s + (1 / info.rate if info.rate else 0.0)
        if frames[-1].asked_s - end_s <= info.duration_s / num:
            return Clip(info, tuple(frames))
        frames = _sampled(reader, _times(end_s, num, seed), max_side)
        return Clip(replace(info, duration_s=end_s), tuple(frames), ends_early=True)


def shrunk(image_HWC: UInt8Array, max_side: int | None) -> UInt8Array:
    """Scale down to a longer side in pixels (Lanczos); never up."""
    height, width = image_HWC.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return image_HWC
    factor = max_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(image_HWC).resize(size, Image.Resampling.LANCZOS))


def _times(duration_s: float, num: int, seed: int | None) -> list[float]:
    return bin_centres(duration_s, num) if seed is None else jittered_times(duration_s, num, seed)


def _sampled(reader: VideoReader, times_s: list[float], max_side: int | None) -> list[Frame]:
    return [replace(frame, image=shrunk(frame.image, max_side)) for frame in reader.at(times_s)]


def _check(duration_s: float, num: int) -> None:
    if num < 1 or not duration_s >= 0:
        raise ValueError(f"num must be >= 1 and duration_s >= 0, got num {num}, duration_s {duration_s}")
