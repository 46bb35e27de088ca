"""Photographs with the distortions they were taken with: one opinion score each, no references."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import stdev

from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.data.adapters.base import Adapter, FileIndex, observed_scale, tested
from pondera.data.adapters.tables import Row, csv_rows, mat_rows, sheet_cells, sheet_rows
from pondera.errors import DatasetError

_PERCENT = LabelScale(0.0, 100.0)
_KONIQ_SPLITS = {"training": "train", "validation": "val", "test": "test"}


class KonIQ10k(Adapter):
    """KonIQ-10k: 10,073 photographs of Flickr, 1.2 million crowd ratings. Higher is better.

    Files: <root>/koniq10k_distributions_sets.csv and <root>/1024x768/ (or 512x384/).
    A row: `10004473376.jpg,0.0,0.0,0.238,0.695,0.067,105,77.38,0.527,training`.
    MOS is on 0..100; the SD column is in units of the five-point ratings (0.53 beside a MOS of 77), so it is
    multiplied by 25. Votes are shares of the five grades.
    Citation: Hosu, Lin, Sziranyi, Saupe, IEEE Transactions on Image Processing 29, 2020.
    Evidence: the owner's file, github.com/subpic/koniq, metadata/koniq10k_distributions_sets.csv.
    """

    name = "koniq10k"
    title = "KonIQ-10k"
    scale = _PERCENT
    expected_count = 10_073
    splits = "train 7,058, val 1,000, test 2,015: column `set` of the owner's file"
    licence = "labels and images for research; images under their Flickr (CC) licences"
    source = "http://database.mmsp-kn.de/koniq-10k-database.html, the table from github.com/subpic/koniq"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the table."""
        table = self.file(root, "koniq10k_distributions_sets.csv")
        sizes = [root / size for size in ("1024x768", "512x384")]
        folder = next((size for size in sizes if size.is_dir()), sizes[0])
        for row in csv_rows(table):
            item, part = row.text("image_name"), row.text("set")
            if part not in _KONIQ_SPLITS:
                raise DatasetError(f"{row.where}: set is {part!r}; known are {', '.join(_KONIQ_SPLITS)}")
            yield self.sample(
                row,
                item,
                row.number("MOS"),
                tested(folder / item),
                mos_std=FIVE_POINT.convert_std(row.number("SD"), _PERCENT),
                votes=tuple(row.number(f"c{grade}") for grade in range(1, 6)),
                split=_KONIQ_SPLITS[part],
            )


class SPAQ(Adapter):
    """SPAQ: 11,125 photographs of 66 smartphones. Higher is better.

    Files: <root>/Annotations/MOS and Image attribute scores.xlsx (or saved as .csv) and <root>/TestImage/.
    Columns used: `Image name`, `MOS`, and the attributes as targets. A row begins `00001.jpg,50.1,...`.
    The Noisiness attribute is left out: public readers disagree about its direction.
    Citation: Fang, Zhu, Zeng, Ma, Wang, CVPR 2020.
    Evidence: github.com/h4nwei/SPAQ (owner); readers miccunifi/ARNIQA (f60c0f2) data/dataset_spaq.py and
    chaofengc/IQA-PyTorch (01ae427) scripts/process_spaq.py. Counted in both published lists.
    """

    name = "spaq"
    title = "SPAQ"
    scale = _PERCENT
    expected_count = 11_125
    licence = "research only"
    source = "https://github.com/h4nwei/SPAQ"

    _ATTRIBUTES = ("Brightness", "Colorfulness", "Contrast", "Sharpness")

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the sheet."""
        stem = "MOS and Image attribute scores"
        names = [f"{folder}{stem}{end}" for end in (".xlsx", ".csv") for folder in ("Annotations/", "")]
        table = self.file(root, *names)
        for row in sheet_rows(table, None, ["Image name", "MOS"]):
            item = row.text("Image name")
            targets = {name.lower(): row.number(name) for name in self._ATTRIBUTES if row.has(name)}
            yield self.sample(row, item, row.number("MOS"), tested(root / "TestImage" / item), targets=targets)


class LiveChallenge(Adapter):
    """LIVE In the Wild Challenge (CLIVE): 1,162 photographs of phones. Higher is better.

    Files: <root>/Data/AllImages_release.mat, AllMOS_release.mat, AllStdDev_release.mat and <root>/Images/.
    The first seven entries (t1.bmp..t7.bmp) trained the observers and are left out, as everywhere in print; the
    lists of PreResQ-R1 and VisualQuality-R1 keep them (1,169).
    A row (three vectors): `3.bmp`, 63.96, 19.55 (file, MOS, standard deviation).
    Citation: Ghadiyaram, Bovik, IEEE Transactions on Image Processing 25, 2016.
    Evidence: readers SSL92/hyperIQA folders.py, zwx8981/UNIQUE IQA_database/data_clive.m and chaofengc/IQA-PyTorch
    (01ae427) scripts/process_livechallenge.py. Counted in both published lists.
    """

    name = "livec"
    title = "LIVE In the Wild Challenge"
    scale = _PERCENT
    expected_count = 1_162
    licence = "free for research, with citation"
    source = "https://live.ece.utexas.edu/research/ChallengeDB/index.html"

    _NUM_TRAINING_IMAGES = 7

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the release."""
        variables = {name: f"All{name}_release" for name in ("Images", "MOS", "StdDev")}
        paths = {name: self.file(root, f"Data/{variable}.mat") for name, variable in variables.items()}
        for row in islice(mat_rows(paths, variables), self._NUM_TRAINING_IMAGES, None):
            item = row.text("Images")
            media = tested(root / "Images" / item)
            yield self.sample(row, item, row.number("MOS"), media, mos_std=row.number("StdDev"))


class BID(Adapter):
    """BID: 586 photographs with realistic blur. Higher is better.

    Files: <root>/DatabaseGrades.xlsx (the owner's .xls saved as .xlsx or .csv) and <root>/DatabaseImage0001.JPG ...
    Columns by position: number of the image, mean grade on 0..5, one free column, then one grade per observer.
    A row: `1, 4.2, , 4.5, 3.9, ...`.
    Citation: Ciancio et al., IEEE Transactions on Image Processing 20, 2011.
    Evidence: readers SSL92/hyperIQA folders.py and zwx8981/UNIQUE IQA_database/data_BID.m. Counted in both published
    lists.
    """

    name = "bid"
    title = "BID"
    scale = LabelScale(0.0, 5.0)
    expected_count = 586
    licence = "research only"
    source = "https://www02.smt.ufrj.br/~eduardo/ImageDatabase.htm"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the sheet."""
        table = self.file(root, "DatabaseGrades.xlsx", "DatabaseGrades.csv")
        for line, cells in enumerate(sheet_cells(table), start=1):
            if not cells or not _is_number(cells[0]):
                continue  # the header
            row = Row(table, line, dict(zip(("image", "mos"), cells, strict=False)))
            item = f"DatabaseImage{int(row.number('image')):04d}.JPG"
            grades = [float(cell) for cell in cells[3:] if _is_number(cell)]
            std = stdev(grades) if len(grades) > 1 else None
            yield self.sample(row, item, row.number("mos"), tested(root / item), mos_std=std)


class CID2013(Adapter):
    """CID2013: 474 photographs of 79 cameras in six image sets. Higher is better.

    Files: <root>/CID2013 data - version 12112014.xlsx, sheet `CID2013 MOS` (or saved as .csv), and the image sets
    anywhere below <root>; images are found by name.
    Columns used: `Source_ID`, `Realigned MOS`. The owner states no bounds for the realigned scores, so their
    observed range is the scale.
    Citation: Virtanen, Nuutinen, Vaahteranoksa, Oittinen, Hakkinen, IEEE Transactions on Image Processing 24, 2015.
    Evidence: a public converter reads these columns of this sheet and opens `<Source_ID>.jpg`; another program reads
    the sheet and counts 474 images below IS1..IS6. The folders are not relied upon.
    """

    name = "cid2013"
    title = "CID2013"
    scale = None
    expected_count = 474
    licence = "research only"
    source = "https://doi.org/10.5281/zenodo.2647033"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the sheet."""
        stem = "CID2013 data - version 12112014"
        table = self.file(root, f"{stem}.xlsx", f"{stem}.csv")
        rows = list(sheet_rows(table, "CID2013 MOS", ["Source_ID", "Realigned MOS"]))
        scale = observed_scale((row.number("Realigned MOS") for row in rows), table)
        files = FileIndex(root)
        for row in rows:
            item = f"{row.text('Source_ID')}.jpg"
            yield self.sample(row, item, row.number("Realigned MOS"), tested(files.path(item)), scale=scale)


class BIQ2021(Adapter):
    """BIQ2021: 12,000 photographs of 512 x 512 pixels, 30 observers in a laboratory. Higher is better.

    Files: <root>/Train (Images and MOS).csv, <root>/Test (Images and MOS).csv, <root>/Images/.
    A row: `ss03 (7805).jpg,0.7321`. The first part of the name is the subset; subset means differ a lot (0.45, 0.49,
    0.75), so report correlations inside each.
    Citation: Ahmed, Asif, Ahmed, Khalid, Journal of Electronic Imaging 31, 2022.
    Evidence: the owner's files, github.com/nisarahmedrana/BIQ2021 (62c7b40), counted with this adapter.
    """

    name = "biq2021"
    title = "BIQ2021"
    scale = LabelScale(0.0, 1.0)
    expected_count = 12_000
    splits = "train 10,000, test 2,000: the owner's two tables"
    licence = "none stated; subset ss03 comes from Unsplash"
    source = "https://github.com/nisarahmedrana/BIQ2021"

    def samples(self, root: Path) -> Iterator[Sample]:
        """First train, then test."""
        for split in ("train", "test"):
            for row in csv_rows(self.file(root, f"{split.title()} (Images and MOS).csv")):
                item = row.text("Image Name")
                media = tested(root / "Images" / item)
                yield self.sample(row, item, row.number("MOS"), media, split=split, subset=item.split(" ")[0])


class FLIVE(Adapter):
    """FLIVE (LIVE-FB, PaQ-2-PiQ): 39,810 photographs of social media; whole images, not the patches. Higher is better.

    Files: <root>/labels_image.csv and <root>/database/ (blur_dataset, EE371R, voc_emotic_ava).
    Columns used: `name` (a path below database/), `mos`. A row begins `EE371R/cj23478+019.jpg,...`.
    The published split (by image size) is not in this file and is not invented here.
    Citation: Ying et al., CVPR 2020.
    Evidence: readers miccunifi/ARNIQA (f60c0f2) data/dataset_flive.py (also the count), chaofengc/IQA-PyTorch (01ae427)
    scripts/process_flive.py and niu-haoran/FLIVE_Database.
    """

    name = "flive"
    title = "FLIVE (PaQ-2-PiQ)"
    scale = _PERCENT
    expected_count = 39_810
    licence = "free for research, with citation"
    source = "https://github.com/niu-haoran/FLIVE_Database"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the table."""
        for row in csv_rows(self.file(root, "labels_image.csv", "database/labels_image.csv")):
            item = row.text("name")
            subset = item.split("/")[0] if "/" in item else None
            yield self.sample(row, item, row.number("mos"), tested(root / "database" / item), subset=subset)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
