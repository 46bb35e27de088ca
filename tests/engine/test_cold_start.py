"""The cold start: which tokens count, which questions are asked, and what the levels add."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pondera.config import ColdStartStage, SoftLabelsSection, load_recipe
from pondera.core.records import FIVE_POINT, LabelScale, Media, Sample
from pondera.core.soft_labels import soft_labels, soft_labels_as_released
from pondera.data.manifest import read_manifest, write_manifest
from pondera.engine.cold_start import ColdStartTrainer
from pondera.engine.levels import LevelQuestion
from pondera.engine.objective import token_cross_entropy
from pondera.engine.rationales import RationaleCollator
from pondera.engine.run import run_recipe
from pondera.errors import ConfigError, TrainingError
from pondera.models import ModelCard
from pondera.models.packing import pack, packed_logits, packed_logps
from tests.models.tiny import tiny_family

RATIONALE = "<think>sharpness is poor.</think><answer>2.41</answer>"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    found = []
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        mos = 1.0 + i / 2
        found.append(
            Sample(
                id=f"s{i}",
                media=(Media(str(folder / f"{i}.png")),),
                mos=mos,
                mos_std=0.5,
                scale=FIVE_POINT,
                dataset="a" if i < 4 else "b",
                split="train" if i < 6 else "val",
                reference=f"c{i // 2}",
                rationale=f"<think>sharpness is poor.</think><answer>{mos:.2f}</answer>",
            )
        )
    return found


def stage(**options):
    return ColdStartStage(optimiser={"learning_rate": 1e-3}, **options)


def rows(samples, family=None, step=0, **options):
    family = family or tiny_family()
    asked = stage(**options)
    levels = None if asked.soft_labels is None else LevelQuestion(family, asked.soft_labels)
    return RationaleCollator(family, ModelCard(), asked, seed=0, levels=levels)(samples, step)


def words(family, branch, weight):
    """The text of the tokens with one weight."""
    return family.tokenizer.decode([token for token, w in zip(branch.ids, branch.weights, strict=True) if w == weight])


def test_thought_and_answer_have_weights_of_their_own(samples):
    family = tiny_family()
    [(_, [branch])] = rows(samples[:1], family, thought_weight=0.25, answer_weight=3.0, fast_share=0).groups
    assert words(family, branch, 0.25) == "<think>sharpness is poor.</think>"
    assert words(family, branch, 3.0) == "<answer>1.00</answer><|end|>"


def test_a_thought_without_weight_is_read_and_not_scored(samples):
    family = tiny_family()
    [(_, [branch])] = rows(samples[:1], family, thought_weight=0.0, fast_share=0).groups
    assert "sharpness is poor" in family.decode(branch.ids)
    assert words(family, branch, 1.0) == "<answer>1.00</answer><|end|>"


def test_the_share_of_samples_that_also_answer_without_a_thought_is_kept(samples):
    for share, expected in ((0.0, 1), (1.0, 2)):
        assert {len(branches) for _, branches in rows(samples, fast_share=share).groups} == {expected}
    some = {len(branches) for step in range(4) for _, branches in rows(samples, step=step, fast_share=0.5).groups}
    assert some == {1, 2}


def test_without_reasoning_the_label_is_the_answer_and_no_rationale_is_needed(samples):
    family = tiny_family()
    bare = [replace(samples[1], rationale=None, mos=62.5, scale=LabelScale(0, 100))]
    [(_, [branch])] = rows(bare, family, reasoning=False).groups
    assert words(family, branch, 1.0) == "<answer>3.50</answer><|end|>"


@pytest.mark.parametrize("setting", [{"fast_share": 0.2}, {"thought_weight": 0.5}, {"answer_weight": 2.0}])
def test_settings_of_thoughts_are_refused_where_there_are_none(setting):
    with pytest.raises(ValueError, match="has no meaning where reasoning is false"):
        stage(reasoning=False, **setting)


def test_unlabelled_samples_are_not_asked_for_a_level(samples):
    mixed = [samples[0], replace(samples[1], mos=None, scale=None, mos_std=None), samples[2]]
    found = rows(mixed, fast_share=0, soft_labels=SoftLabelsSection())
    assert [len(branches) for _, branches in found.groups] == [2, 1, 2]
    assert [s.id for s in found.level_samples] == ["s0", "s2"] and found.level_branches == [1, 4]


def _loss(family, samples, **options):
    """The trainer's loss and its parts, without a trainer's machinery."""
    asked = stage(fast_share=0.5, **options)
    levels = None if asked.soft_labels is None else LevelQuestion(family, asked.soft_labels)
    collate = RationaleCollator(family, ModelCard(), asked, seed=0, levels=levels)
    trainer = SimpleNamespace(family=family, collate=collate, _step_logs={})
    trainer._with_levels = lambda *a: ColdStartTrainer._with_levels(trainer, *a)
    factors = dict.fromkeys(("tokens", "levels", "fidelity"), 1.0)
    loss = ColdStartTrainer.compute_loss(trainer, family.model, {"rows": collate(samples, 0), "factors": factors})
    return loss.detach(), trainer._step_logs


def test_the_loss_is_that_of_the_tokens_plus_the_weighted_levels(samples):
    family = tiny_family()
    plain, _ = _loss(family, samples[:4])
    loss, parts = _loss(family, samples[:4], soft_labels=SoftLabelsSection(weight=0.5, fidelity_weight=2.0))
    assert parts["loss/tokens"] == pytest.approx(float(plain), rel=1e-5)  # the level's branch changes no other
    assert float(loss) == pytest.approx(parts["loss/tokens"] + 0.5 * parts["loss/levels"] + 2 * parts["loss/fidelity"])


def test_level_losses_match_a_plain_computation_on_rows_that_are_not_packed(samples):
    """Each sample alone, the softmax over five words and both losses in loops."""
    family, chosen = tiny_family(), [samples[0], samples[3], samples[5]]
    _, parts = _loss(family, chosen, soft_labels=SoftLabelsSection())
    levels = LevelQuestion(family, SoftLabelsSection())
    probs = []
    for sample in chosen:
        [(prefix, branches)] = rows([sample], family, fast_share=0, soft_labels=SoftLabelsSection()).groups
        logits = packed_logits(family.model, pack(family, [(prefix, branches[-1:])]))
        probs.append(logits[0, levels.token_ids].softmax(-1).detach().numpy().astype(float))
    target = soft_labels([s.mos for s in chosen], [0.5] * 3)
    kl = sum((t[t > 0] * np.log(t[t > 0] / p[t > 0])).sum() for t, p in zip(target, probs, strict=True)) / 3
    assert parts["loss/levels"] == pytest.approx(kl, rel=1e-4)
    from scipy.stats import norm

    score = [p @ np.arange(1, 6) for p in probs]
    p, q = norm.cdf((score[0] - score[1]) / 2**0.5), norm.cdf((chosen[0].mos - chosen[1].mos) / 0.5**0.5)
    fidelity = 1 - np.sqrt(p * q) - np.sqrt((1 - p) * (1 - q))  # samples 0 and 3 are of one set, 5 of another
    assert parts["loss/fidelity"] == pytest.approx(fidelity, abs=2e-5)


def test_without_a_fidelity_weight_the_term_is_not_computed(samples):
    _, parts = _loss(tiny_family(), samples[:4], soft_labels=SoftLabelsSection(fidelity_weight=0))
    assert set(parts) == {"loss/tokens", "loss/levels"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, soft_labels([2.5], [0.5])),
        ({"density": "cdf"}, soft_labels([2.5], [0.5], density="cdf")),
        ({"as_released": True}, soft_labels_as_released([2.5], [0.5])),
    ],
)
def test_each_form_of_the_labels_reaches_the_loss(samples, settings, expected):
    prob_SL, _, _ = LevelQuestion(tiny_family(), SoftLabelsSection(**settings))._targets([samples[3]])
    np.testing.assert_allclose(prob_SL, expected)


def test_the_given_spread_stands_in_for_a_missing_one_only(samples):
    levels = LevelQuestion(tiny_family(), SoftLabelsSection(spread=0.8))
    _, _, std_S = levels._targets([samples[0], replace(samples[1], mos_std=None)])
    assert std_S.tolist() == [0.5, 0.8]
    wide = replace(samples[1], mos=50.0, mos_std=10.0, scale=LabelScale(0, 100))
    assert levels._targets([wide])[2].tolist() == [pytest.approx(0.4)]


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"mos_std": None}, {}, "'s0' has a mos without mos_std.*soft_labels.spread"),
        ({"mos": None, "mos_std": None, "scale": None}, {}, "no training sample has a mos"),
        ({"mos_std": 0.0}, {"as_released": True}, "need a standard deviation > 0"),
    ],
)
def test_labels_that_cannot_be_levels_are_refused_before_training(samples, change, settings, message):
    levels = LevelQuestion(tiny_family(), SoftLabelsSection(**settings))
    with pytest.raises(TrainingError, match=message):
        levels.check([replace(samples[0], **change)])


def test_a_prompt_that_does_not_ask_for_one_of_five_words_is_refused():
    with pytest.raises(ConfigError, match="does not ask for one of five words"):
        LevelQuestion(tiny_family(), SoftLabelsSection(prompt="quality.short"))


def test_the_levels_push_only_the_five_words_and_towards_the_label(samples):
    """The gradient of a KL behind a softmax is (model - label) / S; a flat model expects 3 everywhere."""
    levels = LevelQuestion(tiny_family(), SoftLabelsSection(fidelity_weight=0))
    logits_SV = torch.zeros(2, 400, requires_grad=True)
    chosen = [samples[0], samples[7]]
    levels.losses(logits_SV, chosen)["levels"].backward()
    expected_SL = (0.2 - soft_labels([s.mos for s in chosen], [0.5, 0.5])) / 2
    np.testing.assert_allclose(logits_SV.grad[:, levels.token_ids], expected_SL, atol=1e-6)
    others = torch.ones(400, dtype=torch.bool)
    others[levels.token_ids] = False
    assert not logits_SV.grad[:, others].any()


def test_padded_rows_give_the_same_level_losses(samples, monkeypatch):
    family = tiny_family()
    _, packed = _loss(family, samples[:4], soft_labels=SoftLabelsSection())
    monkeypatch.setattr(type(family), "packing_obstacle", lambda self, longest: "a test says so")
    _, padded = _loss(family, samples[:4], soft_labels=SoftLabelsSection())
    assert padded == pytest.approx(packed, rel=1e-4)


def test_logps_are_still_those_of_the_logits(samples):
    family = tiny_family()
    batch = pack(family, rows(samples[:2], family).groups)
    logp_M, _ = packed_logps(family.model, batch)
    again_M = packed_logits(family.model, batch).log_softmax(-1).gather(1, batch.target_M[:, None]).squeeze(1)
    torch.testing.assert_close(logp_M, again_M)
    assert float(token_cross_entropy(logp_M, batch.weight_M).detach()) > 0


@pytest.mark.parametrize("reasoning", [True, False])
def test_a_recipe_with_levels_trains_and_logs_every_part(samples, tmp_path, reasoning):
    write_manifest(tmp_path / "m.jsonl", samples)
    assert read_manifest(tmp_path / "m.jsonl")[0].mos_std == 0.5
    (tmp_path / "r.yaml").write_text(
        json.dumps(
            {
                "name": "r",
                "data": {"manifest": str(tmp_path / "m.jsonl"), "validation_samples": 2},
                "model": {
                    "hidden_size": 32,
                    "num_layers": 1,
                    "vision_widths": [8, 16],
                    "tile_px": 32,
                    "num_crops": 1,
                },
                "prompts": {"max_new_tokens": 12},
                "stages": [
                    {
                        "kind": "cold_start",
                        "reasoning": reasoning,
                        "batch_size": 3,
                        "soft_labels": {"weight": 0.5},
                        "optimiser": {"learning_rate": 0.003},
                    }
                ],
            }
        )
    )
    final = run_recipe(load_recipe(str(tmp_path / "r.yaml")), tmp_path / "run")
    assert (final / "model.safetensors").is_file()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    parts = [line for line in lines if "loss" in line]
    assert len(parts) == 2 and {"loss/tokens", "loss/levels", "loss/fidelity"} <= set(parts[0])
