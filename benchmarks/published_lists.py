"""Import the published label lists and hold their counts, splits and references against what is in print.

    python benchmarks/published_lists.py --labels ../shared/data/labels

The folder holds koniq/, preresq/ and visualquality-r1/ with the files of their publishers. Prints JSON; exits 1 on a
mismatch. No media are needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pondera.core.records import Sample
from pondera.data.adapters import get_adapter
from pondera.data.importers.published import LISTS, list_samples
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


if __name__ == "__main__":
    main()
