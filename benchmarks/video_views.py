"""What each view of a video brings: the quickstart's recipe with one part changed, on photographs held out of training.

    python benchmarks/video_views.py --out views                         every row that is not done yet
    python benchmarks/video_views.py --out views --rows recipe no-severities
    python benchmarks/video_views.py --out views --summarise             the table from what is there

Data: the bundled training and validation photographs, shuffled by --split-seed: nine are learned from (48 clips each),
seven only scored (24 clips each); the package's eight test photographs are not touched. Each row trains the recipe
`quickstart-video` with its changes, then scores the held-out clips greedily as they are and with the frames of every
run of pictures in random order. A row that was interrupted goes on from its last checkpoint.

Intervals: 95 %, photographs drawn again with replacement, the same draws for all rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pondera import prompts
from pondera.assess import Assessor, load
from pondera.config import load_recipe
from pondera.core.bootstrap import bootstrap_correlations, cluster_index, paired_replicates, percentile_interval
from pondera.core.records import Sample
from pondera.data.manifest import read_manifest, write_manifest
from pondera.data.moving_clips import ClipSettings, bundled_scenes, make_clips
from pondera.data.presentation import shuffled
from pondera.engine.run import run_recipe
from pondera.evaluate import evaluate
from pondera.quickstart_video import PARTS, is_in
from pondera.teach import VideoMeasuringTeacher, distill

NUM_TRAIN = 9
SCENES = ClipSettings({"train": 4, "val": 2})
# As many steps of cold start as the quickstart has, from fewer clips; half of its reinforcement.
SHORTER = (
    "stages.cold_start.epochs=18",
    "stages.cold_start.validate_every=324",
    "stages.reinforce.steps=40",
    "stages.reinforce.validate_every=40",
)
ROWS: dict[str, tuple[str, ...]] = {  # changes of the recipe
    "recipe": (),
    "no-severities": ("view.severities=false",),
    "no-changes": ("model.cell_changes=false",),
    "neither": ("view.severities=false", "model.cell_changes=false"),
    "facts": ("view.severities=false", "view.facts=true"),
    "strip": ("view.strip=true",),
    "profile": ("view.profile=true",),
    "sequence": ("view.video=sequence",),
}
NAMES = {
    "recipe": "the recipe: montage, local frames, changes between cells, severities",
    "no-severities": "without the measured severities",
    "no-changes": "without the changes between cells",
    "neither": "without both: montage and local frames only",
    "facts": "facts (frame rate, standstills, flicker) in place of the severities",
    "strip": "with a strip of differences between frames",
    "profile": "with a profile over time",
    "sequence": "six frames in turn in place of montage and local frames",
}
ORDERS = {"in order": None, "shuffled": shuffled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change of every row")
    parser.add_argument("--summarise", action="store_true", help="train nothing")
    args = parser.parse_args()
    if not args.summarise:
        manifest = make_data(args.out, args.split_seed)
        held_out = read_manifest(manifest, split="val")
        for row in args.rows:
            run(args.out, row, held_out, [f"seed={args.seed}", *SHORTER, *ROWS[row], *args.set])
    found = summarise(args.out)
    (args.out / "views.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (args.out / "views.md").write_text(table(found), encoding="utf-8")
    print(table(found))


def make_data(out: Path, split_seed: int) -> Path:
    """Write rationales.jsonl: clips to learn from, explained, and those to score."""
    scenes = {name: path for name, (path, split) in bundled_scenes().items() if split != "test"}
    order = np.random.default_rng(split_seed).permutation(len(scenes))
    names = sorted(scenes)
    contents = {names[i]: (scenes[names[i]], "train" if n < NUM_TRAIN else "val") for n, i in enumerate(order)}
    manifest = make_clips(out / "data", contents=contents, settings=SCENES, seed=split_seed)
    rationales = out / "rationales.jsonl"
    if not rationales.is_file():
        train = read_manifest(manifest, split="train")
        form = prompts.get(load_recipe("quickstart-video").prompts.reason).answer
        teacher = VideoMeasuringTeacher(form=form)
        done = distill(train, teacher, out / "distillation", filters=(), answer_format=form)
        write_manifest(rationales, [*read_manifest(done.manifest), *read_manifest(manifest, split="val")])
    return rationales


def run(out: Path, row: str, held_out: Sequence[Sample], changes: Sequence[str]) -> None:
    """Train a row and write what it says about the held-out clips, in order and shuffled."""
    path = out / row / "predictions.json"
    if path.is_file():
        return
    data = [f"data.manifest={out / 'rationales.jsonl'}", f"data.validation_samples={len(held_out)}"]
    model = run_recipe(load_recipe("quickstart-video", [*data, *changes]), out / row, resume=True)
    assessor = load(str(model))
    found = {}
    for order, change in ORDERS.items():
        assessor = Assessor(assessor.family, assessor.card, weights_hash=assessor.weights_hash, change=change)
        rows = evaluate(held_out, lambda items, ask=assessor: ask(list(items), mode="reason"), name=order).rows
        kept = ("reference", "score", "mos", "valid", "distortions")
        found[order] = [{name: row[name] for name in kept} for row in rows]
    path.write_text(json.dumps(found), encoding="utf-8")


def summarise(out: Path) -> dict[str, Any]:
    """SRCC of every row by part, in order, and how much of it shuffling takes."""
    rows = {row: json.loads(path.read_text()) for row in ROWS if (path := out / row / "predictions.json").is_file()}
    return {row: {part: part_summary(found, part) for part in PARTS} for row, found in rows.items()}


def part_summary(found: dict[str, Any], part: str) -> dict[str, Any]:
    pairs = zip(found["in order"], found["shuffled"], strict=True)
    chosen = [(a, b) for a, b in pairs if a["valid"] and b["valid"] and is_in(part, a)]
    score, mixed = (np.array([pair[i]["score"] for pair in chosen]) for i in (0, 1))
    mos = np.array([a["mos"] for a, _ in chosen])
    cluster = cluster_index([a["reference"] for a, _ in chosen], len(chosen))
    drawn = bootstrap_correlations(score, mos, cluster_N=cluster)["srcc"]
    before, after, gained = paired_replicates(score, mixed, mos, cluster_N=cluster)["srcc"]
    return {
        "n": len(chosen),
        "srcc": with_interval(before, drawn),
        "lost by shuffling": with_interval(before - after, -gained),
    }


def with_interval(value: float, drawn: np.ndarray) -> dict[str, Any]:
    return {"value": float(value), "ci": percentile_interval(drawn)}


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [f"| views | {' | '.join(PARTS)} | the last, lost by shuffling |", "|---" * (len(PARTS) + 2) + "|"]
    for row, parts in found.items():
        cells = [shown(parts[part]["srcc"]) for part in PARTS] + [shown(parts[PARTS[-1]]["lost by shuffling"])]
        lines.append(f"| {NAMES[row]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(entry: dict[str, Any]) -> str:
    low, high = entry["ci"]
    return f"{entry['value']:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
