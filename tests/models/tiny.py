"""A nano model too small to be good, for tests of plumbing and arithmetic."""

from __future__ import annotations

import numpy as np

from pondera.models import Family
from pondera.models.nano import build_nano

TEXTS = [
    "Rate the quality of this image. Think first.",
    "<think>The photo looks blurred; sharpness is poor, noise is good.</think><answer>2.41</answer>",
    "<think>A clean picture; sharpness is excellent, noise is fair.</think><answer>4.73</answer>",
] * 4


def tiny_family(seed: int = 0, **options: object) -> Family:
    settings = {"hidden_size": 32, "num_layers": 2, "vision_widths": (8, 16), "tile_px": 32, "num_crops": 2} | options
    model, processor = build_nano(TEXTS, seed=seed, **settings)  # type: ignore[arg-type]
    return Family(model.eval(), processor)


def noise_image(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
