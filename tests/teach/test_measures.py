"""Estimators: known values on made images, and the right answer to the damage each is for."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from pondera.core.records import Distortion
from pondera.data.distortions import distort
from pondera.teach.measures import block_step, edge_slope, false_contours, measure, noise_sigma, speck_share


def flat(sigma: float, size: int = 256) -> np.ndarray:
    return np.random.default_rng(0).normal(128, sigma, (size, size)).astype(np.float32)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 15.0])
def test_noise_sigma_finds_the_standard_deviation_of_white_noise(sigma):
    """The 15th percentile over blocks lies a little below the truth: within 20 %."""
    assert math.exp(noise_sigma(flat(sigma))) == pytest.approx(sigma + 0.3, rel=0.2)


def test_noise_sigma_is_blind_to_a_ramp():
    ramp = np.tile(np.linspace(30, 220, 256, dtype=np.float32), (256, 1))
    assert noise_sigma(ramp) == pytest.approx(math.log(0.3), abs=0.01)


def test_speck_share_counts_isolated_pixels():
    image = np.full((102, 102), 100, np.float32)
    image[5:100:10, 5:100:10] = 255  # 100 specks among the 100 x 100 pixels that have 8 neighbours
    assert speck_share(image) == pytest.approx(math.log(0.01 + 1e-4), abs=1e-6)


def test_edge_slope_of_a_step_is_one_and_of_a_ramp_its_share():
    """A step: the largest difference is the whole height. A ramp 5 pixels wide: a fifth of it."""
    step = np.zeros((64, 64), np.float32)
    step[:32, :32] = step[32:, 32:] = 200
    assert edge_slope(step) == pytest.approx(math.log(1 + 1e-3), abs=1e-6)
    ramp_1d = np.interp(np.arange(64), [30, 35], [0, 200]).astype(np.float32)
    ramp = ramp_1d[None, :] + ramp_1d[:, None]
    assert edge_slope(ramp) == pytest.approx(math.log(0.2 + 1e-3), abs=1e-6)


def test_edge_slope_does_not_depend_on_contrast():
    step = np.kron(np.random.default_rng(1).integers(0, 2, (8, 8)), np.ones((16, 16))).astype(np.float32)
    assert edge_slope(50 + 20 * step) == pytest.approx(edge_slope(10 + 200 * step), abs=1e-6)


@pytest.mark.parametrize("shift", [0, 3])
def test_block_step_sees_a_grid_in_any_phase(shift):
    blocks = np.kron(np.random.default_rng(2).integers(60, 200, (32, 32)), np.ones((8, 8))).astype(np.float32)
    texture = flat(4)
    assert block_step((blocks + texture)[:, shift:]) > block_step(texture) + 2


def test_false_contours_tell_merged_values_from_blur_and_darkness():
    generator = np.random.default_rng(3)
    smooth = np.clip(np.cumsum(np.cumsum(generator.normal(0, 0.05, (3, 128, 128)), 1), 2) + 120, 0, 255)
    grainy = np.clip(smooth + generator.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)
    merged = (grainy // 32 * 32).astype(np.uint8)
    assert false_contours(merged) > false_contours(grainy) + 1
    assert false_contours((grainy // 4).astype(np.uint8)) < false_contours(merged) - 1
    assert false_contours(smooth.astype(np.uint8)) < false_contours(merged) - 1


@pytest.mark.parametrize(
    ("name", "measured", "direction"),
    [
        ("gaussian_noise", "noise_sigma", 1),
        ("impulse_noise", "speck_share", 1),
        ("gaussian_blur", "edge_slope", -1),
        ("motion_blur", "edge_slope", -1),
        ("jpeg", "block_step", 1),
        ("banding", "false_contours", 1),
        ("darken", "mean_luma", -1),
        ("brighten", "mean_luma", 1),
        ("low_contrast", "luma_spread", -1),
        ("low_contrast", "luma_span", -1),
        ("high_contrast", "clipped_ends", 1),
        ("desaturate", "colourfulness", -1),
        ("oversaturate", "colour_by_mean", 1),
        ("colour_cast", "edge_tint", 1),
    ],
)
def test_each_measure_moves_with_its_damage_at_every_step(held_out_crops, name, measured, direction):
    levels = [
        np.mean([measure(distort(crop, Distortion(name, level), seed=1))[measured] for crop in held_out_crops[:4]])
        for level in (1, 3, 5)
    ]
    pristine = np.mean([measure(crop)[measured] for crop in held_out_crops[:4]])
    assert np.all(np.diff([pristine, *levels]) * direction > 0)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (7, 9, 3), (33, 47, 3), (64, 64, 3)])
@pytest.mark.parametrize("fill", [0, 255, None])
def test_measures_are_finite_on_every_size_and_on_blank_images(shape, fill):
    generator = np.random.default_rng(4)
    image = generator.integers(0, 256, shape, np.uint8) if fill is None else np.full(shape, fill, np.uint8)
    assert all(math.isfinite(value) for value in measure(image).values())


def test_huge_images_are_measured_on_tiles_that_keep_the_codec_grid():
    """The grid of a JPEG must survive cutting: the blockiness stays that of the whole within a tenth."""
    tile = np.kron(np.random.default_rng(5).integers(60, 200, (150, 250, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    noise = np.random.default_rng(6).integers(0, 9, tile.shape, np.uint8)
    huge = tile + noise
    assert huge.shape[0] * huge.shape[1] > 1_200_000
    assert measure(huge)["block_step"] == pytest.approx(measure(huge[:800, :1200])["block_step"], abs=0.1)
    assert measure(np.tile(huge[:100], (1, 20, 1)))["mean_luma"] == pytest.approx(measure(huge)["mean_luma"], abs=0.1)


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        measure(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"\[H, W, 3\]"):
        measure(np.zeros((4, 4), np.uint8))


def test_all_measures_of_a_small_image_take_less_than_a_few_hundredths_of_a_second(held_out_crops):
    """8 ms on the development machine; the bound is loose because test machines are shared."""
    measure(held_out_crops[0])
    times = []
    for crop in held_out_crops[:5]:
        start = time.perf_counter()
        measure(crop)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1
