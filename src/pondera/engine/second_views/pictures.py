"""What second views do to a picture: damage that can be seen, and blacked-out patches. NumPy and Pillow.

Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pondera.data.full_reference import mdsi

UInt8Array = NDArray[np.uint8]
DamageKind = Literal["noise", "blur", "jpeg", "darken"]

_FIRST = {"noise": 45.0, "blur": 2.0, "jpeg": 5.0, "darken": 0.6}
_STRONGER = {"noise": 65.0, "blur": 4.0, "jpeg": 5.0, "darken": 0.5}
_JPEG_PASSES = 3


@dataclass(frozen=True, slots=True)
class Damage:
    """One degradation of a picture.

    Args:
        kind: `noise` of a standard deviation in steps of 255, `blur` of a radius in pixels, `jpeg` of a quality
            setting, `darken` by a factor on the stored values.
        value: the parameter.
    """

    kind: DamageKind
    value: float

    def __call__(self, image_HWC: UInt8Array, seed: int) -> UInt8Array:
        """The damaged picture, the same size; seeded noise."""
        if self.kind == "noise":
            noise_HWC = np.random.default_rng(seed).normal(0.0, self.value, image_HWC.shape)
            return _rounded(image_HWC + noise_HWC)
        if self.kind == "darken":
            return _rounded(image_HWC * self.value)
        picture = Image.fromarray(image_HWC)
        if self.kind == "blur":
            return np.asarray(picture.filter(ImageFilter.GaussianBlur(self.value)))
        for _ in range(_JPEG_PASSES):
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=int(self.value))
            picture = Image.open(buffer)
        return np.asarray(picture.convert("RGB"))


def visible_damage(images: Sequence[UInt8Array], seed: int, *, threshold: float) -> Damage | None:
    """A degradation that changes at least one of these pictures visibly.

    One of four is drawn. Where it cannot be seen (noise on noise, blur on blur), a stronger one of another kind is
    drawn; where that cannot be seen either, there is none.

    Args:
        images: uint8 [H, W, 3], at least one.
        seed: decides the kinds and the noise.
        threshold: MDSI from which damage counts as visible, > 0.

    Source: Q-Hawkeye arXiv:2601.22920 (code): noise 45, blur 2, three passes of JPEG 5, darken 0.6; then another kind
    with noise 65, blur 4, JPEG 5, darken 0.5. There a vision-language model is asked whether a pair is virtually
    indistinguishable; here a full-reference metric is, MDSI. Drawing evenly is ours.
    """
    kinds = np.random.default_rng(seed).permutation(get_args(DamageKind))[:2]
    for kind, values in zip(kinds.tolist(), (_FIRST, _STRONGER), strict=True):
        damage = Damage(kind, values[kind])
        if any(mdsi(image, damage(image, seed)) >= threshold for image in images):
            return damage
    return None


def masked(image_HWC: UInt8Array, seed: int, *, patch_px: int, probability: float) -> UInt8Array:
    """The picture with square patches blacked out, each with a probability of its own; at least one.

    Args:
        image_HWC: uint8 [H, W, 3].
        seed: decides which.
        patch_px: side of a patch in pixels of the picture, >= 1; the last row and column may be cut.
        probability: of each patch, in (0, 1].

    Source: PAPO arXiv:2507.06448: patch 14, probability 0.6. Black is ours; there patches are those of the model's
    input, here those of the picture before the processor scales it.
    """
    height, width = image_HWC.shape[:2]
    rng = np.random.default_rng(seed)
    rows, columns = -(-height // patch_px), -(-width // patch_px)
    hidden_RC = rng.random((rows, columns)) < probability
    hidden_RC[rng.integers(rows), rng.integers(columns)] = True
    hidden_HW = hidden_RC.repeat(patch_px, 0)[:height].repeat(patch_px, 1)[:, :width]
    return np.where(hidden_HW[:, :, None], np.uint8(0), image_HWC)


def _rounded(value_HWC: NDArray[np.floating[Any]]) -> UInt8Array:
    return np.clip(np.rint(value_HWC), 0, 255).astype(np.uint8)
