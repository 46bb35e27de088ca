"""Labels for damaged clips: a full-reference measure on frames and on slices through time, and a MOS from it.

A frame shows what compression does; a slice (one row or column of pixels over time) shows freezes, drops, flicker and
shake, which no single frame can. Shape letters: T frames, H height, W width, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pondera.data.full_reference import mdsi, pseudo_mos

UInt8Array = NDArray[np.uint8]

_NUM_FRAMES = 12  # pictures compared, evenly spread
_NUM_SLICES = 8  # rows, and as many columns, evenly spread


@dataclass(frozen=True, slots=True)
class VideoQuality:
    """Pseudo-MOS of a damaged clip on [1, 5].

    Args:
        spatial: of its pictures, each against the pristine picture that belongs to it.
        temporal: of its course in time.
        overall: the lower of the two: one bad side spoils a clip.
    """

    spatial: float
    temporal: float
    overall: float


def video_quality(
    reference_THWC: UInt8Array, distorted_THWC: UInt8Array, aligned_THWC: UInt8Array | None = None
) -> VideoQuality:
    """Grade a damaged clip against its pristine original, of the same length and size.

    Spatial: MDSI of 12 frames, averaged. Temporal: MDSI of 8 horizontal and 8 vertical space-time slices, averaged; for
    identical slices 0. Both become a MOS by `pseudo_mos`; the lower is the overall one.

    Args:
        reference_THWC: uint8 [T, H, W, 3].
        distorted_THWC: the same shape.
        aligned_THWC: what the pictures of the distorted clip would be without spatial damage
            (`DamagedClip.aligned`); None takes the reference, which counts displaced pictures as spatial damage too.

    Raises:
        ValueError: the shapes differ, or are not uint8 [T, H, W, 3].

    Source: image measures on space-time slices are from Vu, Vu, Chandler, "A spatiotemporal most-apparent-distortion
    model for video quality assessment", ICIP 2011 (ST-MAD), and Vu, Chandler, "ViS3", Journal of Electronic Imaging
    23 (2014). Deviations: MDSI (see `mdsi`) in place of MAD; 16 slices instead of all; no weighting by motion; plain
    means over frames and slices; the minimum. No claim is made about agreement with people; what is tested is that
    every type of `TEMPORAL_DISTORTIONS` falls with its level.
    """
    aligned_THWC = reference_THWC if aligned_THWC is None else aligned_THWC
    shapes = {clip.shape for clip in (reference_THWC, distorted_THWC, aligned_THWC)}
    if len(shapes) != 1 or distorted_THWC.ndim != 4:
        raise ValueError(f"the clips must have one shape [T, H, W, 3], got {sorted(shapes)}")
    spatial = pseudo_mos(_frame_distance(aligned_THWC, distorted_THWC))
    temporal = pseudo_mos(_slice_distance(reference_THWC, distorted_THWC))
    return VideoQuality(spatial, temporal, min(spatial, temporal))


def _frame_distance(reference_THWC: UInt8Array, distorted_THWC: UInt8Array) -> float:
    chosen = _spread(len(reference_THWC), _NUM_FRAMES)
    return float(np.mean([mdsi(reference_THWC[t], distorted_THWC[t]) for t in chosen]))


def _slice_distance(reference_THWC: UInt8Array, distorted_THWC: UInt8Array) -> float:
    _, height, width, _ = reference_THWC.shape
    pairs = [(reference_THWC[:, y], distorted_THWC[:, y]) for y in _spread(height, _NUM_SLICES)]
    pairs += [(reference_THWC[:, :, x], distorted_THWC[:, :, x]) for x in _spread(width, _NUM_SLICES)]
    return float(np.mean([mdsi(reference, distorted) for reference, distorted in pairs]))


def _spread(length: int, num: int) -> list[int]:
    """At most `num` places, in the middle of equal parts of a length."""
    num = min(num, length)
    return [int((n + 0.5) * length / num) for n in range(num)]
