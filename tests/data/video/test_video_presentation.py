"""What a model is shown of a video file."""

from __future__ import annotations

import pytest
from tests.data.video.clips import number_in, write_clip

from pondera.core.records import Media, Sample
from pondera.data.presentation import Layout, Presentation, present


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


def test_two_videos_are_compared_each_behind_its_words(sample):
    pair = Sample("p", (sample.media[0], Media(sample.path(), "other")), kind="video", task="compare")
    shown = present(pair)
    assert [len(run) for run in shown.runs] == [16, 3, 16, 3]
    assert [word for word in _words(shown) if "video" in word] == ["First video:", "Second video:"]
    turned = shown.with_frames(lambda num: range(num)[::-1])
    assert [number_in(image) for image in turned.images[1:4]] == [53, 32, 11]
