"""Outputs of restoration methods, judged beside the image they should have restored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.data.adapters.base import Adapter, FileIndex, observed_scale, tested
from pondera.data.adapters.tables import csv_rows, spaced_rows
from pondera.errors import DatasetError


class PIPAL(Adapter):
    """PIPAL, training part: 200 references, 116 versions each: 23,200. Elo scores, higher is better.

    Elo has no bounds, so the observed range is the scale.
    Files: <root>/Train_Label/A0001.txt ..., references and distorted images anywhere below <root> (the owner's four
    archives unpack into folders of their own); files are found by name.
    A row: `A0001_00_00.bmp,1520.0648`.
    Citation: Gu et al., ECCV 2020.
    Evidence: reader chaofengc/IQA-PyTorch@01ae427:scripts/process_pipal.py. Counted in the list of PreResQ-R1 and in
    VQAssessment/FAST-VQA-and-FasterVQA@9f264e4:examplar_data_labels/PIPAL/labels.txt.
    """

    name = "pipal"
    title = "PIPAL (training part)"
    scale = None
    expected_count = 23_200
    count_from = "list"
    licence = "research only"
    source = "https://www.jasongt.com/projectpages/pipal.html"

    def missing_labels(self, root: Path) -> list[str]:
        """By the references of the distorted images that are there."""
        found = (re.fullmatch(r"(a\d+)_\d+_\d+\.bmp", name) for name in FileIndex(root).names())
        return _without_table(root / "Train_Label", (match[1].upper() for match in found if match))

    def samples(self, root: Path) -> Iterator[Sample]:
        """By reference, then in the order of its file."""
        folder = self.file(root, "Train_Label")
        rows = [row for table in sorted(folder.glob("*.txt")) for row in csv_rows(table, ["image", "elo"])]
        scale = observed_scale((row.number("elo") for row in rows), folder)
        files = FileIndex(root)
        for row in rows:
            item = row.text("image")
            reference, kind, *_ = item.split("_")
            media = tested(files.path(item), files.path(f"{reference}.bmp"))
            yield self.sample(
                row, item, row.number("elo"), media, scale=scale, reference=reference, subset=f"type {kind}"
            )


def _without_table(folder: Path, references: Iterable[str]) -> list[str]:
    """The label file of every reference that has none; letter case ignored."""
    there = {path.stem.lower() for path in folder.glob("*.txt")}
    return [f"{folder.name}/{name}.txt" for name in sorted(set(references)) if name.lower() not in there]


class Liu13(Adapter):
    """Liu13: 1,199 results of motion deblurring. Higher is better, 1..5 as in the published list.

    Files: <root>/Deblur_test_all.txt and the images anywhere below <root>; files are found by name.
    A row: `0_0.png 0_1.png 4.5692` (reference, restored, label).
    Citation: Liu, Wang, Cho, Finkelstein, Rusinkiewicz, ACM Transactions on Graphics 32, 2013.
    Evidence: none for the owner's own files; the list is that of VisualQuality-R1,
    TianheWu/VisualQuality-R1@a16dcdb:datasets/test_data_label/Deblur_test_all.txt.
    """

    name = "liu13"
    title = "Liu13 deblurring"
    scale = FIVE_POINT
    expected_count = 1_199
    count_from = "list"
    licence = "not stated"
    source = "the authors; the list from github.com/TianheWu/VisualQuality-R1"
    verified = False

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the list."""
        files = FileIndex(root)
        for row in spaced_rows(self.file(root, "Deblur_test_all.txt", "GT_Liu.txt"), ["reference", "image", "mos"]):
            item, reference = row.text("image"), row.text("reference")
            media = tested(files.path(item), files.path(reference))
            yield self.sample(row, item, row.number("mos"), media, reference=Path(reference).stem)


class SRIQABench(Adapter):
    """SRIQA-Bench: 100 references, each with itself and 10 super-resolved versions: 1,100. Higher is better.

    Labels come from paired comparisons and are stretched to 0..100 within each reference, so that scores of two
    references do not share a scale; correlations over the whole set mix them.
    Files: <root>/MOS/<reference>.txt and the images anywhere below <root>; files are found by name.
    A row: `online50_Original.png,81.67`; this one is the reference itself.
    Citation: Chen et al., CVPR 2025 (A-FINE), arXiv:2503.11221.
    Evidence: ChrisDud0257/AFINE@1b49be7:TrainAFINE/datasets/README.md, part 3.3 (folder, 1,100 scores, direction), and
    TrainAFINE/scripts/process_sriqa/compute_MOS.py there, which writes MOS/. Counted in the list of VisualQuality-R1,
    whose first labels are the row.
    """

    name = "sriqa-bench"
    title = "SRIQA-Bench"
    scale = LabelScale(0.0, 100.0)
    expected_count = 1_100
    count_from = "list"
    licence = "see the owner's repository"
    source = "https://github.com/ChrisDud0257/AFINE"

    def missing_labels(self, root: Path) -> list[str]:
        """By the original images that are there."""
        originals = root.rglob("*_Original.png")
        return _without_table(root / "MOS", (path.name.removesuffix("_Original.png") for path in originals))

    def samples(self, root: Path) -> Iterator[Sample]:
        """By reference, then in the order of its file."""
        files = FileIndex(root)
        for table in sorted(self.file(root, "MOS").glob("*.txt")):
            for row in csv_rows(table, ["image", "mos"]):
                item = row.text("image")
                reference, mark, method = Path(item).stem.rpartition("_")
                if not mark:
                    raise DatasetError(f"{row.where}: {item!r} is not named <reference>_<method>")
                media = tested(files.path(item), files.path(f"{reference}_Original.png"))
                yield self.sample(row, item, row.number("mos"), media, reference=reference, subset=method)
