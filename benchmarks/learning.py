"""What rewards teach: the same budget of roll-outs from the same cold start, for recipes and seeds.

    python benchmarks/learning.py --out learning                              # everything, for hours; resumable
    python benchmarks/learning.py --out learning --recipes pondera --seeds 0  # one run
    python benchmarks/learning.py --out learning --limit 1                    # the next run that is missing
    python benchmarks/learning.py --out learning --data mixture --limit 0     # only the table of what is there

Data and pipeline are the quickstart's: damaged crops of the bundled photographs with pseudo-MOS, a tower pretrained on
distortions, a cold start on the measuring teacher, then the reinforce stages of a packaged recipe (or of a YAML file:
`benchmarks/learning_recipes/` has ablations), with as many roll-outs as the budget says, and a held-out test with
greedy answers. Recipes whose prompts and stages before reinforcement are the same start from one model; another form
of answer needs a cold start of its own, on the same measurements. Seeds are those of the reinforcement. Second views
of a system (captions, frames, answers without a thought) cost further passes that the budget does not count.

`mixture` is two data sets with different scales: half of the contents keep their labels (1 to 5), the other half get
those of harsher people on 0 to 100, 100 u^2 with u the place on the scale. Correlations are per data set. One run's
result is a file; everything that is there is kept. Intervals: 1,000 resamples of the contents, the same for all seeds
of a recipe, whose correlations are averaged in each. Answers are greedy behind a thought; a recipe that teaches no
thought (`deqa`) is read in mode `fast`, its expected score.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pondera.assess import load
from pondera.assess.assessor import Mode
from pondera.config import Recipe, load_recipe
from pondera.core.bootstrap import bootstrap_correlations, cluster_index, percentile_interval
from pondera.core.metrics import plcc, srcc
from pondera.core.records import LabelScale, Sample
from pondera.data.manifest import read_manifest, write_manifest
from pondera.data.synthesize import bundled_references, synthesize
from pondera.data.tasks import KINDS, derive
from pondera.engine.run import run_recipe
from pondera.evaluate import Evaluation, evaluate
from pondera.evaluate.predictions import Row, read_predictions

SIX = ("q-ponder", "preresq-r1-image", "visualquality-r1", "q-insight", "mr-iqa", "pondera")
OTHERS = ("aes-r1", "cappo", "hirqa", "omniquality-r", "q-hawkeye", "q-ponder-text", "refine-iqa")
ABLATIONS = tuple(str(path) for path in sorted((Path(__file__).parent / "learning_recipes").glob("*.yaml")))
HARSH = LabelScale(0.0, 100.0)
DATA = ("quickstart", "mixture")


def main() -> None:
    args = parse_arguments()
    out = args.out
    manifests = make_data(out / "data", args.per_reference, args.dead_leaves)
    done = 0
    for name in args.recipes:
        for seed in args.seeds if name in SIX else args.seeds[:1]:
            folder = out / args.data / load_recipe(name).name / str(seed)
            if (folder / "result.json").is_file():
                continue
            if args.limit is not None and done >= args.limit:
                break
            run_one(name, seed, folder, manifests[args.data], args)
            done += 1
    results = collect(out / args.data)
    for entry in results:
        start = out / "starts" / entry["start"]
        entry["start_overall"] = test_start(start, manifests[args.data] / "manifest.jsonl", entry["mode"])
    (out / f"{args.data}.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(results))


def make_data(folder: Path, per_reference: Sequence[int], dead_leaves: int) -> dict[str, Path]:
    """The folder of manifests of each kind of data: manifest.jsonl and the tasks derived from it."""
    references, splits = bundled_references(dead_leaves)
    sizes = dict(zip(("train", "val", "test"), per_reference, strict=True))
    path = synthesize(folder / "quickstart", references=references, num_per_reference=sizes, splits=splits, seed=0)
    samples = read_manifest(path)
    mixed = folder / "mixture"
    if not (mixed / "manifest.jsonl").is_file():
        write_manifest(mixed / "manifest.jsonl", mixture(samples))
    for place in (path.parent, mixed):
        for kind in set(KINDS) - {"multi"}:  # which is of clips only
            if not (place / f"{kind}.jsonl").is_file():
                write_manifest(place / f"{kind}.jsonl", derive(read_manifest(place / "manifest.jsonl"), kind))
    return {"quickstart": path.parent, "mixture": mixed}


def mixture(samples: Sequence[Sample]) -> list[Sample]:
    """Every second content of each split gets the labels of harsher people, on another scale."""
    contents = sorted({(str(sample.split), sample.content) for sample in samples})
    harsh = {content for place, (_, content) in enumerate(contents) if place % 2}
    return [_harsh(sample) if sample.content in harsh else replace(sample, dataset="mild") for sample in samples]


def _harsh(sample: Sample) -> Sample:
    place = sample.mos_on(LabelScale(0.0, 1.0))
    return replace(sample, dataset="harsh", mos=round(100 * place**2, 3), scale=HARSH)


def run_one(name: str, seed: int, folder: Path, data: Path, args: argparse.Namespace) -> None:
    """Reinforce from the shared start, test, and write result.json."""
    recipe = load_recipe(name, args.set)
    start = make_start(_on(recipe, data.parent / "quickstart"), args.out / "starts")
    begun = time.perf_counter()
    reinforced = _reinforcement(_on(recipe, data), start, seed, args.budget)
    # A recipe without reinforcement is its start.
    final = run_recipe(reinforced, folder / "run", resume=True) if reinforced else start
    seconds = time.perf_counter() - begun
    mode = answer_mode(recipe)
    found = answers(final, data / "manifest.jsonl", mode, recipe.name)
    found.save(folder)
    stages = [s for s in (reinforced.stages if reinforced else ()) if s.kind == "reinforce"]
    result = {
        "recipe": recipe.name,
        "seed": seed,
        "mode": mode,
        "systems": [s.system for s in stages],
        "roll_outs": sum(roll_outs(s.model_dump()) for s in stages),
        "steps": [s.steps for s in stages],
        "start": start.parent.name,
        "seconds": round(seconds, 1),
        "overall": {k: found.metrics["overall"][k] for k in ("n", "n_invalid", "srcc", "plcc")},
    }
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def make_start(recipe: Recipe, folder: Path) -> Path:
    """The model before reinforcement, made once for all recipes that say the same about it; its folder."""
    values = recipe.model_dump(mode="json")
    stages = [stage for stage in values["stages"] if stage["kind"] != "reinforce"]
    values |= {"stages": stages, "name": "start", "description": ""}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]
    final = folder / key / "final"
    return final if final.is_dir() else run_recipe(Recipe.model_validate(values), folder / key, resume=True)


def answer_mode(recipe: Recipe) -> Mode:
    """Thoughts and a greedy answer; the expected score where no stage teaches thoughts."""
    thinks = any(stage.kind == "reinforce" or getattr(stage, "reasoning", False) for stage in recipe.stages)
    return "reason" if thinks else "fast"


def answers(model: Path, manifest: Path, mode: Mode, name: str) -> Evaluation:
    """What a model says about the test."""
    assessor = load(str(model))
    return evaluate(read_manifest(manifest, split="test"), lambda paths: assessor(list(paths), mode=mode), name=name)


def test_start(folder: Path, manifest: Path, mode: Mode) -> dict[str, float]:
    """What a start is worth on the test, before any reinforcement; worked out once for each kind of data."""
    place = folder / f"test-{manifest.parent.name}.json"
    if not place.is_file():
        overall = answers(folder / "final", manifest, mode, "start").metrics["overall"]
        place.write_text(
            json.dumps({key: overall[key] for key in ("n", "n_invalid", "srcc", "plcc")}), encoding="utf-8"
        )
    values: dict[str, float] = json.loads(place.read_text(encoding="utf-8"))
    return values


def _on(recipe: Recipe, data: Path) -> Recipe:
    """The recipe with its manifests looked for in a folder."""
    values = recipe.model_dump(mode="json")
    for section in (values, *values["stages"]):
        if section.get("data"):
            own = section["data"]["manifest"]
            found = [str(data / Path(path).name) for path in ([own] if isinstance(own, str) else own)]
            section["data"]["manifest"] = found
    return Recipe.model_validate(values)


def _reinforcement(recipe: Recipe, start: Path, seed: int, budget: int) -> Recipe | None:
    """The reinforce stages alone, with steps that spend the budget in the recipe's own proportions."""
    values = recipe.model_dump(mode="json")
    stages = [stage for stage in values["stages"] if stage["kind"] == "reinforce"]
    if not stages:
        return None
    own = [roll_outs(stage) for stage in stages]
    for stage, cost in zip(stages, own, strict=True):
        per_rollout, updates = stage["samples_per_step"] * stage["group_size"], stage["updates_per_rollout"]
        stage["steps"] = updates * max(1, round(budget * cost / sum(own) / per_rollout))
    return Recipe.model_validate({**values, "stages": stages, "seed": seed, "model": {"init": str(start)}})


def roll_outs(stage: dict[str, Any]) -> int:
    """Completions that a stage samples."""
    return stage["steps"] * stage["samples_per_step"] * stage["group_size"] // stage["updates_per_rollout"]


def collect(folder: Path) -> list[dict[str, Any]]:
    """One entry a recipe: means over its seeds and data sets with intervals, and the same per data set."""
    entries = []
    for place in sorted(path for path in folder.glob("*") if path.is_dir()):
        runs = sorted(path.parent for path in place.glob("*/result.json"))
        if not runs:
            continue
        results = [json.loads((run / "result.json").read_text(encoding="utf-8")) for run in runs]
        rows = [read_predictions(run / "predictions.parquet") for run in runs]
        names = sorted({str(row["dataset"]) for row in rows[0]})
        parts = {name: [_resampled(r, name) for r in rows] for name in names}
        entries.append(
            {
                "recipe": results[0]["recipe"],
                "systems": results[0]["systems"],
                "seeds": [result["seed"] for result in results],
                "mode": results[0].get("mode", "reason"),
                "roll_outs": results[0]["roll_outs"],
                "start": results[0]["start"],
                "seconds": round(float(np.mean([result["seconds"] for result in results])), 1),
                "valid": float(np.mean([np.mean([bool(row["valid"]) for row in r]) for r in rows])),
                "overall": _summary([run for part in parts.values() for run in part]),
                "datasets": {name: _summary(part) for name, part in parts.items()},
            }
        )
    return sorted(entries, key=lambda entry: -entry["overall"]["srcc"])


def _resampled(rows: Sequence[Row], dataset: str) -> dict[str, tuple[float, np.ndarray]]:
    """SRCC and PLCC of one run on one data set, and their values in each resample of the contents."""
    used = [row for row in rows if row["dataset"] == dataset and row["valid"]]
    score = np.array([row["score"] for row in used], dtype=np.float64)
    mos = np.array([row["mos"] for row in used], dtype=np.float64)
    if len(used) < 3 or np.ptp(score) == 0:  # no order at all
        return {name: (0.0, np.zeros(1000)) for name in ("srcc", "plcc")}
    cluster = cluster_index([row["reference"] for row in used], len(used))
    drawn = bootstrap_correlations(score, mos, cluster_N=cluster)
    return {"srcc": (srcc(score, mos), drawn["srcc"]), "plcc": (plcc(score, mos), drawn["plcc"])}


def _summary(runs: Sequence[dict[str, tuple[float, np.ndarray]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("srcc", "plcc"):
        found[name] = float(np.mean([run[name][0] for run in runs]))
        found[f"{name}_ci"] = percentile_interval(np.mean([run[name][1] for run in runs], axis=0))
        found[f"{name}_runs"] = [run[name][0] for run in runs]
    return found


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results as Markdown."""
    if not results:
        return "no result yet"
    names = list(results[0]["datasets"])
    parts = ["overall"] if len(names) == 1 else ["overall", *names]
    heads = [f"{metric} {'' if part == 'overall' else part}".strip() for part in parts for metric in ("SRCC", "PLCC")]
    columns = ["recipe", "mode", "seeds", *heads, "SRCC and PLCC before", "valid", "roll-outs", "minutes", "start"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for entry in results:
        summaries = [entry["overall"] if part == "overall" else entry["datasets"][part] for part in parts]
        cells = [_cell(summary, metric) for summary in summaries for metric in ("srcc", "plcc")]
        before = "{srcc:.3f}, {plcc:.3f}".format(**entry["start_overall"])
        facts = [
            before,
            f"{entry['valid']:.1%}",
            f"{entry['roll_outs']:,}",
            f"{entry['seconds'] / 60:.1f}",
            entry["start"],
        ]
        lines.append(
            "| " + " | ".join([entry["recipe"], entry["mode"], str(len(entry["seeds"])), *cells, *facts]) + " |"
        )
    return "\n".join(lines)


def _cell(summary: dict[str, Any], name: str) -> str:
    low, high = summary[f"{name}_ci"]
    return f"{summary[name]:.3f} [{low:.3f}, {high:.3f}]"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for data, starts, runs and tables")
    parser.add_argument("--recipes", nargs="+", default=[*SIX, "deqa", *OTHERS, *ABLATIONS], help="names or YAML files")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="the rest gets the first only")
    parser.add_argument("--data", choices=DATA, default="quickstart")
    parser.add_argument("--budget", type=int, default=34_560, help="roll-outs of a run (the quickstart's)")
    parser.add_argument("--limit", type=int, help="at most so many new runs; 0 makes the table only")
    parser.add_argument("--set", nargs="*", default=[], help="changes of every recipe, a.b=value")
    parser.add_argument("--per-reference", nargs=3, type=int, default=[128, 24, 50], metavar=("TRAIN", "VAL", "TEST"))
    parser.add_argument("--dead-leaves", type=int, default=6, help="procedural contents in train")
    return parser.parse_args()


if __name__ == "__main__":
    main()
