from __future__ import annotations

import csv
import io
import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Assessment
from tests.models.tiny import noise_image


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(noise_image(40, 56)).save(path)
    return path


def odd_files(folder):
    """Files that programs meet in the wild; True where a score is due."""
    image = Image.fromarray(noise_image(40, 56))
    image.save(folder / "whole.jpg")
    (folder / "truncated.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:600])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not an image\n", encoding="utf-8")
    Image.fromarray(np.linspace(0, 65535, 48 * 32, dtype=np.uint16).reshape(32, 48)).save(folder / "deep.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    rgba = image.convert("RGBA")
    rgba.putalpha(128)
    rgba.save(folder / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "rotated.jpg", exif=exif)
    image.crop((0, 0, 1, 1)).save(folder / "dot.png")
    good = ["deep.png", "cmyk.jpg", "alpha.png", "rotated.jpg", "dot.png", "whole.jpg"]
    bad = ["truncated.jpg", "empty.png", "text.png", "absent.jpg"]
    return {str(folder / name): name in good for name in good + bad}


def test_odd_files_get_a_score_or_an_error_and_never_stop_the_others(pondera, untrained, tmp_path):
    expected = odd_files(tmp_path)
    result = pondera("score", *expected, "--model", untrained, "--mode", "fast", "--format", "jsonl")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [row["path"] for row in rows] == list(expected)
    for row in rows:
        assert (row["error"] is None) == expected[row["path"]], row
        if row["error"] is None:
            assert 1 <= row["score"] <= 5
        else:
            assert row["score"] is None
            assert row["path"] in row["error"]
    assert "4 of 10 files got no score" in result.stderr


@pytest.mark.slow
def test_a_12000_by_12000_image_is_scored(pondera, untrained, tmp_path):
    path = tmp_path / "huge.png"
    Image.new("RGB", (12_000, 12_000), (90, 120, 60)).save(path, compress_level=1)
    result = pondera("score", path, "--model", untrained, "--mode", "fast", "--format", "jsonl")
    assert result.exit_code == 0
    assert 1 <= json.loads(result.stdout)["score"] <= 5


def test_good_files_alone_exit_with_zero_and_leave_stderr_empty(pondera, untrained, photo):
    result = pondera("score", photo, "--model", untrained, "--mode", "fast", "--format", "csv")
    assert (result.exit_code, result.stderr) == (0, "")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row["path"] == str(photo)
    assert (row["error"], row["mode"], row["valid"]) == ("", "fast", "True")


def test_folders_and_patterns_stand_for_their_images(pondera, untrained, tmp_path):
    for name in ("b/two.png", "b/one.jpg", "c-three.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("") if name.endswith("txt") else Image.fromarray(noise_image()).save(path)
    result = pondera(
        "score", tmp_path / "b", str(tmp_path / "c-*.png"), "--model", untrained, "--mode", "fast", "--format", "json"
    )
    assert result.exit_code == 0
    names = [row["path"].removeprefix(f"{tmp_path}/") for row in json.loads(result.stdout)]
    assert names == ["b/one.jpg", "b/two.png", "c-three.png"]


def test_a_folder_without_images_is_wrong_usage(pondera, tmp_path):
    result = pondera("score", tmp_path)
    assert result.exit_code == 2
    assert "no image" in result.stderr
    assert result.stdout == ""


def test_scores_come_on_the_scale_asked_for(pondera, untrained, photo):
    options = ("--model", untrained, "--mode", "fast", "--format", "jsonl")
    own = json.loads(pondera("score", photo, *options).stdout)
    percent = json.loads(pondera("score", photo, *options, "--scale", 0, 100).stdout)
    assert percent["scale"] == [0, 100]
    assert percent["score"] == pytest.approx((own["score"] - 1) * 25)


def test_out_takes_its_format_from_its_name_and_leaves_stdout_empty(pondera, untrained, photo, tmp_path):
    out = tmp_path / "new" / "scores.csv"
    result = pondera("score", photo, "--model", untrained, "--mode", "fast", "--out", out)
    assert (result.exit_code, result.stdout) == (0, "")
    with out.open(encoding="utf-8", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [str(photo)]


def test_an_untrained_model_gives_no_invented_score(pondera, untrained, photo):
    result = pondera("score", photo, "--model", untrained, "--mode", "reason")
    assert result.exit_code == 1
    assert "no valid answer" in " ".join(result.stdout.split())


def test_same_seed_same_consensus(pondera, untrained, photo):
    args = ("score", photo, "--model", untrained, "--mode", "consensus", "--samples", 2, "--seed", 3)
    runs = [json.loads(pondera(*args, "--format", "jsonl").stdout) for _ in range(2)]
    for run in runs:
        del run["seconds"]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("option", [("--samples", 4), ("--seed", 1)])
@pytest.mark.parametrize("mode", ["reason", "fast"])
def test_sampling_options_are_refused_where_nothing_is_sampled(pondera, photo, option, mode):
    result = pondera("score", photo, "--mode", mode, *option)
    assert result.exit_code == 2
    assert "consensus" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("score",),
        ("score", "a.png", "--mode", "slow"),
        ("score", "a.png", "--format", "xml"),
        ("score", "a.png", "--scale", 5, 1),
        ("score", "a.png", "--mode", "consensus", "--samples", 1),
        ("score", "a.png", "--no-such-option"),
    ],
)
def test_wrong_usage_exits_with_two(pondera, args):
    result = pondera(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error" in result.stderr


def test_a_model_that_is_not_there_is_one_line_on_stderr(pondera, photo, tmp_path):
    result = pondera("score", photo, "--model", tmp_path / "none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("ModelError: ")
    assert len(result.stderr.splitlines()) == 1


class FakeAssessor:
    """Says what it was made to say."""

    def __init__(self, *answers):
        self.answers = answers

    def stream(self, media, mode, **options):
        yield from self.answers


def say(**changes):
    values = {"path": "a.jpg", "score": 3.456, "scale": FIVE_POINT, "mode": "reason"} | changes
    return Assessment(**values)


def test_the_table_shows_score_reasoning_and_errors(pondera, photo, monkeypatch):
    answers = (
        say(reasoning="Sharpness is poor."),
        say(path="b.jpg", score=2.0, spread=0.25),
        say(path="c.jpg", score=math.nan, valid=False, error="c.jpg: the file is empty"),
    )
    monkeypatch.setattr("pondera.assess.load", lambda *_, **__: FakeAssessor(*answers))
    result = pondera("score", photo)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "score  file   (scores from 1, worst, to 5, best)",
        " 3.46  a.jpg",
        "       Sharpness is poor.",
        " 2.00 ± 0.25  b.jpg",
        "    -  c.jpg",
        "       error: c.jpg: the file is empty",
    ]


def test_reasoning_cannot_steer_the_terminal(pondera, photo, monkeypatch):
    monkeypatch.setattr("pondera.assess.load", lambda *_, **__: FakeAssessor(say(reasoning="red \x1b[31m alert\x07")))
    assert "\x1b" not in pondera("score", photo).stdout


def test_results_so_far_are_written_when_a_run_is_interrupted(pondera, photo, monkeypatch, tmp_path):
    class Interrupted(FakeAssessor):
        def stream(self, media, mode, **options):
            yield say()
            raise KeyboardInterrupt

    monkeypatch.setattr("pondera.assess.load", lambda *_, **__: Interrupted())
    result = pondera("score", photo, "--out", tmp_path / "scores.jsonl")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert json.loads((tmp_path / "scores.jsonl").read_text(encoding="utf-8"))["path"] == "a.jpg"


def test_a_text_is_what_the_picture_is_asked_about_by_a_model_with_a_prompt_for_it(
    pondera, untrained, photo, tmp_path, monkeypatch
):
    from pondera.assess import assessor as module

    args = ("score", photo, "--mode", "fast", "--format", "jsonl", "--text", "a red cube", "--model")
    refused = pondera(*args, untrained)
    assert (refused.exit_code, refused.stdout) == (1, "") and "alignment" in refused.stderr
    assert "empty" in pondera("score", photo, "--text", " ", "--model", untrained).stderr
    shutil.copytree(untrained, tmp_path / "able")
    card = json.loads((untrained / "pondera.json").read_text())
    card |= {"tasks": {"alignment": "alignment.image"}, "fast_tasks": {"alignment": "alignment.image.fast"}}
    (tmp_path / "able" / "pondera.json").write_text(json.dumps(card))
    asked = []
    words = module._words
    monkeypatch.setattr(module, "_words", lambda *given: asked.append(words(*given)) or asked[-1])
    row = json.loads(pondera(*args, tmp_path / "able").stdout)
    assert row["path"] == str(photo) and row["error"] is None and 1 <= row["score"] <= 5
    assert len(asked) == 1 and "a red cube" in asked[0]
