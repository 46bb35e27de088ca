"""How good is the measuring teacher? Confusion of aspects, agreement with the pseudo-MOS, time, words.

    python benchmarks/measuring_teacher.py                # held-out photographs, about 40 s on one core, JSON out

On crops of the bundled validation and test photographs (the teacher's constants come from the training ones).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter

import numpy as np

from pondera.core.aspects import ASPECTS, read_grades, worst_aspect
from pondera.core.metrics import plcc, srcc
from pondera.core.records import Distortion
from pondera.data.distortions import DISTORTIONS, distort
from pondera.data.full_reference import mdsi, pseudo_mos
from pondera.data.images import load_image
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.teach import wording
from pondera.teach.defects import aspect_severities, score, severities
from pondera.teach.measures import measure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=2, help="crops per photograph")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    rows = judged(args.crops, args.seed)
    strong = [row for row in rows if row["level"] >= 4]
    pristine = [row for row in rows if row["level"] == 0]
    confusion = Counter((row["aspect"], row["named"] or "nothing") for row in strong)
    hits = {t: np.mean([row["named"] == row["aspect"] for row in strong if row["type"] == t]) for t in DISTORTIONS}
    said, seen = (np.array([row[key] for row in rows]) for key in ("score", "mos"))
    words = [len(row["thought"].split()) for row in rows]
    result = {
        "images": len(rows),
        "aspect_named_right_at_levels_4_5": round(float(np.mean([row["named"] == row["aspect"] for row in strong])), 4),
        "by_type": {name: round(float(value), 3) for name, value in hits.items()},
        "confusion": {a: {b: confusion[a, b] for b in (*ASPECTS, "nothing") if confusion[a, b]} for a in ASPECTS},
        "pristine_lowest_grade": dict(sorted(Counter(min(row["grades"].values()) for row in pristine).items())),
        "srcc": round(float(srcc(said, seen)), 4),
        "plcc": round(float(plcc(said, seen)), 4),
        "milliseconds_per_image": round(1000 * float(np.median([row["seconds"] for row in rows])), 2),
        "words": {"fewest": min(words), "most": max(words), "distinct": len(wording.vocabulary())},
    }
    print(json.dumps(result, indent=1))
    return 0


def judged(num_crops: int, seed: int) -> list[dict]:
    """One row for each pristine and each distorted crop, all types and levels."""
    generator = np.random.default_rng(seed)
    rows = []
    for path in list_photographs():
        if PHOTOGRAPH_SPLITS[path.stem] == "train":
            continue
        image = load_image(path)
        for _ in range(num_crops):
            top, left = (int(generator.integers(0, n - m + 1)) for n, m in zip(image.shape, (256, 384), strict=False))
            crop = image[top : top + 256, left : left + 384]
            rows.append(row_of(crop, crop, "", 0, len(rows)))
            for name in DISTORTIONS:
                for level in range(1, 6):
                    damaged = distort(crop, Distortion(name, level), seed=int(generator.integers(1 << 30)))
                    rows.append(row_of(crop, damaged, name, level, len(rows)))
        print(path.stem, file=sys.stderr)
    return rows


def row_of(crop: np.ndarray, damaged: np.ndarray, name: str, level: int, index: int) -> dict:
    start = time.perf_counter()
    severity_of = severities(measure(damaged))
    thought = wording.thought(severity_of, str(index))
    seconds = time.perf_counter() - start
    return {
        "type": name,
        "level": level,
        "aspect": DISTORTIONS[name].aspect if name else None,
        "named": worst_aspect(thought),
        "grades": read_grades(thought),
        "thought": thought,
        "score": score(aspect_severities(severity_of)),
        "mos": pseudo_mos(mdsi(crop, damaged)),
        "seconds": seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
