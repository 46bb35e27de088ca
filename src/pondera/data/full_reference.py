"""Labels that are facts about pixels: MDSI, a published full-reference metric that sees colour, and a MOS from it.

MDSI compares gradients (structure, contrast, exposure) and two chromaticity channels (casts, saturation) and pools by
deviation. SSIM on luma would be blind to colour. NumPy, SciPy on use. Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

# Constants of the paper: stabilisers C1 to C3 for values 0..255, share of structure in the combined map, exponents.
_C1, _C2, _C3 = 140.0, 55.0, 550.0
_ALPHA = 0.6
_Q, _RHO, _O = 0.25, 1.0, 0.25
_SHORT_SIDE_PX = 256  # images are averaged down to about this
_LHM_CC = np.array(  # rows: luma L, chromaticities H and M of the paper, from R, G, B
    [[0.2989, 0.5870, 0.1140], [0.30, 0.04, -0.35], [0.34, -0.60, 0.17]], np.float32
)

# See pseudo_mos: MDSI that means "fair", and how fast quality falls around it.
_FAIR = 0.345
_STEEPNESS = 5.5


def mdsi(reference_HWC: UInt8Array, distorted_HWC: UInt8Array) -> float:
    """Mean Deviation Similarity Index between an image and a damaged copy: 0 is identical, larger is worse.

    Gradient similarity with the fused-image terms, chromaticity similarity, their weighted sum, deviation pooling.
    Not symmetric: the fused-image terms treat edges that were lost and edges that were added differently.

    Args:
        reference_HWC: uint8 [H, W, 3], sRGB, the pristine image.
        distorted_HWC: the same shape.

    Returns:
        >= 0, exactly 0 for equal images; about 0.2 for damage just visible, about 0.5 for extreme damage.

    Raises:
        ValueError: the shapes differ, or are not [H, W, 3] uint8.

    Source: Ziaei Nafchi, Shahkolaei, Hedjam, Cheriet, "Mean Deviation Similarity Index", IEEE Access 4 (2016),
    arXiv:1608.07433; C1 = 140, C2 = 55, C3 = 550, alpha = 0.6, q = 1/4, rho = 1, o = 1/4. No deviation from the
    summation variant; a negative similarity goes to the power q as the complex number it then is, as the authors do.
    """
    for name, image in (("reference", reference_HWC), ("distorted", distorted_HWC)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(f"{name} must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    if reference_HWC.shape != distorted_HWC.shape:
        raise ValueError(f"shapes must match, got {list(reference_HWC.shape)} and {list(distorted_HWC.shape)}")
    reference, distorted = _lhm(reference_HWC), _lhm(distorted_HWC)
    structure_HW = _gradient_similarity(reference[0], distorted[0])
    colour_HW = _chromaticity_similarity(reference[1:], distorted[1:])
    return _deviation(_ALPHA * structure_HW.astype(np.float64) + (1 - _ALPHA) * colour_HW)


def pseudo_mos(value: float) -> float:
    """MDSI as a mean opinion score: 1 + 4 / (1 + (value / 0.345)^5.5).

    Strictly falling and smooth; 5 at 0, 3 at 0.345, towards 1 for large values. The two constants place the five
    levels of `DISTORTIONS` on the usual five-point scale: averaged over types and bundled photographs, the levels lie
    near 4.6, 3.7, 2.8, 2.1 and 1.7, so none crowds at an end. Both are fixed: changing them changes every label.

    Args:
        value: MDSI, >= 0.

    Returns:
        In (1, 5].

    Raises:
        ValueError: the value is negative or not a number.

    Source: own choice of a monotone map; rank correlations do not depend on it.
    """
    if not value >= 0 or math.isinf(value):
        raise ValueError(f"MDSI is a finite number >= 0, got {value}")
    return 1.0 + 4.0 / (1.0 + (value / _FAIR) ** _STEEPNESS)


def _lhm(image_HWC: UInt8Array) -> Float32Array:
    """Luma and chromaticities, [3, H, W], averaged down so that the shorter side is about 256 pixels."""
    factor = max(1, math.floor(min(image_HWC.shape[:2]) / _SHORT_SIDE_PX + 0.5))
    lhm_CHW: Float32Array = np.ascontiguousarray((image_HWC.astype(np.float32) @ _LHM_CC.T).transpose(2, 0, 1))
    if factor == 1:
        return lhm_CHW
    from scipy.ndimage import uniform_filter

    # The origin puts an even window as the authors' convolution does: one more pixel after than before.
    origin = (0, *(2 * [factor % 2 - 1]))
    averaged = uniform_filter(lhm_CHW, (1, factor, factor), mode="constant", origin=origin)
    return np.ascontiguousarray(averaged[:, ::factor, ::factor])


def _gradient(luma_HW: Float32Array) -> Float32Array:
    """Prewitt gradient magnitude, zero outside the image."""
    padded = np.pad(luma_HW, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    columns = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    horizontal = (rows[:, 2:] - rows[:, :-2]) / 3
    vertical = (columns[2:] - columns[:-2]) / 3
    magnitude: Float32Array = np.sqrt(horizontal * horizontal + vertical * vertical)
    return magnitude


def _gradient_similarity(reference_HW: Float32Array, distorted_HW: Float32Array) -> Float32Array:
    gradient_r, gradient_d = _gradient(reference_HW), _gradient(distorted_HW)
    gradient_f = _gradient(0.5 * (reference_HW + distorted_HW))
    direct = _similarity(gradient_r, gradient_d, _C1)
    return direct + _similarity(gradient_d, gradient_f, _C2) - _similarity(gradient_r, gradient_f, _C2)


def _similarity(a: Float32Array, b: Float32Array, c: float) -> Float32Array:
    return np.divide(2 * a * b + c, a * a + b * b + c, dtype=np.float32)


def _chromaticity_similarity(reference_2HW: Float32Array, distorted_2HW: Float32Array) -> Float32Array:
    cross = (reference_2HW * distorted_2HW).sum(0)
    energy = (reference_2HW**2).sum(0) + (distorted_2HW**2).sum(0)
    similarity: Float32Array = (2 * cross + _C3) / (energy + _C3)
    return similarity


def _deviation(similarity_HW: NDArray[np.float64]) -> float:
    """Mean absolute deviation of similarity^q, to the power o / rho; a negative base gives a complex number."""
    power_HW = np.sqrt(np.sqrt(np.abs(similarity_HW)))  # to the power q = 1/4
    negative_HW = similarity_HW < 0
    if negative_HW.any():
        power_HW = np.where(negative_HW, np.exp(1j * np.pi * _Q), 1.0) * power_HW
    # Measured from one of its values, or the last root would make 1e-4 of a constant map's rounding.
    power_HW = power_HW - power_HW[0, 0]
    return float(np.mean(np.abs(power_HW - power_HW.mean()) ** _RHO) ** (_O / _RHO))
