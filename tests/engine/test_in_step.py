"""Two processes stay in step where one of them runs out of memory, meets a bad file, or has less to do."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from pondera.data.manifest import read_manifest
from pondera.engine.batches import plan_batches
from tests.engine.joint import run_job
from tests.engine.launch import two_processes
from tests.engine.small import small_manifest, weights

pytestmark = pytest.mark.slow

REINFORCE = """
name: in_step
model: {{init: nano}}
data: {{manifest: {manifest}, validation_split: null, max_unreadable: 0.2}}
prompts: {{reason: short.unit, fast: short.unit.fast, max_new_tokens: 16}}
stages:
  - kind: reinforce
    system: {system}
    steps: 1
    samples_per_step: 4
    group_size: 4
    entropy_share: 0.3
    optimiser: {{learning_rate: 0.0001, schedule: constant}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recipe on twelve samples of which the first batch has one that cannot be read, and one on 33 with captions."""
    folder = tmp_path_factory.mktemp("in_step")
    manifest = small_manifest(folder)
    (folder / "gated.yaml").write_text(REINFORCE.format(manifest=manifest, system="pondera"))
    train = [json.loads(line) for line in manifest.read_text().splitlines()][:11]
    more = [{**sample, "id": f"{sample['id']}-{k}"} for k in range(3) for sample in train]
    (folder / "more.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in more))
    (folder / "captioned.yaml").write_text(REINFORCE.format(manifest=folder / "more.jsonl", system="cappo"))
    samples = [sample for sample in read_manifest(manifest) if sample.split == "train"]
    first = plan_batches(samples, batch_size=4, num_batches=1, least=2, seed=0)[0]
    os.truncate(samples[first[1]].path(), 40)
    return folder


@pytest.fixture(scope="module")
def together(folder):
    gated, captioned = (str(folder / f"{name}.yaml") for name in ("gated", "captioned"))
    jobs = {
        "gated": {"recipe": gated},
        "starved": {"recipe": gated, "starve": True},
        "captioned": {"recipe": captioned, "overrides": ["model.sharded=true"]},
    }
    return two_processes(folder, jobs)


def test_an_unreadable_sample_leaves_the_pool_of_two_processes_that_of_one(folder, together):
    alone = run_job({"recipe": str(folder / "gated.yaml"), "out": str(folder / "one")})
    for seen in together["gated"]:
        assert seen["steps"][0]["pool"] == alone["steps"][0]["pool"]


def test_memory_that_ends_in_one_process_lets_both_start_the_gate_again(folder, together):
    """It ended in the very first pass: the other process had been through it."""
    assert together["starved"][0]["world_size"] == 2
    expected, found = weights(folder / "gated" / "final"), weights(folder / "starved" / "final")
    assert max(float(np.abs(found[k].astype(float) - expected[k].astype(float)).max()) for k in expected) < 1e-5


def test_a_model_in_pieces_captions_a_number_of_samples_that_two_processes_cannot_share(folder, together):
    """33 samples: one process alone would ask once more than the other, and wait for it forever."""
    assert all(seen["stages"]["reinforce"]["sharded"] for seen in together["captioned"])
    lines = (folder / "captioned" / "stages" / "reinforce" / "captions.jsonl").read_text().splitlines()
    assert len(lines) == 33 - 3  # one picture of three samples cannot be read
