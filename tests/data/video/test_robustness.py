"""Files from anywhere: an answer or a MediaError, in bounded time and memory, and the process lives on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.data.video.clips import number_in, write_clip

from pondera.core.records import Media, Sample
from pondera.data.presentation import Layout, present
from pondera.data.video import Clip, VideoReader, probe, sample_clip, sample_many
from pondera.errors import MediaError, MissingExtra

_FUZZED = {
    "a.mp4": "libx264",
    "b.mkv": "libx264",
    "c.webm": "libvpx-vp9",
    "d.avi": "mpeg4",
    "e.ts": "libx264",
    "f.gif": "gif",
    "g.flv": "flv",
    "h.mpg": "mpeg2video",
}


def _corrupted(data: bytes, draw: random.Random) -> bytes:
    """Flip bytes, cut, blank out, repeat or swap parts of a file."""
    damaged = bytearray(data)
    kind = draw.choice(("flip", "cut", "blank", "repeat", "head"))
    start = draw.randrange(len(damaged))
    length = draw.randrange(1, max(2, len(damaged) // 4))
    if kind == "flip":
        for _ in range(draw.choice((1, 10, 100))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    elif kind == "cut":
        del damaged[start:]
    elif kind == "blank":
        damaged[start : start + length] = bytes(len(damaged[start : start + length]))
    elif kind == "repeat":
        damaged[start:start] = damaged[start : start + length]
    else:  # headers decide the most: sizes, tables, offsets
        for _ in range(4):
            damaged[draw.randrange(min(1200, len(damaged)))] = draw.randrange(256)
    return bytes(damaged)


def _corrupted_files(folder: Path, num: int, seed: int) -> list[Path]:
    originals = []
    for name, codec in _FUZZED.items():
        path = folder / name
        write_clip(path, codec, num=30, pixel_format="rgb8" if codec == "gif" else "yuv420p")
        originals.append((path.suffix, path.read_bytes()))
    draw = random.Random(seed)
    paths = []
    for n in range(num):
        suffix, data = originals[n % len(originals)]
        paths.append(folder / f"fuzzed-{n}{suffix}")
        paths[-1].write_bytes(_corrupted(data, draw))
    return paths


def _fuzz(folder: Path, num: int, seed: int) -> list[Clip | MediaError]:
    return list(sample_many(_corrupted_files(folder, num, seed), 4, limit_s=20, num_workers=1))


def test_fifty_corrupted_files_each_give_a_clip_or_an_error(tmp_path: Path) -> None:
    results = _fuzz(tmp_path, 50, seed=1)
    assert len(results) == 50
    assert all(isinstance(result, MediaError) or len(result.frames) == 4 for result in results)
    assert not [r for r in results if isinstance(r, MediaError) and ("crashed" in str(r) or "answer" in str(r))]
    assert any(isinstance(result, MediaError) for result in results)


@pytest.mark.slow
def test_a_thousand_corrupted_files_each_give_a_clip_or_an_error(tmp_path: Path) -> None:
    results = _fuzz(tmp_path, 1000, seed=2)
    assert len(results) == 1000
    assert all(isinstance(result, MediaError) or len(result.frames) == 4 for result in results)
    assert not [r for r in results if isinstance(r, MediaError) and ("crashed" in str(r) or "answer" in str(r))]


@pytest.mark.parametrize("num", [48, pytest.param(1000, marks=pytest.mark.slow)])
def test_corrupted_files_are_shown_or_refused_in_the_own_process_too(num: int, tmp_path: Path) -> None:
    """As `pondera score` reads them: views and motion evidence meet frames, sizes and times that make no sense."""
    everything = {"facts": True, "severities": True, "strip": True, "profile": True}
    layouts = [Layout(video=video, montage_px=256, **everything) for video in ("preresq", "slow_fast", "native")]
    num_shown = 0
    for n, path in enumerate(_corrupted_files(tmp_path, num, seed=3)):
        try:
            shown = present(Sample(str(n), (Media(str(path)),), kind="video"), layouts[n % 3])
        except MediaError as error:
            assert str(path) in str(error)
            continue
        assert shown.images
        num_shown += 1
    assert num / 10 < num_shown < num


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "0 bytes"), (b"not a video at all, only a line of text\n" * 9, "cannot be read"), (None, "no such file")],
)
def test_what_is_no_video_is_refused_with_the_reason(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=message):
        sample_clip(path, 4)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="folder"):
        probe(tmp_path)


def test_a_name_that_looks_like_a_protocol_stays_a_file_name(tmp_path: Path) -> None:
    path = tmp_path / "concat:a|b.mp4"
    write_clip(path, num=3, container="mp4")
    assert probe(path).codec == "h264"


def _write_sound(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 44100
        for _ in range(20):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def test_a_file_with_sound_only_is_refused(tmp_path: Path) -> None:
    _write_sound(tmp_path / "sound.mp4")
    with pytest.raises(MediaError, match=r"no video in this file .*audio"):
        probe(tmp_path / "sound.mp4")


def test_a_file_cut_off_in_the_middle_is_sampled_over_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "clip.mov"
    write_clip(path, "mjpeg", pixel_format="yuvj420p", container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    clip = sample_clip(path, 4)
    assert clip.ends_early and clip.info.duration_s < 1.6
    numbers = [number_in(frame.image) for frame in clip.frames]
    assert numbers == sorted(set(numbers))


def test_frames_with_times_before_the_first_one_are_sampled(tmp_path: Path) -> None:
    """A damaged time of the first frame: all others are presented 8 to 10 s before it."""
    path = tmp_path / "clip.mkv"
    write_clip(path, "mjpeg", pixel_format="yuvj420p")
    whole = path.read_bytes()
    block = whole.index(b"\x81\x00\x00\x80", whole.index(b"\x1f\x43\xb6\x75"))  # track 1, 0 ms, in the first cluster
    path.write_bytes(whole[: block + 1] + (10_000).to_bytes(2, "big") + whole[block + 3 :])
    clip = sample_clip(path, 4)
    assert len(clip.frames) == 4 and clip.info.duration_s > 0


def test_frames_too_large_for_memory_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "clip.mp4", num=3)
    monkeypatch.setattr("pondera.data.video.container.MAX_FRAME_PIXELS", 1000)
    with pytest.raises(MediaError, match="128 x 48"):
        probe(tmp_path / "clip.mp4")


def test_reading_gives_up_after_its_time(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    with pytest.raises(MediaError, match="raise limit_s"), VideoReader(tmp_path / "clip.mp4", limit_s=1e-6):
        pass


def test_a_crash_in_a_worker_costs_its_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is made to die as by a fault in C code: its process ends without a word."""
    good, bad = tmp_path / "good.mp4", tmp_path / "bad.mp4"
    write_clip(good, num=8)
    script = (
        "import os\n"
        "from pondera.data.video import sample_many, workers\n"
        "whole = workers.sample_clip\n"
        "workers.sample_clip = lambda path, *a, **k: os.abort() if 'bad' in path else whole(path, *a, **k)\n"
        "if __name__ == '__main__':\n"
        f"    for r in sample_many({[str(good), str(bad), str(good)]!r}, 2, num_workers=1):\n"
        "        print(type(r).__name__, r if isinstance(r, Exception) else len(r.frames))\n"
    )
    (tmp_path / "run.py").write_text(script)
    run = subprocess.run(
        [sys.executable, str(tmp_path / "run.py")], check=False, capture_output=True, text=True, timeout=120
    )
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["Clip", "MediaError", "Clip"], run.stderr
    assert "crashed (exit status -6)" in lines[1] and "bad.mp4" in lines[1]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is enforced on Linux")
def test_a_clip_that_needs_too_much_memory_costs_its_file_only(tmp_path: Path) -> None:
    """Once for what is decoded, once for its copy on the way to the caller; nothing of either is ever touched."""
    write_clip(tmp_path / "good.mp4", num=8)
    names = [str(tmp_path / name) for name in ("good.mp4", "decoded.mp4", "sent.mp4", "good.mp4")]
    script = (
        "from pondera.data.video import sample_many, workers\n"
        "whole, gibibytes = workers.sample_clip, {'decoded': 3.0, 'sent': 1.5}\n"
        "def sample(path, *a, **k):\n"
        "    size = next((size for name, size in gibibytes.items() if name in path), 0)\n"
        "    return bytearray(int(size * 2**30)) if size else whole(path, *a, **k)\n"
        "workers.sample_clip = sample\n"
        "if __name__ == '__main__':\n"
        f"    for r in sample_many({names!r}, 2, num_workers=1):\n"
        "        print(type(r).__name__, r if isinstance(r, Exception) else len(r.frames))\n"
    )
    (tmp_path / "run.py").write_text(script)
    run = subprocess.run(
        [sys.executable, str(tmp_path / "run.py")], check=False, capture_output=True, text=True, timeout=120
    )
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["Clip", "MediaError", "MediaError", "Clip"], run.stderr
    assert all("needs more than 2 GiB" in line for line in lines[1:3])


def test_several_videos_are_sampled_in_order(tmp_path: Path) -> None:
    for n in range(3):
        write_clip(tmp_path / f"{n}.mp4", num=10 + n)
    paths = [tmp_path / "0.mp4", tmp_path / "missing.mp4", tmp_path / "1.mp4", tmp_path / "2.mp4"]
    results = list(sample_many(paths, 2, num_workers=2))
    assert [type(r) for r in results] == [Clip, MediaError, Clip, Clip]
    assert [Path(r.info.path).name for r in results if isinstance(r, Clip)] == ["0.mp4", "1.mp4", "2.mp4"]


def test_without_pyav_the_install_line_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r'pip install "pondera\[video\]"'):
        probe(tmp_path / "clip.mp4")


def test_importing_the_package_does_not_load_pyav() -> None:
    code = "import sys, pondera.data.video; print('av' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "False\n"


def _peak_bytes_of(path: Path, num: int) -> int:
    # VmHWM starts anew with the program; ru_maxrss would inherit the peak of the test process that forked it.
    code = (
        "import re, sys; from pathlib import Path; from pondera.data.video import sample_clip; "
        f"sample_clip(sys.argv[1], {num}, max_side=1024); "
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) * 1024)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True, timeout=120
    )
    return int(run.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak of memory from Linux's /proc")
def test_an_8k_file_is_sampled_within_two_gibibytes(tmp_path: Path) -> None:
    path = tmp_path / "8k.mp4"
    write_clip(path, num=20, size=(7680, 4320), options={"preset": "ultrafast", "bf": "2"})
    assert _peak_bytes_of(path, 16) < 2 << 30


def test_three_sparse_hours_are_sampled_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    write_clip(path, num=181, times=[Fraction(60 * n) for n in range(181)], options={"g": "20"})
    start = time.process_time()
    clip = sample_clip(path, 16)
    assert time.process_time() - start < 10
    assert clip.info.duration_s == pytest.approx(10800, rel=0.01)
    expected = [min(180, round(frame.asked_s / 60 - 1e-9)) for frame in clip.frames]
    assert [number_in(frame.image) for frame in clip.frames] == expected
