"""Images and a recipe too small to learn from: all stages run in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from pondera.config import Recipe, load_recipe
from pondera.core.records import FIVE_POINT, Distortion, Media, Sample
from pondera.data.manifest import write_manifest

THOUGHT = "<think>{aspect} is {grade}. The worst aspect is {aspect}.</think><answer>{score:.2f}</answer>"


def small_manifest(folder: Path) -> Path:
    """Twelve images to learn from, four held out, four of them pristine; noise all."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(16):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        level = 1 + i % 5
        samples.append(
            Sample(
                id=f"s{i}",
                media=(Media(str(folder / f"{i}.png")),),
                mos=float(6 - level),
                scale=FIVE_POINT,
                split="val" if i >= 12 else "train",
                reference=f"content-{i // 4}",
                distortions=(Distortion("gaussian_noise" if i % 2 else "jpeg", level),),
                rationale=THOUGHT.format(aspect="noise" if i % 2 else "compression", grade="poor", score=6 - level),
            )
        )
    write_manifest(folder / "m.jsonl", samples)
    pristine = [replace(s, mos=None, scale=None, distortions=(), rationale=None) for s in samples if s.split == "train"]
    write_manifest(folder / "pristine.jsonl", pristine[:4])
    return folder / "m.jsonl"


RECIPE = Path(__file__).with_name("small.yaml")
"""All three kinds of stages at a size that teaches nothing."""


def small_paths(manifest: Path) -> dict[str, object]:
    """The changes of the recipe that say where its data are."""
    return {"data.manifest": manifest, "stages.pretrain.pristine": manifest.with_name("pristine.jsonl")}


def small_recipe(manifest: Path, *more: str) -> Recipe:
    """The recipe, with changes."""
    return load_recipe(str(RECIPE), [*(f"{key}={value}" for key, value in small_paths(manifest).items()), *more])


def weights(folder: Path) -> dict[str, np.ndarray]:
    """The weights of a model folder."""
    return load_file(folder / "model.safetensors")


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Whether all weights are equal to the last bit."""
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)
