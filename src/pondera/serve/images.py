"""Images out of requests: data URLs, addresses where that is allowed, and plain bytes. All are bounded in size."""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from pondera.data.images import UInt8Array, load_image
from pondera.errors import MediaError, MissingExtra

_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+(?:;[a-z0-9=.+-]+)*;base64,", re.IGNORECASE)
_FETCH_TIMEOUT_S = 20


def read_data_url(url: str) -> bytes:
    """The bytes behind a data URL.

    Raises:
        MediaError: it is no base64 image; the URL itself is not repeated.
    """
    match = _DATA_URL.match(url)
    if match is None:
        raise MediaError("an image must be a data URL of the form data:image/png;base64,...")
    try:
        return base64.b64decode(url[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise MediaError("an image is not valid base64; encode its bytes without line breaks") from None


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image as it was sent, which is many times smaller than its pixels. `check` has let it pass."""

    content: bytes

    def decode(self) -> UInt8Array:
        """The pixels, as `load_image` gives them.

        Raises:
            MediaError: it is damaged.
        """
        with _opened(self.content) as image:
            return load_image(image)


def check(content: bytes, max_pixels: int) -> None:
    """Read the head of an encoded image.

    Raises:
        MediaError: it is no image, or has more than `max_pixels` pixels.
    """
    with _opened(content) as image:
        if image.width * image.height > max_pixels:
            raise MediaError(f"an image has {image.width} x {image.height} pixels, the limit is {max_pixels}")


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """An encoded image; whatever goes wrong with it is a `MediaError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is in `check`
            image = Image.open(io.BytesIO(content))
        with image:
            yield image
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise MediaError("an image is in no format that Pillow knows, or far too large; send PNG or JPEG") from None
    except MediaError as error:
        raise MediaError(str(error).replace("<image in memory>", "an image")) from None
    except (OSError, ValueError, SyntaxError) as error:  # damaged headers
        raise MediaError(f"an image cannot be decoded ({error}); it looks damaged") from None


async def fetch(url: str, max_bytes: int) -> bytes:
    """The bytes at an address; redirects are not followed.

    Raises:
        MediaError: it cannot be had within the limits.
        MissingExtra: httpx2 is not installed.
    """
    try:
        import httpx2
    except ImportError:
        raise MissingExtra("fetching images needs httpx2", "remote") from None
    content = bytearray()
    try:
        async with (
            httpx2.AsyncClient(timeout=_FETCH_TIMEOUT_S, headers={"Accept-Encoding": "identity"}) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != 200:
                raise MediaError(f"an image could not be fetched: HTTP {response.status_code}; send a data URL")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > max_bytes:
                    raise MediaError(f"an image has more than {max_bytes} bytes; send a smaller one")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise MediaError(f"an image could not be fetched ({type(error).__name__}); send a data URL") from None
    return bytes(content)
