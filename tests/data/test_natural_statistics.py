"""BRISQUE features: known distributions come back, and features move with damage."""

import numpy as np
import pytest

from pondera.data.images import load_image
from pondera.data.natural_statistics import brisque_features, fit_aggd, fit_ggd, niqe_features, normalised_luma
from pondera.data.photographs import list_photographs


@pytest.fixture(scope="module")
def photograph():
    return load_image(list_photographs()[4])[:256, :256]


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
def test_shape_and_variance_of_generalised_gaussian_samples_come_back(shape):
    """|x|^shape is gamma distributed with parameter 1 / shape when x is generalised Gaussian of scale 1."""
    rng = np.random.default_rng(0)
    value_N = rng.gamma(1 / shape, size=400_000) ** (1 / shape) * rng.choice([-1, 1], 400_000)
    got_shape, got_variance = fit_ggd(value_N)
    assert got_shape == pytest.approx(shape, rel=0.02)
    assert got_variance == pytest.approx(np.var(value_N), rel=1e-3)


@pytest.mark.parametrize(("shape", "left", "right"), [(2.0, 1.0, 2.0), (1.0, 3.0, 1.0), (0.8, 1.0, 1.0)])
def test_parameters_of_asymmetric_samples_come_back(shape, left, right):
    """A side is chosen in proportion to its scale, which makes the density continuous at 0."""
    rng = np.random.default_rng(1)
    side_N = rng.random(400_000) < left / (left + right)
    value_N = rng.gamma(1 / shape, size=400_000) ** (1 / shape) * np.where(side_N, -left, right)
    got_shape, got_mean, got_left, got_right = fit_aggd(value_N)
    assert got_shape == pytest.approx(shape, rel=0.03)
    assert got_mean == pytest.approx(value_N.mean(), abs=0.02)
    assert np.sqrt(got_left / got_right) == pytest.approx(left / right, rel=0.02)


def test_there_are_36_finite_features_also_of_a_flat_image(photograph):
    for image in (photograph, np.full((16, 17, 3), 90, np.uint8)):
        feature_F = brisque_features(image)
        assert feature_F.shape == (36,)
        assert np.isfinite(feature_F).all()


def test_mirroring_swaps_the_diagonals_only(photograph):
    feature_F, mirrored_F = brisque_features(photograph), brisque_features(photograph[:, ::-1])
    assert mirrored_F[:10] == pytest.approx(feature_F[:10], rel=0.02)
    assert mirrored_F[10:14] == pytest.approx(feature_F[14:18], rel=0.05)


def test_normalised_luma_rises_in_spread_with_noise_and_falls_with_blur(photograph):
    from scipy.ndimage import gaussian_filter

    luma_HW = photograph @ np.array([0.299, 0.587, 0.114])
    noise_HW = np.random.default_rng(2).normal(size=luma_HW.shape)
    noisy = [fit_ggd(normalised_luma(luma_HW + sigma * noise_HW, edge="zeros").ravel())[1] for sigma in (0, 5, 15, 40)]
    blurred = [fit_ggd(normalised_luma(gaussian_filter(luma_HW, s), edge="zeros").ravel())[1] for s in (0.01, 1, 2, 4)]
    assert noisy == sorted(noisy)
    assert blurred == sorted(blurred, reverse=True)


@pytest.mark.parametrize(
    "wrong", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 3)), np.zeros((15, 40, 3), np.uint8)]
)
def test_what_is_no_image_or_too_small_is_refused(wrong):
    with pytest.raises(ValueError, match="image must be"):
        brisque_features(wrong)


def test_brisque_features_are_those_of_a_public_program():
    """piq 0.8.0 (github.com/photosynthesis-team/piq at 9948a52) on the bundled kodak-05, 768 x 512, Python 3.11:
    `torch.round(rgb2yiq(x)[:, :1])`, then `_natural_scene_statistics` at both sizes, as its `brisque` does. Its own
    tests hold the scores that follow from them to MATLAB's to 1e-4. It picks shapes from a grid with steps of 0.001,
    we interpolate; means depend on the shape, variances do not.
    """
    expected = [2.543, 0.324538]
    expected += [0.803, 0.087678, 0.069565, 0.156543, 0.804, 0.072697, 0.076955, 0.149562]
    expected += [0.741, -0.009852, 0.133719, 0.122820, 0.753, -0.007485, 0.125785, 0.117760]
    expected += [2.872, 0.374112]
    expected += [0.853, 0.065708, 0.113148, 0.187850, 0.852, 0.040813, 0.125204, 0.171510]
    expected += [0.816, -0.000876, 0.159002, 0.157958, 0.838, -0.050621, 0.185576, 0.126471]
    feature_F = brisque_features(load_image(next(path for path in list_photographs() if path.stem == "kodak-05")))
    is_shape_F = np.isin(np.arange(36) % 18, (0, 2, 6, 10, 14))
    np.testing.assert_allclose(feature_F[is_shape_F], np.array(expected)[is_shape_F], rtol=0, atol=5.1e-4)
    np.testing.assert_allclose(feature_F[~is_shape_F], np.array(expected)[~is_shape_F], rtol=0, atol=2e-5)


def test_half_size_is_that_of_a_public_program_also_of_odd_sides():
    """`imresize(x, 0.5)` of basicsr/utils/matlab_functions.py, github.com/XPixelGroup/BasicSR at 8d56e3a; float32."""
    from pondera.data.natural_statistics import _half

    expected = [
        [5.111557, 7.411636, 11.010406, 6.742401, 8.873779],
        [6.912857, 11.000061, 7.686493, 7.015091, 6.778808],
        [7.084824, 11.069733, 6.605560, 7.179642, 7.620483],
        [11.228653, 7.360367, 5.111603, 6.265991, 6.133178],
    ]
    value_HW = (np.arange(72.0) ** 2 % 17).reshape(8, 9)
    np.testing.assert_allclose(_half(value_HW), expected, rtol=0, atol=2e-6)


def test_flat_parts_are_zero_and_no_noise_that_counts_as_left_or_right():
    """Noise of the last digit, half of it below zero, used to share in the count that a variance is divided by."""
    luma_HW = np.full((40, 40), 77.0)
    luma_HW[:8] += np.random.default_rng(3).normal(size=(8, 40))
    assert (normalised_luma(luma_HW, edge="repeat")[12:] == 0).all()


def test_patch_features_are_those_of_a_public_program():
    """`compute_feature` of basicsr/metrics/niqe.py, github.com/XPixelGroup/BasicSR at 8d56e3a, Python 3.11, on the
    same 96 x 96 values. It picks shapes from a grid with steps of 0.001.
    """
    from pondera.data.natural_statistics import _patch_features

    rng = np.random.default_rng(0)
    value_HW = rng.laplace(size=(96, 96)) + 0.3 * rng.exponential(size=(96, 96))
    expected = [1.093, 1.196014]
    expected += [0.458, -0.059394, 0.133196, 0.126502, 0.48, 0.077308, 0.155831, 0.166638]
    expected += [0.442, -0.098712, 0.114387, 0.105032, 0.478, -0.013124, 0.156764, 0.154963]
    np.testing.assert_allclose(_patch_features(value_HW), expected, rtol=0, atol=1e-3)


def test_patches_run_row_by_row_and_the_rest_is_cut_off(photograph):
    """A smooth right half: of the 2 x 2 patches the second and the fourth are the less sharp ones."""
    image = photograph[:200, :220].copy()
    image[:, 96:] = 128
    feature_PF, sharpness_P = niqe_features(image)
    assert feature_PF.shape == (4, 36)
    assert np.isfinite(feature_PF).all()
    assert min(sharpness_P[[0, 2]]) > 10 * max(sharpness_P[[1, 3]])
    np.testing.assert_array_equal(niqe_features(image[:192, :192])[0], feature_PF)


@pytest.mark.parametrize("shape", [(95, 200, 3), (200, 95, 3)])
def test_an_image_without_a_whole_patch_is_refused(shape):
    with pytest.raises(ValueError, match="at least 96 x 96"):
        niqe_features(np.zeros(shape, np.uint8))
