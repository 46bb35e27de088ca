from __future__ import annotations

import numpy as np
import pytest

from pondera.data.dead_leaves import DeadLeaves
from pondera.data.degraded_crops import crop_group
from pondera.data.distortions import DISTORTIONS
from pondera.data.full_reference import mdsi, pseudo_mos

PICTURES = [DeadLeaves(n, (160, 120)).image() for n in (1, 2)]


def _group(index, *, seed=0, pictures=PICTURES, versions=6, side=32):
    return crop_group(pictures, side_px=side, num_versions=versions, seed=seed, index=index)


@pytest.mark.parametrize("index", [0, 1])  # a thumbnail of a large crop, and a crop at native resolution
def test_a_group_depends_on_its_seed_and_index_only(index):
    first, again = _group(index), _group(index)
    assert np.array_equal(first.views_VPPC, again.views_VPPC) and np.array_equal(first.level_VT, again.level_VT)
    for other in (_group(index, seed=1), _group(index + 6)):
        assert not np.array_equal(first.views_VPPC, other.views_VPPC)


def test_the_first_version_is_untouched_and_the_others_say_what_was_done():
    for index in range(12):
        group = _group(index)
        assert group.views_VPPC.shape == (6, 32, 32, 3) and group.views_VPPC.dtype == np.uint8
        assert group.level_VT.shape == (6, len(DISTORTIONS)) and not group.level_VT[0].any()
        damaged = group.level_VT[1:]
        assert ((damaged > 0).sum(1) >= 1).all() and ((damaged > 0).sum(1) <= 2).all()
        assert set(np.round(damaged[damaged > 0] * 5, 5)) <= {1, 2, 3, 4, 5}


def test_the_untouched_version_of_a_native_crop_is_cut_from_the_picture_itself():
    picture = np.arange(160 * 120 * 3, dtype=np.uint32).reshape(120, 160, 3).astype(np.uint8)
    view = _group(1, pictures=[picture]).views_VPPC[0]
    windows = np.lib.stride_tricks.sliding_window_view(picture, (32, 32, 3))[:, :, 0]
    places = {tuple(v.ravel()[:30]) for plane in (windows, windows[..., ::-1, :]) for row in plane for v in row}
    assert tuple(view.ravel()[:30]) in places


def test_versions_of_strong_blur_lie_farther_from_the_original_than_weak_ones():
    blur = list(DISTORTIONS).index("gaussian_blur")
    change = {1: [], 5: []}
    for index in range(400):
        group = _group(index, versions=3)
        for version in (1, 2):
            level = round(float(group.level_VT[version, blur]) * 5)
            if level in change and (group.level_VT[version] > 0).sum() == 1:
                difference = group.views_VPPC[version].astype(float) - group.views_VPPC[0]
                change[level].append(float(np.abs(difference).mean()))
    assert min(len(found) for found in change.values()) >= 3
    assert np.mean(change[5]) > 2 * np.mean(change[1])


def test_a_picture_smaller_than_a_view_is_mirrored():
    small = DeadLeaves(3, (20, 10)).image()
    for index in (0, 1):
        assert _group(index, pictures=[small]).views_VPPC.shape == (6, 32, 32, 3)


@pytest.mark.parametrize(("pictures", "versions"), [([], 4), (PICTURES, 1)])
def test_no_pictures_or_one_version_are_refused(pictures, versions):
    with pytest.raises(ValueError, match="need pictures and at least 2 versions"):
        _group(0, pictures=pictures, versions=versions)


def test_the_pseudo_mos_of_a_version_is_what_mdsi_says_of_it_beside_the_first():
    assert _group(1).pseudo_mos_V is None
    group = crop_group(PICTURES, side_px=32, num_versions=6, seed=0, index=1, with_pseudo_mos=True)
    assert np.array_equal(group.views_VPPC, _group(1).views_VPPC)
    expected = [pseudo_mos(mdsi(group.views_VPPC[0], view)) for view in group.views_VPPC]
    assert group.pseudo_mos_V == pytest.approx(expected, rel=1e-6)
    assert group.pseudo_mos_V[0] == 5 and min(expected) < 4
