"""Reading images: whatever stands in a file becomes one thing, 8-bit sRGB, [H, W, 3].

Pillow decodes; this module settles what Pillow leaves open: orientation, 16 bit, transparency, colour profiles, size
limits, and errors a person can act on. Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

import glob
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pondera.errors import MediaError

ImageSource = str | Path | Image.Image | NDArray[Any]
UInt8Array = NDArray[np.uint8]

MAX_PIXELS = 400_000_000  # 400 megapixels: 1.6 GB inside Pillow; above it an image is refused
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"}
    | {".ppm", ".tga", ".tif", ".tiff", ".webp"}
)

_ROWS_PER_STRIP = 256  # 16-bit images are scaled in strips, so that a large one needs no second full copy
_pillow_limit_lock = threading.Lock()
_readers: list[int | None] = []  # one entry per image being read; the first holds Pillow's own limit


def load_image(source: ImageSource) -> UInt8Array:
    """Read an image as 8-bit sRGB.

    Of an animated file the first frame counts, of a Pillow image the frame it stands at. EXIF orientation is applied.
    Transparent parts are laid on white. A colour profile is converted to sRGB where Pillow was built with LittleCMS; a
    profile that cannot be read is ignored. 16-bit grey (modes I;16 and I) is divided by 257; 16-bit colour PNG is read
    by Pillow as its high bytes. Floating point grey (mode F) is taken as 0..1, 0..255 or 0..65535, whichever is the
    smallest that holds its maximum.

    Args:
        source: a file, a Pillow image, or an array: [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] of uint8, uint16 (full
            range), bool, or float in [0, 1].

    Returns:
        uint8 [H, W, 3], a writable copy; H x W is at most `MAX_PIXELS`.

    Raises:
        MediaError: the source is missing, a folder, empty, damaged, too large, or no image; names file and way out.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pillow(source)
    path = Path(source)
    with opened_image(path) as image:
        return _decoded(str(path), image)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels after EXIF orientation, from the header alone.

    Raises:
        MediaError: as in `load_image`, as far as the header shows it.
    """
    with opened_image(Path(path)) as image:
        width, height = image.size
        sideways = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (height, width) if sideways else (width, height)


@contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """An image file, opened but not decoded: size, format and what it carries besides pixels.

    Its size is checked against our limit instead of Pillow's.

    Raises:
        MediaError: as in `load_image`, also for what fails while it is open.
    """
    if path.is_dir():
        raise MediaError(f"{path}: this is a folder with no images in it; give image files, or a folder that has some")
    if not path.exists():
        raise MediaError(f"{path}: no such file; check the spelling and the working directory ({Path.cwd()})")
    try:
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: the file is empty (0 bytes); copy or download it again")
        with _pillow_limit_raised(), Image.open(path) as image:
            _check_size(str(path), image.size)
            yield image
    except UnidentifiedImageError:
        head = _head(path)
        raise MediaError(
            f"{path}: not an image that Pillow knows (it begins with {head!r}); convert it to PNG"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(
            f"{path}: above {MAX_PIXELS / 1e6:.0f} megapixels ({error}); scale it down or cut it into parts"
        ) from None
    except (MediaError, MemoryError):
        raise
    except Exception as error:  # decoders fed damaged bytes raise almost anything
        raise MediaError(f"{path}: cannot be decoded ({error}); the file looks damaged, get it again") from error


def is_image_file(path: str | Path) -> bool:
    """Whether the name ends like an image's (`IMAGE_SUFFIXES`, any letter case); the file is not opened."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def list_media(paths: Iterable[str | Path], is_wanted: Callable[[Path], bool] = is_image_file) -> list[Path]:
    """Expand files, folders and glob patterns into files, in order, each once.

    A folder stands for the wanted files inside it (images by default), sub-folders included, sorted by path, hidden
    ones left out. A pattern
    (`*`, `?`, `[...]`, `**`) stands for its sorted matches; a file that exists under that very name comes first. A name
    that leads nowhere is kept, so that reading it says what is wrong with it while the others are still read.
    """
    found: dict[Path, None] = {}
    for item in paths:
        for path in _expand(str(item), is_wanted):
            found[path] = None
    return list(found)


def _expand(item: str, is_wanted: Callable[[Path], bool]) -> list[Path]:
    path = Path(item)
    if path.is_file() or (not path.exists() and not glob.has_magic(item)):
        return [path]
    if path.is_dir():
        return _wanted_below(path, is_wanted) or [path]
    matches: list[Path] = []
    for match in sorted(glob.glob(item, recursive=True)):  # noqa: PTH207 - the pattern may be absolute
        below = Path(match)
        matches += _wanted_below(below, is_wanted) if below.is_dir() else [below]
    return matches or [path]


def _wanted_below(folder: Path, is_wanted: Callable[[Path], bool]) -> list[Path]:
    files = (f for f in folder.rglob("*") if is_wanted(f) and f.is_file())
    return sorted(f for f in files if not any(part.startswith(".") for part in f.relative_to(folder).parts))


@contextmanager
def _pillow_limit_raised() -> Iterator[None]:
    """Set Pillow's 89-megapixel guard to ours while images are read, in however many threads, and back after that."""
    with _pillow_limit_lock:
        _readers.append(Image.MAX_IMAGE_PIXELS if not _readers else None)
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        yield
    finally:
        with _pillow_limit_lock:
            if len(_readers) == 1:
                Image.MAX_IMAGE_PIXELS = _readers[0]
            _readers.pop()


def _check_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name}: {width} x {height} is {width * height / 1e6:.0f} megapixels, "
            f"the limit is {MAX_PIXELS / 1e6:.0f}; scale it down or cut it into parts"
        )
    if width == 0 or height == 0:
        raise MediaError(f"{name}: {width} x {height} has no pixels; give an image of at least 1 x 1")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def _decoded(name: str, image: Image.Image) -> UInt8Array:
    """Decode the frame that the image stands at and bring it to 8-bit sRGB."""
    image.load()
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)  # phones store portrait as rotated landscape
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_to_8_bit(name, image))
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    image = _to_srgb(image, profile)
    if alpha is not None:
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=alpha)
        image = background
    return np.array(image, dtype=np.uint8)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Apply the colour profile where there is one that fits; otherwise take the values as sRGB."""
    if image.mode not in ("RGB", "L", "CMYK", "LAB"):
        image = image.convert("RGB")
    if profile:
        try:
            from PIL import ImageCms

            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(source):
                converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
                image = converted if converted is not None else image
        except (ImportError, OSError, ValueError, TypeError, ImageCms.PyCMSError):
            pass  # a profile is advice: a broken one, or one of another colour space, must not cost the image
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bit(name: str, image: Image.Image) -> UInt8Array:
    """Scale a 16-bit or floating point grey image to 8 bit."""
    array_HW = np.asarray(image)
    low, high = float(array_HW.min()), float(array_HW.max())
    if image.mode == "F":
        full = next((top for top in (1.0, 255.0, 65535.0) if high <= top), 0.0)
    else:
        full = 65535.0 if high <= 65535 else 0.0
    if low < 0 or full == 0.0 or not np.isfinite(low + high):
        raise MediaError(f"{name}: pixel values run from {low:g} to {high:g}; save it as 8- or 16-bit PNG (0 to 65535)")
    return _scaled(array_HW, 255.0 / full)


def _scaled(array: NDArray[Any], factor: float) -> UInt8Array:
    out = np.empty(array.shape, np.uint8)
    for top in range(0, len(array), _ROWS_PER_STRIP):
        strip = array[top : top + _ROWS_PER_STRIP].astype(np.float32)
        out[top : top + _ROWS_PER_STRIP] = strip * np.float32(factor) + np.float32(0.5)
    return out


def _from_pillow(image: Image.Image) -> UInt8Array:
    name = str(getattr(image, "filename", "")) or "<image in memory>"
    _check_size(name, image.size)
    try:
        return _decoded(name, image)
    except (MediaError, MemoryError):
        raise
    except Exception as error:  # it may be lazy: a damaged file shows only now
        raise MediaError(f"{name}: cannot be decoded ({error}); open the file again, or get it again") from error


def _from_array(array: NDArray[Any]) -> UInt8Array:
    """An array as 8-bit RGB; see `load_image` for what is accepted."""
    name = "<array>"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise MediaError(f"{name}: shape {array.shape} is no image; give [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]")
    _check_size(name, (array.shape[1], array.shape[0]))
    if array.ndim == 2:
        array = array[:, :, None]
    array = _array_to_8_bit(name, array)
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        return _decoded(name, Image.fromarray(np.ascontiguousarray(array)))
    return np.array(array)


def _array_to_8_bit(name: str, array: NDArray[Any]) -> UInt8Array:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return _scaled(array, 255.0)
    if array.dtype == np.uint16:
        return _scaled(array, 255.0 / 65535.0)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if low >= 0.0 and high <= 1.0:  # false for NaN too
            return _scaled(array, 255.0)
        raise MediaError(f"{name}: float pixels run from {low:g} to {high:g}; divide them so that they lie in [0, 1]")
    raise MediaError(f"{name}: pixels of type {array.dtype}; give uint8, uint16, bool, or float in [0, 1]")
