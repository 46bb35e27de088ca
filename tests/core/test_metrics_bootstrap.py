"""Intervals and the paired test."""

import math

import numpy as np
import pytest
import scipy.stats

from pondera.core.bootstrap import (
    Ties,
    bootstrap_correlations,
    bootstrap_mean,
    cluster_index,
    moments,
    percentile_interval,
    resample_weights,
    sign_p_value,
    weighted_plcc,
    weighted_srcc,
)
from pondera.core.metrics import compare_groups, summarise


def test_weighted_correlations_equal_scipy_on_the_repeated_rows():
    rng = np.random.default_rng(0)
    score_N, mos_N = rng.normal(size=60).round(1), rng.normal(size=60).round(1)
    weight_BN = next(resample_weights(60, None, num_resamples=5, seed=1))
    rank_B = weighted_srcc(weight_BN, Ties.of(score_N), Ties.of(mos_N))
    linear_B = weighted_plcc(weight_BN, moments(score_N, mos_N))
    for weight_N, rank, linear in zip(weight_BN.astype(int), rank_B, linear_B, strict=True):
        score, mos = np.repeat(score_N, weight_N), np.repeat(mos_N, weight_N)
        assert rank == pytest.approx(scipy.stats.spearmanr(score, mos).statistic, abs=1e-12)
        assert linear == pytest.approx(scipy.stats.pearsonr(score, mos).statistic, abs=1e-12)


def test_clusters_are_drawn_whole():
    cluster_N = cluster_index(["b", "a", "b", "c"], 4)
    assert cluster_N.tolist() == [1, 0, 1, 2]
    weight_BN = np.concatenate(list(resample_weights(4, cluster_N, num_resamples=100, seed=0)))
    assert (weight_BN[:, 0] == weight_BN[:, 2]).all()
    assert (weight_BN[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_one_content_per_row_is_the_plain_bootstrap():
    assert cluster_index(["x", "y", "z"], 3) is None
    with pytest.raises(ValueError, match="one cluster per row"):
        cluster_index(["x"], 3)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    rng = np.random.default_rng(0)
    score, mos = rng.normal(size=50), rng.normal(size=50)
    one, two, three = (summarise(score, mos, num_resamples=100, seed=seed)["srcc_ci"] for seed in (1, 1, 2))
    assert one == two != three


def test_a_resample_in_which_all_rows_are_equal_is_left_out():
    value_B = bootstrap_correlations(np.array([0.0, 1.0]), np.array([0.0, 1.0]), num_resamples=100)["srcc"]
    assert np.isnan(value_B).any()
    assert percentile_interval(value_B) == [1.0, 1.0]
    assert all(math.isnan(edge) for edge in percentile_interval(np.array([math.nan])))


def _clustered_rows(rng, num_clusters=25, size=16):
    """Every content shifts its scores and its labels: rows of one content say nearly the same thing."""
    content = rng.normal(size=num_clusters).repeat(size)
    wrong = rng.normal(size=num_clusters).repeat(size)
    score = content + wrong + 0.2 * rng.normal(size=content.size)
    return score, content + 0.2 * rng.normal(size=content.size), np.arange(num_clusters).repeat(size)


def test_the_naive_interval_is_too_narrow_where_contents_repeat():
    """True PLCC of the simulation: 1 / sqrt((2 + 0.04) (1 + 0.04)) = 0.6866; 60 fresh data sets of 25 contents x 16."""
    truth, rng = 1 / math.sqrt(2.04 * 1.04), np.random.default_rng(4)
    hits = {"clustered": 0, "naive": 0}
    for _ in range(60):
        score, mos, cluster_N = _clustered_rows(rng)
        for name, clusters in (("clustered", cluster_N), ("naive", None)):
            value_B = bootstrap_correlations(score, mos, cluster_N=clusters, num_resamples=200)["plcc"]
            low, high = percentile_interval(value_B)
            hits[name] += low <= truth <= high
    assert hits["clustered"] >= 50
    assert hits["naive"] <= 36


def test_paired_difference_is_tighter_than_the_difference_of_two_intervals():
    rng = np.random.default_rng(5)
    mos = rng.uniform(1, 5, 300)
    shared = rng.normal(size=300)
    first, second = mos + 1.2 * shared + 0.1 * rng.normal(size=300), mos + 1.05 * shared + 0.1 * rng.normal(size=300)
    result = compare_groups(first, second, mos)["srcc"]
    apart = summarise(first, mos)["srcc_ci"][1] - summarise(second, mos)["srcc_ci"][0]
    assert result["ci"][0] > 0
    assert result["p"] < 0.01
    assert apart > 0  # the two intervals overlap; only the paired test sees the difference
    assert result["difference"] == pytest.approx(result["second"] - result["first"])


def test_a_model_compared_with_itself_differs_by_nothing():
    rng = np.random.default_rng(6)
    mos, score = rng.uniform(1, 5, 50), rng.uniform(1, 5, 50)
    result = compare_groups(score, score, mos, num_resamples=100)
    assert result["srcc"]["difference"] == 0
    assert result["srcc"]["ci"] == [0.0, 0.0]
    assert result["plcc"]["p"] == 1.0


def test_paired_test_drops_rows_that_one_model_could_not_score_and_counts_them():
    rng = np.random.default_rng(7)
    mos = rng.uniform(1, 5, 50)
    first, second = mos.copy(), mos.copy()
    first[3], second[8], mos[9] = math.nan, math.inf, math.nan
    result = compare_groups(first, second, mos, num_resamples=50)
    assert (result["n"], result["n_dropped"]) == (47, 2)


def test_paired_test_does_not_depend_on_row_order_and_averages_datasets():
    rng = np.random.default_rng(8)
    mos, first, second = rng.uniform(1, 5, 80), rng.uniform(1, 5, 80), rng.uniform(1, 5, 80)
    dataset, cluster = ["a", "b"] * 40, [f"c{i // 4}" for i in range(80)]
    order = rng.permutation(80)
    one = compare_groups(first, second, mos, dataset=dataset, cluster=cluster, num_resamples=100)
    two = compare_groups(
        first[order],
        second[order],
        mos[order],
        dataset=[dataset[i] for i in order],
        cluster=[cluster[i] for i in order],
        num_resamples=100,
    )
    assert two["srcc"]["ci"] == pytest.approx(one["srcc"]["ci"], abs=1e-12)
    assert two["srcc"]["first"] == pytest.approx(one["srcc"]["first"], abs=1e-12)


def test_paired_test_of_each_dataset_is_that_of_its_rows_alone():
    rng = np.random.default_rng(9)
    mos, first, second = rng.uniform(1, 5, 80), rng.uniform(1, 5, 80), rng.uniform(1, 5, 80)
    first[3] = math.nan
    dataset = np.array(["a", "b"] * 40)
    together = compare_groups(first, second, mos, dataset=list(dataset), num_resamples=100)
    assert list(together["datasets"]) == ["a", "b"]
    assert [found["n"] for found in together["datasets"].values()] == [40, 39]
    for name, found in together["datasets"].items():
        own = dataset == name
        alone = compare_groups(first[own], second[own], mos[own], dataset=[name] * 40, num_resamples=100)
        assert {key: found[key] for key in ("srcc", "plcc")} == {key: alone[key] for key in ("srcc", "plcc")}
        assert alone["datasets"][name]["srcc"] == alone["srcc"]


def test_paired_test_of_a_constant_model_is_undefined_not_a_crash():
    result = compare_groups([3.0] * 20, np.arange(20.0), np.arange(20.0), num_resamples=50)
    assert math.isnan(result["srcc"]["difference"])
    assert math.isnan(result["srcc"]["p"])
    assert compare_groups([math.nan], [1.0], [2.0])["n"] == 0


def test_p_is_never_zero_and_one_where_signs_balance():
    assert sign_p_value(np.full(99, 0.5)) == pytest.approx(2 / 100)
    assert sign_p_value(np.array([-1.0, 1.0] * 50)) == 1.0
    assert math.isnan(sign_p_value(np.array([math.nan])))


def test_bootstrap_mean_centres_on_the_mean_and_an_empty_column_has_none():
    value_B = bootstrap_mean([0.0, 1.0] * 100, num_resamples=500)
    assert value_B.mean() == pytest.approx(0.5, abs=0.01)
    assert value_B.std() == pytest.approx(0.5 / math.sqrt(200), rel=0.15)
    assert bootstrap_mean([]).size == 0


def test_large_inputs_are_resampled_in_chunks():
    chunks = list(resample_weights(400_000, None, num_resamples=3, seed=0))
    assert [chunk.shape[0] for chunk in chunks] == [2, 1]
