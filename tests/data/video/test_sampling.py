"""Times, clips and the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.video.clips import number_in, write_clip

from pondera.data.video import bin_centres, cached_clip, jittered_times, sample_clip
from pondera.data.video import cache as cache_module


def test_bin_centres_by_hand() -> None:
    assert bin_centres(8.0, 4) == [1.0, 3.0, 5.0, 7.0]


@given(st.floats(0.01, 1e5), st.integers(1, 64), st.integers(0, 2**32))
def test_jittered_times_stay_in_their_bins_and_repeat_with_the_seed(duration_s: float, num: int, seed: int) -> None:
    times = jittered_times(duration_s, num, seed)
    assert times == jittered_times(duration_s, num, seed)
    bins = np.array(times) / duration_s * num
    assert ((bins >= np.arange(num) - 1e-9) & (bins <= np.arange(num) + 1 + 1e-9)).all()


def test_a_clip_holds_the_frames_at_the_bin_centres(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", options={"bf": "3", "g": "12"})
    clip = sample_clip(tmp_path / "clip.mp4", 10)
    assert [number_in(frame.image) for frame in clip.frames] == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47]
    assert not clip.ends_early


def test_frames_are_scaled_down_but_never_up(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", num=4)
    assert sample_clip(tmp_path / "clip.mp4", 1, max_side=64).frames[0].image.shape == (24, 64, 3)
    assert sample_clip(tmp_path / "clip.mp4", 1, max_side=999).frames[0].image.shape == (48, 128, 3)


def test_the_cache_gives_the_same_clip_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = tmp_path / "clip.mp4", tmp_path / "cache"
    write_clip(path)
    first = cached_clip(path, 4, folder)
    monkeypatch.setattr(cache_module, "sample_clip", None)
    again = cached_clip(path, 4, folder)
    assert again.info == first.info and len(list(folder.iterdir())) == 1
    for one, other in zip(first.frames, again.frames, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert (one.time_s, one.asked_s) == (other.time_s, other.asked_s)


def test_a_changed_video_is_decoded_anew(tmp_path: Path) -> None:
    path, folder = tmp_path / "clip.mp4", tmp_path / "cache"
    write_clip(path, num=10)
    cached_clip(path, 4, folder)
    write_clip(path, num=40)
    assert cached_clip(path, 4, folder).info.duration_s == pytest.approx(1.6)
