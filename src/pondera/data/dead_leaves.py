"""Dead leaves: procedural images with the statistics of natural ones, for training where photographs are few.

Opaque disks of power-law radii cover each other; that alone gives the 1/f spectrum and the sharp occluding edges of
photographs. Shape letters: H height, W width, D disks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

_SMALLEST_PX = (5.0, 24.0)  # radii on the fine grid, which is twice as fine; drawn per image: busy to calm
_EXPONENT = 2.7  # number of disks ~ radius^-2.7; 3 would be free of scale, and leaves no calm surface at all
_COVER = 4.0  # area of all disks over area of the image; what stays bare shows the background
_TILE = 256  # side of the texture tile in pixels


def dead_leaves(seed: int, *, size: tuple[int, int] = (768, 512)) -> UInt8Array:
    """Draw an image of overlapping, coloured, textured and softly shaded disks.

    Args:
        seed: >= 0; the same seed and size give the same image.
        size: width and height in pixels, each >= 1.

    Returns:
        uint8 [H, W, 3], sRGB.

    Raises:
        ValueError: a size is below 1.

    Source: Lee, Mumford, Huang, "Occlusion models for natural images", IJCV 41 (2001), for disks with a cubic law of
    sizes; colours, texture and shading are ours.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ValueError(f"size must be at least 1 x 1, got {width} x {height}")
    generator = np.random.default_rng([seed, 0xDEAD])
    leaf_HW, num_leaves = _cover(2 * height, 2 * width, generator)
    value_HWC = _paint(leaf_HW, num_leaves, generator)
    fine = value_HWC.reshape(height, 2, width, 2, 3)
    image = 0.25 * (fine[:, 0, :, 0] + fine[:, 0, :, 1] + fine[:, 1, :, 0] + fine[:, 1, :, 1])
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def _cover(height: int, width: int, generator: np.random.Generator) -> tuple[NDArray[np.int32], int]:
    """Which leaf is seen at each pixel; leaf 0 is the background."""
    radius_D = _radii(_COVER * height * width, min(height, width), generator)
    num = len(radius_D)
    x_D, y_D = generator.random(num) * width, generator.random(num) * height
    leaf_HW = np.zeros((height, width), np.int32)
    squared_H, squared_W = np.arange(height) + 0.5, np.arange(width) + 0.5
    for leaf, (x, y, r) in enumerate(zip(x_D.tolist(), y_D.tolist(), radius_D.tolist(), strict=True), start=1):
        left, right, top, bottom = max(0, int(x - r)), int(x + r) + 1, max(0, int(y - r)), int(y + r) + 1
        inside = (squared_H[top:bottom, None] - y) ** 2 + (squared_W[left:right] - x) ** 2 <= r * r
        leaf_HW[top:bottom, left:right][inside] = leaf
    return leaf_HW, num + 1


def _radii(area: float, short_side: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Radii of a power law until their disks have the area; at least one."""
    low, high = np.log(_SMALLEST_PX)
    smallest = np.exp(generator.uniform(low, high))
    largest = 0.4 * short_side + smallest
    num = int(area / (np.pi * smallest**2)) + 1
    # Inverse of the cumulative law of density ~ r^-exponent between smallest and largest.
    shrink = (smallest / largest) ** (_EXPONENT - 1)
    radius_D = smallest * (1 - generator.random(num) * (1 - shrink)) ** (-1 / (_EXPONENT - 1))
    return radius_D[: int(np.searchsorted(np.cumsum(np.pi * radius_D**2), area)) + 1]


def _paint(leaf_HW: NDArray[np.int32], num: int, generator: np.random.Generator) -> Float32Array:
    """Colour every leaf: a base colour, a linear shade across it, and its own cut of a texture."""
    height, width = leaf_HW.shape
    y_H, x_W = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    slope_D2 = generator.normal(0, 40.0 / min(height, width), (num, 2)).astype(np.float32)
    strength_D = generator.gamma(1.2, 6.0, num).astype(np.float32)
    shift_D = generator.integers(0, _TILE * _TILE, num)
    place_HW = (np.arange(height)[:, None] // 2 % _TILE) * _TILE + np.arange(width) // 2 % _TILE
    texture_HW = _texture(generator).ravel()[(place_HW + shift_D[leaf_HW]) % (_TILE * _TILE)]
    light_HW = strength_D[leaf_HW] * texture_HW
    light_HW += slope_D2[leaf_HW, 0] * (y_H - height / 2)[:, None] + slope_D2[leaf_HW, 1] * (x_W - width / 2)
    return _colours(num, generator)[leaf_HW] + light_HW[:, :, None]


def _texture(generator: np.random.Generator) -> Float32Array:
    """A periodic tile of 1/f noise, mean 0, standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE))
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(generator.standard_normal((_TILE, _TILE))) / frequency, (_TILE, _TILE))
    return (noise / noise.std()).astype(np.float32)


def _colours(num: int, generator: np.random.Generator) -> Float32Array:
    """Base colours [D, 3]: broad luma, moderate saturation, leaning to a hue that the whole image shares."""
    luma = 255 * generator.beta(1.3, 1.5, num)
    common = generator.normal(0, 8, 2)
    spread = generator.uniform(4, 16)
    blue, red = common[:, None] + generator.laplace(0, spread, (2, num)) * (0.4 + luma / 255)
    colour = np.stack([luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue], axis=1)
    return np.clip(colour, 8, 247).astype(np.float32)


@dataclass(frozen=True, slots=True)
class DeadLeaves:
    """A dead-leaves image to be drawn when it is needed: a record that `pondera.data.synthesize` takes as a source."""

    seed: int
    size: tuple[int, int] = (768, 512)

    def image(self) -> UInt8Array:
        """Draw it."""
        return dead_leaves(self.seed, size=self.size)
