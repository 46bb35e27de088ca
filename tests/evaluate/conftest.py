"""Simulated systems on simulated samples: no model, no images."""

import numpy as np
import pytest

from pondera.core.records import FIVE_POINT, Assessment, Distortion, LabelScale, Media, Sample


@pytest.fixture
def samples():
    """120 samples of 30 contents on a 0-100 scale, every second one with a strong blur or noise."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(120):
        kind = ("gaussian_blur", "gaussian_noise")[i % 2]
        made.append(
            Sample(
                id=f"s{i:03d}",
                media=(Media(f"images/{i}.png"),),
                dataset="sim",
                mos=float(rng.uniform(5, 95)),
                mos_std=8.0,
                scale=LabelScale(0, 100),
                split="test",
                reference=f"c{i // 4}",
                subset=("day", "night")[i % 2],
                distortions=(Distortion(kind, 5),) if i % 4 < 2 else (),
            )
        )
    return made


@pytest.fixture
def make_assess(samples):
    """A system that sees the label through noise, on a 1-5 scale, and gives every tenth sample up when asked to."""

    def make(noise, seed=1, drop_every=0):
        label_of = {s.path(): s.mos_on(FIVE_POINT) for s in samples}
        kind_of = {s.path(): s.distortions[0].type if s.distortions else "" for s in samples}
        rng = np.random.default_rng(seed)
        error_of = {path: rng.normal() for path in label_of}

        def assess(paths):
            out = []
            for path in paths:
                valid = not drop_every or int(path.split("/")[1][:-4]) % drop_every != 0
                said = "The sharpness is bad." if "blur" in kind_of[path] else "The noise is bad."
                score = label_of[path] + noise * error_of[path] if valid else float("nan")
                out.append(
                    Assessment(
                        path=path,
                        score=score,
                        scale=FIVE_POINT,
                        mode="reason",
                        spread=0.5,
                        reasoning=said,
                        aspects={"sharpness": 2},
                        valid=valid,
                        error=None if valid else "no answer block",
                        completion=f"<think>{said}</think>",
                        seconds=0.1,
                        fingerprint="f00d",
                    )
                )
            return out

        return assess

    return make
