"""BRISQUE and NIQE of our own beside published figures: on BIQ2021 photographs and on pristine Kodak pictures.

    python benchmarks/natural_scores.py --biq2021 ../shared/data/biq2021 --kodak ../shared/data/kodak
    python benchmarks/natural_scores.py ... --niqe-model niqe_pris_params.npz

`--biq2021` holds labels.csv (name, mos, subset) and images/. A sixth of it, drawn by the seed within each subset, is
held out, as the official split holds out 2,000 of 12,000; it is not the official test, and BRISQUE learns from fewer
pictures than there. `--niqe-model` is the authors' pristine model (mu_pris_param, cov_pris_param) as BasicSR ships it:
with it our NIQE can be held against public programs picture by picture. Prints JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pondera.core.metrics import jsonable
from pondera.core.records import LabelScale, Media, Sample
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.evaluate.baselines import Baseline
from pondera.evaluate.natural import PristineModel, brisque_predictor, fit_pristine, niqe_predictor
from pondera.evaluate.run import evaluation_of

PUBLISHED = {"NIQE": (0.267, 0.298), "BRISQUE": (0.604, 0.694)}  # SRCC, PLCC on the official test of BIQ2021


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--biq2021", type=Path, required=True)
    parser.add_argument("--kodak", type=Path, help="folder of the 24 original PNG files")
    parser.add_argument("--niqe-model", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="this many photographs only, for a trial")
    options = parser.parse_args()
    train, test = split_by_subset(read_labels(options.biq2021, options.limit), options.seed)
    own = [path for path in list_photographs() if PHOTOGRAPH_SPLITS[path.stem] == "train"]
    models = {"NIQE (bundled pictures)": fit_pristine(own)}
    if options.niqe_model:
        models["NIQE (authors' model)"] = authors_model(options.niqe_model)
    systems = {name: niqe_predictor(model) for name, model in models.items()}
    systems["BRISQUE"] = brisque_predictor(train, seed=options.seed)
    report: dict[str, Any] = {"seed": options.seed, "train": len(train), "test": len(test), "published": PUBLISHED}
    report["biq2021"] = {name: measured(system, test) for name, system in systems.items()}
    if options.kodak:
        pictures = [Sample(path.name, (Media(str(path)),)) for path in sorted(options.kodak.glob("*.png"))]
        report["kodak_niqe"] = {name: distances(system, pictures) for name, system in systems.items() if name in models}
    print(json.dumps(jsonable(report), indent=2))


def read_labels(folder: Path, limit: int | None) -> list[Sample]:
    """All samples, or evenly spaced ones."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    step = max(1, len(rows) // limit) if limit else 1
    return [
        Sample(
            row["name"],
            (Media(str(folder / "images" / row["name"])),),
            dataset="biq2021",
            mos=float(row["mos"]),
            scale=LabelScale(0.0, 1.0),
            subset=row["subset"],
        )
        for row in rows[::step]
    ]


def split_by_subset(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """A sixth of every subset is the test."""
    rng = np.random.default_rng(seed)
    train, test = [], []
    for subset in sorted({sample.subset or "" for sample in samples}):
        members = [sample for sample in samples if sample.subset == subset]
        order = rng.permutation(len(members))
        test += [members[n] for n in order[: len(members) // 6]]
        train += [members[n] for n in order[len(members) // 6 :]]
    return train, test


def authors_model(path: Path) -> PristineModel:
    """The model file of the authors' program, as BasicSR converted it."""
    values = np.load(path)
    return PristineModel(values["mu_pris_param"].ravel(), values["cov_pris_param"], 125, 0)


def measured(system: Baseline, test: Sequence[Sample]) -> dict[str, Any]:
    """Correlations, pooled and inside each subset."""
    start = time.perf_counter()
    evaluation = evaluation_of(test, system.assess(test), name=system.title)
    keys = ("n", "n_invalid", "srcc", "srcc_ci", "plcc", "plcc_ci", "plcc_4p")
    return {
        **{key: evaluation.metrics["overall"][key] for key in keys},
        "srcc_in_subsets": {name: summary["srcc"] for name, summary in evaluation.metrics["subsets"].items()},
        "facts": dict(system.facts),
        "seconds": round(time.perf_counter() - start, 1),
    }


def distances(system: Baseline, pictures: Sequence[Sample]) -> dict[str, float]:
    """NIQE of every picture, and the mean."""
    found = {
        sample.id: round(-answer.score, 3) for sample, answer in zip(pictures, system.assess(pictures), strict=True)
    }
    return {"mean": round(float(np.mean(list(found.values()))), 3), **found}


if __name__ == "__main__":
    main()
