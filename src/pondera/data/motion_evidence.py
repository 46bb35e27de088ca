"""What stills cannot show: measured frame rate, standstills and flicker as text, motion as pictures.

Short stretches are read frame by frame at full rate, scaled down at once. Shape letters: T frames, H height, W width,
C channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pondera.data.video import VideoReader, bin_centres, shrunk

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float64]

_MOST_FRAMES = 720  # of a stretch, so that cameras of a thousand frames a second fit in memory: 6 s of 120 a second
_LUMA_C = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_REPEATED = 0.12  # mean change of luma in steps of 255; codecs leave less than this of a repeated picture
_FLICKER_WINDOW_S = 0.5  # slower changes of brightness are scenery, not flicker


@dataclass(frozen=True, slots=True)
class Stretch:
    """Successive frames of a video.

    Args:
        frames: uint8 [T, H, W, 3].
        times_s: their presentation times, [T], ascending.
    """

    frames: UInt8Array
    times_s: FloatArray


@dataclass(frozen=True, slots=True)
class MotionFacts:
    """What was measured over some stretches.

    Args:
        seconds: measured in all.
        rate: frames a second, from the median interval; 0 when there are no two frames.
        longest_interval_s: between two frames.
        pictures_a_second: frames that differ from the one before, a second.
        repeated: share of frames that repeat the one before, in [0, 1].
        longest_standstill_s: during which no new picture came; 0 when none was repeated.
        flicker: standard deviation of mean brightness around its course over half a second, as a share of its mean.
        motion: mean change of luma between frames that differ, in steps of 255.
    """

    seconds: float
    rate: float
    longest_interval_s: float
    pictures_a_second: float
    repeated: float
    longest_standstill_s: float
    flicker: float
    motion: float

    def text(self) -> str:
        """The facts as two or three English sentences, for a prompt."""
        if self.rate == 0:
            return "The video has a single frame."
        said = [
            f"Measured over {self.seconds:.1f} s: {self.rate:.1f} frames a second, "
            f"the longest interval between two is {1000 * self.longest_interval_s:.0f} ms."
        ]
        if self.repeated > 0:
            said.append(
                f"{100 * self.repeated:.0f} % of frames repeat the one before ({self.pictures_a_second:.1f} different "
                f"pictures a second); the longest standstill lasts {self.longest_standstill_s:.2f} s."
            )
        else:
            said.append("No frame repeats the one before.")
        said.append(f"Brightness flickers by {100 * self.flicker:.1f} %.")
        return " ".join(said)


def read_stretches(
    path: str | Path, *, num: int = 3, length_s: float = 2.0, max_side: int = 192, limit_s: float = 300.0
) -> list[Stretch]:
    """Read every frame of some stretches, centred in equal parts of a video.

    Args:
        path: any file that FFmpeg reads.
        num: of stretches, >= 1; a video shorter than all of them together is read once, whole.
        length_s: of each, > 0.
        max_side: frames are scaled down to this longer side. A stretch of more than 720 frames ends with those.
        limit_s: seconds after which reading gives up.

    Raises:
        ValueError: an argument is out of range.
        MediaError: the file cannot be read.
        MissingExtra: PyAV is not installed.
    """
    if num < 1 or not length_s > 0 or max_side < 1:
        raise ValueError(f"num, length_s and max_side must be > 0, got {num}, {length_s}, {max_side}")
    with VideoReader(path, limit_s=limit_s) as reader:
        duration_s = reader.info.duration_s
        if duration_s <= num * length_s:
            runs = [(0.0, num * length_s)]
        else:
            runs = [(centre - length_s / 2, length_s) for centre in bin_centres(duration_s, num)]
        return [_read(reader, start_s, seconds, max_side) for start_s, seconds in runs]


def _read(reader: VideoReader, start_s: float, seconds: float, max_side: int) -> Stretch:
    images: list[UInt8Array] = []
    times: list[float] = []
    for frame in itertools.islice(reader.run(start_s, seconds), _MOST_FRAMES):
        image = shrunk(frame.image, max_side)
        if images and image.shape != images[0].shape:  # the size changed within the stream
            break
        images.append(image)
        times.append(frame.time_s)
    if not images:  # frames are farther apart than the stretch is long
        last = next(iter(reader.at([start_s])))
        images, times = [shrunk(last.image, max_side)], [last.time_s]
    return Stretch(np.stack(images), np.array(times))


def luma(stretch: Stretch) -> FloatArray:
    """Brightness of every pixel in steps of 255, float64 [T, H, W]."""
    luma_THW = np.empty(stretch.frames.shape[:3])
    for frame_HW, frame_HWC in zip(luma_THW, stretch.frames, strict=True):  # all at once would need four times as much
        np.matmul(frame_HWC, _LUMA_C, out=frame_HW)
    return luma_THW


def measure_motion(stretches: Sequence[Stretch]) -> MotionFacts:
    """Measure frame rate, standstills and flicker.

    A frame counts as a repetition when its luma differs from the one before by less than 0.12 of 255 on average: a
    scene without any movement or noise cannot be told from a frozen one.

    Raises:
        ValueError: there is no stretch.
    """
    if not stretches:
        raise ValueError("motion is measured over at least one stretch, got none")
    interval, change, flicker, standstill = [np.zeros(0)], [np.zeros(0)], [], 0.0
    for stretch in stretches:
        luma_THW = luma(stretch)
        change_T = abs(np.diff(luma_THW, axis=0)).mean((1, 2))
        change.append(change_T)
        interval.append(np.diff(stretch.times_s))
        standstill = max(standstill, _longest_standstill(change_T < _REPEATED, stretch.times_s))
        flicker.append(_flicker(luma_THW.mean((1, 2)), stretch.times_s))
    interval_N, change_N = np.concatenate(interval), np.concatenate(change)
    if not len(interval_N):
        return MotionFacts(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    seconds, is_new_N = float(interval_N.sum()), change_N >= _REPEATED
    return MotionFacts(
        seconds=seconds,
        rate=float(1 / np.median(interval_N)),
        longest_interval_s=float(interval_N.max()),
        pictures_a_second=float(is_new_N.sum() / seconds),
        repeated=float(1 - is_new_N.mean()),
        longest_standstill_s=standstill,
        flicker=float(np.mean(flicker)),
        motion=float(change_N[is_new_N].mean()) if is_new_N.any() else 0.0,
    )


def _longest_standstill(repeats_T: NDArray[np.bool_], times_s: FloatArray) -> float:
    """Seconds from a picture to the next different one, where at least one frame repeats it."""
    longest, start = 0.0, 0
    for n, repeats in enumerate(repeats_T, start=1):
        if not repeats:
            if n - start > 1:
                longest = max(longest, float(times_s[n] - times_s[start]))
            start = n
    if len(times_s) - 1 > start:
        longest = max(longest, float(times_s[-1] - times_s[start]))
    return longest


def _flicker(mean_T: FloatArray, times_s: FloatArray) -> float:
    from scipy.ndimage import uniform_filter1d

    if len(mean_T) < 3 or mean_T.mean() <= 0:
        return 0.0
    window = max(3, round(_FLICKER_WINDOW_S / float(np.median(np.diff(times_s)))))
    return float((mean_T - uniform_filter1d(mean_T, window, mode="reflect")).std() / mean_T.mean())


def difference_strip(stretch: Stretch, num: int = 6, gain: float = 4.0) -> UInt8Array:
    """Changes between successive frames, side by side in time order: grey is no change.

    Args:
        stretch: at least two frames.
        num: of differences, evenly spread, >= 1; fewer when the stretch has fewer.
        gain: factor on the difference, > 0.

    Returns:
        uint8 [H, num * W, 3].

    Raises:
        ValueError: fewer than two frames, or num or gain is not positive.
    """
    if len(stretch.frames) < 2 or num < 1 or not gain > 0:
        raise ValueError(f"two frames, num >= 1 and gain > 0 are needed, got {len(stretch.frames)}, {num}, {gain}")
    places = [int(t) for t in bin_centres(len(stretch.frames) - 1, min(num, len(stretch.frames) - 1))]
    parts = [127.5 + gain * (stretch.frames[t + 1].astype(np.float32) - stretch.frames[t]) for t in places]
    return np.clip(np.concatenate(parts, axis=1) + 0.5, 0, 255).astype(np.uint8)


def temporal_slice(stretch: Stretch, height: float = 0.5) -> UInt8Array:
    """One row of pixels over time: time runs downwards. Straight vertical lines are standstill, bands are flicker.

    Args:
        stretch: any.
        height: which row, in [0, 1].

    Returns:
        uint8 [T, W, 3].

    Raises:
        ValueError: the height is outside [0, 1].
    """
    if not 0 <= height <= 1:
        raise ValueError(f"height must be in [0, 1], got {height}")
    row = min(int(height * stretch.frames.shape[1]), stretch.frames.shape[1] - 1)
    return np.ascontiguousarray(stretch.frames[:, row])
