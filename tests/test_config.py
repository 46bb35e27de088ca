"""Recipes that extend others, and what a stage may set."""

from __future__ import annotations

import pytest

from pondera.config import ColdStartStage, load_recipe
from pondera.errors import ConfigError

BASE = """
name: base
data: {manifest: a.jsonl, validation_samples: 10}
stages:
  - {kind: cold_start, epochs: 2, optimiser: {learning_rate: 0.1, warmup_steps: 3}}
"""
OWN = """
extends: %s
name: own
data: {manifest: b.jsonl}
stages:
  - {kind: reinforce, steps: 5, optimiser: {learning_rate: 0.2}}
  - {kind: cold_start, optimiser: {learning_rate: 0.3}}
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "own.yaml").write_text(OWN % (tmp_path / "base.yaml"))
    return str(tmp_path / "own.yaml")


def test_a_recipe_takes_what_it_leaves_out_from_the_one_it_extends(own):
    recipe = load_recipe(own)
    assert (recipe.name, recipe.data.manifest, recipe.data.validation_samples) == ("own", "b.jsonl", 10)


def test_stages_follow_those_of_the_base_and_one_of_the_same_name_changes_it(own):
    first, second = load_recipe(own).stages
    assert (first.kind, second.kind) == ("cold_start", "reinforce")
    assert isinstance(first, ColdStartStage) and first.epochs == 2
    assert (first.optimiser.learning_rate, first.optimiser.warmup_steps) == (0.3, 3)


def test_overrides_come_last(own):
    assert load_recipe(own, ["stages.cold_start.epochs=7"]).stages[0].epochs == 7


def test_a_recipe_that_extends_itself_is_refused(tmp_path):
    path = tmp_path / "loop.yaml"
    path.write_text(f"extends: {path}\nname: loop\n")
    with pytest.raises(ConfigError, match="extends itself"):
        load_recipe(str(path))


def test_an_unknown_base_is_named(tmp_path):
    (tmp_path / "r.yaml").write_text("extends: nope\nname: r\n")
    with pytest.raises(ConfigError, match="no recipe 'nope'"):
        load_recipe(str(tmp_path / "r.yaml"))


def test_rationales_without_reasoning_are_refused(own):
    changes = ["stages.cold_start.reasoning=false", "stages.cold_start.rationales={source: measuring}"]
    with pytest.raises(ConfigError, match="rationales has no meaning where reasoning is false"):
        load_recipe(own, changes)
