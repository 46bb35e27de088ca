"""Baselines that need no model: golden values by hand."""

import math

import pytest

from pondera.core.records import FIVE_POINT, LabelScale, Media, Sample
from pondera.evaluate.baselines import file_size_predictor, mean_predictor, subset_mean_predictor


def _sample(name, mos, subset=None, scale=FIVE_POINT):
    return Sample(id=name, media=(Media(name),), mos=mos, scale=None if mos is None else scale, subset=subset)


TRAIN = [_sample("a", 1.0, "dark"), _sample("b", 2.0, "dark"), _sample("c", 5.0, "bright"), _sample("d", None)]


def test_the_mean_of_labels_on_two_scales_is_taken_on_one_to_five():
    (got,) = mean_predictor([*TRAIN[:2], _sample("e", 100.0, scale=LabelScale(0, 100))])(["x"])
    assert (got.score, got.scale) == (pytest.approx(8 / 3), FIVE_POINT)


def test_each_subset_gets_its_mean_and_an_unknown_one_the_mean_of_all():
    assess = subset_mean_predictor(TRAIN)
    inputs = [_sample("x", None, "dark"), _sample("y", None, "bright"), _sample("z", None, "new")]
    assert [a.score for a in assess(inputs)] == pytest.approx([1.5, 5.0, 8 / 3])


def test_file_size_is_a_line_in_its_logarithm_kept_on_the_scale(tmp_path):
    """100 bytes are worth 2 and 400 are worth 4, so 200 are worth 3; a million is off the scale."""
    for size in (100, 200, 400, 10**6):
        (tmp_path / str(size)).write_bytes(bytes(size))
    train = [_sample(str(tmp_path / "100"), 2.0), _sample(str(tmp_path / "400"), 4.0)]
    got = file_size_predictor(train).assess([str(tmp_path / "200"), str(tmp_path / "1000000")])
    assert [a.score for a in got] == pytest.approx([3.0, 5.0])


def test_equal_file_sizes_give_the_mean(tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    train = [_sample(str(tmp_path / "a"), mos) for mos in (2.0, 4.0)]
    (got,) = file_size_predictor(train).assess([str(tmp_path / "a")])
    assert got.score == pytest.approx(3.0)
    assert math.isnan(got.spread)


def test_a_missing_file_has_no_size_and_is_counted_in_the_fit(tmp_path):
    for size in (100, 400):
        (tmp_path / str(size)).write_bytes(bytes(size))
    gone = str(tmp_path / "gone")
    train = [_sample(str(tmp_path / "100"), 2.0), _sample(str(tmp_path / "400"), 4.0), _sample(gone, 1.0)]
    made = file_size_predictor(train)
    assert made.facts == {"fitted_on": 2, "unreadable_in_fit": 1}
    lost, found = made.assess([gone, str(tmp_path / "400")])
    assert (lost.valid, math.isnan(lost.score), found.valid) == (False, True, True)
    assert lost.error == f"{gone}: no file size (No such file or directory)"
    assert found.score == pytest.approx(4.0)
    with pytest.raises(ValueError, match="can read none of 1 training files"):
        file_size_predictor(train[2:])


@pytest.mark.parametrize("make", [mean_predictor, subset_mean_predictor, file_size_predictor])
def test_without_labels_there_is_no_baseline(make):
    with pytest.raises(ValueError, match="needs labelled samples"):
        make([_sample("d", None)])
