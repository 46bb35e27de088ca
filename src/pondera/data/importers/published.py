"""The label lists that PreResQ-R1 and VisualQuality-R1 publish: labels without media, one row of this table each.

Labels of most lists are the owner's scores stretched from their observed range to 1..5 or 0..100, so they keep the
order and the linear correlation of the originals, not their values. The standard deviations of some lists are in the
owner's unit, not in that of the stretched label, and those of KADID-10k are the roots of the owner's standard
deviations; they are kept as `meta.published_std` and not as `mos_std`.
GT_SRIQA.txt holds the labels of GT_SRIQA-Bench.txt without references, GT_SRIQA_IS.txt a hundred of them; neither is
listed. Source: github.com/DanceSkyCode/General-Visual-Quality-RL and github.com/TianheWu/VisualQuality-R1, Apache-2.0.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pondera.core.records import FIVE_POINT, LabelScale, Media, MediaKind, Sample
from pondera.data.adapters.base import on_scale
from pondera.data.adapters.tables import Row, spaced_rows
from pondera.errors import ConfigError, DatasetError

_PERCENT = LabelScale(0.0, 100.0)
_URL = {
    "preresq-r1": "https://github.com/DanceSkyCode/General-Visual-Quality-RL",
    "visualquality-r1": "https://github.com/TianheWu/VisualQuality-R1",
}
_CONTENT = r"([A-Za-z]+\d+)_"  # I01_01_1.bmp, A0001_00_00.bmp: the part that names the reference


@dataclass(frozen=True, slots=True)
class PublishedList:
    """One list.

    Args:
        name: publisher and data set.
        files: file, split and number of rows; a file that is the whole list has no split.
        columns: of reference, image, mos, std.
        scale: of its labels, higher is better in all of them.
        kind: image or video.
        content: where a file name says its reference; "" where it does not.
    """

    name: str
    files: tuple[tuple[str, str | None, int], ...]
    columns: tuple[str, ...] = ("image", "mos")
    scale: LabelScale = FIVE_POINT
    kind: MediaKind = "image"
    content: str = ""

    @property
    def dataset(self) -> str:
        """The data set, called as its adapter where there is one."""
        return self.name.split("/")[1].split(":")[0]

    @property
    def expected_count(self) -> int:
        """Rows of all files."""
        return sum(count for _, _, count in self.files)

    @property
    def source(self) -> str:
        """Where the list is published."""
        return _URL[self.name.split("/")[0]]


_WITH_STD = ("image", "mos", "std")
_WITH_REFERENCE = ("reference", "image", "mos")
_WITH_BOTH = ("reference", "image", "mos", "std")

_KADID_FILES = (
    ("KADID-10K_train_set.txt", "train", 6_125),
    ("KADID-10K_val_set.txt", "val", 2_000),
    ("KADID-10K_test_set.txt", "test", 2_000),
)

LISTS = (
    PublishedList("preresq-r1/koniq10k", (("GT_KonIQ.txt", None, 10_073),), _WITH_STD),
    PublishedList("preresq-r1/spaq", (("GT_SPAQ.txt", None, 11_125),), _WITH_STD),
    PublishedList("preresq-r1/livec", (("GT_CLIVE.txt", None, 1_169),)),
    PublishedList("preresq-r1/bid", (("GT_BID.txt", None, 586),)),
    PublishedList("preresq-r1/agiqa3k", (("GT_AGIQA.txt", None, 2_982),)),
    PublishedList("preresq-r1/pipal", (("GT_PIPAL.txt", None, 23_200),), content=_CONTENT),
    PublishedList("preresq-r1/tid2013", (("GT_TID2013.txt", None, 3_000),), content=_CONTENT),
    PublishedList("preresq-r1/liu13", (("GT_Liu.txt", None, 1_199),), _WITH_REFERENCE),
    PublishedList("preresq-r1/sriqa-bench", (("GT_SRIQA-Bench.txt", None, 1_100),), _WITH_REFERENCE),
    PublishedList("preresq-r1/lsvq:test", (("LSVQ_test_labels_normalized.txt", "test", 7_186),), kind="video"),
    PublishedList("preresq-r1/lsvq:1080p", (("LSVQ_labels_1080p_normalized.txt", "test_1080p", 3_573),), kind="video"),
    PublishedList("preresq-r1/konvid1k", (("KoNViD_labels_cleaned.txt", None, 1_200),), kind="video"),
    PublishedList("preresq-r1/live-vqc", (("LIVE_VQC_labels_normalized.txt", None, 585),), kind="video"),
    PublishedList("preresq-r1/youtube-ugc", (("YouTube_labels.txt", None, 1_147),), kind="video"),
    PublishedList("visualquality-r1/kadid10k", _KADID_FILES, _WITH_BOTH),
    PublishedList("visualquality-r1/kadid10k:raw", (("KADID-10K_mos.txt", None, 10_125),), _WITH_BOTH),
    PublishedList("visualquality-r1/koniq10k", (("KONIQ-10K_test_all.txt", None, 10_073),), _WITH_STD),
    PublishedList("visualquality-r1/spaq", (("SPAQ_test_all.txt", None, 11_125),), _WITH_STD),
    PublishedList("visualquality-r1/livec", (("LIVEC_test_all.txt", None, 1_169),), _WITH_STD, _PERCENT),
    PublishedList("visualquality-r1/bid", (("BID_test_all.txt", None, 586),), scale=_PERCENT),
    PublishedList("visualquality-r1/agiqa3k", (("AGIQA-3K_test_all.txt", None, 2_982),), _WITH_STD, _PERCENT),
    PublishedList("visualquality-r1/liu13", (("Deblur_test_all.txt", None, 1_199),), _WITH_REFERENCE),
    PublishedList("visualquality-r1/dehaze", (("dehaze_test_all.txt", None, 600),), _WITH_REFERENCE),
    PublishedList(
        "visualquality-r1/sriqa-bench", (("SRIQA-Bench_test_all.txt", None, 1_100),), _WITH_REFERENCE, _PERCENT
    ),
)


def get_list(name: str) -> PublishedList:
    """The list of this name.

    Raises:
        ConfigError: there is none; the message suggests names.
    """
    by_name = {published.name: published for published in LISTS}
    if name not in by_name:
        near = difflib.get_close_matches(name.lower(), by_name, n=3, cutoff=0.4)
        raise ConfigError(f"no published list is called {name!r}; there are {', '.join(near or by_name)}")
    return by_name[name]


def list_samples(published: PublishedList, folder: Path, media: Path) -> Iterator[Sample]:
    """The samples of a list, file by file, in its order.

    Args:
        published: which.
        folder: where its files are.
        media: folder that the names in it are relative to.

    Raises:
        DatasetError: a file is missing, or a row is wrong.
    """
    for file, split, _ in published.files:
        if not (folder / file).is_file():
            raise DatasetError(f"{folder / file}: missing. Download the list from {published.source}")
        for row in spaced_rows(folder / file, published.columns):
            yield _sample(published, row, split, media)


def _sample(published: PublishedList, row: Row, split: str | None, media: Path) -> Sample:
    item = row.text("image")
    reference = Path(row.text("reference")).stem if "reference" in published.columns else None
    match = re.match(published.content, item) if published.content else None
    if match:
        reference = match.group(1).upper()  # TID2013 writes I01 and i01
    return Sample(
        id=f"{published.dataset}/{item}",
        media=(Media((media / item).as_posix()),),
        kind=published.kind,
        dataset=published.dataset,
        mos=on_scale(row.number("mos"), published.scale, row),
        scale=published.scale,
        split=split,
        reference=f"{published.dataset}/{reference}" if reference else None,
        meta={"published_std": row.number("std")} if "std" in published.columns else {},
    )
