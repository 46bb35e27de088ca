"""What judgements add up to: means per system with intervals, differences of systems, agreement of judges.

Shape letters: R raters (judges, or seeds of one judge), U units (texts).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pondera.core.bootstrap import bootstrap_mean, cluster_index, percentile_interval, sign_p_value
from pondera.evaluate.judge import CRITERIA, Judgement

Text = tuple[str, str, str]  # system, dataset, sample


def summarise_judgements(
    judgements: Sequence[Judgement], *, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Means, differences and agreement.

    Args:
        judgements: of all judges, systems and seeds.
        num_resamples: of the bootstrap; contents are drawn whole.
        seed: of the bootstrap.

    Returns:
        `systems`: per system `n` texts and per criterion and for `overall` (mean of the three) `{mean, ci}` on [0, 2],
        where each text counts once: the mean over its seeds, then over its judges;
        `differences`: of each two systems on the texts about samples that both have, second minus first:
        `{first, second, n, difference, ci, p}` in overall;
        `judges`: per judge `n` asked, `n_unreadable`, and `between_seeds`: Krippendorff's alpha by criterion;
        `between_judges`: alpha by criterion, of the means over seeds. NaN where there are no two raters.
    """
    value_of = {name: _text_values(judgements, name) for name in (*CRITERIA, "overall")}
    content_of = {_text(j): (j.dataset, j.content) for j in judgements}
    systems = list(dict.fromkeys(j.system for j in judgements))

    def mean_with_interval(values: dict[Text, float]) -> dict[str, Any]:
        draws = _draws([content_of[text] for text in values], list(values.values()), num_resamples, seed)
        mean = float(np.mean(list(values.values()))) if values else math.nan
        return {"mean": mean, "ci": percentile_interval(draws)}

    def of_system(system: str) -> dict[str, Any]:
        parts = {name: {t: v for t, v in values.items() if t[0] == system} for name, values in value_of.items()}
        return {"n": len(parts["overall"]), **{name: mean_with_interval(part) for name, part in parts.items()}}

    pairs = combinations(systems, 2)
    return {
        "systems": {system: of_system(system) for system in systems},
        "differences": [_difference(value_of["overall"], content_of, *pair, num_resamples, seed) for pair in pairs],
        "judges": {judge: _of_judge([j for j in judgements if j.judge == judge]) for judge in _judges(judgements)},
        "between_judges": _alphas(judgements, lambda j: j.judge),
    }


def krippendorff_alpha(rating_RU: ArrayLike) -> float:
    """Agreement of raters beyond chance, for numbers at equal distances (interval data).

    Args:
        rating_RU: ratings, shape [R, U]; NaN where a rater did not rate.

    Returns:
        1: full agreement, 0: as by chance, below: systematic disagreement. NaN when no unit has two ratings or when all
        ratings are equal, which says nothing about agreement.

    Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, difference function of interval data.
    """
    rating_RU = np.asarray(rating_RU, dtype=np.float64)
    rating_RU = rating_RU[:, (~np.isnan(rating_RU)).sum(axis=0) >= 2]
    if rating_RU.size == 0:
        return math.nan
    count_U = (~np.isnan(rating_RU)).sum(axis=0)
    # The mean squared difference of all ordered pairs of m values is 2 m / (m - 1) times their variance.
    observed = float((2 * count_U**2 * np.nanvar(rating_RU, axis=0) / (count_U - 1)).sum() / count_U.sum())
    total = int(count_U.sum())
    expected = 2 * total / (total - 1) * float(np.nanvar(rating_RU))
    return 1 - observed / expected if expected > 1e-12 else math.nan


def _text(judgement: Judgement) -> Text:
    return judgement.system, judgement.dataset, judgement.sample


def _judges(judgements: Sequence[Judgement]) -> list[str]:
    return list(dict.fromkeys(j.judge for j in judgements))


def _value(judgement: Judgement, criterion: str) -> float:
    """NaN where the judgement could not be read."""
    if not judgement.scores:
        return math.nan
    names = CRITERIA if criterion == "overall" else (criterion,)
    return float(np.mean([judgement.scores[name] for name in names]))


def _text_values(judgements: Sequence[Judgement], criterion: str) -> dict[Text, float]:
    """Mean over seeds, then over judges, of every text with a readable judgement."""
    of_judge: dict[Text, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for judgement in judgements:
        if judgement.scores:
            of_judge[_text(judgement)][judgement.judge].append(_value(judgement, criterion))
    return {text: float(np.mean([np.mean(v) for v in judges.values()])) for text, judges in of_judge.items()}


def _draws(contents: Sequence[tuple[str, str]], values: Sequence[float], num: int, seed: int) -> np.ndarray:
    cluster_N = cluster_index(contents, len(values)) if values else None
    if len(set(contents)) < 2:  # one content says nothing about others
        return np.zeros(0)
    return bootstrap_mean(values, cluster_N=cluster_N, num_resamples=num, seed=seed)


def _difference(
    values: dict[Text, float],
    content_of: dict[Text, tuple[str, str]],
    first: str,
    second: str,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    shared = [text for text in values if text[0] == first and (second, *text[1:]) in values]
    gaps = [values[second, text[1], text[2]] - values[text] for text in shared]
    draws = _draws([content_of[text] for text in shared], gaps, num_resamples, seed)
    mean = float(np.mean(gaps)) if gaps else math.nan
    interval, p = percentile_interval(draws), sign_p_value(draws)
    return {"first": first, "second": second, "n": len(gaps), "difference": mean, "ci": interval, "p": p}


def _of_judge(judgements: Sequence[Judgement]) -> dict[str, Any]:
    num_unreadable = sum(not j.scores for j in judgements)
    errors = [j.error for j in judgements if j.error is not None][:3]
    alphas = _alphas(judgements, lambda j: str(j.seed))
    return {"n": len(judgements), "n_unreadable": num_unreadable, "errors": errors, "between_seeds": alphas}


def _alphas(judgements: Sequence[Judgement], rater_of: Callable[[Judgement], str]) -> dict[str, float]:
    raters = {rater: r for r, rater in enumerate(dict.fromkeys(map(rater_of, judgements)))}
    texts = {text: u for u, text in enumerate(dict.fromkeys(map(_text, judgements)))}
    return {name: _alpha(judgements, name, rater_of, raters, texts) for name in (*CRITERIA, "overall")}


def _alpha(
    judgements: Sequence[Judgement],
    criterion: str,
    rater_of: Callable[[Judgement], str],
    raters: dict[str, int],
    texts: dict[Text, int],
) -> float:
    """Ratings of one rater about one text (seeds of one judge) are averaged first."""
    sum_RU, count_RU = np.zeros((len(raters), len(texts))), np.zeros((len(raters), len(texts)))
    for judgement in judgements:
        if judgement.scores:
            place = raters[rater_of(judgement)], texts[_text(judgement)]
            sum_RU[place] += _value(judgement, criterion)
            count_RU[place] += 1
    return krippendorff_alpha(np.where(count_RU > 0, sum_RU / np.maximum(count_RU, 1), math.nan))
