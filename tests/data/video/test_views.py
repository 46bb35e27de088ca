"""What a model is shown of a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.video.clips import number_in, picture, write_clip

from pondera.core.records import Media
from pondera.data.video_views import (
    AS_RELEASED,
    montage,
    native_frames,
    preresq_view,
    ready_made_view,
    sequence_view,
    slow_fast_view,
    with_evidence,
)
from pondera.errors import ManifestError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 32 frames a second: the 16 bin centres are the frames 2, 6, ..., 62."""
    path = tmp_path_factory.mktemp("views") / "clip.mp4"
    write_clip(path, num=64, rate=32, size=(512, 192))
    return path


def _cells(image: np.ndarray) -> list[np.ndarray]:
    height, width = image.shape[0] // 4, image.shape[1] // 4
    return [image[r * height : (r + 1) * height, c * width : (c + 1) * width] for r in range(4) for c in range(4)]


def test_the_montage_shows_sixteen_frames_in_time_order_row_by_row(clip: Path) -> None:
    view = preresq_view(clip)
    numbers = [number_in(cell) for cell in _cells(view.images[0])]
    assert numbers == list(range(2, 64, 4))
    assert view.parts[0].times_s == pytest.approx([n / 32 for n in numbers])
    assert view.images[0].shape == (384, 1024, 3)  # four cells of 256 x 96: the shape of one frame


def test_local_frames_are_whole_and_keep_their_pixels(clip: Path) -> None:
    view = preresq_view(clip)
    assert len(view.parts) == 4
    assert [number_in(image) for image in view.images[1:]] == [11, 32, 53]  # 1/6, 1/2 and 5/6 of 64 frames
    assert all(image.shape == (192, 512, 3) for image in view.images[1:])


def test_the_released_sizes_and_texts_can_be_chosen(clip: Path) -> None:
    view = preresq_view(clip, sizes=AS_RELEASED)
    assert max(view.images[0].shape) == 500 and max(view.images[1].shape) == 500
    assert view.parts[0].text == "Global multiframe picture:"
    assert [part.text for part in view.parts[1:]] == [f"Local single frame picture {n}:" for n in (1, 2, 3)]
    assert view.name != preresq_view(clip).name


def test_jitter_moves_frames_within_their_bins_only(clip: Path) -> None:
    numbers = [number_in(cell) for cell in _cells(preresq_view(clip, seed=1).images[0])]
    assert numbers != list(range(2, 64, 4))
    assert all(4 * n <= number <= 4 * n + 4 for n, number in enumerate(numbers))


def test_pictures_that_lie_ready_are_taken_by_their_roles(tmp_path: Path) -> None:
    for name in ("m.png", "a.png", "b.png"):
        Image.fromarray(picture(ord(name[0]))).save(tmp_path / name)
    media = [Media("a.png", "local"), Media("m.png", "montage"), Media("b.png", "local")]
    view = ready_made_view(media, tmp_path)
    assert [number_in(image) for image in view.images] == [ord("m"), ord("a"), ord("b")]
    with pytest.raises(ManifestError, match="role 'montage'"):
        ready_made_view(media[:1], tmp_path)


def test_a_sequence_shows_each_frame_with_its_time(clip: Path) -> None:
    view = sequence_view(clip, num=4, max_side=448)
    assert [number_in(image) for image in view.images] == [8, 24, 40, 56]
    assert [part.text for part in view.parts][:2] == ["Frame 1 of 4, 0.25 s:", "Frame 2 of 4, 0.75 s:"]
    assert all(max(image.shape) == 448 for image in view.images)


def test_slow_and_fast_frames_stand_in_time_order(clip: Path) -> None:
    view = slow_fast_view(clip, num_slow=2, num_fast=8)
    times = [part.times_s[0] for part in view.parts]
    assert times == sorted(times) and len(times) == 10
    assert sorted({max(image.shape) for image in view.images}) == [224, 512]


def test_native_frames_keep_to_their_rate_and_number(clip: Path) -> None:
    assert len(native_frames(clip, rate=4).frames) == 8
    assert len(native_frames(clip, rate=30, max_frames=5).frames) == 5


def test_evidence_is_added_only_where_it_is_asked_for(clip: Path) -> None:
    view = sequence_view(clip, num=2)
    assert with_evidence(view, clip) is view
    full = with_evidence(view, clip, facts=True, strip=True, profile=True)
    assert [part.image is None for part in full.parts] == [False, False, True, False, False]
    assert "32.0 frames a second" in full.parts[2].text and full.name.endswith("+facts+strip+profile")
    assert with_evidence(view, clip, facts=True).images == view.images


def test_a_montage_takes_a_square_number() -> None:
    assert montage([picture(n) for n in range(4)]).shape == (96, 256, 3)
    with pytest.raises(ValueError, match="square number"):
        montage([picture(0)] * 3)
