"""BRISQUE and NIQE as baselines: the distance by hand, direction, what they learn from, and what has no score."""

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pondera.core.records import FIVE_POINT, LabelScale, Media, Sample
from pondera.data.images import load_image
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.errors import DatasetError, MediaError
from pondera.evaluate.natural import NIQE_SCALE, PristineModel, brisque_predictor, fit_pristine, niqe_predictor

TRAIN = [path for path in list_photographs() if PHOTOGRAPH_SPLITS[path.stem] == "train"]


def _sample(path, mos=None, **more):
    return Sample(str(path), (Media(str(path)),), mos=mos, scale=None if mos is None else FIVE_POINT, **more)


def _square_model():
    return PristineModel(np.zeros(2), np.eye(2), 1, 100)


def test_the_distance_is_the_one_computed_by_hand():
    """Four patches at the corners of a square around (3, 4): covariance 4/3 on the diagonal, pooled (1 + 4/3) / 2 =
    7/6, so the distance is 5 / sqrt(7/6).
    """
    feature_PF = np.array([[2.0, 3.0], [4.0, 3.0], [2.0, 5.0], [4.0, 5.0]])
    assert _square_model().distance(feature_PF) == pytest.approx(5 / math.sqrt(7 / 6))
    assert _square_model().distance(feature_PF - [3, 4]) == pytest.approx(0)


def test_a_single_patch_has_no_distance():
    with pytest.raises(ValueError, match="two patches"):
        _square_model().distance(np.ones((1, 2)))


@pytest.fixture(scope="module")
def niqe():
    return niqe_predictor(fit_pristine(TRAIN[:6]))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A photograph of the training part, sharper to worse: as it is, blurred a little, blurred a lot, noise."""
    folder = tmp_path_factory.mktemp("damaged")
    image = Image.open(TRAIN[7]).convert("RGB")
    noise = np.random.default_rng(0).normal(size=(image.height, image.width, 1)) * 40
    noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    for name, picture in (
        ("0", image),
        ("1", image.filter(ImageFilter.GaussianBlur(1.5))),
        ("2", image.filter(ImageFilter.GaussianBlur(4))),
        ("3", Image.fromarray(noisy)),
    ):
        picture.save(folder / f"{name}.png")
    return [folder / f"{n}.png" for n in range(4)]


def test_niqe_is_higher_for_less_damage_though_it_saw_no_label(niqe, damaged):
    score = [answer.score for answer in niqe.assess([_sample(path) for path in damaged])]
    assert score[0] > score[1] > score[2]
    assert score[0] > score[3]
    assert all(NIQE_SCALE.contains(value) for value in score)
    assert niqe.facts["pristine_pictures"] == 6


def test_an_image_without_two_patches_and_a_missing_one_have_no_score_and_say_why(niqe, tmp_path):
    Image.fromarray(load_image(TRAIN[0])[:100, :100]).save(tmp_path / "small.png")
    Image.fromarray(load_image(TRAIN[0])[:50, :50]).save(tmp_path / "tiny.png")
    answers = niqe.assess([_sample(tmp_path / name) for name in ("small.png", "tiny.png", "none.png")])
    assert [answer.valid for answer in answers] == [False] * 3
    for answer, why in zip(answers, ("two patches", "at least 96", "no such file"), strict=True):
        assert why in answer.error
        assert math.isnan(answer.score)


def test_too_few_pristine_patches_and_unreadable_pictures_are_named(tmp_path):
    Image.fromarray(load_image(TRAIN[0])[:200, :200]).save(tmp_path / "small.png")
    with pytest.raises(DatasetError, match="more than 36"):
        fit_pristine([tmp_path / "small.png"])
    with pytest.raises(DatasetError, match="0 pristine pictures"):
        fit_pristine([])
    with pytest.raises(MediaError, match=r"none\.png: not a pristine picture"):
        fit_pristine([tmp_path / "none.png"])


def test_brisque_learns_blur_from_labels_and_stays_on_the_scale(tmp_path):
    samples = []
    for n, photograph in enumerate(TRAIN[:8]):
        image = Image.open(photograph).convert("RGB").resize((192, 128))
        for level in range(4):
            path = tmp_path / f"{n}-{level}.png"
            image.filter(ImageFilter.GaussianBlur(level * 0.7)).save(path)
            samples.append(_sample(path, 5.0 - level * 4 / 3, reference=str(n)))
    train, test = samples[:24], samples[24:]
    brisque = brisque_predictor([*train, _sample(tmp_path / "unlabelled.png")])
    score = np.array([answer.score for answer in brisque.assess(test)])
    assert np.corrcoef(score, [sample.mos for sample in test])[0, 1] > 0.9
    assert ((score >= 1) & (score <= 5)).all()
    assert brisque.facts["fitted_on"] == 24
    again = brisque_predictor(train)
    assert [a.score for a in again.assess(test)] == score.tolist()


def test_brisque_brings_labels_of_two_scales_to_one(tmp_path):
    samples = []
    for n in range(4):
        Image.fromarray(load_image(TRAIN[n])[:64, :64]).save(tmp_path / f"{n}.png")
        scale = LabelScale(0, 100) if n % 2 else FIVE_POINT
        media = (Media(str(tmp_path / f"{n}.png")),)
        samples.append(Sample(str(n), media, mos=100.0 if n % 2 else 5.0, scale=scale))
    answers = brisque_predictor(samples).assess(samples)
    assert [answer.score for answer in answers] == pytest.approx([5.0] * 4)
    assert answers[0].scale == FIVE_POINT


def test_brisque_without_labels_or_files_to_learn_from_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs labelled samples"):
        brisque_predictor([_sample("x")])
    with pytest.raises(MediaError, match="no such file"):
        brisque_predictor([_sample(tmp_path / "none.png", 3.0)])
