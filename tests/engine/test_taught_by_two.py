"""Two processes with half of a batch each are taught what one process with the whole batch is.

AdamW divides a gradient by its own size, so rounding of gradients near zero shows at the scale of the learning rate,
and batch normalisation of few pictures makes rounding large. So copies of the model are compared in double precision,
where what is not rounding would be seen; pieces, which a CPU computes in single precision, are compared with copies.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pondera.data.manifest import read_manifest, write_manifest
from pondera.engine.run_folder import save_model
from pondera.models import load_model
from tests.engine.joint import run_job
from tests.engine.launch import two_processes
from tests.engine.small import same, small_manifest, weights

pytestmark = pytest.mark.slow

RECIPE = """
name: taught
model: {{init: {model}}}
data: {{manifest: {manifest}, validation_samples: 3}}
prompts: {{max_new_tokens: 8}}
stages: [{{{stage}, batch_size: 4, optimiser: {{learning_rate: 0.0001, schedule: constant}}}}]
"""
PRETRAIN = "name: it, kind: pretrain, steps: 2, versions: 2, num_workers: 0, precision: float32, pristine: {pristine}"
# The tokens that are taught, and the samples with a level, differ in number between the halves of a batch.
RATIONALES = (
    "name: it, kind: cold_start, rationales: {{source: measuring}}, validate_every: 2, "
    "soft_labels: {{spread: 0.6, fidelity_weight: 0}}"
)
ANSWERS = "name: it, kind: cold_start, reasoning: false, validate_every: 2"
STAGES = {"pretrain": PRETRAIN, "rationales": RATIONALES, "answers": ANSWERS}
HALF, SHARDED, SINGLE = "stages.it.batch_size=2", "model.sharded=true", "model.init=nano"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("taught")


@pytest.fixture(scope="module")
def recipes(folder):
    manifest, double = small_manifest(folder), load_model("nano", dtype="float64")
    save_model(double.family, double.card, folder / "double")
    samples = [replace(s, mos=None, scale=None) if s.id in ("s1", "s2", "s6") else s for s in read_manifest(manifest)]
    write_manifest(folder / "unlabelled.jsonl", samples)
    found = {}
    for name, template in STAGES.items():
        data = folder / "unlabelled.jsonl" if name == "rationales" else manifest
        stage = template.format(pristine=manifest.with_name("pristine.jsonl"))
        path = folder / f"{name}.yaml"
        path.write_text(RECIPE.format(manifest=data, model=folder / "double", stage=stage))
        found[name] = str(path)
    return found


@pytest.fixture(scope="module")
def alone(folder, recipes):
    return {name: run_job({"recipe": path, "out": str(folder / name)}) for name, path in recipes.items()}


@pytest.fixture(scope="module")
def together(folder, recipes):
    jobs = {f"{name}_copies": {"recipe": path, "overrides": [HALF]} for name, path in recipes.items()}
    for name in ("rationales", "answers"):
        jobs[f"{name}_single"] = {"recipe": recipes[name], "overrides": [HALF, SINGLE]}
        jobs[f"{name}_pieces"] = {"recipe": recipes[name], "overrides": [HALF, SINGLE, SHARDED]}
    frozen = [HALF, SINGLE, SHARDED, "stages.it.freeze_vision=true"]
    for name in ("single", "pieces"):
        resumed = [*jobs[f"answers_{name}"]["overrides"], "stages.it.save_every=1"]
        jobs[f"answers_{name}_resumed"] = {"recipe": recipes["answers"], "overrides": resumed, "stop_at": 1}
    jobs["frozen_pieces"] = {"recipe": recipes["rationales"], "overrides": frozen}
    return two_processes(folder, jobs)


def _gradient(folder, name):
    """Of the first step."""
    return dict(np.load(folder / name / "it.npz"))


def _distance(found, expected):
    """Norm of the difference of all arrays, as a share of the norm of those expected."""
    assert found.keys() == expected.keys()
    differences = [np.linalg.norm(found[key].astype(float) - expected[key]) for key in expected]
    return np.linalg.norm(differences) / np.linalg.norm([np.linalg.norm(value) for value in expected.values()])


def _check(folder, found, expected, *, gradient, weight):
    """Bounds on the distance of the first gradients, and on the difference of any learned weight."""
    assert _distance(_gradient(folder, found), _gradient(folder, expected)) < gradient
    mine, theirs = (weights(folder / run / "final") for run in (found, expected))
    counted = [key for key in theirs if "running_" in key or "num_batches" in key]  # by batch normalisation
    assert counted and _distance({k: mine[k] for k in counted}, {k: theirs[k] for k in counted}) < 1e-6
    worst = max(float(np.abs(mine[k].astype(float) - theirs[k]).max()) for k in theirs.keys() - counted)
    assert worst < weight, f"weights differ by {worst}"


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_are_taught_what_one_is(folder, alone, together, stage):
    name = f"{stage}_copies"
    assert alone[stage]["world_size"] == 1 and [seen["world_size"] for seen in together[name]] == [2, 2]
    assert all(seen["stages"]["it"]["wrapped"] == 1 for seen in together[name])
    single = {"gradient": 1e-5, "weight": 1e-5}  # the losses of pretraining are worked out in single precision
    _check(folder, name, stage, **single if stage == "pretrain" else {"gradient": 1e-12, "weight": 1e-10})


@pytest.mark.parametrize("stage", ["rationales", "answers"])
def test_pieces_are_taught_what_copies_are(folder, together, stage):
    for seen in together[f"{stage}_pieces"]:
        parts = seen["stages"]["it"]
        assert parts["sharded"] == parts["parameters"] and parts["wrapped"] == 0
    _check(folder, f"{stage}_pieces", f"{stage}_single", gradient=1e-6, weight=1e-5)


@pytest.mark.parametrize("name", ["answers_single", "answers_pieces"])
def test_an_interrupted_cold_start_ends_where_the_other_does(folder, together, name):
    """Batch normalisation counts what it has seen: not among the weights, and lost it would show here."""
    for seen in together[f"{name}_resumed"]:
        assert seen["stopped"] == [1] and seen["begun"] == together[name][0]["begun"]  # none was done again
    assert same(*(weights(folder / run / "final") for run in (f"{name}_resumed", name)))


def test_the_teacher_is_asked_once_and_all_processes_learn_from_what_it_said(folder, alone, together):
    said = [folder / run / "rationales" / "it" / "score.jsonl" for run in ("rationales", "rationales_copies")]
    mine, theirs = ([sample.rationale for sample in read_manifest(path)] for path in said)
    assert mine == theirs and all(mine)


def test_a_frozen_tower_in_pieces_stays_as_it_was(folder, together):
    assert together["frozen_pieces"][0]["stages"]["it"]["sharded"]
    before, after = load_model("nano").family.model.state_dict(), weights(folder / "frozen_pieces" / "final")
    tower = [key for key in after if "vision_tower" in key]
    assert tower and all(np.array_equal(before[key].numpy(), after[key]) for key in tower)
    assert any(not np.array_equal(before[key].numpy(), after[key]) for key in after if "projector" in key)


@pytest.mark.parametrize("stage", ["rationales", "answers"])
def test_each_held_out_sample_is_scored_once(folder, alone, together, stage):
    first, second = (seen["validated"] for seen in together[f"{stage}_copies"])
    scored = [sorted([*a, *b]) for a, b in zip(first, second, strict=True)]
    assert scored == [sorted(samples) for samples in alone[stage]["validated"]] and len(scored) > 2
    found, expected = (
        [json.loads(line) for line in (folder / run / "metrics.jsonl").read_text().splitlines() if "val_valid" in line]
        for run in (f"{stage}_copies", stage)
    )
    assert any("val_srcc" in line for line in expected) == (stage == "answers")  # the others have no valid answer
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)  # what stands beside a sample in a batch rounds its score
