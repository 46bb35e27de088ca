"""Plain-loop reference of the cross-sample terms: slow, obvious, and independent of the vectorised code.

Inputs are nested lists: `scores[s][k]` is a number or None (invalid), `labels[s]` a number, `values[s][k]` a tuple of
numbers or None. Results have the shape of `scores`, 0.0 at None. Written from the formulas with loops, not tuned.
"""

import math
from itertools import combinations
from statistics import NormalDist, mean, median, pvariance, variance

NEUTRAL = 0.5


def _like(scores):
    return [[0.0] * len(group) for group in scores]


def _valid(group):
    return [k for k, q in enumerate(group) if q is not None]


def _sign(x):
    return (x > 0) - (x < 0)


def fidelity(scores, labels, *, ties="half", unbiased=True, eps_variance=1e-6, eps_root=1e-6):
    out = _like(scores)
    moments = []
    for group in scores:
        good = [q for q in group if q is not None]
        spread = (variance(good) if unbiased else pvariance(good)) if len(good) > 1 else 0.0
        moments.append((mean(good), spread) if good else None)
    for i, group in enumerate(scores):
        for k in _valid(group):
            total = []
            for j, other in enumerate(moments):
                if j == i or other is None:
                    continue
                p = NormalDist().cdf((group[k] - other[0]) / math.sqrt(moments[i][1] + other[1] + eps_variance))
                sign = _sign(labels[i] - labels[j])
                truth = {1: 1.0, 0: 0.5 if ties == "half" else 1.0, -1: 0.0}[sign]
                total.append(math.sqrt(p * truth + eps_root) + math.sqrt((1 - p) * (1 - truth) + eps_root))
            out[i][k] = mean(total) if total else NEUTRAL
    return out


def margin(scores, labels, stds=None, *, unit=1.0, floor_width=1e-4):
    out = _like(scores)
    for i, group in enumerate(scores):
        for k in _valid(group):
            total = []
            for j, other in enumerate(scores):
                good = [q for q in other if q is not None]
                if j == i or not good:
                    continue
                width = unit if stds is None else max(math.hypot(stds[i], stds[j]), floor_width)
                error = (group[k] - mean(good)) - (labels[i] - labels[j])
                total.append(math.exp(-0.5 * (error / width) ** 2))
            out[i][k] = mean(total) if total else NEUTRAL
    return out


def binary_pair(scores, labels, *, ties="half"):
    out = _like(scores)
    for i, group in enumerate(scores):
        for k in _valid(group):
            total = []
            for j, other in enumerate(scores):
                good = [q for q in other if q is not None]
                if j == i or not good:
                    continue
                gap = group[k] - sum(good) / len(good)
                apart = abs((0 if abs(gap) < 1e-9 else _sign(gap)) - _sign(labels[i] - labels[j]))
                total.append({0: 1.0, 1: 0.5 if ties == "half" else 0.0, 2: 0.0}[apart])
            out[i][k] = mean(total) if total else NEUTRAL
    return out


def spread_penalty(values, *, limit=0.5, strength=0.5):
    return [
        [0.0 if v is None else -strength * max(0.0, limit - math.sqrt(pvariance(v))) for v in group] for group in values
    ]


def response_balance(values, *, aspects="all", tolerance=0.05, strength=0.5):
    out = _like(values)
    for i, group in enumerate(values):
        good = [k for k, v in enumerate(group) if v is not None]
        if len(good) < 3:
            for k in good:
                out[i][k] = strength * NEUTRAL
            continue
        used = range(len(group[good[0]]))[: None if aspects == "all" else 4]
        gain = dict.fromkeys(good, 0)
        for triple in combinations(good, 3):
            for aspect in used:
                middle = median(group[k][aspect] for k in triple)
                for k in triple:
                    gain[k] += abs(group[k][aspect] - middle) <= tolerance
        for k in good:
            out[i][k] = strength * gain[k] / (len(used) * math.comb(len(good) - 1, 2))
    return out


def _ranked(group):
    """Valid places in rising order of score; equal scores keep their order."""
    return sorted(_valid(group), key=lambda k: group[k])


def _at(group, j, num):
    """The score of a group at the quantile of place j of num."""
    ordered = sorted(q for q in group if q is not None)
    position = (j * (len(ordered) - 1) / (num - 1)) if num > 1 else (len(ordered) - 1) / 2
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def _share_ties(group, by_place):
    """Bring place -> reward to k -> reward, equal scores sharing their mean."""
    order = _ranked(group)
    return {k: mean(by_place[j] for j, other in enumerate(order) if group[other] == group[k]) for k in order}


def score_and_rank(scores, labels, *, wrong_order="zero", min_gap=0.05, ties="average"):
    out = _like(scores)
    for i, group in enumerate(scores):
        order = _ranked(group)
        by_place = []
        for j, k in enumerate(order):
            total = []
            for z, other in enumerate(scores):
                gap = abs(labels[i] - labels[z])
                if z == i or not _valid(other) or gap < min_gap:
                    continue
                mine, theirs = group[k], _at(other, j, len(order))
                whole = gap + abs(mine - labels[i]) + abs(theirs - labels[z])
                s = gap / whole if whole > 0 else 0.0
                if _sign(mine - theirs) == _sign(labels[i] - labels[z]):
                    total.append(math.sqrt(s))
                else:
                    total.append(0.0 if wrong_order == "zero" else math.sqrt(1 - s))
            by_place.append(mean(total) if total else NEUTRAL)
        shared = _share_ties(group, by_place) if ties == "average" else dict(zip(order, by_place, strict=True))
        for k, reward in shared.items():
            out[i][k] = reward
    return out


def _triplet_share(scores, labels, i, ties):
    """Share of right orders over all pairs of others; scores of the samples that take part, in their order."""

    def agrees(x, y):
        if ties == "strict":
            return float((scores[x] > scores[y]) == (labels[x] > labels[y]))
        return 1 - abs(_sign(scores[x] - scores[y]) - _sign(labels[x] - labels[y])) / 2

    others = [s for s in range(len(scores)) if s != i]
    shares = [(agrees(i, a) + agrees(i, b) + agrees(a, b)) / 3 for a, b in combinations(others, 2)]
    return sum(shares) / len(shares) if shares else NEUTRAL


def preference_triplet(scores, labels, *, pairing="quantile", ties="half"):
    out = _like(scores)
    alive = [s for s, group in enumerate(scores) if _valid(group)]
    for i in alive:
        group = scores[i]
        if pairing == "index":
            for k in _valid(group):
                here = [s for s in alive if k < len(scores[s]) and scores[s][k] is not None]
                at = [scores[s][k] for s in here]
                out[i][k] = _triplet_share(at, [labels[s] for s in here], here.index(i), ties)
            continue
        order = _ranked(group)
        by_place = []
        for j in range(len(order)):
            at = [_at(scores[s], j, len(order)) for s in alive]
            by_place.append(_triplet_share(at, [labels[s] for s in alive], alive.index(i), ties))
        for k, reward in _share_ties(group, by_place).items():
            out[i][k] = reward
    return out


def rank_to_truth(scores, labels, *, exact=0.02, ties="average"):
    out = _like(scores)
    for i, group in enumerate(scores):
        good = _valid(group)
        entries = [(group[k], k) for k in good] + [(labels[i], "truth")]
        ordered = sorted(entries, key=lambda entry: entry[0])
        place = {name: p for p, (_, name) in enumerate(ordered)}
        if ties == "average":
            place = {name: mean(p for p, (w, _) in enumerate(ordered) if w == value) for value, name in entries}
        for k in good:
            is_exact = abs(group[k] - labels[i]) < exact
            out[i][k] = 1.0 if is_exact else math.exp(-abs(place[k] - place["truth"]) / (len(good) + 1))
    return out
