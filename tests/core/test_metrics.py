"""Correlations, pairs and summaries."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pondera.core import metrics
from pondera.core.kendall import agreements, krcc_interval, krcc_with_error


def _tied_rows(seed, n=200, step=1):
    rng = np.random.default_rng(seed)
    score_N = rng.normal(size=n)
    mos_N = score_N + rng.normal(size=n)
    return score_N.round(step), mos_N.round(step)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [0, 1, 9])
def test_correlations_equal_scipy_with_and_without_ties(seed, step):
    score_N, mos_N = _tied_rows(seed, step=step)
    assert metrics.srcc(score_N, mos_N) == pytest.approx(scipy.stats.spearmanr(score_N, mos_N).statistic, abs=1e-12)
    assert metrics.plcc(score_N, mos_N) == pytest.approx(scipy.stats.pearsonr(score_N, mos_N).statistic, abs=1e-12)
    assert metrics.krcc(score_N, mos_N) == pytest.approx(scipy.stats.kendalltau(score_N, mos_N).statistic, abs=1e-12)


def test_ranks_equal_scipy_and_share_ties():
    value_N = [3.0, 1.0, 3.0, 2.0, 3.0]
    assert metrics.ranks(value_N).tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]
    assert metrics.ranks([]).size == 0


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=25))
def test_agreements_equal_the_plain_double_loop(rows):
    x_N, y_N = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    expected = [sum(np.sign(a - c) * np.sign(b - d) for c, d in rows) for a, b in rows]
    assert agreements(x_N, y_N).tolist() == expected


def test_pairwise_accuracy_counts_a_tied_score_as_half_and_skips_tied_labels():
    """Pairs with different labels: (1,2) right, (1,3) right, (2,3) tied score, so 2.5 / 3; labels 3, 3 are skipped."""
    assert metrics.pairwise_accuracy([1, 2, 2], [1, 2, 3]) == pytest.approx(2.5 / 3)
    assert metrics.pairwise_accuracy([1, 9], [3, 3]) != metrics.pairwise_accuracy([1, 9], [3, 3])  # NaN
    assert metrics.pairwise_accuracy([2, 2, 2], [1, 2, 3]) == 0.5


def test_correlation_does_not_lose_digits_on_tiny_or_shifted_scores():
    score_N, mos_N = _tied_rows(3, step=9)
    expected = metrics.plcc(score_N, mos_N)
    assert metrics.plcc(score_N * 1e-200, mos_N) == pytest.approx(expected, abs=1e-12)
    assert metrics.plcc(score_N + 1e4, mos_N) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("score", [[2.0, 2.0, 2.0], [math.nan, 1.0, 2.0], [1.0, math.inf, 2.0]])
def test_constant_or_nan_scores_give_nan_not_a_crash(score):
    mos = [1.0, 2.0, 3.0]
    assert math.isnan(metrics.srcc(score, mos))
    assert math.isnan(metrics.plcc(score, mos))
    assert math.isnan(metrics.krcc(score, mos))


@pytest.mark.parametrize("function", [metrics.srcc, metrics.plcc, metrics.krcc, metrics.rmse, metrics.summarise])
def test_lists_of_different_length_are_refused(function):
    with pytest.raises(ValueError, match="one length"):
        function([1.0, 2.0], [1.0, 2.0, 3.0])


def test_outlier_ratio_uses_twice_the_std_or_the_standard_error():
    """Errors 0.5 and 1.5, std 0.5: the threshold is 1.0; with 25 votes the standard error is 0.1, threshold 0.2."""
    assert metrics.outlier_ratio([1.5, 3.5], [1.0, 2.0], [0.5, 0.5]) == 0.5
    assert metrics.outlier_ratio([1.5, 3.5], [1.0, 2.0], [0.5, 0.5], votes_N=[25, 25]) == 1.0
    assert metrics.outlier_ratio([1.5, 3.5], [1.0, 2.0], [0.5, math.nan]) == 0.0
    assert math.isnan(metrics.outlier_ratio([1.5], [1.0], [math.nan]))


def test_krcc_error_agrees_with_the_spread_over_fresh_samples():
    rng = np.random.default_rng(7)
    taus, errors = [], []
    for _ in range(200):
        score_N = rng.normal(size=80)
        tau, error = krcc_with_error(score_N, (score_N + rng.normal(size=80)).round(1))
        taus.append(tau)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(taus), rel=0.15)


def test_krcc_interval_stays_inside_the_range_and_closes_at_one():
    low, high = krcc_interval(0.97, 0.05)
    assert -1 < low < 0.97 < high < 1
    assert krcc_interval(1.0, 0.0) == [1.0, 1.0]


def test_summary_has_the_documented_keys_and_finite_numbers():
    score_N, mos_N = _tied_rows(1)
    summary = metrics.summarise(score_N, mos_N, mos_std=np.full(200, 0.5), num_resamples=100)
    for key in ("srcc", "plcc", "plcc_4p", "plcc_5p", "krcc", "rmse"):
        low, high = summary[f"{key}_ci"]
        assert low < summary[key] < high
    assert summary["n"] == summary["n_clusters"] == 200
    assert summary["n_invalid"] == 0
    assert 0 <= summary["outlier_ratio"] <= 1
    assert 0.5 < summary["pairwise_accuracy"] < 1


def test_summary_does_not_depend_on_the_order_of_the_rows():
    score_N, mos_N = _tied_rows(2)
    cluster_N = [f"c{i % 40}" for i in range(200)]
    order = np.random.default_rng(0).permutation(200)
    for clusters in (None, cluster_N):
        one = metrics.summarise(score_N, mos_N, cluster=clusters, num_resamples=50)
        shuffled = None if clusters is None else [clusters[i] for i in order]
        two = metrics.summarise(score_N[order], mos_N[order], cluster=shuffled, num_resamples=50)
        for key, value in metrics.jsonable(one).items():
            assert metrics.jsonable(two)[key] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-12))


def test_summary_counts_invalid_and_unlabelled_rows_and_leaves_them_out():
    score_N, mos_N = _tied_rows(4)
    clean = metrics.summarise(score_N, mos_N, num_resamples=20)
    dirty = metrics.summarise([*score_N, math.nan, math.inf, 3.0], [*mos_N, 1.0, 2.0, math.nan], num_resamples=20)
    assert (dirty["n"], dirty["n_invalid"], dirty["n_unlabelled"]) == (200, 2, 1)
    assert dirty["srcc"] == clean["srcc"]
    assert any("without a valid score" in note for note in dirty["notes"])


def test_constant_scores_have_a_stated_outcome():
    summary = metrics.summarise([3.0] * 10, np.arange(10.0))
    assert math.isnan(summary["srcc"])
    assert all(math.isnan(edge) for edge in summary["srcc_ci"])
    assert summary["rmse"] == pytest.approx(np.std(np.arange(10.0)))
    assert summary["pairwise_accuracy"] == 0.5
    assert any("all scores are equal" in note for note in summary["notes"])


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_have_a_stated_outcome(rows):
    summary = metrics.summarise([1.0] * rows, [2.0] * rows)
    assert summary["n"] == rows
    assert math.isnan(summary["srcc"])
    assert summary["notes"]


def test_only_invalid_scores_have_a_stated_outcome():
    summary = metrics.summarise([math.nan] * 5, np.arange(5.0), cluster=list("aabbc"))
    assert (summary["n"], summary["n_invalid"]) == (0, 5)
    assert math.isnan(summary["plcc_4p"])


def test_a_single_content_gets_no_interval():
    score_N, mos_N = _tied_rows(5, n=20)
    summary = metrics.summarise(score_N, mos_N, cluster=["one"] * 20)
    assert math.isfinite(summary["srcc"])
    assert math.isnan(summary["srcc_ci"][0])
    assert math.isnan(summary["krcc_ci"][0])


def test_groups_average_datasets_and_never_pool_their_scales():
    """Two sets on scales 1..5 and 0..100: pooled SRCC would be high for any scores that tell the sets apart."""
    score_N, mos_N = _tied_rows(6)
    score = np.concatenate([score_N, score_N * 20 + 50])
    mos = np.concatenate([mos_N, mos_N[::-1] * 20 + 50])
    groups = metrics.summarise_groups(score, mos, dataset=["a"] * 200 + ["b"] * 200, num_resamples=50)
    values = [groups["datasets"][name]["srcc"] for name in "ab"]
    assert groups["overall"]["srcc"] == pytest.approx(np.mean(values))
    assert groups["overall"]["n"] == 400
    low, high = groups["overall"]["srcc_ci"]
    assert low < groups["overall"]["srcc"] < high
    assert high - low < np.diff(groups["datasets"]["b"]["srcc_ci"])[0]


def test_groups_report_named_subsets_and_one_dataset_is_its_own_overall():
    score_N, mos_N = _tied_rows(8)
    subset = ["phone", "camera", None, ""] * 50
    groups = metrics.summarise_groups(score_N, mos_N, subset=subset, num_resamples=20)
    assert set(groups["subsets"]) == {"default/camera", "default/phone"}
    assert groups["subsets"]["default/phone"]["n"] == 50
    assert groups["overall"]["srcc"] == groups["datasets"]["default"]["srcc"]


def test_distribution_distances_match_hand_computation():
    """p = (1/2, 1/2, 0) votes, q = (1/4, 1/4, 1/2): KL = ln 2; EMD = 1/4 + 1/2; JS by scipy."""
    predicted, votes = [[1.0, 1.0, 2.0]], [[5.0, 5.0, 0.0]]
    assert metrics.kl_divergence(predicted, votes, eps=1e-12)[0] == pytest.approx(math.log(2), abs=1e-9)
    assert metrics.wasserstein_distance(predicted, votes)[0] == pytest.approx(0.75)
    from scipy.spatial.distance import jensenshannon

    expected = jensenshannon([0.25, 0.25, 0.5], [0.5, 0.5, 0.0]) ** 2
    assert metrics.js_divergence(predicted, votes)[0] == pytest.approx(expected)
    assert metrics.wasserstein_distance(predicted, votes, spacing=25.0)[0] == pytest.approx(18.75)


def test_distribution_distances_of_equal_histograms_are_zero_and_of_disjoint_ones_finite():
    same = [[1.0, 2.0, 3.0]]
    assert metrics.kl_divergence(same, same)[0] == pytest.approx(0, abs=1e-5)
    assert metrics.js_divergence(same, same)[0] == 0
    assert metrics.js_divergence([[1, 0]], [[0, 1]])[0] == pytest.approx(math.log(2))
    assert math.isfinite(metrics.kl_divergence([[1, 0]], [[0, 1]])[0])


@pytest.mark.parametrize("bad", [[[0.0, 0.0]], [[-1.0, 2.0]], [[math.nan, 1.0]]])
def test_a_histogram_without_votes_is_refused(bad):
    with pytest.raises(ValueError, match="row 0 is no histogram"):
        metrics.js_divergence([[0.5, 0.5]], bad)


def test_jsonable_turns_nan_into_null():
    assert metrics.jsonable({"a": math.nan, "b": [np.float64(1.0), np.int64(2)]}) == {"a": None, "b": [1.0, 2]}


@pytest.mark.parametrize(("num_rows", "has"), [(4, False), (5, True)])
def test_a_handful_of_contents_has_no_interval(num_rows, has):
    found = metrics.summarise([1.0, 2.0, 4.0, 3.0, 5.0][:num_rows], [1.0, 2.0, 3.0, 4.0, 5.0][:num_rows])
    for name in ("srcc", "plcc", "krcc", "rmse"):
        assert math.isfinite(found[f"{name}_ci"][0]) is has, name
    assert any("no interval" in note for note in found["notes"]) is not has
    assert any("follow single ones" in note for note in found["notes"])


def test_a_set_with_few_contents_leaves_the_mean_and_the_difference_without_interval():
    order = [float(i) for i in range(12)]
    dataset = ["large"] * 9 + ["small"] * 3
    found = metrics.summarise_groups(order, order[::-1], dataset=dataset)
    assert all(math.isnan(found["overall"][f"{name}_ci"][0]) for name in ("srcc", "plcc", "krcc"))
    worse = [*order[1:9], 0.0, *order[9:]]
    compared = metrics.compare_groups(order, worse, order, dataset=dataset)
    assert math.isnan(compared["srcc"]["p"]) and math.isnan(compared["datasets"]["small"]["srcc"]["ci"][0])
    assert math.isfinite(compared["datasets"]["large"]["srcc"]["ci"][0])
