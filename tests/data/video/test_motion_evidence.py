"""Measured facts about motion, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.video.clips import number_in, write_clip

from pondera.data.motion_evidence import Stretch, difference_strip, measure_motion, read_stretches, temporal_slice


def _stretch(levels: list[int], rate: float = 20.0) -> Stretch:
    """Frames of one grey level each."""
    frames = np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    return Stretch(frames, np.arange(len(levels)) / rate)


def test_repeated_frames_and_the_longest_standstill_are_counted() -> None:
    """Ten steps of 50 ms; changes after frames 0, 1, 5 and 6: the picture of frame 2 stands for 4 steps."""
    facts = measure_motion([_stretch([10, 20, 30, 30, 30, 30, 40, 50, 50, 50, 50])])
    assert facts.rate == pytest.approx(20) and facts.seconds == pytest.approx(0.5)
    assert facts.repeated == pytest.approx(0.6)
    assert facts.pictures_a_second == pytest.approx(8)
    assert facts.longest_standstill_s == pytest.approx(0.2)
    assert "60 % of frames repeat" in facts.text()


def test_flicker_is_told_from_a_slow_change_of_brightness() -> None:
    fade = measure_motion([_stretch(list(range(100, 140)))]).flicker
    flicker = measure_motion([_stretch([100 + 10 * (n % 2) for n in range(40)])]).flicker
    assert fade < 0.01 and flicker == pytest.approx(5 / 105, rel=0.15)


def test_a_single_frame_has_no_motion() -> None:
    assert measure_motion([_stretch([7])]).text() == "The video has a single frame."


def test_the_longest_interval_of_a_variable_rate_is_found(tmp_path: Path) -> None:
    write_clip(
        tmp_path / "clip.mkv", num=12, times=[0.0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.5, 0.54, 0.58, 0.62, 0.66, 0.7]
    )
    facts = measure_motion(read_stretches(tmp_path / "clip.mkv"))
    assert facts.rate == pytest.approx(25, rel=0.01)
    assert facts.longest_interval_s == pytest.approx(0.3, abs=0.002)


def test_stretches_of_a_long_video_are_spread_over_it(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", num=200)
    stretches = read_stretches(tmp_path / "clip.mp4", num=2, length_s=1.0)
    assert [round(float(stretch.times_s[0]), 2) for stretch in stretches] == [1.48, 5.48]
    assert [len(stretch.frames) for stretch in stretches] == [26, 26]  # 1.48 s to 2.48 s, both included


def test_a_thousand_frames_a_second_are_read_up_to_a_number_that_fits_in_memory(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", num=1000, rate=960, options={"preset": "ultrafast"})
    (stretch,) = read_stretches(tmp_path / "clip.mp4")
    assert len(stretch.frames) == 720 and [number_in(f) for f in stretch.frames[[0, 255, 256]]] == [0, 255, 0]
    assert measure_motion([stretch]).rate == pytest.approx(960, rel=0.01)


def test_differences_are_grey_where_nothing_changes() -> None:
    strip = difference_strip(_stretch([10, 10, 20]), num=2, gain=4)
    assert strip.shape == (8, 16, 3)
    assert set(np.unique(strip[:, :8])) == {128} and set(np.unique(strip[:, 8:])) == {168}


def test_a_temporal_slice_has_one_row_a_frame() -> None:
    image = temporal_slice(_stretch([10, 20, 30]))
    assert image.shape == (3, 8, 3) and image[:, 0, 0].tolist() == [10, 20, 30]
