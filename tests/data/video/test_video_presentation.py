"""What a model is shown of a video file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.data.video.clips import number_in, write_clip

from pondera.core.records import Media, Sample
from pondera.data.presentation import Footage, Layout, Presentation, present


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    path = tmp_path_factory.mktemp("shown") / "clip.mp4"
    write_clip(path, num=64, rate=32, size=(512, 192))
    return Sample("s", (Media(str(path)),), kind="video")


def _words(shown: Presentation) -> list[str]:
    return [part for part in shown.parts if isinstance(part, str)]


def test_each_layout_gives_its_pictures_in_runs(sample):
    counts = {
        Layout(): [16, 3],
        Layout("sequence", num_frames=5): [5],
        Layout("slow_fast", local_px=256): [4, 16],
    }
    for layout, expected in counts.items():
        assert sorted(len(run) for run in present(sample, layout).runs) == sorted(expected)


def test_sizes_reach_the_pictures(sample):
    shown = present(sample, Layout(montage_px=256, local_px=128))
    assert [max(image.shape) for image in shown.images] == [256, 128, 128, 128]
    assert max(present(sample, Layout("sequence", frame_px=64)).images[0].shape) == 64


def test_reversed_frames_are_the_clip_backwards(sample):
    shown = present(sample, Layout("sequence", num_frames=4))
    turned = shown.with_frames(lambda num: range(num)[::-1])
    assert [number_in(image) for image in turned.images] == [56, 40, 24, 8]
    assert _words(turned) == _words(shown)


def test_each_kind_of_evidence_has_its_own_switch(sample):
    plain = present(sample)
    facts = present(sample, Layout(facts=True))
    assert len(facts.images) == len(plain.images) and "32.0 frames a second" in _words(facts)[-1]
    assert _words(present(sample, Layout(severities=True)))[-1].startswith(
        "Measured faults, 0 to 5: repeated frames 0, "
    )
    assert len(present(sample, Layout(strip=True)).images) == len(plain.images) + 1
    both = present(sample, Layout(strip=True, profile=True))
    assert len(both.images) == len(plain.images) + 2 and both.runs == plain.runs


def test_jitter_takes_other_frames_and_the_same_seed_the_same(sample):
    first, again, other = (present(sample, jitter_seed=seed) for seed in (1, 1, 2))
    plain = present(sample)
    assert all((a == b).all() for a, b in zip(first.images, again.images, strict=True))
    assert any((a != b).any() for a, b in zip(first.images, other.images, strict=True))
    assert any((a != b).any() for a, b in zip(first.images, plain.images, strict=True))


CLIP = Layout("native", clip_rate=4, frame_px=128)


def test_a_native_layout_shows_one_clip_with_its_rate(sample):
    """2 s: 8 frames at 4 a second; at most 3 are 1.5 a second."""
    (clip,) = present(sample, CLIP).parts
    assert isinstance(clip, Footage) and clip.frames.shape == (8, 48, 128, 3) and clip.rate == pytest.approx(4)
    (few,) = present(sample, replace(CLIP, clip_frames=3, frame_px=512)).parts
    assert few.rate == pytest.approx(1.5) and [number_in(frame) for frame in few.frames] == [11, 32, 53]
    with_facts = present(sample, replace(CLIP, facts=True))
    assert len(with_facts.parts) == 2 and "32.0 frames a second" in _words(with_facts)[0]


def test_the_frames_of_a_clip_change_places_and_pixels_like_those_of_pictures(sample):
    shown = present(sample, replace(CLIP, clip_rate=2, frame_px=512))
    assert [len(run) for run in shown.runs] == [4] == [len(shown.images)]
    turned = shown.with_frames(lambda num: [3, 2, None, 0])
    assert [number_in(frame) for frame in turned.images[:2]] == [56, 40] and not turned.images[2].any()
    assert [number_in(frame) for frame in shown.images] == [8, 24, 40, 56]  # the first view is as it was
    marked = shown.with_images(np.full_like)
    assert [int(image.max()) for image in marked.images] == [0, 1, 2, 3]
    assert marked.num_bytes == shown.num_bytes and marked.signature == shown.signature
    assert shown.signature != present(sample, replace(CLIP, clip_rate=2, clip_frames=3, frame_px=512)).signature


def test_jitter_moves_the_frames_of_a_clip_too(sample):
    first, again, plain = (present(sample, CLIP, jitter_seed=seed).images for seed in (1, 1, None))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, plain, strict=True))


def test_a_rate_that_is_none_is_refused():
    for rate in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="clip_rate must be > 0"):
            Layout("native", clip_rate=rate)


def test_two_videos_are_compared_each_behind_its_words(sample):
    pair = Sample("p", (sample.media[0], Media(sample.path(), "other")), kind="video", task="compare")
    shown = present(pair)
    assert [len(run) for run in shown.runs] == [16, 3, 16, 3]
    assert [word for word in _words(shown) if "video" in word] == ["First video:", "Second video:"]
    turned = shown.with_frames(lambda num: range(num)[::-1])
    assert [number_in(image) for image in turned.images[1:4]] == [53, 32, 11]
