"""Small hashes of what a picture shows, to find it again after it was scaled, compressed or renamed.

A hash is the signs of the lowest frequencies: the picture as grey 64 x 64, its two-dimensional cosine transform, of
the 16 x 16 lowest coefficients all but the mean, each above their median or not. Not found again: crops, turned and
mirrored pictures, strong damage.

Shape letters: N pictures, K known pictures, B bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pondera.data.images import load_image, opened_image
from pondera.errors import MediaError

NUM_BITS = 255
MOST_DIFFERENT_BITS = 32  # of one picture; `benchmarks/picture_hashes.py` measures both sides
_GRID_PX = 64
_FREQUENCIES = 16
_FLAT = 1.0  # standard deviation in grey levels; below it the signs are those of noise
_READERS = 4  # decoding in Pillow leaves the interpreter to the other threads
_BLOCK = 1024  # rows compared at once
_COSINES = np.cos(np.pi * np.outer(np.arange(_FREQUENCIES), np.arange(_GRID_PX) + 0.5) / _GRID_PX)


def picture_hash(path: str | Path) -> str | None:
    """The hash of a picture as 64 hexadecimal digits; None of a flat one, and of a file that cannot be read.

    Args:
        path: of an image file; it is read once while it does not change.
    """
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return _hash_of(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1 << 18)
def _hash_of(path: str, _mtime_ns: int, _size: int) -> str | None:
    try:
        with opened_image(Path(path)) as image:
            image.draft("RGB", (4 * _GRID_PX, 4 * _GRID_PX))  # a JPEG decoder can scale down at little cost
            array_HW3 = load_image(image)
    except MediaError:
        return None
    grey = Image.fromarray(array_HW3).convert("L").resize((_GRID_PX, _GRID_PX), Image.Resampling.BOX)
    grid = np.asarray(grey, dtype=np.float64)
    if grid.std() < _FLAT:
        return None
    coefficients_B = (_COSINES @ grid @ _COSINES.T).ravel()[1:]
    return np.packbits(coefficients_B > np.median(coefficients_B)).tobytes().hex()


def picture_hashes(paths: Iterable[str]) -> dict[str, str]:
    """The hash of each picture that has one, by its path.

    Args:
        paths: of image files; each is read once.
    """
    unique = sorted(set(paths))
    with ThreadPoolExecutor(_READERS) as pool:
        found = dict(zip(unique, pool.map(picture_hash, unique), strict=True))
    return {path: made for path, made in found.items() if made is not None}


def are_known(hashes: Sequence[str], known: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each picture is one of the known ones.

    Args:
        hashes: of N pictures.
        known: of K pictures.

    Returns:
        Shape [N].

    Raises:
        ValueError: a text is no hash.
    """
    if not hashes or not known:
        return np.zeros(len(hashes), dtype=bool)
    signs_NB, known_KB = _signs(hashes), _signs(known)
    # The product of two sign vectors is the number of equal bits minus that of different ones.
    least = NUM_BITS - 2 * MOST_DIFFERENT_BITS
    blocks = [signs_NB[start : start + _BLOCK] for start in range(0, len(hashes), _BLOCK)]
    return np.concatenate([(block @ known_KB.T).max(axis=1) >= least for block in blocks])


def _signs(hashes: Sequence[str]) -> NDArray[np.float32]:
    """-1 and 1, shape [N, NUM_BITS]."""
    if wrong := [text for text in hashes if len(text) != 2 * -(-NUM_BITS // 8)]:
        raise ValueError(f"a picture hash has {2 * -(-NUM_BITS // 8)} hexadecimal digits, got {wrong[0]!r}")
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), -1)
    return 2 * np.unpackbits(packed, axis=1, count=NUM_BITS).astype(np.float32) - 1
