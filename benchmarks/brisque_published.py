"""BRISQUE from our features and the authors' regression, beside scores that MATLAB gave to the same pictures.

    python benchmarks/brisque_published.py --authors BRISQUE/MATLAB piq/tests/assets/I01.BMP ...

`--authors` is the folder MATLAB of github.com/utlive/BRISQUE (read at 2e2a5ac): `allmodel`, a LIBSVM regression, and
`allrange`. Prints JSON.
Published: I01.BMP and goldhill.gif in tests/test_brisque.py of github.com/photosynthesis-team/piq at 9948a52, with the
pictures beside it; I03.bmp to I19.bmp in ResultsCalibra/results_official.csv of github.com/chaofengc/IQA-PyTorch at
01ae427, with the pictures in dist_dir/.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from pondera.core.records import FloatArray
from pondera.data.images import load_image
from pondera.data.natural_statistics import brisque_features

PUBLISHED = {
    "I01.BMP": 10.259409,
    "goldhill.gif": 8.425548,
    "I03.bmp": 94.6421,
    "I04.bmp": -0.107618,
    "I06.bmp": 0.992889,
    "I08.bmp": 5.35827,
    "I19.bmp": 72.2617,
}
_NUM_FEATURES = 36


def main() -> None:
    """Score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", type=Path, required=True, metavar="DIR")
    parser.add_argument("pictures", type=Path, nargs="+")
    options = parser.parse_args()
    regression = AuthorsRegression(options.authors)
    report = {
        path.name: {
            "score": round(regression.score(brisque_features(load_image(path))), 4),
            "published": PUBLISHED.get(path.name),
        }
        for path in options.pictures
    }
    print(json.dumps(report, indent=2))


class AuthorsRegression:
    """The support vector regression of the authors' release: a radial kernel on features scaled to [-1, 1]."""

    def __init__(self, folder: Path) -> None:
        ranges = [line.split() for line in (folder / "allrange").read_text().splitlines()[2:] if line.strip()]
        self._low_F, self._high_F = np.array([(float(low), float(high)) for _, low, high in ranges]).T
        head, _, body = (folder / "allmodel").read_text().partition("\nSV\n")
        facts = dict(line.split(maxsplit=1) for line in head.splitlines())
        self._gamma, self._rho = float(facts["gamma"]), float(facts["rho"])
        rows = [line.split() for line in body.splitlines() if line.strip()]
        self._weight_M = np.array([float(row[0]) for row in rows])
        self._point_MF = np.zeros((len(rows), _NUM_FEATURES))  # a feature that a row leaves out is 0
        for n, row in enumerate(rows):
            for index, value in (cell.split(":") for cell in row[1:]):
                self._point_MF[n, int(index) - 1] = float(value)

    def score(self, feature_F: FloatArray) -> float:
        """About 0 (pristine) to 100 (ruined)."""
        scaled_F = 2 * (feature_F - self._low_F) / (self._high_F - self._low_F) - 1
        kernel_M = np.exp(-self._gamma * ((self._point_MF - scaled_F) ** 2).sum(axis=1))
        return float(kernel_M @ self._weight_M - self._rho)


if __name__ == "__main__":
    main()
