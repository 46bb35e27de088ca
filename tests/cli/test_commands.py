from __future__ import annotations

import json
import re
import shlex
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.manifest import read_manifest, write_manifest
from tests.models.tiny import noise_image

FAST = ("--mode", "fast")


@pytest.fixture
def manifest(tmp_path):
    """Six samples of three contents."""
    samples = []
    for i in range(6):
        path = tmp_path / f"{i}.png"
        Image.fromarray(noise_image(seed=i)).save(path)
        samples.append(
            Sample(
                id=str(i),
                media=(Media(str(path)),),
                dataset="noise",
                mos=1.0 + i * 0.7,
                scale=FIVE_POINT,
                split="train" if i < 4 else "test",
                reference=f"content-{i // 2}",
            )
        )
    write_manifest(tmp_path / "manifest.jsonl", samples)
    return tmp_path / "manifest.jsonl"


def test_compare_names_both_files_and_says_which_is_better(pondera, untrained, manifest):
    a, b = manifest.parent / "0.png", manifest.parent / "1.png"
    result = pondera("compare", a, b, "--model", untrained, *FAST)
    assert (result.exit_code, result.stderr) == (0, "")
    assert str(a) in result.stdout
    assert re.search(r"(A|B) looks better by|look alike", result.stdout)


def test_compare_as_json_holds_both_assessments(pondera, untrained, manifest):
    a, b = manifest.parent / "0.png", manifest.parent / "1.png"
    document = json.loads(pondera("compare", a, b, "--model", untrained, *FAST, "--format", "json").stdout)
    assert document["margin"] == pytest.approx(document["first"]["score"] - document["second"]["score"])
    assert document["better"] in ("A", "B", "tie")


def test_compare_fails_with_one_line_when_a_file_cannot_be_read(pondera, untrained, manifest):
    result = pondera("compare", manifest.parent / "0.png", manifest, "--model", untrained, *FAST)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("MediaError: ")


def test_data_list_counts_photographs_and_names_distortions(pondera):
    text = pondera("data", "list").stdout
    assert text.startswith("24 photographs: ")
    assert "gaussian_blur" in text
    document = json.loads(pondera("data", "list", "--format", "json").stdout)
    assert len(document["photographs"]) == 24
    assert document["distortions"]["jpeg"]["aspect"] == "compression"


def test_data_synthesize_makes_a_manifest_that_check_approves(pondera, tmp_path):
    photos = tmp_path / "my photos"
    photos.mkdir()
    for i in range(3):
        Image.fromarray(noise_image(40, 48, seed=i)).save(photos / f"holiday {i} (1).png")
    made = pondera(
        "data", "synthesize", photos, "--out", tmp_path / "data", "--per-reference", 2, "--size", 32, 32,
        "--workers", 1, "--splits", "train=0.6,test=0.4",
    )  # fmt: skip
    assert made.exit_code == 0
    path = Path(made.stdout.strip())
    samples = read_manifest(path)
    assert len(samples) == 6
    assert {s.split for s in samples} == {"train", "test"}
    checked = pondera("data", "check", path)
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert "6 samples, 3 contents" in checked.stdout
    assert json.loads(pondera("data", "check", path, "--format", "json").stdout)["is_ok"] is True


def test_photographs_with_one_name_in_two_folders_stay_two_contents(pondera, tmp_path):
    for i, name in enumerate(("a/same.png", "b/same.png", "c/other.png")):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        Image.fromarray(noise_image(40, 48, seed=i)).save(tmp_path / "in" / name)
    made = pondera(
        "data", "synthesize", tmp_path / "in", "--out", tmp_path / "data", "--per-reference", 1, "--size", 32, 32,
        "--workers", 1,
    )  # fmt: skip
    assert made.exit_code == 0
    assert {s.content for s in read_manifest(made.stdout.strip())} == {"same.1", "same.2", "other"}


@pytest.mark.parametrize(
    "args",
    [
        ("--splits", "train=1"),  # the bundled photographs have theirs
        ("--per-reference", "0"),
        ("--size", "0", "10", "--workers", "1"),
    ],
)
def test_data_synthesize_refuses_what_it_cannot_do(pondera, tmp_path, args):
    assert pondera("data", "synthesize", "--out", tmp_path / "data", *args).exit_code == 2


def test_data_check_exits_with_one_when_a_file_is_missing(pondera, manifest):
    (manifest.parent / "3.png").unlink()
    result = pondera("data", "check", manifest)
    assert result.exit_code == 1
    assert "3.png" in result.stdout
    assert pondera("data", "check", manifest, "--no-decode").exit_code == 1


def test_data_split_keeps_contents_together(pondera, manifest, tmp_path):
    out = tmp_path / "split.jsonl"
    result = pondera("data", "split", manifest, "--out", out, "--splits", "train=0.4,val=0.3,test=0.3", "--seed", 1)
    assert result.exit_code == 0
    splits = defaultdict(set)
    for sample in read_manifest(out):
        splits[sample.content].add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "val", "test"}


@pytest.mark.parametrize("shares", ["train", "train=x", "train=0.5,test=0.2", "=1", "a=0.25,b=0.25,c=0.25,d=0.25"])
def test_data_split_refuses_shares_that_make_no_sense(pondera, manifest, tmp_path, shares):
    result = pondera("data", "split", manifest, "--out", tmp_path / "o.jsonl", "--splits", shares)
    assert result.exit_code == 2
    assert "--splits" in result.stderr


def test_a_manifest_that_is_not_there_is_one_line_on_stderr(pondera, tmp_path):
    for command in (("data", "check"), ("evaluate", "--out", tmp_path / "out")):
        result = pondera(*command, tmp_path / "none.jsonl")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("ManifestError: ")


def test_evaluate_writes_predictions_metrics_and_report(pondera, untrained, manifest, tmp_path):
    out = tmp_path / "evaluation"
    result = pondera("evaluate", manifest, "--model", untrained, *FAST, "--out", out)
    assert result.exit_code == 0
    assert "SRCC" in result.stdout
    document = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert document["protocol"]["n"] == 6
    assert document["protocol"]["mode"] == "fast"
    assert (out / "predictions.parquet").is_file()
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")
    again = pondera("metrics", out / "predictions.parquet", "--format", "json")
    assert json.loads(again.stdout)["srcc"] == pytest.approx(document["overall"]["srcc"])


def test_evaluate_takes_one_split_and_refuses_an_empty_one(pondera, untrained, manifest, tmp_path):
    args = ("evaluate", manifest, "--model", untrained, *FAST, "--out", tmp_path / "out")
    assert pondera(*args, "--split", "train").exit_code == 0
    document = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert (document["protocol"]["n"], document["protocol"]["split"]) == (4, "train")
    result = pondera(*args, "--split", "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_evaluate_refuses_two_manifests_that_share_ids(pondera, untrained, manifest, tmp_path):
    result = pondera("evaluate", manifest, manifest, "--model", untrained, *FAST, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "unique" in result.stderr


def test_distill_writes_rationales_and_a_second_run_asks_for_nothing(pondera, manifest, tmp_path):
    args = ("distill", manifest, "--split", "train", "--out", tmp_path / "taught.jsonl", "--format", "json")
    first = json.loads(pondera(*args).stdout)
    assert (first["num_samples"], first["num_new"]) == (4, 4)
    taught = read_manifest(tmp_path / "taught.jsonl")
    assert len(taught) == first["num_kept"] > 0
    assert all(sample.rationale and sample.rationale.startswith("<think>") for sample in taught)
    assert json.loads(pondera(*args).stdout)["num_new"] == 0


TEACHER = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    assert "mos" not in request
    think = f"Image {request['sample']}: sharpness is poor and noise is fair, the worst aspect is sharpness."
    print(json.dumps({"completion": f"<think>{think}</think><answer>2.50</answer>"}), flush=True)
"""


def test_distill_takes_any_program_as_a_teacher(pondera, manifest, tmp_path):
    (tmp_path / "teacher.py").write_text(TEACHER, encoding="utf-8")
    command = shlex.join([sys.executable, str(tmp_path / "teacher.py")])
    out = tmp_path / "taught.jsonl"
    args = ("distill", manifest, "--teacher", "command", "--command", command, "--prompt", "quality.short")
    result = pondera(*args, "--out", out)
    assert result.exit_code == 0
    assert "6 of 6 samples have a rationale" in result.stdout
    near = pondera(*args, "--out", out, "--tolerance", 0.5, "--replace-score")
    assert "0 of them new" in near.stdout
    kept = read_manifest(out)
    assert [sample.id for sample in kept] == [s.id for s in read_manifest(manifest) if abs(s.mos - 2.5) <= 0.5]
    assert all(f"<answer>{sample.mos:.2f}</answer>" in sample.rationale for sample in kept)


def test_distill_fails_when_nothing_passes_the_filters(pondera, manifest, tmp_path):
    (tmp_path / "teacher.py").write_text(TEACHER.replace("<answer>2.50</answer>", ""), encoding="utf-8")
    command = shlex.join([sys.executable, str(tmp_path / "teacher.py")])
    result = pondera("distill", manifest, "--teacher", "command", "--command", command, "--out", tmp_path / "t.jsonl")
    assert result.exit_code == 1
    assert "format" in result.stdout
    assert f"examples: {tmp_path / 't.distill' / 'filters.md'}" in result.stdout
    assert "does the model know this --prompt?" in result.stderr and "no completion passed" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("--command", "python teacher.py"),
        ("--teacher", "command"),
        ("--tolerance", "-1"),
        ("--split", "nowhere"),
        ("--teacher", "somebody"),
    ],
)
def test_distill_refuses_options_that_do_not_fit(pondera, manifest, tmp_path, args):
    result = pondera("distill", manifest, "--out", tmp_path / "taught.jsonl", *args)
    assert (result.exit_code, result.stdout) == (2, "")


def test_models_info_counts_parameters_and_names_the_recipe(pondera, untrained):
    document = json.loads(pondera("models", "info", untrained, "--format", "json").stdout)
    assert document["recipe"] == "untrained"
    assert document["parameters"] > 10_000
    text = pondera("models", "info", untrained).stdout
    assert f"{document['parameters']:,}" in text


def test_models_list_names_the_built_in_model(pondera):
    assert pondera("models", "list").stdout.startswith("nano ")


def test_recipes_are_listed_and_shown_as_they_are(pondera, tmp_path):
    assert "quickstart" in pondera("recipes", "list").stdout
    shown = pondera("recipes", "show", "quickstart").stdout
    (tmp_path / "mine.yaml").write_text(shown, encoding="utf-8")
    assert pondera("recipes", "show", tmp_path / "mine.yaml").stdout == shown
    missing = pondera("recipes", "show", "nope")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr.startswith("ConfigError: ")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("nope",), "nope"),
        (("quickstart", "--set", "stages.reinforce.steps=many"), "steps"),
        (("quickstart", "--set", "nonsense"), "a.b=value"),
        (("quickstart", "--set", "no_such_key=1"), "no_such_key"),
    ],
)
def test_train_names_the_mistake_in_a_recipe(pondera, tmp_path, args, words):
    result = pondera("train", *args, "--out", tmp_path / "run")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("ConfigError: ")
    assert words in result.stderr


def test_train_hands_over_every_option_and_prints_the_final_folder(pondera, tmp_path, monkeypatch):
    calls = []

    def run_recipe(recipe, out, **options):
        calls.append((recipe.stages[-1].steps, out, options))
        (out / "final").mkdir(parents=True)
        return out / "final"

    monkeypatch.setattr("pondera.engine.run.run_recipe", run_recipe)
    run = tmp_path / "run"
    result = pondera(
        "train", "quickstart", "--set", "stages.reinforce.steps=7", "--stage", "reinforce", "--resume", "--out", run
    )
    assert result.exit_code == 0
    assert calls == [(7, run, {"only_stage": "reinforce", "resume": True})]
    assert result.stdout.strip() == str(run / "final")


def test_an_interrupted_training_says_how_to_go_on(pondera, tmp_path, monkeypatch):
    def run_recipe(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pondera.engine.run.run_recipe", run_recipe)
    result = pondera("train", "quickstart", "--out", tmp_path / "run")
    assert result.exit_code == 130
    assert "--resume" in result.stderr


def test_a_missing_extra_is_named_before_the_work_starts(pondera, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("pondera.cli.options.find_spec", lambda name: None)
    for args in (("train", "quickstart"), ("evaluate", manifest, "--out", tmp_path / "o"), ("quickstart",)):
        result = pondera(*args)
        assert result.exit_code == 1
        assert "pip install" in result.stderr


@pytest.mark.parametrize("command", ["quickstart", "quickstart-video"])
def test_quickstart_hands_over_folder_seed_and_changes(pondera, tmp_path, monkeypatch, command):
    if command == "quickstart-video":
        pytest.importorskip("av")
    calls = []
    name = command.replace("-", "_")
    monkeypatch.setattr(f"pondera.{name}.run_{name}", lambda out, **options: calls.append((out, options)))
    changes = ("stages.reinforce.steps=7", "model.num_layers=1")
    result = pondera(command, "--out", tmp_path, "--seed", 4, "--set", changes[0], "--set", changes[1])
    assert result.exit_code == 0
    assert calls == [(tmp_path, {"seed": 4, "overrides": changes})]


@pytest.mark.parametrize("command", ["quickstart", "quickstart-video"])
def test_a_wrong_change_stops_a_quickstart_before_it_makes_data(pondera, tmp_path, command):
    if command == "quickstart-video":
        pytest.importorskip("av")
    result = pondera(command, "--out", tmp_path / "out", "--set", "no_such_key=1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("ConfigError: ") and "no_such_key" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_written_is_one_line_on_stderr(pondera, manifest, tmp_path):
    result = pondera("data", "split", manifest, "--out", manifest / "below-a-file.jsonl")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "below-a-file" in result.stderr or str(manifest) in result.stderr
