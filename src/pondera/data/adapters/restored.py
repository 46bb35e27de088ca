"""Outputs of restoration methods, judged beside the image they should have restored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.data.adapters.base import Adapter, FileIndex, observed_scale, tested
from pondera.data.adapters.tables import csv_rows, spaced_rows
from pondera.errors import DatasetError

# Of the 250 references of PIPAL the owner keeps these for validation and test.
_PIPAL_HELD_OUT = (
    "4 5 11 19 20 22 33 36 50 61 62 71 74 76 89 91 95 109 111 117 122 125 126 127 128 129 136 144 147 154 161 168 169 "
    "173 191 192 196 202 204 211 215 217 219 226 235 236 238 240 249 250"
)
# The references of SRIQA-Bench: where they come from, and their numbers there.
_SRIQA_NUMBERS = (
    ("online", "4 6 8 9 15 16 18 20 21 23 24 32 33 34 35 37 38 40 43 45 47 48 50"),
    ("realworld", "1 4 8 10 12 15 16 17 21 22 23 24 25 30 31 32 33 37 38 42 43 44 48"),
    (
        "srtest",
        "1 5 6 7 10 11 13 14 17 18 20 21 24 28 31 32 33 34 36 40 41 42 44 46 47 48 49 50 51 52 54 55 58 60 62 63 "
        "64 65 66 69 70 71 73 75 77 81 82 87 88 89 92 93 94 96",
    ),
)


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

    REFERENCES = tuple(f"A{number:04d}" for number in range(1, 251) if str(number) not in _PIPAL_HELD_OUT.split())
    VERSIONS = 116  # of each reference

    def missing_labels(self, root: Path) -> list[str]:
        """Those of the references in the list of PreResQ-R1."""
        return _missing_or_cut(self.file(root, "Train_Label"), self.REFERENCES, self.VERSIONS)

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


def _missing_or_cut(folder: Path, references: Sequence[str], versions: int) -> list[str]:
    """The label file of every reference that has none, or one with another number of rows; letter case ignored."""
    path_of = {path.stem.lower(): path for path in folder.glob("*.txt")}
    found = []
    for name in references:
        path = path_of.get(name.lower())
        if path is None:
            found.append(f"{folder.name}/{name}.txt")
        elif (num_rows := sum(map(bool, map(bytes.strip, path.read_bytes().splitlines())))) != versions:
            found.append(f"{folder.name}/{path.name} ({num_rows} labels instead of {versions})")
    return found


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

    REFERENCES = tuple(f"{place}{number}" for place, numbers in _SRIQA_NUMBERS for number in numbers.split())
    VERSIONS = 11  # of each reference, itself among them

    def missing_labels(self, root: Path) -> list[str]:
        """Those of the references in the lists of PreResQ-R1 and VisualQuality-R1."""
        return _missing_or_cut(self.file(root, "MOS"), self.REFERENCES, self.VERSIONS)

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
