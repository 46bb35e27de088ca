"""The frame handed out is the one presented nearest to the asked time, in every container and codec we can write."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from tests.data.video.clips import number_in, write_clip

from pondera.data.video import VideoReader, probe

_QUIET = "log-level=none"
_B_FRAMES = {"bf": "3", "g": "12"}
_CLIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "h264-b-frames.mp4": ("libx264", {"options": _B_FRAMES}),
    "h264-one-key-frame.mp4": ("libx264", {"options": {"bf": "3", "g": "999"}}),
    "h264-open-gop.mp4": ("libx264", {"options": {"x264-params": "open-gop=1:keyint=10:bframes=3"}}),
    "h264-fragmented.mp4": ("libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "h264-open-gop.ts": ("libx264", {"options": {"x264-params": "open-gop=1:keyint=10:bframes=3"}}),
    "h264.nut": ("libx264", {"options": _B_FRAMES}),
    "raw.h264": ("libx264", {}),
    "hevc.mov": ("libx265", {"options": {"x265-params": f"{_QUIET}:keyint=10"}}),
    "hevc-open-gop.mkv": ("libx265", {"options": {"x265-params": f"{_QUIET}:open-gop=1:keyint=10"}}),
    "vp9.webm": ("libvpx-vp9", {"options": {"deadline": "realtime", "cpu-used": "8", "g": "12"}}),
    "vp8.webm": ("libvpx", {"options": {"deadline": "realtime", "g": "12"}}),
    "mpeg4.avi": ("mpeg4", {}),
    "mjpeg.avi": ("mjpeg", {"pixel_format": "yuvj420p"}),
    "mpeg2.mpg": ("mpeg2video", {}),
    "prores.mov": ("prores_ks", {"pixel_format": "yuv422p10le"}),
    "ffv1.mkv": ("ffv1", {}),
    "flv1.flv": ("flv", {}),
    "wmv2.wmv": ("wmv2", {}),
    "animation.gif": ("gif", {"pixel_format": "rgb8"}),
    "lossless.y4m": ("wrapped_avframe", {}),
}


def _write(path: Path, name: str, **changes: Any) -> list[float]:
    codec, settings = _CLIPS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")
    return write_clip(path, codec, **(settings | changes))


def _nearest(times: list[float], asked: float) -> int:
    return min(range(len(times)), key=lambda n: (abs(times[n] - times[0] - asked), n))


@pytest.mark.parametrize("name", _CLIPS)
def test_the_nearest_frame_is_chosen_at_a_constant_rate(name: str, tmp_path: Path) -> None:
    times = _write(tmp_path / name, name)
    draw = random.Random(name)
    for num in (1, 3, 16):
        asked = sorted(draw.uniform(0, times[-1] + 0.2) for _ in range(num))
        with VideoReader(tmp_path / name) as reader:
            frames = list(reader.at(asked))
        assert [number_in(frame.image) for frame in frames] == [_nearest(times, t) for t in asked]
        assert [frame.time_s for frame in frames] == pytest.approx([times[_nearest(times, t)] for t in asked], abs=1e-3)


@pytest.mark.parametrize("name", ["h264-b-frames.mp4", "h264-one-key-frame.mp4", "hevc-open-gop.mkv", "h264.nut"])
def test_the_nearest_frame_is_chosen_at_a_variable_rate(name: str, tmp_path: Path) -> None:
    draw = random.Random(name)
    times = [0.0]
    for _ in range(49):  # steps of 20 ms to 0.8 s: some are longer than the stretch that is decoded in full
        times.append(round(times[-1] + draw.choice((0.02, 0.033, 0.05, 0.8)), 3))
    _write(tmp_path / name, name, times=times)
    asked = sorted(draw.uniform(0, times[-1]) for _ in range(20))
    with VideoReader(tmp_path / name) as reader:
        assert [number_in(frame.image) for frame in reader.at(asked)] == [_nearest(times, t) for t in asked]


def test_frames_cut_off_by_an_edit_list_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "edited.mp4"
    write_clip(path, "libx264", options=_B_FRAMES, shift=-7, container_options={"avoid_negative_ts": "disabled"})
    with VideoReader(path) as reader:
        assert [number_in(f.image) for f in reader.at([0.0, 0.2, 1.0])] == [7, 12, 32]


def test_times_count_from_the_first_frame_of_a_stream_that_starts_late(tmp_path: Path) -> None:
    path = tmp_path / "late.ts"
    write_clip(path, "libx264", options=_B_FRAMES, shift=90)
    with VideoReader(path) as reader:
        assert [number_in(f.image) for f in reader.at([0.0, 0.2, 1.0])] == [0, 5, 25]


def test_of_two_frames_equally_near_the_earlier_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, times=[Fraction(n, 4) for n in range(8)])
    with VideoReader(path) as reader:
        assert [number_in(f.image) for f in reader.at([0.125, 0.126, 1.625])] == [0, 1, 6]


def test_a_run_is_every_frame_of_a_stretch_in_order(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, options=_B_FRAMES)
    with VideoReader(path) as reader:
        assert [number_in(f.image) for f in reader.run(0.4, 0.39)] == list(range(10, 20))
        assert [number_in(f.image) for f in reader.run(0.0, 9.0)] == list(range(50))


def test_one_reader_answers_again_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, options=_B_FRAMES)
    with VideoReader(path) as reader:
        assert [number_in(f.image) for f in reader.at([1.6, 1.8])] == [40, 45]
        assert [number_in(f.image) for f in reader.at([0.2, 1.8])] == [5, 45]


def test_a_video_of_one_frame_answers_every_time_with_it(tmp_path: Path) -> None:
    path = tmp_path / "one.mp4"
    write_clip(path, num=1)
    with VideoReader(path) as reader:
        first, second = reader.at([0.0, 5.0])
    assert number_in(first.image) == 0 and first.image is second.image  # converted once


@pytest.mark.parametrize("times", [[-0.1], [float("nan")], [1.0, 0.5]])
def test_times_that_are_negative_or_descend_are_refused(times: list[float], tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", num=3)
    with VideoReader(tmp_path / "clip.mp4") as reader, pytest.raises(ValueError, match="ascending"):
        list(reader.at(times))


@pytest.mark.parametrize("name", ["h264-b-frames.mp4", "mpeg2.mpg", "raw.h264", "animation.gif", "vp9.webm"])
def test_probe_says_how_long_and_how_large(name: str, tmp_path: Path) -> None:
    _write(tmp_path / name, name)
    info = probe(tmp_path / name)
    assert (info.width, info.height, info.rate) == (128, 48, 25.0)
    assert info.duration_s == pytest.approx(2.0, abs=0.021)
