"""The fits against an independent optimiser: SciPy's least squares on all parameters at once, from many starts."""

import math

import numpy as np
import pytest
from scipy.optimize import least_squares

from pondera.core.metrics import fit_logistic, plcc


def _four(beta, x):
    z = np.clip((x - beta[2]) / (abs(beta[3]) + 1e-12), -500, 500)
    return beta[1] + (beta[0] - beta[1]) / (1 + np.exp(-z))


def _five(beta, x):
    z = np.clip(beta[1] * (x - beta[2]), -500, 500)
    return beta[0] * (0.5 - 1 / (1 + np.exp(z))) + beta[3] * x + beta[4]


def _independent_plcc(x, y, num_parameters, steepest=0.0):
    """All parameters at once, any bend, or none sharper than `steepest` in standard deviations of the scores."""
    steepest, free = steepest * np.std(x), [-np.inf, np.inf]
    if num_parameters == 4:
        curve, bounds = _four, [free, free, free, [steepest, np.inf] if steepest else free]
    else:
        curve, bounds = _five, [free, [0, 1 / steepest] if steepest else free, free, free, free]
    best = (math.inf, None)
    for centre in np.quantile(x, [0.1, 0.4, 0.6, 0.9]):
        for scale in np.std(x) * np.array([0.06, 0.3, 1.5]):
            if num_parameters == 4:
                start = [y.max(), y.min(), centre, scale]
            else:
                start = [np.ptp(y), 1 / scale, centre, 0.0, y.mean()]
            result = least_squares(
                lambda beta: curve(beta, x) - y,
                start,
                bounds=list(zip(*bounds, strict=True)),
                x_scale="jac",
                max_nfev=300,
            )
            best = min(best, (result.cost, plcc(curve(result.x, x), y)), key=lambda pair: pair[0])
    return best[1]


def _shape(name, rng, n=400):
    """Scores of the kinds that published metrics give for labels 1 to 5."""
    mos = rng.uniform(1, 5, n)
    noise = rng.normal(size=n)
    return {
        "sigmoid": (_four([4.8, 1.2, 0.0, 0.6], x := rng.normal(size=n)) + 0.2 * noise, x),
        "falling distance": (mos, np.exp(-(mos - 1) / 1.5) + 0.03 * noise),
        "saturated similarity": (mos, 1 - np.exp(-mos) + 0.004 * noise),
        "decibels": (mos, 20 + 5 * mos + 2.5 * noise),
        "half of a curve": (_four([5, 1, 2.0, 0.7], x2 := rng.uniform(-1, 2, n)) + 0.1 * noise, x2),
        "cubic": (3 + (mos - 3) ** 3 / 4 + 0.2 * noise, mos),
        "skewed": (mos, np.exp(mos / 1.2) * np.exp(0.1 * noise)),
        "two levels of noise": (mos, mos + 0.6 * noise * (mos > 3) + 0.1 * noise),
        "answers in half steps": (mos, np.round(2 * np.clip(mos + 0.5 * noise, 1, 5)) / 2),
        "loose cloud": (mos, mos + 1.5 * noise),
    }[name]


_SHAPES = [
    "sigmoid",
    "falling distance",
    "saturated similarity",
    "decibels",
    "half of a curve",
    "cubic",
    "skewed",
    "two levels of noise",
    "answers in half steps",
    "loose cloud",
]
_CASES = [(name, k) for name in _SHAPES for k in (4, 5)]
_STEP = ("loose cloud", 5)  # the one case where an optimiser without bounds ends in a step between neighbouring scores


@pytest.mark.parametrize(("name", "num_parameters"), _CASES)
def test_fit_agrees_with_an_independent_optimiser_of_the_same_bound(name, num_parameters):
    mos, score = _shape(name, np.random.default_rng(11))
    fit = fit_logistic(score, mos, num_parameters=num_parameters)
    assert fit.converged
    assert fit.plcc == pytest.approx(_independent_plcc(score, mos, num_parameters, steepest=0.05), abs=1e-4)


@pytest.mark.parametrize(("name", "num_parameters"), [case for case in _CASES if case != _STEP])
def test_fit_agrees_with_an_independent_optimiser_without_bounds(name, num_parameters):
    mos, score = _shape(name, np.random.default_rng(11))
    fit = fit_logistic(score, mos, num_parameters=num_parameters)
    assert fit.plcc == pytest.approx(_independent_plcc(score, mos, num_parameters), abs=1e-4)


def test_the_one_fit_that_meets_its_bound_says_so():
    """Without it a bend of 0.0065 standard deviations, narrower than the gaps between scores, gains 0.0013."""
    mos, score = _shape(_STEP[0], np.random.default_rng(11))
    fit = fit_logistic(score, mos, num_parameters=_STEP[1])
    assert "as steep as the search allows" in fit.note
    assert _independent_plcc(score, mos, _STEP[1]) == pytest.approx(fit.plcc + 0.0013, abs=1e-4)


def test_four_parameters_recover_the_curve_that_made_the_labels():
    x = np.linspace(-3, 4, 300)
    fit = fit_logistic(x, _four([80, 10, 0.5, 0.8], x))
    np.testing.assert_allclose(fit.beta, [80, 10, 0.5, 0.8], rtol=1e-5)
    assert fit.plcc == pytest.approx(1.0, abs=1e-12)


def test_five_parameters_recover_the_curve_that_made_the_labels():
    x = np.linspace(0, 10, 300)
    fit = fit_logistic(x, _five([4.0, 1.7, 6.0, 0.3, 2.0], x), num_parameters=5)
    np.testing.assert_allclose(fit.beta, [4.0, 1.7, 6.0, 0.3, 2.0], rtol=1e-4)


@pytest.mark.parametrize("num_parameters", [4, 5])
def test_published_parameters_and_predict_give_the_fitted_values(num_parameters):
    mos, score = _shape("half of a curve", np.random.default_rng(3))
    fit = fit_logistic(score, mos, num_parameters=num_parameters)
    curve = _four if num_parameters == 4 else _five
    np.testing.assert_allclose(fit.predict(score), fit.fitted_N, atol=1e-9)
    np.testing.assert_allclose(curve(fit.beta, score), fit.fitted_N, atol=1e-6)


def test_fit_does_not_depend_on_the_order_of_the_rows_or_the_scale_of_the_scores():
    mos, score = _shape("sigmoid", np.random.default_rng(5))
    order = np.random.default_rng(0).permutation(score.size)
    fit = fit_logistic(score, mos)
    assert fit_logistic(score[order], mos[order]).plcc == pytest.approx(fit.plcc, abs=1e-10)
    assert fit_logistic(score * 1000 - 7, mos).plcc == pytest.approx(fit.plcc, abs=1e-8)


def test_a_fit_is_never_worse_than_the_straight_line():
    rng = np.random.default_rng(9)
    score = rng.normal(size=500)
    mos = 2 * score + rng.normal(size=500)
    fit = fit_logistic(score, mos)
    assert fit.plcc >= plcc(score, mos) - 1e-5
    assert "straight" in fit.note or fit.plcc > plcc(score, mos)


def test_a_falling_curve_has_a_positive_plcc_and_says_that_it_falls():
    mos, score = _shape("falling distance", np.random.default_rng(1))
    fit = fit_logistic(score, mos)
    assert plcc(score, mos) < 0 < fit.plcc
    assert "falls" in fit.note


@pytest.mark.parametrize(
    ("score", "mos"),
    [([1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6]), ([1, 2, 3], [1, 2, 3]), ([1, 2, 3, 4, 5, math.nan], [1, 2, 3, 4, 5, 6])],
)
def test_a_fit_that_cannot_be_made_is_reported_not_raised(score, mos):
    fit = fit_logistic(score, mos)
    assert not fit.converged
    assert math.isnan(fit.plcc)
    assert fit.note
    assert fit.beta == ()
    assert np.isnan(fit.predict([1.0, 2.0])).all()


def test_six_parameters_are_refused():
    with pytest.raises(ValueError, match="4 or 5"):
        fit_logistic([1, 2], [1, 2], num_parameters=6)


def test_fit_of_many_rows_uses_neighbour_means_to_start_and_all_rows_to_end():
    rng = np.random.default_rng(2)
    score = rng.normal(size=20_000)
    mos = _four([5, 1, 0.3, 0.4], score) + 0.3 * rng.normal(size=20_000)
    assert fit_logistic(score, mos).beta == pytest.approx((5, 1, 0.3, 0.4), abs=0.05)


def test_two_valued_scores_do_not_break_the_fit():
    fit = fit_logistic([1, 1, 1, 2, 2, 2], [1, 2, 1, 4, 5, 4])
    assert fit.plcc == pytest.approx(plcc([1, 1, 1, 2, 2, 2], [1, 2, 1, 4, 5, 4]), abs=1e-9)
