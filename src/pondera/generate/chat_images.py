"""Images as data URLs, the form in which chat services take them.

Quality is what is asked about, so nothing is compressed with loss: a small file goes out byte by byte, everything else
as PNG of the pixels that Pondera itself would judge.
"""

from __future__ import annotations

import base64
import io
import threading
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image

from pondera.data.images import UInt8Array, load_image, opened_image

# What a file may carry besides pixels to be sent as it is: not its place, author or the prompt that made it.
_HARMLESS = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "gamma", "srgb", "progressive", "progression"}
# Images are made in several threads. Decoding and scaling takes about a dozen bytes a pixel, so of these one at a time.
_LARGE_PIXELS = 30_000_000
_one_large_image = threading.Lock()
_MIME = {"JPEG": "image/jpeg", "PNG": "image/png"}


def data_url(source: str | Path | UInt8Array, max_pixels: int) -> str:
    """An image as `data:image/...;base64,...`, scaled down to at most `max_pixels` where it has more.

    JPEG and PNG files without metadata, colour profile, transparency and animation go out unchanged. Pixels, such as a
    frame's, are an array [H, W, 3].

    Raises:
        MediaError: the file cannot be read as an image.
    """
    if not isinstance(source, np.ndarray):
        source = Path(source)
        with opened_image(source) as image:
            num_pixels = image.width * image.height
            mime = _plain_mime(image) if num_pixels <= max_pixels else None
        if mime is not None:
            return _encoded(mime, source.read_bytes())
    else:
        num_pixels = source.shape[0] * source.shape[1]
    content = io.BytesIO()
    with _one_large_image if num_pixels > _LARGE_PIXELS else nullcontext():
        # Higher levels cost seconds for a few percent.
        fitted_image(source, max_pixels).save(content, "PNG", compress_level=1)
    return _encoded("image/png", content.getvalue())


def fitted_image(source: str | Path | UInt8Array, max_pixels: int) -> Image.Image:
    """An image as Pondera judges it, 8-bit sRGB, scaled down to at most `max_pixels` where it has more.

    Raises:
        MediaError: the file cannot be read as an image.
    """
    image = Image.fromarray(load_image(source))
    if image.width * image.height <= max_pixels:
        return image
    return image.resize(fitting_size(image.width, image.height, max_pixels), Image.Resampling.LANCZOS)


def fitting_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """The largest size of nearly the same shape with at most `max_pixels`, both sides >= 1."""
    scale = float(np.sqrt(max_pixels / (width * height)))
    small = max(1, int(width * scale)), max(1, int(height * scale))
    # A side that had to be raised to 1 makes the other too long.
    return min(small[0], max(1, max_pixels // small[1])), min(small[1], max(1, max_pixels // small[0]))


def _plain_mime(image: Image.Image) -> str | None:
    is_plain = (
        image.format in _MIME
        and image.mode in ("RGB", "L")
        and set(image.info) <= _HARMLESS
        and not getattr(image, "is_animated", False)
    )
    return _MIME[image.format or ""] if is_plain else None


def _encoded(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
