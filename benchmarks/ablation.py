"""Q-Ponder's ablation at nano size, on contents that nothing was trained on, over several seeds.

    python benchmarks/ablation.py --out ablation                        everything that is not done yet
    python benchmarks/ablation.py --out ablation --seeds 1 --rows answers reasoning
    python benchmarks/ablation.py --out ablation --summarise            tables from what is there

Rows: `answers` (recipe q-ponder-no-reasoning-nano), `reasoning` (q-ponder-ci-nano) and `reinforced` (q-ponder-nano).
Further rows vary the cold start: `epochs-1`, `epochs-2`, `epochs-4` instead of twenty, `levels` with soft level labels.
All rows start from the pretrained tower of the package, and `reinforced` from `reasoning`, which is what the recipes
give.

Data: the bundled training and validation photographs, shuffled by --split-seed: the first nine are learned from, the
other seven only scored; the package's eight test photographs are not touched. One data set for all seeds; a seed sets
weights, order and sampling. Rationales are the measuring teacher's, with the label in place of its score.

A row of a seed is done when its predictions.jsonl is there; an interrupted one goes on from its last checkpoint.
Intervals: 95 %, contents and seeds drawn again with replacement, the same draws for all rows.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pondera import prompts
from pondera.assess import load
from pondera.config import load_recipe
from pondera.core.correlation import plcc, srcc
from pondera.core.records import Sample
from pondera.data.images import load_image
from pondera.data.manifest import read_manifest
from pondera.data.photographs import PHOTOGRAPH_SPLITS
from pondera.data.synthesize import bundled_references, synthesize
from pondera.engine.run import run_recipe
from pondera.teach import MeasuringTeacher, distill

NUM_TRAIN, PER_TRAIN, PER_HELD_OUT = 9, 40, 16
CI = "q-ponder-ci-nano"
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {  # recipe, stage whose model counts, changes
    "answers": ("q-ponder-no-reasoning-nano", "cold_start", ()),
    "reasoning": (CI, "cold_start", ()),
    "reinforced": ("q-ponder-nano", "reinforce", ()),
    "epochs-1": (CI, "cold_start", ("stages.cold_start.epochs=1",)),
    "epochs-2": (CI, "cold_start", ("stages.cold_start.epochs=2",)),
    "epochs-4": (CI, "cold_start", ("stages.cold_start.epochs=4",)),
    "levels": (CI, "cold_start", ("stages.cold_start.soft_labels={spread: 0.6}",)),
}
ABLATION = ("answers", "reasoning", "reinforced")
NAMES = {
    "answers": "SFT without reasoning",
    "reasoning": "SFT with reasoning (Q-Ponder-CI)",
    "reinforced": "with reasoning + RL (Q-Ponder-style)",
    "epochs-1": "with reasoning, 1 epoch",
    "epochs-2": "with reasoning, 2 epochs",
    "epochs-4": "with reasoning, 4 epochs",
    "levels": "with reasoning + soft level labels",
}
PAIRS = (("reasoning", "answers"), ("reinforced", "answers"), ("reinforced", "reasoning"), ("levels", "reasoning"))
BATCH, MAX_SEED = 24, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ABLATION))
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change of every recipe")
    parser.add_argument("--summarise", action="store_true", help="train nothing")
    args = parser.parse_args()
    if not args.summarise:
        held_out = make_data(args.out, args.split_seed)
        for seed in args.seeds:
            for row in args.rows:
                if not predictions_of(args.out, seed, row).is_file():
                    run(args.out, seed, row, held_out, args.set)
    found = summarise(args.out)
    (args.out / "ablation.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (args.out / "ablation.md").write_text(table(found), encoding="utf-8")
    print(table(found))


def make_data(out: Path, split_seed: int) -> list[Sample]:
    """Write rationales.jsonl; the held-out samples."""
    references, _ = bundled_references()
    references = [r for r in references if PHOTOGRAPH_SPLITS[r.content] != "test"]
    order = np.random.default_rng(split_seed).permutation(len(references))
    splits = {references[i].content: "train" if n < NUM_TRAIN else "held-out" for n, i in enumerate(order)}
    manifest = synthesize(
        out / "data",
        references=references,
        num_per_reference={"train": PER_TRAIN, "held-out": PER_HELD_OUT},
        splits=splits,
        seed=split_seed,
        num_workers=1,
    )
    train = read_manifest(manifest, split="train")
    distill(train, MeasuringTeacher(), out / "rationales.jsonl", replace_score=True)
    return read_manifest(manifest, split="held-out")


def run(out: Path, seed: int, row: str, held_out: Sequence[Sample], changes: Sequence[str]) -> None:
    """Train one row of one seed and write what it says about the held-out samples."""
    start = time.process_time()
    model = train(out, seed, row, changes)
    trained_s = time.process_time() - start
    thought, fast = score(model, held_out, reasons=row != "answers")
    lines = [
        {"id": s.id, "content": s.content, "mos": s.mos, "written": number(a), "fast": b}
        for s, a, b in zip(held_out, thought, fast, strict=True)
    ]
    path = predictions_of(out, seed, row)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (path.parent / "seconds.json").write_text(json.dumps({"processor_s_of_this_part": round(trained_s, 1)}))
    partial.replace(path)


def train(out: Path, seed: int, row: str, changes: Sequence[str]) -> Path:
    """The folder of the row's model; `reinforced` starts from a copy of the model of `reasoning`."""
    recipe_name, stage, own = ROWS[row]
    folder = out / f"seed-{seed}" / row
    if row == "reinforced" and not (folder / "stages" / "cold_start" / "model").is_dir():
        shutil.copytree(train(out, seed, "reasoning", changes), folder / "stages" / "cold_start" / "model")
    data = f"data.manifest={out / 'rationales.jsonl'}"
    run_recipe(load_recipe(recipe_name, [data, f"seed={seed}", *own, *changes]), folder, resume=True)
    return folder / "stages" / stage / "model"


def score(model: Path, samples: Sequence[Sample], *, reasons: bool) -> tuple[list[float], list[float]]:
    """What a model writes, greedily, in the way it was taught (NaN: not valid), and its expected score."""
    assessor = load(str(model))
    family, card = assessor.family, assessor.card
    prompt = prompts.get(card.prompt if reasons else card.fast_prompt)
    written: list[float] = []
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        groups = assessor.backend.generate(
            [family.encode([load_image(s.path())], prompt.render()) for s in batch],
            num_completions=1,
            max_new_tokens=card.max_new_tokens,
            temperature=0.0,
            seeds=[0] * len(batch),
        )
        written += [prompt.answer.parse(group[0].text).score for group in groups]
    return written, [assessment.score for assessment in assessor(list(samples), mode="fast")]


def predictions_of(out: Path, seed: int, row: str) -> Path:
    return out / f"seed-{seed}" / row / "predictions.jsonl"


def number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def summarise(out: Path, num_resamples: int = 2000) -> dict[str, Any]:
    """Means over seeds and intervals of every row, and of differences between rows."""
    tables = {}
    for row in ROWS:
        found = {seed: read(path) for seed in range(MAX_SEED) if (path := predictions_of(out, seed, row)).is_file()}
        if found:
            tables[row] = found
    contents = sorted({content for found in tables.values() for t in found.values() for content in t["content"]})
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(contents), len(contents)) for _ in range(num_resamples)]
    picks = rng.random((num_resamples, MAX_SEED))  # seeds are drawn by their place among those that are there
    rows = {row: row_summary(found, contents, draws, picks) for row, found in tables.items()}
    return {
        "contents": contents,
        "rows": {row: {k: v for k, v in entry.items() if k != "replicates"} for row, entry in rows.items()},
        "differences": {
            f"{a} - {b}": difference(rows[a], rows[b])
            for a, b in PAIRS
            if a in rows and b in rows and rows[a]["seeds"] == rows[b]["seeds"]
        },
    }


def read(path: Path) -> dict[str, np.ndarray]:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    as_float = {k: np.array([math.nan if x[k] is None else x[k] for x in lines]) for k in ("mos", "written", "fast")}
    return {"content": np.array([x["content"] for x in lines]), **as_float}


def row_summary(
    found: dict[int, dict[str, np.ndarray]], contents: Sequence[str], draws: Sequence[Any], picks: np.ndarray
) -> dict[str, Any]:
    seeds = sorted(found)
    members = [[np.flatnonzero(found[s]["content"] == c) for c in contents] for s in seeds]
    valid = [float(np.isfinite(found[s]["written"]).mean()) for s in seeds]
    entry: dict[str, Any] = {"seeds": seeds, "valid": valid, "replicates": {}}
    for way in ("written", "fast"):
        for name, measure in (("srcc", srcc), ("plcc", plcc)):
            by_seed = [on_rows(found[s], way, measure, np.arange(len(found[s]["mos"]))) for s in seeds]
            replicate = []
            for draw, pick in zip(draws, picks, strict=True):
                chosen = (pick[: len(seeds)] * len(seeds)).astype(int)
                values = [
                    on_rows(found[seeds[i]], way, measure, np.concatenate([members[i][c] for c in draw]))
                    for i in chosen
                ]
                replicate.append(float(np.mean(values)))
            entry["replicates"][way, name] = np.array(replicate)
            entry[f"{way}_{name}"] = with_interval(float(np.mean(by_seed)), np.array(replicate)) | {"by_seed": by_seed}
    return entry


def on_rows(found: dict[str, np.ndarray], way: str, measure: Callable[[Any, Any], float], index: np.ndarray) -> float:
    """A correlation on some rows; what was not valid is left out of it, and counted elsewhere."""
    score, mos = found[way][index], found["mos"][index]
    kept = np.isfinite(score)
    return float(measure(score[kept], mos[kept]))


def with_interval(value: float, replicate: np.ndarray) -> dict[str, Any]:
    """A row that says one constant has no correlation: NaN, shown as undefined."""
    known = replicate[np.isfinite(replicate)]
    low, high = np.percentile(known, [2.5, 97.5]) if known.size else (math.nan, math.nan)
    return {"value": value, "ci": [float(low), float(high)]}


def difference(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{way}_{name}": with_interval(
            a[f"{way}_{name}"]["value"] - b[f"{way}_{name}"]["value"],
            a["replicates"][way, name] - b["replicates"][way, name],
        )
        for way in ("written", "fast")
        for name in ("srcc", "plcc")
    }


def table(found: dict[str, Any]) -> str:
    """Markdown: rows, then differences."""
    head = (
        "| training | SRCC, written | PLCC, written | SRCC by seed | SRCC, fast | PLCC, fast | valid |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    lines = []
    for row, entry in found["rows"].items():
        by_seed = " ".join(f"{value:.3f}" for value in entry["written_srcc"]["by_seed"])
        cells = [shown(entry[key]) for key in ("written_srcc", "written_plcc")] + [by_seed]
        cells += [shown(entry[key]) for key in ("fast_srcc", "fast_plcc")] + [f"{100 * np.mean(entry['valid']):.1f} %"]
        lines.append(f"| {NAMES[row]} | {' | '.join(cells)} |\n")
    text = head + "".join(lines)
    text += "\n| difference | SRCC, written | PLCC, written | SRCC, fast | PLCC, fast |\n|---|---|---|---|---|\n"
    for name, entry in found["differences"].items():
        cells = [shown(entry[key], "+") for key in ("written_srcc", "written_plcc", "fast_srcc", "fast_plcc")]
        text += f"| {name} | {' | '.join(cells)} |\n"
    return text


def shown(entry: dict[str, Any], sign: str = "") -> str:
    low, high = entry["ci"]
    if math.isnan(entry["value"]):
        return "undefined"
    return f"{entry['value']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


if __name__ == "__main__":
    main()
