"""Temporal distortions: known damage of graded strength to a clip, by real codecs and by faults of time.

Every type has five levels, from just visible (1) to extreme (5), set so that the overall label of
`pondera.data.video_quality` falls with each. Randomness is nested: what a level damages, the next one damages too.
NumPy, SciPy and PyAV on use. Shape letters: T frames, H height, W width, C channels.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pondera.core.records import Distortion
from pondera.data.video.container import import_av
from pondera.data.video.pixels import to_srgb
from pondera.errors import MediaError

UInt8Array = NDArray[np.uint8]
IntArray = NDArray[np.int64]
TemporalAspect = Literal["compression", "smoothness", "flicker", "stability"]

# Without mbtree: with it x264 gave other bits in one of three runs on clips of this size, whatever the threads.
_X264 = {"preset": "veryfast", "x264-params": "mbtree=0"}
_BT709 = 1  # matrix coefficients, ITU-T H.273


@dataclass(frozen=True, slots=True)
class DamagedClip:
    """A clip after damage.

    Args:
        frames: uint8 [T, H, W, 3].
        aligned: the pristine picture that belongs to each frame, uint8 [T, H, W, 3]: of a frozen clip the frozen one,
            of a shaken clip the shaken one. What differs from it is spatial damage; the rest is temporal.
    """

    frames: UInt8Array
    aligned: UInt8Array


Kernel = Callable[[UInt8Array, float, float, np.random.Generator], DamagedClip]


@dataclass(frozen=True, slots=True)
class TemporalDistortionType:
    """One kind of damage.

    Args:
        name: key in `TEMPORAL_DISTORTIONS`.
        aspect: what a viewer would name as bad.
        family: the mechanism.
        levels: the parameter at levels 1 to 5.
        description: what the parameter is, with its unit.
        kernel: (frames [T, H, W, 3], frames a second, parameter, random generator) -> clip; never changes its input.
        encoder: FFmpeg's name of the encoder it needs, or None.
    """

    name: str
    aspect: TemporalAspect
    family: str
    levels: tuple[float, float, float, float, float]
    description: str
    kernel: Kernel
    encoder: str | None = None


def distort_clip(frames_THWC: UInt8Array, rate: float, distortion: Distortion, seed: int) -> DamagedClip:
    """Damage a clip. The same clip, distortion and seed give the same result (for the same codec versions).

    Args:
        frames_THWC: uint8 [T, H, W, 3] at a constant rate; not changed.
        rate: frames a second, > 0.
        distortion: type in `TEMPORAL_DISTORTIONS` and level 1..5; a box is refused, time has none.
        seed: >= 0; decides which frames, phases and directions. Different types draw independently from one seed.

    Raises:
        ValueError: type, level, box, rate or shape is wrong.
        MediaError: this build of PyAV has no encoder for the type; see `available_distortions`.
        MissingExtra: the type is a codec and PyAV is not installed.
    """
    kind = TEMPORAL_DISTORTIONS.get(distortion.type)
    if kind is None:
        raise ValueError(f"no temporal distortion {distortion.type!r}; there are: {', '.join(TEMPORAL_DISTORTIONS)}")
    if distortion.level not in (1, 2, 3, 4, 5) or distortion.box is not None:
        raise ValueError(f"{kind.name}: level must be 1 to 5 and box None, got {distortion.level!r}, {distortion.box}")
    if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[3] != 3 or frames_THWC.size == 0:
        raise ValueError(f"frames must be uint8 [T, H, W, 3], got {frames_THWC.dtype} {list(frames_THWC.shape)}")
    if not rate > 0:
        raise ValueError(f"rate must be > 0 frames a second, got {rate}")
    generator = np.random.default_rng([seed, zlib.crc32(kind.name.encode())])
    return kind.kernel(frames_THWC, rate, kind.levels[distortion.level - 1], generator)


def available_distortions() -> tuple[str, ...]:
    """Names of the types that can be applied here: a codec needs its encoder in this build of PyAV."""
    encoders = _encoders()
    return tuple(
        name for name, kind in TEMPORAL_DISTORTIONS.items() if kind.encoder is None or kind.encoder in encoders
    )


def recode(
    frames_THWC: UInt8Array, rate: float, encoder: str, options: Mapping[str, str], factor: float = 1.0
) -> UInt8Array:
    """Encode a clip and decode it again, 4:2:0, 8 bit, BT.709.

    Args:
        frames_THWC: uint8 [T, H, W, 3].
        rate: frames a second.
        encoder: FFmpeg's name, such as "libx264".
        options: of the encoder.
        factor: >= 1: the clip is coded at this fraction of its size and enlarged again (bicubic).

    Returns:
        uint8 [T, H, W, 3].

    Raises:
        MediaError: this build of PyAV lacks the encoder, or the encoder gave fewer frames back.
    """
    av = import_av()
    if encoder not in _encoders():
        raise MediaError(f"this build of PyAV has no encoder {encoder!r}; leave the types out that need it")
    os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 reports every setting on standard error otherwise
    num, height, width = frames_THWC.shape[:3]
    # 4:2:0 needs even sides: the last row and column are repeated where there is an odd one.
    coded = (2 * -(-round(width / factor) // 2), 2 * -(-round(height / factor) // 2))
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream(encoder, rate=round(rate), options=dict(options))
        stream.width, stream.height, stream.pix_fmt = *coded, "yuv420p"
        for image in frames_THWC:
            frame = av.VideoFrame.from_ndarray(_fitted(image, coded, factor), "rgb24")
            output.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=1)))
        output.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        decoded = [_restored(frame, (width, height), factor) for frame in container.decode(video=0)]
    if len(decoded) != num:
        raise MediaError(f"{encoder} gave {len(decoded)} of {num} frames back; leave the types out that need it")
    return np.stack(decoded)


def _encoders() -> frozenset[str]:
    av = import_av()
    return frozenset(kind.encoder for kind in _TYPES if kind.encoder is not None and _can_encode(av, kind.encoder))


def _can_encode(av: Any, name: str) -> bool:
    try:
        return bool(av.Codec(name, "w"))
    except av.error.FFmpegError:  # an unknown codec
        return False


def _fitted(image_HWC: UInt8Array, size: tuple[int, int], factor: float) -> UInt8Array:
    if factor > 1:
        return np.asarray(Image.fromarray(image_HWC).resize(size, Image.Resampling.LANCZOS))
    rows, columns = size[1] - image_HWC.shape[0], size[0] - image_HWC.shape[1]
    return np.ascontiguousarray(np.pad(image_HWC, ((0, rows), (0, columns), (0, 0)), mode="edge"))


def _restored(frame: Any, size: tuple[int, int], factor: float) -> UInt8Array:
    frame.colorspace, frame.color_range = _BT709, 1  # not every container and encoder carries the tags
    image = to_srgb(frame)
    if factor > 1:
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    return image[: size[1], : size[0]]


def _encoded_by(encoder: str, options: Mapping[str, str]) -> Kernel:
    """A kernel that codes at constant quality: its parameter is the CRF."""

    def kernel(frames: UInt8Array, rate: float, crf: float, generator: np.random.Generator) -> DamagedClip:
        return DamagedClip(recode(frames, rate, encoder, {"crf": str(int(crf)), **options}), frames)

    return kernel


def _low_resolution(frames: UInt8Array, rate: float, value: float, generator: np.random.Generator) -> DamagedClip:
    return DamagedClip(recode(frames, rate, "libx264", {"crf": "20", **_X264}, factor=value), frames)


def _shown(frames: UInt8Array, shown_T: IntArray) -> DamagedClip:
    """A clip that shows, at each time, the pristine frame of another: nothing is wrong with any single picture."""
    shown = frames[shown_T]
    return DamagedClip(shown, shown)


def _frame_drop(frames: UInt8Array, rate: float, share: float, generator: np.random.Generator) -> DamagedClip:
    num = len(frames)
    rank_T = np.concatenate([[num], generator.permutation(num - 1)])  # the first frame is never lost
    kept_T = rank_T >= round(share * (num - 1))
    return _shown(frames, np.maximum.accumulate(np.where(kept_T, np.arange(num), 0)))


def _freeze(frames: UInt8Array, rate: float, share: float, generator: np.random.Generator) -> DamagedClip:
    num = len(frames)
    start = round(generator.uniform(0.05, 0.25) * (num - 1))
    time_T = np.arange(num)
    frozen_T = (time_T >= start) & (time_T < start + share * num)
    return _shown(frames, np.where(frozen_T, start, time_T))


def _stutter(frames: UInt8Array, rate: float, hold: float, generator: np.random.Generator) -> DamagedClip:
    period = max(2, round(rate / 2))
    phase_T = (np.arange(len(frames)) + int(generator.integers(period))) % period
    held_T = np.where(phase_T <= round(hold * (period - 1)), phase_T, 0)
    return _shown(frames, np.maximum(np.arange(len(frames)) - held_T, 0))


def _rate_reduction(frames: UInt8Array, rate: float, factor: float, generator: np.random.Generator) -> DamagedClip:
    time_T = np.arange(len(frames))
    return _shown(frames, time_T - time_T % int(factor))


def _jitter(frames: UInt8Array, rate: float, sigma_ms: float, generator: np.random.Generator) -> DamagedClip:
    offset_T = np.rint(sigma_ms / 1000 * rate * generator.standard_normal(len(frames))).astype(np.int64)
    return _shown(frames, np.clip(np.arange(len(frames)) + offset_T, 0, len(frames) - 1))


def _flicker(frames: UInt8Array, rate: float, depth: float, generator: np.random.Generator) -> DamagedClip:
    # Levels end at 8 %: the measure pools by deviation and no longer falls when whole pictures go bright and dark.
    hertz = min(generator.uniform(4.0, 8.0), rate / 3)
    phase_T = 2 * np.pi * (hertz * np.arange(len(frames)) / rate + generator.random())
    gain_T = (1 + depth * np.sin(phase_T)).astype(np.float32)
    out = np.stack([np.clip(image * gain + 0.5, 0, 255) for image, gain in zip(frames, gain_T, strict=True)])
    return DamagedClip(out.astype(np.uint8), frames)


def _shake(frames: UInt8Array, rate: float, share: float, generator: np.random.Generator) -> DamagedClip:
    from scipy.ndimage import gaussian_filter1d, shift

    # A hand shakes at up to about 10 Hz: faster movement is smoothed away.
    smooth = gaussian_filter1d(generator.standard_normal((len(frames), 2)), rate / 24, axis=0, mode="wrap")
    offset_T2 = smooth / max(float(smooth.std()), 1e-9) * share * min(frames.shape[1:3])
    moved = np.empty_like(frames)
    for t, (image, offset) in enumerate(zip(frames, offset_T2, strict=True)):
        for c in range(3):  # channel by channel: four times as fast as a shift by (y, x, 0)
            value = shift(image[:, :, c].astype(np.float32), offset, order=3, mode="mirror")
            moved[t, :, :, c] = np.clip(value + 0.5, 0, 255)
    return DamagedClip(moved, moved)


_TYPES = (
    TemporalDistortionType(
        "h264", "compression", "codec", (20, 25, 30, 37, 46),
        "CRF of libx264", _encoded_by("libx264", _X264), "libx264",
    ),
    TemporalDistortionType(
        "hevc", "compression", "codec", (20, 25, 31, 38, 47),
        "CRF of libx265", _encoded_by("libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}), "libx265",
    ),
    TemporalDistortionType(
        "vp9", "compression", "codec", (30, 40, 48, 56, 63),
        "CRF of libvpx-vp9",
        _encoded_by("libvpx-vp9", {"b": "0", "deadline": "realtime", "cpu-used": "6"}), "libvpx-vp9",
    ),
    TemporalDistortionType(
        "av1", "compression", "codec", (35, 44, 51, 57, 63),
        "CRF of SVT-AV1", _encoded_by("libsvtav1", {"preset": "10"}), "libsvtav1",
    ),
    TemporalDistortionType(
        "low_resolution", "compression", "codec", (1.2, 1.5, 2.0, 3.0, 5.0),
        "factor by which the clip was shrunk before H.264 coding at CRF 20", _low_resolution, "libx264",
    ),
    TemporalDistortionType(
        "frame_drop", "smoothness", "loss", (0.06, 0.14, 0.28, 0.5, 0.8),
        "share of frames lost, at random; the one before stays on screen", _frame_drop,
    ),
    TemporalDistortionType(
        "freeze", "smoothness", "loss", (0.08, 0.17, 0.3, 0.48, 0.75),
        "share of the clip during which one picture stands; then it goes on as if nothing had been", _freeze,
    ),
    TemporalDistortionType(
        "stutter", "smoothness", "timing", (0.2, 0.35, 0.5, 0.7, 1.0),
        "share of every half second during which one picture stands", _stutter,
    ),
    TemporalDistortionType(
        "rate_reduction", "smoothness", "timing", (2, 3, 5, 8, 16),
        "factor by which the frame rate is reduced, pictures repeated", _rate_reduction,
    ),
    TemporalDistortionType(
        "jitter", "smoothness", "timing", (20, 40, 75, 140, 300),
        "standard deviation of the error in time of each frame, in milliseconds", _jitter,
    ),
    TemporalDistortionType(
        "flicker", "flicker", "brightness", (0.012, 0.02, 0.032, 0.05, 0.08),
        "amplitude of a sinusoidal gain of 4 to 8 Hz", _flicker,
    ),
    TemporalDistortionType(
        "shake", "stability", "motion", (0.003, 0.006, 0.012, 0.024, 0.048),
        "standard deviation of the camera's position, as a share of the shorter side", _shake,
    ),
)  # fmt: skip

TEMPORAL_DISTORTIONS: Mapping[str, TemporalDistortionType] = MappingProxyType({t.name: t for t in _TYPES})
