"""Whole runs of systems with second views: turned on by themselves, logged, with files where the docs say."""

from __future__ import annotations

import json
import math

import pytest

from pondera.engine.run import run_recipe
from tests.engine.small import small_manifest, small_recipe

LOGGED = {
    "q-hawkeye": {"degraded/kl", "degraded/changed"},
    "cappo": {"caption/kl"},
    "q-ponder-text": {"reward/consistency"},
}


def _run(folder, out, system, *more):
    manifest = small_manifest(folder)
    changes = [f"stages.reinforce.{change}" for change in (f"system={system}", "steps=2", *more)]
    run_recipe(small_recipe(manifest, *changes), out)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["stage"] == "reinforce" and "loss" in line]


@pytest.mark.parametrize(
    "system", [pytest.param(name, marks=pytest.mark.slow) if name != "cappo" else name for name in LOGGED]
)
def test_a_recipe_that_names_the_system_trains_with_its_views(system, tmp_path):
    steps = _run(tmp_path, tmp_path / "run", system)
    assert len(steps) == 2 and all(LOGGED[system] <= set(step) and math.isfinite(step["loss"]) for step in steps)
    captions = tmp_path / "run" / "stages" / "reinforce" / "captions.jsonl"
    assert captions.is_file() == (system == "cappo")
    if system == "cappo":
        assert sorted(json.loads(line)["sample"] for line in captions.read_text().splitlines()) == sorted(
            f"s{i}" for i in range(12)
        )


@pytest.mark.slow
def test_micro_batches_leave_a_views_gradient_as_it_is(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    view = "second_views=[{kind: masked, weight: 3.0}]"
    whole = _run(tmp_path / "a", tmp_path / "whole", "pondera", view, "kl_weight=0.0")
    parts = _run(tmp_path / "b", tmp_path / "parts", "pondera", view, "kl_weight=0.0", "token_budget=60")
    assert parts[0]["micro_batches"] > whole[0]["micro_batches"] == 1
    for key in ("loss", "grad_norm", "masked/kl"):
        assert parts[0][key] == pytest.approx(whole[0][key], rel=1e-3)
