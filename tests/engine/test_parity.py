"""TRL's GRPOTrainer as an oracle: same tokens and advantages, same loss and gradients.

TRL pads every completion with its own copy of prompt and image; ours are packed groups. Prompts and advantages are made
by hand, so nothing is generated.
"""

from __future__ import annotations

import warnings

import pytest
import torch

from pondera.engine.objective import (
    aggregate,
    clipped_policy_loss,
    clipped_ratio_loss,
    entropy_bonus,
    entropy_gate,
    k3_kl,
    sequence_log_ratio,
    unbiased_k3_kl,
)
from pondera.models.nano.tokenizer import train_tokenizer
from pondera.models.packing import Branch, pack, packed_logps
from tests.models import stock

pytest.importorskip("trl")

GROUP_SIZE, MAX_TOKENS = 4, 12
KL_WEIGHT = 0.04


def _family():
    family = stock.stock_family(stock.idefics_config())
    # As many images in each prompt, or TRL's own padding of images would be needed.
    prompts = [stock.square_prompt(2, 2 + i, i, px=16, tokens=4, idefics=True) for i in range(3)]
    return family, prompts, stock.random_branches(len(prompts), GROUP_SIZE)


def _trainer(model, folder, **options):
    from datasets import Dataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TRL's own imports and constructor warn about is not ours
        from trl import GRPOConfig, GRPOTrainer

        arguments = GRPOConfig(
            output_dir=str(folder),
            use_cpu=True,
            bf16=False,
            report_to=[],
            per_device_train_batch_size=3 * GROUP_SIZE,
            num_generations=GROUP_SIZE,
            max_completion_length=MAX_TOKENS,
            gradient_checkpointing=False,
            **options,
        )
        rows = Dataset.from_list([{"prompt": "x"}] * 3)
        tokenizer = train_tokenizer(["x"])
        trainer = GRPOTrainer(model, [lambda **_: 0.0], arguments, rows, processing_class=tokenizer)
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def _padded(rows, side):
    width = max(len(row) for row in rows)
    fill = [[stock.PAD] * (width - len(row)) for row in rows]
    ids = [f + list(row) if side == "left" else list(row) + f for row, f in zip(rows, fill, strict=True)]
    ones = [[0] * len(f) + [1] * len(row) if side == "left" else [1] * len(row) + [0] * len(f) for row, f in
            zip(rows, fill, strict=True)]  # fmt: skip
    return torch.tensor(ids), torch.tensor(ones)


def _trl_inputs(family, prompts, branches, advantage_N):
    repeated = [prompt for prompt in prompts for _ in range(GROUP_SIZE)]
    prompt_ids, prompt_mask = _padded([p.ids for p in repeated], "left")
    completion_ids, completion_mask = _padded([ids for group in branches for ids in group], "right")
    return {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "advantages": advantage_N,
        "num_items_in_batch": completion_mask.sum(),
        "pixel_values": torch.cat([p.media["pixel_values"] for p in repeated]),
        "pixel_attention_mask": torch.cat([p.media["pixel_attention_mask"] for p in repeated]),
        "num_images": [2] * len(repeated),
    }


def _gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _ours(family, prompts, branches, loss_of):
    """Loss and gradient from packed groups; `loss_of` gets log-probabilities, entropies and completion numbers."""
    groups = [(p, [Branch.scored(ids) for ids in group]) for p, group in zip(prompts, branches, strict=True)]
    batch = pack(family, groups)
    assert batch.mask.ndim == 4
    logp_M, entropy_M = packed_logps(family.model, batch, with_entropy=True, entropy_gradient=True)
    family.model.zero_grad()
    loss = loss_of(logp_M, entropy_M, batch.branch_M)
    loss.backward()
    return float(loss.detach()), _gradient(family.model)


def _theirs(trainer, inputs):
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    trainer.model.eval()
    return float(loss.detach()), _gradient(trainer.model)


def _assert_agree(ours, theirs):
    assert ours[0] == pytest.approx(theirs[0], abs=1e-4)
    assert float((ours[1] - theirs[1]).norm() / theirs[1].norm()) < 1e-4


def _off_policy(completion_mask, seed):
    """Log-probabilities of an older policy, as noise on the present ones, in TRL's form and in ours."""
    noise = 0.3 * torch.randn(completion_mask.shape, generator=torch.Generator().manual_seed(seed))
    return noise, noise[completion_mask.bool()]


@pytest.mark.parametrize("kl", ["none", "plain", "unbiased"])
@pytest.mark.parametrize("how", ["grpo", "dr_grpo", "dapo"])
def test_loss_and_gradients_agree_with_trl(how, kl, tmp_path):
    family, prompts, branches = _family()
    advantage_N = torch.randn(12, generator=torch.Generator().manual_seed(1))
    trainer = _trainer(family.model, tmp_path, loss_type=how, use_bias_correction_kl=kl == "unbiased")
    inputs = _trl_inputs(family, prompts, branches, advantage_N)
    noise_NT, noise_M = _off_policy(inputs["completion_mask"], seed=2)
    with torch.no_grad():
        groups = [(p, [Branch.scored(ids) for ids in g]) for p, g in zip(prompts, branches, strict=True)]
        now_M, _ = packed_logps(family.model, pack(family, groups))
    reference_M = now_M - noise_M
    trainer.beta = (
        0.0 if kl == "none" else KL_WEIGHT
    )  # the reference is given as numbers; a model of its own is not needed
    inputs["ref_per_token_logps"] = torch.zeros_like(noise_NT).masked_scatter(
        inputs["completion_mask"].bool(), reference_M
    )

    def loss_of(logp_M, _, completion_M):
        old_M = logp_M.detach()
        loss_M = clipped_policy_loss(logp_M, old_M, advantage_N[completion_M], clip_low=0.2, clip_high=0.2)
        if kl == "plain":
            loss_M = loss_M + KL_WEIGHT * k3_kl(logp_M, reference_M)
        if kl == "unbiased":
            loss_M = loss_M + KL_WEIGHT * unbiased_k3_kl(logp_M, old_M, reference_M)
        return aggregate(loss_M, completion_M, 12, how=how, max_tokens=MAX_TOKENS)

    _assert_agree(_ours(family, prompts, branches, loss_of), _theirs(trainer, inputs))


OFF_POLICY = {
    "clip-higher": {"epsilon": 0.2, "epsilon_high": 0.28},
    "dual clip": {"epsilon": 0.2, "delta": 1.4},
    "sequence ratio": {"epsilon": 0.05, "importance_sampling_level": "sequence"},
    "entropy gate": {"epsilon": 0.2, "top_entropy_quantile": 0.2},
    "entropy bonus": {"epsilon": 0.2, "entropy_coef": 0.01},
}


@pytest.mark.parametrize("name", OFF_POLICY)
def test_options_agree_with_trl_away_from_the_sampling_policy(name, tmp_path):
    options = OFF_POLICY[name]
    family, prompts, branches = _family()
    advantage_N = torch.randn(12, generator=torch.Generator().manual_seed(1))
    trainer = _trainer(family.model, tmp_path, loss_type="grpo", **options)
    inputs = _trl_inputs(family, prompts, branches, advantage_N)
    noise_NT, noise_M = _off_policy(inputs["completion_mask"], seed=2)
    with torch.no_grad():
        groups = [(p, [Branch.scored(ids) for ids in g]) for p, g in zip(prompts, branches, strict=True)]
        old_M = packed_logps(family.model, pack(family, groups))[0] - noise_M
    inputs["old_per_token_logps"] = torch.zeros_like(noise_NT).masked_scatter(inputs["completion_mask"].bool(), old_M)

    def loss_of(logp_M, entropy_M, completion_M):
        log_ratio_M = logp_M - old_M
        if name == "sequence ratio":
            log_ratio_M = sequence_log_ratio(logp_M, old_M, completion_M, 12)
        loss_M = clipped_ratio_loss(
            log_ratio_M,
            advantage_N[completion_M],
            clip_low=options["epsilon"],
            clip_high=options.get("epsilon_high", options["epsilon"]),
            dual_clip=options.get("delta"),
        )
        if name == "entropy gate":
            loss_M = loss_M * entropy_gate(entropy_M.detach())
        loss = aggregate(loss_M, completion_M, 12, how="grpo", max_tokens=MAX_TOKENS)
        return loss - options.get("entropy_coef", 0.0) * entropy_bonus(entropy_M)

    _assert_agree(_ours(family, prompts, branches, loss_of), _theirs(trainer, inputs))
