"""Moving test content: a camera travels over a photograph with depth, so that near things move faster than far ones.

Video training then runs without any download. The depth is invented (a ground that comes nearer towards the bottom, and
soft hills), the motion is real: pan, zoom and parallax, smooth in time. NumPy, SciPy on use. Shape letters: T frames,
H height, W width, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pondera.data.images import load_image

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

_PARALLAX = (0.7, 1.3)  # speed of the farthest and the nearest point, relative to the camera's
_SCENE = 2.0  # sides of the scene, in frames, where the photograph is large enough
_SPEED = (0.04, 0.35)  # of the pan, in frame widths a second
_MARGIN_PX = 2.0  # between the outermost point that is looked at and the photograph's edge


@dataclass(frozen=True, slots=True)
class MovingContent:
    """A camera move over a photograph.

    Args:
        source: an image file, larger than the frames; the move uses the room there is.
        seed: >= 0; decides direction, speed, zoom and depth.
        num_frames: T, >= 1.
        rate: frames a second, > 0.
        size: width and height of the frames in pixels.

    Raises:
        ValueError: an argument is out of range.
    """

    source: str | Path
    seed: int
    num_frames: int = 48
    rate: float = 24.0
    size: tuple[int, int] = (256, 192)

    def __post_init__(self) -> None:
        if self.seed < 0 or self.num_frames < 1 or not self.rate > 0 or min(self.size) < 8:
            raise ValueError(
                f"seed >= 0, num_frames >= 1, rate > 0 and sides >= 8 are needed, got seed {self.seed}, "
                f"num_frames {self.num_frames}, rate {self.rate}, size {self.size}"
            )

    def frames(self) -> UInt8Array:
        """Compute the frames, uint8 [T, H, W, 3]; the same arguments give the same frames.

        Raises:
            ValueError: the photograph is too small for the frames.
            MediaError: it cannot be read.
        """
        from scipy.ndimage import map_coordinates, spline_filter

        image = self._scene()
        generator = np.random.default_rng(self.seed)
        near_HW = self._depth(generator)
        path = self._path(generator, image.shape[0], image.shape[1])
        # Cubic: with linear interpolation sharpness would pulse as the camera passes whole pixels.
        splines = [spline_filter(image[:, :, c].astype(np.float32), output=np.float32) for c in range(3)]
        out = np.empty((self.num_frames, *near_HW.shape, 3), np.uint8)
        for t, (x, y, zoom) in enumerate(path):
            where = self._looked_at(near_HW, x, y, zoom, image.shape)
            for c, spline in enumerate(splines):
                value = map_coordinates(spline, where, order=3, prefilter=False, mode="mirror")
                out[t, :, :, c] = np.clip(value + 0.5, 0, 255)
        return out

    def _scene(self) -> UInt8Array:
        """The photograph, scaled down until frames show a good part of it: a small window may hold only sky."""
        image = load_image(self.source)
        height, width = image.shape[:2]
        factor = _SCENE * max(self.size[0] / width, self.size[1] / height)
        if factor >= 1:
            return image
        size = (round(width * factor), round(height * factor))
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))

    def _depth(self, generator: np.random.Generator) -> Float32Array:
        """Nearness of each pixel in [0, 1]: a ramp towards the bottom plus soft hills."""
        from scipy.ndimage import gaussian_filter

        width, height = self.size
        hills = gaussian_filter(generator.standard_normal((height, width)), min(width, height) / 5, mode="wrap")
        hills = (hills - hills.min()) / max(float(np.ptp(hills)), 1e-9)
        ramp = np.linspace(0, 1, height)[:, None]
        return (0.5 * ramp + 0.5 * hills).astype(np.float32)

    def _path(self, generator: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
        """Camera offset (x, y) from the photograph's centre in pixels, and zoom, for each frame: [T, 3]."""
        room = np.array(self._room(width, height))
        phase_T = np.linspace(-1, 1, self.num_frames) if self.num_frames > 1 else np.zeros(1)
        angle = generator.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle)])
        # A steady pan with a slow swing across it, from a place that leaves room for both.
        travel = generator.uniform(*_SPEED) * self.size[0] * self.num_frames / self.rate / 2
        reach = np.minimum(abs(direction) * travel, 0.8 * room)
        swing_T = 0.2 * np.sin(np.pi * generator.uniform(0.5, 1.5) * phase_T + generator.uniform(0, 2 * np.pi))
        centre = generator.uniform(-1, 1, 2) * (room - 1.2 * reach).clip(min=0)
        sign = np.sign(direction)
        place_T2 = centre + reach * (sign * phase_T[:, None] + sign[::-1] * swing_T[:, None])
        zoom_T = 1 - generator.uniform(0, 0.12) * (0.5 + 0.5 * phase_T * generator.choice((-1, 1)))
        return np.column_stack([place_T2.clip(-room, room), zoom_T])

    def _room(self, width: int, height: int) -> tuple[float, float]:
        """How far the camera may go from the centre, so that even the nearest point stays inside."""
        room = [(whole - part) / 2 - _MARGIN_PX for whole, part in zip((width, height), self.size, strict=True)]
        if min(room) <= 0:
            raise ValueError(f"{self.source}: {width} x {height} is too small for moving frames of {self.size}")
        return room[0] / _PARALLAX[1], room[1] / _PARALLAX[1]

    def _looked_at(
        self, near_HW: Float32Array, x: float, y: float, zoom: float, shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Rows and columns of the photograph that the pixels of one frame show, [2, H, W]."""
        height, width = near_HW.shape
        speed_HW = _PARALLAX[0] + (_PARALLAX[1] - _PARALLAX[0]) * near_HW
        column_W = (np.arange(width) - (width - 1) / 2) * zoom + (shape[1] - 1) / 2
        row_H = (np.arange(height) - (height - 1) / 2) * zoom + (shape[0] - 1) / 2
        where = np.stack([row_H[:, None] + y * speed_HW, column_W[None, :] + x * speed_HW])
        return where.astype(np.float32)
