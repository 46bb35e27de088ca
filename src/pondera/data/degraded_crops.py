"""Crops of pristine pictures, each in several damaged versions: what a vision tower learns distortions from.

The versions of one crop differ in their damage and in nothing else, so whatever tells them apart is the damage; in a
batch of unrelated images it is mostly the scene. Made on the fly, so no version is seen twice. Nothing here is an
opinion: type and level of a distortion are facts, and so is what a full-reference metric says of a version. Shape
letters: V versions, T types of distortion, P side in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pondera.core.records import Distortion
from pondera.data.distortions import CAPTURE_ORDER, DISTORTIONS, distort
from pondera.data.full_reference import mdsi, pseudo_mos

UInt8Array = NDArray[np.uint8]

_DOUBLE_SHARE = 0.25  # of the damaged versions
_THUMBNAIL_EVERY = 6  # every so many groups are small copies of large crops: what a model's global view looks like
_MARGIN = 1.5  # the damage is done on a crop larger by this factor, so that no border and no codec grid is in phase
_THUMBNAIL_OF = (4.0, 8 / 3)  # width and height that a thumbnail shows, in sides of a view


@dataclass(frozen=True)
class CropGroup:
    """One crop in V versions, the first of them untouched.

    Args:
        views_VPPC: uint8 [V, P, P, 3].
        level_VT: level of each type in `DISTORTIONS`, as a share of the strongest: 0 (absent) to 1, [V, T].
        pseudo_mos_V: of each version against the first, 1 to 5, [V]; None where it was not asked for.
    """

    views_VPPC: UInt8Array
    level_VT: NDArray[np.float32]
    pseudo_mos_V: NDArray[np.float32] | None = None


def crop_group(
    pictures: Sequence[UInt8Array],
    *,
    side_px: int,
    num_versions: int,
    seed: int,
    index: int,
    num_types: int | None = None,
    with_pseudo_mos: bool = False,
) -> CropGroup:
    """Group number `index` of the endless sequence that `seed` names.

    Args:
        pictures: pristine, uint8 [H, W, 3] of any size; each is chosen equally often. Only one is looked up.
        side_px: P.
        num_versions: V, >= 2.
        seed: >= 0.
        index: >= 0; groups do not depend on each other.
        num_types: draw the damage of all versions from so many types, so that more of them differ in strength only;
            None draws from all.
        with_pseudo_mos: also compare each version with the untouched one.

    Raises:
        ValueError: there are no pictures, or fewer than two versions.
    """
    if not pictures or num_versions < 2:
        raise ValueError(
            f"need pictures and at least 2 versions, got {len(pictures)} pictures, {num_versions} versions"
        )
    generator = np.random.default_rng([seed, index])
    is_thumbnail = index % _THUMBNAIL_EVERY == 0
    size = _THUMBNAIL_OF if is_thumbnail else (_MARGIN, _MARGIN)
    crop = _crop(
        pictures[int(generator.integers(len(pictures)))], [round(share * side_px) for share in size], generator
    )
    place = generator.random(2)
    names = list(DISTORTIONS)
    if num_types is not None:
        names = [names[i] for i in generator.choice(len(names), num_types, replace=False)]
    views, levels = [], []
    for version in range(num_versions):
        distortions = _drawn(names, generator) if version else ()
        damaged = crop
        for distortion in distortions:
            damaged = distort(damaged, distortion, int(generator.integers(2**31)))
        views.append(_small(damaged, side_px) if is_thumbnail else _cut(damaged, side_px, place))
        levels.append(_level_vector(distortions))
    mos = [pseudo_mos(mdsi(views[0], view)) for view in views] if with_pseudo_mos else None
    return CropGroup(np.stack(views), np.stack(levels), None if mos is None else np.array(mos, np.float32))


def _crop(picture: UInt8Array, size: Sequence[int], generator: np.random.Generator) -> UInt8Array:
    """A random crop of (width, height), mirrored half of the time; less where the picture is smaller."""
    width, height = (min(want, have) for want, have in zip(size, picture.shape[1::-1], strict=True))
    left = int(generator.integers(picture.shape[1] - width + 1))
    top = int(generator.integers(picture.shape[0] - height + 1))
    crop = picture[top : top + height, left : left + width]
    return np.ascontiguousarray(crop[:, ::-1] if generator.random() < 0.5 else crop)


def _drawn(names: Sequence[str], generator: np.random.Generator) -> tuple[Distortion, ...]:
    """One distortion of a random type and level, or two of different aspects in the order of a camera."""
    chosen = [names[int(generator.integers(len(names)))]]
    if generator.random() < _DOUBLE_SHARE:
        others = [name for name in names if DISTORTIONS[name].aspect != DISTORTIONS[chosen[0]].aspect]
        chosen += [others[int(generator.integers(len(others)))]] if others else []
    chosen.sort(key=lambda name: CAPTURE_ORDER[DISTORTIONS[name].aspect])
    return tuple(Distortion(name, int(generator.integers(1, 6))) for name in chosen)


def _small(image: UInt8Array, side_px: int) -> UInt8Array:
    return np.asarray(Image.fromarray(image).resize((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=2.0))


def _cut(image: UInt8Array, side_px: int, place: NDArray[np.float64]) -> UInt8Array:
    """The same square of every version; a picture smaller than that is mirrored at its borders."""
    pad = [(0, max(0, side_px - side)) for side in image.shape[:2]]
    image = np.pad(image, (*pad, (0, 0)), mode="symmetric")
    top, left = (int(share * (side - side_px + 1)) for share, side in zip(place, image.shape[:2], strict=True))
    return image[top : top + side_px, left : left + side_px]


def _level_vector(distortions: Sequence[Distortion]) -> NDArray[np.float32]:
    level_of = {distortion.type: distortion.level / 5 for distortion in distortions}
    return np.array([level_of.get(name, 0.0) for name in DISTORTIONS], np.float32)
