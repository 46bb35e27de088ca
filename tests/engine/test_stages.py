"""Sequences of stages: who explains, what the KL holds to, what a stage does with its system."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from pondera.config import MeasuredRationales, ReinforceStage, load_recipe
from pondera.core.answers import AnswerFormat
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.core.system import Ramp
from pondera.data.manifest import read_manifest
from pondera.data.synthesize import bundled_references, synthesize
from pondera.engine.grading import stage_system
from pondera.engine.rationale_sources import best_rollout, measured_rationales
from pondera.engine.run import run_recipe
from pondera.errors import ConfigError, TrainingError
from pondera.generate.backend import Completion
from pondera.models import ModelCard

RECIPE = """
name: sequence
data: {manifest: %s, validation_samples: 2}
model: {hidden_size: 32, num_layers: 1, vision_widths: [8, 16], tile_px: 32, num_crops: 1}
prompts: {reason: short.five, fast: short.five.fast, max_new_tokens: 12}
stages:
  - kind: cold_start
    rationales: {source: measuring}
    epochs: 1
    batch_size: 4
    optimiser: {learning_rate: 0.001}
  - {kind: reinforce, name: exploration, system: preresq-r1-image, wordings: pool, group_size: 3, samples_per_step: 3,
     steps: 2, kl_weight: 0.1, normalise: dr_grpo, optimiser: {learning_rate: 0.01, weight_decay: 20}}
  - {kind: reinforce, name: stability, system: preresq-r1-image, system_stage: stability, group_size: 3,
     samples_per_step: 3, steps: 1, kl_weight: 0.1, optimiser: {learning_rate: 0.01}}
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    references, splits = bundled_references()
    chosen = [r for r in references if r.content in ("kodak-01", "kodak-02", "kodak-04")]
    return synthesize(
        tmp_path_factory.mktemp("data") / "d",
        references=chosen,
        num_per_reference=4,
        splits=splits,
        seed=0,
        size=(64, 48),
        num_workers=1,
    )


def _recipe(manifest, tmp_path, *more):
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE % manifest)
    return load_recipe(str(path), more)


def test_five_numbers_are_taught_by_the_measuring_teacher_and_the_reference_is_reset_or_kept(manifest, tmp_path):
    kl = {}
    for reference in ("reset", "kept"):
        out = tmp_path / reference
        final = run_recipe(_recipe(manifest, tmp_path, f"stages.stability.reference={reference}"), out)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        kl[reference] = next(line["kl"] for line in lines if line["stage"] == "stability" and "kl" in line)
        card = json.loads((final / "pondera.json").read_text())
        assert card["prompt"] == "short.five"
    # An untrained model earns nothing; the decay of its weights is what moves it away from where it started.
    # A reset reference is the policy itself at the first step; a kept one is where exploration started from.
    assert kl["reset"] == pytest.approx(0, abs=1e-9) and kl["kept"] > 1e-6
    taught = read_manifest(tmp_path / "kept" / "rationales" / "cold_start" / "score.jsonl")
    assert {s.split for s in taught} == {"train"}
    assert all(len(s.rationale.partition("<answer>")[2].splitlines()) == 5 for s in taught)


def test_labels_can_answer_one_task_and_the_teacher_the_other(manifest, tmp_path):
    score = read_manifest(manifest, split="train")[0]
    boxes = {"boxes": [{"bbox_2d": [1, 2, 30, 40], "type": "gaussian_noise", "level": 4}]}
    places = replace(score, id="places", task="grounding", mos=None, scale=None, targets=boxes)
    card = ModelCard(prompt="short.score", tasks={"grounding": "short.grounding"})
    section = MeasuredRationales(answers={"grounding": "labels"})
    (by_teacher, by_label), _ = measured_rationales([score, places], card, section, tmp_path / "some", seed=0)
    assert "[1, 2, 30, 40]" in by_label.rationale
    (alone,), _ = measured_rationales([score], card, MeasuredRationales(), tmp_path / "none", seed=0)
    assert by_teacher.rationale == alone.rationale
    with pytest.raises(TrainingError, match=r"no sample has task 'grounding'; there are score"):
        measured_rationales([score], card, section, tmp_path / "wrong", seed=0)


def _tail(manifest, tmp_path, tolerance):
    more = ["prompts.reason=quality.short", "prompts.fast=quality.short.fast", "prompts.max_new_tokens=48"]
    recipe = _recipe(manifest, tmp_path, *more)
    values = recipe.model_dump()
    first = {**values["stages"][0], "epochs": 40.0, "optimiser": {"learning_rate": 0.01}}
    last = {**first, "name": "again", "epochs": 1.0, "fast_share": 0.0}
    last["rationales"] = {"source": "rejection_sampled", "num": 4, "temperature": 0.3, "tolerance": tolerance}
    return recipe.model_validate({**values, "stages": [first, last]})


def test_a_cold_start_learns_from_the_best_of_the_policy_s_own_answers(manifest, tmp_path):
    run_recipe(_tail(manifest, tmp_path, 4.0), tmp_path / "run")
    kept = read_manifest(tmp_path / "run" / "stages" / "again" / "rationales.jsonl")
    form = AnswerFormat()
    assert kept and all(form.parse(s.rationale).is_valid for s in kept)
    counts = json.loads((tmp_path / "run" / "stages" / "again" / "rationales.json").read_text())
    assert counts == {"asked": 8, "kept": len(kept), "roll_outs": 32}
    before, after = (
        load_file(tmp_path / "run" / "stages" / s / "model" / "model.safetensors") for s in ("cold_start", "again")
    )
    assert any(not np.array_equal(before[key], after[key]) for key in before)


def test_no_right_roll_out_at_all_stops_the_stage_and_says_what_to_change(manifest, tmp_path):
    with pytest.raises(TrainingError, match="none got a roll-out within 1e-09 of its label"):
        run_recipe(_tail(manifest, tmp_path, 1e-9), tmp_path / "run")


SAMPLE = Sample("s", (Media("s.png"),), mos=3.0, scale=FIVE_POINT)
THOUGHT = "The picture looks clearly soft, as if out of focus. Sharpness is {grade}, noise is good."


def _completion(score: float, grade: str = "fair") -> Completion:
    return Completion((), (), f"<think>{THOUGHT.format(grade=grade)}</think><answer>{score:.2f}</answer>", True)


def test_the_nearest_right_and_readable_roll_out_is_chosen():
    group = [_completion(3.2), Completion((), (), "3.00", True), _completion(2.9), _completion(1.0)]
    assert best_rollout(SAMPLE, "Rate it.", group, AnswerFormat(), 0.3).endswith("<answer>2.90</answer>")
    assert best_rollout(SAMPLE, "Rate it.", group[1:2], AnswerFormat(), 0.3) is None
    assert best_rollout(SAMPLE, "Rate it.", group[3:], AnswerFormat(), 0.3) is None


def _stage(**values):
    return ReinforceStage(optimiser={"learning_rate": 0.1}, steps=1, **values)


def test_a_stage_weighs_the_terms_of_its_system_by_number_or_by_step_and_adds_its_own():
    ramp = {"start": 1.0, "end": 0.3, "first_step": 10, "last_step": 20}
    system = stage_system(
        _stage(
            weights={"format": ramp, "margin": 0.0},
            rewards=[{"term": "gaussian", "label": "wide", "weight": 2.0, "parameters": {"sigma": 1.0}}],
        )
    )
    by_name = {w.name: w for w in system.terms}
    assert [by_name["format"].factor(step) for step in (0, 15, 99)] == pytest.approx([1.0, 0.65, 0.3])
    assert by_name["format"].weight_at == Ramp(1.0, 0.3, 10, 20)
    assert by_name["margin"].factor(0) == 0 and by_name["gaussian"].factor(5) == 1 and by_name["wide"].factor(5) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": {"margn": 1.0}}, "no term 'margn' to weigh"),
        ({"rewards": [{"term": "gauss"}]}, "no reward term is called 'gauss'"),
        ({"rewards": [{"term": "gaussian", "parameters": {"sigma": -1}}]}, "sigma must be"),
        ({"rewards": [{"term": "gaussian", "parameters": {"sigma": 1}}]}, "labels of their own"),
        ({"weights": {"format": {"start": 1, "end": 0, "first_step": 5, "last_step": 5}}}, "first_step < last_step"),
    ],
)
def test_wrong_weights_and_terms_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        stage_system(_stage(**values))
