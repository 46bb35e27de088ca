"""User-generated and recorded videos: one opinion score each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.data.adapters.base import Adapter, FileIndex, first_file, observed_scale, tested
from pondera.data.adapters.tables import csv_rows, mat_rows, sheet_rows

_PERCENT = LabelScale(0.0, 100.0)


class LSVQ(Adapter):
    """LSVQ: about 39,000 videos of the Internet Archive and YFCC, crowd ratings. Higher is better, 0..100.

    Files: <root>/labels_train_test.csv, <root>/labels_test_1080p.csv, <root>/<name>.mp4.
    Columns used, of 38: `name`, `mos`, `is_test` (only in the first table). A row of the first has
    `yfcc-batch1/747`, 67.75, True; one of the second `yfcc-batch1/722`, 78.774.
    No total is asserted: a copy of the tables has 35,499 and 3,573 rows, publications say 39,075 and differ about the
    splits (28,056 train; 7,182, 7,186 or 7,400 test; 3,573 or 3,600 of 1080p). Of the second table 3,573 are: the copy
    and the list of PreResQ-R1 have as many.
    Citation: Ying, Mandal, Ghadiyaram, Bovik, CVPR 2021.
    Evidence: the owner's baidut/PatchVQ@8062f90:README.md and json/LSVQ.json there (tables, `is_test`);
    winwinwenwen77/ModularBVQA@23391f7:data/LSVQ_whole_test.csv (all columns; the test part of the first table) and
    GZHU-DVL/TiVQA@00372a5:data/labels_test_1080p.csv (the second table; labels_train_test.csv beside it is cut to five
    columns).
    """

    name = "lsvq"
    title = "LSVQ"
    kind = "video"
    scale = _PERCENT
    expected_count = None
    count_from = "unknown"
    splits = "train, test: column `is_test`; test_1080p 3,573: the owner's second table"
    split_counts = MappingProxyType({"test_1080p": 3_573})
    licence = "free for research, with citation"
    source = "https://github.com/baidut/PatchVQ"

    def samples(self, root: Path) -> Iterator[Sample]:
        """The first table, then the second."""
        for row in csv_rows(self.file(root, "labels_train_test.csv")):
            item = f"{row.text('name')}.mp4"
            split = "test" if row.flag("is_test") else "train"
            yield self.sample(row, item, row.number("mos"), tested(root / item), split=split)
        for row in csv_rows(self.file(root, "labels_test_1080p.csv")):
            item = f"{row.text('name')}.mp4"
            yield self.sample(row, item, row.number("mos"), tested(root / item), split="test_1080p")


class KoNViD1k(Adapter):
    """KoNViD-1k: 1,200 videos of Flickr, crowd ratings. Higher is better, 1..5.

    Files: <root>/KoNViD_1k_mos.csv (or below KoNViD_1k_metadata/) and <root>/KoNViD_1k_videos/<flickr_id>.mp4.
    A row: `"3339962845","4.6400000000"`.
    Citation: Hosu et al., QoMEX 2017.
    Evidence: a copy of the table, ads2d/KFVQA@2b7979d:data/KoNViD_1k_mos.csv, counted with this adapter; folder and
    names as in the list of PreResQ-R1 and in
    VQAssessment/FAST-VQA-and-FasterVQA@9f264e4:examplar_data_labels/KoNViD/labels.txt.
    """

    name = "konvid1k"
    title = "KoNViD-1k"
    kind = "video"
    scale = FIVE_POINT
    expected_count = 1_200
    count_from = "owner's files"
    licence = "research; videos under Creative Commons"
    source = "https://database.mmsp-kn.de/konvid-1k-database.html"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the table."""
        for row in csv_rows(self.file(root, "KoNViD_1k_mos.csv", "KoNViD_1k_metadata/KoNViD_1k_mos.csv")):
            number = int(row.number("flickr_id"))  # some copies of the table hold 10053703034.0
            item = f"KoNViD_1k_videos/{number}.mp4"
            yield self.sample(row, item, row.number("mos"), tested(root / item))


class LiveVQC(Adapter):
    """LIVE-VQC: 585 videos of phones. Higher is better, 0..100.

    Files: <root>/data.mat (video_list, mos) and <root>/Video/A001.mp4 ...
    A row (two vectors): `A001.mp4`, 80.232.
    Citation: Sinno, Bovik, IEEE Transactions on Image Processing 28, 2019.
    Evidence: a copy of data.mat, winwinwenwen77/ModularBVQA@23391f7:data/LiveVQC_data.mat, counted with this adapter;
    folder and names as in the list of PreResQ-R1.
    """

    name = "live-vqc"
    title = "LIVE-VQC"
    kind = "video"
    scale = _PERCENT
    expected_count = 585
    count_from = "owner's files"
    licence = "free for research, with citation"
    source = "https://live.ece.utexas.edu/research/LIVEVQC/index.html"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the release."""
        data = self.file(root, "data.mat")
        for row in mat_rows({"video": data, "mos": data}, {"video": "video_list", "mos": "mos"}):
            item = f"Video/{row.text('video')}"
            yield self.sample(row, item, row.number("mos"), tested(root / item))


class YouTubeUGC(Adapter):
    """YouTube-UGC: 1,380 labelled videos of 20 seconds, by category. Higher is better, 1..5.

    Files: <root>/original_videos_MOS_for_YouTube_UGC_dataset.xlsx, sheet `MOS` (or saved as .csv), and the videos
    anywhere below <root>: <vid>.mkv or <vid>.mp4 (originals), or <vid>_crf_10_ss_00_t_20.0.mp4 (the H.264 copies).
    Columns used: `vid`, `category`, `MOS full`, `std full`. A row begins
    `Animation_1080P-01b3,Animation,1080,125,3.649`. The owner withdraws videos now and then: import what is there with
    --partial. The list of PreResQ-R1 has 1,147 of them.
    Citation: Wang, Inguva, Adsumilli, MMSP 2019; Yim et al., 2020 (opinion scores).
    Evidence: a copy of the owner's workbook with its sheets MOS and readme (bounds, terms), counted with this adapter:
    zhaoyimeng123/WanderVQA@9d70461:data/original_videos_MOS_for_YouTube_UGC_dataset.xlsx. Names of the H.264 copies as
    in VQAssessment/FAST-VQA-and-FasterVQA@9f264e4:examplar_data_labels/YouTubeUGC/labels.txt.
    """

    name = "youtube-ugc"
    version = 2  # 2: standard deviations
    title = "YouTube-UGC"
    kind = "video"
    scale = FIVE_POINT
    expected_count = 1_380
    count_from = "owner's files"
    licence = "Creative Commons Attribution"
    source = "https://media.withyoutube.com"

    _ENDS = (".mkv", ".mp4", "_crf_10_ss_00_t_20.0.mp4")

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the sheet."""
        stem = "original_videos_MOS_for_YouTube_UGC_dataset"
        table = self.file(root, f"{stem}.xlsx", f"{stem}.csv")
        files = FileIndex(root)
        for row in sheet_rows(table, "MOS", ["vid", "MOS full"]):
            item = row.text("vid")
            path = first_file([files.path(item + end) for end in self._ENDS])
            yield self.sample(
                row,
                f"{item}.mp4",
                row.number("MOS full"),
                tested(path),
                mos_std=row.number("std full", low=0.0) if row.has("std full") else None,
                subset=row.text("category") if row.has("category") else None,
            )


class CVD2014(Adapter):
    """CVD2014: 234 recordings of 78 cameras. Realigned MOS, higher is better.

    Realigned scores leave 0..100 (-6.50 to 93.38 in print), so the observed range is the scale.
    Files: <root>/CVD2014_ratings/Realignment_MOS.csv and <root>/Test1/<content>/<file>.avi ...
    A row (semicolons, decimal commas): `City;Test01_City_D01;71,17;67,29;;;;`; columns by name: Content, File_name,
    Original MOS, Realignment MOS.
    Citation: Nuutinen et al., IEEE Transactions on Image Processing 25, 2016.
    Evidence: a copy of the table, winwinwenwen77/ModularBVQA@23391f7:data/CVD2014_Realignment_MOS.csv, counted with
    this adapter, and reader lidq92/VSFA@b78751b:data/data_info_maker.m; videos are found by name.
    """

    name = "cvd2014"
    title = "CVD2014"
    kind = "video"
    scale = None
    expected_count = 234
    count_from = "owner's files"
    licence = "research only"
    source = "https://doi.org/10.5281/zenodo.2646315"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the table; rows without a file name carry remarks."""
        table = self.file(root, "CVD2014_ratings/Realignment_MOS.csv", "Realignment_MOS.csv")
        rows = [row for row in csv_rows(table, delimiter=";") if row.has("File_name")]
        scale = observed_scale((row.number("Realignment MOS", decimal=",") for row in rows), table)
        files = FileIndex(root)
        for row in rows:
            item = f"{row.text('File_name')}.avi"
            mos = row.number("Realignment MOS", decimal=",")
            subset = row.text("Content") if row.has("Content") else None
            yield self.sample(row, item, mos, tested(files.path(item)), scale=scale, subset=subset)


class LiveYTGaming(Adapter):
    """LIVE-YT-Gaming: 600 videos of games. Higher is better, 0..100.

    Files: <root>/LIVEYTGaming.mat (video_list, MOS) and the videos anywhere below <root>; found by name.
    A row (two vectors): `ARKSuvivalEvolved-001`, 68.71.
    Citation: Yu et al., ACM Transactions on Graphics, 2022.
    Evidence: not enough. Public readers of one family read this file, and in the copy
    winwinwenwen77/ModularBVQA@23391f7:data/LIVEYTGaming.mat the adapter finds 600 labels of 4.5 to 96.0; but that copy
    also holds a table of random splits, so it may not be the owner's.
    """

    name = "live-yt-gaming"
    title = "LIVE-YT-Gaming"
    kind = "video"
    scale = _PERCENT
    expected_count = 600
    count_from = "list"
    licence = "free for research, with citation"
    source = "https://live.ece.utexas.edu/research/LIVE-YT-Gaming/index.html"
    verified = False

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the release."""
        data = self.file(root, "LIVEYTGaming.mat")
        files = FileIndex(root)
        for row in mat_rows({"video": data, "mos": data}, {"video": "video_list", "mos": "MOS"}):
            item = f"{row.text('video').removesuffix('.mp4')}.mp4"
            yield self.sample(row, item, row.number("mos"), tested(files.path(item)))
