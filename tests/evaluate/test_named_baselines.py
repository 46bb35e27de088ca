"""Baselines by name: reading names, what they may learn from, and pyiqa through a stand-in module."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.images import load_image
from pondera.data.manifest import write_manifest
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate import load_evaluation
from pondera.evaluate.named_baselines import NAMES, baseline_names, baseline_title, check_baselines, evaluate_baselines
from pondera.evaluate.protocols import Protocol
from pondera.evaluate.task import choose_samples

TRAIN = [path for path in list_photographs() if PHOTOGRAPH_SPLITS[path.stem] == "train"]


@pytest.fixture
def manifest(tmp_path):
    """Eight crops, half of them tested; the last training crop shows a tested content."""
    samples = []
    for n in range(8):
        path = tmp_path / f"{n}.png"
        Image.fromarray(load_image(TRAIN[n])[:200, : 200 + n]).save(path)
        samples.append(
            Sample(str(n), (Media(str(path)),), dataset="crops", mos=1 + n / 2, scale=FIVE_POINT, reference=f"c{n % 7}",
                   split="train" if n >= 4 else "test")
        )  # fmt: skip
    write_manifest(tmp_path / "m.jsonl", samples)
    return tmp_path / "m.jsonl"


def test_names_are_read_with_commas_and_all_and_each_once():
    assert baseline_names(["mean, niqe", "mean"]) == ["mean", "niqe"]
    assert baseline_names(["all,pyiqa:musiq"]) == [*NAMES, "pyiqa:musiq"]
    assert baseline_names([]) == []


@pytest.mark.parametrize(("wrong", "hint"), [("briske", "did you mean 'brisque'"), ("pyiqa:", "METRIC"), ("", "all")])
def test_an_unknown_name_is_answered_with_a_known_one(wrong, hint):
    with pytest.raises(ConfigError, match=hint):
        baseline_names([wrong])


@pytest.mark.parametrize(("dataset", "marked"), [("tid2013", True), ("csiq", False)])
def test_baselines_fitted_on_the_bundled_photographs_are_marked_on_sets_made_from_them(tmp_path, dataset, marked):
    path = tmp_path / "a.png"
    Image.fromarray(load_image(TRAIN[0])[:200, :200]).save(path)
    sample = Sample("a", (Media(str(path)),), dataset=dataset, mos=3.0, scale=FIVE_POINT, reference="I01")
    write_manifest(tmp_path / "m.jsonl", [sample])
    task = choose_samples([tmp_path / "m.jsonl"])
    found = evaluate_baselines(task, ["niqe", "measuring"], out=tmp_path / "out")
    assert [e.name for e in found] == [baseline_title("niqe"), baseline_title("measuring")]
    assert [("shared origin" in str(e.protocol.get("leakage"))) for e in found] == [marked] * 2


def test_all_are_evaluated_and_saved_and_none_learns_from_a_tested_content(manifest, tmp_path):
    task = choose_samples([manifest], split="test")
    seen = []
    found = evaluate_baselines(task, NAMES, out=tmp_path / "out", on_progress=lambda *step: seen.append(step))
    assert [e.name for e in found] == [
        *("mean label", "mean label of the subset", "file size", "BRISQUE", "NIQE", "measuring teacher")
    ]
    assert found[0].rows[0]["score"] == pytest.approx(np.mean([1 + n / 2 for n in (4, 5, 6)]))  # 7 shows c0, as 0 does
    assert found[3].protocol["fitted_on"] == 3
    assert all(e.protocol["n_invalid"] == 0 for e in found)
    assert seen[-1] == (6, 6)
    saved = load_evaluation(tmp_path / "out" / "baselines" / "brisque")
    assert [row["score"] for row in saved.rows] == [row["score"] for row in found[3].rows]


def test_without_training_samples_the_way_out_is_named(manifest, tmp_path):
    task = replace(choose_samples([manifest], split="test"), train=[])
    with pytest.raises(DatasetError, match=r"split train, or choose baselines that need none: niqe, measuring"):
        evaluate_baselines(task, ["brisque"], out=tmp_path)


def test_what_cannot_be_fitted_is_refused_before_anything_is_scored(manifest, tmp_path, pyiqa):
    task = choose_samples([manifest], split="test")
    check_baselines(task, [*NAMES, "pyiqa:bright"])
    assert pyiqa == []  # no metric is loaded by the check
    with pytest.raises(DatasetError, match="'mean' has nothing to learn from: 0 samples of the manifests"):
        check_baselines(replace(task, train=[]), ["niqe", "mean"])
    videos = replace(task, samples=[replace(sample, kind="video") for sample in task.samples])
    with pytest.raises(ConfigError, match="'brisque' reads images and the test has videos; choose from: mean, subset"):
        check_baselines(videos, ["mean", "brisque"])
    with pytest.raises(ConfigError, match="did you mean bright"):
        check_baselines(task, ["pyiqa:brigt"])


def test_a_missing_tested_file_is_counted_by_every_baseline_that_reads_files(manifest, tmp_path):
    (tmp_path / "0.png").unlink()
    found = evaluate_baselines(choose_samples([manifest], split="test"), ["size", "brisque", "niqe"], out=tmp_path)
    assert [e.protocol["n_invalid"] for e in found] == [1, 1, 1]


def test_a_protocol_decides_which_sets_a_baseline_learns_from(manifest):
    part = {"dataset": "crops", "split": "test", "domain": "cross"}
    values = {"name": "p", "version": 1, "title": "t", "plcc": "raw", "tests": [part], "source": "s"}
    elsewhere = Protocol(**values, trained_on=[{"dataset": "other", "split": "train"}])
    here = Protocol(**values, trained_on=[{"dataset": "crops", "split": "train"}])
    assert [len(choose_samples([manifest], protocol=p).to_fit()) for p in (elsewhere, here)] == [0, 3]


@pytest.mark.parametrize("name", ["0.png", "copy.webp"])
def test_a_tested_picture_is_pristine_only_by_force_and_then_marked(manifest, tmp_path, name):
    task = choose_samples([manifest], split="test")
    Image.open(tmp_path / "0.png").save(tmp_path / "copy.webp", quality=80)
    with pytest.raises(DatasetError, match=r"crops: 1 samples, .*--pristine, .*--allow-leakage"):
        check_baselines(task, ["niqe"], pristine=[tmp_path / name])
    check_baselines(task, ["niqe"], pristine=[tmp_path / name], allow_leakage=True)
    (found,) = evaluate_baselines(task, ["niqe"], out=tmp_path, pristine=[tmp_path / name, *TRAIN])
    assert found.protocol["leakage"][0].startswith("crops: 1 samples, the same ")
    (clean,) = evaluate_baselines(task, ["niqe"], out=tmp_path, pristine=TRAIN)
    assert "leakage" not in clean.protocol


class StandIn:
    """What Pondera uses of pyiqa: mean brightness, its distance to that of the reference, and a metric that fails."""

    def __init__(self, name):
        self.name = name
        self.lower_better = name == "far"
        self.metric_mode = "FR" if name == "far" else "NR"
        self.score_range = {"bright": "0, 1", "far": "~0, ~"}.get(name)

    def __call__(self, target, reference=None):
        if self.name == "broken":
            raise RuntimeError("kernel is larger than the image")
        assert target.shape[:2] == (1, 3)
        assert 0 <= float(target.min()) <= float(target.max()) <= 1
        return target.mean() if reference is None else (target.mean() - reference.mean()).abs()


@pytest.fixture
def pyiqa(monkeypatch):
    made = []

    def create_metric(name, device=None):
        made.append((name, device))
        return StandIn(name)

    names = ["bright", "broken", "far", "fid_dinov2"]
    module = SimpleNamespace(list_models=lambda: names, create_metric=create_metric, __version__="0.1.99")
    monkeypatch.setitem(sys.modules, "pyiqa", module)
    return made


def test_a_metric_of_pyiqa_scores_the_pixels_that_all_systems_see(manifest, tmp_path, pyiqa):
    task = choose_samples([manifest], split="test")
    (found,) = evaluate_baselines(task, ["pyiqa:bright"], out=tmp_path, device="cpu")
    expected = [1 + 4 * load_image(row["path"]).mean() / 255 for row in found.rows]
    assert [row["score"] for row in found.rows] == pytest.approx(expected, abs=1e-5)
    assert found.name == "pyiqa bright"
    assert found.protocol["pyiqa"] == "0.1.99"
    assert [(name, device.type) for name, device in pyiqa] == [("bright", "cpu")]


def test_a_lower_is_better_metric_with_reference_is_turned_around(manifest, tmp_path, pyiqa):
    task = choose_samples([manifest], split="test")
    first, *others = task.originals
    white = tmp_path / "white.png"
    Image.new("RGB", (200, 200), "white").save(white)
    same, far = (replace(first, media=(*first.media, Media(str(p), "reference"))) for p in (first.path(), white))
    for sample, better in ((same, True), (far, False)):
        changed = replace(task, originals=[sample, *others])
        (found,) = evaluate_baselines(changed, ["pyiqa:far"], out=tmp_path)
        assert (found.rows[0]["score"] == 5.0) is better
        assert found.protocol["n_invalid"] == len(others)
        assert "no media with role 'reference'" in found.rows[1]["error"]


def test_a_metric_that_fails_on_an_image_is_counted_and_not_replaced(manifest, tmp_path, pyiqa):
    (found,) = evaluate_baselines(choose_samples([manifest], split="test"), ["pyiqa:broken"], out=tmp_path)
    assert found.protocol["n_invalid"] == 4
    assert found.rows[0]["error"] == "kernel is larger than the image"


@pytest.mark.parametrize(("name", "hint"), [("brigt", "did you mean bright"), ("fid_dinov2", "a set of images")])
def test_a_metric_that_cannot_be_had_is_refused(manifest, tmp_path, pyiqa, name, hint):
    with pytest.raises(ConfigError, match=hint):
        evaluate_baselines(choose_samples([manifest], split="test"), [f"pyiqa:{name}"], out=tmp_path)


def test_without_pyiqa_the_error_says_how_to_get_it_before_anything_is_scored(pondera, manifest, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    result = pondera("evaluate", manifest, "--baselines", "pyiqa:musiq", "--out", tmp_path / "o")
    assert result.exit_code == 1
    assert "pip install pyiqa" in result.stderr
    assert not (tmp_path / "o").exists()
