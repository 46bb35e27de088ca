"""Samples, scales, pools."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondera.core.answers import AnswerFormat
from pondera.core.pool import Pool
from pondera.core.records import Assessment, LabelScale, Rollout, Sample

FULL = {
    "id": "a",
    "media": ["a.png", {"path": "r.png", "role": "reference"}],
    "kind": "image",
    "dataset": "d",
    "task": "degradation",
    "mos": 60.0,
    "mos_std": 10.0,
    "scale": [0.0, 100.0],
    "votes": [1.0, 2.0, 3.0],
    "targets": {"class": "noise", "overall": 60.0},
    "text": "a cat",
    "split": "train",
    "reference": "r",
    "subset": "s",
    "distortions": [{"type": "jpeg", "level": 3}, {"type": "noise", "level": 1, "box": [0.0, 0.0, 0.5, 0.5]}],
    "rationale": "<think>x</think><answer>3.40</answer>",
    "meta": {"anything": 1},
}


def test_a_line_with_every_field_survives_the_round_trip():
    sample = Sample.from_dict(FULL)
    line = sample.to_dict()
    assert Sample.from_dict(line) == sample
    assert line == {key: value for key, value in FULL.items() if key != "kind"}  # image is the default


def test_the_overall_target_and_mos_are_one_label():
    sample = Sample.from_dict({"id": "a", "media": "a.png", "targets": {"overall": 3.0}, "scale": [1, 5]})
    assert sample.mos == 3.0
    with pytest.raises(ValueError, match=r"targets.overall is 2.0; keep one"):
        Sample.from_dict({"id": "a", "media": "a.png", "mos": 3.0, "targets": {"overall": 2.0}, "scale": [1, 5]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "unknown key 'colour'; put free data under 'meta'"),
        ({"media": []}, "'media' is missing or empty"),
        ({"media": [3]}, "a media entry is a path"),
        ({"media": [{"path": "a", "role": "left"}]}, "'role' must be one of"),
        ({"kind": "sound"}, "'kind' must be one of image, video"),
        ({"task": "guess"}, "'task' must be one of"),
        ({"mos": 3.0, "scale": None}, "'mos' needs a 'scale'"),
        ({"mos": 7.0, "scale": [1, 5]}, r"mos 7.0 is outside its scale \[1.0, 5.0\]"),
        ({"mos": float("nan"), "scale": [1, 5]}, "'mos' must be a finite number"),
        ({"mos": True, "scale": [0, 1]}, "'mos' must be a finite number"),
        ({"scale": [5, 1]}, "low < high"),
        ({"scale": 5}, r"'scale' must be \[low, high\]"),
        ({"mos_std": -1.0}, "'mos_std' must be >= 0"),
        ({"mos_std": 10**400}, "'mos_std' must be a finite number"),
        ({"votes": [1.0, -1.0]}, "'votes' must be 0 or more, and not all 0"),
        ({"votes": [0, 0]}, "'votes' must be 0 or more, and not all 0"),
        ({"distortions": [{"type": "jpeg", "level": 6}]}, "whole number from 1 to 5"),
        ({"distortions": [{"type": "jpeg", "level": 2, "box": [0, 0, 40, 40]}]}, "fractions of the image"),
        ({"targets": [1]}, "'targets' must be a dict"),
        ({"split": 3}, "'split' must be a str"),
    ],
)
def test_a_wrong_value_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Sample.from_dict({"id": "a", "media": "a.png"} | change)


@given(st.floats(-50, 50), st.floats(0.1, 100), st.floats(-50, 50), st.floats(0.1, 100), st.floats(0, 1))
def test_scales_convert_there_and_back(low_a, width_a, low_b, width_b, position):
    a, b = LabelScale(low_a, low_a + width_a), LabelScale(low_b, low_b + width_b)
    value = a.low + position * a.width
    assert b.convert(a.convert(value, b), a) == pytest.approx(value, abs=1e-6)
    assert a.convert(a.low, b) == pytest.approx(b.low) and a.convert(a.high, b) == pytest.approx(b.high)
    assert b.convert_std(a.convert_std(1.0, b), a) == pytest.approx(1.0)


def test_a_pool_holds_dense_arrays_and_pads_ragged_groups():
    parse = AnswerFormat().parse
    texts = [["<think>a</think><answer>3.00</answer>", "nonsense"], ["<think>a</think><answer>4.00</answer>"]]
    samples = [Sample.from_dict({"id": i, "media": "a", "mos": 50.0, "mos_std": 25.0, "scale": [0, 100]}) for i in "ab"]
    pool = Pool.build(samples, texts, [[parse(t) for t in g] for g in texts], scale=LabelScale(1, 5))
    np.testing.assert_array_equal(pool.score_SK, [[3.0, np.nan], [4.0, np.nan]])
    np.testing.assert_array_equal(pool.valid_SK, [[True, False], [True, False]])
    np.testing.assert_array_equal(pool.present_SK, [[True, True], [True, False]])
    np.testing.assert_array_equal(pool.mos_S, [3.0, 3.0])
    np.testing.assert_array_equal(pool.mos_std_S, [1.0, 1.0])


def test_a_pool_checks_its_shapes():
    with pytest.raises(ValueError, match="one group of completions for each of 1 samples"):
        Pool.build([Sample.from_dict({"id": "a", "media": "a"})], [], [], scale=LabelScale(1, 5))
    answer = AnswerFormat().parse("x")
    with pytest.raises(ValueError, match=r"side array 'kl' must be \(1, 1\)"):
        Pool.build(
            [Sample.from_dict({"id": "a", "media": "a"})],
            [["x"]],
            [[answer]],
            scale=LabelScale(1, 5),
            side={"kl": np.zeros((2, 2))},
        )


def test_an_assessment_becomes_plain_json():
    line = Assessment("a.png", math.nan, LabelScale(1, 5), "reason", valid=False, error="e").to_dict()
    assert line["score"] is None and line["scale"] == [1, 5] and line["error"] == "e"


def test_a_rollout_knows_whether_it_is_valid():
    assert Rollout("a", 0, "t", (3.0,), 3.0, 5).is_valid
    assert not Rollout("a", 0, "t", (), math.nan, 5).is_valid
