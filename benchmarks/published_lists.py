"""Import the published label lists and hold their counts, splits and references against what is in print.

    python benchmarks/published_lists.py --labels DIR

DIR holds koniq/, preresq/ and visualquality-r1/ with the files of their publishers. Prints JSON; exits 1 on a
mismatch. No media are needed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pondera.core.records import Sample
from pondera.data.adapters import get_adapter
from pondera.data.adapters.restored import PIPAL, SRIQABench
from pondera.data.importers.published import LISTS, get_list, list_samples
from pondera.data.importers.run import import_samples

FOLDER_OF = {"preresq-r1": "preresq", "visualquality-r1": "visualquality-r1"}
KONIQ_SPLITS = {"train": 7_058, "val": 1_000, "test": 2_015}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, metavar="DIR")
    labels = parser.parse_args().labels
    koniq = get_adapter("koniq10k")
    report = {"koniq10k": checked(koniq.samples(labels / "koniq"), koniq.expected_count, KONIQ_SPLITS)}
    for published in LISTS:
        folder = labels / FOLDER_OF[published.name.split("/")[0]]
        splits = {split: count for _, split, count in published.files if split}
        samples = list_samples(published, folder, folder)
        report[published.name] = checked(samples, published.expected_count, splits)
    for name, adapter in (("pipal", PIPAL), ("sriqa-bench", SRIQABench)):
        published = get_list(f"preresq-r1/{name}")
        samples = list_samples(published, labels / "preresq", labels / "preresq")
        report[f"{name}: references"] = versions_of_references(samples, adapter.REFERENCES, adapter.VERSIONS)
    report["kadid10k: var"] = deviation_or_variance(labels / "visualquality-r1" / "KADID-10K_mos.txt")
    print(json.dumps(report, indent=2))
    sys.exit(0 if all(entry["ok"] for entry in report.values()) else 1)


def checked(found: Iterable[Sample], count: int | None, splits: dict[str, int]) -> dict[str, Any]:
    """Counts beside those in print; contents that stand in two splits."""
    imported = import_samples(found, title="list", source="its publisher", partial=True, check_media=False)
    splits_of = defaultdict(set)
    for sample in imported.samples:
        splits_of[sample.content].add(sample.split)
    straddling = sum(len(names) > 1 for names in splits_of.values())
    found_splits = {name: number for name, number in Counter(s.split for s in imported.samples).items() if name}
    labels = [sample.mos for sample in imported.samples if sample.mos is not None]
    return {
        "count": len(imported.samples),
        "expected": count,
        "splits": found_splits,
        "expected_splits": splits,
        "contents": len(splits_of),
        "contents_in_two_splits": straddling,
        "labels": [min(labels), max(labels)],
        "ok": len(imported.samples) == count and found_splits == splits and not straddling,
    }


def versions_of_references(found: Iterable[Sample], references: Sequence[str], versions: int) -> dict[str, Any]:
    """Whether the references whose label files an import asks for are those of the list, with as many versions each."""
    count = Counter((sample.reference or "").split("/")[-1].removesuffix("_Original") for sample in found)
    return {
        "references": len(count),
        "not_asked_for": sorted(set(count) - set(references)),
        "not_in_list": sorted(set(references) - set(count)),
        "versions": sorted(set(count.values())),
        "ok": set(count) == set(references) and set(count.values()) == {versions},
    }


def deviation_or_variance(table: Path, num_ratings: int = 30) -> dict[str, Any]:
    """What the column `var` of KADID-10k is; the list holds its root.

    Whole ratings have a whole sum of squares. It is (deviation^2 + mean^2) * num_ratings, and var has three decimals.
    """
    rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    can_be = Counter()
    for _, _, dmos, root in rows:
        total, var = round(float(dmos) * num_ratings), round(float(root) ** 2, 3)
        if abs(total / num_ratings - float(dmos)) > 0.0051:  # dmos has two decimals
            continue  # another number of ratings
        can_be["rows"] += 1
        for name, power in (("variance", 1), ("deviation", 2)):
            low, high = (
                bound**power * num_ratings + total**2 / num_ratings for bound in (max(var - 5e-4, 0.0), var + 5e-4)
            )
            can_be[name] += math.floor(high + 1e-9) >= math.ceil(low - 1e-9)
    return {**can_be, "ok": can_be["deviation"] > 0.9 * can_be["rows"] > 10 * can_be["variance"]}


if __name__ == "__main__":
    main()
