"""The five terms of PreResQ-R1: answers to one sample should cohere, scores across samples should order as people do.

Every default is the corrected behaviour; each term says which parameter brings the released one back. Released total
for images: (0.375 score_and_rank + spread_penalty + 0.5 response_balance + 0.125 preference_triplet + rank_to_truth)
/ 3 + format; for videos the same without rank_to_truth and without the division.

Shape letters: S samples, K completions, n numbers per answer, A places in a group of A valid roll-outs, R rows of a
chunk, U samples that take part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import NO_COMPARISON, Term, labelled, not_negative, one_of, positive, readable, register
from pondera.core.rewards.comparisons import at_places, chunks, sorted_groups, to_rollouts

_SOURCE = "PreResQ-R1 arXiv:2511.05393 (code, commit fc5b685)"


@register
@dataclass(frozen=True)
class SpreadPenalty(Term):
    """A cost for aspect scores that lie too close together: it wakes up aspect-level reasoning.

    Args:
        limit: population standard deviation from which nothing is paid, > 0 (label units).
        strength: factor, > 0.

    Raises:
        ValueError: a parameter is not positive; or, when called, an answer has fewer than two numbers.
    """

    name = "spread_penalty"
    formula = "-strength * max(0, limit - std_population(numbers of the answer))"
    source = f"{_SOURCE}: limit 0.5, strength 0.5; the figures have it in stage 1 only, the code always"
    range = "-0.25..0 with the defaults"
    defect = (
        "for two numbers the standard deviation is |a - b| / 2, so video answers pay unless their scores differ by 1; "
        "the corrected video preset leaves the term out"
    )
    branch = "response"

    limit: float = 0.5
    strength: float = 0.5

    def __post_init__(self) -> None:
        positive(self, limit=self.limit, strength=self.strength)

    def __call__(self, pool: Pool) -> FloatArray:
        """Penalties <= 0, [S, K]; 0 where invalid or not present."""
        readable_SK = readable(pool)
        value_Nn = pool.value_SKn[readable_SK]
        _refuse_single_numbers(self, pool, value_Nn)
        penalty_SK = np.zeros(readable_SK.shape)
        if value_Nn.size:
            penalty_SK[readable_SK] = -self.strength * np.maximum(0.0, self.limit - np.nanstd(value_Nn, axis=1))
        return penalty_SK


@register
@dataclass(frozen=True)
class ResponseBalance(Term):
    """Agreement of each answer with the group's median, over all triples of answers, aspect by aspect.

    In a triple of answers the middle one gains 1; the low and the high one gain 1 each if within `tolerance` of it.
    An answer gains in every triple but those where both others lie beyond the tolerance on one side of it, so the
    gain is counted from the numbers above and below, without walking the triples.

    Groups with fewer than three valid answers have no triple: their valid answers earn half of the maximum.

    Args:
        aspects: `all` numbers of the answer, or the `first_four` (released).
        tolerance: nearness that counts as agreement, >= 0 (label units).
        strength: factor, > 0.

    Raises:
        ValueError: a parameter is outside its range.
    """

    name = "response_balance"
    formula = (
        "strength * gain / (aspects * C(K-1, 2)); over all triples of answers: the middle value gains 1, "
        "the outer ones 1 each if within tolerance of it"
    )
    source = f"{_SOURCE}: tolerance 0.05, strength 0.5"
    range = "0..0.5 with the defaults; 0.25 for groups with fewer than three valid answers"
    defect = (
        "the released code leaves out the fifth aspect (aspects='first_four'), and returns a vector of the wrong "
        "length for fewer than three answers"
    )
    branch = "response"
    min_group = 3

    aspects: Literal["all", "first_four"] = "all"
    tolerance: float = 0.05
    strength: float = 0.5

    def __post_init__(self) -> None:
        one_of(self, "aspects", Literal["all", "first_four"])
        not_negative(self, tolerance=self.tolerance)
        positive(self, strength=self.strength)

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid or not present."""
        mask_SK = readable(pool) & np.isfinite(pool.value_SKn).any(axis=2)
        value_SKn = pool.value_SKn[:, :, :4] if self.aspects == "first_four" else pool.value_SKn
        share_SK = np.zeros(mask_SK.shape)
        for rows in chunks(pool.num_samples, mask_SK.shape[1] * value_SKn[0].size):
            share_SK[rows] = self._share(value_SKn[rows])
        has_triple_S1 = (mask_SK.sum(axis=1) >= 3)[:, None]
        return np.where(mask_SK, self.strength * np.where(has_triple_S1, share_SK, NO_COMPARISON), 0.0)

    def _share(self, value_RKn: FloatArray) -> FloatArray:
        """Share of an answer's triples and aspects in which it gains, [R, K]."""
        # NaN compares as False: an invalid answer is neither above nor below, and is not counted as another.
        difference_RKKn = value_RKn[:, None, :, :] - value_RKn[:, :, None, :]
        above_RKn = (difference_RKKn > self.tolerance).sum(axis=2)
        below_RKn = (difference_RKKn < -self.tolerance).sum(axis=2)
        has_RKn = np.isfinite(value_RKn)
        triples_R1n = _pairs(has_RKn.sum(axis=1, keepdims=True) - 1)
        gain_RKn = np.where(has_RKn, triples_R1n - _pairs(above_RKn) - _pairs(below_RKn), 0)
        possible_RK = np.where(has_RKn, triples_R1n, 0).sum(axis=2)
        share_RK: FloatArray = gain_RKn.sum(axis=2) / np.maximum(possible_RK, 1)
        return share_RK


@register
@dataclass(frozen=True)
class ScoreAndRank(Term):
    """Order and nearness at once: the j-th lowest answer of a sample against the j-th lowest of every other one.

    Where groups have different numbers of valid answers, the j-th lowest meets the same quantile of the other group.

    Args:
        wrong_order: what a wrong order earns: `zero`, or `as_released` = sqrt(1 - s), which grows with the error.
        min_gap: pairs whose labels differ by less are left out, >= 0 (label units; released: 0).
        ties: answers of one group with equal scores `average` their rewards, or keep the `stable` order (released).

    Raises:
        ValueError: a parameter is outside its range.
    """

    name = "score_and_rank"
    formula = (
        "mean over z != i of sqrt(s) if sign(q_i(j) - q_z(j)) = sign(g_i - g_z), else 0 (as released sqrt(1 - s)); "
        "s = D / (D + |q_i(j) - g_i| + |q_z(j) - g_z|), D = |g_i - g_z|"
    )
    source = f"{_SOURCE}; there the other samples are those of one device. With D = 0 and no error s is 0/0: here 0"
    range = "0..1; 0.5 where there is nothing to compare"
    defect = (
        "a wrong order earns more than a right one, and more the larger its errors (wrong_order='as_released'); "
        "equal labels reward unequal scores, two exact hits give NaN (min_gap=0.0); "
        "equal scores earn by their place in the list (ties='stable')"
    )
    branch = "preference"
    min_samples = 2

    wrong_order: Literal["zero", "as_released"] = "zero"
    min_gap: float = 0.05
    ties: Literal["average", "stable"] = "average"

    def __post_init__(self) -> None:
        one_of(self, "wrong_order", Literal["zero", "as_released"])
        one_of(self, "ties", Literal["average", "stable"])
        not_negative(self, min_gap=self.min_gap)

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a label."""
        mask_SK = labelled(pool)
        sorted_SK, order_SK, count_S = sorted_groups(pool.score_SK, mask_SK)
        place_SK = np.zeros(mask_SK.shape)
        other_U = np.flatnonzero(count_S)
        for num_places in np.unique(count_S[other_U]):
            at_UA = at_places(sorted_SK, count_S, int(num_places))[other_U]
            mine = np.flatnonzero(count_S[other_U] == num_places)
            for rows in chunks(mine.size, at_UA.size):
                place_SK[other_U[mine[rows]], :num_places] = self._rows(at_UA, pool.mos_S[other_U], mine[rows])
        return to_rollouts(place_SK, sorted_SK, order_SK, mask_SK, share_ties=self.ties == "average")

    def _rows(self, at_UA: FloatArray, mos_U: FloatArray, row_R: NDArray[np.intp]) -> FloatArray:
        """Mean reward of the places of some samples, [R, A]."""
        truth_RU = mos_U[row_R, None] - mos_U[None, :]
        gap_RU = np.abs(truth_RU)
        error_UA = np.abs(at_UA - mos_U[:, None])
        total_RAU = (gap_RU[:, None, :] + error_UA[row_R, :, None]) + error_UA.T
        s_RAU = gap_RU[:, None, :] / np.where(total_RAU > 0, total_RAU, 1.0)
        is_right_RAU = np.sign(at_UA[row_R, :, None] - at_UA.T) == np.sign(truth_RU)[:, None, :]
        if self.wrong_order == "zero":
            reward_RAU = np.where(is_right_RAU, np.sqrt(s_RAU), 0.0)
        else:
            reward_RAU = np.sqrt(np.where(is_right_RAU, s_RAU, 1.0 - s_RAU))
        weight_RU = (gap_RU >= self.min_gap).astype(np.float64)
        weight_RU[np.arange(row_R.size), row_R] = 0.0
        count_R1 = weight_RU.sum(axis=1, keepdims=True)
        total_RA = np.matmul(reward_RAU, weight_RU[:, :, None])[:, :, 0]
        return np.where(count_R1 > 0, total_RA / np.maximum(count_R1, 1.0), NO_COMPARISON)


@register
@dataclass(frozen=True)
class PreferenceTriplet(Term):
    """Share of right orders among a sample and every two others.

    The sum over all pairs of other samples is taken from an S x S matrix of agreements per place: of the three orders
    in a triple two belong to the sample itself, the third to the pair.

    Args:
        pairing: answers meet at the same `quantile` of their groups, or at the same list `index` (released).
        ties: order of equal values: `half` = sign agreement, 0.5 where one side is tied; `strict` = ">" against ">"
            with the earlier sample on the left (released).

    Raises:
        ValueError: a parameter is unknown.
    """

    name = "preference_triplet"
    formula = "mean over pairs (a, b) of other samples of the share of {i:a, i:b, a:b} ordered as their labels"
    source = f"{_SOURCE}; there the other samples are those of one device"
    range = "0..1; 0.5 with fewer than three samples to compare"
    defect = (
        "a tied prediction is right or wrong by the direction of the label (ties='strict'); an index has no meaning "
        "across samples, so the term is noisy (pairing='index'); fewer than three samples give NaN"
    )
    branch = "preference"
    min_samples = 3

    pairing: Literal["quantile", "index"] = "quantile"
    ties: Literal["half", "strict"] = "half"

    def __post_init__(self) -> None:
        one_of(self, "pairing", Literal["quantile", "index"])
        one_of(self, "ties", Literal["half", "strict"])

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a label."""
        mask_SK = labelled(pool)
        place_SK = np.zeros(mask_SK.shape)
        if self.pairing == "index":
            for k in range(pool.group_size):
                member_U = np.flatnonzero(mask_SK[:, k])
                place_SK[member_U, k] = self._shares(pool.score_SK[member_U, k], pool.mos_S[member_U])
            return place_SK
        sorted_SK, order_SK, count_S = sorted_groups(pool.score_SK, mask_SK)
        other_U = np.flatnonzero(count_S)
        for num_places in np.unique(count_S[other_U]):
            at_UA = at_places(sorted_SK, count_S, int(num_places))[other_U]
            is_mine_U = count_S[other_U] == num_places
            for j in range(num_places):
                place_SK[other_U[is_mine_U], j] = self._shares(at_UA[:, j], pool.mos_S[other_U])[is_mine_U]
        return to_rollouts(place_SK, sorted_SK, order_SK, mask_SK, share_ties=True)

    def _shares(self, score_U: FloatArray, mos_U: FloatArray) -> FloatArray:
        """Share of right orders of each sample's triples, [U]."""
        num = score_U.size
        if num < 3:
            return np.full(num, NO_COMPARISON)
        agree_UU = self._agreement(score_U, mos_U)
        np.fill_diagonal(agree_UU, 0.0)
        upper_UU = np.triu(agree_UU)
        own_U = agree_UU.sum(axis=1)
        # Orders between two others: all of them less those that the sample itself is in.
        rest_U = upper_UU.sum() - upper_UU.sum(axis=0) - upper_UU.sum(axis=1)
        shares_U: FloatArray = ((num - 2) * own_U + rest_U) / (3 * _pairs(num - 1))
        return shares_U

    def _agreement(self, score_U: FloatArray, mos_U: FloatArray) -> FloatArray:
        """How far the order of two samples agrees with that of their labels, [U, U], row against column."""
        if self.ties == "strict":
            return np.where((score_U[:, None] > score_U) == (mos_U[:, None] > mos_U), 1.0, 0.0)
        distance_UU = np.abs(np.sign(score_U[:, None] - score_U) - np.sign(mos_U[:, None] - mos_U))
        return np.asarray(1.0 - distance_UU / 2)


@register
@dataclass(frozen=True)
class RankToTruth(Term):
    """How many places an answer stands from the label, when the label is sorted in among the answers of its group.

    Args:
        exact: an error below it earns 1, >= 0 (label units).
        ties: equal values share the `average` of their places, or keep the `stable` order, the label last (released).

    Raises:
        ValueError: a parameter is outside its range.
    """

    name = "rank_to_truth"
    formula = "1 if |q - g| < exact, else exp(-places between q and g / (K + 1)), K = valid answers of the group"
    source = f"{_SOURCE}: exact 0.02; images only"
    range = "0.36..1"
    defect = "equal answers earn by their place in the list (ties='stable')"
    branch = "response"

    exact: float = 0.02
    ties: Literal["average", "stable"] = "average"

    def __post_init__(self) -> None:
        one_of(self, "ties", Literal["average", "stable"])
        not_negative(self, exact=self.exact)

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a label."""
        mask_SK = labelled(pool)
        score_SK = np.where(mask_SK, pool.score_SK, np.nan)
        mos_S1 = pool.mos_S[:, None]
        lower_SK = np.zeros(mask_SK.shape)
        for rows in chunks(pool.num_samples, mask_SK.shape[1] ** 2):
            lower_SK[rows] = self._places_below(score_SK[rows])
        tie = 0.5 if self.ties == "average" else 0.0
        place_SK = lower_SK + (mos_S1 < score_SK) + tie * (mos_S1 == score_SK)
        equal_to_truth_SK = (1.0 - tie) * (score_SK == mos_S1)  # the label stands last, or in the middle
        truth_place_S1 = ((score_SK < mos_S1) + equal_to_truth_SK).sum(axis=1, keepdims=True)
        distance_SK = np.abs(place_SK - truth_place_S1)
        reward_SK = np.exp(-distance_SK / (mask_SK.sum(axis=1, keepdims=True) + 1))
        is_exact_SK = np.abs(score_SK - mos_S1) < self.exact
        return np.where(mask_SK, np.where(is_exact_SK, 1.0, reward_SK), 0.0)

    def _places_below(self, score_RK: FloatArray) -> FloatArray:
        """Place of each answer among the answers, from 0; NaN compares as False and takes no place."""
        below_RK = (score_RK[:, None, :] < score_RK[:, :, None]).sum(axis=2)
        same_RKK = score_RK[:, None, :] == score_RK[:, :, None]
        if self.ties == "average":
            return np.asarray(below_RK + np.maximum(same_RKK.sum(axis=2) - 1, 0) / 2)
        earlier_RK = np.tril(same_RKK, k=-1).sum(axis=2)
        return np.asarray(below_RK + earlier_RK, dtype=np.float64)


def _pairs(count: NDArray[np.intp] | int) -> NDArray[np.intp]:
    """C(count, 2), 0 for counts below 2."""
    at_least_one = np.maximum(count, 1)
    return np.asarray(at_least_one * (at_least_one - 1) // 2)


def _refuse_single_numbers(term: Term, pool: Pool, value_Nn: FloatArray) -> None:
    if value_Nn.size and (np.isfinite(value_Nn).sum(axis=1) < 2).any():
        raise ValueError(
            f"reward term {term.name!r} needs answers of at least two numbers (aspects), but this pool of "
            f"{pool.num_samples} samples has answers with fewer; use it with an answer format of n >= 2"
        )
