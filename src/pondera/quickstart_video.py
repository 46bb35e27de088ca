"""The whole pipeline for videos from one command: move a camera, damage, distil, cold start, reinforce, evaluate.

Every stage leaves its result in the output folder and is skipped when it is there, so an interrupted run goes on
where it was.

    OUT/data/            clips with pseudo-MOS labels, split by photograph
    OUT/rationales.jsonl the training clips with the measuring teacher's rationales, and the validation clips
    OUT/run/             the training run (recipe `quickstart-video`)
    OUT/evaluation/      predictions and metrics of the teacher, the cold start, the reinforced model, and of the same
                         model shown the frames in random order
    OUT/report.html      everything to read
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pondera import prompts
from pondera.assess import Assessor, load
from pondera.config import load_recipe
from pondera.core.answers import AnswerFormat
from pondera.core.aspects import borne_out_worst_aspect
from pondera.core.metrics import srcc
from pondera.core.records import Sample
from pondera.data.manifest import read_manifest, write_manifest
from pondera.data.moving_clips import ClipSettings, bundled_scenes, make_clips
from pondera.data.presentation import shuffled
from pondera.data.temporal_distortions import TEMPORAL_DISTORTIONS
from pondera.engine.run import run_recipe
from pondera.evaluate import Evaluation, aspect_truthfulness, compare_systems, evaluate, load_evaluation, write_report
from pondera.evaluate.predictions import Row
from pondera.report import read_curves
from pondera.teach import VideoMeasuringTeacher, distill

TEACHER, SHUFFLED = "measuring teacher", "reinforced, frames shuffled"
TRAINED = {"cold start": "cold_start", "reinforced": "reinforce"}  # name in the report: stage of the recipe
ASPECT_OF = {name: kind.aspect for name, kind in TEMPORAL_DISTORTIONS.items()}
PARTS = ("all clips", "codecs alone", "faults of time alone")


@dataclass(frozen=True)
class Size:
    """How much data the quickstart makes.

    Args:
        clips: settings of the set.
        contents: photographs to use, by name; empty for all.
    """

    clips: ClipSettings = field(default_factory=lambda: ClipSettings({"train": 4, "val": 3, "test": 3}))
    contents: tuple[str, ...] = ()


def run_quickstart_video(
    out: Path, *, seed: int = 0, size: Size | None = None, overrides: tuple[str, ...] = ()
) -> Path:
    """Run everything that is not done yet.

    Args:
        out: folder; a run that was interrupted there goes on.
        seed: of data, teacher, weights and training.
        size: how much data; None is `Size()`.
        overrides: changes of the recipe, `a.b=value`.

    Returns:
        The report.

    Raises:
        ConfigError: an override is wrong, or the folder holds a run with others.
        MissingExtra: PyAV is not installed.
    """
    rationales = out / "rationales.jsonl"
    # First of all: a mistake in an override shows at once, not behind the data.
    recipe = load_recipe("quickstart-video", [f"data.manifest={rationales.as_posix()}", f"seed={seed}", *overrides])
    manifest = _make_data(out / "data", seed, size or Size())
    _distil(manifest, out / "distillation", rationales, seed, prompts.get(recipe.prompts.reason).answer)
    _say("training: cold start, reinforcement")
    final = run_recipe(recipe, out / "run", resume=True)
    evaluations = _evaluate_all(read_manifest(manifest, split="test"), out)
    report = _report(evaluations, out)
    _summarise(evaluations, final, report)
    return report


def _make_data(folder: Path, seed: int, size: Size) -> Path:
    contents = {name: entry for name, entry in bundled_scenes().items() if not size.contents or name in size.contents}
    _say(f"data: clips of a camera that moves over {len(contents)} photographs, damaged on purpose")
    return make_clips(folder, contents=contents, settings=size.clips, seed=seed, on_progress=_bar("clips"))


def _distil(manifest: Path, work: Path, rationales: Path, seed: int, form: AnswerFormat) -> None:
    """Ask the teacher about the training clips; the validation clips travel with them, unexplained."""
    if rationales.is_file():
        return
    samples = read_manifest(manifest)
    train = [sample for sample in samples if sample.split == "train"]
    _say(f"teacher: measures {len(train)} training clips and writes a rationale for each (it sees no label)")
    bar = _bar("measured")
    teacher = VideoMeasuringTeacher(form=form)
    done = distill(train, teacher, work, seed=seed, filters=(), answer_format=form, on_progress=bar)
    write_manifest(rationales, [*read_manifest(done.manifest), *(s for s in samples if s.split == "val")])


def _evaluate_all(samples: list[Sample], out: Path) -> list[Evaluation]:
    """Each system on the held-out contents; finished ones are read back."""
    _say(f"evaluation: {len(samples)} clips of {len({s.content for s in samples})} photographs nobody has seen")
    evaluations = []
    for name in (TEACHER, *TRAINED, SHUFFLED):
        folder = out / "evaluation" / name.replace(", ", "-").replace(" ", "-")
        if not (folder / "metrics.json").is_file():
            assess, protocol = _system(name, out / "run" / "stages")
            found = evaluate(samples, assess, name=name, protocol=protocol, on_progress=_bar(name))
            found.save(folder)
        evaluations.append(load_evaluation(folder))
    return evaluations


def _system(name: str, stages: Path) -> tuple[Callable[[Any], Any], dict[str, Any]]:
    if name == TEACHER:
        return VideoMeasuringTeacher().assess, {"model": TEACHER}
    assessor = load(str(stages / TRAINED.get(name, "reinforce") / "model"))
    if name == SHUFFLED:
        assessor = Assessor(assessor.family, assessor.card, weights_hash=assessor.weights_hash, change=shuffled)
    return (lambda paths: assessor(list(paths), mode="reason")), assessor.protocol("reason")


def part_srcc(rows: Sequence[Row]) -> dict[str, float]:
    """SRCC over all clips, over those damaged by codecs alone, and over those damaged by faults of time alone.

    Args:
        rows: of an evaluation.

    Returns:
        SRCC by part, NaN where there are fewer than three valid scores.
    """
    found = {part: [row for row in rows if row["valid"] and is_in(part, row)] for part in PARTS}
    return {
        part: srcc([row["score"] for row in chosen], [row["mos"] for row in chosen]) if len(chosen) > 2 else math.nan
        for part, chosen in found.items()
    }


def shuffling_by_part(in_order: Evaluation, mixed: Evaluation) -> dict[str, dict[str, Any]]:
    """What frames in random order change, by part: mixed minus in order, as `compare_systems`; no part without clips.

    Args:
        in_order: of a model.
        mixed: of the same model on the same clips, their frames shuffled.
    """
    found = {}
    for part in PARTS:
        first, second = (replace(e, rows=[row for row in e.rows if is_in(part, row)]) for e in (in_order, mixed))
        if first.rows:
            found[part] = compare_systems(first, second)
    return found


def is_in(part: str, row: Mapping[str, Any]) -> bool:
    """Whether a row of an evaluation belongs to one of `PARTS`."""
    is_codec = [ASPECT_OF[distortion["type"]] == "compression" for distortion in row["distortions"]]
    if part == "codecs alone":
        return bool(is_codec) and all(is_codec)
    return part == "all clips" or (bool(is_codec) and not any(is_codec))


def _report(evaluations: list[Evaluation], out: Path) -> Path:
    truth = {e.name: aspect_truthfulness(e.rows, ASPECT_OF, borne_out_worst_aspect) for e in evaluations}
    comparisons = [compare_systems(a, b) for a, b in itertools.pairwise(evaluations)]
    summary = {
        "systems": {e.name: e.metrics["overall"] for e in evaluations},
        "parts": {e.name: part_srcc(e.rows) for e in evaluations},
        "comparisons": comparisons,
        "shuffling": shuffling_by_part(
            *(next(e for e in evaluations if e.name == n) for n in ("reinforced", SHUFFLED))
        ),
        "truthfulness": truth,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2, default=str) + "\n", encoding="utf-8")
    return write_report(
        out / "report.html",
        evaluations,
        title="Pondera quickstart: videos",
        comparisons=comparisons,
        curves=read_curves(out / "run" / "metrics.jsonl"),
        truthfulness=truth,
        environment=json.loads((out / "run" / "environment.json").read_text(encoding="utf-8")),
    )


def _summarise(evaluations: list[Evaluation], final: Path, report: Path) -> None:
    """The outcome in a few lines; this is the command's result, so it goes to stdout."""
    summary = json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))
    parts = summary["parts"]
    print(f"{'SRCC, held-out photographs':<28}{'all':>7}{'codecs':>8}{'time':>7}{'valid':>8}{'worst aspect':>14}")
    for e in evaluations:
        overall = e.metrics["overall"]
        valid = overall["n"] / (overall["n"] + overall["n_invalid"])
        named = aspect_truthfulness(e.rows, ASPECT_OF, borne_out_worst_aspect)["fraction"]
        whole, codecs, time = (parts[e.name][part] for part in PARTS)
        print(f"{e.name:<28}{whole:>7.3f}{codecs:>8.3f}{time:>7.3f}{valid:>8.1%}{named:>14.1%}")
    for part, found in summary["shuffling"].items():
        change = found["srcc"]
        low, high = change["ci"]
        print(f"shuffled frames, {part}: {change['difference']:+.3f} SRCC, 95 % interval [{low:+.3f}, {high:+.3f}]")
    print(f"\nread    {report}\nscore   pondera score clip.mp4 --model {final}")


def _say(text: str) -> None:
    print(f"» {text}", file=sys.stderr, flush=True)


def _bar(name: str) -> Callable[[int, int], None]:
    from tqdm import tqdm

    bar: Any = None

    def update(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc=name, total=total, unit="clip", dynamic_ncols=True)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return update
