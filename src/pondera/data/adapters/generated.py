"""Generated images and videos: quality, and agreement with the prompt. Samples of one prompt share their content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev

from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.data.adapters.base import Adapter, tested
from pondera.data.adapters.tables import Row, csv_rows, json_entries
from pondera.errors import DatasetError


class AGIQA3K(Adapter):
    """AGIQA-3K: 2,982 images of six generators. Quality is the label, alignment a target; higher is better, 0..5.

    Files: <root>/data.csv and <root>/AttnGAN_normal_000.jpg ... (or below images/).
    A row: `AttnGAN_normal_000.jpg,statue of a man,,,,0.965602553,0.223270101,0.40889324,0.615607722`.
    Citation: Li et al., IEEE Transactions on Circuits and Systems for Video Technology, 2023.
    Evidence: the owner's file, lcysyzxdxc/AGIQA-3k-Database@30ded2b:data.csv, counted with this adapter.
    """

    name = "agiqa3k"
    title = "AGIQA-3K"
    scale = LabelScale(0.0, 5.0)
    expected_count = 2_982
    count_from = "owner's files"
    licence = "MIT"
    source = "https://github.com/lcysyzxdxc/AGIQA-3k-Database"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the table."""
        table = self.file(root, "data.csv")
        folder = root / "images" if (root / "images").is_dir() else root
        for row in csv_rows(table):
            item, prompt = row.text("name"), row.text("prompt")
            yield self.sample(
                row,
                item,
                row.number("mos_quality"),
                tested(folder / item),
                mos_std=row.number("std_quality", low=0.0),
                targets={"alignment": row.number("mos_align")},
                text=prompt,
                reference=prompt,
                subset=item.split("_")[0],
            )


class EvalMuse(Adapter):
    """EvalMuse-40K, training part: agreement of image and prompt, three or more ratings of 1..5. Higher is better.

    Files: <root>/train_list.json and <root>/images/ (the parts of images.zip joined and unpacked).
    An entry, in form (values unverified): `{"prompt_id": "p1", "prompt": "a red cube", "type": "synthetic", "img_path":
    "SDXL-Turbo/00001.png", "total_score": [4, 5, 4], "element_score": ...}`. The label is the mean of total_score.
    Labels of test.json are not published. No count is asserted: the owner says about 30,000.
    Citation: Han et al., arXiv:2412.18150.
    Evidence: the features on the owner's card, huggingface.co/datasets/DY-Evalab/EvalMuse, and the owner's reader,
    DYEvaLab/EvalMuse@0fa141b:process/process_train.py.
    """

    name = "evalmuse"
    title = "EvalMuse-40K (training part)"
    rates = "alignment"
    scale = FIVE_POINT
    expected_count = None
    count_from = "unknown"
    splits = "train only; the labels of the owner's test set are not published"
    licence = "BSD-3-Clause"
    source = "https://huggingface.co/datasets/DY-Evalab/EvalMuse"

    def samples(self, root: Path) -> Iterator[Sample]:
        """In the order of the list."""
        table = self.file(root, "train_list.json")
        folder = root / "images" if (root / "images").is_dir() else root
        for number, entry in enumerate(json_entries(table), start=1):
            row = Row(table, number, {key: str(entry.get(key, "")) for key in ("img_path", "prompt", "prompt_id")})
            ratings = entry.get("total_score")
            if not isinstance(ratings, list) or not ratings or any(grade not in range(1, 6) for grade in ratings):
                raise DatasetError(f"{row.where} (entry): total_score is {ratings!r}, expected ratings of 1..5")
            count = Counter(ratings)
            item = row.text("img_path")
            yield self.sample(
                row,
                item,
                fmean(ratings),
                tested(folder / item),
                mos_std=stdev(ratings) if len(ratings) > 1 else None,
                votes=tuple(float(count[grade]) for grade in range(1, 6)),
                text=row.text("prompt"),
                reference=row.text("prompt_id"),
                subset=entry.get("type"),
                split="train",
            )


class LGVQ(Adapter):
    """LGVQ: 2,808 generated videos of six models and 468 prompts. Three scores each, higher is better, about 0..100.

    A row of the table that one reader keeps (name, model, prompt, spatial, temporal and alignment quality):
    `0000,Gen-2,A baseball player sprinted towards home base,68.69,63.46,75`; the range would be the observed one.
    Citation: Zhang et al., arXiv:2407.21408.
    Evidence: not enough. The owner's repository (zczhang-sjtu/UGVQ@0bc5e4f:README.md) holds a title. Tables of readers
    differ from commit to commit: 7chosen/shitBVQA@dc1ff44:data/LGVQ.csv, where the row and the count are from, has
    names and another order than at 68e57df. So they are not the owner's, and nothing is read here: `samples` says how
    to import the set from a table.
    """

    name = "lgvq"
    title = "LGVQ"
    rates = ""  # three scores; which one a table of it holds is for its maker to say
    kind = "video"
    scale = None
    expected_count = 2_808
    count_from = "list"
    licence = "not stated"
    source = "https://github.com/zczhang-sjtu/UGVQ"
    verified = False

    def samples(self, root: Path) -> Iterator[Sample]:
        """Never yields.

        Raises:
            DatasetError: always; there is no public evidence for the layout.
        """
        raise DatasetError(
            f"{root}: the layout of {self.title} is not documented in public. Make a table of file, score and prompt, "
            "then: pondera data import csv TABLE --columns file=...,mos=...,text=... --scale LOW HIGH --out F"
        )
