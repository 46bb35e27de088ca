"""Runs, tables on disk, comparisons."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from pondera.core.records import FIVE_POINT
from pondera.errors import DatasetError
from pondera.evaluate import (
    compare_systems,
    evaluate,
    load_evaluation,
    mean_predictor,
    measure,
    read_predictions,
    write_predictions,
)


def test_scores_arrive_on_the_scale_of_the_labels(samples, make_assess):
    run = evaluate(samples, make_assess(0.0), name="oracle", num_resamples=20)
    assert [row["score"] for row in run.rows] == pytest.approx([sample.mos for sample in samples])
    assert run.rows[0]["spread"] == pytest.approx(12.5)  # 0.5 of 4 on a scale of 100
    assert run.metrics["overall"]["srcc"] == pytest.approx(1.0)


def test_metrics_are_scipys_and_intervals_are_clustered_by_content(samples, make_assess):
    run = evaluate(samples, make_assess(1.0), name="noisy", num_resamples=50)
    score, mos = [row["score"] for row in run.rows], [row["mos"] for row in run.rows]
    assert run.metrics["overall"]["srcc"] == pytest.approx(scipy.stats.spearmanr(score, mos).statistic, abs=1e-12)
    assert run.metrics["overall"]["n_clusters"] == 30
    assert set(run.metrics["subsets"]) == {"sim/day", "sim/night"}
    assert run.protocol["num_contents"] == 30


def test_inputs_are_paths_in_batches_and_whole_samples_on_request(samples, make_assess):
    seen, progress = [], []
    assess = make_assess(1.0)

    def spy(inputs):
        seen.append(list(inputs))
        return assess([item if isinstance(item, str) else item.path() for item in inputs])

    evaluate(samples, spy, name="x", batch_size=50, num_resamples=0, on_progress=lambda *done: progress.append(done))
    assert [len(batch) for batch in seen] == [50, 50, 20]
    assert seen[0][0] == "images/0.png"
    assert progress[-1] == (120, 120)
    evaluate(samples, spy, name="x", whole_samples=True, num_resamples=0)
    assert seen[-1][-1] == samples[-1]


def test_batch_size_does_not_change_the_result(samples, make_assess):
    one = evaluate(samples, make_assess(1.0), name="x", batch_size=7, num_resamples=50)
    two = evaluate(samples, make_assess(1.0), name="x", num_resamples=50)
    assert one.metrics["overall"]["srcc_ci"] == two.metrics["overall"]["srcc_ci"]


def test_worst_case_metrics_give_an_invalid_answer_the_lowest_score(samples, make_assess):
    run = evaluate(samples, make_assess(0.5, drop_every=10), name="x", num_resamples=20)
    score = [row["score"] if row["valid"] else 0.0 for row in run.rows]
    expected = scipy.stats.spearmanr(score, [row["mos"] for row in run.rows]).statistic
    worst = run.metrics["worst_case"]["overall"]
    assert worst["srcc"] == pytest.approx(expected, abs=1e-12)
    assert (worst["n"], worst["n_invalid"], run.metrics["overall"]["n"]) == (120, 0, 108)
    assert worst["srcc"] < run.metrics["overall"]["srcc"]


def test_without_invalid_answers_both_conventions_are_one(samples, make_assess):
    metrics = evaluate(samples, make_assess(0.5), name="x", num_resamples=20).metrics
    assert metrics["worst_case"]["datasets"] == metrics["datasets"]


def test_invalid_answers_are_counted_never_replaced(samples, make_assess):
    run = evaluate(samples, make_assess(0.5, drop_every=10), name="x", num_resamples=20)
    assert run.protocol["n_invalid"] == run.metrics["overall"]["n_invalid"] == 12
    assert run.protocol["invalid_rate"] == pytest.approx(0.1)
    assert math.isnan(run.rows[0]["score"])
    assert run.rows[0]["error"] == "no answer block"


def test_unlabelled_samples_stay_in_the_table_and_out_of_the_metrics(samples, make_assess):
    bare = [replace(samples[0], mos=None, mos_std=None, scale=None), *samples[1:]]
    run = evaluate(bare, make_assess(0.5), name="x", num_resamples=20)
    assert len(run.rows) == 120
    assert run.metrics["overall"]["n"] == 119
    assert (run.rows[0]["scale_low"], run.rows[0]["scale_high"]) == (1.0, 5.0)


def test_an_evaluation_survives_its_files(samples, make_assess, tmp_path):
    run = evaluate(samples, make_assess(0.5, drop_every=10), name="x", num_resamples=20, protocol={"manifest": "m"})
    run.save(tmp_path / "out")
    again = load_evaluation(tmp_path / "out")
    assert again.name == "x"
    assert again.protocol == run.protocol
    assert again.rows[1:3] == run.rows[1:3]
    assert math.isnan(again.rows[0]["score"])
    assert again.metrics["overall"]["srcc_ci"] == run.metrics["overall"]["srcc_ci"]
    assert measure(again.rows, num_resamples=20)["overall"]["srcc"] == run.metrics["overall"]["srcc"]


def test_metrics_json_is_strict_json_without_a_date(samples, make_assess, tmp_path):
    evaluate(samples, mean_predictor(samples), name="mean", num_resamples=20).save(tmp_path)
    document = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert document["overall"]["srcc"] is None
    assert document["overall"]["rmse"] > 0
    assert document["protocol"]["mode"] == "baseline"
    shown = {"overall", "datasets", "subsets", "worst_case", "within_subsets", "diagnosis"}
    assert shown | {"protocol", "name"} == set(document)


def test_saving_twice_writes_the_same_bytes(samples, make_assess, tmp_path):
    for folder in ("a", "b"):
        evaluate(samples, make_assess(0.5), name="x", num_resamples=20).save(tmp_path / folder)
    assert (tmp_path / "a/metrics.json").read_bytes() == (tmp_path / "b/metrics.json").read_bytes()


def test_equal_ids_of_two_datasets_are_two_samples(samples, make_assess):
    other = [replace(sample, dataset="other") for sample in samples]
    run = evaluate([*samples, *other], make_assess(0.5), name="x", num_resamples=0)
    assert set(run.metrics["datasets"]) == {"sim", "other"}
    assert compare_systems(run, run, num_resamples=20)["n"] == 240


def test_metrics_of_an_earlier_version_can_still_be_read(samples, make_assess, tmp_path):
    evaluate(samples, make_assess(0.5), name="x", num_resamples=0).save(tmp_path)
    document = json.loads((tmp_path / "metrics.json").read_text())
    for key in ("worst_case", "within_subsets", "diagnosis"):
        del document[key]
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    assert set(load_evaluation(tmp_path).metrics) == {"overall", "datasets", "subsets"}


def test_empty_runs_equal_ids_and_lost_assessments_are_refused(samples, make_assess):
    with pytest.raises(ValueError, match="empty"):
        evaluate([], make_assess(1.0), name="x")
    with pytest.raises(ValueError, match="unique"):
        evaluate([samples[0], samples[0]], make_assess(1.0), name="x")
    with pytest.raises(ValueError, match="0 assessments for 64"):
        evaluate(samples, lambda paths: [], name="x")


def test_a_better_system_is_told_apart_and_its_own_copy_is_not(samples, make_assess):
    weak = evaluate(samples, make_assess(1.5, seed=1), name="weak", num_resamples=0)
    strong = evaluate(samples, make_assess(0.4, seed=2), name="strong", num_resamples=0)
    result = compare_systems(weak, strong, num_resamples=200)
    assert result["srcc"]["ci"][0] > 0
    assert (result["baseline"], result["other"], result["n_unshared"]) == ("weak", "strong", 0)
    assert compare_systems(weak, weak, num_resamples=50)["srcc"]["ci"] == [0.0, 0.0]


def test_comparison_uses_shared_samples_only_and_counts_the_rest(samples, make_assess):
    whole = evaluate(samples, make_assess(1.0), name="whole", num_resamples=0)
    part = evaluate(samples[:50], make_assess(1.0, drop_every=10), name="part", num_resamples=0)
    result = compare_systems(whole, part, num_resamples=20)
    assert (result["n"], result["n_dropped"], result["n_unshared"]) == (45, 5, 70)


def test_comparison_of_strangers_or_of_other_labels_is_refused(samples, make_assess):
    one = evaluate(samples[:10], make_assess(1.0), name="one", num_resamples=0)
    two = evaluate(samples[10:20], make_assess(1.0), name="two", num_resamples=0)
    with pytest.raises(ValueError, match="share no sample"):
        compare_systems(one, two)
    two.rows[0]["sample"] = one.rows[0]["sample"]
    with pytest.raises(DatasetError, match=r"in one and .* in two.* Evaluate both on one manifest"):
        compare_systems(one, two)


def test_mean_predictor_averages_over_scales_and_needs_labels(samples):
    assess = mean_predictor([replace(samples[0], mos=25.0), replace(samples[1], mos=4.0, scale=FIVE_POINT)])
    (assessment,) = assess([samples[0]])
    assert assessment.score == pytest.approx((2.0 + 4.0) / 2)
    assert assessment.path == "images/0.png"
    with pytest.raises(ValueError, match="labelled"):
        mean_predictor([replace(samples[0], mos=None)])


def test_damaged_or_missing_files_are_named(tmp_path, samples, make_assess):
    with pytest.raises(DatasetError, match=r"metrics.json: no such file"):
        load_evaluation(tmp_path)
    others = '"datasets": {}, "subsets": {}, "name": "x", "protocol": {}}'
    for text in ("{}", "[]", "{", '{"overall": [], ' + others, '{"overall": {}, ' + others):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(DatasetError, match=r"metrics.json: not the metrics of an evaluation .*run the evaluation"):
            load_evaluation(tmp_path)
    (tmp_path / "broken.parquet").write_text("not parquet")
    with pytest.raises(DatasetError, match=r"broken.parquet: not a parquet file"):
        read_predictions(tmp_path / "broken.parquet")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"mos": [1.0]}), tmp_path / "other.parquet")
    with pytest.raises(DatasetError, match="no column 'sample'"):
        read_predictions(tmp_path / "other.parquet")


def test_an_empty_predictions_table_can_be_written_and_read(tmp_path):
    write_predictions(tmp_path / "p.parquet", [])
    assert read_predictions(tmp_path / "p.parquet") == []


def test_row_order_does_not_change_the_metrics(samples, make_assess):
    run = evaluate(samples, make_assess(1.0), name="x", num_resamples=50)
    order = np.random.default_rng(0).permutation(len(run.rows))
    again = measure([run.rows[i] for i in order], num_resamples=50)
    assert again["overall"]["srcc_ci"] == pytest.approx(run.metrics["overall"]["srcc_ci"], abs=1e-12)
    assert again["overall"]["plcc_5p"] == pytest.approx(run.metrics["overall"]["plcc_5p"], abs=1e-12)
