"""Is an evaluation that is killed and resumed, or shared by two processes, the evaluation that one quiet run makes?

    python benchmarks/evaluate_resume.py --images ../shared/data/biq2021 --limit 264
    python benchmarks/evaluate_resume.py --images ../shared/data/biq2021 --limit 1000

`--images` is the owner's folder of BIQ2021, or a folder with labels.csv (name, mos in 0..1, subset) and images/. The
command line runs in child processes: once in peace; once with SIGKILL to its whole process group each time that
another part of the rows is recorded (judged by the records, not by time), and then resumed; and in two processes at
the same time, by hand (--shard, then --merge) and under torchrun. Training content is allowed in the test: the figures
compare runs, not models. Prints one JSON object; exits 1 when a truth does not hold. A row is what
predictions.parquet holds of one sample.
"""

from __future__ import annotations

import argparse
import atexit
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pondera._version import __version__
from pondera.core.records import LabelScale, Sample
from pondera.data.importers.run import import_samples
from pondera.data.importers.sources import Options, open_source
from pondera.data.manifest import read_manifest, write_manifest
from pondera.evaluate.assessing import BATCH_SIZE
from pondera.evaluate.predictions import Row, read_predictions
from pondera.evaluate.store import content_keys

_POLL_S = 0.01  # far shorter than a batch: a kill comes before much more is recorded
_FIGURES = ("n", "n_invalid", "srcc", "srcc_ci", "plcc", "plcc_ci", "krcc", "rmse")
_PROCESSES = 2


@dataclass(frozen=True)
class Run:
    """One evaluation in a folder of its own.

    Args:
        out: the folder.
        arguments: of `pondera evaluate`, without --out.
    """

    out: Path
    arguments: tuple[str, ...]

    def start(self, *more: str, launcher: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start the command in a process group of its own; what it prints goes to OUT.log."""
        command = [sys.executable, *launcher, "-m", "pondera", "evaluate", *self.arguments, "--out", str(self.out)]
        environment = {"OMP_NUM_THREADS": "1", **os.environ}  # as torchrun sets it: sums depend on the threads
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*command, *more], stdout=log, stderr=log, env=environment, start_new_session=True
            )
        atexit.register(end, process)  # Ctrl-C does not reach another group
        return process

    def finish(self, *processes: subprocess.Popen[bytes]) -> None:
        """Wait for processes of this run; end with their last words where one failed."""
        if failed := [process.returncode for process in processes if process.wait()]:
            sys.exit(f"{self.out.name}: exit code {failed[0]}\n{self._log.read_text(errors='replace')[-2000:]}")

    @property
    def _log(self) -> Path:
        return self.out.with_suffix(".log")

    def records(self) -> list[list[dict[str, Any]]]:
        """What is recorded: for every process that wrote, its batches {content: assessment}."""
        files = sorted((self.out / "assessments").glob("*/*.jsonl"))
        # Behind the last line break is nothing, or a line that was never finished.
        return [[json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] for path in files]

    def rows(self) -> list[Row]:
        """The predictions."""
        return read_predictions(self.out / "predictions.parquet")

    def metrics(self) -> dict[str, Any]:
        """All of metrics.json."""
        document: dict[str, Any] = json.loads((self.out / "metrics.json").read_text(encoding="utf-8"))
        return document


def main() -> None:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--limit", type=int, default=1000, help="so many images, evenly spaced in the list")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--mode", default="fast", choices=("fast", "reason", "consensus"))
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    samples = evenly(biq2021(options.images), options.limit)
    if len(samples) <= options.kills * BATCH_SIZE:
        parser.error(
            f"{len(samples)} images are recorded in batches of {BATCH_SIZE}, too few for {options.kills} kills in the "
            f"middle; take more than {options.kills * BATCH_SIZE}"
        )
    with tempfile.TemporaryDirectory() as folder:
        report = measure(samples, Path(folder), options.model, options.mode, options.kills)
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["ok"] else 1)


def biq2021(folder: Path) -> tuple[Sample, ...]:
    """The samples of the owner's folder, or of a folder with labels.csv and images/."""
    if (folder / "labels.csv").is_file():
        columns = {"file": "name", "mos": "mos", "subset": "subset"}
        own = Options(folder / "images", LabelScale(0.0, 1.0), columns, dataset="biq2021")
        source = open_source("csv", folder / "labels.csv", own)
    else:
        source = open_source("biq2021", folder, Options())
    return import_samples(source.samples, title=source.title, source=source.origin, partial=True).samples


def evenly(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """So many of the samples, evenly spaced."""
    count = min(limit, len(samples))
    return [samples[number * len(samples) // count] for number in range(count)]


def measure(samples: Sequence[Sample], folder: Path, model: str, mode: str, num_kills: int) -> dict[str, Any]:
    """Run everything, and hold it against the quiet run."""
    start = time.perf_counter()
    manifest = folder / "manifest.jsonl"
    write_manifest(manifest, samples)
    # The tower of `nano` has seen photographs of BIQ2021; the question is whether runs agree, not how good they are.
    arguments = (str(manifest), "--model", model, "--mode", mode, "--allow-leakage")
    quiet, killed, shards, torchrun = (
        Run(folder / name, arguments) for name in ("quiet", "killed", "shards", "torchrun")
    )
    quiet.finish(quiet.start())
    kills = [kill_at(killed, at) for at in kill_points(len(samples), num_kills)]
    before = contents(killed.records())
    killed.finish(killed.start())
    shards.finish(*[shards.start("--shard", f"{n}/{_PROCESSES}") for n in range(1, _PROCESSES + 1)])
    shards.finish(shards.start("--merge"))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(_PROCESSES))
    torchrun.finish(torchrun.start(launcher=launcher))
    report = {
        "images": len(samples),
        "model": model,
        "mode": mode,
        "pondera": __version__,
        "killed": {"kills": kills, **against(quiet, killed), **kept(killed, before, read_manifest(manifest))},
        "shards": against(quiet, shards),
        "torchrun": against(quiet, torchrun),
        "metrics": {run.out.name: figures(run.metrics()) for run in (quiet, killed, shards, torchrun)},
        "seconds": round(time.perf_counter() - start),
    }
    broken = broken_truths(report, num_kills)
    return {**report, "broken": broken, "ok": not broken}


def kill_points(num_rows: int, num_kills: int) -> list[int]:
    """Recorded rows behind which to kill: whole batches, more each time, and never all."""
    num_batches = math.ceil(num_rows / BATCH_SIZE)
    return [BATCH_SIZE * (num_batches * n // (num_kills + 1)) for n in range(1, num_kills + 1)]


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def kill_at(run: Run, num_rows: int) -> dict[str, Any]:
    """Start or resume a run, and kill it with all that it started when so many rows are recorded."""
    process = run.start()
    while process.poll() is None and len(contents(run.records())) < num_rows:
        time.sleep(_POLL_S)
    end(process)
    by_kill = process.wait() == -signal.SIGKILL
    if not by_kill:  # it ended by itself: too soon for this kill, or with an error
        run.finish(process)
    return {"by_kill": by_kill, "wanted_rows": num_rows, "recorded_rows": len(contents(run.records()))}


def contents(records: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Assessments by content, of all processes."""
    return {key: assessment for batches in records for batch in batches for key, assessment in batch.items()}


def against(quiet: Run, other: Run) -> dict[str, Any]:
    """What differs from the quiet run, and how often something was recorded again."""
    one, two = quiet.rows(), other.rows()
    rows_of = [[key for batch in batches for key in batch] for batches in other.records()]
    times = Counter(key for keys in rows_of for key in keys)
    return {
        "rows_by_process": [len(keys) for keys in rows_of],
        "rows_that_differ": abs(len(one) - len(two)) + sum(not same_row(a, b) for a, b in zip(one, two, strict=False)),
        "rows_scored_twice": sum(count > 1 for count in times.values()),
        "metrics_differ": quiet.metrics() != other.metrics(),
    }


def same_row(one: Row, two: Row) -> bool:
    """Equal to the last bit in all but the time that it took."""
    return all(
        one[name] == two[name] or (one[name] != one[name] and two[name] != two[name])  # NaN is no answer in both
        for name in one
        if name != "seconds"
    )


def kept(run: Run, before: Mapping[str, Mapping[str, Any]], samples: Sequence[Sample]) -> dict[str, int]:
    """How many rows that were recorded before the last kill went into the table.

    The time that a row took is measured: scored again, it would be another.
    """
    pairs = zip(content_keys(samples), run.rows(), strict=True)
    held = [before[key]["seconds"] == row["seconds"] for key, row in pairs if key in before]
    return {"rows_from_killed_runs": len(held), "rows_replaced": held.count(False)}


def figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of all rows that a reader looks at first."""
    return {name: metrics["overall"][name] for name in _FIGURES}


def broken_truths(report: Mapping[str, Any], num_kills: int) -> list[str]:
    """The truths that do not hold, in words."""
    broken = []
    kills = report["killed"]["kills"]
    counts = [0, *(kill["recorded_rows"] for kill in kills), report["images"]]
    if len(kills) != num_kills or not all(kill["by_kill"] for kill in kills):
        broken.append(f"not killed {num_kills} times")
    if any(before >= after for before, after in itertools.pairwise(counts)):
        broken.append("a kill did not fall into the middle")
    if report["killed"]["rows_replaced"]:
        broken.append("killed: recorded rows were replaced")
    for name in ("killed", "shards", "torchrun"):
        wrong = ("rows_that_differ", "rows_scored_twice", "metrics_differ")
        broken += [f"{name}: {key.replace('_', ' ')}" for key in wrong if report[name][key]]
    for name in ("shards", "torchrun"):
        if len(report[name]["rows_by_process"]) != _PROCESSES:
            broken.append(f"{name}: not {_PROCESSES} processes")
    return broken


if __name__ == "__main__":
    main()
