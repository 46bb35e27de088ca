"""Roll-outs on disk: `pondera rewards explain` reads from them what training paid."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.completions import read_completions
from pondera.engine.grading import grade
from pondera.engine.rollouts import GroupRecord, write_rollouts
from tests.core.systems import INVALID, completion


@pytest.fixture
def records():
    system = get_system("pondera")
    drawn = {"a": (2.0, 2.4, 3.1), "b": (4.0, 4.5, 3.0), "c": (1.2, 2.2, None)}
    return [
        GroupRecord(
            Sample(name, (Media(f"{name}.png"),), dataset="set", mos=2.0 + i, scale=FIVE_POINT, targets={"noise": 2}),
            place=i,
            texts=tuple(INVALID if score is None else completion(system.answer, [score]) for score in scores),
            num_tokens=(7, 8, 9),
            side={"uncertainty": (0.5, float("nan"), 1.0)},
        )
        for i, (name, scores) in enumerate(drawn.items())
    ]


def _write(folder, records, step=20):
    graded = grade(get_system("pondera"), records, records, stage="s", step=step)
    write_rollouts(folder, step, records, graded.reward_GK, graded.advantage_GK)
    return graded


def test_explaining_the_written_rollouts_gives_the_rewards_and_advantages_of_the_step(records, tmp_path, pondera):
    graded = [_write(tmp_path / "rollouts", records, step) for step in (0, 20)]
    result = pondera("rewards", "explain", tmp_path / "rollouts", "--preset", "pondera")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    for key in ("reward", "advantage"):
        expected = np.concatenate([getattr(g, f"{key}_GK").ravel() for g in graded])
        np.testing.assert_allclose([line[key] for line in lines], expected, rtol=0, atol=1e-12)


def test_rollouts_that_answer_on_another_scale_are_explained_on_it(records, tmp_path, pondera):
    """The built-in model answers from 0 to 1; on the working scale 1 to 5 each of its answers would be invalid."""
    graded = _write(tmp_path / "five", records)
    moved = [replace(record, texts=tuple(map(_from_zero_to_one, record.texts))) for record in records]
    write_rollouts(tmp_path / "unit", 20, moved, graded.reward_GK, graded.advantage_GK)
    explain = ("rewards", "explain", tmp_path / "unit", "--preset", "pondera")
    assert "give it by --scale" in pondera(*explain).stderr
    result = pondera(*explain, "--scale", "0", "1")
    assert result.exit_code == 0 and "--scale" not in result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    np.testing.assert_allclose([line["reward"] for line in lines], graded.reward_GK.ravel(), rtol=0, atol=1e-9)
    assert lines[0]["values"] == pytest.approx([2.0])


def _from_zero_to_one(text):
    return re.sub(r"(?<=<answer>)\s*[\d.]+", lambda found: f"{(float(found[0]) - 1) / 4:.6f}", text)


def test_a_scale_that_the_completions_cannot_have_is_refused(records, tmp_path, pondera):
    _write(tmp_path, records)
    result = pondera("rewards", "explain", tmp_path, "--preset", "pondera", "--scale", "1", "0")
    assert result.exit_code == 2 and "LOW must be below HIGH" in result.stderr
    result = pondera("rewards", "explain", tmp_path, "--preset", "q-insight", "--scale", "0", "1")
    assert result.exit_code == 1 and "on its own scale only" in result.stderr


def test_one_file_of_a_run_can_be_explained_too(records, tmp_path, pondera):
    _write(tmp_path, records)
    result = pondera("rewards", "explain", tmp_path / "step-000020.parquet", "--preset", "pondera", "--format", "table")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1 + 9


def test_images_are_referenced_by_their_full_path_and_labels_and_side_values_are_kept(records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write(tmp_path, records)
    lines = [json.loads(line) for line in read_completions(tmp_path / "step-000020.parquet")]
    assert lines[0]["media"] == [str(tmp_path.resolve() / "a.png")]
    assert lines[1]["targets"] == {"noise": 2} and lines[1]["side"] == {"uncertainty": None}
    assert [line["num_tokens"] for line in lines[:3]] == [7, 8, 9]


def test_a_step_that_is_done_again_replaces_its_file(records, tmp_path):
    for _ in range(2):
        _write(tmp_path, records)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000020.parquet"]
    assert len(read_completions(tmp_path)) == 9


@pytest.mark.parametrize(
    ("name", "message"), [("empty", "no parquet files in this folder"), ("x.parquet", "x.parquet")]
)
def test_what_is_no_log_of_completions_is_named(tmp_path, pondera, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.parquet").write_text("text")
    result = pondera("rewards", "explain", tmp_path / name, "--preset", "pondera")
    assert result.exit_code == 1 and message in result.stderr
