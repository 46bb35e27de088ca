"""What a second view costs: a training step with it over the same step without, one after the other, many times.

    python benchmarks/second_views.py --json

The built-in model on bundled photographs, nothing frozen, real roll-outs. Systems are those that need the view; the
step without it has its side arrays filled with NaN or its loss left out. Ratios of processor time on one thread, which
a busy machine does not change; medians over pairs of steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pondera.config import ReinforceStage
from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.photographs import list_photographs
from pondera.engine.grading import asked_as
from pondera.engine.reinforce import ReinforceTrainer
from pondera.engine.second_views.plan import Plan, plan_views
from pondera.engine.training import SampleList, StageRun, training_arguments
from pondera.models import load_model

SYSTEMS = {
    "degraded": "pondera",
    "masked": "pondera",
    "caption": "cappo",
    "text_only": "q-ponder-text",
    "thought": "refine-iqa@as_released",
    "perturbed_frames": "vqathinker",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--view", choices=SYSTEMS, action="append", help="only this one; may be repeated")
    parser.add_argument("--samples", type=int, default=4, help="of a step")
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--frames", type=int, default=6, help="of a video")
    parser.add_argument("--repeat", type=int, default=3, help="pairs of steps")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = {kind: measure(kind, args, Path(folder)) for kind in args.view or SYSTEMS}
    if args.json:
        print(json.dumps({"samples": args.samples, "group_size": args.group_size, "ratio": found}))
        return
    for kind, ratio in found.items():
        print(f"{kind:18} {ratio:.2f} x a step without it")


def measure(kind: str, args: argparse.Namespace, folder: Path) -> float:
    """Median ratio of the times of a step."""
    system = SYSTEMS[kind]
    samples = make_samples(folder, args.samples, args.frames if kind == "perturbed_frames" else 0)
    trainers = [make_trainer(system, samples, args, folder, kind if is_on else None) for is_on in (True, False)]
    times: list[list[float]] = [[], []]
    for step in range(args.repeat + 1):
        for trainer, found in zip(trainers, times, strict=True):
            found.append(timed_step(trainer, samples, step))
    return statistics.median(a / b for a, b in list(zip(*times, strict=True))[1:])  # the first fills caches


def make_samples(folder: Path, num: int, num_frames: int) -> list[Sample]:
    samples = []
    for n, path in enumerate(list_photographs()[:num]):
        picture = np.asarray(Image.open(path).convert("RGB").resize((384, 256)))
        media = []
        for t in range(max(1, num_frames)):
            file = folder / f"{n}-{t}.png"
            Image.fromarray(np.roll(picture, 5 * t, axis=1)).save(file)
            media.append(Media(str(file), "frame" if num_frames else "test"))
        kind = "video" if num_frames else "image"
        samples.append(Sample(f"s{n}", tuple(media), kind=kind, mos=1 + n % 5, scale=FIVE_POINT))
    return samples


def make_trainer(
    system: str, samples: list[Sample], args: argparse.Namespace, folder: Path, kind: str | None
) -> ReinforceTrainer:
    views = [{"kind": kind}] if kind in ("degraded", "masked") else []
    stage = ReinforceStage.model_validate(
        {"optimiser": {"learning_rate": 1e-6}, "steps": 1, "samples_per_step": len(samples)}
        | {"group_size": args.group_size, "system": system, "second_views": views}
    )
    loaded, run = load_model("nano"), StageRun(folder, folder / "metrics.jsonl")
    built = asked_as(get_system(system), loaded.card.answer)
    trainer = ReinforceTrainer(
        loaded.family,
        loaded.card,
        stage,
        built,
        run,
        plan=plan_views(stage, built, loaded.card, samples) if kind else Plan(),
        args=training_arguments(stage, run, batch_size=len(samples), max_steps=1),
        train_dataset=SampleList(samples),
    )
    if kind is None:
        shape = (len(samples), args.group_size)
        nothing = {name: np.full(shape, np.nan) for name in built.reads_side}
        trainer._side_arrays = lambda rollouts: nothing  # type: ignore[method-assign]
    return trainer


def timed_step(trainer: Any, samples: list[Sample], step: int) -> float:
    trainer.state.global_step = step
    trainer.family.model.zero_grad()
    start = time.process_time()
    trainer.training_step(trainer.family.model, {"samples": samples, "places": range(len(samples))})
    return time.process_time() - start


if __name__ == "__main__":
    main()
