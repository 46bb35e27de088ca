"""How far hashes of copies and of different pictures lie apart (`pondera.data.picture_hash`).

    python benchmarks/picture_hashes.py MANIFEST --every 8

Takes the bundled photographs and the images of the manifest. Prints JSON: the farthest copies of one picture (JPEG at
quality 50 and 20, half size, both, 224 x 224), the nearest pairs of different files, and the pairs below the threshold,
which are to be looked at: sets of photographs hold some pictures twice. Exits 1 when a copy lies above the threshold.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from pondera.data.images import load_image
from pondera.data.manifest import read_manifest
from pondera.data.photographs import list_photographs
from pondera.data.picture_hash import MOST_DIFFERENT_BITS, NUM_BITS, picture_hash, picture_hashes

NUM_SHOWN = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--every", type=int, default=8, help="copies are made of every so many pictures")
    options = parser.parse_args()
    paths = [*map(str, list_photographs()), *(sample.main_path for sample in read_manifest(options.manifest))]
    hash_of = picture_hashes(paths)
    bits_NB = np.array([bits(text) for text in hash_of.values()], dtype=np.float32) * 2 - 1
    distance_NN = (NUM_BITS - bits_NB @ bits_NB.T) / 2
    first_P, second_P = np.triu_indices(len(bits_NB), 1)
    distance_P = distance_NN[first_P, second_P]
    names = [Path(path).name for path in hash_of]
    order_P = np.argsort(distance_P)
    near = [(int(distance_P[p]), names[first_P[p]], names[second_P[p]]) for p in order_P[:1000]]
    alike = [pair for pair in near if pair[0] <= MOST_DIFFERENT_BITS]
    copies = farthest_copies(dict(list(hash_of.items())[:: options.every]))
    report = {
        "pictures": len(paths),
        "without_hash": len(set(paths)) - len(hash_of),
        "pairs": len(distance_P),
        "threshold": MOST_DIFFERENT_BITS,
        "farthest_copies": copies,
        "pairs_below_threshold": {"count": len(alike), "farthest": alike[-1:]},
        "nearest_above_threshold": near[len(alike) : len(alike) + NUM_SHOWN],
    }
    print(json.dumps(report, indent=2))
    sys.exit(0 if max(copies.values()) <= MOST_DIFFERENT_BITS else 1)


def bits(text: str) -> np.ndarray:
    """Of a hash, shape [NUM_BITS]."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), count=NUM_BITS)


def farthest_copies(hash_of: dict[str, str]) -> dict[str, int]:
    """By kind of copy, the most bits that a copy differs in from its picture."""
    farthest: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path, own in hash_of.items():
            for kind, data in copies(Image.fromarray(load_image(path))).items():
                copy = Path(folder) / "copy"
                copy.write_bytes(data)
                copied = picture_hash(copy)
                different = NUM_BITS if copied is None else int((bits(own) != bits(copied)).sum())
                farthest[kind] = max(farthest.get(kind, 0), different)
    return farthest


def copies(image: Image.Image) -> dict[str, bytes]:
    """Files of the copies, by kind."""
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    return {
        "quality 50": encoded(image, "JPEG", quality=50),
        "quality 20": encoded(image, "JPEG", quality=20),
        "half size": encoded(half, "PNG"),
        "half size, quality 50": encoded(half, "JPEG", quality=50),
        "224 x 224": encoded(image.resize((224, 224), Image.Resampling.BICUBIC), "PNG"),
    }


def encoded(image: Image.Image, form: str, **options: int) -> bytes:
    """The file of an image."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


if __name__ == "__main__":
    main()
