"""MDSI against a slow reading of the paper, and the map to a pseudo-MOS."""

import cmath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondera.core.records import Distortion
from pondera.data.distortions import distort
from pondera.data.full_reference import mdsi, pseudo_mos


def _image(seed, height=20, width=27):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _slow_mdsi(reference, distorted):
    """The formulas of arXiv:1608.07433 pixel by pixel in double precision, without the down-sampling."""
    height, width = reference.shape[:2]

    def channel(image, weights):
        return {
            (y, x): sum(w * float(v) for w, v in zip(weights, image[y, x], strict=True))
            for y in range(height)
            for x in range(width)
        }

    def gradient(luma, y, x):
        at = lambda dy, dx: luma.get((y + dy, x + dx), 0.0)  # noqa: E731
        across = sum(at(d, 1) - at(d, -1) for d in (-1, 0, 1)) / 3
        down = sum(at(1, d) - at(-1, d) for d in (-1, 0, 1)) / 3
        return (across**2 + down**2) ** 0.5

    def similarity(a, b, c):
        return (2 * a * b + c) / (a * a + b * b + c)

    luma, h, m = (0.2989, 0.5870, 0.1140), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17)
    lr, ld = channel(reference, luma), channel(distorted, luma)
    lf = {p: (lr[p] + ld[p]) / 2 for p in lr}
    hr, hd, mr, md = channel(reference, h), channel(distorted, h), channel(reference, m), channel(distorted, m)
    powers = []
    for p in lr:
        gr, gd, gf = gradient(lr, *p), gradient(ld, *p), gradient(lf, *p)
        structure = similarity(gr, gd, 140) + similarity(gd, gf, 55) - similarity(gr, gf, 55)
        colour = (2 * (hr[p] * hd[p] + mr[p] * md[p]) + 550) / (hr[p] ** 2 + hd[p] ** 2 + mr[p] ** 2 + md[p] ** 2 + 550)
        powers.append(cmath.exp(0.25 * cmath.log(0.6 * structure + 0.4 * colour)))
    mean = sum(powers) / len(powers)
    return (sum(abs(p - mean) for p in powers) / len(powers)) ** 0.25


@pytest.mark.parametrize("damage", ["gaussian_noise", "gaussian_blur", "colour_cast", "darken"])
def test_mdsi_agrees_with_the_papers_formulas_pixel_by_pixel(damage):
    reference = _image(0)
    distorted = distort(reference, Distortion(damage, 3), 0)
    assert mdsi(reference, distorted) == pytest.approx(_slow_mdsi(reference, distorted), rel=1e-5)


def test_negative_similarities_become_complex_as_in_the_authors_formula():
    """Opposed chromaticities of strong colours make the combined map negative in places."""
    reference = np.zeros((12, 12, 3), np.uint8)
    distorted = reference.copy()
    reference[:, 6:], distorted[:, 6:] = (255, 0, 0), (0, 40, 255)
    reference[:, :6], distorted[:, :6] = (0, 255, 0), (255, 0, 255)
    assert mdsi(reference, distorted) == pytest.approx(_slow_mdsi(reference, distorted), rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (20, 27), (400, 500), (800, 780)])
def test_equal_images_have_exactly_zero(shape):
    image = _image(1, *shape)
    assert mdsi(image, image.copy()) == 0.0


def test_large_images_are_averaged_down_to_about_256_pixels():
    """Factor 2 at a short side of 512: repeating every pixel twice each way changes nothing inside."""
    reference, distorted = _image(2, 256, 300), _image(3, 256, 300)
    double = [np.repeat(np.repeat(i, 2, axis=0), 2, axis=1) for i in (reference, distorted)]
    assert mdsi(*double) == pytest.approx(mdsi(reference, distorted), rel=1e-6)


def test_stronger_damage_is_further_away():
    y, x = np.mgrid[0:96, 0:128]
    image = np.stack([x + y, 255 - y * 2, (x * y) % 200], axis=2).astype(np.uint8)
    values = [mdsi(image, distort(image, Distortion("gaussian_noise", level), 0)) for level in range(1, 6)]
    assert values == sorted(values) and values[0] > 0.1


def test_it_sees_colour_where_a_metric_on_luma_is_blind():
    image = _image(4, 64, 64)
    assert pseudo_mos(mdsi(image, distort(image, Distortion("desaturate", 5), 0))) < 4


def test_images_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="shapes must match"):
        mdsi(_image(0, 8, 8), _image(0, 8, 9))
    with pytest.raises(ValueError, match="distorted must be uint8"):
        mdsi(_image(0, 8, 8), _image(0, 8, 8).astype(np.float32))


def test_pseudo_mos_goes_from_five_through_three_towards_one():
    """By hand: 0 -> 1 + 4; 0.345 -> 1 + 4 / 2; 0.5 -> 1 + 4 / (1 + 1.449275^5.5 = 7.6963)."""
    assert pseudo_mos(0.0) == 5.0
    assert pseudo_mos(0.345) == pytest.approx(3.0)
    assert pseudo_mos(0.5) == pytest.approx(1.4598, abs=2e-3)


@given(st.floats(0.02, 1.2), st.floats(0.001, 0.5))
def test_pseudo_mos_is_strictly_monotone(value, step):
    assert 1 < pseudo_mos(value + step) < pseudo_mos(value) <= 5


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_pseudo_mos_refuses_what_is_no_mdsi(value):
    with pytest.raises(ValueError, match="MDSI is"):
        pseudo_mos(value)
