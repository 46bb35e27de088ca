"""Fit the measuring teacher's constants: `src/pondera/teach/statistics.py`.

    python benchmarks/fit_measuring_teacher.py            # writes the module, about 30 s on one core
    python benchmarks/fit_measuring_teacher.py --check    # only says how far the shipped constants are off

From crops of the bundled training photographs: mean and standard deviation of every measure over pristine crops, and
per defect the upper end of the pristine crops and the median at each level of the distortions it is named after.
No opinion score and no full-reference metric is read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from pondera.core.records import Distortion
from pondera.data.distortions import distort
from pondera.data.images import load_image
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.teach import statistics
from pondera.teach.defects import DISTORTIONS_OF, defect_scores
from pondera.teach.measures import measure

CROP_PX = (256, 384)  # height, width; what the quickstart's data are made of
NUM_PRISTINE = 16  # crops per photograph
PRISTINE_END = 90
LEVELS = (1, 2, 3, 4, 5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    shipped = dict(statistics.LADDERS)
    crops = training_crops(args.seed)
    measured = [measure(crop) for crop in crops]
    values_of = {name: [row[name] for row in measured] for name in measured[0]}
    pristine = {n: (round(float(np.mean(v)), 4), round(float(np.std(v)), 4)) for n, v in values_of.items()}
    statistics.PRISTINE.clear()  # defect scores below must be those of the new constants
    statistics.PRISTINE.update(pristine)
    ladders = fit_ladders(crops[::NUM_PRISTINE], [defect_scores(row) for row in measured], args.seed)
    if args.check:
        off = max(abs(a - b) for d in ladders for a, b in zip(ladders[d], shipped[d], strict=True))
        print(f"largest difference in the ladders: {off:.4f} standard deviations")
        return int(off > 0.05)
    target = Path(statistics.__file__)
    target.write_text(module_text(pristine, ladders), encoding="utf-8")
    print(f"wrote {target}", file=sys.stderr)
    return 0


def training_crops(seed: int) -> list[np.ndarray]:
    """`NUM_PRISTINE` crops of each training photograph at native resolution, those of one photograph in a row."""
    generator = np.random.default_rng(seed)
    height, width = CROP_PX
    crops = []
    for path in list_photographs():
        if PHOTOGRAPH_SPLITS[path.stem] != "train":
            continue
        image = load_image(path)
        for _ in range(NUM_PRISTINE):
            top = generator.integers(0, image.shape[0] - height + 1)
            left = generator.integers(0, image.shape[1] - width + 1)
            crops.append(image[top : top + height, left : left + width])
    return crops


def fit_ladders(crops: list[np.ndarray], pristine: list[dict[str, float]], seed: int) -> dict[str, tuple[float, ...]]:
    """Six z-scores per defect: the end of the pristine crops, then the median at levels 1 to 5, never falling."""
    ladders = {}
    for defect, types in DISTORTIONS_OF.items():
        rungs = [float(np.percentile([row[defect] for row in pristine], PRISTINE_END))]
        for level in LEVELS:
            damaged = [
                distort(crop, Distortion(name, level), seed=seed + index)
                for name in types
                for index, crop in enumerate(crops)
            ]
            rungs.append(float(np.median([defect_scores(measure(image))[defect] for image in damaged])))
        steps = np.maximum.accumulate(rungs[1:])
        ladders[defect] = (round(rungs[0], 3), *(round(float(z), 3) for z in steps))
    return ladders


def module_text(pristine: dict[str, tuple[float, ...]], ladders: dict[str, tuple[float, ...]]) -> str:
    def shown(table: dict[str, tuple[float, ...]]) -> str:
        return "{\n" + "".join(f'    "{name}": {values},\n' for name, values in table.items()) + "}"

    return f'''"""Constants of the measuring teacher.

Made by `benchmarks/fit_measuring_teacher.py`; do not edit by hand.
"""

PRISTINE: dict[str, tuple[float, float]] = {shown(pristine)}
"""Mean and standard deviation of each measure over crops of pristine photographs."""

LADDERS: dict[str, tuple[float, ...]] = {shown(ladders)}
"""Per defect six z-scores: what nine of ten pristine photographs stay below, then the medians of levels 1 to 5."""
'''


if __name__ == "__main__":
    sys.exit(main())
