"""Two processes of torchrun do what one does: same pools, rewards and advantages, same updated weights.

AdamW divides a gradient by its own size, so rounding of gradients near zero shows at the scale of the learning rate,
here 1e-4 a step and weight; 1e-5 is the bound on the difference of any weight.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from peft import PeftModel

from pondera.models import load_model
from tests.engine.joint import run_job
from tests.engine.launch import torchrun, two_processes
from tests.engine.small import same, small_manifest, weights

pytestmark = pytest.mark.slow

REINFORCE = """
name: joint
model: {{init: nano}}
data: {{manifest: {manifest}, validation_split: null}}
prompts: {{reason: short.unit, fast: short.unit.fast, max_new_tokens: 60}}
stages:
  - kind: reinforce
    system: pondera
    steps: 2
    samples_per_step: 4
    group_size: 4
    normalise: dapo  # its weights ask for the tokens of both processes
    kl_weight: 0.05
    token_budget: 700
    save_every: 1
    optimiser: {{learning_rate: 0.0001, schedule: constant}}
"""
SHARDED, LORA = "model.sharded=true", "model.lora={rank: 2, alpha: 64}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    manifest = small_manifest(folder)
    (folder / "reinforce.yaml").write_text(REINFORCE.format(manifest=manifest))
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    """Reinforcement in this process: all weights, and an adapter."""
    recipe = str(folder / "reinforce.yaml")
    whole = run_job({"recipe": recipe, "out": str(folder / "one")})
    run_job({"recipe": recipe, "out": str(folder / "one_lora"), "overrides": [LORA]})
    return whole


@pytest.fixture(scope="module")
def together(folder):
    jobs = {
        "ddp": {},
        "ddp_resumed": {"stop_at": 1},
        "pieces": {"overrides": [SHARDED]},
        "pieces_resumed": {"overrides": [SHARDED], "stop_at": 1},
        "lora": {"overrides": [LORA]},
        "lora_pieces": {"overrides": [LORA, SHARDED]},
        "lora_pieces_resumed": {"overrides": [LORA, SHARDED], "stop_at": 1},
    }
    recipe = str(folder / "reinforce.yaml")
    return two_processes(folder, {name: {"recipe": recipe, **job} for name, job in jobs.items()})


def _final(folder, name):
    return weights(folder / name / "final")


def _largest_difference(found, expected):
    assert found.keys() >= expected.keys()
    return max(float(np.abs(found[k].astype(float) - expected[k].astype(float)).max()) for k in expected)


def _by_place(ranks, step, name):
    found = {}
    for seen in ranks:
        found |= dict(zip(seen["steps"][step]["places"], seen["steps"][step][name], strict=True))
    return np.array([found[place] for place in sorted(found)])


@pytest.mark.parametrize("name", ["ddp", "pieces"])
def test_two_processes_do_what_one_does(folder, alone, together, name):
    assert alone["world_size"] == 1 and np.ptp([step["reward"] for step in alone["steps"]]) > 0
    ranks = together[name]
    assert [seen["world_size"] for seen in ranks] == [2, 2]
    for step, expected in enumerate(alone["steps"]):
        for seen in ranks:
            assert seen["steps"][step]["pool"] == expected["pool"]
        for value in ("reward", "advantage"):
            np.testing.assert_allclose(_by_place(ranks, step, value), expected[value], rtol=0, atol=1e-12)
    assert _largest_difference(_final(folder, name), _final(folder, "one")) < 1e-5


def test_models_are_copies_or_pieces_as_the_recipe_says(together):
    for name, ranks in together.items():
        for seen in ranks:
            stage = seen["stages"]["reinforce"]
            if "pieces" not in name:
                assert stage["wrapped"] == 1 and stage["sharded"] == 0
            elif "lora" not in name:
                assert stage["wrapped"] == 0 and stage["sharded"] == stage["parameters"]
            else:  # the adapter is small, and whole on each process
                assert stage["wrapped"] == 0 and 0 < stage["sharded"] < stage["parameters"]


@pytest.mark.parametrize("name", ["ddp", "pieces", "lora_pieces"])
def test_a_run_of_two_processes_that_was_interrupted_ends_where_the_other_does(folder, together, name):
    for seen in together[f"{name}_resumed"]:
        assert seen["stopped"] == [1] and len(seen["steps"]) == 2  # the first step was not done again
    assert same(_final(folder, f"{name}_resumed"), _final(folder, name))
    assert not list((folder / f"{name}_resumed" / "stages" / "reinforce").glob("checkpoints*/*"))


@pytest.mark.parametrize("name", ["ddp", "pieces", "lora", "lora_pieces"])
def test_what_two_processes_leave_is_a_folder_that_one_loads(folder, together, name):
    final = folder / name / "final"
    assert sorted(path.name for path in final.iterdir()) == sorted(p.name for p in (folder / "one" / "final").iterdir())
    assert "distributed_config" not in json.loads((final / "config.json").read_text())
    held, found = load_model(str(final)).family.model.state_dict(), weights(final)
    assert all(np.array_equal(held[key].numpy(), found[key]) for key in found)


@pytest.mark.parametrize("name", ["lora", "lora_pieces"])
def test_an_adapter_is_the_same_from_two_processes_written_once_and_can_be_loaded(folder, alone, together, name):
    assert _largest_difference(_final(folder, name), _final(folder, "one_lora")) < 1e-5
    adapter = folder / name / "stages" / "reinforce" / "adapter"
    assert {p.name for p in adapter.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    assert len(list(adapter.glob("*.safetensors"))) == 1
    base = load_model("nano").family.model
    before = {key: value.clone() for key, value in base.state_dict().items()}
    merged = PeftModel.from_pretrained(base, adapter).merge_and_unload().state_dict()
    found = _final(folder, name)
    moved = {key for key in found if not np.array_equal(before[key].numpy(), found[key])}
    assert moved and all("language_model.layers" in key for key in moved)
    assert max(float(np.abs(merged[key].numpy() - found[key]).max()) for key in moved) < 1e-6


def test_no_model_is_wrapped_when_the_group_is_destroyed(folder, together):
    """Freed behind its group, such a model kept its process from ending."""
    assert together["ddp"][0]["stages"]["reinforce"]["wrapped"] == 1
    assert [json.loads((folder / f"jobs-left{r}.json").read_text()) for r in range(2)] == [0, 0]


def test_a_model_that_somebody_else_cut_into_pieces_is_saved_whole(tmp_path):
    """accelerate cuts a model after it was loaded; the library would write the pieces of the first process."""
    done = torchrun("-m", "tests.engine.cut", tmp_path / "model")
    assert done.returncode == 0, done.stderr[-4000:]
    whole = load_model("nano").family.model.state_dict()
    assert all(np.array_equal(value, whole[key].numpy()) for key, value in weights(tmp_path / "model").items())
    assert (tmp_path / "model" / "pondera.json").is_file()
