"""Natural scene statistics: the 36 features of BRISQUE, of a whole image, and those of NIQE, of each of its patches.

A pristine photograph, with local mean and contrast divided out, is nearly Gaussian; damage changes the shape of that
distribution and of the products of neighbours. Shape letters: H height, W width, C channels, N values, F 36 features,
P patches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pondera.core.records import FloatArray

Edge = Literal["zeros", "repeat"]

_LUMA_C = (0.299, 0.587, 0.114)  # ITU-R BT.601
_SIGMA = 7 / 6  # of the Gaussian window, cut at 3 pixels: 7 x 7
_SMALLEST = 16  # pixels a side, so that the half-size image is larger than the window
PATCH = 96  # pixels a side of a patch of NIQE, 48 at half size
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, below, both diagonals
_HALVING = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256  # bicubic (a = -0.5), twice as wide against aliasing


def brisque_features(image_HWC: NDArray[np.uint8]) -> FloatArray:
    """Shape and spread of the normalised luma and of its four neighbour products, at full and at half size, [36].

    Args:
        image_HWC: uint8 [H, W, 3], at least 16 x 16.

    Returns:
        Per size: shape and variance of the luma; per direction shape, mean, left and right variance of the products.

    Raises:
        ValueError: the array is not uint8 [H, W, 3], or smaller than 16 x 16.

    Source: Mittal, Moorthy and Bovik 2012 (BRISQUE), and their program, utlive/BRISQUE@2e2a5ac: luma rounded to whole
        numbers, zeros beyond the edge, products wrapped around it. Deviations: shapes are interpolated between 0.2 and
        10 instead of picked from a grid with steps of 0.001; flat parts are 0, not noise of the last digit.
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

    Source: Mittal, Soundararajan and Bovik 2013 (NIQE). As the authors' program: luma rounded to whole numbers, edges
        that repeat their pixels, scales instead of variances, products wrapped around the edge of the patch.
        Deviations: those of `brisque_features`.
    """
    luma_HW = _luma(image_HWC, PATCH)
    rows, columns = (side // PATCH for side in luma_HW.shape)
    luma_HW = luma_HW[: rows * PATCH, : columns * PATCH]
    found = []
    for size, value_HW in ((PATCH, luma_HW), (PATCH // 2, _half(luma_HW))):
        patches = _patches(normalised_luma(value_HW, edge="repeat"), size)
        found.append(np.array([_patch_features(patch_HW) for patch_HW in patches]))
    sharpness_P = _patches(_local_moments(luma_HW, "repeat")[1], PATCH).mean(axis=(1, 2))
    return np.concatenate(found, axis=1), sharpness_P


def normalised_luma(luma_HW: FloatArray, *, edge: Edge) -> FloatArray:
    """(luma - local mean) / (local deviation + 1) in a Gaussian window, luma in [0, 255].

    Args:
        luma_HW: [H, W].
        edge: what lies beyond it: `zeros`, or a `repeat` of the outermost pixels.
    """
    mean_HW, deviation_HW = _local_moments(luma_HW, edge)
    # Where the luma is flat the quotient is noise of the last digit; its sign must not put a pixel left or right of 0.
    return np.round((luma_HW - mean_HW) / (deviation_HW + 1.0), 9)


def _local_moments(luma_HW: FloatArray, edge: Edge) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation in the window."""
    from scipy.ndimage import gaussian_filter

    mode = {"zeros": "constant", "repeat": "nearest"}[edge]

    def blur(value_HW: FloatArray) -> FloatArray:
        blurred: FloatArray = gaussian_filter(value_HW, _SIGMA, mode=mode, radius=3)
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
    """In whole numbers."""
    if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
        raise ValueError(f"image must be uint8 [H, W, 3], got {image_HWC.dtype} {list(image_HWC.shape)}")
    height, width = image_HWC.shape[:2]
    if min(height, width) < smallest:
        raise ValueError(f"image must be at least {smallest} x {smallest} pixels, got {width} x {height}")
    return np.round(image_HWC @ np.array(_LUMA_C))


def _half(luma_HW: FloatArray) -> FloatArray:
    """Half the size, odd sides rounded up; edges are mirrored. As MATLAB's imresize does it."""
    from scipy.ndimage import correlate1d

    for axis in (0, 1):
        # The window of pixel n of the half image are pixels 2n - 3 to 2n + 4.
        luma_HW = correlate1d(luma_HW, _HALVING, axis, mode="reflect", origin=-1)
        luma_HW = luma_HW[::2] if axis == 0 else luma_HW[:, ::2]
    return luma_HW


def _patches(value_HW: FloatArray, size: int) -> FloatArray:
    """[P, size, size], row by row; the sides are multiples of the size."""
    rows, columns = (side // size for side in value_HW.shape)
    return value_HW.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)


def _patch_features(normal_HW: FloatArray) -> list[float]:
    shape, _, left, right = fit_aggd(normal_HW.ravel())
    found = [shape, (_scale(shape, left) + _scale(shape, right)) / 2]
    for product_N in _products(normal_HW):
        shape, mean, left, right = fit_aggd(product_N)
        found += [shape, mean, _scale(shape, left), _scale(shape, right)]
    return found


def _scale(shape: float, variance: float) -> float:
    """The scale of a generalised Gaussian: the deviation times the root of G(1/shape) / G(3/shape)."""
    from scipy.special import gammaln

    return float(np.sqrt(variance) * np.exp(0.5 * (gammaln(1 / shape) - gammaln(3 / shape))))


def _features(luma_HW: FloatArray) -> FloatArray:
    normal_HW = normalised_luma(luma_HW, edge="zeros")
    return np.array([*fit_ggd(normal_HW.ravel()), *chain.from_iterable(map(fit_aggd, _products(normal_HW)))])


def _products(normal_HW: FloatArray) -> Iterator[FloatArray]:
    """Of every value and its neighbour, direction by direction; those at the edge meet those at the opposite one."""
    for shift in _NEIGHBOURS:
        yield (normal_HW * np.roll(normal_HW, shift, axis=(0, 1))).ravel()


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
