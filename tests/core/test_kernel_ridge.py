"""Kernel ridge regression: against plain loops, at its limits, and the choice of its two constants."""

import math

import numpy as np
import pytest

from pondera.core.kernel_ridge import choose_kernel_ridge, fit_kernel_ridge


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    feature_MF = rng.normal(size=(60, 3)) * [1, 10, 0.1] + [0, 5, 2]
    return feature_MF, np.sin(feature_MF[:, 0]) + 0.1 * feature_MF[:, 1]


def test_predictions_are_those_of_a_plain_loop_and_a_plain_solver(data):
    feature_MF, label_M = data
    got_N = fit_kernel_ridge(feature_MF, label_M, width=1.5, ridge=0.2).predict(feature_MF[:5] + 0.01)
    z_MF = (feature_MF - feature_MF.mean(0)) / feature_MF.std(0)
    x_NF = (feature_MF[:5] + 0.01 - feature_MF.mean(0)) / feature_MF.std(0)

    def kernel(x_F, z_F):
        return math.exp(-sum((a - b) ** 2 for a, b in zip(x_F, z_F, strict=True)) / (2 * 1.5**2 * 3))

    kernel_MM = np.array([[kernel(x, z) for z in z_MF] for x in z_MF]) + 0.2 * np.eye(60)
    weight_M = np.linalg.solve(kernel_MM, label_M - label_M.mean())
    expected_N = [label_M.mean() + sum(kernel(x, z) * w for z, w in zip(z_MF, weight_M, strict=True)) for x in x_NF]
    np.testing.assert_allclose(got_N, expected_N, rtol=0, atol=1e-9)


def test_a_small_ridge_meets_every_label_and_a_large_one_gives_their_mean(data):
    feature_MF, label_M = data
    near = fit_kernel_ridge(feature_MF, label_M, width=0.5, ridge=1e-9).predict(feature_MF)
    far = fit_kernel_ridge(feature_MF, label_M, width=0.5, ridge=1e9).predict(feature_MF)
    np.testing.assert_allclose(near, label_M, atol=1e-5)
    np.testing.assert_allclose(far, label_M.mean(), atol=1e-5)


def test_units_of_a_feature_and_order_of_samples_change_nothing(data):
    feature_MF, label_M = data
    order = np.random.default_rng(1).permutation(60)
    one = fit_kernel_ridge(feature_MF, label_M, width=1.0, ridge=0.1).predict(feature_MF)
    scaled = feature_MF * [1000, 0.01, 7]
    two = fit_kernel_ridge(scaled[order], label_M[order], width=1.0, ridge=0.1).predict(scaled)
    np.testing.assert_allclose(one, two, atol=1e-9)


def test_a_feature_that_never_varies_does_no_harm(data):
    feature_MF, label_M = data
    flat = np.column_stack([feature_MF, np.full(60, 3.0)])
    assert np.isfinite(fit_kernel_ridge(flat, label_M, width=1.0, ridge=0.1).predict(flat)).all()


def test_the_choice_follows_the_contents_and_not_the_samples():
    """Ten copies of six contents with labels of pure noise: by samples, memorising would win; by contents it loses."""
    rng = np.random.default_rng(2)
    feature_MF = np.repeat(rng.normal(size=(6, 4)), 10, axis=0)
    label_M = np.repeat(rng.normal(size=6), 10)
    contents = [str(m // 10) for m in range(60)]
    assert choose_kernel_ridge(feature_MF, label_M, contents, widths=(0.5,), ridges=(1e-6, 1e6))[1] == 1e6
    by_sample = [str(m) for m in range(60)]
    assert choose_kernel_ridge(feature_MF, label_M, by_sample, widths=(0.5,), ridges=(1e-6, 1e6))[1] == 1e-6


def test_what_cannot_be_fitted_is_refused(data):
    feature_MF, label_M = data
    with pytest.raises(ValueError, match="must be > 0"):
        fit_kernel_ridge(feature_MF, label_M, width=0.0, ridge=1.0)
    with pytest.raises(ValueError, match="must be > 0"):
        fit_kernel_ridge(feature_MF, label_M, width=1.0, ridge=0.0)
    with pytest.raises(ValueError, match="as many labels"):
        fit_kernel_ridge(feature_MF, label_M[:-1], width=1.0, ridge=1.0)
    with pytest.raises(ValueError, match="two contents, got 1"):
        choose_kernel_ridge(feature_MF, label_M, ["one"] * 60)
