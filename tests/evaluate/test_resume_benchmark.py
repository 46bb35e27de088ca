"""`benchmarks/evaluate_resume.py`: it can fail, and its truths hold for a small made-up set."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "evaluate_resume.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("evaluate_resume", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def images(tmp_path):
    """200 small pictures in three subsets, as a folder with labels.csv."""
    rng = np.random.default_rng(0)
    (tmp_path / "set" / "images").mkdir(parents=True)
    lines = ["name,mos,subset"]
    for n in range(200):
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(
            tmp_path / "set" / "images" / f"{n}.png"
        )
        lines.append(f"{n}.png,{rng.uniform():.4f},s{n % 3}")
    (tmp_path / "set" / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "set"


def _run(*args):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _good():
    kills = [{"by_kill": True, "recorded_rows": rows} for rows in (64, 128, 192)]
    equal = {"rows_that_differ": 0, "rows_scored_twice": 0, "metrics_differ": False}
    shared = {**equal, "rows_by_process": [136, 128]}
    killed = {**equal, "kills": kills, "rows_replaced": 0}
    return {"images": 264, "killed": killed, "shards": dict(shared), "torchrun": dict(shared)}


def test_a_report_whose_truths_hold_has_nothing_broken(benchmark):
    assert benchmark.broken_truths(_good(), 3) == []


@pytest.mark.parametrize(
    ("where", "key", "value", "said"),
    [
        ("killed", "rows_that_differ", 1, "killed: rows that differ"),
        ("killed", "rows_scored_twice", 2, "killed: rows scored twice"),
        ("killed", "rows_replaced", 1, "killed: recorded rows were replaced"),
        ("shards", "metrics_differ", True, "shards: metrics differ"),
        ("torchrun", "rows_by_process", [264], "torchrun: not 2 processes"),
        ("killed", "kills", [{"by_kill": True, "recorded_rows": 64}], "not killed 3 times"),
    ],
)
def test_each_broken_truth_is_named(benchmark, where, key, value, said):
    report = copy.deepcopy(_good())
    report[where][key] = value
    assert said in benchmark.broken_truths(report, 3)


@pytest.mark.parametrize(
    ("rows", "by_kill", "said"),
    [
        ((0, 128, 192), True, "a kill did not fall into the middle"),
        ((64, 64, 192), True, "a kill did not fall into the middle"),
        ((64, 128, 264), True, "a kill did not fall into the middle"),
        ((64, 128, 192), False, "not killed 3 times"),
    ],
)
def test_a_kill_before_between_or_behind_the_scoring_does_not_count(benchmark, rows, by_kill, said):
    report = _good()
    report["killed"]["kills"] = [{"by_kill": by_kill, "recorded_rows": n} for n in rows]
    assert said in benchmark.broken_truths(report, 3)


@pytest.mark.parametrize(("rows", "expected"), [(200, [64, 128, 192]), (264, [64, 128, 192]), (1000, [256, 512, 768])])
def test_kills_fall_behind_whole_batches_that_grow_and_leave_some_over(benchmark, rows, expected):
    assert benchmark.kill_points(rows, 3) == expected


def test_rows_are_equal_but_for_their_time_and_no_answer_equals_no_answer(benchmark):
    row = {"sample": "a", "score": math.nan, "mos": 1.0, "seconds": 0.1}
    assert benchmark.same_row(row, {**row, "seconds": 0.2, "score": float("nan")})
    assert not benchmark.same_row(row, {**row, "score": 1.0})
    assert not benchmark.same_row(row, {**row, "mos": 1.0 + 1e-15})


def test_too_few_images_for_kills_in_the_middle_are_refused(images):
    run = _run("--images", images, "--limit", 30)
    assert run.returncode == 2
    assert "take more than 192" in run.stderr


@pytest.mark.slow
def test_killed_three_times_and_in_two_processes_the_table_is_that_of_a_quiet_run(images):
    run = _run("--images", images, "--limit", 200)
    assert run.returncode == 0, run.stderr + run.stdout
    report = json.loads(run.stdout)
    assert report["ok"] and report["broken"] == []
    assert [kill["by_kill"] for kill in report["killed"]["kills"]] == [True] * 3
    assert report["killed"]["rows_from_killed_runs"] >= 192
    assert sum(report["shards"]["rows_by_process"]) == sum(report["torchrun"]["rows_by_process"]) == 200
