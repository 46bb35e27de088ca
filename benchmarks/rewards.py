"""Time of the PreResQ-R1 image terms, beside the plain-loop reference that the tests keep.

    python benchmarks/rewards.py --json
    python benchmarks/rewards.py --pools 64x12 512x12 --repeat 20

The reference is timed once, and only for pools of at most --reference-samples samples: its triplet term is cubic.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pondera.core.answers import Answer
from pondera.core.pool import Pool
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.core.rewards import (
    PreferenceTriplet,
    RankToTruth,
    ResponseBalance,
    ScoreAndRank,
    SpreadPenalty,
    Term,
)

REFERENCE = Path(__file__).parents[1] / "tests" / "core" / "rewards" / "reference.py"
RELEASED = {
    "spread_penalty": {},
    "response_balance": {"aspects": "first_four"},
    "score_and_rank": {"wrong_order": "as_released", "min_gap": 0.0, "ties": "stable"},
    "preference_triplet": {"pairing": "index", "ties": "strict"},
    "rank_to_truth": {"ties": "stable"},
}
TERMS: dict[str, type[Term]] = {
    term.name: term for term in (SpreadPenalty, ResponseBalance, ScoreAndRank, PreferenceTriplet, RankToTruth)
}
ON_NUMBERS = {"spread_penalty", "response_balance"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--pools", nargs="+", default=["64x12", "512x12"], metavar="SxK")
    parser.add_argument("--invalid", type=float, default=0.0, help="share of invalid answers, 0..1")
    parser.add_argument("--repeat", type=int, default=10, help="runs per term; the median counts")
    parser.add_argument("--reference-samples", type=int, default=64, help="largest pool for the plain loops; 0 = none")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    reference = load_reference()
    pools = []
    for size in args.pools:
        num_samples, group_size = (int(part) for part in size.split("x"))
        values, mos = draw(num_samples, group_size, args.invalid, args.seed)
        loops = reference if num_samples <= args.reference_samples else None
        pools.append(measure(values, mos, loops, args.repeat))
    result = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "repeat": args.repeat,
        "invalid": args.invalid,
        "seed": args.seed,
        "pools": pools,
    }
    print(json.dumps(result, indent=2) if args.json else table(result))


def load_reference() -> ModuleType:
    """The plain loops live with the tests that prove them equal; they are no package, so import them by path."""
    spec = importlib.util.spec_from_file_location("reward_reference", REFERENCE)
    if spec is None or spec.loader is None or not REFERENCE.exists():
        sys.exit(f"{REFERENCE} is missing: run the benchmark from a source checkout")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(num_samples: int, group_size: int, invalid: float, seed: int) -> tuple[list[list[Any]], list[float]]:
    """Labels, and answers of five numbers with two decimals that scatter around them."""
    rng = np.random.default_rng(seed)
    mos = np.round(rng.uniform(1, 5, num_samples), 2)
    noise = rng.normal(0, 0.5, (num_samples, group_size, 5))
    numbers = np.round(np.clip(mos[:, None, None] + noise, 1, 5), 2)
    lost = rng.uniform(size=(num_samples, group_size)) < invalid
    values = [
        [None if lost[s, k] else tuple(numbers[s, k].tolist()) for k in range(group_size)] for s in range(num_samples)
    ]
    return values, mos.tolist()


def build(values: list[list[Any]], mos: list[float]) -> Pool:
    samples = [
        Sample(id=str(s), media=(Media("image.png"),), mos=label, scale=FIVE_POINT) for s, label in enumerate(mos)
    ]
    answers = [
        [Answer(error="lost") if v is None else Answer(values=v, score=sum(v) / len(v)) for v in group]
        for group in values
    ]
    return Pool.build(samples, [[""] * len(group) for group in values], answers, scale=FIVE_POINT)


def measure(values: list[list[Any]], mos: list[float], loops: ModuleType | None, repeat: int) -> dict[str, Any]:
    pool = build(values, mos)
    scores = [[None if v is None else sum(v) / len(v) for v in group] for group in values]
    rows = {}
    for name, term_class in TERMS.items():
        for variant, options in (("corrected", {}), ("as_released", RELEASED[name])):
            term = term_class(**options)
            row: dict[str, Any] = {"ms": 1e3 * median_seconds(lambda term=term: term(pool), repeat)}
            row["peak_mb"] = peak_mb(lambda term=term: term(pool))
            if loops is not None:
                start = time.perf_counter()
                loop = getattr(loops, name)
                expected = loop(values, **options) if name in ON_NUMBERS else loop(scores, mos, **options)
                row["reference_ms"] = 1e3 * (time.perf_counter() - start)
                row["max_difference"] = float(np.abs(term(pool) - np.array(expected)).max())
            rows[f"{name}/{variant}"] = row
    totals = {}
    for variant in ("corrected", "as_released"):
        chosen = [row for key, row in rows.items() if key.endswith(f"/{variant}")]
        totals[variant] = {
            key: sum(row[key] for row in chosen) for key in ("ms", "reference_ms") if all(key in r for r in chosen)
        }
    return {"samples": pool.num_samples, "group": pool.group_size, "terms": rows, "total": totals}


def median_seconds(call: Callable[[], object], repeat: int) -> float:
    call()  # first use pays for page faults
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def peak_mb(call: Callable[[], object]) -> float:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def table(result: dict[str, Any]) -> str:
    lines = []
    for pool in result["pools"]:
        lines.append(f"{pool['samples']} samples x {pool['group']} roll-outs")
        lines.append(f"  {'term':34}{'ms':>10}{'peak MB':>10}{'reference ms':>15}{'difference':>13}")
        for name, row in pool["terms"].items():
            tail = f"{row['reference_ms']:15.1f}{row['max_difference']:13.1e}" if "reference_ms" in row else ""
            lines.append(f"  {name:34}{row['ms']:10.2f}{row['peak_mb']:10.1f}{tail}")
        for variant, total in pool["total"].items():
            tail = f"{total['reference_ms']:25.1f}" if "reference_ms" in total else ""
            lines.append(f"  {'total/' + variant:34}{total['ms']:10.2f}{tail}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
