"""Other tasks from known distortions: labels are facts, contents stay on their side, nothing is asked twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, Distortion, Media, Sample
from pondera.data.distortions import DISTORTIONS
from pondera.data.manifest import read_manifest, write_manifest
from pondera.data.tasks import CLASS_OF, KINDS, derive
from pondera.errors import DatasetError


def _sample(name: str, mos: float = 3.0, *distortions: Distortion, content: str = "c", split: str = "train") -> Sample:
    return Sample(
        name,
        (Media(f"{name}.png"),),
        mos=mos,
        scale=FIVE_POINT,
        split=split,
        reference=content,
        distortions=distortions,
    )


BOX = (0.1, 0.2, 0.5, 0.6)
SAMPLES = [
    _sample("clean", 4.8),
    _sample("noisy", 2.0, Distortion("gaussian_noise", 4)),
    _sample("vivid", 3.0, Distortion("oversaturate", 2)),
    _sample("both", 1.5, Distortion("jpeg", 3), Distortion("darken", 1)),
    _sample("spot", 4.0, Distortion("jpeg", 5, BOX)),
]
CLIP = Sample(
    "clip",
    (Media("clip.mp4"),),
    kind="video",
    mos=2.0,
    scale=FIVE_POINT,
    targets={"spatial": 4.5, "temporal": 2.0},
    split="train",
    reference="c",
    distortions=(Distortion("freeze", 4), Distortion("h264", 1), Distortion("stutter", 2)),
)


def test_dimensions_of_a_clip_are_its_labels_and_what_was_done_to_it():
    clean = replace(CLIP, id="still", distortions=())
    unknown = replace(CLIP, id="unknown", distortions=(Distortion("jpeg", 1),))
    found = {s.id: s for s in derive([*SAMPLES, CLIP, clean, unknown], "multi")}
    assert {name: dict(s.targets) for name, s in found.items()} == {
        "clip#multi": {"visual": 4.5, "dynamic": 2.0, "attribution": ["compression", "smoothness"]},
        "still#multi": {"visual": 4.5, "dynamic": 2.0, "attribution": []},
    }
    assert {(s.kind, s.task, s.scale, s.mos) for s in found.values()} == {("video", "multi", FIVE_POINT, None)}


def test_degradation_names_class_and_severity_and_a_clean_image_has_no_severity():
    found = {s.id: dict(s.targets) for s in derive(SAMPLES, "degradation")}
    assert found == {
        "clean#degradation": {"distortion_class": "null"},
        "noisy#degradation": {"distortion_class": "noise", "severity": "serious"},
    }


def test_every_class_is_one_of_q_insights_and_every_type_with_a_class_exists():
    options = get_system("q-insight").format_of("degradation").body.schema["distortion_class"].options
    assert set(CLASS_OF.values()) | {"null"} == set(options)
    assert set(CLASS_OF) <= set(DISTORTIONS)


def test_grounding_takes_local_damage_and_clean_images_only():
    found = {s.id: s.targets["boxes"] for s in derive(SAMPLES, "grounding")}
    assert found == {
        "clean#grounding": [],
        "spot#grounding": [{"bbox_2d": list(BOX), "type": "jpeg", "level": 5}],
    }


def test_levels_keep_the_score_and_leave_out_what_has_no_single_level():
    found = {s.id: (s.task, s.mos, s.targets["level"]) for s in derive(SAMPLES, "levels")}
    assert found == {
        "clean#levels": ("score", 4.8, 0),
        "noisy#levels": ("score", 2.0, 4),
        "vivid#levels": ("score", 3.0, 2),
    }


def test_a_pair_says_which_of_two_versions_of_one_content_is_better():
    a, b, c = _sample("a", 4.0), _sample("b", 2.0), _sample("c", 2.1)
    found = {s.id: s for s in derive([a, b, c], "compare", seed=1)}
    assert len(found) == 3
    for name, pair in found.items():
        first, second = name.removesuffix("#compare").split("+")
        mos = {"a": 4.0, "b": 2.0, "c": 2.1}
        gap = mos[first] - mos[second]
        expected = "Similar" if abs(gap) < 0.25 else "Image A" if gap > 0 else "Image B"
        assert first != second and pair.targets == {"choice": expected}
        assert (pair.path(), pair.path("other")) == (f"{first}.png", f"{second}.png")


def test_pairs_never_cross_contents_or_splits_and_everybody_stands_first_once():
    samples = [
        _sample(f"{c}{i}", i, content=c, split=s) for c, s in (("x", "train"), ("y", "val")) for i in range(1, 5)
    ]
    pairs = derive(samples, "compare", seed=3)
    assert all(s.id.split("+")[0][0] == s.id.split("+")[1][0] == s.reference for s in pairs)
    assert sorted(s.id.split("+")[0] for s in pairs) == sorted(s.id for s in samples)
    assert derive(samples, "compare", seed=3) == pairs != derive(samples, "compare", seed=4)


@pytest.mark.parametrize("kind", KINDS)
def test_derived_samples_survive_a_manifest_and_keep_split_and_content(kind, tmp_path):
    derived = derive([*SAMPLES, CLIP], kind)
    write_manifest(tmp_path / "m.jsonl", derived)
    read = read_manifest(tmp_path / "m.jsonl")
    assert [(s.id, s.task, s.split, s.content) for s in read] == [(s.id, s.task, "train", "c") for s in derived]
    assert [dict(s.targets) for s in read] == [dict(s.targets) for s in derived]


def test_other_tasks_are_not_derived_from_and_nothing_fitting_is_an_error():
    with pytest.raises(DatasetError, match=r"no sample fits the task 'compare'.*two labelled versions"):
        derive([replace(SAMPLES[0], task="degradation")], "compare")
    with pytest.raises(ValueError, match="kind must be one of"):
        derive(SAMPLES, "score")


def test_the_command_writes_a_manifest_and_counts_splits(pondera, tmp_path):
    write_manifest(tmp_path / "m.jsonl", SAMPLES)
    result = pondera("data", "tasks", tmp_path / "m.jsonl", "--task", "compare", "--out", tmp_path / "c.jsonl")
    assert result.exit_code == 0 and result.stdout.strip().endswith("c.jsonl: 5 train")
    assert {s.task for s in read_manifest(tmp_path / "c.jsonl")} == {"compare"}
