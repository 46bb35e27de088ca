"""What can be measured on an image without a reference: noise, blur, blocks, false contours, tone and colour.

Each estimator is a published idea, or a simplification of one, named with its source. All work at native resolution
on 8-bit sRGB. Most are logarithms, because a defect twice as strong looks one step worse, not twice as bad. None says
what is good: `pondera.teach.measuring` compares them with those of pristine photographs.
Shape letters: H height, W width, C channels, D differences along a row; h, w: blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_LUMA_C = (0.299, 0.587, 0.114)  # ITU-R BT.601
_SMALLEST = 32  # pixels: below it an image is mirrored, so that every window fits
_TILE = 448  # a multiple of 16, so that cutting keeps the codecs' grid in phase
_MOST_PIXELS = 1_200_000  # above it, nine tiles stand for the image
_COARSE = 4  # tone and colour are read from means of 4 x 4 pixels, which no noise or speck survives
_EDGE_WINDOW = 9
_BLACK, _WHITE = 8.0, 247.0  # a coarse pixel beyond these has lost its detail


def measure(image_HWC: NDArray[np.uint8]) -> dict[str, float]:
    """All measures of an image; about 9 ms for 384 x 256 on one core.

    Images above 1.2 megapixels are represented by 3 x 3 tiles of native resolution, spread evenly.

    Args:
        image_HWC: uint8 [H, W, 3], any size from 1 x 1.

    Returns:
        Finite numbers by name, always in the same order: noise_sigma, speck_share, edge_slope, block_step,
        false_contours, mean_luma, luma_spread, luma_span, clipped_ends, colourfulness, colour_by_spread,
        colour_by_mean, edge_tint, neutral_tint.

    Raises:
        ValueError: the array is not uint8 [H, W, 3] or is empty.
    """
    if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.size == 0:
        raise ValueError(f"image must be uint8 [H, W, 3], got {image_HWC.dtype} {list(image_HWC.shape)}")
    image_HWC = _sized(image_HWC)
    rgb_CHW = np.ascontiguousarray(image_HWC.transpose(2, 0, 1))
    luma_HW = _luma(rgb_CHW)
    coarse_Chw = np.stack([_block_means(channel, _COARSE) for channel in rgb_CHW])
    coarse_hw = _luma(coarse_Chw)
    return {
        "noise_sigma": noise_sigma(luma_HW),
        "speck_share": speck_share(luma_HW),
        "edge_slope": edge_slope(luma_HW),
        "block_step": block_step(luma_HW),
        "false_contours": false_contours(rgb_CHW),
        **tone(coarse_hw),
        **colour(coarse_Chw, coarse_hw),
    }


def noise_sigma(luma_HW: FloatArray) -> float:
    """Log standard deviation of the noise in the flattest parts, in steps of 255 (+ 0.3).

    The mean absolute response to a mask that is blind to planes, per block of 8 x 8; the 15th percentile over blocks
    that are neither nearly black nor nearly white.

    Source: J. Immerkaer, Fast noise variance estimation, CVIU 64 (1996). Deviation: a low percentile over blocks
    instead of the mean over the image, which takes texture for noise.
    """
    rows = luma_HW[:-2] - 2 * luma_HW[1:-1] + luma_HW[2:]
    response = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    sigma_hw = _block_means(response, 8) * (np.sqrt(np.pi / 2) / 6)
    level_hw = _block_means(luma_HW[1:-1, 1:-1], 8)
    usable = (level_hw > 20) & (level_hw < 235)
    if usable.sum() < 0.05 * usable.size:
        usable = np.ones_like(usable)
    return float(np.log(np.percentile(sigma_hw[usable], 15) + 0.3))


def speck_share(luma_HW: FloatArray) -> float:
    """Log share of pixels that stand out of all their 8 neighbours by more than 30 steps (+ 0.0001).

    Source: the impulse detector of the conditional median filters, e.g. T. Sun and Y. Neuvo, Detail-preserving median
    based filters, Pattern Recognition Letters 15 (1994); threshold own.
    """
    middle = luma_HW[1:-1, 1:-1]
    rows_high = np.maximum(np.maximum(luma_HW[:-2], luma_HW[2:]), luma_HW[1:-1])
    rows_low = np.minimum(np.minimum(luma_HW[:-2], luma_HW[2:]), luma_HW[1:-1])
    column_high = np.maximum(luma_HW[:-2, 1:-1], luma_HW[2:, 1:-1])
    column_low = np.minimum(luma_HW[:-2, 1:-1], luma_HW[2:, 1:-1])
    highest = np.maximum(np.maximum(rows_high[:, :-2], rows_high[:, 2:]), column_high)
    lowest = np.minimum(np.minimum(rows_low[:, :-2], rows_low[:, 2:]), column_low)
    return float(np.log(np.mean((middle > highest + 30) | (middle < lowest - 30)) + 1e-4))


def edge_slope(luma_HW: FloatArray) -> float:
    """Log of the steepest step inside an edge over the height of the edge; the blurrier of the two directions.

    Over windows of 9 pixels, the median of (largest difference of neighbours) / (range), for the tenth of windows
    with the largest range. A step gives 1, a Gaussian blur of sigma s about 0.4 / s: it depends on the width of edges
    and not on their contrast. Taking the worse direction finds motion blur.

    Source: edge width as in P. Marziliano et al., A no-reference perceptual blur metric, ICIP 2002; the ratio of slope
    to height instead of a search for the ends of each edge is our simplification.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    half = _EDGE_WINDOW // 2
    slopes = []
    for rows in (luma_HW[::2], luma_HW.T[::2]):  # every second line is enough
        line_HW = np.ascontiguousarray(rows)
        step_HD = np.abs(np.diff(line_HW, axis=1))
        range_HW = (maximum_filter1d(line_HW, _EDGE_WINDOW, 1) - minimum_filter1d(line_HW, _EDGE_WINDOW, 1))[
            :, half:-half
        ]
        # An even window of 8 differences is centred half a step to the right: start at its true place.
        steepest_HW = maximum_filter1d(step_HD, _EDGE_WINDOW - 1, 1)[:, half:][:, : range_HW.shape[1]]
        edges = range_HW >= max(float(np.percentile(range_HW[::2, ::2], 90)), 2.0)
        slopes.append(float(np.median(steepest_HW[edges] / range_HW[edges])) if edges.any() else 0.5)
    return float(np.log(min(slopes) + 1e-3))


def block_step(luma_HW: FloatArray) -> float:
    """Log of how much steps stick out on a grid of 8 pixels, relative to the mean step (+ 0.02).

    The difference across each column line is compared with its two neighbours; the phase of the grid that sticks out
    most counts, against the median phase, so images cut out of a compressed one are seen too.

    Source: Z. Wang, H. Sheikh, A. Bovik, No-reference perceptual quality assessment of JPEG compressed images,
    ICIP 2002 (differences across block borders); search over the phase and normalisation own.
    """
    strengths: list[float] = []
    for line_HW in (luma_HW, luma_HW.T):
        step_HD = np.abs(np.diff(line_HW, axis=1))
        mean_D = step_HD.mean(axis=0)
        excess_D = mean_D[1:-1] - (mean_D[:-2] + mean_D[2:]) / 2
        phase_8 = excess_D[: len(excess_D) // 8 * 8].reshape(-1, 8).mean(axis=0)
        strengths.append(float((phase_8.max() - np.median(phase_8)) / (mean_D.mean() + 0.3)))
    return float(np.log(np.mean(strengths) + 0.02))


def false_contours(rgb_CHW: NDArray[np.uint8]) -> float:
    """Log of (share of neighbours that are exactly equal) x (median of the other steps) (+ 0.3).

    Photographs have few equal neighbours and many small steps; blur, darkening and low contrast make equal neighbours
    but keep the small steps; only values that were merged into a few have neither. Clipped pixels are left out.

    Source: own; the idea of telling contours by flat runs beside isolated steps is that of banding detectors such as
    Z. Tu et al., BBAND index, ICASSP 2020.
    """
    products: list[float] = []
    for channel_HW in rgb_CHW:
        value_HW = channel_HW.astype(np.int16)
        step_HD = np.abs(np.diff(value_HW, axis=1))
        inside_HW = (value_HW > 2) & (value_HW < 253)
        inside_HD = inside_HW[:, 1:] & inside_HW[:, :-1]
        num_equal, num_inside = int((inside_HD & (step_HD == 0)).sum()), int(inside_HD.sum())
        count_256 = np.bincount(step_HD.ravel(), minlength=256)
        count_256[0] = 0
        typical = int(np.searchsorted(count_256.cumsum(), float(count_256.sum()) / 2))
        products.append(num_equal / max(num_inside, 1) * typical)
    return float(np.log(np.mean(products) + 0.3))


def tone(coarse_hw: FloatArray) -> dict[str, float]:
    """Brightness and contrast of a coarse luma image.

    Returns:
        mean_luma: logit of the mean, so that dark and bright count alike.
        luma_spread: log standard deviation (RMS contrast, E. Peli, JOSA A 7 (1990)); unmoved by an added constant.
        luma_span: log Michelson contrast of the 5th and 95th percentile; unmoved by a gain.
        clipped_ends: log of the smaller of the shares of nearly black and nearly white (+ 0.003).
    """
    low, high = np.percentile(coarse_hw, [5, 95])
    mean = (float(coarse_hw.mean()) + 2) / 259
    ends = min(float(np.mean(coarse_hw <= _BLACK)), float(np.mean(coarse_hw >= _WHITE)))
    return {
        "mean_luma": float(np.log(mean / (1 - mean))),
        "luma_spread": float(np.log(coarse_hw.std() + 1)),
        "luma_span": float(np.log((high - low + 2) / (high + low + 8))),
        "clipped_ends": float(np.log(ends + 0.003)),
    }


def colour(coarse_Chw: FloatArray, coarse_hw: FloatArray) -> dict[str, float]:
    """Amount of colour, and tint, of a coarse image.

    Returns:
        colourfulness: log of the index of D. Hasler and S. Suesstrunk, Measuring colourfulness in natural images,
            SPIE 5007 (2003).
        colour_by_spread: the same over the standard deviation of luma (unmoved by contrast).
        colour_by_mean: the same over mean luma (unmoved by exposure).
        edge_tint: log distance from grey of the mean steps per channel: the grey-edge hypothesis of J. van de Weijer,
            T. Gevers, A. Gijsenij, Edge-based color constancy, IEEE TIP 16 (2007).
        neutral_tint: saturation of the most neutral pixels, 15th percentile: 0 wherever something grey is in sight.
    """
    red, green, blue = coarse_Chw
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    amount = np.hypot(red_green.std(), yellow_blue.std()) + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()) + 0.5
    step_C = np.log([np.abs(np.diff(channel, axis=1)).mean() + 0.5 for channel in coarse_Chw])
    tint = np.hypot(step_C[0] - step_C[1], step_C[2] - step_C[1])
    highest, lowest = coarse_Chw.max(axis=0), coarse_Chw.min(axis=0)
    saturation = ((highest - lowest) / (highest + 8))[coarse_hw > 10]
    return {
        "colourfulness": float(np.log(amount)),
        "colour_by_spread": float(np.log(amount / (coarse_hw.std() + 4))),
        "colour_by_mean": float(np.log(amount / (coarse_hw.mean() + 4))),
        "edge_tint": float(np.log(tint + 0.02)),
        "neutral_tint": float(np.percentile(saturation, 15)) if saturation.size else 0.0,
    }


def _luma(rgb_CHW: NDArray[Any]) -> FloatArray:
    red, green, blue = (np.float32(weight) * channel for weight, channel in zip(_LUMA_C, rgb_CHW, strict=True))
    return np.asarray(red + green + blue, np.float32)


def _block_means(array: NDArray[Any], size: int) -> FloatArray:
    """Means of whole blocks, float32 [H // size, W // size]."""
    height, width = (n // size for n in array.shape)
    columns = np.add.reduceat(array, np.arange(0, height * size, size), axis=0, dtype=np.float32)
    if height * size < array.shape[0]:  # reduceat runs its last group to the end
        columns[-1] = array[(height - 1) * size : height * size].sum(axis=0, dtype=np.float32)
    blocks = columns[:, : width * size].reshape(height, width, size).sum(axis=2)
    return blocks / np.float32(size * size)


def _sized(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirror tiny images up to 32 pixels; let tiles stand for huge ones."""
    height, width = image_HWC.shape[:2]
    if min(height, width) < _SMALLEST:
        pad = [(0, max(0, _SMALLEST - n)) for n in (height, width)]
        return np.pad(image_HWC, (*pad, (0, 0)), mode="symmetric")
    if height * width <= _MOST_PIXELS:
        return image_HWC
    rows = [image_HWC[top : top + _TILE] for top in _starts(height)]
    return np.concatenate([np.concatenate([row[:, left : left + _TILE] for left in _starts(width)], 1) for row in rows])


def _starts(length: int) -> list[int]:
    """First pixels of at most three tiles, on multiples of 16."""
    if length <= 3 * _TILE:
        return list(range(0, max(length - _TILE, 0) + 1, _TILE))
    return [round(share * (length - _TILE)) // 16 * 16 for share in (0.0, 0.5, 1.0)]
