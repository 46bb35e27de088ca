"""Fit the rungs of the severities of faults of time: `src/pondera/data/motion_ladders.py`.

    python benchmarks/fit_video_teacher.py            # writes the module, about two minutes on one core
    python benchmarks/fit_video_teacher.py --check    # only says how far the shipped constants are off

From camera moves over the bundled training photographs: per measure the upper end of undamaged moves, and the median
at each level of the distortions it is named after. No opinion score and no full-reference measure is read.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from pondera.core.records import Distortion
from pondera.data.motion_evidence import Stretch
from pondera.data.motion_faults import measure_course
from pondera.data.moving_clips import ClipSettings
from pondera.data.moving_content import MovingContent
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.data.temporal_distortions import distort_clip
from pondera.data.video import shrunk

TYPES_OF = {
    "repeated": ("frame_drop", "rate_reduction", "stutter"),
    "standstill": ("freeze",),
    "unevenness": ("jitter",),
    "flicker": ("flicker",),
    "shake": ("shake",),
}
SIDE_PX = 192  # as `read_stretches` reads them
PRISTINE_END = 90


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    ladders = fit_ladders()
    if args.check:
        from pondera.data.motion_ladders import LADDERS

        off = max(abs(a - b) / max(abs(b), 1e-3) for n in ladders for a, b in zip(ladders[n], LADDERS[n], strict=True))
        print(f"largest relative difference in the ladders: {off:.3f}")
        return int(off > 0.05)
    target = Path(__file__).parents[1] / "src/pondera/data/motion_ladders.py"
    target.write_text(module_text(ladders), encoding="utf-8")
    print(f"wrote {target}", file=sys.stderr)
    return 0


def fit_ladders() -> dict[str, tuple[float, ...]]:
    """Six values per measure: the end of undamaged moves, then the medians of levels 1 to 5."""
    pristine: dict[str, list[float]] = defaultdict(list)
    damaged: dict[tuple[str, int], list[float]] = defaultdict(list)
    settings = ClipSettings({"train": 1})
    photographs = [path for path in list_photographs() if PHOTOGRAPH_SPLITS[path.stem] == "train"]
    for number, path in enumerate(photographs):
        frames = MovingContent(path, number, settings.num_frames, settings.rate, settings.size).frames()
        for name, value in _measured(frames, settings.rate).items():
            pristine[name].append(value)
        for name, types in TYPES_OF.items():
            for kind in types:
                for level in (1, 2, 3, 4, 5):
                    clip = distort_clip(frames, settings.rate, Distortion(kind, level), number)
                    damaged[name, level].append(_measured(clip.frames, settings.rate)[name])
        print(f"{path.stem} is measured", file=sys.stderr)
    return {
        name: tuple(
            round(float(v), 5)
            for v in (
                np.percentile(pristine[name], PRISTINE_END),
                *(np.median(damaged[name, level]) for level in (1, 2, 3, 4, 5)),
            )
        )
        for name in TYPES_OF
    }


def _measured(frames: np.ndarray, rate: float) -> dict[str, float]:
    small = np.stack([shrunk(frame, SIDE_PX) for frame in frames])
    return measure_course([Stretch(small, np.arange(len(frames)) / rate)])


def module_text(ladders: dict[str, tuple[float, ...]]) -> str:
    """The module that holds the constants."""
    rows = "".join(f'    "{name}": {values!r},\n' for name, values in ladders.items())
    return (
        '"""Rungs of the severities of faults of time, for the measuring teacher and for prompts.\n\n'
        'Made by `benchmarks/fit_video_teacher.py`; do not edit by hand.\n"""\n\n'
        f"LADDERS: dict[str, tuple[float, ...]] = {{\n{rows}}}\n"
        '"""Per measure: what nine of ten undamaged clips stay below, then the medians of levels 1 to 5."""\n'
    )


if __name__ == "__main__":
    sys.exit(main())
