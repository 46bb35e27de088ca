"""Truthfulness of rationales: does the reasoning name the defect that is really there?

Only samples with a single strong defect on the whole image can tell: there the worst aspect is a fact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pondera.core.bootstrap import bootstrap_mean, cluster_index, percentile_interval
from pondera.evaluate.predictions import Row


def aspect_truthfulness(
    rows: Sequence[Row],
    aspect_of: Mapping[str, str],
    worst_aspect: Callable[[str], str | None],
    *,
    min_level: int = 4,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Share of the clear cases in which the reasoning calls the distorted aspect the worst.

    Args:
        rows: predictions, see `predictions.prediction_row`.
        aspect_of: the aspect that each distortion type harms; types that are missing are left out and counted.
        worst_aspect: reads the worst aspect from a reasoning text; None where the text does not say. That counts as
            a miss: a rationale that names nothing has not found the defect.
        min_level: smallest level of a strong defect.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        `n` clear cases, `fraction` named rightly with `fraction_ci` (95 %, clustered by content), `n_silent` (no
        worst aspect named), `n_unmapped`; `types`: per distortion type `{aspect, n, fraction, named}`, `named`
        counting what the reasoning called the worst ("" for nothing).
    """
    cases = [row for row in rows if _is_clear(row, min_level)]
    mapped = [row for row in cases if row["distortions"][0]["type"] in aspect_of]
    types: dict[str, dict[str, Any]] = {}
    hits, silent = [], 0
    for row in mapped:
        kind = row["distortions"][0]["type"]
        named = worst_aspect(row["reasoning"])
        entry = types.setdefault(kind, {"aspect": aspect_of[kind], "n": 0, "fraction": 0.0, "named": {}})
        entry["n"] += 1
        entry["named"][named or ""] = entry["named"].get(named or "", 0) + 1
        hits.append(float(named == aspect_of[kind]))
        silent += named is None
    for entry in types.values():
        entry["fraction"] = entry["named"].get(entry["aspect"], 0) / entry["n"]
    cluster_N = cluster_index([(row["dataset"], row["reference"]) for row in mapped], len(mapped))
    num_contents = len(mapped) if cluster_N is None else int(cluster_N.max(initial=-1)) + 1
    draws = bootstrap_mean(hits, cluster_N=cluster_N, num_resamples=num_resamples, seed=seed)
    return {
        "n": len(mapped),
        "fraction": sum(hits) / len(hits) if hits else math.nan,
        "fraction_ci": percentile_interval(draws) if num_contents > 1 else [math.nan, math.nan],
        "n_silent": silent,
        "n_unmapped": len(cases) - len(mapped),
        "types": dict(sorted(types.items())),
    }


def _is_clear(row: Row, min_level: int) -> bool:
    defects = row["distortions"]
    return len(defects) == 1 and defects[0]["level"] >= min_level and defects[0].get("box") is None
