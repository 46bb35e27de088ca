"""Bias and inconsistency of subjects, estimated together: against a public program, and what it is for."""

import math

import numpy as np
import pytest

from pondera.core.opinions import mean_opinions
from pondera.core.subject_model import weigh_subjects

NAN = math.nan


def test_means_bias_and_inconsistency_are_those_of_the_public_program_of_p910():
    """`run_alternating_projection` of itut_p910_demo, github.com/Netflix/sureal at 526715c, on this table. With five
    subjects the last one ends with inconsistency 0 and decides alone.
    """
    opinion_NU = np.array(
        [[5, 5, 4, 2, 4], [5, 5, NAN, 4, 4], [3, 3, 2, 4, 3], [2, 3, 2, 1, 2], [NAN, 2, 1, 1, 1], [2, 2, 2, 1, 2],
         [3, 2, 3, 4, 2], [1, 1, 1, 1, 1]]
    )  # fmt: skip
    got = weigh_subjects(opinion_NU)
    expected_N = [4.160714, 4.160714, 3.160714, 2.160714, 1.160714, 2.160714, 2.160714, 1.160714]
    np.testing.assert_allclose(got.means.mos_N, expected_N, atol=1e-6)
    np.testing.assert_allclose(got.bias_U, [0.267857, 0.339286, -0.160714, -0.285714, -0.160714], atol=1e-6)
    np.testing.assert_allclose(got.inconsistency_U, [0.494872, 0.5, 0.534522, 1.165922, 0.0], atol=1e-6)


@pytest.fixture
def panel():
    """24 subjects with known bias and noise, three of them careless, on 60 stimuli; a tenth of the opinions missing."""
    rng = np.random.default_rng(0)
    truth_N, bias_U = rng.uniform(1.5, 4.5, 60), rng.normal(0, 0.4, 24)
    noise_U = np.where(np.arange(24) < 3, 2.0, 0.4)
    opinion_NU = truth_N[:, None] + bias_U - bias_U.mean() + rng.normal(size=(60, 24)) * noise_U
    opinion_NU[rng.random((60, 24)) < 0.1] = NAN
    return opinion_NU, truth_N, bias_U - bias_U.mean(), noise_U


def test_bias_and_noise_come_back_and_the_means_are_nearer_to_the_truth(panel):
    opinion_NU, truth_N, bias_U, noise_U = panel
    got = weigh_subjects(opinion_NU)
    assert np.abs(got.bias_U - bias_U)[3:].max() < 0.25
    np.testing.assert_allclose(got.inconsistency_U, noise_U, rtol=0.35)
    error, plain = (np.std(mos_N - truth_N) for mos_N in (got.means.mos_N, mean_opinions(opinion_NU).mos_N))
    assert error < 0.7 * plain


def test_the_order_of_stimuli_and_subjects_changes_nothing(panel):
    opinion_NU, *_ = panel
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(60), rng.permutation(24)
    got, other = weigh_subjects(opinion_NU), weigh_subjects(opinion_NU[rows][:, columns])
    np.testing.assert_allclose(other.means.mos_N, got.means.mos_N[rows], atol=1e-9)
    np.testing.assert_allclose(other.bias_U, got.bias_U[columns], atol=1e-9)


def test_who_gave_no_opinion_and_what_nobody_rated_are_nan_and_spoil_nothing(panel):
    opinion_NU, *_ = panel
    holes = np.pad(opinion_NU, ((0, 1), (0, 1)), constant_values=NAN)
    got, other = weigh_subjects(opinion_NU), weigh_subjects(holes)
    np.testing.assert_allclose(other.means.mos_N[:-1], got.means.mos_N, atol=1e-9)
    assert math.isnan(other.means.mos_N[-1])
    assert math.isnan(other.bias_U[-1])
    assert other.means.count_N[-1] == 0


def test_the_interval_is_that_of_opinions_without_bias(panel):
    opinion_NU, *_ = panel
    got = weigh_subjects(opinion_NU)
    rest = opinion_NU[0] - got.bias_U
    rest = rest[np.isfinite(rest)] - got.means.mos_N[0]
    assert got.means.std_N[0] == pytest.approx(math.sqrt((rest**2).sum() / (len(rest) - 1)))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="stimuli, subjects"):
        weigh_subjects(np.zeros(3))
    with pytest.raises(ValueError, match="confidence"):
        weigh_subjects(np.eye(3), confidence=1.0)
