"""Hashes of pictures: copies are found again, different pictures are not taken for one another."""

import numpy as np
import pytest
from PIL import Image

from pondera.data.images import load_image
from pondera.data.photographs import list_photographs
from pondera.data.picture_hash import are_known, picture_hash, picture_hashes

PHOTOGRAPHS = list_photographs()


@pytest.fixture(scope="module")
def hashes():
    return [picture_hash(path) for path in PHOTOGRAPHS]


def test_different_photographs_are_different(hashes):
    for number, own in enumerate(hashes):
        others = hashes[:number] + hashes[number + 1 :]
        assert are_known([own], others).tolist() == [False]
    assert are_known(hashes, hashes).all()


@pytest.mark.parametrize("change", ["q50", "half", "half q50", "png", "turned by EXIF"])
def test_a_copy_is_found_again(tmp_path, hashes, change):
    for path, own in list(zip(PHOTOGRAPHS, hashes, strict=True))[::6]:
        image = Image.fromarray(load_image(path))
        more = {"quality": 50} if "q50" in change else {}
        if "half" in change:
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        if "EXIF" in change:
            more["exif"] = Image.Exif()
            more["exif"][0x0112] = 6
            image = image.transpose(Image.Transpose.ROTATE_90)
        copy = tmp_path / f"copy.{'png' if change == 'png' else 'jpg'}"
        image.save(copy, **more)
        assert are_known([picture_hash(copy)], hashes).tolist() == [True]
        assert are_known([picture_hash(copy)], [h for h in hashes if h != own]).tolist() == [False]


def test_flat_and_unreadable_pictures_have_no_hash(tmp_path):
    Image.new("RGB", (80, 60), (90, 90, 90)).save(tmp_path / "flat.png")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff no image")
    paths = [str(tmp_path / name) for name in ("flat.png", "torn.jpg", "gone.png")]
    assert picture_hashes([*paths, str(PHOTOGRAPHS[0])]).keys() == {str(PHOTOGRAPHS[0])}


def test_nothing_is_known_where_nothing_is_and_a_torn_hash_is_named(hashes):
    assert are_known(hashes[:2], []).tolist() == [False, False]
    assert are_known([], hashes).shape == (0,)
    with pytest.raises(ValueError, match="64 hexadecimal digits, got 'abc'"):
        are_known(hashes[:1], ["abc"])
    assert are_known(hashes[:1], hashes[:1]).dtype == np.bool_
