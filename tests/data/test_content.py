"""The bundled photographs and the dead leaves."""

import itertools
import time

import numpy as np
import pytest

from pondera.data.dead_leaves import DeadLeaves, dead_leaves
from pondera.data.images import load_image
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs


def test_twenty_four_photographs_are_bundled_in_less_than_four_megabytes():
    paths = list_photographs()
    assert [p.stem for p in paths] == [f"kodak-{n:02d}" for n in range(1, 25)]
    assert sum(p.stat().st_size for p in paths) <= 4_000_000
    assert (paths[0].parent / "README.md").read_text(encoding="utf-8").count("unrestricted") == 1
    for path in paths[::8]:
        assert sorted(load_image(path).shape) == [3, 512, 768]


def test_the_photographs_are_split_13_3_8_by_content():
    counts = [list(PHOTOGRAPH_SPLITS.values()).count(name) for name in ("train", "val", "test")]
    assert counts == [13, 3, 8] and set(PHOTOGRAPH_SPLITS) == {p.stem for p in list_photographs()}


def test_dead_leaves_follow_their_seed_and_size():
    image = dead_leaves(3, size=(96, 64))
    assert image.shape == (64, 96, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, DeadLeaves(3, (96, 64)).image())
    assert (image != dead_leaves(4, size=(96, 64))).any()
    assert dead_leaves(0, size=(1, 1)).shape == (1, 1, 3)
    with pytest.raises(ValueError, match="at least 1 x 1"):
        dead_leaves(0, size=(0, 5))


def test_dead_leaves_have_the_spectrum_of_photographs():
    """Amplitude of natural images falls as 1 / f^a with a near 1 (Field 1987: 0.7 to 1.5)."""
    slopes = []
    for seed in range(4):
        luma = dead_leaves(seed, size=(256, 256)).mean(axis=2)
        window = np.outer(np.hanning(256), np.hanning(256))
        amplitude = abs(np.fft.fft2((luma - luma.mean()) * window))
        radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
        rings = np.geomspace(0.02, 0.35, 9)
        mean = [amplitude[(radius >= a) & (radius < b)].mean() for a, b in itertools.pairwise(rings)]
        slopes.append(-np.polyfit(np.log(rings[:-1]), np.log(mean), 1)[0])
    assert 0.7 < np.mean(slopes) < 1.7, slopes


def test_dead_leaves_are_quick():
    """0.3 s at 768 x 512 is the aim on an idle core."""
    seconds = []
    for seed in range(2):
        start = time.perf_counter()
        dead_leaves(seed)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
