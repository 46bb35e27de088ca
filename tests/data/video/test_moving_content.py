"""The bundled moving content moves smoothly, with parallax, and repeats with its seed."""

from __future__ import annotations

import numpy as np
import pytest
from tests.data.video.clips import picture

from pondera.data.moving_content import MovingContent
from pondera.data.photographs import list_photographs


def _content(seed: int, **changes: int) -> MovingContent:
    return MovingContent(list_photographs()[0], seed, size=(96, 64), **changes)


def test_the_same_arguments_give_the_same_frames_and_another_seed_another_move() -> None:
    first = _content(1, num_frames=6).frames()
    assert first.shape == (6, 64, 96, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, _content(1, num_frames=6).frames())
    assert not np.array_equal(first, _content(2, num_frames=6).frames())


def test_every_frame_differs_from_the_one_before_and_no_step_jumps() -> None:
    for seed in range(4):
        frames = _content(seed, num_frames=24).frames().astype(int)
        change = abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        assert change.min() > 0.15 and change.max() < 6 * np.median(change)


def test_near_things_move_faster_than_far_ones() -> None:
    content = _content(3)
    near = content._depth(np.random.default_rng(0))
    there, here = (content._looked_at(near, x, 0.0, 1.0, (512, 768, 3))[1] for x in (40.0, 0.0))
    moved = there - here
    assert moved[near > 0.8].mean() > 1.3 * moved[near < 0.2].mean()


@pytest.mark.parametrize("seed", range(20))
def test_the_camera_never_leaves_the_photograph(seed: int) -> None:
    content = MovingContent(list_photographs()[0], seed, num_frames=240)
    near = content._depth(np.random.default_rng(seed))
    for x, y, zoom in content._path(np.random.default_rng(seed), 512, 768):
        rows, columns = content._looked_at(near, x, y, zoom, (512, 768, 3))
        assert rows.min() >= 0 and rows.max() <= 511 and columns.min() >= 0 and columns.max() <= 767


def test_a_photograph_too_small_is_refused(tmp_path) -> None:
    from PIL import Image

    Image.fromarray(picture(3)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match="too small for moving frames"):
        MovingContent(tmp_path / "small.png", 0).frames()
