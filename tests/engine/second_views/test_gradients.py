"""Each second view changes the gradient exactly as its formula says: against autograd, one plain sequence at a time."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch

from pondera import prompts
from pondera.data.images import load_image
from pondera.engine.second_views.pictures import masked, visible_damage
from pondera.generate.backend import sample_seed
from pondera.models import Family, ModelCard
from tests.engine.second_views.plain import (
    FURTHER,
    gradient,
    plain_logps,
    plain_policy_gradient,
    relative_error,
    roll_out,
    samples_in,
    step_gradient,
    trainer_on,
)

QUESTION = prompts.get("quality.short").render()
CLOSE = 1e-4  # relative, float32


def _plain_kl(own_T, view_T):
    difference_T = view_T.detach() - own_T
    return torch.exp(difference_T) - difference_T - 1  # far from both bounds here


def _gradient_of(family, loss):
    family.model.zero_grad()
    loss.backward()
    return gradient(family)


def _changed_pictures(kind, samples):
    changed = []
    for sample in samples:
        image, seed = load_image(sample.path()), sample_seed(sample.id, seed=0, step=0)
        if kind == "masked":
            changed.append(masked(image, seed, patch_px=14, probability=0.6))
        else:
            own = zlib.crc32(f"0/degraded/{sample.id}".encode())
            changed.append(visible_damage([image], own, threshold=0.2)(image, own))
    return changed


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", ["degraded", "masked"])
def test_changed_pictures_push_by_minus_the_weighted_token_mean_of_their_divergence(kind, frozen, tmp_path):
    samples = samples_in(tmp_path)
    view = {"kind": kind, "weight": 2.0}
    plain = trainer_on(samples, tmp_path, freeze_vision=frozen, views=1)
    pushed = trainer_on(samples, tmp_path, second_views=[view], freeze_vision=frozen, views=1)
    found = step_gradient(pushed, samples) - step_gradient(plain, samples)
    rollouts, family = roll_out(plain, samples), plain.family
    kl_tokens = []
    for sample, picture, prompt, group in zip(
        samples, _changed_pictures(kind, samples), rollouts.prompts, rollouts.groups, strict=True
    ):
        seed = 0 if frozen else sample_seed(sample.id, seed=0, step=0)
        second = family.encode([picture], QUESTION, jitter_seed=seed)
        kl_tokens += [_plain_kl(plain_logps(family, prompt, c.ids), plain_logps(family, second, c.ids)) for c in group]
    kl = torch.cat(kl_tokens).mean()
    assert float(kl.detach()) > 1e-3
    assert relative_error(found, _gradient_of(family, -2.0 * kl)) < CLOSE
    assert pushed._step_logs[f"{kind}/kl"] == pytest.approx(float(kl.detach()), rel=1e-4)
    assert pushed._step_logs[f"{kind}/changed"] == pytest.approx(1.0)


def test_a_weight_half_way_down_its_cosine_pushes_half_as_much(tmp_path):
    """Two samples, two a step: step 1 is epoch 1, half of the way to epoch 2."""
    samples = samples_in(tmp_path)
    gradients = {}
    for last_epoch, step in ((None, 1), (2.0, 1), (1.0, 1)):
        view = {"kind": "degraded", "weight": 1.0, "last_epoch": last_epoch}
        trainer = trainer_on(samples, tmp_path, second_views=[view])
        trainer.state.global_step = step
        gradients[last_epoch] = step_gradient(trainer, samples)
    constant, half, gone = (gradients[key] for key in (None, 2.0, 1.0))
    assert relative_error(half - gone, 0.5 * (constant - gone)) < CLOSE


def test_damage_that_nobody_sees_pushes_nothing(tmp_path):
    samples = samples_in(tmp_path)
    view = {"kind": "degraded", "weight": 2.0, "visible_mdsi": 10.0}
    pushed = trainer_on(samples, tmp_path, second_views=[view])
    assert relative_error(step_gradient(pushed, samples), step_gradient(trainer_on(samples, tmp_path), samples)) < CLOSE
    assert pushed._step_logs["degraded/changed"] == 0 and pushed._step_logs["degraded/kl"] < 1e-6


CAPTIONS = {"s0": "A blurred photo of a wall.", "s1": "A clean picture."}


def _captioned(folder):
    samples = samples_in(folder)
    return [
        type(sample)(
            **{f: getattr(sample, f) for f in sample.__slots__} | {"targets": {"caption": CAPTIONS[sample.id]}}
        )
        for sample in samples
    ]


def _plain_caption_kl(family, rollouts):
    kl = []
    for sample, prompt, group in zip(rollouts.samples, rollouts.prompts, rollouts.groups, strict=True):
        second = family.encode([f"A description of what is to be judged: {CAPTIONS[sample.id]}"], QUESTION)
        kl += [_plain_kl(plain_logps(family, prompt, c.ids), plain_logps(family, second, c.ids)).mean() for c in group]
    return torch.stack(kl)


def test_captions_pull_by_the_weighted_mean_over_completions_of_their_divergence(tmp_path):
    samples = _captioned(tmp_path)
    weightless, pulled = (
        trainer_on(samples, tmp_path, system="cappo", second_views=[{"kind": "caption", "weight": weight}])
        for weight in (0.0, 2.0)
    )
    found = step_gradient(pulled, samples) - step_gradient(weightless, samples)
    rollouts, family = roll_out(pulled, samples), pulled.family
    kl = _plain_caption_kl(family, rollouts).mean()
    assert float(kl.detach()) > 1e-3
    assert relative_error(found, _gradient_of(family, 2.0 * kl)) < CLOSE
    lengths = torch.tensor([len(c.ids) for group in rollouts.groups for c in group])
    over_tokens = (_plain_caption_kl(family, rollouts).detach() * lengths).sum() / lengths.sum()
    assert pulled._step_logs["caption/kl"] == pytest.approx(float(over_tokens), rel=1e-4)


def _text_score(trainer, rollouts):
    """The expectation over 1.0, 1.1, ... 5.0, each candidate in a row of its own; 3.4 stands for 3.445."""
    family = Family(trainer.reference, trainer.family.processor)
    texts = [f"{1 + i / 10:.1f}" for i in range(41)]
    values = torch.tensor([min(float(text) + 0.045, 5.0) for text in texts])
    asked = family.encode([], QUESTION)
    scores = []
    for text in (c.text for group in rollouts.groups for c in group):
        if "<answer>" not in text:
            scores.append(math.nan)
            continue
        thought = text.partition("<answer>")[0].replace("3 of 5", "# of #")
        prompt = type(asked)((*asked.ids, *family.encode_text(thought), *family.encode_text("<answer>")), asked.media)
        with torch.no_grad():
            logp = torch.stack([plain_logps(family, prompt, family.encode_text(t)).sum() for t in texts])
        scores.append(float(logp.softmax(0) @ values))
    return {"text_score": np.reshape(scores, (2, 3))}


def _probabilities(trainer, rollouts):
    """P of the label's first decimal, written behind each thought and behind the prompt without thoughts."""
    family = trainer.family
    fast = prompts.get("short.score.fast").render()
    p_think, p_nothink = np.full((2, 3), np.nan), np.full((2, 3), np.nan)
    with torch.no_grad():
        for s, sample in enumerate(rollouts.samples):
            digits = family.encode_text(f"{sample.mos:.2f}")[:3]
            seed = sample_seed(sample.id, seed=0, step=0)
            question = family.encode([load_image(sample.path())], fast, jitter_seed=seed)
            opened = family.encode_text("<answer>Score: ")
            p_nothink[s] = plain_logps(family, question, [*opened, *digits])[-1].exp()
            for k, completion in enumerate(rollouts.groups[s]):
                before, mark, _ = completion.text.partition("<answer>")
                if mark:
                    ids = [*family.encode_text(before + mark + "Score: "), *digits]
                    p_think[s, k] = plain_logps(family, rollouts.prompts[s], ids)[-1].exp()
    return {"p_think": p_think, "p_nothink": p_nothink}


def _caption_side(trainer, rollouts):
    with torch.no_grad():
        return {"caption_kl": _plain_caption_kl(trainer.family, rollouts).reshape(2, 3).double().numpy()}


def _perturbed(trainer, rollouts):
    """Rewards of the scripted answers about frames out of order: a Gaussian of width 0.5 and the fidelity of ranks."""
    pool = trainer.system.pool(rollouts.samples, FURTHER)
    score, rank = (w.term for w in trainer.system.terms[1:3])
    side = {}
    for name, term in (("perturbed_score_reward", score), ("perturbed_rank_reward", rank)):
        side[name] = np.full((2, 3), np.nan)
        side[name][:, :2] = np.where(pool.valid_SK, term(pool), np.nan)
    expected = [math.exp(-2 * (q - mos) ** 2) for q, mos in ((2.20, 2.8), (3.90, 2.8), (4.70, 4.2))]
    assert side["perturbed_score_reward"].ravel()[[0, 1, 3]] == pytest.approx(expected)
    return side


SIDES = {
    "q-ponder-text": _text_score,
    "refine-iqa": _probabilities,
    "cappo": _caption_side,
    "vqathinker": _perturbed,
}


@pytest.mark.parametrize("system", SIDES)
def test_side_arrays_and_the_gradient_they_lead_to_are_those_of_a_plain_computation(system, tmp_path):
    samples = samples_in(tmp_path, num_frames=4 if system == "vqathinker" else 0)
    if system == "cappo":
        samples = _captioned(tmp_path)
    views = [{"kind": "caption", "weight": 0.0}] if system == "cappo" else []
    card = ModelCard("short.score", "short.score.fast") if system == "refine-iqa" else ModelCard()
    trainer = trainer_on(samples, tmp_path, system=system, second_views=views, card=card)
    rollouts = roll_out(trainer, samples)
    found = trainer._side_arrays(rollouts)
    expected = SIDES[system](trainer, rollouts)
    assert found.keys() == expected.keys()
    for name, value_GK in expected.items():
        np.testing.assert_allclose(found[name], value_GK, rtol=1e-4, atol=1e-6, err_msg=name)
    assert relative_error(step_gradient(trainer, samples), plain_policy_gradient(trainer, rollouts, expected)) < CLOSE
    rng = np.random.default_rng(0)
    other = {name: np.where(np.isnan(v), np.nan, rng.random(v.shape)) for name, v in expected.items()}
    assert relative_error(step_gradient(trainer, samples), plain_policy_gradient(trainer, rollouts, other)) > 1e-3
