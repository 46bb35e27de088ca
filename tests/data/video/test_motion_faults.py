"""What is measured on the course of a video, and how severe it is."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("av")

from pondera.core.records import Distortion
from pondera.data.motion_evidence import Stretch
from pondera.data.motion_faults import fault_severities, measure_course, severity_text, translations
from pondera.data.motion_ladders import LADDERS
from pondera.data.moving_content import MovingContent
from pondera.data.photographs import list_photographs
from pondera.data.temporal_distortions import distort_clip

RATE = 24


def _stretch(frames: np.ndarray) -> Stretch:
    return Stretch(frames, np.arange(len(frames)) / RATE)


def test_a_translation_of_known_size_is_measured():
    """A smooth random picture, moved by one pixel to the right: the camera moved to the left."""
    from scipy.ndimage import gaussian_filter

    wide = gaussian_filter(np.random.default_rng(0).normal(0, 100, (80, 120)), 4)
    moved = np.stack([wide[:, 20:100], wide[:, 19:99]])
    np.testing.assert_allclose(translations(moved), [[0.0, 1.0]], atol=0.1)


def test_a_single_frame_and_a_tiny_one_have_no_faults():
    assert measure_course([_stretch(np.zeros((1, 8, 8, 3), np.uint8))])["shake"] == 0
    assert set(measure_course([_stretch(np.zeros((5, 1, 1, 3), np.uint8))]).values()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", LADDERS)
def test_a_rung_is_its_level_and_halfway_between_two_is_half_a_level_more(name):
    ladder = LADDERS[name]
    assert fault_severities({name: ladder[0] / 2})[name] == 0
    assert fault_severities({name: ladder[3]})[name] == 3
    assert fault_severities({name: (ladder[3] + ladder[4]) / 2})[name] == pytest.approx(3.5)
    assert fault_severities({name: 2 * ladder[5]})[name] == 5


def test_the_text_says_the_level_of_what_was_done():
    frames = MovingContent(list_photographs()[0], 3, num_frames=36, size=(160, 96)).frames()
    flickering = distort_clip(frames, RATE, Distortion("flicker", 4), 5).frames
    assert severity_text([_stretch(frames)]).startswith("Measured faults, 0 to 5: repeated frames 0, standstill 0, ")
    assert ", flicker 4, " in severity_text([_stretch(flickering)])
