"""Synthesis: the promises about shares, balance, labels, workers and interruptions."""

import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT
from pondera.data import synthesize as module
from pondera.data.check import check_manifest
from pondera.data.dead_leaves import DeadLeaves
from pondera.data.distortions import CAPTURE_ORDER, DISTORTIONS, distort
from pondera.data.full_reference import mdsi, pseudo_mos
from pondera.data.images import load_image
from pondera.data.manifest import read_manifest
from pondera.data.synthesize import Mix, Reference, bundled_references, synthesize
from pondera.errors import DatasetError, MediaError

REFERENCES = [Reference("one", DeadLeaves(1, (120, 90))), Reference("two", DeadLeaves(2, (40, 90)))]
SPLITS = {"one": "train", "two": "test"}


def _make(out, **changes):
    arguments = {
        "references": REFERENCES,
        "num_per_reference": 30,
        "splits": SPLITS,
        "size": (64, 48),
        "seed": 5,
        "num_workers": 1,
    }
    return synthesize(out, **(arguments | changes))


def _digests(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "set"
    _make(out)
    return out


def test_every_sample_carries_its_label_content_and_damage(made):
    samples = read_manifest(made / "manifest.jsonl")
    assert len(samples) == 60
    for sample in samples:
        assert sample.dataset == "synthetic" and sample.scale == FIVE_POINT and 1 < sample.mos <= 5
        assert sample.split == SPLITS[sample.reference] and sample.id.startswith(sample.reference)
        assert (sample.mos == 5.0) == (not sample.distortions)
    assert check_manifest(made / "manifest.jsonl").is_ok


def test_the_label_is_the_metric_between_the_recorded_crop_and_the_stored_image(made):
    """Image, label, crop and seed of a manifest line reproduce each other."""
    sample = next(s for s in read_manifest(made / "manifest.jsonl") if len(s.distortions) == 2)
    content = DeadLeaves(*{"one": (1, (120, 90)), "two": (2, (40, 90))}[sample.reference]).image()
    left, top, right, bottom = sample.meta["crop"]
    crop = image = content[top:bottom, left:right]
    for n, distortion in enumerate(sample.distortions):
        image = distort(image, distortion, sample.meta["seed"] + n)
    np.testing.assert_array_equal(load_image(sample.path()), image)
    assert sample.mos == pytest.approx(pseudo_mos(mdsi(crop, image)), abs=1e-4)


def test_a_source_smaller_than_the_crop_is_used_whole_in_that_direction(made):
    shapes = {s.reference: load_image(s.path()).shape for s in read_manifest(made / "manifest.jsonl")}
    assert shapes == {"one": (48, 64, 3), "two": (48, 40, 3)}


def test_shares_and_types_are_as_the_mix_says():
    plans = module._planned("x", 500, 0, Mix())
    local = [p for p in plans if any(d.box for d in p.distortions)]
    counts = [sum(len(p.distortions) == n and p not in local for p in plans) for n in (0, 1, 2)]
    assert np.allclose([*counts, len(local)], [30, 300, 110, 60], atol=1)
    types = Counter(d.type for p in plans for d in p.distortions)
    assert set(types) == set(DISTORTIONS) and max(types.values()) < 1.35 * min(types.values())
    levels = Counter(d.level for p in plans for d in p.distortions if not d.box)
    assert max(levels.values()) - min(levels.values()) <= 1


def test_two_distortions_differ_in_aspect_and_come_in_the_order_of_a_camera():
    pairs = [p.distortions for p in module._planned("x", 300, 0, Mix()) if len(p.distortions) == 2]
    for first, second in pairs:
        order = [CAPTURE_ORDER[DISTORTIONS[d.type].aspect] for d in (first, second)]
        assert order[0] < order[1]


def test_a_few_samples_per_content_keep_the_shares_on_average():
    """Rounding shares per content would never make a pristine sample of contents with five samples."""
    plans = [p for n in range(200) for p in module._planned(f"c{n}", 5, 0, Mix())]
    assert sum(not p.distortions for p in plans) == pytest.approx(60, abs=20)


def test_the_number_of_workers_changes_nothing(made, tmp_path):
    _make(tmp_path / "two", num_workers=2)
    assert _digests(tmp_path / "two") == _digests(made)


def test_an_interrupted_run_goes_on_and_ends_in_the_same_files(made, tmp_path, monkeypatch):
    original, calls = module._make_batch, []

    def failing(out, size, batch):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(batch.name)
        return original(out, size, batch)

    monkeypatch.setattr(module, "_make_batch", failing)
    with pytest.raises(KeyboardInterrupt):
        _make(tmp_path / "set")
    assert not (tmp_path / "set" / "manifest.jsonl").exists()
    remade = []
    monkeypatch.setattr(module, "_make_batch", lambda *a: (remade.append(a[2].name), original(*a))[1])
    _make(tmp_path / "set")
    assert not set(remade) & set(calls) and len(remade) + len(calls) == 4
    assert _digests(tmp_path / "set") == _digests(made)


def test_a_finished_set_is_not_made_again_but_a_lost_image_is(made, tmp_path, monkeypatch):
    _make(tmp_path / "set")
    before = _digests(tmp_path / "set")
    calls = []
    original = module._make_batch
    monkeypatch.setattr(module, "_make_batch", lambda *a: (calls.append(a[2].name), original(*a))[1])
    _make(tmp_path / "set")
    assert calls == []
    (tmp_path / "set" / "images" / "one" / "00003.png").unlink()
    _make(tmp_path / "set")
    assert calls == ["one-00000"] and _digests(tmp_path / "set") == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 6}, "seed"),
        ({"size": (64, 32)}, "size"),
        ({"mix": Mix(types=("jpeg", "darken"))}, "mix"),
        ({"num_per_reference": 31}, "references"),
        ({"splits": {"one": "test", "two": "test"}}, "references"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused_by_name(made, change, named):
    with pytest.raises(DatasetError, match=rf"other settings \({named}\)"):
        _make(made, **change)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        _make(tmp_path)


def test_a_changed_source_file_counts_as_other_settings(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(DeadLeaves(1, (50, 50)).image()).save(path)
    arguments = {"references": [Reference("a", path)], "splits": {"a": "train"}, "num_per_reference": 2}
    _make(tmp_path / "set", **arguments)
    Image.fromarray(DeadLeaves(2, (50, 50)).image()).save(path)
    with pytest.raises(DatasetError, match="references"):
        _make(tmp_path / "set", **arguments)
    path.unlink()
    with pytest.raises(MediaError, match="no such file"):
        _make(tmp_path / "set", **arguments)


def test_numbers_may_differ_by_split_and_progress_is_told(tmp_path):
    seen = []
    manifest = _make(
        tmp_path / "set",
        num_per_reference={"train": 27, "test": 2},
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert Counter(s.split for s in read_manifest(manifest)) == {"train": 27, "test": 2}
    assert seen == [(25, 29), (27, 29), (29, 29)]
    assert json.loads((tmp_path / "set" / "synthesis.json").read_text())["version"] == module.VERSION


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"references": []}, "at least one"),
        ({"references": [REFERENCES[0], REFERENCES[0]]}, "distinct contents"),
        ({"references": [Reference("../x", DeadLeaves(1))], "splits": {"../x": "train"}}, "names a folder"),
        ({"splits": {"one": "train"}}, "'two' has no split"),
        ({"num_per_reference": 0}, "num_per_reference"),
        ({"num_per_reference": {"train": 3}}, "split 'test'"),
        ({"size": (0, 5)}, "size"),
        ({"num_workers": 0}, "num_workers"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_name(tmp_path, change, says):
    with pytest.raises(ValueError, match=says):
        _make(tmp_path / "set", **change)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pristine": 0.5}, "sum to 1"),
        ({"pristine": -0.1, "single": 0.76}, ">= 0"),
        ({"types": ("fog",)}, "types must be"),
        ({"types": ()}, "types must be"),
        ({"types": ("jpeg", "webp")}, "two aspects"),
    ],
)
def test_a_wrong_mix_is_refused(values, says):
    with pytest.raises(ValueError, match=says):
        Mix(**values)


def test_the_bundled_references_keep_dead_leaves_in_train():
    references, splits = bundled_references(num_dead_leaves=3)
    assert len(references) == 27 and Counter(splits.values()) == {"train": 16, "test": 8, "val": 3}
    assert all(splits[r.content] == "train" for r in references if isinstance(r.source, DeadLeaves))
