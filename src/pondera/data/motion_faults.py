"""What can be measured on the course of a video: standstills, uneven motion, flicker, shake; and how severe each is.

All are read from short stretches at full rate (`pondera.data.motion_evidence`). Severities stand on the ladder of the
distortion levels: 0 for nothing, 5 for the strongest level of the distortion that a measure is named after.
Shape letters: T frames, P pairs of successive frames, H height, W width.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pondera.data.motion_evidence import Stretch, luma, measure_motion
from pondera.data.motion_ladders import LADDERS

FloatArray = NDArray[np.float64]

_COARSE = 2  # movement is read from means of 2 x 2 pixels, smoothed further: movements of a few pixels stay linear
_SMOOTH_PX = 1.0
_SPOKEN = {
    "repeated": "repeated frames",
    "standstill": "standstill",
    "unevenness": "uneven motion",
    "flicker": "flicker",
    "shake": "shake",
}
_STILL = 0.12  # mean change of luma below which a frame repeats the one before; as in `motion_evidence`


def measure_course(stretches: Sequence[Stretch]) -> dict[str, float]:
    """All measures of a video's course in time.

    Returns:
        repeated: share of frames that repeat the one before, [0, 1].
        standstill: the longest one as a share of the time looked at, [0, 1].
        unevenness: how the speed along the main direction changes from frame to frame, as a share of the mean speed,
            beyond what shake explains; >= 0.
        flicker: as in `measure_motion`.
        shake: how the movement across the main direction changes, as a share of the frame's shorter side; >= 0.

    Raises:
        ValueError: there is no stretch.

    Source: global translation by least squares is Lucas and Kanade, "An iterative image registration technique", IJCAI
    1981, one step on the smoothed whole picture; the split into along and across is our own.
    """
    facts = measure_motion(stretches)
    uneven, shake = zip(*(_motion_faults(stretch) for stretch in stretches), strict=True)
    return {
        "repeated": facts.repeated,
        "standstill": facts.longest_standstill_s / facts.seconds if facts.seconds else 0.0,
        "unevenness": float(np.mean(uneven)),
        "flicker": facts.flicker,
        "shake": float(np.mean(shake)),
    }


def fault_severities(course: Mapping[str, float]) -> dict[str, float]:
    """Severity of each measure, in [0, 5]: 0 up to the first rung of its ladder, then linear between levels.

    Args:
        course: as `measure_course` gives it.
    """
    return {name: _on_ladder(value, LADDERS[name]) for name, value in course.items()}


def severity_text(stretches: Sequence[Stretch]) -> str:
    """The severities to the nearest level in one line, for a prompt."""
    severity = fault_severities(measure_course(stretches))
    said = ", ".join(f"{_SPOKEN[name]} {round(value)}" for name, value in severity.items())
    return f"Measured faults, 0 to 5: {said}."


def _on_ladder(value: float, ladder: Sequence[float]) -> float:
    rungs = [(ladder[0], 0.0)] + [(v, float(n)) for n, v in enumerate(ladder) if n and v > ladder[0]]
    return float(np.interp(value, [v for v, _ in rungs], [level for _, level in rungs]))


def _motion_faults(stretch: Stretch) -> tuple[float, float]:
    """Unevenness and shake of one stretch; zeros where nothing moves."""
    luma_THW = luma(stretch)
    change_P = abs(np.diff(luma_THW, axis=0)).mean((1, 2))
    step_P2 = translations(luma_THW)[change_P >= _STILL]
    if len(step_P2) < 3:
        return 0.0, 0.0
    # The median direction: of a shaken or re-timed clip single steps may go anywhere.
    main = np.median(step_P2, axis=0)
    speed = float(np.hypot(*main))
    along = main / speed if speed > 0 else np.array([1.0, 0.0])
    jump_P2 = np.diff(step_P2, axis=0)
    parallel, across = (float((jump_P2 @ way).std()) for way in (along, np.array([-along[1], along[0]])))
    excess = max(parallel**2 - across**2, 0.0) ** 0.5
    return excess / (speed + 0.1), across / min(luma_THW.shape[1:])


def translations(luma_THW: FloatArray) -> FloatArray:
    """Movement (down, right) of the whole picture between successive frames in pixels, [P, 2]; exact for small ones."""
    from scipy.ndimage import gaussian_filter

    num, height, width = (luma_THW.shape[0], *(side // _COARSE for side in luma_THW.shape[1:]))
    if min(height, width) < 2:
        return np.zeros((num - 1, 2))
    blocks = luma_THW[:, : height * _COARSE, : width * _COARSE].reshape(num, height, _COARSE, width, _COARSE)
    smooth_THW = gaussian_filter(blocks.mean((2, 4)), (0, _SMOOTH_PX, _SMOOTH_PX))
    # Brightness may flicker: its mean takes no part.
    smooth_THW = smooth_THW - smooth_THW.mean((1, 2), keepdims=True)
    found = []
    for before_HW, after_HW in itertools.pairwise(smooth_THW):
        down_HW, right_HW = np.gradient((before_HW + after_HW) / 2)
        gradients = np.stack([down_HW.ravel(), right_HW.ravel()], axis=1)
        difference = (before_HW - after_HW).ravel()
        moment = gradients.T @ gradients + 1e-6 * np.eye(2)
        found.append(_COARSE * np.linalg.solve(moment, gradients.T @ difference))
    return np.array(found).reshape(-1, 2)
