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


STAGE = "stages: [{kind: reinforce, optimiser: {learning_rate: 0.1}, steps: 1}]"


@pytest.fixture
def one_stage(tmp_path):
    """A recipe of one stage."""
    path = tmp_path / "one.yaml"
    path.write_text(f"name: one\ndata: {{manifest: m.jsonl}}\n{STAGE}\n")
    return str(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps=0", r"stages\.0\.reinforce\.steps = 0: Input should be greater than or equal to 1$"),
        ("optimiser.learning_rate=.inf", r"learning_rate = inf: Input should be a finite number$"),
        ("temperature=.inf", r"temperature = inf: Input should be a finite number$"),
        ("second_views=[{kind: perturbed_frames, completions: 9}]", "completions must be <= group_size = 8, got 9"),
        ("weights={a: ", r"--set 'stages\.reinforce\.weights=\{a: ': the value is not YAML"),
    ],
)
def test_a_wrong_value_of_a_stage_is_one_line_that_names_it(one_stage, change, message):
    with pytest.raises(ConfigError, match=message) as refused:
        load_recipe(one_stage, [f"stages.reinforce.{change}"])
    assert "\n" not in str(refused.value) and "at least 1 item" not in str(refused.value)


def test_an_empty_list_of_manifests_is_refused(one_stage):
    with pytest.raises(ConfigError, match="at least 1 item"):
        load_recipe(one_stage, ["data.manifest=[]"])


def test_a_recipe_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_recipe(str(path))


def test_rationales_without_reasoning_are_refused(own):
    changes = ["stages.cold_start.reasoning=false", "stages.cold_start.rationales={source: measuring}"]
    with pytest.raises(ConfigError, match="rationales has no meaning where reasoning is false"):
        load_recipe(own, changes)
