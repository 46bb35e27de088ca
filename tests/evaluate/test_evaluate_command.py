"""`pondera evaluate`, end to end with an untrained model."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.manifest import read_manifest, write_manifest
from pondera.evaluate.protocols import list_protocols
from tests.models.tiny import noise_image


@pytest.fixture
def manifest(tmp_path):
    samples = []
    for i in range(6):
        path = tmp_path / f"{i}.png"
        Image.fromarray(noise_image(seed=i)).save(path)
        split = "test" if i < 4 else "train"
        samples.append(
            Sample(str(i), (Media(str(path)),), dataset="noise", mos=1 + i / 2, scale=FIVE_POINT, split=split)
        )
    write_manifest(tmp_path / "manifest.jsonl", samples)
    return tmp_path / "manifest.jsonl"


def _predictions(folder):
    import pyarrow.parquet

    return pyarrow.parquet.read_table(folder / "predictions.parquet")


def test_shards_and_merge_give_the_table_of_one_run(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--mode", "fast", "--split", "test", "--out")
    assert pondera(*args, tmp_path / "one").exit_code == 0
    for part in ("1/2", "2/2"):
        assert "--merge" in pondera(*args, tmp_path / "two", "--shard", part).stdout
    assert pondera(*args, tmp_path / "two", "--merge").exit_code == 0
    one, two = (_predictions(tmp_path / name).drop_columns(["seconds"]) for name in ("one", "two"))
    assert one.equals(two)
    result = pondera(*args, tmp_path / "two", "--merge", "--shard", "1/2")
    assert result.exit_code == 2


def test_merging_before_all_shards_are_done_names_the_missing_one(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--mode", "fast", "--out", tmp_path / "o")
    pondera(*args, "--shard", "2/2")
    result = pondera(*args, "--merge")
    assert result.exit_code == 1
    assert "--shard 1/2" in result.stderr


def test_a_second_run_scores_nothing(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--mode", "fast", "--out", tmp_path / "o")
    first = pondera(*args).stdout
    seconds = _predictions(tmp_path / "o")["seconds"]
    assert pondera(*args).stdout == first
    assert _predictions(tmp_path / "o")["seconds"] == seconds
    assert len(list((tmp_path / "o" / "assessments").rglob("*.jsonl"))) == 1


def test_files_without_a_score_are_named_with_the_reason(pondera, untrained, manifest, tmp_path):
    (tmp_path / "0.png").unlink()
    (tmp_path / "1.png").write_text("not an image")
    out = pondera("evaluate", manifest, "--model", untrained, "--mode", "fast", "--out", tmp_path / "o").stdout
    first, second = (line for line in out.splitlines() if line.startswith("not scored: "))
    assert "0.png: no such file" in first
    assert "1.png: not an image" in second


def test_a_cache_serves_other_runs(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--mode", "fast", "--cache", tmp_path / "cache", "--out")
    pondera(*args, tmp_path / "a")
    pondera(*args, tmp_path / "b", "--split", "test")
    assert len(list((tmp_path / "cache").rglob("*.jsonl"))) == 1


def test_earlier_runs_stand_beside_and_can_be_compared_alone(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--split", "test")
    assert pondera(*args, "--mode", "fast", "--out", tmp_path / "a").exit_code == 0
    result = pondera(
        *args, "--mode", "fast", "--baselines", "mean,subset,size", "--beside", tmp_path / "a", "--out", tmp_path / "b"
    )
    assert result.exit_code == 0, result.stderr
    assert "mean label of the subset" in (tmp_path / "b" / "table.md").read_text()
    result = pondera("evaluate", "--beside", tmp_path / "a", "--beside", tmp_path / "b", "--out", tmp_path / "c")
    assert result.exit_code == 0, result.stderr
    assert "Comparison of" in (tmp_path / "c" / "report.html").read_text(encoding="utf-8")


def test_evaluations_of_earlier_runs_in_the_same_folder_are_named(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--mode", "fast", "--split", "test", "--out", tmp_path / "o")
    assert "earlier runs" not in pondera(*args, "--baselines", "mean,size").stderr
    told = pondera(*args, "--baselines", "size").stderr
    assert f"not in the report: {tmp_path / 'o' / 'baselines' / 'mean'};" in told


def test_nothing_to_do_and_unfit_baselines_are_said(pondera, untrained, manifest, tmp_path):
    assert pondera("evaluate", "--out", tmp_path / "o").exit_code == 2
    args = ("evaluate", manifest, "--model", untrained, "--mode", "fast", "--out", tmp_path / "o")
    result = pondera(*args, "--baselines", "mean")
    assert result.exit_code == 1
    assert "split train" in result.stderr
    assert not (tmp_path / "o").exists()  # said before a model scored
    assert pondera(*args, "--baselines", "maen").exit_code == 1
    result = pondera(*args, "--baselines", "mean", "--pristine", tmp_path)
    assert result.exit_code == 2
    assert "--baselines niqe" in result.stderr


def test_an_unknown_baseline_of_the_comparison_is_answered_with_the_systems(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--mode", "fast", "--out", tmp_path / "o")
    result = pondera(*args, "--baselines", "niqe", "--baseline", "mean")
    assert result.exit_code == 2
    assert "'mean' is not evaluated here" in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "o").exists()


def test_other_labels_beside_are_refused_before_a_model_scores(pondera, untrained, manifest, tmp_path):
    args = ("--model", untrained, "--mode", "fast", "--out")
    assert pondera("evaluate", manifest, *args, tmp_path / "a").exit_code == 0
    samples = [replace(s, mos=6 - s.mos) for s in read_manifest(manifest)]
    write_manifest(tmp_path / "other.jsonl", samples)
    refused = pondera("evaluate", tmp_path / "other.jsonl", *args, tmp_path / "b", "--beside", tmp_path / "a")
    assert (refused.exit_code, (tmp_path / "b").exists()) == (1, False)
    expected = f"sample '0' of dataset 'noise' has label 1 in --beside {tmp_path / 'a'} and 5 in the manifests"
    assert expected in refused.stderr and "Evaluate both on one manifest" in refused.stderr
    assert pondera("evaluate", tmp_path / "other.jsonl", *args, tmp_path / "b").exit_code == 0
    beside = ("--beside", tmp_path / "a", "--beside", tmp_path / "b")
    refused = pondera("evaluate", *beside, "--out", tmp_path / "c")
    assert refused.exit_code == 1 and "has label 1 in --beside" in refused.stderr


def test_options_that_need_a_manifest_are_refused_without_one(pondera, untrained, manifest, tmp_path):
    pondera("evaluate", manifest, "--model", untrained, "--mode", "fast", "--out", tmp_path / "a")
    beside = ("evaluate", "--beside", tmp_path / "a", "--beside", tmp_path / "a", "--out", tmp_path / "c")
    options = {"--reference-set": "a", "--split": "test", "--target": "x", "--shard": "1/2", "--baselines": "size"}
    for option, value in options.items():
        refused = pondera(*beside, option, value)
        assert (
            refused.exit_code == 2 and f"Invalid value for {option}: does nothing without a manifest" in refused.stderr
        )
    assert pondera(*beside).exit_code == 0


def test_a_protocol_shows_its_published_results_beside_compared_runs_of_its_sets(
    pondera, untrained, manifest, tmp_path
):
    samples = [replace(s, dataset="biq2021") for s in read_manifest(manifest)]
    write_manifest(tmp_path / "biq.jsonl", samples)
    for name, options in (("a", ("--split", "test")), ("b", ("--split", "test")), ("whole", ())):
        args = ("evaluate", tmp_path / "biq.jsonl", "--model", untrained, "--mode", "fast", "--out", tmp_path / name)
        assert pondera(*args, *options).exit_code == 0
    args = ("evaluate", "--protocol", "biq2021", "--out", tmp_path / "c", "--beside", tmp_path / "a", "--beside")
    done = pondera(*args, tmp_path / "b")
    assert done.exit_code == 0, done.stderr
    assert "| DeepEns [1] |" in (tmp_path / "c" / "table.md").read_text()
    assert "biq2021: 4 of 2000 samples of the protocol" in (tmp_path / "c" / "report.html").read_text()
    refused = pondera(*args, tmp_path / "whole")
    assert refused.exit_code == 1 and "split 'train', is not of a part that protocol 'biq2021' tests" in refused.stderr


def test_a_baseline_may_be_called_as_the_page_calls_it(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--mode", "fast")
    pondera(*args, "--out", tmp_path / "a")
    second = f"{untrained}, fast (2)"
    both = ("evaluate", "--beside", tmp_path / "a", "--beside", tmp_path / "a", "--out", tmp_path / "c")
    done = pondera(*both, "--baseline", second)
    assert done.exit_code == 0 and second in done.stdout.splitlines()  # where its name can be read off
    assert f"'{untrained}, fast (1)', '{second}'" in pondera(*both, "--baseline", "other").stderr
    assert {c["baseline"] for c in json.loads((tmp_path / "c" / "comparisons.json").read_text())} == {second}
    named = ("--split", "test", "--baselines", "size", "--baseline", "file size", "--out", tmp_path / "d")
    assert pondera(*args, *named).exit_code == 0
    assert {c["baseline"] for c in json.loads((tmp_path / "d" / "comparisons.json").read_text())} == {"file size"}


def test_a_reference_set_of_another_system_is_refused_before_the_work(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained)
    pondera(*args, "--mode", "fast", "--out", tmp_path / "a")
    refused = pondera(*args, "--mode", "reason", "--out", tmp_path / "b", "--reference-set", tmp_path / "a")
    assert refused.exit_code == 1 and "none of these systems" in refused.stderr
    assert not (tmp_path / "b").exists()
    refused = pondera(*args, "--mode", "fast", "--out", tmp_path / "b", "--reference-set", tmp_path / "nowhere")
    assert refused.exit_code == 1 and "no such file" in refused.stderr
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"title: t\ntests: [", "not a protocol ("), (b"title: t\nsource: \xe4\n", "p.yaml:2: not UTF-8 text")],
)
def test_a_protocol_file_that_cannot_be_read_is_one_line(pondera, manifest, tmp_path, content, says):
    (tmp_path / "p.yaml").write_bytes(content)
    refused = pondera("evaluate", manifest, "--protocol", tmp_path / "p.yaml", "--out", tmp_path / "o")
    assert refused.exit_code == 1 and says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_protocol_that_does_not_fit_is_one_line(pondera, untrained, manifest, tmp_path):
    result = pondera("evaluate", manifest, "--protocol", "biq2021", "--model", untrained, "--out", tmp_path / "o")
    assert result.exit_code == 1
    assert "dataset 'noise', which protocol 'biq2021' does not test" in result.stderr


def test_an_alignment_set_is_refused_by_a_quality_model_and_asked_by_one_with_the_prompt(
    pondera, untrained, manifest, tmp_path
):
    samples = [replace(s, dataset="evalmuse", text=f"a picture {s.id}") for s in read_manifest(manifest)]
    write_manifest(tmp_path / "alignment.jsonl", samples)
    args = ("evaluate", tmp_path / "alignment.jsonl", "--mode", "fast", "--out", tmp_path / "o", "--model")
    result = pondera(*args, untrained)
    assert result.exit_code == 1
    assert "--question own" in result.stderr and "6 samples of evalmuse" in result.stderr
    assert pondera(*args, untrained, "--question", "own").exit_code == 0
    assert "asked another question" in (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    shutil.copytree(untrained, tmp_path / "able")
    card = json.loads((untrained / "pondera.json").read_text())
    card |= {"tasks": {"alignment": "alignment.image"}, "fast_tasks": {"alignment": "alignment.image.fast"}}
    (tmp_path / "able" / "pondera.json").write_text(json.dumps(card))
    assert pondera(*args, tmp_path / "able").exit_code == 0
    protocol = json.loads((tmp_path / "o" / "metrics.json").read_text())["protocol"]
    assert protocol["prompt"] == "alignment.image.fast" and "other_question" not in protocol
    assert protocol["n_invalid"] == 0
    assert pondera(*args, untrained, "--question", "beauty").exit_code == 1


def test_help_names_every_packaged_protocol(pondera):
    # Help pages break lines inside names, and draw frames around them.
    text = "".join(pondera("evaluate", "--help").stdout.replace("│", " ").split())
    assert [name for name in list_protocols() if name not in text] == []


def test_consensus_is_recorded_and_found_again(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, "--mode", "consensus", "--samples", 2, "--out", tmp_path / "o")
    assert pondera(*args).exit_code == 0
    assert pondera(*args).exit_code == 0
    assert len(list((tmp_path / "o" / "assessments").rglob("*.jsonl"))) == 1


@pytest.mark.slow
def test_processes_of_a_launcher_share_the_work_and_the_first_reports(untrained, manifest, tmp_path):
    """torchrun itself, two processes on this machine."""
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29655", "-m", "pondera.cli"]
    args = ["evaluate", manifest, "--model", untrained, "--mode", "fast", "--out", tmp_path / "o"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, *command, *map(str, args)], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("report: ") == 1
    shards = sorted(path.name for path in (tmp_path / "o" / "shards").rglob("*.json"))
    assert shards == ["1-of-2.json", "2-of-2.json"]
    assert json.loads((tmp_path / "o" / "metrics.json").read_text())["protocol"]["n"] == 6
