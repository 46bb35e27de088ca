"""The way from rewards to advantages: filter groups -> normalise -> weight -> select.

Each step is a small frozen object around one function of `core.advantages`. A plan checks its order when it is made:
an order that cannot work is refused with the reason, before any model runs.

Shape letters: S samples in a pool, K completions per sample (a group).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from pondera.core import advantages
from pondera.core.pool import BoolArray, Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import SIDE_ARRAYS, readable, scored
from pondera.errors import ConfigError

Phase = Literal["filter", "normalise", "weight", "select"]
_PHASES: tuple[Phase, ...] = ("filter", "normalise", "weight", "select")

_REASONS: Mapping[tuple[Phase, Phase], str] = {
    ("normalise", "filter"): "behind the normalisation all groups have the same spread, so the filter sees nothing",
    ("weight", "filter"): "a filter looks at rewards, and there are only weighted advantages left",
    ("select", "filter"): "a filter looks at rewards, and there are only selected advantages left",
    ("weight", "normalise"): "the normalisation would divide the weight out again",
    ("select", "normalise"): "a reward has no sign to select by, and centring would undo the selection",
    ("select", "weight"): "the selection has already set advantages to 0 that the weight should act on",
}


@dataclass(frozen=True)
class Rewarded:
    """What a system gives the roll-outs of a pool.

    Args:
        terms: weighted contribution of each term by label, [S, K]; 0 for invalid roll-outs. They add up to the
            reward of a valid one.
        raw: the same terms without weight.
        weights: weight of each term at the pool's step.
        branch: branch of each term.
        reward_SK: the total; the floor where invalid, NaN where not present.
    """

    terms: dict[str, FloatArray]
    raw: dict[str, FloatArray]
    weights: dict[str, float]
    branch: dict[str, str]
    reward_SK: FloatArray


@dataclass(frozen=True)
class State:
    """What passes through a plan.

    Args:
        pool: the roll-outs.
        rewarded: their rewards.
        keep_S: groups that still take part.
        advantage_SK: advantages so far; the rewards before normalisation.
    """

    pool: Pool
    rewarded: Rewarded
    keep_S: BoolArray
    advantage_SK: FloatArray

    @property
    def mask_SK(self) -> BoolArray:
        """Cells that take part: present, and in a group that was kept."""
        return self.pool.present_SK & self.keep_S[:, None]

    @property
    def reward_SK(self) -> FloatArray:
        """Total rewards; 0 where not present, so that no NaN reaches a sum."""
        return np.where(self.pool.present_SK, self.rewarded.reward_SK, 0.0)

    def with_floor(self, value_SK: FloatArray) -> FloatArray:
        """Part of a reward, for normalisation on its own: an invalid roll-out gets no more than any valid one there.

        That is 0, or the least value of a valid roll-out of its group where that is negative (a penalty).
        """
        readable_SK = readable(self.pool)
        least_S1 = np.minimum(np.where(readable_SK, value_SK, 0.0).min(axis=1), 0.0)[:, None]
        return np.where(readable_SK, value_SK, least_S1)


class Step(ABC):
    """One step of a plan; `phase` says where it may stand."""

    phase: ClassVar[Phase]
    needs_side: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __call__(self, state: State) -> State:
        """The state behind this step."""

    def reads_terms(self) -> tuple[str, ...]:
        """Labels of terms that the step names; the system checks that it has them."""
        return ()

    def describe(self) -> str:
        """One phrase for the documentation."""
        return f"{type(self).__name__}: {(self.__doc__ or '').splitlines()[0]}"


@dataclass(frozen=True)
class DropUniform(Step):
    """Drop groups whose rewards hardly differ; their advantages are 0.

    Args:
        limit: largest standard deviation that is dropped, >= 0.
        terms: look at the sum of these terms only; empty = at the total.
        ddof: of the standard deviation.
    """

    phase = "filter"

    limit: float = 1e-3
    terms: tuple[str, ...] = ()
    ddof: int = 1

    def __call__(self, state: State) -> State:
        """Fewer groups."""
        parts = [state.rewarded.terms[label] for label in self.terms]
        reward_SK = np.sum(parts, axis=0) if parts else state.reward_SK
        keep_S = advantages.varied_groups(reward_SK, state.mask_SK, limit=self.limit, ddof=self.ddof)
        return replace(state, keep_S=state.keep_S & keep_S)

    def reads_terms(self) -> tuple[str, ...]:
        """The named terms."""
        return self.terms


@dataclass(frozen=True)
class GroupZScore(Step):
    """Reward less the group's mean, over the group's standard deviation + eps.

    Args:
        ddof: 1 = sample, 0 = population standard deviation.
        eps: added to it, > 0.
    """

    phase = "normalise"

    ddof: int = 1
    eps: float = 1e-4

    def __call__(self, state: State) -> State:
        """Z-scores."""
        value_SK = advantages.group_zscore(state.reward_SK, state.mask_SK, ddof=self.ddof, eps=self.eps)
        return replace(state, advantage_SK=value_SK)


@dataclass(frozen=True)
class Centre(Step):
    """Reward less the group's mean, no scaling."""

    phase = "normalise"

    def __call__(self, state: State) -> State:
        """Centred rewards."""
        return replace(state, advantage_SK=advantages.centred(state.reward_SK, state.mask_SK))


@dataclass(frozen=True)
class BatchScale(Step):
    """Reward less the group's mean, over the standard deviation of the pool + eps.

    Args:
        ddof: 1 = sample, 0 = population standard deviation.
        eps: added to it, > 0.
    """

    phase = "normalise"

    ddof: int = 1
    eps: float = 1e-4

    def __call__(self, state: State) -> State:
        """Scaled rewards."""
        value_SK = advantages.batch_scaled(state.reward_SK, state.mask_SK, ddof=self.ddof, eps=self.eps)
        return replace(state, advantage_SK=value_SK)


@dataclass(frozen=True)
class BranchZScore(Step):
    """Group z-score of each branch of the reward, then their weighted sum.

    Args:
        weights: (branch, weight) pairs; branches that are not named have weight 1.
        ddof: 1 = sample, 0 = population standard deviation.
        eps: added to it, > 0.
    """

    phase = "normalise"

    weights: tuple[tuple[str, float], ...] = ()
    ddof: int = 1
    eps: float = 1e-4

    def __call__(self, state: State) -> State:
        """Sum of the branches' z-scores."""
        weight_of = dict(self.weights)
        total: dict[str, FloatArray] = {}
        for label, value_SK in state.rewarded.terms.items():
            branch = state.rewarded.branch[label]
            total[branch] = total.get(branch, 0.0) + value_SK
        parts = [(weight_of.get(branch, 1.0), state.with_floor(value_SK)) for branch, value_SK in total.items()]
        value_SK = advantages.branch_zscore(parts, state.mask_SK, ddof=self.ddof, eps=self.eps)
        return replace(state, advantage_SK=value_SK)


@dataclass(frozen=True)
class Gdpo(Step):
    """Group z-score of every term, weighted sum, standardised over the pool.

    Args:
        ddof: 1 = sample, 0 = population standard deviation.
        eps: added to it, > 0.
    """

    phase = "normalise"

    ddof: int = 1
    eps: float = 1e-4

    def __call__(self, state: State) -> State:
        """Standardised sum of the terms' z-scores."""
        rewarded = state.rewarded
        parts = [(rewarded.weights[label], state.with_floor(raw_SK)) for label, raw_SK in rewarded.raw.items()]
        value_SK = advantages.gdpo(parts, state.mask_SK, ddof=self.ddof, eps=self.eps)
        return replace(state, advantage_SK=value_SK)


@dataclass(frozen=True)
class UncertaintyWeight(Step):
    """Times exp(-alpha u), u from the variance of the group's scores: uncertain groups teach less.

    Args:
        alpha: strength, >= 0.
        half: variance of uncertainty 0.5 as a share of the squared scale width; None = the released normaliser
            v / (width^2 / 4), clipped to 1. The default is 0.05 on 1..5.
    """

    phase = "weight"

    alpha: float = 0.2
    half: float | None = 0.05 / 16

    def __post_init__(self) -> None:
        if not self.alpha >= 0 or (self.half is not None and not self.half > 0):
            raise ValueError(f"uncertainty weight needs alpha >= 0 and half > 0, got {self.alpha} and {self.half}")

    def __call__(self, state: State) -> State:
        """Weighted advantages."""
        scale = state.pool.scale
        variance_S = advantages.score_variance(state.pool.score_SK, scored(state.pool), low=scale.low, high=scale.high)
        if self.half is None:
            uncertainty_S = advantages.released_uncertainty(variance_S, width=scale.width)
        else:
            uncertainty_S = advantages.working_uncertainty(variance_S, half=self.half * scale.width**2)
        factor_S = advantages.uncertainty_factor(uncertainty_S, alpha=self.alpha)
        return replace(state, advantage_SK=state.advantage_SK * factor_S[:, None])


@dataclass(frozen=True)
class CaptionWeight(Step):
    """Positive advantages times a softmax of minus the caption divergence in the group (CapPO-style).

    Args:
        tau: sharpness, > 0.
        low: smallest weight, >= 0.
        high: largest weight, > low.
    """

    phase = "weight"
    needs_side = ("caption_kl",)

    tau: float = 1.0
    low: float = 0.5
    high: float = 2.0

    def __post_init__(self) -> None:
        if not (self.tau > 0 and 0 <= self.low < self.high):
            raise ValueError(f"caption weight needs tau > 0 and 0 <= low < high, got {self}")

    def __call__(self, state: State) -> State:
        """Weighted advantages."""
        weight_SK = advantages.caption_weights(
            state.pool.side["caption_kl"], readable(state.pool), tau=self.tau, low=self.low, high=self.high
        )
        return replace(state, advantage_SK=advantages.weigh_gains(state.advantage_SK, weight_SK))


@dataclass(frozen=True)
class SampleWeight(Step):
    """Times a weight that the sample carries in its targets, 1 where it has none.

    Args:
        field: name of the weight in the targets.
    """

    phase = "weight"

    field: str = "weight"

    def __call__(self, state: State) -> State:
        """Weighted advantages."""
        weight_S = advantages.sample_weights(state.pool.target_S, field=self.field)
        return replace(state, advantage_SK=state.advantage_SK * weight_S[:, None])


@dataclass(frozen=True)
class PositiveOnly(Step):
    """Groups with a success keep their positive advantages only; the others are pushed gently away from all.

    Args:
        success: reward from which a roll-out is a success.
        offset: subtracted from the rewards of a group without one.
        ddof: as in the z-score before it.
        eps: as in the z-score before it.
    """

    phase = "select"

    success: float = 2.0
    offset: float = 0.2e-4
    ddof: int = 1
    eps: float = 1e-4

    def __call__(self, state: State) -> State:
        """Selected advantages."""
        value_SK = advantages.positive_only(
            state.advantage_SK,
            state.reward_SK,
            state.mask_SK,
            success=self.success,
            offset=self.offset,
            ddof=self.ddof,
            eps=self.eps,
        )
        return replace(state, advantage_SK=value_SK)


@dataclass(frozen=True)
class AdvantagePlan:
    """Steps in order; called on a pool and its rewards it returns advantages and the groups that were kept.

    Args:
        steps: filter, normalise, weight, select, in this order; exactly one normaliser.
        caption_with_uncertainty: allow a caption weight and an uncertainty weight together. One rewards leaning on
            words, the other doubt about the image: they pull against each other, so it must be asked for by name.

    Raises:
        ConfigError: the order cannot work; the message says why.
    """

    steps: tuple[Step, ...] = field(default_factory=lambda: (GroupZScore(),))
    caption_with_uncertainty: bool = False

    def __post_init__(self) -> None:
        _check_order(self.steps)
        kinds = {type(step) for step in self.steps}
        if len(kinds) != len(self.steps):
            raise ConfigError(f"advantage plan {_names(self.steps)}: a step stands twice; keep one")
        if {UncertaintyWeight, CaptionWeight} <= kinds and not self.caption_with_uncertainty:
            raise ConfigError(
                "advantage plan: a caption weight draws answers towards a text-only view, an uncertainty weight away "
                "from doubt about the image; keep one, or ask for both with caption_with_uncertainty=True"
            )
        _check_selection(self.steps)

    @property
    def needs_side(self) -> tuple[str, ...]:
        """Side arrays that the steps read."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.needs_side))

    def __call__(self, pool: Pool, rewarded: Rewarded) -> tuple[FloatArray, BoolArray]:
        """Advantages [S, K] (0 where not present or dropped) and keep_S.

        Raises:
            ValueError: the pool lacks a side array.
        """
        for name in self.needs_side:
            if name not in pool.side:
                raise ValueError(f"the advantage needs the side array {name!r}: {SIDE_ARRAYS[name]}; the pool has none")
        state = State(pool, rewarded, np.ones(pool.num_samples, dtype=bool), np.zeros(pool.present_SK.shape))
        for step in self.steps:
            state = step(state)
        return np.where(state.mask_SK, state.advantage_SK, 0.0), state.keep_S


def _check_order(steps: tuple[Step, ...]) -> None:
    for index, later in enumerate(steps):
        for earlier in steps[:index]:
            if _PHASES.index(earlier.phase) > _PHASES.index(later.phase):
                reason = _REASONS[earlier.phase, later.phase]
                raise ConfigError(
                    f"advantage plan {_names(steps)}: {type(later).__name__} cannot stand behind "
                    f"{type(earlier).__name__}: {reason}. The order is {' -> '.join(_PHASES)}"
                )
    normalisers = [step for step in steps if step.phase == "normalise"]
    if len(normalisers) != 1:
        reason = "without one, rewards of easy samples outweigh those of hard ones"
        if normalisers:
            reason = "the second would undo the first"
        raise ConfigError(
            f"advantage plan {_names(steps)}: needs exactly one normaliser, has {len(normalisers)}; {reason}"
        )


def _check_selection(steps: tuple[Step, ...]) -> None:
    """Positive-only works on group z-scores of the same kind: it subtracts before the same division."""
    for step in steps:
        if not isinstance(step, PositiveOnly):
            continue
        if GroupZScore(ddof=step.ddof, eps=step.eps) not in steps:
            raise ConfigError(
                f"advantage plan {_names(steps)}: PositiveOnly(ddof={step.ddof}, eps={step.eps}) needs a GroupZScore "
                "with the same ddof and eps before it, since it shifts rewards under the same division"
            )


def _names(steps: tuple[Step, ...]) -> str:
    return " -> ".join(type(step).__name__ for step in steps) or "(empty)"
