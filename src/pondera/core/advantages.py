"""Advantages: what a reward is worth beside its group, and how much of it counts.

Small pure functions on [S, K] arrays; `core.advantage_plan` puts them in order. Cells that are not present take no
part in any statistic and get 0. Invalid roll-outs are present: they pull their group down from their floor.

Shape letters: S samples in a pool, K completions per sample (a group).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pondera.core.pool import BoolArray
from pondera.core.records import FloatArray
from pondera.core.rewards.comparisons import group_moments


def group_std(reward_SK: FloatArray, present_SK: BoolArray, *, ddof: int = 1) -> FloatArray:
    """Standard deviation of each group, [S]; 0 for groups of `ddof` roll-outs or fewer.

    Args:
        reward_SK: rewards; anything where not present.
        present_SK: cells that count.
        ddof: 1 = sample, 0 = population standard deviation.
    """
    _, variance_S = group_moments(reward_SK, present_SK, ddof=ddof)
    return np.sqrt(variance_S)


def centred(reward_SK: FloatArray, present_SK: BoolArray) -> FloatArray:
    """Reward less its group's mean, no scaling (Dr. GRPO).

    Args:
        reward_SK: rewards; anything where not present.
        present_SK: cells that count.

    Returns:
        Advantages [S, K] in reward units; 0 where not present, and for a group of one.

    Source: Dr. GRPO arXiv:2503.20783 (dividing by the group's spread favours questions that are too easy or too hard).
    """
    mean_S, _ = group_moments(reward_SK, present_SK, ddof=0)
    return np.where(present_SK, np.where(present_SK, reward_SK, 0.0) - mean_S[:, None], 0.0)


def group_zscore(reward_SK: FloatArray, present_SK: BoolArray, *, ddof: int = 1, eps: float = 1e-4) -> FloatArray:
    """Reward less its group's mean, divided by the group's standard deviation + eps (GRPO).

    Args:
        reward_SK: rewards; anything where not present.
        present_SK: cells that count.
        ddof: 1 = sample, 0 = population standard deviation.
        eps: added to the standard deviation, > 0. Spreads near eps are damped instead of blown up.

    Returns:
        Advantages [S, K]; 0 where not present, and (up to rounding) in groups of equal rewards.

    Source: GRPO arXiv:2402.03300. The paper fixes neither ddof nor eps; 1 and 1e-4 are those of the released codes.
    """
    return centred(reward_SK, present_SK) / (group_std(reward_SK, present_SK, ddof=ddof)[:, None] + eps)


def batch_scaled(reward_SK: FloatArray, present_SK: BoolArray, *, ddof: int = 1, eps: float = 1e-4) -> FloatArray:
    """Reward less its group's mean, divided by the standard deviation of all rewards of the pool + eps.

    Args:
        reward_SK: rewards; anything where not present.
        present_SK: cells that count.
        ddof: 1 = sample, 0 = population standard deviation.
        eps: added to the standard deviation, > 0.

    Returns:
        Advantages [S, K]; 0 where not present. A group with little spread keeps little advantage.

    Source: TRL, `scale_rewards="batch"`.
    """
    spread = group_std(reward_SK.reshape(1, -1), present_SK.reshape(1, -1), ddof=ddof)[0]
    return np.asarray(centred(reward_SK, present_SK) / (spread + eps))


def branch_zscore(
    branches: Sequence[tuple[float, FloatArray]], present_SK: BoolArray, *, ddof: int = 1, eps: float = 1e-4
) -> FloatArray:
    """Normalise each branch of the reward in its group, then add them up with weights.

    A branch whose rewards differ little (all answers well ordered) keeps its say beside one that differs a lot;
    after a plain sum it would vanish.

    Args:
        branches: (weight, rewards [S, K]) of each branch.
        present_SK: cells that count.
        ddof: as in `group_zscore`.
        eps: as in `group_zscore`.

    Returns:
        Advantages [S, K]; 0 where not present.

    Source: the response and preference branches of PreResQ-R1 arXiv:2511.05393, taken apart; the released code
        adds the terms up before it normalises.
    """
    total_SK = np.zeros(present_SK.shape)
    for weight, reward_SK in branches:
        total_SK += weight * group_zscore(reward_SK, present_SK, ddof=ddof, eps=eps)
    return total_SK


def gdpo(
    terms: Sequence[tuple[float, FloatArray]], present_SK: BoolArray, *, ddof: int = 1, eps: float = 1e-4
) -> FloatArray:
    """Normalise every term in its group, add up with weights, and standardise the sum over the pool.

    Args:
        terms: (weight, rewards [S, K]) of each term.
        present_SK: cells that count.
        ddof: as in `group_zscore`, for the groups and the pool alike.
        eps: as in `group_zscore`.

    Returns:
        Advantages [S, K] with mean 0 and standard deviation 1 over the pool; 0 where not present.

    Source: GDPO (group-reward decoupled normalisation); TRL's `normalize_then_sum`.
    """
    total_SK = branch_zscore(terms, present_SK, ddof=ddof, eps=eps)
    flat = group_zscore(total_SK.reshape(1, -1), present_SK.reshape(1, -1), ddof=ddof, eps=eps)
    return flat.reshape(present_SK.shape)


def varied_groups(reward_SK: FloatArray, present_SK: BoolArray, *, limit: float = 1e-3, ddof: int = 1) -> BoolArray:
    """Which groups have rewards that differ enough to learn from.

    Args:
        reward_SK: rewards before normalisation; anything where not present.
        present_SK: cells that count.
        limit: groups with a standard deviation at or below it are dropped, >= 0.
        ddof: 1 = sample, 0 = population standard deviation.

    Returns:
        keep_S, [S].

    Source: OmniQuality-R arXiv:2510.10609 (code: dropped if std <= 0.001); ddof is not stated there.
    """
    return np.asarray(group_std(reward_SK, present_SK, ddof=ddof) > limit)


def released_uncertainty(variance_S: FloatArray, *, width: float) -> FloatArray:
    """Score variance as a share of the largest variance possible on the scale, clipped to [0, 1].

    Args:
        variance_S: population variance of each group's scores, clamped to the scale.
        width: width of the label scale, > 0; the largest population variance is width^2 / 4.

    Returns:
        u_S in [0, 1]. With usual variances (0.05 on 1..5) it is near 0: the weight hardly acts.

    Source: Q-Hawkeye arXiv:2601.22920 (code).
    """
    return np.clip(variance_S / (0.25 * width**2), 0.0, 1.0)


def working_uncertainty(variance_S: FloatArray, *, half: float) -> FloatArray:
    """v / (v + half): 0.5 at a variance of `half`, so that usual variances make a difference.

    Args:
        variance_S: population variance of each group's scores.
        half: variance of uncertainty 0.5, > 0 (label units squared; 0.05 suits 1..5).

    Returns:
        u_S in [0, 1).

    Source: ours, for the idea of Q-Hawkeye arXiv:2601.22920, whose released normaliser leaves the weight near 1.
    """
    return np.asarray(variance_S / (variance_S + half))


def uncertainty_factor(uncertainty_S: FloatArray, *, alpha: float = 0.2) -> FloatArray:
    """exp(-alpha u): uncertain groups teach less. In (0, 1] for alpha >= 0.

    Source: Q-Hawkeye arXiv:2601.22920 (code: alpha 0.2, applied behind the group normalisation).
    """
    return np.exp(-alpha * uncertainty_S)


def score_variance(score_SK: FloatArray, scored_SK: BoolArray, *, low: float, high: float) -> FloatArray:
    """Population variance of each group's scores, clamped to the scale, [S]; 0 for fewer than two.

    Args:
        score_SK: scores; NaN where invalid.
        scored_SK: cells with a finite score; the others are left out.
        low: lower end of the scale.
        high: upper end of the scale.
    """
    clamped_SK = np.clip(np.where(scored_SK, score_SK, low), low, high)
    _, variance_S = group_moments(clamped_SK, scored_SK, ddof=0)
    return variance_S


def caption_weights(
    kl_SK: FloatArray, mask_SK: BoolArray, *, tau: float = 1.0, low: float = 0.5, high: float = 2.0
) -> FloatArray:
    """Weight of each roll-out from its divergence between caption and image: softmax in the group, mean 1.

    Args:
        kl_SK: divergence of each roll-out, >= 0; NaN where unknown.
        mask_SK: cells that share the weight (readable ones); unknown ones are left out.
        tau: sharpness, > 0.
        low: smallest weight.
        high: largest weight.

    Returns:
        Weights in [low, high]; 1 outside the mask and where unknown. Their mean is 1 before clipping.

    Source: "CapPO-style": arXiv:2509.21854 publishes the idea only; form and constants are ours.
    """
    known_SK = mask_SK & np.isfinite(kl_SK)
    filled_SK = np.where(known_SK, kl_SK, np.inf)
    least_S1 = np.where(known_SK.any(axis=1), filled_SK.min(axis=1), 0.0)[:, None]
    part_SK = np.where(known_SK, np.exp(-tau * (np.where(known_SK, kl_SK, 0.0) - least_S1)), 0.0)
    total_S1 = part_SK.sum(axis=1, keepdims=True)
    count_S1 = known_SK.sum(axis=1, keepdims=True)
    weight_SK = count_S1 * part_SK / np.where(total_S1 > 0, total_S1, 1.0)
    return np.where(known_SK, np.clip(weight_SK, low, high), 1.0)


def weigh_gains(advantage_SK: FloatArray, weight_SK: FloatArray) -> FloatArray:
    """Weigh positive advantages only: a bad answer is not protected by being inconsistent.

    Source: "CapPO-style", ours.
    """
    return np.where(advantage_SK > 0, weight_SK * advantage_SK, advantage_SK)


def positive_only(
    advantage_SK: FloatArray,
    reward_SK: FloatArray,
    present_SK: BoolArray,
    *,
    success: float = 2.0,
    offset: float = 0.2e-4,
    ddof: int = 1,
    eps: float = 1e-4,
) -> FloatArray:
    """Where a group has a success, learn from its good roll-outs only; elsewhere push gently away from all.

    Args:
        advantage_SK: group z-scores of the rewards, with the same ddof and eps.
        reward_SK: the rewards.
        present_SK: cells that count.
        success: reward from which a roll-out is a success.
        offset: subtracted from the rewards of a group without one, before the division.
        ddof: of the group's standard deviation.
        eps: added to it; offset / eps = 0.2 is what a group of equal failures is pushed by.

    Returns:
        Advantages [S, K]; 0 where not present.

    Source: Refine-IQA arXiv:2508.03763 (code, second stage).
    """
    has_success_S1 = (present_SK & (reward_SK >= success)).any(axis=1, keepdims=True)
    shift_S1 = offset / (group_std(reward_SK, present_SK, ddof=ddof)[:, None] + eps)
    selected_SK = np.where(has_success_S1, np.maximum(advantage_SK, 0.0), advantage_SK - shift_S1)
    return np.where(present_SK, selected_SK, 0.0)


def sample_weights(targets: Sequence[Mapping[str, object]], *, field: str = "weight") -> FloatArray:
    """The weight that each sample carries in its targets, [S]; 1 where there is none.

    Args:
        targets: further labels of each sample.
        field: name of the weight among them.

    Raises:
        ValueError: a weight is not a finite number >= 0.
    """
    weights = []
    for index, target in enumerate(targets):
        value = target.get(field, 1.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (np.isfinite(value) and value >= 0):
            raise ValueError(f"targets.{field} of sample {index} must be a finite number >= 0, got {value!r}")
        weights.append(float(value))
    return np.array(weights)
