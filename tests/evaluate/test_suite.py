"""Tasks, several models, shards, leaks, percentiles: everything around a model, with a scripted model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Assessment, Media, Sample
from pondera.data.manifest import write_manifest
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate import load_evaluation, measure
from pondera.evaluate.candidates import Asked, Candidate
from pondera.evaluate.document import compare_with_baseline, results_table, with_distinct_names, write_documents
from pondera.evaluate.percentiles import check_maker, load_reference_set, reference_set, with_percentiles
from pondera.evaluate.protocols import load_protocol
from pondera.evaluate.shards import Shard
from pondera.evaluate.suite import folder_name, measure_models, record_models
from pondera.evaluate.task import choose_samples


@pytest.fixture
def manifest(tmp_path):
    """60 tested and 40 training images in two subsets, darker is better."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(100):
        path = tmp_path / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (4 + i % 7, 5, 3), dtype=np.uint8)).save(path)
        samples.append(
            Sample(
                id=str(i),
                media=(Media(str(path)),),
                dataset="biq2021",
                mos=float(rng.uniform(1, 5)),
                scale=FIVE_POINT,
                split="test" if i < 60 else "train",
                subset=("a", "b")[i % 2],
            )
        )
    write_manifest(tmp_path / "manifest.jsonl", samples)
    return tmp_path / "manifest.jsonl"


def _loader(task, noise_of, trained_on=()):
    """Models by name that know the labels up to noise; counts what is asked."""
    label_of = {sample.path(): sample.mos for sample in task.originals}
    asked = []

    def load(name):
        rng = np.random.default_rng(len(name))
        error_of = {path: rng.normal() for path in label_of}
        fingerprint = name.replace(" ", "")

        def assess(samples):
            paths = [sample.path() for sample in samples]
            asked.extend((name, path) for path in paths)
            return [
                Assessment(p, label_of[p] + noise_of[name] * error_of[p], FIVE_POINT, "fast", fingerprint=fingerprint)
                for p in paths
            ]

        return Candidate(lambda question: Asked(assess, fingerprint, {"prompt": "p"}), trained_on)

    return load, asked


def _run(task, noise_of, out, load, **options):
    record_models(task, list(noise_of), load, out=out, cache=out / "cache", shard=Shard(), **options)
    return measure_models(task, list(noise_of), out=out, cache=out / "cache")


def test_several_models_get_a_folder_each_and_a_comparison(manifest, tmp_path):
    task = choose_samples([manifest], split="test")
    noise_of = {"weak": 3.0, "strong": 0.2}
    load, asked = _loader(task, noise_of)
    found = _run(task, noise_of, tmp_path / "out", load)
    assert [e.name for e in found] == ["weak", "strong"]
    assert load_evaluation(tmp_path / "out" / "strong").metrics["overall"]["n"] == 60
    (comparison,) = compare_with_baseline(found)
    assert comparison["srcc"]["ci"][0] > 0
    page = write_documents(tmp_path / "out", found, title="t").read_text(encoding="utf-8")
    assert "strong minus weak" in page
    assert "Environment" in page
    assert len(asked) == 120
    _run(task, noise_of, tmp_path / "out", load)
    assert len(asked) == 120  # nothing is scored twice


def test_systems_are_tested_against_the_first_model_or_the_one_that_is_named(manifest, tmp_path):
    task = choose_samples([manifest], split="test")
    noise_of = {"a": 3.0, "b": 0.2}
    a, b = _run(task, noise_of, tmp_path / "out", _loader(task, noise_of)[0])
    simple = replace(a, name="subset", protocol=a.protocol | {"baseline": "subset"})

    def pairs(*chosen):
        return [(c["baseline"], c["other"]) for c in compare_with_baseline([simple, a, b], *chosen)]

    assert pairs() == [("a", "subset"), ("a", "b")]
    assert pairs(2) == [("b", "subset"), ("b", "a")]
    assert pairs(0) == [("subset", "a"), ("subset", "b")]
    assert [c["baseline"] for c in compare_with_baseline([simple, simple, a], 2)] == ["a", "a"]
    page = write_documents(tmp_path / "out", [simple, a, b], title="t", baseline=2).read_text(encoding="utf-8")
    assert "The other systems are tested against b." in page and "so not compared" not in page
    rows = [{**row, "score": 3.0} for row in simple.rows]
    mean = replace(simple, name="mean label", rows=rows, metrics=measure(rows))
    page = write_documents(tmp_path / "out", [mean, a, b], title="t").read_text(encoding="utf-8")
    note = "Without a correlation, so not compared: mean label."
    assert note in page and note in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


def test_comparisons_are_saved_for_the_run_and_in_the_metrics_of_each_system_of_it(manifest, tmp_path):
    task, out = choose_samples([manifest], split="test"), tmp_path / "out"
    noise_of = {"a": 3.0, "b": 0.2}
    a, b = _run(task, noise_of, out, _loader(task, noise_of)[0])
    earlier = replace(a, name="earlier")
    earlier.save(tmp_path / "earlier")
    before = (tmp_path / "earlier" / "metrics.json").read_bytes()
    write_documents(out, [earlier, a, b], title="t", baseline=1, folders=[None, out / "a", out / "b"])
    everything = json.loads((out / "comparisons.json").read_text())
    assert [(c["baseline"], c["other"]) for c in everything] == [("a", "earlier"), ("a", "b")]
    assert everything[1]["srcc"]["ci"][0] > 0 and list(everything[1]["datasets"]) == ["biq2021"]
    saved = {name: json.loads((out / name / "metrics.json").read_text())["comparisons"] for name in "ab"}
    assert saved == {"a": everything, "b": everything[1:]}
    assert (tmp_path / "earlier" / "metrics.json").read_bytes() == before
    assert load_evaluation(out / "b").metrics.keys() == b.metrics.keys()  # they are of a run, not of a system


def test_tables_show_intervals_the_difference_from_the_baseline_and_lost_answers(manifest, tmp_path):
    task, out = choose_samples([manifest], split="test"), tmp_path / "out"
    noise_of = {"a": 3.0, "b": 0.2}
    a, b = _run(task, noise_of, out, _loader(task, noise_of)[0])
    rows = [{**row, "valid": False, "score": float("nan")} if row["sample"] == "7" else row for row in b.rows]
    write_documents(out, [a, replace(b, rows=rows, metrics=measure(rows))], title="t")
    text = (out / "table.md").read_text(encoding="utf-8")
    low, high = (f"{value:.3f}".removeprefix("0") for value in a.metrics["datasets"]["biq2021"]["srcc_ci"])
    assert f"[{low}, {high}]" in text
    assert "| b | biq2021 | 59 | +" in text and "Difference from a" in text
    assert "| b | biq2021 | 59 | 1 | " in text and "| b | biq2021/b | 29 | 1 | " in text
    assert "biq2021/a" not in text
    assert r"\scriptsize" in (out / "table.tex").read_text(encoding="utf-8")


def test_every_score_of_the_models_mode_gets_a_percentile_that_is_saved(manifest, tmp_path):
    task = choose_samples([manifest], split="test")
    (found,) = _run(task, {"m": 1.0}, tmp_path / "out", _loader(task, {"m": 1.0})[0])
    with_percentiles(found, reference_set(found)).save(tmp_path / "saved")
    saved = load_evaluation(tmp_path / "saved")
    order = sorted(saved.rows, key=lambda row: row["score"])
    assert [row["percentile"] for row in order] == pytest.approx([100 * (n + 0.5) / 60 for n in range(60)])
    assert saved.protocol["num_reference_scores"] == 60
    other = replace(reference_set(found), fingerprint="of another model")
    assert with_percentiles(found, other) is found


def test_one_model_in_two_modes_and_twice_keeps_all_its_rows(manifest, tmp_path):
    task = choose_samples([manifest], split="test")
    load, _ = _loader(task, {"m": 1.0})
    (fast,) = _run(task, {"m": 1.0}, tmp_path / "out", load)
    reason = replace(fast, protocol=fast.protocol | {"mode": "reason"})
    assert [e.name for e in with_distinct_names([fast, reason])] == ["m, fast", "m, reason"]
    assert [e.name for e in with_distinct_names([fast, reason, fast])] == ["m, fast (1)", "m, reason", "m, fast (2)"]
    page = write_documents(tmp_path / "out", [fast, reason], title="t").read_text(encoding="utf-8")
    assert "m, reason minus m, fast" in page


def test_two_shards_give_the_files_of_one_run(manifest, tmp_path):
    task = choose_samples([manifest], split="test")
    load, _ = _loader(task, {"m": 1.0})
    _run(task, {"m": 1.0}, tmp_path / "one", load)
    with pytest.raises(DatasetError, match="no finished shard"):
        measure_models(task, ["m"], out=tmp_path / "two", cache=tmp_path / "two" / "cache")
    for i in (2, 1):
        record_models(task, ["m"], load, out=tmp_path / "two", cache=tmp_path / "two" / "cache", shard=Shard(i, 2))
    measure_models(task, ["m"], out=tmp_path / "two", cache=tmp_path / "two" / "cache")
    for name in ("metrics.json", "predictions.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_model_trained_on_the_test_is_refused_unless_forced_and_then_shown(manifest, tmp_path):
    task = choose_samples([manifest])
    load, asked = _loader(task, {"m": 1.0}, trained_on=("biq2021",))
    with pytest.raises(DatasetError, match=r"biq2021: 40 samples.*--allow-leakage"):
        _run(task, {"m": 1.0}, tmp_path / "out", load)
    assert asked == []
    (found,) = _run(task, {"m": 1.0}, tmp_path / "out", load, allow_leakage=True)
    assert "40 samples" in found.protocol["leakage"][0]
    assert found.protocol["domains"] == {"biq2021": "in"}
    page = write_documents(tmp_path / "out", [found], title="t").read_text(encoding="utf-8")
    assert "m has seen content of this test in training" in page


def test_a_training_manifest_betrays_shared_files(manifest, tmp_path):
    task = choose_samples([manifest], split="test", train_manifests=[manifest])
    assert task.leaks([]) == []
    everything = choose_samples([manifest], train_manifests=[manifest])
    assert [leak.num_samples for leak in everything.leaks([])] == [40]


def test_a_protocol_brings_its_published_rows_and_says_what_is_incomplete(manifest, tmp_path):
    protocol = load_protocol("biq2021")
    task = choose_samples([manifest], protocol=protocol)
    load, _ = _loader(task, {"m": 0.1})
    (found,) = _run(task, {"m": 0.1}, tmp_path / "out", load)
    table = results_table([found], protocol)
    assert (table.columns, table.heading(0)) == (("biq2021",), "biq2021 (in)")
    assert table.rows[0].cells == ((0.267, 0.298),)
    assert table.rows[-1].cells[0][0] == found.metrics["overall"]["srcc"]
    page = write_documents(tmp_path / "out", [found], title="t", protocol=protocol).read_text(encoding="utf-8")
    assert "biq2021: 60 of 2000 samples of the protocol" in page
    assert "DeepEns" in page
    assert r"\textbf" in (tmp_path / "out" / "table.tex").read_text()
    with pytest.raises(ConfigError, match="names its splits"):
        choose_samples([manifest], protocol=protocol, split="test")


def test_a_view_is_measured_from_the_answers_to_the_whole_set_and_stands_beside_it(manifest, tmp_path):
    """Of the 100 images 60 are the view; an answer that cannot be read counts there, too."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{version: 1, title: t, plcc: raw, source: s, trained_on: [], tests: [{dataset: biq2021, domain: cross}], "
        "views: [{name: official, dataset: biq2021, split: test, expected: 61}]}"
    )
    protocol = load_protocol(str(path))
    task = choose_samples([manifest], protocol=protocol)
    load, asked = _loader(task, {"m": 0.5})
    (found,) = _run(task, {"m": 0.5}, tmp_path / "out", load)
    assert len(asked) == 100 and found.metrics["overall"]["n"] == 100
    rows = [row for row in found.rows if row["split"] == "test"]
    alone = measure(rows)["datasets"]["biq2021"]
    assert found.metrics["views"]["official"] == alone and alone["n"] == 60
    assert load_evaluation(tmp_path / "out").metrics["views"] == found.metrics["views"]
    table = results_table([found], protocol)
    assert table.columns == ("biq2021", "official") and table.domains == ("cross", "cross")
    assert table.rows[0].cells[1] == (alone["srcc"], alone["plcc"])
    page = write_documents(tmp_path / "out", [found], title="t", protocol=protocol).read_text(encoding="utf-8")
    assert "official: 60 of 61 samples of the protocol" in page and "<h3>official</h3>" in page
    lost = [{**row, "valid": row["sample"] != "0"} for row in found.rows]
    again = measure(lost, views=task.views)
    assert (again["views"]["official"]["n_invalid"], again["worst_case"]["views"]["official"]["n"]) == (1, 60)
    answers = results_table([replace(found, metrics=again)], protocol).answers
    assert [(a.part, a.num_invalid) for a in answers if a.part in ("biq2021", "official")] == [
        ("biq2021", 1),
        ("official", 1),
    ]


def test_an_empty_split_is_refused_by_name(manifest):
    with pytest.raises(ValueError, match="no sample has split 'nowhere'"):
        choose_samples([manifest], split="nowhere")


def test_percentiles_count_the_share_below_and_half_of_the_equal(manifest, tmp_path):
    task = choose_samples([manifest], split="test")
    load, _ = _loader(task, {"m": 0.0, "n": 1.0})
    first, second = _run(task, {"m": 0.0, "n": 1.0}, tmp_path / "out", load)
    reference = reference_set(first)
    assert reference.name == "biq2021 (60 samples)"
    places = sorted((s.mos - 1) / 4 for s in task.samples)
    assert reference.percentile(places[0]) == pytest.approx(50 / 60)
    assert reference.percentile(places[29] + 1e-6) == pytest.approx(50)
    assert (reference.percentile(-0.1), reference.percentile(1.1)) == (0, 100)
    assert np.isnan(reference.percentile(float("nan")))
    assert load_reference_set(tmp_path / "out" / "m") == reference
    check_maker(reference, {first.protocol["fingerprint"]})
    with pytest.raises(DatasetError, match="none of these systems"):
        check_maker(reference, {second.protocol["fingerprint"]})
    page = write_documents(tmp_path / "out", [first], title="t", reference=reference).read_text(encoding="utf-8")
    assert "% of biq2021 (60 samples)" in page


def test_curves_of_the_run_that_made_a_model_are_shown(manifest, tmp_path):
    run = tmp_path / "run"
    (run / "final").mkdir(parents=True)
    (run / "recipe.yaml").write_text("name: x")
    (run / "metrics.jsonl").write_text('{"stage": "reinforce", "step": 1, "reward": 0.5}\n')
    task = choose_samples([manifest], split="test")
    name = str(run / "final")
    label_of = {sample.path(): sample.mos for sample in task.originals}

    def assess(samples):
        return [Assessment(s.path(), label_of[s.path()], FIVE_POINT, "fast", fingerprint="f") for s in samples]

    (found,) = _run(task, {name: 0}, tmp_path / "out", lambda _: Candidate(lambda question: Asked(assess, "f", {}), ()))
    assert "<h2>Training</h2>" in write_documents(tmp_path / "out", [found], title="t").read_text(encoding="utf-8")


def test_model_names_become_folder_names():
    assert folder_name("runs/a b/final") == "runs-a-b-final"
    assert folder_name("../..") == "model"
    assert Path(folder_name("Qwen/Qwen2.5-VL-7B")).name == "Qwen-Qwen2.5-VL-7B"


@pytest.mark.parametrize("names", [("runs/a", "runs-a"), ("m", "../m")])
def test_models_that_would_share_a_folder_are_refused_before_anything_is_asked(manifest, tmp_path, names):
    task = choose_samples([manifest], split="test")
    noise_of = dict(zip(names, (3.0, 0.2), strict=True))
    load, asked = _loader(task, noise_of)
    with pytest.raises(ConfigError, match=r"both be saved in folder"):
        record_models(task, names, load, out=tmp_path, cache=tmp_path / "cache", shard=Shard())
    assert not asked
    with pytest.raises(ConfigError, match=r"both be saved in folder"):
        measure_models(task, names, out=tmp_path, cache=tmp_path / "cache")


def test_the_receipt_holds_what_the_report_says(manifest, tmp_path):
    task = choose_samples([manifest], split="test")
    load, _ = _loader(task, {"m": 1.0})
    (found,) = _run(task, {"m": 1.0}, tmp_path / "out", load)
    receipt = json.loads((tmp_path / "out" / "shards" / "m" / "1-of-1.json").read_text())
    assert receipt["protocol"].items() <= found.protocol.items()
    assert found.protocol["manifests"] == [str(manifest)]
