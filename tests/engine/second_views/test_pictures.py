"""Damage that can be seen, and masks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pondera.data.full_reference import mdsi
from pondera.data.photographs import list_photographs
from pondera.engine.second_views import pictures
from pondera.engine.second_views.pictures import Damage, masked, visible_damage


def _photograph():
    return np.asarray(Image.open(list_photographs()[0]).convert("RGB").resize((160, 120)))


def test_each_damage_is_what_its_name_says():
    image = _photograph()
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy = Damage("noise", 30.0)(grey, 0).astype(float) - 128
    assert abs(noisy.std() - 30) < 1 and abs(noisy.mean()) < 1
    assert np.array_equal(Damage("darken", 0.6)(np.full((1, 1, 3), 100, np.uint8), 0), np.full((1, 1, 3), 60))
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(2))
    assert np.array_equal(Damage("blur", 2.0)(image, 0), np.asarray(blurred))
    assert Damage("jpeg", 5.0)(image, 0).shape == image.shape and mdsi(image, Damage("jpeg", 5.0)(image, 0)) > 0.2


def test_noise_depends_on_the_seed_and_the_picture_is_left_alone():
    image = _photograph()
    before = image.copy()
    damage = Damage("noise", 45.0)
    assert np.array_equal(damage(image, 1), damage(image, 1)) and not np.array_equal(damage(image, 1), damage(image, 2))
    assert np.array_equal(image, before)


def test_damage_is_visible_on_a_photograph_and_all_kinds_come_up():
    image = _photograph()
    found = {seed: visible_damage([image], seed, threshold=0.2) for seed in range(24)}
    assert all(damage and mdsi(image, damage(image, seed)) >= 0.2 for seed, damage in found.items())
    assert {damage.kind for damage in found.values()} == {"noise", "blur", "jpeg", "darken"}


def test_damage_that_cannot_be_seen_is_replaced_by_a_stronger_one_of_another_kind():
    """A picture without detail cannot be blurred: whenever blur is drawn first, something else comes instead."""
    flat = np.full((64, 64, 3), 120, np.uint8)
    drawn_first = {s: np.random.default_rng(s).permutation(["noise", "blur", "jpeg", "darken"])[0] for s in range(40)}
    blurs = [s for s, kind in drawn_first.items() if kind == "blur"]
    found = [visible_damage([flat], s, threshold=0.2) for s in blurs]
    assert blurs and all(d is None or (d.kind != "blur" and d.value in (65.0, 5.0, 0.5)) for d in found)
    assert any(d is not None and d == Damage("noise", 65.0) for d in found)


def test_there_is_no_damage_where_none_can_be_seen():
    assert visible_damage([_photograph()], 0, threshold=10.0) is None


def test_one_visible_picture_of_several_is_enough(monkeypatch):
    flat, photograph = np.full((64, 64, 3), 120, np.uint8), _photograph()
    monkeypatch.setattr(pictures, "_FIRST", dict.fromkeys(pictures._FIRST, 2.0))
    monkeypatch.setattr(pictures, "_STRONGER", {"noise": 65.0, "blur": 4.0, "jpeg": 5.0, "darken": 0.5})
    assert any(
        visible_damage([flat], s, threshold=0.2) is None
        and visible_damage([flat, photograph], s, threshold=0.2) is not None
        for s in range(40)
    )


def test_a_mask_hides_whole_patches_and_about_its_share_of_them():
    white = np.full((280, 140, 3), 255, np.uint8)
    out = masked(white, 3, patch_px=14, probability=0.6)
    patches = out.reshape(20, 14, 10, 14, 3).transpose(0, 2, 1, 3, 4).reshape(200, -1)
    assert set(np.unique(patches.min(1)) | np.unique(patches.max(1))) == {0, 255}
    assert np.array_equal(patches.min(1), patches.max(1))
    assert 0.5 < (patches[:, 0] == 0).mean() < 0.7


@pytest.mark.parametrize("size", [(1, 1), (5, 30), (15, 29)])
def test_a_mask_hides_something_in_any_picture_and_keeps_its_size(size):
    image = np.full((*size, 3), 200, np.uint8)
    for seed in range(20):
        out = masked(image, seed, patch_px=14, probability=1e-9)
        assert out.shape == image.shape and (out == 0).any()
    assert (masked(image, 0, patch_px=14, probability=1.0) == 0).all()
