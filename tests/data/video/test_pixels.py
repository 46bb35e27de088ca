"""Decoded pictures become 8-bit sRGB as they are meant to be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.data.video.clips import number_in, write_clip

from pondera.data.video import VideoReader
from pondera.data.video.pixels import hlg_to_nits, nits_to_pq, pq_to_nits, to_srgb


def _frame(values: tuple[int, ...], format_name: str, size: tuple[int, int] = (16, 16)) -> Any:
    """A frame whose planes hold one value each."""
    frame = av.VideoFrame(*size, format_name)
    for plane, value in zip(frame.planes, values, strict=True):
        depth = 2 if "10" in format_name else 1
        plane.update(np.full(plane.buffer_size // depth, value, np.uint16 if depth == 2 else np.uint8).tobytes())
    frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = 1, 1, 1, 1
    return frame


def test_limited_range_is_stretched_to_full() -> None:
    assert to_srgb(_frame((16, 128, 128), "yuv420p")).max() == 0
    assert to_srgb(_frame((235, 128, 128), "yuv420p")).min() == 255


def test_full_range_is_left_as_it_is() -> None:
    frame = _frame((100, 128, 128), "yuv420p")
    frame.color_range = 2
    np.testing.assert_array_equal(to_srgb(frame), 100)


def test_ten_bit_is_rounded_to_the_nearest_of_eight() -> None:
    """Code c of limited 10 bit is (c - 64) / 876 of white: 502 is exactly one half, 127.5; 500 is 126.9."""
    assert set(np.unique(to_srgb(_frame((502, 512, 512), "yuv420p10le")))) <= {127, 128}
    np.testing.assert_array_equal(to_srgb(_frame((500, 512, 512), "yuv420p10le")), 127)


def test_an_untagged_video_is_bt709_when_it_is_high_definition_and_bt601_when_not() -> None:
    """Y'CbCr (81, 90, 240) is pure red in BT.601; read as BT.709 its green and blue come out differently."""
    small, large = _frame((81, 90, 240), "yuv420p"), _frame((63, 102, 240), "yuv420p", (1280, 720))
    small.colorspace = large.colorspace = 2
    for frame in (small, large):  # (63, 102, 240) is pure red in BT.709
        np.testing.assert_allclose(to_srgb(frame)[8, 8], (255, 0, 0), atol=2)


def test_pq_and_hlg_have_the_luminances_of_the_recommendation() -> None:
    """ITU-R BT.2408: reference white, 203 cd/m2, is 58 % of PQ and 75 % of HLG."""
    assert nits_to_pq(np.array(203.0)) == pytest.approx(0.58, abs=0.005)
    assert pq_to_nits(np.array([0.0, 1.0])) == pytest.approx([0.0, 10000.0])
    assert hlg_to_nits(np.full((1, 1, 3), 0.75)) == pytest.approx(np.full((1, 1, 3), 203.0), abs=1.0)
    level = np.linspace(0, 1, 33)
    np.testing.assert_allclose(nits_to_pq(pq_to_nits(level)), level, atol=1e-6)


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_rises_smoothly_to_white(transfer: int) -> None:
    seen = []
    for code in range(64, 941, 73):
        frame = _frame((code, 512, 512), "yuv420p10le")
        frame.colorspace, frame.color_trc, frame.color_primaries = 9, transfer, 9
        pixel = to_srgb(frame)[8, 8].astype(int)
        assert np.ptp(pixel) <= 2  # grey stays grey
        seen.append(int(pixel[1]))
    assert seen[0] == 0 and seen[-1] >= 254 and seen == sorted(seen)


def test_hdr_shadows_and_mid_tones_keep_their_luminance() -> None:
    """50 cd/m2 is 50 / 203 of white, sRGB code 136; below the knee nothing is compressed."""
    code = round(64 + 876 * float(nits_to_pq(np.array(50.0))))
    frame = _frame((code, 512, 512), "yuv420p10le")
    frame.colorspace, frame.color_trc, frame.color_primaries = 9, 16, 9
    assert abs(int(to_srgb(frame)[8, 8, 1]) - 136) <= 2


def test_transparent_parts_are_laid_on_white() -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, 8:, 3] = 255
    image = to_srgb(av.VideoFrame.from_ndarray(rgba, "rgba"))
    assert image[:, :8].min() == 255 and image[:, 8:].max() == 0


@pytest.mark.parametrize(("name", "codec", "pixel_format"), [("a.mov", "qtrle", "argb"), ("a.mkv", "ffv1", "bgra")])
def test_a_transparent_video_is_read(name: str, codec: str, pixel_format: str, tmp_path: Path) -> None:
    write_clip(tmp_path / name, codec, num=5, pixel_format=pixel_format)
    with VideoReader(tmp_path / name) as reader:
        assert [number_in(frame.image) for frame in reader.run(0, 1)] == [0, 1, 2, 3, 4]


def test_webm_keeps_its_transparency(tmp_path: Path) -> None:
    """FFmpeg's own VP9 decoder would show what lies under transparent parts."""
    path = tmp_path / "alpha.webm"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libvpx-vp9", rate=25, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        rgba = np.zeros((64, 64, 4), np.uint8)
        rgba[:, 32:, 3] = 255
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="yuva420p")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with VideoReader(path) as reader:
        image = next(iter(reader.at([0.0]))).image
    assert image[:, :24].min() > 240 and image[:, 40:].max() < 15


@pytest.mark.parametrize("angle", [90, 180, -90])
def test_a_rotated_video_is_turned_upright(angle: int, tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    write_clip(path, num=4, rotation=angle)
    with VideoReader(path) as reader:
        frames = list(reader.run(0, 1))
        info = reader.info
    assert (info.width, info.height) == ((128, 48) if angle == 180 else (48, 128))
    assert info.rotation % 360 == angle % 360
    # `rotation` is the angle by which to turn anticlockwise; undone, the number can be read again.
    assert [number_in(np.rot90(frame.image, -angle // 90)) for frame in frames] == [0, 1, 2, 3]
