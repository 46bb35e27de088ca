"""Checking a manifest, and splitting one by content."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pondera.core.records import Media, Sample
from pondera.data.check import check_manifest
from pondera.data.split import split_manifest
from pondera.errors import ManifestError


def _manifest(folder, lines):
    path = folder / "m.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def _line(n, **more):
    return {"id": f"s{n}", "media": [f"{n}.png"], "mos": 1.0 + n, "scale": [1, 5]} | more


@pytest.fixture
def folder(tmp_path):
    for n in range(4):
        Image.fromarray(np.full((4, 4, 3), n * 20, np.uint8)).save(tmp_path / f"{n}.png")
    return tmp_path


def test_a_sound_manifest_is_ok_and_counted(folder):
    lines = [_line(n, split="train" if n < 3 else "test") for n in range(4)] + [{"id": "u", "media": ["0.png"]}]
    lines[-1] |= {"split": "train"}
    report = check_manifest(_manifest(folder, lines))
    assert report.is_ok and report.num_samples == 5 and report.num_unlabelled == 1
    assert report.split_counts == {"train": 4, "test": 1} and report.dataset_counts == {"default": 5}
    assert report.labels["default"].histogram == (1, 0, 1, 0, 1, 0, 1, 0)
    assert report.labels["default"].mean == 2.5
    assert len(report.warnings) == 1 and "'s0', 'u' are the same file" in report.warnings[0]
    assert report.to_text().endswith("ok") and json.dumps(report.to_dict())


def test_missing_empty_and_unreadable_files_are_all_named(folder):
    (folder / "1.png").write_bytes(b"")
    (folder / "2.png").write_text("text")
    (folder / "3.png").unlink()
    path = _manifest(folder, [_line(n) for n in range(4)])
    report = check_manifest(path)
    assert len(report.errors) == 3 and not report.is_ok
    for n, says in ((1, "empty"), (2, "not an image"), (3, "no such file")):
        assert f"'s{n}'" in report.errors[n - 1] and says in report.errors[n - 1]
    assert len(check_manifest(path, decode=False).errors) == 2
    assert "3 error(s)" in report.to_text()


def test_the_same_content_in_two_splits_is_an_error(folder):
    lines = [_line(0, split="train", reference="r"), _line(1, split="test", reference="r")]
    assert "content 'r' is in the splits test, train" in check_manifest(_manifest(folder, lines)).errors[0]


def test_a_copy_of_a_file_in_another_split_is_an_error(folder):
    (folder / "3.png").write_bytes((folder / "0.png").read_bytes())
    lines = [_line(0, split="train"), _line(3, split="test")]
    assert "same file in different splits" in check_manifest(_manifest(folder, lines)).errors[0]


def test_two_scales_in_one_dataset_are_an_error_and_constant_labels_a_warning(folder):
    report = check_manifest(_manifest(folder, [_line(0), _line(1, scale=[0, 100])]))
    assert "[0, 100] and [1, 5]" in report.errors[0]
    report = check_manifest(_manifest(folder, [_line(0), _line(1, mos=1.0)]))
    assert report.is_ok and "all 2 labels are 1" in report.warnings[0]


def test_a_video_is_looked_for_but_not_decoded_as_an_image(folder):
    (folder / "a.mp4").write_bytes(b"not really a video")
    assert check_manifest(_manifest(folder, [{"id": "v", "media": ["a.mp4"], "kind": "video"}])).is_ok
    missing = check_manifest(_manifest(folder, [{"id": "v", "media": ["b.mp4"], "kind": "video"}]))
    assert "no such file" in missing.errors[0]


def test_a_line_that_cannot_be_read_is_the_manifests_error(folder):
    with pytest.raises(ManifestError, match=r"m\.jsonl:1"):
        check_manifest(_manifest(folder, [{"id": "x"}]))


def test_a_manifest_that_is_not_utf_8_names_file_and_line(folder, pondera):
    path = folder / "m.jsonl"
    path.write_bytes(json.dumps(_line(0)).encode() + b'\n{"id": "\xe4", "media": ["1.png"]}\n')
    with pytest.raises(ManifestError, match=r"m\.jsonl:2: not UTF-8 text"):
        check_manifest(path)
    split = pondera("data", "split", path, "--out", folder / "s.jsonl")
    assert (split.exit_code, "m.jsonl:2: not UTF-8 text" in split.stderr, "--splits" in split.stderr) == (
        1,
        True,
        False,
    )


def _samples(sizes):
    return [
        Sample(id=f"{c}-{n}", media=(Media("a.png"),), reference=f"r{c}")
        for c, size in enumerate(sizes)
        for n in range(size)
    ]


def test_contents_of_equal_size_are_split_as_asked():
    out = split_manifest(_samples([3] * 20), {"train": 0.7, "val": 0.1, "test": 0.2}, seed=1)
    assert Counter(s.split for s in out) == {"train": 42, "val": 6, "test": 12}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=30), st.integers(0, 5))
def test_no_content_straddles_and_no_split_is_empty(sizes, seed):
    samples = _samples(sizes)
    out = split_manifest(samples, {"train": 0.9, "val": 0.05, "test": 0.05}, seed)
    splits = defaultdict(set)
    for sample in out:
        splits[sample.content].add(sample.split)
    assert all(len(s) == 1 for s in splits.values()) and set().union(*splits.values()) == {"train", "val", "test"}
    assert [s.id for s in out] == [s.id for s in samples]


def test_the_split_depends_on_contents_and_seed_not_on_order():
    samples = _samples([2] * 12)
    forward = {s.id: s.split for s in split_manifest(samples, {"a": 0.5, "b": 0.5}, 3)}
    backward = {s.id: s.split for s in split_manifest(samples[::-1], {"a": 0.5, "b": 0.5}, 3)}
    assert forward == backward
    assert forward != {s.id: s.split for s in split_manifest(samples, {"a": 0.5, "b": 0.5}, 4)}


@pytest.mark.parametrize(
    ("fractions", "says"),
    [
        ({}, "> 0 each"),
        ({"a": 1.0, "b": 0.0}, "> 0 each"),
        ({"a": 0.5}, "sum to 1"),
        ({"a": 0.5, "b": 0.5}, "1 contents"),
    ],
)
def test_fractions_that_cannot_be_met_are_refused(fractions, says):
    with pytest.raises(ValueError, match=says):
        split_manifest(_samples([4]), fractions, 0)
