"""A corrupt or missing image in the middle of a run: said, skipped, counted, replaced; too many stop it."""

from __future__ import annotations

import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pondera.core.records import Media, Sample
from pondera.data.images import load_image
from pondera.data.manifest import read_manifest
from pondera.engine import pretrain, rationale_sources, unreadable
from pondera.engine.batches import plan_batches
from pondera.engine.run import run_recipe
from pondera.engine.training import MetricsFile
from pondera.engine.unreadable import Refill, Unreadable
from pondera.errors import MediaError, TrainingError
from tests.engine.small import same, small_manifest, small_recipe, weights


def _samples(count=10, **more):
    return [Sample(f"s{i}", (Media(f"{i}.png"),), **more) for i in range(count)]


def _refill(samples, bad, most=1.0, seed=0):
    def read(sample, seed):
        if sample.id in bad:
            raise MediaError(f"{sample.path()}: damaged")

    return Refill(samples, read, seed=seed, unreadable=Unreadable(len(samples), most, "training sample"))


def _ids(samples):
    return [sample.id for sample in samples]


def test_a_batch_that_can_be_read_stays_as_it_is():
    samples = _samples()
    assert _refill(samples, set())(samples[:4], 3) == samples[:4]


def test_what_cannot_be_read_is_replaced_in_its_place_by_one_that_is_not_there_yet():
    samples = _samples()
    filled = _ids(_refill(samples, {"s1", "s2", "s7"})(samples[:4], 3))
    assert (filled[0], filled[3]) == ("s0", "s3")
    assert len(set(filled)) == 4 and set(filled[1:3]) <= {"s4", "s5", "s6", "s8", "s9"}


def test_replacements_depend_on_seed_and_step_and_on_nothing_that_was_before():
    samples = _samples(40)
    refill = _refill(samples, {"s1"})
    first = [_ids(refill(samples[:2], step))[1] for step in range(8)]
    assert [_ids(_refill(samples, {"s1"})(samples[:2], step))[1] for step in reversed(range(8))] == first[::-1]
    assert len(set(first)) > 1
    assert [_ids(_refill(samples, {"s1"}, seed=1)(samples[:2], step))[1] for step in range(8)] != first


def test_replacements_are_of_the_same_dataset_and_task():
    samples = _samples(6, dataset="a") + [replace(s, id=f"b{s.id}", dataset="b") for s in _samples(6)]
    filled = _refill(samples, {"s0", "bs0"})([samples[0], samples[6]], 0)
    assert [sample.dataset for sample in filled] == ["a", "b"]


def test_a_dataset_of_which_nothing_is_left_stops_the_run():
    samples = _samples(2)
    with pytest.raises(TrainingError, match="'s0' cannot be read, and no other one of dataset 'default' is left"):
        _refill(samples, {"s0"})(samples, 0)


def test_each_is_said_once_and_too_many_stop_the_run(caplog):
    samples = _samples(10)
    with caplog.at_level(logging.WARNING, "pondera"):
        refill = _refill(samples, {"s0", "s1"}, most=0.2)
        for step in range(3):
            refill(samples[:2], step)
    said = [record.getMessage() for record in caplog.records]
    assert sorted(set(said)) == sorted(said) and "training sample 's0' is skipped: 0.png: damaged" in said
    with pytest.raises(TrainingError, match=r"3 of 10 training samples cannot be read, a larger share than .* = 0.2"):
        _refill(samples, {"s0", "s1", "s2"}, most=0.2)(samples[:3], 0)


def _shared(world_size, batch, refill_of, steps, monkeypatch):
    """What that many processes, here threads, make of a batch at each step, in the order of its places."""
    here, meet, held = threading.local(), threading.Barrier(world_size, timeout=20), {}

    def gathered(value):
        held[here.rank] = value
        meet.wait()
        found = [held[r] for r in range(world_size)]
        meet.wait()  # nobody writes before all have read
        return found

    def share(rank):
        here.rank = rank
        refill = refill_of()
        found = [refill(batch[rank::world_size], step) for step in steps]
        return found, list(refill.unreadable.reasons)

    with monkeypatch.context() as patch, ThreadPoolExecutor(world_size) as pool:
        patch.setattr(unreadable, "gathered", gathered)
        shares, counted = zip(*pool.map(share, range(world_size)), strict=True)
    assert all(reasons == counted[0] for reasons in counted)
    by_step = zip(*shares, strict=True)
    return [[ranks[i % world_size][i // world_size].id for i in range(len(batch))] for ranks in by_step], counted[0]


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_replace_and_count_as_one_does_and_none_takes_a_sample_of_another(world_size, monkeypatch):
    samples, bad = _samples(8), {"s1", "s2", "s5"}
    one = _shared(1, samples[:4], lambda: _refill(samples, bad), range(12), monkeypatch)
    assert all(len(set(batch)) == 4 and not bad & set(batch) for batch in one[0])
    assert _shared(world_size, samples[:4], lambda: _refill(samples, bad), range(12), monkeypatch) == one


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "data").mkdir()
    return small_manifest(tmp_path / "data")


def _lines(out, key):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["stage"], line[key]) for line in lines if key in line]


@pytest.mark.parametrize("damage", ["corrupt", "missing"])
def test_a_run_goes_on_without_what_it_cannot_read_and_counts_it(manifest, tmp_path, damage, caplog):
    samples = read_manifest(manifest)
    train, held_out = samples[4], next(s for s in samples if s.split == "val")
    for sample in (train, held_out):
        os.truncate(sample.path(), 40)
    if damage == "missing":
        (manifest.parent / f"{train.id[1:]}.png").unlink()
    recipe = small_recipe(manifest, "data.max_unreadable=0.3")
    with caplog.at_level(logging.WARNING, "pondera"):
        final = run_recipe(recipe, tmp_path / "run")
    said = " ".join(record.getMessage() for record in caplog.records)
    assert f"training sample {train.id!r} is skipped: " in said and train.path() in said
    assert f"held-out sample {held_out.id!r} is skipped: " in said
    # One epoch of the cold start meets it once; three steps of four of twelve in reinforcement once as well.
    assert _lines(tmp_path / "run", "skipped") == [("cold_start", 1.0), ("reinforce", 1.0)]
    assert {value for _, value in _lines(tmp_path / "run", "val_skipped")} == {1}
    again = run_recipe(recipe, tmp_path / "again")
    assert same(weights(final), weights(again))


CAPTIONED = "stages.reinforce.system=cappo"
MEASURED = "stages.cold_start.rationales={source: measuring}"


@pytest.mark.parametrize(("stage", "change"), [("reinforce", CAPTIONED), ("cold_start", MEASURED)])
@pytest.mark.parametrize("damage", ["corrupt", "missing"])
def test_what_looks_at_all_samples_before_a_stage_skips_one_that_cannot_be_read(
    manifest, tmp_path, stage, change, damage, caplog
):
    bad = read_manifest(manifest)[4]
    os.truncate(bad.path(), 40)
    if damage == "missing":
        Path(bad.path()).unlink()
    recipe = small_recipe(manifest, "data.max_unreadable=0.2", "model.init=nano", change)
    recipe = recipe.model_copy(update={"stages": tuple(s for s in recipe.stages if s.name == stage)})
    with caplog.at_level(logging.WARNING, "pondera"):
        run_recipe(recipe, tmp_path / "run")
    said = [r.getMessage() for r in caplog.records if f"training sample {bad.id!r} is skipped" in r.getMessage()]
    assert len(said) == 1 and bad.path() in said[0]
    strict = recipe.model_copy(update={"data": recipe.data.model_copy(update={"max_unreadable": 0.0})})
    with pytest.raises(TrainingError, match="1 of 12 training samples cannot be read"):
        run_recipe(strict, tmp_path / "strict")


def test_rejection_sampling_leaves_out_what_cannot_be_read(manifest, tmp_path, monkeypatch, caplog):
    bad = read_manifest(manifest)[4]
    os.truncate(bad.path(), 40)
    asked = []

    def all_right(sample, *_):
        asked.append(sample.id)
        return sample.rationale

    monkeypatch.setattr(rationale_sources, "best_rollout", all_right)
    change = "stages.cold_start.rationales={source: rejection_sampled, num: 1}"
    recipe = small_recipe(manifest, "data.max_unreadable=0.2", "model.init=nano", change)
    recipe = recipe.model_copy(update={"stages": (recipe.stages[1],)})
    with caplog.at_level(logging.WARNING, "pondera"):
        run_recipe(recipe, tmp_path / "run")
    assert len(asked) == 11 and bad.id not in asked
    assert caplog.text.count(f"training sample {bad.id!r} is skipped") == 1


def test_a_resumed_stage_counts_on_from_its_checkpoint(manifest, tmp_path, monkeypatch):
    """Two bad samples meet different steps; more than one is too many, whether or not the run stopped in between."""
    train = [sample for sample in read_manifest(manifest) if sample.split == "train"]
    recipe = small_recipe(manifest, "data.max_unreadable=0.1", "model.init=nano", "data.validation_split=null")
    recipe = recipe.model_copy(update={"stages": (recipe.stages[2],)})
    batches = plan_batches(train, batch_size=4, num_batches=3, least=2, seed=0)
    for batch in batches[:2]:
        os.truncate(train[batch[0]].path(), 40)

    def stop(self, args, state, control, **_):
        if state.global_step == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "on_step_begin", stop)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe, tmp_path / "run")
    with pytest.raises(TrainingError, match="2 of 12 training samples cannot be read"):
        run_recipe(recipe, tmp_path / "run", resume=True)


def test_a_picture_that_pretraining_cannot_read_is_left_out_and_too_many_stop_it(manifest, tmp_path, caplog):
    (manifest.parent / "0.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "pondera"):
        run_recipe(small_recipe(manifest, "data.max_unreadable=0.3"), tmp_path / "run", only_stage="pretrain")
    assert "pristine picture 's0' is skipped" in caplog.text
    with pytest.raises(TrainingError, match="1 of 4 pristine pictures cannot be read"):
        run_recipe(small_recipe(manifest), tmp_path / "stopped", only_stage="pretrain")


def test_pictures_are_read_when_looked_up_and_only_the_last_ones_stay_in_memory(manifest, monkeypatch):
    paths = [manifest.parent / f"{i}.png" for i in range(3)]
    reads = []
    monkeypatch.setattr(pretrain, "load_image", lambda path: reads.append(path) or load_image(path))
    monkeypatch.setattr(pretrain, "_PICTURES_KEPT", 2)
    pictures = pretrain.Pictures(paths)
    assert len(pictures) == 3 and not reads
    for index in (0, 1, 0, 2, 0, 1):
        assert np.array_equal(pictures[index], load_image(paths[index]))
    assert reads == [paths[0], paths[1], paths[2], paths[1]]
