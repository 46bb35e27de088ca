"""Time and memory of SRCC, PLCC and RMSE with bootstrap intervals on many rows.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --rows 100000 --resamples 200 --rows-per-content 10
    python benchmarks/metrics.py --max-seconds 60 --max-mib 2048

KRCC's interval is analytic and the logistic fits are held fixed while rows are resampled; `summarise` below does all of
it. Prints JSON; exits 1 when it takes more than the bounds given. 60 s and 2 GiB are the bounds for two free cores:
run the third command for figures; docs/evaluation.md has the last ones. `seconds` is wall-clock time from the scores
to the summary and holds what other programs take from the machine; `cpu_seconds` does not. `peak_rss_mib` is of the
whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time

import numpy as np

from pondera.core.metrics import jsonable, summarise


def main() -> None:
    """Measure once, on made-up scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--rows-per-content", type=int, default=1, help="above 1, contents are drawn whole")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-seconds", type=float, help="wall-clock time; by default no bound")
    parser.add_argument("--max-mib", type=float, help="peak resident memory; by default no bound")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    mos_N = rng.uniform(1, 5, options.rows)
    score_N = mos_N + rng.normal(size=options.rows)
    content_N = np.arange(options.rows) // options.rows_per_content if options.rows_per_content > 1 else None
    wall, cpu = time.perf_counter(), time.process_time()
    summary = summarise(score_N, mos_N, cluster=content_N, num_resamples=options.resamples, seed=options.seed)
    document = {
        **vars(options),
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_rss_mib": round(_peak_mib()),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "numpy": np.__version__,
        "python": platform.python_version(),
        **{key: summary[key] for name in ("srcc", "plcc", "rmse", "krcc") for key in (name, f"{name}_ci")},
    }
    json.dump(jsonable(document), sys.stdout, indent=2)
    print()
    sys.exit(is_over(document["seconds"], options.max_seconds) or is_over(document["peak_rss_mib"], options.max_mib))


def is_over(value: float, bound: float | None) -> bool:
    """Whether a figure exceeds its bound; without one it does not."""
    return bound is not None and value > bound


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB elsewhere


if __name__ == "__main__":
    main()
