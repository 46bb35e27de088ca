"""Distortions: known damage of graded strength, on a whole image or inside a box.

Every type has five levels, from just visible (1) to extreme (5), set so that the pseudo-MOS of
`pondera.data.full_reference` falls with each level. What happens in a lens or on a sensor (defocus, motion, exposure,
photon noise) is computed in linear light, as it happens there; what happens in software is computed on stored values.
NumPy and Pillow, SciPy on use. Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pondera.core.records import Distortion

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Aspect = Literal["sharpness", "noise", "compression", "exposure", "contrast", "colour"]

CAPTURE_ORDER: Mapping[Aspect, int] = MappingProxyType(
    {"sharpness": 0, "exposure": 1, "noise": 2, "contrast": 3, "colour": 4, "compression": 5}
)
"""In which order damage happens on the way from the scene to the file."""

_LUMA_C = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_FEATHER = 0.02  # width of a box's soft edge, as a share of the image's shorter side

_code = np.arange(256) / 255.0
_TO_LINEAR = np.where(_code <= 0.04045, _code / 12.92, ((_code + 0.055) / 1.055) ** 2.4).astype(np.float32)
_STEPS = 1 << 14  # finer than 8 bit needs at the steep dark end of the curve
_light = np.arange(_STEPS + 1) / _STEPS
_FROM_LINEAR = np.rint(
    255.0 * np.where(_light <= 0.0031308, 12.92 * _light, 1.055 * _light ** (1 / 2.4) - 0.055)
).astype(np.uint8)

Kernel = Callable[[UInt8Array, float, np.random.Generator], UInt8Array]


@dataclass(frozen=True, slots=True)
class DistortionType:
    """One kind of damage.

    Args:
        name: key in `DISTORTIONS`.
        aspect: what a viewer would name as bad.
        family: the mechanism; types of one family look alike.
        levels: the parameter at levels 1 to 5.
        description: what the parameter is, with its unit.
        kernel: (image [H, W, 3], parameter, random generator) -> image; never changes its input.
    """

    name: str
    aspect: Aspect
    family: str
    levels: tuple[float, float, float, float, float]
    description: str
    kernel: Kernel


def distort(image_HWC: UInt8Array, distortion: Distortion, seed: int) -> UInt8Array:
    """Damage an image. The same image, distortion and seed give the same result (for the same codec versions).

    In a box the damage is blended in over an edge 2 % of the image's shorter side wide, inside the box: what lies
    outside is untouched to the last bit.

    Args:
        image_HWC: uint8 [H, W, 3], any size from 1 x 1; not changed.
        distortion: type, level 1..5, and box in fractions of the image or None for all of it.
        seed: >= 0; decides noise, directions and hues. Different types draw independently from one seed.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: the type, level, box or shape is wrong.
    """
    kind = DISTORTIONS.get(distortion.type)
    if kind is None:
        raise ValueError(f"no distortion {distortion.type!r}; there are: {', '.join(DISTORTIONS)}")
    if distortion.level not in (1, 2, 3, 4, 5):
        raise ValueError(f"level must be 1, 2, 3, 4 or 5, got {distortion.level!r} ({distortion.type})")
    if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.size == 0:
        raise ValueError(f"image must be uint8 [H, W, 3], got {image_HWC.dtype} {list(image_HWC.shape)}")
    generator = np.random.default_rng([seed, zlib.crc32(kind.name.encode())])
    damaged_HWC = kind.kernel(image_HWC, kind.levels[distortion.level - 1], generator)
    if distortion.box is None:
        return damaged_HWC
    return _inside(image_HWC, damaged_HWC, distortion.box)


def box_mask(height: int, width: int, box: tuple[float, float, float, float]) -> Float32Array:
    """How strongly each pixel is damaged by a distortion in this box: 0 outside, rising to 1 over the soft edge.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        box: (left, top, right, bottom) in fractions; every box covers at least one pixel.

    Returns:
        float32 [H, W] in [0, 1].

    Raises:
        ValueError: the edges are not in order, or outside [0, 1].
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"box must be fractions with left < right and top < bottom, got {box}")
    feather = max(1.0, _FEATHER * min(height, width))
    return np.outer(_ramp(height, top, bottom, feather), _ramp(width, left, right, feather))


def _ramp(length: int, low: float, high: float, feather: float) -> Float32Array:
    first = min(round(low * length), length - 1)
    last = max(round(high * length), first + 1)
    place = np.arange(length)
    # An edge of the box on the image's own border needs no transition.
    from_low = np.inf if first == 0 else place - first + 1.0
    from_high = np.inf if last == length else last - place
    reach = min(feather, (last - first + 1) / 2)
    ramp = np.clip(np.minimum(from_low, from_high) / reach, 0, 1) * ((place >= first) & (place < last))
    return ramp.astype(np.float32)


def _inside(clean_HWC: UInt8Array, damaged_HWC: UInt8Array, box: tuple[float, float, float, float]) -> UInt8Array:
    mask_HW1 = box_mask(clean_HWC.shape[0], clean_HWC.shape[1], box)[:, :, None]
    clean = clean_HWC.astype(np.float32)
    return _to_uint8(clean + mask_HW1 * (damaged_HWC - clean))


def _to_uint8(value: Float32Array) -> UInt8Array:
    return np.clip(value + np.float32(0.5), 0, 255).astype(np.uint8)


def _from_linear(light: Float32Array) -> UInt8Array:
    """Linear light (1 = white, more is clipped) to stored sRGB values."""
    return _FROM_LINEAR[(np.clip(light, 0, 1) * np.float32(_STEPS) + np.float32(0.5)).astype(np.int32)]


def _looked_up(image_HWC: UInt8Array, table: NDArray[Any]) -> UInt8Array:
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)[image_HWC]


def _convolved(value_HWC: Float32Array, kernel: NDArray[np.float64]) -> Float32Array:
    """Convolve each channel with an odd square kernel, borders mirrored; by FFT, so large kernels cost no more."""
    from scipy import fft

    height, width = value_HWC.shape[:2]
    pad = kernel.shape[0] // 2
    padded = np.pad(value_HWC.transpose(2, 0, 1), ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    shape = [fft.next_fast_len(n, real=True) for n in padded.shape[1:]]
    spectrum = fft.rfft2(padded, shape) * fft.rfft2(kernel.astype(np.float32), shape)
    # The product wraps around; the wanted part starts behind the kernel's full width and stays clear of that.
    result = fft.irfft2(spectrum, shape)[:, 2 * pad : 2 * pad + height, 2 * pad : 2 * pad + width]
    return np.ascontiguousarray(result.transpose(1, 2, 0), dtype=np.float32)


def _gaussian_noise(image: UInt8Array, sigma: float, generator: np.random.Generator) -> UInt8Array:
    return _to_uint8(image + np.float32(sigma) * generator.standard_normal(image.shape, np.float32))


def _shot_noise(image: UInt8Array, photons: float, generator: np.random.Generator) -> UInt8Array:
    counts = generator.poisson((_TO_LINEAR * np.float32(photons))[image])
    return _from_linear(counts.astype(np.float32) / np.float32(photons))


def _impulse_noise(image: UInt8Array, share: float, generator: np.random.Generator) -> UInt8Array:
    draw_HW = generator.random(image.shape[:2], np.float32)
    out = image.copy()
    out[draw_HW < share / 2] = 0
    out[draw_HW > 1 - share / 2] = 255
    return out


def _gaussian_blur(image: UInt8Array, sigma: float, generator: np.random.Generator) -> UInt8Array:
    from scipy.ndimage import gaussian_filter

    return _to_uint8(gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="mirror", truncate=3.5))


def _defocus_blur(image: UInt8Array, radius: float, generator: np.random.Generator) -> UInt8Array:
    return _from_linear(_convolved(_TO_LINEAR[image], _antialiased(radius, _disk)))


def _motion_blur(image: UInt8Array, length: float, generator: np.random.Generator) -> UInt8Array:
    angle = generator.uniform(0, np.pi)

    def stroke(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        return (abs(along) <= length / 2) & (abs(across) <= 0.5)

    return _from_linear(_convolved(_TO_LINEAR[image], _antialiased(length / 2, lambda x, y, _: stroke(x, y))))


def _disk(x: NDArray[np.float64], y: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    return x**2 + y**2 <= radius**2


def _antialiased(radius: float, shape: Callable[..., NDArray[np.bool_]]) -> NDArray[np.float64]:
    """The share of each pixel that a shape around the centre covers (8 x 8 points a pixel), summing to 1."""
    half = int(np.ceil(radius + 0.5))
    size, fine = 2 * half + 1, 8
    place = (np.arange(size * fine) + 0.5) / fine - size / 2
    covered = shape(*np.meshgrid(place, place), radius).reshape(size, fine, size, fine).mean((1, 3))
    return covered / covered.sum()


def _downscale(image: UInt8Array, factor: float, generator: np.random.Generator) -> UInt8Array:
    height, width = image.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    shrunk = Image.fromarray(image).resize(small, Image.Resampling.LANCZOS)
    return np.asarray(shrunk.resize((width, height), Image.Resampling.BICUBIC)).copy()


def _jpeg(image: UInt8Array, quality: float, generator: np.random.Generator) -> UInt8Array:
    return _recoded(image, "JPEG", quality=int(quality), subsampling="4:2:0")


def _webp(image: UInt8Array, quality: float, generator: np.random.Generator) -> UInt8Array:
    return _recoded(image, "WEBP", quality=int(quality), method=2)


def _recoded(image: UInt8Array, codec: str, **options: Any) -> UInt8Array:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, codec, **options)
    with Image.open(buffer) as decoded:
        return np.array(decoded.convert("RGB"))


def _banding(image: UInt8Array, num_levels: float, generator: np.random.Generator) -> UInt8Array:
    step = 255.0 / (num_levels - 1)
    return _looked_up(image, np.rint(np.arange(256) / step) * step)


def _exposure(image: UInt8Array, stops: float, generator: np.random.Generator) -> UInt8Array:
    return _from_linear(_TO_LINEAR * np.float32(2.0**stops))[image]


def _contrast(image: UInt8Array, gain: float, generator: np.random.Generator) -> UInt8Array:
    mean = float(_luma(image).mean())
    return _looked_up(image, mean + gain * (np.arange(256) - mean))


def _saturation(image: UInt8Array, gain: float, generator: np.random.Generator) -> UInt8Array:
    luma_HW1 = _luma(image)[:, :, None]
    return _to_uint8(luma_HW1 + np.float32(gain) * (image - luma_HW1))


def _luma(image: UInt8Array) -> Float32Array:
    return image.astype(np.float32) @ _LUMA_C


def _colour_cast(image: UInt8Array, shift: float, generator: np.random.Generator) -> UInt8Array:
    """Gains as of a wrong white balance: black stays black, a grey keeps its luma and moves in Cb, Cr by a share."""
    hue = generator.uniform(0, 2 * np.pi)
    blue, red = shift * np.cos(hue), shift * np.sin(hue)
    gain_C = (1 + 1.402 * red, 1 - 0.344136 * blue - 0.714136 * red, 1 + 1.772 * blue)
    channels = [_looked_up(image[:, :, c], np.arange(256) * gain) for c, gain in enumerate(gain_C)]
    return np.stack(channels, axis=2)


_TYPES = (
    DistortionType(
        "gaussian_noise", "noise", "noise", (4, 8, 15, 30, 60),
        "standard deviation of white noise, in steps of 255", _gaussian_noise,
    ),
    DistortionType(
        "shot_noise", "noise", "noise", (1200, 400, 120, 30, 7),
        "photons that make full white; photon noise, strongest in the shadows after the tone curve", _shot_noise,
    ),
    DistortionType(
        "impulse_noise", "noise", "noise", (0.003, 0.008, 0.02, 0.045, 0.09),
        "share of pixels replaced by black or white", _impulse_noise,
    ),
    DistortionType(
        "gaussian_blur", "sharpness", "blur", (0.55, 0.75, 1.1, 1.9, 4.0),
        "standard deviation in pixels", _gaussian_blur,
    ),
    DistortionType(
        "motion_blur", "sharpness", "blur", (1.7, 2.6, 4.5, 9.0, 22.0),
        "length of the straight stroke in pixels; its direction is random", _motion_blur,
    ),
    DistortionType(
        "defocus_blur", "sharpness", "blur", (0.8, 1.15, 1.8, 3.0, 6.0),
        "radius of the disk of confusion in pixels", _defocus_blur,
    ),
    DistortionType(
        "downscale", "sharpness", "resampling", (1.3, 1.65, 2.3, 3.6, 7.0),
        "factor by which the image was shrunk before it was enlarged again", _downscale,
    ),
    DistortionType(
        "jpeg", "compression", "codec", (75, 40, 20, 10, 4),
        "JPEG quality setting, 4:2:0", _jpeg,
    ),
    DistortionType(
        "webp", "compression", "codec", (80, 40, 15, 5, 0),
        "WebP quality setting, lossy", _webp,
    ),
    DistortionType(
        "banding", "compression", "quantisation", (20, 12, 8, 5, 3),
        "values left in each channel", _banding,
    ),
    DistortionType(
        "darken", "exposure", "exposure", (-0.9, -1.7, -2.6, -3.6, -5.0),
        "change of exposure in stops", _exposure,
    ),
    DistortionType(
        "brighten", "exposure", "exposure", (0.7, 1.2, 1.7, 2.3, 3.1),
        "change of exposure in stops; what exceeds white is lost", _exposure,
    ),
    DistortionType(
        "low_contrast", "contrast", "tone", (0.72, 0.57, 0.42, 0.28, 0.14),
        "factor on the distance from mean luma", _contrast,
    ),
    DistortionType(
        "high_contrast", "contrast", "tone", (1.35, 1.7, 2.3, 3.6, 8.0),
        "factor on the distance from mean luma; what exceeds the range is lost", _contrast,
    ),
    DistortionType(
        "desaturate", "colour", "colour", (0.6, 0.42, 0.27, 0.13, 0.0),
        "factor on the distance from grey", _saturation,
    ),
    DistortionType(
        "oversaturate", "colour", "colour", (1.6, 2.2, 3.2, 5.0, 9.0),
        "factor on the distance from grey; what exceeds the range is lost", _saturation,
    ),
    DistortionType(
        "colour_cast", "colour", "colour", (0.09, 0.15, 0.22, 0.31, 0.43),
        "distance in the Cb, Cr plane that a grey moves, as a share of its luma; the hue is random", _colour_cast,
    ),
)  # fmt: skip

DISTORTIONS: Mapping[str, DistortionType] = MappingProxyType({t.name: t for t in _TYPES})
