"""The whole pipeline from one command: synthesize, distil, cold start, reinforce, evaluate, report.

Every stage leaves its result in the output folder and is skipped when it is there, so an interrupted run goes on
where it was.

    OUT/data/            images with pseudo-MOS labels, split by content
    OUT/rationales.jsonl the training manifest with the teacher's rationales
    OUT/run/             the training run (recipe `quickstart`)
    OUT/evaluation/      predictions and metrics of the teacher, the cold start, and the reinforced model, greedy and
                         by its expected score
    OUT/report.html      everything to read
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pondera import prompts
from pondera.assess import load
from pondera.assess.assessor import Mode
from pondera.config import load_recipe
from pondera.core.answers import AnswerFormat
from pondera.core.aspects import borne_out_worst_aspect
from pondera.core.records import Sample
from pondera.data.distortions import DISTORTIONS
from pondera.data.manifest import read_manifest, write_manifest
from pondera.data.synthesize import bundled_references, synthesize
from pondera.engine.run import run_recipe
from pondera.evaluate import Evaluation, aspect_truthfulness, compare_systems, evaluate, load_evaluation, write_report
from pondera.report import read_curves
from pondera.teach import MeasuringTeacher, distill

TEACHER = "measuring teacher"
TRAINED: dict[str, tuple[str, Mode]] = {  # name in the report: stage of the recipe, how its model is asked
    "cold start": ("cold_start", "reason"),
    "reinforced": ("reinforce", "reason"),
    "its expected score": ("reinforce", "expected"),
}


@dataclass(frozen=True)
class Size:
    """How much data the quickstart makes.

    Args:
        per_reference: images per content, by split.
        dead_leaves: procedural contents beside the 13 training photographs.
    """

    per_reference: dict[str, int]
    dead_leaves: int


FULL = Size(per_reference={"train": 128, "val": 24, "test": 50}, dead_leaves=6)


def run_quickstart(out: Path, *, seed: int = 0, size: Size = FULL, overrides: tuple[str, ...] = ()) -> Path:
    """Run everything that is not done yet.

    Args:
        out: folder; a run that was interrupted there goes on.
        seed: of data, teacher, weights and training.
        size: how much data.
        overrides: changes of the recipe, `a.b=value`.

    Returns:
        The report.

    Raises:
        ConfigError: an override is wrong, or the folder holds a run with others.
    """
    rationales = out / "rationales.jsonl"
    # First of all: a mistake in an override shows at once, not behind the data.
    recipe = load_recipe("quickstart", [f"data.manifest={rationales.as_posix()}", f"seed={seed}", *overrides])
    manifest = _make_data(out / "data", seed, size)
    _distil(manifest, out / "distillation", rationales, seed, prompts.get(recipe.prompts.reason).answer)
    _say("training: cold start, reinforcement")
    final = run_recipe(recipe, out / "run", resume=True)
    evaluations = _evaluate_all(read_manifest(manifest, split="test"), out)
    report = _report(evaluations, out)
    _summarise(evaluations, final, report)
    return report


def _make_data(folder: Path, seed: int, size: Size) -> Path:
    references, splits = bundled_references(size.dead_leaves)
    total = sum(size.per_reference[splits[reference.content]] for reference in references)
    _say(f"data: {total} images from {len(references)} contents")
    return synthesize(
        folder,
        references=references,
        num_per_reference=size.per_reference,
        splits=splits,
        seed=seed,
        on_progress=_bar("synthesize"),
    )


def _distil(manifest: Path, work: Path, rationales: Path, seed: int, form: AnswerFormat) -> None:
    """Ask the teacher about the training images; the validation images travel with them, unexplained."""
    if rationales.is_file():
        return
    samples = read_manifest(manifest)
    train = [sample for sample in samples if sample.split == "train"]
    _say(f"teacher: measures {len(train)} training images and writes a rationale for each (it sees no label)")
    done = distill(train, MeasuringTeacher(form=form), work, seed=seed, answer_format=form)
    write_manifest(rationales, [*read_manifest(done.manifest), *(s for s in samples if s.split == "val")])


def _evaluate_all(samples: list[Sample], out: Path) -> list[Evaluation]:
    """Each system on the held-out contents; finished ones are read back."""
    _say(f"evaluation: {len(samples)} images of {len({s.content for s in samples})} contents nobody has seen")
    evaluations = []
    for name in (TEACHER, *TRAINED):
        folder = out / "evaluation" / name.replace(" ", "-")
        if not (folder / "metrics.json").is_file():
            assess, protocol = _system(name, out / "run" / "stages")
            found = evaluate(samples, assess, name=name, protocol=protocol, on_progress=_bar(name))
            found.save(folder)
        evaluations.append(load_evaluation(folder))
    return evaluations


def _system(name: str, stages: Path) -> tuple[Callable[[Any], Any], dict[str, Any]]:
    if name == TEACHER:
        return MeasuringTeacher().assess, {"model": TEACHER}
    stage, mode = TRAINED[name]
    assessor = load(str(stages / stage / "model"))
    return (lambda paths: assessor(list(paths), mode=mode)), assessor.protocol(mode)


def _report(evaluations: list[Evaluation], out: Path) -> Path:
    aspect_of = {name: kind.aspect for name, kind in DISTORTIONS.items()}
    truth = {e.name: aspect_truthfulness(e.rows, aspect_of, borne_out_worst_aspect) for e in evaluations}
    comparisons = [compare_systems(a, b) for a, b in itertools.pairwise(evaluations)]
    summary = {
        "systems": {e.name: e.metrics["overall"] for e in evaluations},
        "comparisons": comparisons,
        "truthfulness": truth,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2, default=str) + "\n", encoding="utf-8")
    environment = json.loads((out / "run" / "environment.json").read_text(encoding="utf-8"))
    return write_report(
        out / "report.html",
        evaluations,
        title="Pondera quickstart",
        comparisons=comparisons,
        curves=read_curves(out / "run" / "metrics.jsonl"),
        truthfulness=truth,
        environment=environment,
    )


def _summarise(evaluations: list[Evaluation], final: Path, report: Path) -> None:
    """The outcome in a few lines; this is the command's result, so it goes to stdout."""
    aspect_of = {name: kind.aspect for name, kind in DISTORTIONS.items()}
    print(f"{'held-out contents':<20}{'SRCC':>7}{'PLCC':>7}{'valid':>8}{'worst aspect':>14}")
    for e in evaluations:
        overall = e.metrics["overall"]
        valid = overall["n"] / (overall["n"] + overall["n_invalid"])
        named = aspect_truthfulness(e.rows, aspect_of, borne_out_worst_aspect)["fraction"]
        print(f"{e.name:<20}{overall['srcc']:>7.3f}{overall['plcc']:>7.3f}{valid:>8.1%}{named:>14.1%}")
    gain = compare_systems(evaluations[1], evaluations[2])["srcc"]
    low, high = gain["ci"]
    print(f"reinforcement adds {gain['difference']:+.3f} SRCC, 95 % interval [{low:+.3f}, {high:+.3f}]")
    print(f"\nread    {report}\nscore   pondera score photo.jpg --model {final}")


def _say(text: str) -> None:
    print(f"» {text}", file=sys.stderr, flush=True)


def _bar(name: str) -> Callable[[int, int], None]:
    from tqdm import tqdm

    bar: Any = None

    def update(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc=name, total=total, unit="image", dynamic_ncols=True)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return update
