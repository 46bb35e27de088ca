"""The labelled video set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pondera.data.manifest import read_manifest
from pondera.data.moving_clips import ClipSettings, bundled_scenes, make_clips
from pondera.data.temporal_distortions import TEMPORAL_DISTORTIONS
from pondera.data.video import probe
from pondera.errors import DatasetError

SMALL = ClipSettings({"train": 1, "val": 1, "test": 1}, versions=4, num_frames=12, size=(64, 48), double=0.3)


def _contents(*numbers: int) -> dict[str, tuple[str, str]]:
    everything = bundled_scenes()
    return {name: everything[name] for name in (f"kodak-{n:02d}" for n in numbers)}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("set") / "clips"
    return make_clips(out, contents=_contents(3, 4), settings=SMALL, seed=1, num_workers=1)


def test_every_clip_is_there_with_its_label_and_its_damage(manifest):
    samples = read_manifest(manifest)
    assert [s.reference for s in samples] == ["kodak-03"] * 4 + ["kodak-04"] * 4
    assert {(s.reference, s.split) for s in samples} == {("kodak-03", "test"), ("kodak-04", "val")}
    for sample in samples:
        info = probe(sample.path())
        assert (info.width, info.height, sample.kind) == (64, 48, "video")
        assert sample.mos == min(sample.targets["spatial"], sample.targets["temporal"])


def test_an_undamaged_clip_has_the_best_label_that_its_file_allows(tmp_path):
    settings = ClipSettings({"val": 1}, versions=1, num_frames=12, size=(64, 48), pristine=1.0, double=0.0)
    (sample,) = read_manifest(make_clips(tmp_path / "a", contents=_contents(4), settings=settings, seed=0))
    assert sample.distortions == () and sample.mos > 4.8


def test_a_fault_of_time_comes_before_the_codec_and_is_no_spatial_damage(tmp_path):
    settings = ClipSettings(
        {"val": 1}, versions=6, num_frames=24, size=(64, 48), pristine=0.0, double=1.0, types=("h264", "freeze")
    )
    samples = read_manifest(make_clips(tmp_path / "a", contents=_contents(4), settings=settings, seed=0))
    assert all([d.type for d in sample.distortions] == ["freeze", "h264"] for sample in samples)
    light = [sample for sample in samples if sample.distortions[1].level == 1]
    assert light and all(sample.targets["spatial"] > 4 for sample in light)


def test_an_interrupted_run_ends_with_the_set_of_an_uninterrupted_one(manifest, tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    options = {"contents": _contents(3, 4), "settings": SMALL, "seed": 1, "num_workers": 1}
    with pytest.raises(KeyboardInterrupt):
        make_clips(tmp_path / "b", on_progress=stop, **options)
    again = make_clips(tmp_path / "b", **options)
    assert again.read_text() == manifest.read_text()
    clips = [sorted((folder.parent / "clips").rglob("*.mp4")) for folder in (manifest, again)]
    assert [path.read_bytes() for path in clips[0]] == [path.read_bytes() for path in clips[1]]


def test_a_folder_with_another_set_or_other_files_is_refused(manifest, tmp_path):
    with pytest.raises(DatasetError, match="other settings"):
        make_clips(manifest.parent, contents=_contents(3, 4), settings=SMALL, seed=2)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="not empty"):
        make_clips(tmp_path, contents=_contents(3), settings=SMALL, seed=2)


def test_types_and_levels_are_used_equally_often(tmp_path):
    from pondera.data.moving_clips import _scenes

    settings = ClipSettings({"train": 5}, versions=12, pristine=0.0, double=0.0)
    scenes = list(_scenes("c", "file", "train", settings, 0))
    used = [(d.type, d.level) for scene in scenes for version in scene.versions for d in version]
    assert len(used) == 60 and len(set(used)) == 5 * len(TEMPORAL_DISTORTIONS)
    shares = ClipSettings({"train": 1}, versions=100, pristine=0.1, double=0.2)
    (scene,) = _scenes("c", "file", "train", shares, 0)
    counts = np.bincount([len(version) for version in scene.versions])
    assert abs(counts - [10, 70, 20]).max() <= 1


@pytest.mark.parametrize(
    "wrong", [{"scenes": {"a": 0}}, {"size": (63, 48)}, {"double": 0.99, "pristine": 0.5}, {"types": ("none",)}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="got"):
        ClipSettings(**{"scenes": {"train": 1}, **wrong})


def test_the_manifest_is_plain(manifest):
    line = json.loads(manifest.read_text().splitlines()[0])
    assert line["kind"] == "video" and line["scale"] == [1.0, 5.0] and "meta" not in line
