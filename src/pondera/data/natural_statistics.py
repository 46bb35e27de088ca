"""Natural scene statistics: the 36 features of BRISQUE, of a whole image, and those of NIQE, of each of its patches.

A pristine photograph, with local mean and contrast divided out, is nearly Gaussian; damage changes the shape of that
distribution and of the products of neighbours. Shape letters: H height, W width, C channels, N values, F 36 features,
P patches.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pondera.core.records import FloatArray

_LUMA_C = (0.299, 0.587, 0.114)  # ITU-R BT.601
_SIGMA = 7 / 6  # of the Gaussian window, cut at 3 pixels: 7 x 7
_SMALLEST = 16  # pixels a side, so that the half-size image is larger than the window
PATCH = 96  # pixels a side of a patch of NIQE, 48 at half size
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, below, both diagonals


def brisque_features(image_HWC: NDArray[np.uint8]) -> FloatArray:
    """Shape and spread of the normalised luma and of its four neighbour products, at full and at half size, [36].

    Args:
        image_HWC: uint8 [H, W, 3], at least 16 x 16.

    Returns:
        Per size: shape and variance of the luma; per direction shape, mean, left and right variance of the products.

    Raises:
        ValueError: the array is not uint8 [H, W, 3], or smaller than 16 x 16.

    Source: Mittal, Moorthy and Bovik 2012 (BRISQUE). Deviations: edges repeat their pixels instead of zeros; half
        size is made by Pillow's bicubic filter; shapes are interpolated between 0.2 and 10 instead of picked from a
        grid. So a regressor trained on the authors' features does not fit these.
    """
    luma_HW = _luma(image_HWC, _SMALLEST)
    return np.concatenate([_features(luma_HW), _features(_half(luma_HW))])


def niqe_features(image_HWC: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
    """The features of NIQE for every whole patch of 96 x 96 pixels, and how sharp each patch is.

    Args:
        image_HWC: uint8 [H, W, 3], at least 96 x 96; what does not fill a patch, right and below, is cut off.

    Returns:
        Features [P, 36], row by row: per size (full, half) shape and mean scale of the luma, then per direction shape,
        mean, left and right scale of the products. Sharpness [P]: mean local deviation of the luma.

    Raises:
        ValueError: the array is not uint8 [H, W, 3], or smaller than 96 x 96.

    Source: Mittal, Soundararajan and Bovik 2013 (NIQE). As the authors' program: luma rounded to whole numbers, scales
        instead of variances, products wrapped around the edge of the patch. Deviations: those of `brisque_features` in
        half size and shapes.
    """
    luma_HW = np.round(_luma(image_HWC, PATCH))
    rows, columns = (side // PATCH for side in luma_HW.shape)
    luma_HW = luma_HW[: rows * PATCH, : columns * PATCH]
    found = []
    for size, value_HW in ((PATCH, luma_HW), (PATCH // 2, _half(luma_HW))):
        patches = _patches(normalised_luma(value_HW), size)
        found.append(np.array([_patch_features(patch_HW) for patch_HW in patches]))
    sharpness_P = _patches(_local_moments(luma_HW)[1], PATCH).mean(axis=(1, 2))
    return np.concatenate(found, axis=1), sharpness_P


def normalised_luma(luma_HW: FloatArray) -> FloatArray:
    """(luma - local mean) / (local deviation + 1) in a Gaussian window, luma in [0, 255]."""
    mean_HW, deviation_HW = _local_moments(luma_HW)
    return (luma_HW - mean_HW) / (deviation_HW + 1.0)


def _local_moments(luma_HW: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation in the window."""
    from scipy.ndimage import gaussian_filter

    def blur(value_HW: FloatArray) -> FloatArray:
        blurred: FloatArray = gaussian_filter(value_HW, _SIGMA, mode="nearest", radius=3)
        return blurred

    mean_HW = blur(luma_HW)
    return mean_HW, np.sqrt(np.abs(blur(luma_HW * luma_HW) - mean_HW * mean_HW))


def fit_ggd(value_N: FloatArray) -> tuple[float, float]:
    """Shape and variance of a generalised Gaussian of mean 0, by moments; shape 2 is normal, 1 Laplace.

    Values that are all 0 have shape 10 (the flattest) and variance 0.

    Source: Sharifi and Leon-Garcia 1995.
    """
    square, absolute = float(np.mean(value_N**2)), float(np.mean(np.abs(value_N)))
    return _shape(absolute**2 / square if square > 0 else 1.0), square


def fit_aggd(value_N: FloatArray) -> tuple[float, float, float, float]:
    """Shape, mean, left and right variance of an asymmetric generalised Gaussian with its mode at 0, by moments.

    A side without values has variance 0; values that are all 0 have shape 10.

    Source: Lasmar, Stitou and Berthoumieu 2009.
    """
    from scipy.special import gammaln

    below_N, above_N = np.minimum(value_N, 0.0), np.maximum(value_N, 0.0)
    left, right = (float(side_N @ side_N) / max(int(np.count_nonzero(side_N)), 1) for side_N in (below_N, above_N))
    square, absolute = float(value_N @ value_N) / value_N.size, float((above_N - below_N).mean())
    if square == 0:
        return _shape(1.0), 0.0, 0.0, 0.0
    low, high = np.sqrt(left), np.sqrt(right)
    # (g^3 + 1)(g + 1) / (g^2 + 1)^2 for g = low / high, written so that high may be 0
    asymmetry = (low**3 + high**3) * (low + high) / (low**2 + high**2) ** 2
    shape = _shape(absolute**2 / square * asymmetry)
    ratio = np.exp(gammaln(2 / shape) - 0.5 * (gammaln(1 / shape) + gammaln(3 / shape)))
    return shape, float((high - low) * ratio), left, right


def _luma(image_HWC: NDArray[np.uint8], smallest: int) -> FloatArray:
    if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
        raise ValueError(f"image must be uint8 [H, W, 3], got {image_HWC.dtype} {list(image_HWC.shape)}")
    height, width = image_HWC.shape[:2]
    if min(height, width) < smallest:
        raise ValueError(f"image must be at least {smallest} x {smallest} pixels, got {width} x {height}")
    return (image_HWC @ np.array(_LUMA_C)).astype(np.float32).astype(np.float64)


def _half(luma_HW: FloatArray) -> FloatArray:
    height, width = luma_HW.shape
    image = Image.fromarray(luma_HW.astype(np.float32))
    return np.asarray(image.resize((width // 2, height // 2), Image.Resampling.BICUBIC), dtype=np.float64)


def _patches(value_HW: FloatArray, size: int) -> FloatArray:
    """[P, size, size], row by row; the sides are multiples of the size."""
    rows, columns = (side // size for side in value_HW.shape)
    return value_HW.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)


def _patch_features(normal_HW: FloatArray) -> list[float]:
    shape, _, left, right = fit_aggd(normal_HW.ravel())
    found = [shape, (_scale(shape, left) + _scale(shape, right)) / 2]
    for down, right_px in _NEIGHBOURS:
        shape, mean, left, right = fit_aggd((normal_HW * np.roll(normal_HW, (down, right_px), axis=(0, 1))).ravel())
        found += [shape, mean, _scale(shape, left), _scale(shape, right)]
    return found


def _scale(shape: float, variance: float) -> float:
    """The scale of a generalised Gaussian: the deviation times the root of G(1/shape) / G(3/shape)."""
    from scipy.special import gammaln

    return float(np.sqrt(variance) * np.exp(0.5 * (gammaln(1 / shape) - gammaln(3 / shape))))


def _features(luma_HW: FloatArray) -> FloatArray:
    normal_HW = normalised_luma(luma_HW)
    found = [*fit_ggd(normal_HW.ravel())]
    for down, right in _NEIGHBOURS:
        found += fit_aggd((normal_HW * np.roll(normal_HW, (-down, -right), axis=(0, 1)))[: -down or None, 1:-1].ravel())
    return np.array(found)


def _shape(ratio: float) -> float:
    """The shape whose (mean |x|)^2 / mean x^2 is the given ratio, kept in [0.2, 10]."""
    ratio_N, shape_N = _ratios()
    return float(np.interp(ratio, ratio_N, shape_N))


@cache
def _ratios() -> tuple[FloatArray, FloatArray]:
    """The ratio, which rises with the shape, on a fine grid of shapes."""
    from scipy.special import gammaln

    shape_N = np.geomspace(0.2, 10.0, 4000)
    return np.exp(2 * gammaln(2 / shape_N) - gammaln(1 / shape_N) - gammaln(3 / shape_N)), shape_N
