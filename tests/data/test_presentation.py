"""What a model is shown of a sample, without any video file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pondera.core.records import Media, Sample
from pondera.data.presentation import Layout, Place, Presentation, media_shown, present, show_image
from pondera.errors import ManifestError


def _grey(value: int, side: int = 8) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Four flat pictures by name, and a montage of sixteen greys 0, 10, ..., 150."""
    paths = {}
    for name, value in (("a", 10), ("b", 20), ("c", 30), ("d", 40)):
        Image.fromarray(_grey(value)).save(tmp_path / f"{name}.png")
        paths[name] = str(tmp_path / f"{name}.png")
    cells = np.arange(0, 160, 10, dtype=np.uint8).reshape(4, 4).repeat(4, 0).repeat(4, 1)
    Image.fromarray(np.stack([cells] * 3, -1)).save(tmp_path / "m.png")
    return paths | {"m": str(tmp_path / "m.png")}


def _values(presentation: Presentation) -> list[int]:
    return [int(image[0, 0, 0]) for image in presentation.images]


def _montage_values(presentation: Presentation) -> list[int]:
    return presentation.images[0][::4, ::4, 0].ravel().tolist()


def test_an_image_is_shown_alone(files):
    shown = present(Sample("s", (Media(files["a"]),)), jitter_seed=3)
    assert _values(shown) == [10] and shown.signature == ((8, 8, 3),) and shown.runs == ()


def test_a_reference_is_shown_only_where_the_layout_wants_it(files):
    sample = Sample("s", (Media(files["a"]), Media(files["b"], "reference")))
    assert _values(present(sample)) == [10]
    both = present(sample, Layout(reference=True))
    assert _values(both) == [20, 10]
    assert both.parts[0] == "Reference image:" and both.parts[2] == "The image to be judged:"


def test_a_comparison_shows_the_test_file_first_and_the_other_second(files):
    sample = Sample("s", (Media(files["b"], "other"), Media(files["a"])), task="compare")
    shown = present(sample)
    assert [part for part in shown.parts if isinstance(part, str)] == ["First image:", "Second image:"]
    assert _values(shown) == [10, 20]
    with pytest.raises(ManifestError, match="no media with role 'other'"):
        present(Sample("s", (Media(files["a"]),), task="compare"))


def test_pictures_of_a_video_that_lie_ready_are_taken_by_their_roles(files):
    media = (Media(files["m"], "montage"), *(Media(files[n], "local") for n in "abc"))
    shown = present(Sample("s", media, kind="video"))
    assert [len(run) for run in shown.runs] == [16, 3]
    assert _values(shown) == [0, 10, 20, 30]
    frames = present(Sample("s", tuple(Media(files[n], "frame") for n in "cab"), kind="video"))
    assert _values(frames) == [30, 10, 20] and [len(run) for run in frames.runs] == [3]
    assert frames.parts[0] == "Frame 1 of 3:"


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (Sample("s", (Media("a"), Media("b", "reference"))), "a"),
        (Sample("s", (Media("b", "reference"), Media("a"), Media("c"))), "a"),
        (Sample("s", (Media("b", "other"), Media("a")), task="compare"), "ab"),
        (
            Sample("s", (Media("a"), Media("c", "local"), Media("m", "montage"), Media("d", "local")), kind="video"),
            "cmd",
        ),
        (Sample("s", (Media("c", "frame"), Media("a", "frame")), kind="video"), "ca"),
    ],
)
@pytest.mark.parametrize("reference", [False, True])
def test_the_files_that_are_shown_are_enough_to_show_the_sample(files, sample, expected, reference):
    sample = replace(sample, media=tuple(replace(m, path=files[m.path]) for m in sample.media))
    layout = Layout(reference=reference)
    shown = media_shown(sample, layout)
    names = "".join(Path(media.path).stem for media in shown)
    has_reference = reference and any(media.role == "reference" for media in sample.media)
    assert names == expected + ("b" if has_reference else "")
    whole, part = present(sample, layout), present(replace(sample, media=shown), layout)
    assert whole.signature == part.signature
    assert all(np.array_equal(one, two) for one, two in zip(whole.images, part.images, strict=True))


def test_frames_change_places_within_their_run_and_words_stay(files):
    media = (Media(files["m"], "montage"), *(Media(files[n], "local") for n in "abc"))
    shown = present(Sample("s", media, kind="video"))
    turned = shown.with_frames(lambda num: range(num - 1, -1, -1))
    assert _montage_values(turned) == list(range(150, -10, -10))
    assert _values(turned)[1:] == [30, 20, 10]
    assert turned.signature == shown.signature
    assert _montage_values(shown) == list(range(0, 160, 10))  # the first one is as it was


def test_frames_may_repeat_and_black_may_stand_for_one(files):
    media = (Media(files["m"], "montage"), Media(files["a"], "local"))
    shown = present(Sample("s", media, kind="video"))
    changed = shown.with_frames(lambda num: [5] * (num - 1) + [None])
    assert _montage_values(changed) == [50] * 15 + [0]
    with pytest.raises(ValueError, match="an order of 16 frames"):
        shown.with_frames(lambda num: [0])
    with pytest.raises(ValueError, match="entries below 16"):
        shown.with_frames(lambda num: [num] * num)


def test_frames_of_different_sizes_change_places_whole():
    first, second = _grey(1, 4), _grey(2, 6)
    run = (Place(0, (0, 0, 4, 4)), Place(1, (0, 0, 6, 6)))
    turned = Presentation((first, second), (run,)).with_frames(lambda num: [1, 0])
    assert [image.shape[0] for image in turned.images] == [6, 4]


def test_second_views_are_made_from_the_first():
    shown = Presentation((_grey(1), "between", _grey(2)))
    darker = shown.with_images(lambda image, number: image // 2 + np.uint8(number))
    assert _values(darker) == [0, 2] and darker.parts[1] == "between"
    assert shown.with_words("A dark room.").parts[-1] == "A dark room."
    assert show_image(_grey(7)).with_words("x").num_bytes == 8 * 8 * 3


@pytest.mark.parametrize("wrong", [{"video": "all"}, {"montage_px": 0}, {"num_frames": 0}])
def test_a_layout_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Layout(**wrong)
