"""Tiny photographs' stand-ins: textured scenes with edges, tones and hues, made from noise."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.images import load_image
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs


@pytest.fixture(scope="session")
def held_out_crops():
    """One 384 x 256 crop of each photograph that the teacher's constants were not fitted on."""
    held_out = [path for path in list_photographs() if PHOTOGRAPH_SPLITS[path.stem] != "train"]
    return [load_image(path)[100:356, 60:444] for path in held_out]


@pytest.fixture
def make_samples(tmp_path):
    """Labelled samples of small random images on disk."""

    def make(count: int, **changes) -> list[Sample]:
        samples = []
        for index in range(count):
            generator = np.random.default_rng(index)
            path = tmp_path / f"{index}.png"
            Image.fromarray(generator.integers(0, 256, (40, 48, 3), np.uint8)).save(path)
            values = {"mos": 2.0 + index % 3, "scale": FIVE_POINT, "reference": f"r{index}"} | changes
            samples.append(Sample(f"s{index}", (Media(str(path)),), **values))
        return samples

    return make
