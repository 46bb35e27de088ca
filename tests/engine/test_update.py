"""The update: cut into any number of parts it is one gradient, and every setting changes what its formula says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pondera.config import OptimiserSection, ReinforceStage
from pondera.core.records import Media, Sample
from pondera.engine.lesson import make_lesson
from pondera.engine.objective import aggregate, clipped_policy_loss, k3_kl
from pondera.engine.policy_loss import ScoredTokens, policy_token_loss
from pondera.engine.rollouts import Rollouts
from pondera.engine.training import checkpoint_activations, freeze_batch_norm
from pondera.engine.update import PolicyUpdate
from pondera.errors import TrainingError
from pondera.generate.backend import Completion
from pondera.models.block_attention import use_block_attention
from pondera.models.packing import Branch, pack, packed_logps
from tests.models.tiny import noise_image, tiny_family

K, MAX_TOKENS = 3, 16
CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:126] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ..."


def _stage(**settings):
    return ReinforceStage(optimiser=OptimiserSection(learning_rate=1e-3), steps=1, group_size=K, **settings)


def _rollouts(family):
    """Two images of different sizes; completions of different lengths, one without an answer."""
    prompts = [family.encode([noise_image(48, 64 + 32 * g, seed=g)], "Rate the quality.") for g in range(2)]
    texts = ["<think>noise is poor.</think><answer>2.41</answer>", "<think>good", "good.</think><answer>4.7</answer>"]
    ids = [family.encode_text(text) for text in texts]
    groups = [[Completion(tuple(i), (0.0,) * len(i), "", False) for i in ids[g:] + ids[:g]] for g in range(2)]
    samples = [Sample(id=f"s{g}", media=(Media("x.png"),)) for g in range(2)]
    return Rollouts(0, samples, [0, 1], ["Rate the quality."] * 2, [0, 1], prompts, groups)


def _lesson(family, stage, rollouts, **more):
    advantage_GK = np.array([[1.0, -0.5, -0.2], [-1.0, 0.3, 0.9]])
    tokens = sum(len(c.ids) for group in rollouts.groups for c in group)
    options = {"num_completions": 2 * K, "num_tokens": tokens, "max_tokens": MAX_TOKENS} | more
    return make_lesson(family, stage, rollouts, advantage_GK, **options)


def _gradient(family):
    return torch.cat([p.grad.flatten() for p in family.model.parameters() if p.grad is not None])


def _update(stage, *, reference=None, lesson=None, second_views=(), family=None):
    """Gradient and result of one update, by default of a fresh policy."""
    family = family or tiny_family()
    lesson = lesson or _lesson(family, stage, _rollouts(family))
    family.model.zero_grad()
    update = PolicyUpdate(family, stage, reference=reference, second_views=second_views)
    loss, logs = update(family.model, lesson, lambda loss: loss.backward())
    return _gradient(family), loss, logs, update


def _other_policy(seed=1):
    return tiny_family(seed).model


@pytest.mark.parametrize("how", ["grpo", "dr_grpo", "dapo"])
def test_the_update_is_the_gradient_of_the_textbook_objective(how):
    stage = _stage(normalise=how, kl_weight=0.1)
    reference = _other_policy()
    gradient, loss, logs, _ = _update(stage, reference=reference)
    family = tiny_family()
    rollouts = _rollouts(family)
    groups = [(p, [Branch.scored(c.ids) for c in g]) for p, g in zip(rollouts.prompts, rollouts.groups, strict=True)]
    packed = pack(family, groups)
    logp_M, entropy_M = packed_logps(family.model, packed, with_entropy=True)
    advantage_M = torch.tensor([1.0, -0.5, -0.2, -1.0, 0.3, 0.9])[packed.branch_M]
    loss_M = clipped_policy_loss(logp_M, logp_M.detach(), advantage_M, clip_low=0.2, clip_high=0.2)
    kl_M = k3_kl(logp_M, packed_logps(reference, packed)[0].detach())
    expected = aggregate(loss_M + 0.1 * kl_M, packed.branch_M, 2 * K, how=how, max_tokens=MAX_TOKENS)
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), abs=1e-6)
    torch.testing.assert_close(gradient, _gradient(family), rtol=1e-4, atol=1e-7)
    assert logs["kl"] == pytest.approx(float(kl_M.detach().mean()), rel=1e-5)
    assert logs["entropy"] == pytest.approx(float(entropy_M.mean()), rel=1e-5)


@pytest.mark.parametrize("token_budget", [1, 40, 60])
@pytest.mark.parametrize(
    "settings", [{}, {"ratio": "sequence", "entropy_weight": 0.1, "entropy_share": 0.3, "kl_weight": 0.1}]
)
def test_micro_batches_of_any_size_give_one_gradient(settings, token_budget):
    whole, loss, logs, _ = _update(_stage(**settings), reference=_other_policy())
    parts, part_loss, part_logs, _ = _update(_stage(token_budget=token_budget, **settings), reference=_other_policy())
    assert logs["micro_batches"] == 1 < part_logs["micro_batches"]
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-7)
    assert part_loss == pytest.approx(loss, abs=1e-6)
    assert part_logs["entropy"] == pytest.approx(logs["entropy"], rel=1e-5)


def test_block_attention_and_checkpointing_leave_the_gradient_as_it_is():
    whole, *_ = _update(_stage())
    family = tiny_family()
    use_block_attention(family.model)
    checkpoint_activations(family.model)
    family.model.train()
    freeze_batch_norm(family.model)
    blocks, *_ = _update(_stage(), family=family)
    torch.testing.assert_close(blocks, whole, rtol=1e-4, atol=1e-7)


def test_a_share_of_a_global_batch_weighs_less_by_the_other_shares():
    """Two processes with the same completions each: half the loss, and the sum over both is the whole."""
    for how in ("grpo", "dr_grpo", "dapo"):
        stage, family = _stage(normalise=how), tiny_family()
        alone, *_ = _update(stage)
        rollouts = _rollouts(family)
        tokens = sum(len(c.ids) for group in rollouts.groups for c in group)
        shared = _lesson(family, stage, rollouts, num_completions=4 * K, num_tokens=2 * tokens)
        gradient, *_ = _update(stage, family=family, lesson=shared)
        torch.testing.assert_close(2 * gradient, alone, rtol=1e-4, atol=1e-7)


def _off_policy(stage, *, shift, reference=None):
    """A second update on the same completions: the policy has moved by `shift` in all log-probabilities."""
    family = tiny_family()
    lesson = _lesson(family, stage, _rollouts(family))
    _update(stage, family=family, lesson=lesson, reference=reference)
    lesson.old_logp_NT = {n: value_T - shift for n, value_T in lesson.old_logp_NT.items()}
    return _update(stage, family=family, lesson=lesson, reference=reference)


def test_the_first_update_has_ratio_one_and_the_next_ones_do_not():
    on, _, logs, _ = _update(_stage())
    off, _, off_logs, _ = _off_policy(_stage(), shift=0.1)
    assert logs["clipped"] == 0 == off_logs["clipped"]
    torch.testing.assert_close(off, on * float(np.exp(0.1)), rtol=1e-4, atol=1e-6)


def test_clipping_stops_the_gradient_of_good_tokens_and_clip_higher_lets_it_go_on():
    _, _, narrow_logs, _ = _off_policy(_stage(), shift=0.25)
    wide, _, wide_logs, _ = _off_policy(_stage(clip_high=0.3), shift=0.25)
    narrow, *_ = _off_policy(_stage(), shift=0.25)
    assert narrow_logs["clipped"] > 0 == wide_logs["clipped"] and not torch.allclose(narrow, wide)


def test_dual_clip_bounds_how_hard_a_bad_token_is_pushed():
    free, *_ = _off_policy(_stage(), shift=2.0)
    bound, _, logs, _ = _off_policy(_stage(dual_clip=3.0), shift=2.0)
    assert logs["clipped"] == 1.0  # good tokens by clip_high, bad ones by dual_clip: exp(2) > 3
    assert float(free.norm()) > 0 and float(bound.norm()) == pytest.approx(0, abs=1e-7)


TOKENS = {
    "logp_M": torch.tensor([-1.0, -2.0, -0.5]),
    "old_logp_M": torch.tensor([-1.1, -1.8, -0.5]),
    "advantage_M": torch.tensor([1.0, 1.0, -1.0]),
    "completion_M": torch.tensor([0, 0, 1]),
}


def test_a_sequence_ratio_is_the_geometric_mean_over_a_completion():
    """Log-ratios 0.1 and -0.2 of one completion: mean -0.05; the other completion has 0."""
    token_M, _ = policy_token_loss(_stage(), ScoredTokens(**TOKENS))
    sequence_M, _ = policy_token_loss(_stage(ratio="sequence"), ScoredTokens(**TOKENS))
    torch.testing.assert_close(token_M, torch.tensor([-np.exp(0.1), -np.exp(-0.2), 1.0]).float())
    torch.testing.assert_close(sequence_M, torch.tensor([-np.exp(-0.05), -np.exp(-0.05), 1.0]).float())


def test_the_unbiased_kl_is_k3_times_the_ratio():
    reference = {"reference_logp_M": torch.tensor([-1.3, -1.0, -0.5]), "kl_weight_M": torch.full((3,), 0.5)}
    none = ScoredTokens(**TOKENS | {"advantage_M": torch.zeros(3)}, **reference)
    k3_M, _ = policy_token_loss(_stage(kl_weight=0.5), none)
    unbiased_M, _ = policy_token_loss(_stage(kl_weight=0.5, kl_estimate="unbiased_k3"), none)
    torch.testing.assert_close(unbiased_M, k3_M * torch.tensor([0.1, -0.2, 0.0]).exp())


def test_the_entropy_gate_silences_most_tokens_but_not_their_kl():
    gated, _, _, _ = _update(_stage(entropy_share=0.2))
    free, *_ = _update(_stage())
    assert float(gated.norm()) > 0 and not torch.allclose(gated, free)
    silent = ScoredTokens(
        **TOKENS,
        learns_M=torch.tensor([False, True, False]),
        reference_logp_M=torch.tensor([-1.3, -2.0, -0.5]),
        kl_weight_M=torch.ones(3),
    )
    loss_M, _ = policy_token_loss(_stage(kl_weight=1.0), silent)
    torch.testing.assert_close(loss_M, torch.tensor([np.exp(-0.3) + 0.3 - 1, -np.exp(-0.2), 0.0]).float())


def test_the_gate_takes_its_share_of_all_tokens():
    family, stage = tiny_family(), _stage(entropy_share=0.2)
    lesson = _lesson(family, stage, _rollouts(family))
    _update(stage, family=family, lesson=lesson)
    learns = torch.cat(list(lesson.learns_NT.values()))
    assert float(learns.float().mean()) == pytest.approx(0.2, abs=0.03)


def test_the_entropy_bonus_raises_entropy():
    gradient, *_ = _update(_stage(entropy_weight=1000.0))
    family = tiny_family()
    before = _update(_stage(), family=family)[2]["entropy"]
    at = 0
    with torch.no_grad():
        for parameter in (p for p in family.model.parameters() if p.requires_grad):
            parameter.sub_(1e-6 * gradient[at : at + parameter.numel()].view_as(parameter))
            at += parameter.numel()
    assert _update(_stage(), family=family)[2]["entropy"] > before


def test_the_thoughts_factor_scales_the_advantage_of_its_tokens_only():
    family = tiny_family()
    rollouts = _rollouts(family)
    full, half = (_lesson(family, _stage(thought_advantage=factor), rollouts).advantage_NT for factor in (1.0, 0.5))
    ratio_T = half[0] / full[0]
    assert ratio_T[0] == 0.5 and ratio_T[-1] == 1.0 and set(ratio_T.tolist()) == {0.5, 1.0}
    assert set((half[1] / full[1]).tolist()) == {0.5}  # no answer: all thought


class _Hungry:
    """A forward pass that fails above a number of tokens, as memory does."""

    def __init__(self, model, most, error):
        self.model, self.most, self.error, self.failed = model, most, error, 0

    def __call__(self, input_ids, **kwargs):
        if input_ids.numel() > self.most:
            self.failed += 1
            raise self.error
        return self.model(input_ids=input_ids, **kwargs)

    def zero_grad(self):
        self.model.zero_grad()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU_MESSAGE)])
def test_out_of_memory_leads_to_smaller_parts_and_the_same_gradient(error, caplog):
    expected, *_ = _update(_stage())
    family, stage = tiny_family(), _stage()
    hungry = _Hungry(family.model, 40, error)
    update = PolicyUpdate(family, stage)
    lesson = _lesson(family, stage, _rollouts(family))
    _, logs = update(hungry, lesson, lambda loss: loss.backward())
    assert hungry.failed > 0 and logs["micro_batches"] > 1 and "set token_budget in the recipe" in caplog.text
    torch.testing.assert_close(_gradient(family), expected, rtol=1e-4, atol=1e-7)
    hungry.failed = 0
    update(hungry, lesson, lambda loss: loss.backward())
    assert hungry.failed == 0  # the smaller budget stays


def test_out_of_memory_behind_the_first_part_leaves_nothing_of_the_attempt():
    expected, *_ = _update(_stage())
    family, stage = tiny_family(), _stage(token_budget=60)
    calls = []

    def backward(loss):
        calls.append(loss)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        loss.backward()

    PolicyUpdate(family, stage)(family.model, _lesson(family, stage, _rollouts(family)), backward)
    torch.testing.assert_close(_gradient(family), expected, rtol=1e-4, atol=1e-7)


def test_a_completion_that_does_not_fit_at_all_ends_with_advice():
    family, stage = tiny_family(), _stage()
    hungry = _Hungry(family.model, 10, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(TrainingError, match="a single completion behind its prompt"):
        PolicyUpdate(family, stage)(hungry, _lesson(family, stage, _rollouts(family)), lambda loss: loss.backward())


def test_another_error_is_not_taken_for_memory():
    family, stage = tiny_family(), _stage()
    hungry = _Hungry(family.model, 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        PolicyUpdate(family, stage)(hungry, _lesson(family, stage, _rollouts(family)), lambda loss: loss.backward())


class _LengthView:
    """Pulls up the log-probability of every token by a known weight."""

    side = ()

    def side_arrays(self, rollouts):
        return {}

    def loss(self, model, update):
        return -(update.weight_M * update.logp_M).sum(), {"view": float(update.logp_M.detach().mean())}


def test_a_second_view_adds_its_loss_in_every_micro_batch():
    plain, *_ = _update(_stage())
    whole, _, logs, _ = _update(_stage(), second_views=[_LengthView()])
    parts, _, part_logs, _ = _update(_stage(token_budget=40), second_views=[_LengthView()])
    assert not torch.allclose(plain, whole)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-7)
    assert part_logs["view"] == pytest.approx(logs["view"], rel=1e-5)


def test_completions_behind_other_prompts_keep_their_order():
    family, stage = tiny_family(), _stage(token_budget=40)
    rollouts = _rollouts(family)
    other = [family.encode([noise_image(48, 64, seed=9)], "Is it sharp?") for _ in range(2)]
    targets = []

    class View(_LengthView):
        def loss(self, model, update):
            behind = update.behind(family, other)
            targets.append((behind.target_M, update.packed.target_M, behind.branch_M, update.packed.branch_M))
            return update.logp_M.sum() * 0, {}

    _update(stage, family=family, lesson=_lesson(family, stage, rollouts), second_views=[View()])
    assert len(targets) > 1
    for a, b, c, d in targets:
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(c, d)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dual_clip": 1.1}, "dual_clip must be > 1"),
        ({"updates_per_rollout": 3, "save_every": 50}, "save_every must be a multiple of updates_per_rollout = 3"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        _stage(**settings)
