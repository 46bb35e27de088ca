"""Temporal distortions: graded, repeatable, and seen by the label."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from pondera.core.records import Distortion
from pondera.data.moving_content import MovingContent
from pondera.data.photographs import list_photographs
from pondera.data.temporal_distortions import (
    TEMPORAL_DISTORTIONS,
    available_distortions,
    distort_clip,
    recode,
)
from pondera.data.video_quality import VideoQuality, video_quality

RATE = 24.0
_CODECS = tuple(name for name, kind in TEMPORAL_DISTORTIONS.items() if kind.encoder)
_TIMING = ("frame_drop", "freeze", "stutter", "rate_reduction", "jitter")


@cache
def _clip(photograph: int) -> NDArray[np.uint8]:
    return MovingContent(list_photographs()[photograph], seed=photograph, num_frames=48, size=(128, 96)).frames()


def _quality(frames: NDArray[np.uint8], name: str, level: int, seed: int = 0) -> VideoQuality:
    damaged = distort_clip(frames, RATE, Distortion(name, level), seed=seed)
    return video_quality(frames, damaged.frames, damaged.aligned)


@pytest.mark.parametrize("name", TEMPORAL_DISTORTIONS)
def test_the_label_falls_with_every_level(name: str) -> None:
    if name not in available_distortions():
        pytest.skip("this PyAV lacks the encoder")
    for photograph in (4, 11):
        scores = [_quality(_clip(photograph), name, level, seed=photograph).overall for level in (1, 2, 3, 4, 5)]
        assert all(better > worse for better, worse in pairwise(scores)), (photograph, scores)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPORAL_DISTORTIONS)
def test_the_label_falls_with_every_level_on_all_contents_and_seeds(name: str) -> None:
    """Ties may happen where a level adds nothing on a clip of two seconds; a rise may not."""
    if name not in available_distortions():
        pytest.skip("this PyAV lacks the encoder")
    for photograph in range(24):
        scores = [_quality(_clip(photograph), name, level, seed=100 + photograph).overall for level in (1, 2, 3, 4, 5)]
        assert all(better >= worse for better, worse in pairwise(scores)), (photograph, scores)
        assert scores[0] > scores[4] + 0.5


@pytest.mark.parametrize("name", [*_TIMING, "flicker", "shake"])
def test_faults_of_time_leave_the_spatial_label_and_lower_the_temporal_one(name: str) -> None:
    quality = _quality(_clip(4), name, 5)
    assert quality.spatial > 4.8 and quality.temporal < quality.spatial - 0.5 and quality.overall == quality.temporal


def test_a_pristine_clip_has_full_marks() -> None:
    assert video_quality(_clip(4), _clip(4)) == VideoQuality(5.0, 5.0, 5.0)


@pytest.mark.parametrize("name", _TIMING)
def test_timing_faults_show_pristine_frames_only(name: str) -> None:
    frames = _clip(4)
    damaged = distort_clip(frames, RATE, Distortion(name, 3), seed=5)
    known = {frame.tobytes() for frame in frames}
    assert all(frame.tobytes() in known for frame in damaged.frames)
    np.testing.assert_array_equal(damaged.frames, damaged.aligned)


@pytest.mark.parametrize("name", TEMPORAL_DISTORTIONS)
def test_a_distortion_repeats_with_its_seed_and_leaves_its_input_alone(name: str) -> None:
    if name not in available_distortions():
        pytest.skip("this PyAV lacks the encoder")
    frames = _clip(4)[:12]
    before = frames.copy()
    first, again = (distort_clip(frames, RATE, Distortion(name, 3), seed=3).frames for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(frames, before)
    assert first.shape == frames.shape and not np.array_equal(first, frames)


def test_frames_that_a_level_loses_stay_lost_at_the_next() -> None:
    frames = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    lost: set[int] = set()
    for level in (1, 2, 3, 4, 5):
        shown = distort_clip(frames, RATE, Distortion("frame_drop", level), seed=1).frames[:, 0, 0, 0]
        missing = set(range(100)) - set(shown.tolist())
        assert missing > lost and len(missing) == round((0.06, 0.14, 0.28, 0.5, 0.8)[level - 1] * 99)
        lost = missing


@pytest.mark.parametrize("size", [(97, 65), (128, 96)])
def test_near_lossless_coding_returns_the_clip_at_any_size(size: tuple[int, int]) -> None:
    frames = MovingContent(list_photographs()[4], seed=1, num_frames=5, size=size).frames()
    coded = recode(frames, RATE, "libx264", {"crf": "1"})
    assert coded.shape == frames.shape
    assert abs(coded.astype(int) - frames).mean() < 4  # what 4:2:0 takes


@pytest.mark.parametrize(
    ("distortion", "message"),
    [
        (Distortion("blur", 3), "no temporal distortion 'blur'"),
        (Distortion("freeze", 6), "level must be 1 to 5"),
        (Distortion("freeze", 3, (0, 0, 1, 1)), "box None"),
    ],
)
def test_what_cannot_be_applied_is_refused(distortion: Distortion, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distort_clip(_clip(4), RATE, distortion, seed=0)
