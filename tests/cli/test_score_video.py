"""`score`, `compare` and `evaluate` on videos, with an untrained model."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.manifest import write_manifest
from pondera.data.presentation import Layout
from pondera.engine.run import save_model
from pondera.models import ModelCard
from tests.data.video.clips import number_in, repeat_clip, write_clip
from tests.models.tiny import noise_image, tiny_family

FAST = ("--mode", "fast")
pytestmark = pytest.mark.skipif(find_spec("av") is None, reason="image-only installs do without PyAV")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained video model."""
    folder = tmp_path_factory.mktemp("models") / "video"
    return _untrained(folder, Layout(montage_px=128, local_px=64, profile=True))


def _untrained(folder: Path, view: Layout) -> Path:
    card = ModelCard("quality.short.video", "quality.short.video.fast", max_new_tokens=8, view=view)
    save_model(tiny_family(num_crops=1, global_tiles=2, mirror=False, cell_changes=True), card, folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a.mp4", num=32, rate=16, size=(256, 96))
    write_clip(folder / "b.webm", "libvpx-vp9", num=20, rate=10, size=(256, 96))
    return folder


def _sound(path: Path) -> None:
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "flt", "mono")
        frame.sample_rate, frame.time_base, frame.pts = 44100, Fraction(1, 44100), 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _odd_files(folder: Path) -> dict[str, bool]:
    """Files that programs meet in the wild; True where a score is due."""
    write_clip(folder / "whole.mp4", num=32, rate=16, size=(256, 96))
    data = (folder / "whole.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 3])
    (folder / "zeroed.mp4").write_bytes(data[:200] + bytes(len(data) - 200))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mov").write_text("not a video\n")
    _sound(folder / "sound.mp4")
    write_clip(folder / "single.mp4", num=1, rate=16, size=(256, 96))
    write_clip(folder / "dot.mkv", num=3, rate=16, size=(32, 2))
    good = ["whole.mp4", "single.mp4", "dot.mkv"]
    bad = ["cut.mp4", "zeroed.mp4", "empty.mp4", "text.mov", "sound.mp4", "absent.mp4"]
    return {str(folder / name): name in good for name in good + bad}


def test_odd_videos_get_a_score_or_an_error_and_never_stop_the_others(pondera, model, tmp_path):
    expected = _odd_files(tmp_path)
    result = pondera("score", *expected, "--model", model, *FAST, "--format", "jsonl")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1 and [row["path"] for row in rows] == list(expected)
    for row in rows:
        assert (row["error"] is None) == expected[row["path"]], row
        assert row["path"] in row["error"] if row["error"] else 1 <= row["score"] <= 5


def _three_hours(folder: Path) -> Path:
    """270,200 frames at 25 a second; each 7 s count from 0 to 174."""
    write_clip(folder / "unit.mp4", num=175, rate=25, options={"g": "25", "bf": "0"})
    repeat_clip(folder / "unit.mp4", folder / "long.mp4", 1544)
    return folder / "long.mp4"


def test_three_hours_get_a_score_from_frames_of_the_whole_time(pondera, model, tmp_path):
    """10,808 s: local frames stand at 1801.33, 5404 and 9006.67 s, which are 2.33, 0 and 4.67 s from the start of 7."""
    path = _three_hours(tmp_path)
    start = time.process_time()
    result = pondera("score", path, "--model", model, *FAST, "--explain", tmp_path / "why", "--format", "jsonl")
    assert time.process_time() - start < 20
    assert result.exit_code == 0 and json.loads(result.stdout)["error"] is None
    shown = [np.asarray(Image.open(tmp_path / "why" / "long.mp4" / f"{n:02d}.png")) for n in (2, 3, 4)]
    assert [number_in(image) for image in shown] == [58, 0, 117]


_MEASURED = """
import re, sys
from pathlib import Path
from pondera.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    code = end.code
# VmHWM starts anew with the program; ru_maxrss would inherit the peak of the test process.
print(code, int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak of memory from Linux's /proc")
@pytest.mark.parametrize("kind", ["8k", "three hours", "960 frames a second"])
def test_huge_videos_are_scored_by_the_command_within_two_gibibytes(kind, tmp_path):
    """With all that a layout can show, at its largest sizes."""
    everything = Layout(facts=True, severities=True, strip=True, profile=True)
    folder = _untrained(tmp_path / "model", everything)
    path = tmp_path / "huge.mp4"
    if kind == "8k":
        write_clip(path, num=20, rate=10, size=(7680, 4320), options={"preset": "ultrafast", "bf": "2"})
    elif kind == "three hours":
        path = _three_hours(tmp_path)
    else:
        write_clip(path, num=5700, rate=960, size=(192, 192), options={"preset": "ultrafast", "bf": "0"})
    args = ["score", str(path), "--model", str(folder), *FAST, "--format", "jsonl"]
    run = subprocess.run(
        [sys.executable, "-c", _MEASURED, *args], check=True, capture_output=True, text=True, timeout=600
    )
    line, measured = run.stdout.splitlines()
    code, peak = measured.split()
    assert code == "0" and json.loads(line)["error"] is None
    assert int(peak) < 2 << 30


def test_explain_writes_the_montage_and_the_local_frames_in_the_order_shown(pondera, model, clips, tmp_path):
    result = pondera("score", clips / "a.mp4", "--model", model, *FAST, "--explain", tmp_path / "why")
    assert result.exit_code == 0
    folder = tmp_path / "why" / "a.mp4"
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{n:02d}.png" for n in range(1, 6)), "shown.md"]
    montage = np.asarray(Image.open(folder / "01.png"))
    assert montage.shape == (48, 128, 3)
    assert [number_in(np.asarray(Image.open(folder / f"{n:02d}.png"))) for n in (2, 3, 4)] == [5, 16, 27]
    text = (folder / "shown.md").read_text()
    assert text.index("Sixteen frames in time order") < text.index("01.png") < text.index("Frame 1 of 3")


def test_two_files_of_one_name_are_explained_apart(pondera, model, clips, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.mp4").write_bytes((clips / "a.mp4").read_bytes())
    files = (clips / "a.mp4", tmp_path / "other" / "a.mp4")
    assert pondera("score", *files, "--model", model, *FAST, "--explain", tmp_path / "why").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == ["a.mp4", "a.mp4-2"]


def test_two_videos_are_compared_and_an_image_with_a_video_is_not(pondera, model, clips, tmp_path):
    files = (clips / "a.mp4", clips / "b.webm")
    result = pondera("compare", *files, "--model", model, *FAST, "--format", "json")
    record = json.loads(result.stdout)
    assert record["better"] in ("A", "B", "tie") and record["first"]["path"] == str(files[0])
    Image.fromarray(noise_image()).save(tmp_path / "i.png")
    wrong = pondera("compare", files[0], tmp_path / "i.png", "--model", model)
    assert wrong.exit_code == 2 and "give two of a kind" in wrong.stderr


def test_a_model_for_the_other_kind_says_which_one_to_take(pondera, model, untrained, clips, tmp_path):
    Image.fromarray(noise_image()).save(tmp_path / "i.png")
    image = pondera("score", tmp_path / "i.png", "--model", model, *FAST)
    video = pondera("score", clips / "a.mp4", "--model", untrained, *FAST)
    assert image.exit_code == video.exit_code == 1
    said = [" ".join(result.stdout.split()) for result in (image, video)]
    assert "this model judges videos" in said[0] and "such as 'nano'" in said[0]
    assert "this model judges images" in said[1] and "such as 'nano-video'" in said[1]


def test_a_model_for_videos_is_built_in(pondera, clips):
    result = pondera("score", clips / "a.mp4", "--format", "json")
    record = json.loads(result.stdout)
    record = record[0] if isinstance(record, list) else record
    assert result.exit_code == 0 and record["valid"] and record["reasoning"]
    assert set(record["numbers"]) == {"global", "local"}


def test_a_picture_and_a_video_are_scored_by_the_built_in_models_for_their_kinds(pondera, clips, tmp_path):
    Image.fromarray(noise_image()).save(tmp_path / "i.png")
    result = pondera("score", tmp_path / "i.png", clips / "a.mp4", "--format", "jsonl")
    image, video = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 0 and image["fingerprint"] != video["fingerprint"]
    assert not image["numbers"] and video["numbers"]


def test_a_folder_stands_for_what_the_model_judges(pondera, model, untrained, clips, tmp_path):
    for name in ("b.png", "c.png"):
        Image.fromarray(noise_image()).save(tmp_path / name)
    for name in ("a.mp4", "d.mp4"):
        (tmp_path / name).write_bytes((clips / "a.mp4").read_bytes())
    for chosen, expected in ((model, ["a.mp4", "d.mp4"]), (untrained, ["b.png", "c.png"])):
        result = pondera("score", tmp_path, "--model", chosen, *FAST, "--format", "jsonl")
        assert result.exit_code == 0
        assert [Path(json.loads(line)["path"]).name for line in result.stdout.splitlines()] == expected


def test_a_folder_stands_for_images_and_videos_where_no_model_is_named(pondera, clips, tmp_path):
    Image.fromarray(noise_image()).save(tmp_path / "b.png")
    (tmp_path / "a.mp4").write_bytes((clips / "a.mp4").read_bytes())
    (tmp_path / "notes.txt").write_text("neither\n")
    result = pondera("score", tmp_path, *FAST, "--format", "jsonl")
    assert result.exit_code == 0
    assert [Path(json.loads(line)["path"]).name for line in result.stdout.splitlines()] == ["a.mp4", "b.png"]
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = pondera("score", empty, *FAST)
    assert refused.exit_code == 2 and "no image and no video" in " ".join(refused.stderr.split())


def test_a_gif_is_a_picture_or_a_video_as_the_model_wants_it(pondera, model, clips, tmp_path):
    write_clip(tmp_path / "c.gif", "gif", num=20, rate=10, size=(256, 96), pixel_format="rgb8")
    files = (clips / "a.mp4", tmp_path / "c.gif")
    result = pondera("score", *files, "--model", model, *FAST, "--explain", tmp_path / "why")
    assert result.exit_code == 0, result.stdout
    shown = np.asarray(Image.open(tmp_path / "why" / "c.gif" / "03.png"))
    assert number_in(shown) == 10  # the local frame from the middle, not the first
    assert pondera("compare", *files, "--model", model, *FAST).exit_code == 0
    by_itself = pondera("score", files[1], *FAST, "--format", "jsonl")
    assert by_itself.exit_code == 0 and not json.loads(by_itself.stdout)["numbers"]


def test_images_and_videos_side_by_side_keep_their_order(model, untrained, clips, tmp_path):
    from pondera.assess import load, stream_by_kind

    Image.fromarray(noise_image()).save(tmp_path / "b.png")
    files = [clips / "a.mp4", tmp_path / "b.png", clips / "b.webm"]
    asked = []

    def load_for(kind):
        asked.append(kind)
        return load(str({"image": untrained, "video": model}[kind]))

    found = list(stream_by_kind(files, load_for, "fast"))
    assert [item.path for item in found] == [str(path) for path in files]
    assert asked == ["video", "image"] and all(item.error is None for item in found)


def test_without_pyav_the_install_line_is_printed(pondera, model, clips, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    result = pondera("score", clips / "a.mp4", "--model", model, *FAST)
    assert result.exit_code == 1
    assert 'pip install "pondera[video]"' in " ".join(result.stdout.split())


def test_a_manifest_of_videos_is_evaluated(pondera, model, clips, tmp_path):
    samples = [
        Sample(str(n), (Media(str(clips / name)),), kind="video", mos=2.0 + n, scale=FIVE_POINT, reference=str(n))
        for n, name in enumerate(("a.mp4", "b.webm"))
    ]
    write_manifest(tmp_path / "m.jsonl", samples)
    result = pondera("evaluate", tmp_path / "m.jsonl", "--model", model, *FAST, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    protocol = json.loads((tmp_path / "out" / "metrics.json").read_text())["protocol"]
    assert protocol["view"]["montage_px"] == 128 and protocol["prompt"] == "quality.short.video.fast"
    Image.fromarray(noise_image()).save(tmp_path / "i.png")
    write_manifest(tmp_path / "m.jsonl", [*samples, Sample("i", (Media(str(tmp_path / "i.png")),))])
    mixed = pondera("evaluate", tmp_path / "m.jsonl", "--model", model, *FAST, "--out", tmp_path / "out2")
    assert mixed.exit_code == 2 and "evaluated apart" in mixed.stderr


def test_the_numbers_of_an_answer_are_shown_by_name(model):
    from pondera.assess import Assessor
    from pondera.cli.writers import as_table
    from pondera.models import load_model

    loaded = load_model(str(model))
    assessor = Assessor(loaded.family, loaded.card)
    found = assessor._from_texts(["<think>Fine.</think><answer>4.00\n3.00</answer>"], "reason")
    assert dict(found.numbers) == {"global": 4.0, "local": 3.0} and found.score == 3.5
    assert "global 4.00, local 3.00" in "".join(as_table([found]))
