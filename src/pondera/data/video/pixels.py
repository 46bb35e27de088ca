"""One decoded picture as 8-bit sRGB, [H, W, 3].

libswscale converts YUV to RGB; this module settles what it leaves open: which matrix and range where the file does not
say, more than 8 bit, high dynamic range, transparency, rotation. Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float32] | NDArray[np.float64]

_PQ, _HLG = 16, 18  # transfer characteristics, ITU-T H.273
_BT2020 = 9  # colour primaries, and matrix coefficients, ITU-T H.273
_BT2020_CL = 10  # matrix coefficients; libswscale has no constant-luminance form and takes 9 for it
_UNSPECIFIED = 2
_HD_HEIGHT = 720  # from here on an untagged video is BT.709, below BT.601, as players assume

_WHITE_NITS = 203.0  # HDR reference white, ITU-R BT.2408; becomes the white of sRGB
_PEAK_NITS = 1000.0  # mastering peak assumed for PQ, and nominal peak of HLG
_BT2020_TO_BT709 = np.array(  # linear light, ITU-R BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_ROWS_PER_STRIP = 256  # HDR is computed in strips: an 8K frame in float32 would need 400 MB a step


def to_srgb(frame: av.VideoFrame) -> UInt8Array:
    """A decoded picture as it is meant to be seen.

    Untagged video is BT.709 from 720 lines on and BT.601 below; untagged range is limited. Deep colour is converted at
    16 bit and rounded once. PQ and HLG are brought to sRGB: 203 cd/m2 becomes white, highlights up to 1000 cd/m2 roll
    off. BT.2020 colours are converted to BT.709 and clipped. Transparent parts are laid on white. The rotation of the
    display matrix is applied (to quarter turns). Not done: de-interlacing, mirroring, stretching to square pixels; the
    pixels that were coded are the ones that are judged.

    Args:
        frame: a decoded picture of any pixel format.

    Returns:
        uint8 [H, W, 3].

    Source: ITU-R BT.2100 (PQ, HLG), BT.2390 section 5.4 (roll-off, applied to the largest of R, G, B so that hues
    stay), BT.2408 (white), BT.2087 (primaries).
    """
    is_deep = max(component.bits for component in frame.format.components) > 8
    has_alpha = _has_alpha(frame)
    is_wide = frame.color_primaries == _BT2020 or frame.color_trc in (_PQ, _HLG)
    wanted = {(False, False): "rgb24", (False, True): "rgba", (True, False): "rgb48le", (True, True): "rgba64le"}
    rgb: Any = _reformatted(frame, wanted[is_deep or is_wide, has_alpha]).to_ndarray()
    if rgb.dtype == np.uint16 and not frame.format.is_rgb:
        rgb = _full_scale(rgb)
    image: Any = _laid_on_white(rgb) if has_alpha else rgb
    if is_wide:
        image = _narrowed(image, frame.color_trc)
    elif image.dtype == np.uint16:
        image = _to_8_bit(image)
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


def display_size(width: int, height: int, rotation: float) -> tuple[int, int]:
    """Width and height after rotation by an angle in degrees."""
    return (height, width) if round(rotation / 90) % 2 else (width, height)


def is_hdr(frame: av.VideoFrame) -> bool:
    """Whether the picture is tagged PQ or HLG."""
    return frame.color_trc in (_PQ, _HLG)


def _has_alpha(frame: av.VideoFrame) -> bool:
    # A palette may hold transparent entries: GIF is decoded to bgra, but PNG and old codecs to pal8.
    return frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)


def _reformatted(frame: av.VideoFrame, format_name: str) -> av.VideoFrame:
    from av.video.reformatter import Interpolation

    matrix = int(frame.colorspace)
    if matrix in (_UNSPECIFIED, 0, 3):
        matrix = 1 if frame.height >= _HD_HEIGHT else 5
    # Without accurate rounding and full chroma libswscale takes its fastest path, up to 3 steps of 255 off.
    flags = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    return frame.reformat(
        format=format_name,
        src_colorspace=_BT2020 if matrix == _BT2020_CL else matrix,
        dst_color_range=2,
        interpolation=flags,
        threads=1,
    )


def _full_scale(rgb: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """libswscale's 16-bit RGB from YUV is 256 times the 8-bit value, so that white is 65280; make it 65535."""
    stretched = np.minimum(rgb.astype(np.uint32) * 257 // 256, 65535)
    return stretched.astype(np.uint16)


def _laid_on_white(rgba: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    full = np.iinfo(rgba.dtype).max
    alpha = rgba[:, :, 3:].astype(np.float32) / np.float32(full)
    mixed = alpha * rgba[:, :, :3] + (1 - alpha) * np.float32(full)
    return (mixed + np.float32(0.5)).astype(rgba.dtype)


def _to_8_bit(image: NDArray[np.uint16]) -> UInt8Array:
    # (v + 128) // 257 rounds v / 257; uint32 as 65535 + 128 overflows 16 bit.
    return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _narrowed(image: NDArray[np.uint8] | NDArray[np.uint16], transfer: int) -> UInt8Array:
    """BT.2020 primaries, and PQ or HLG where tagged, to sRGB."""
    out = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), _ROWS_PER_STRIP):
        signal = image[top : top + _ROWS_PER_STRIP].astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
        out[top : top + _ROWS_PER_STRIP] = _narrowed_strip(signal, transfer)
    return out


def _narrowed_strip(signal_HWC: Float32Array, transfer: int) -> UInt8Array:
    if transfer == _PQ:
        light = _rolled_off(np.minimum(pq_to_nits(signal_HWC), _PEAK_NITS)) / _WHITE_NITS
    elif transfer == _HLG:
        light = _rolled_off(hlg_to_nits(signal_HWC)) / _WHITE_NITS
    else:
        light = signal_HWC**2.4  # BT.1886 display
    light = np.clip(light.astype(np.float32) @ _BT2020_TO_BT709.T, 0, 1)
    # SDR video is shown as it is on sRGB displays, so the same display curve leads back.
    stored = light ** np.float32(1 / 2.4) if transfer not in (_PQ, _HLG) else _srgb(light)
    return (stored * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _srgb(light: Float32Array) -> Float32Array:
    curve: Float32Array = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
    return curve


_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_to_nits(signal: FloatArray) -> FloatArray:
    """PQ signal in [0, 1] to luminance in cd/m2, [0, 10000]. Source: ITU-R BT.2100 table 4."""
    power = np.asarray(signal, np.float64) ** (1 / _PQ_M2)
    return 10000 * (np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1)


def nits_to_pq(nits: FloatArray) -> FloatArray:
    """Luminance in cd/m2 to the PQ signal; inverse of `pq_to_nits`."""
    power = (np.asarray(nits, np.float64) / 10000) ** _PQ_M1
    return ((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2


def hlg_to_nits(signal_HWC: FloatArray) -> FloatArray:
    """HLG signal in [0, 1] to display light on a 1000 cd/m2 display, gamma 1.2. Source: ITU-R BT.2100 table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal_HWC <= 0.5, signal_HWC**2 / 3, (np.exp((signal_HWC - c) / a) + b) / 12)
    luminance_HW1 = (scene @ np.array([0.2627, 0.6780, 0.0593]))[..., None]
    return _PEAK_NITS * np.maximum(luminance_HW1, 0) ** 0.2 * scene


def _rolled_off(nits_HWC: FloatArray) -> FloatArray:
    """Compress luminance up to the mastering peak into that of white; unchanged below about 95 cd/m2."""
    peak, white = nits_to_pq(np.array(_PEAK_NITS)), nits_to_pq(np.array(_WHITE_NITS))
    largest_HW1 = nits_HWC.max(-1, keepdims=True)
    signal = nits_to_pq(largest_HW1) / peak
    ceiling = white / peak
    knee = 1.5 * ceiling - 0.5
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * ceiling
    mapped = pq_to_nits(np.where(signal < knee, signal, spline) * peak)
    return nits_HWC * (mapped / np.maximum(largest_HW1, 1e-6))
