"""Reinforcement with roll-outs from vLLM's stand-ins: each step samples with the weights of that step."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pondera.config import ReinforceStage
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.engine import reinforce
from pondera.engine.grading import Graded
from pondera.engine.training import StageRun
from pondera.errors import TrainingError
from pondera.generate.vllm_backend import VllmBackend
from pondera.models import ModelCard
from tests.generate.vllm_standin import Server, installed
from tests.models.stock import processed_idefics
from tests.models.tiny import noise_image


def _samples(folder):
    samples = []
    for i in range(2):
        path = folder / f"{i}.png"
        Image.fromarray(noise_image(20 + i, 24, seed=i)).save(path)
        samples.append(Sample(id=f"s{i}", media=(Media(str(path)),), mos=2.0 + i / 2, scale=FIVE_POINT))
    return samples


def _stage(**rollout):
    values = {"steps": 2, "samples_per_step": 2, "group_size": 2, "save_every": 9, "rollout": rollout}
    optimiser = {"learning_rate": 0.05, "schedule": "constant"}
    return ReinforceStage.model_validate({"optimiser": optimiser, **values})


def _random_grades(system, own, everyone, *, stage, step):
    """Advantages that move the weights, whatever an untrained model says."""
    advantage_GK = np.random.default_rng(step).standard_normal((len(own), len(own[0].texts)))
    return Graded(advantage_GK, advantage_GK, {})


def _gaps(folder, stage, monkeypatch):
    """Mean differences between sampled and recomputed log-probabilities, one a step."""
    monkeypatch.setattr(reinforce, "grade", _random_grades)
    metrics = folder / "metrics.jsonl"
    card = ModelCard(max_new_tokens=4)
    samples = _samples(folder)
    reinforce.run_reinforce(processed_idefics(), card, stage, samples, [], StageRun(folder, metrics))
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [line["rollout_gap"] for line in lines if "rollout_gap" in line]


def test_each_step_samples_with_its_own_weights_in_the_process(tmp_path, monkeypatch):
    with installed(monkeypatch):
        gaps = _gaps(tmp_path, _stage(backend="vllm"), monkeypatch)
    assert len(gaps) == 2 and max(gaps) < 1e-4


def test_each_step_samples_with_its_own_weights_on_a_server(tmp_path, monkeypatch):
    with installed(monkeypatch), Server(processed_idefics()) as server:
        gaps = _gaps(tmp_path, _stage(backend="vllm_server", url=server.url), monkeypatch)
        assert server.paths().count("/finish_weight_update") == 2
    assert len(gaps) == 2 and max(gaps) < 1e-4


def test_the_gap_shows_weights_that_were_not_handed_over(tmp_path, monkeypatch):
    refresh = VllmBackend.refresh
    monkeypatch.setattr(VllmBackend, "refresh", lambda backend, step: refresh(backend, 0))
    with installed(monkeypatch):
        gaps = _gaps(tmp_path, _stage(backend="vllm"), monkeypatch)
    assert gaps[0] < 1e-4 < 1e-2 < min(gaps[1:])


def test_a_server_that_dies_ends_training_with_the_way_out(tmp_path, monkeypatch):
    ended = pytest.raises(TrainingError, match="start it again, and resume")
    with installed(monkeypatch), Server(processed_idefics(), dies_after=3) as server, ended:
        _gaps(tmp_path, _stage(backend="vllm_server", url=server.url), monkeypatch)
