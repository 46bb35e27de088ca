"""What the nano model sees: a global view of the whole image, and crops at native resolution.

Resizing a photograph destroys the very evidence a quality model needs (noise, blur, blocking), so the crops are cut
without any scaling. Small images are mirrored at their borders up to the size of a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

IMAGE_TOKEN = "<image>"


class NanoImageProcessor(BaseImageProcessor):
    """Images of any size -> views [images, 1 + crops, 3, px, px], float32 in [-1, 1].

    Args:
        tile_px: side of a view.
        num_crops: native crops; their centres spread evenly over the image.
        global_tiles: the global view is scaled to so many views per side and cut into them, row by row.
        mirror: whether jitter mirrors left and right; off where the order of places means something, as in a montage.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012 - the library's own form

    def __init__(
        self, tile_px: int = 96, num_crops: int = 4, global_tiles: int = 1, mirror: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.tile_px = tile_px
        self.num_crops = num_crops
        self.global_tiles = global_tiles
        self.mirror = mirror

    def preprocess(
        self, images: Any, jitter_seed: int | None = None, return_tensors: Any = None, **_: Any
    ) -> BatchFeature:
        """Cut the views of one image or a list of them.

        Args:
            images: PIL images or uint8 arrays [H, W, 3]; nested lists are flattened.
            jitter_seed: training only: crops at seeded random places instead of the even spread, and, with `mirror`,
                seeded left-right mirroring.
            return_tensors: ignored by design of the format: the result is always torch.
        """
        views = [self._views(_to_array(image), jitter_seed, i) for i, image in enumerate(_flatten(images))]
        return BatchFeature({"pixel_values": to_pixel_values(torch.from_numpy(np.stack(views)))})

    def _views(self, image: np.ndarray, jitter_seed: int | None, index: int) -> np.ndarray:
        px, num = self.tile_px, self.global_tiles
        scaled = Image.fromarray(image).resize((num * px, num * px), Image.Resampling.BILINEAR, reducing_gap=2.0)
        tiles = np.asarray(scaled).reshape(num, px, num, px, 3).swapaxes(1, 2).reshape(-1, px, px, 3)
        native = _mirror_up_to(image, px)
        rng = None if jitter_seed is None else np.random.default_rng([jitter_seed, index])
        crops = [native[y : y + px, x : x + px] for x, y in self._corners(native.shape[1], native.shape[0], rng)]
        views = np.stack([*tiles, *crops])
        if rng is not None and self.mirror and rng.random() < 0.5:
            views = views[:, :, ::-1]
        return np.ascontiguousarray(views)

    def _corners(self, width: int, height: int, rng: np.random.Generator | None) -> list[tuple[int, int]]:
        """Upper left corners of the crops: cells of a near-square lattice, or seeded places in training."""
        room_x, room_y = width - self.tile_px, height - self.tile_px
        if rng is not None:
            return [(int(rng.integers(room_x + 1)), int(rng.integers(room_y + 1))) for _ in range(self.num_crops)]
        columns = int(np.ceil(np.sqrt(self.num_crops)))
        rows = int(np.ceil(self.num_crops / columns))
        corners = []
        for i in range(self.num_crops):
            row, column = divmod(i, columns)
            in_row = min(columns, self.num_crops - row * columns)
            corners.append((round(room_x * (column + 0.5) / in_row), round(room_y * (row + 0.5) / rows)))
        return corners


def to_pixel_values(views: torch.Tensor) -> torch.Tensor:
    """Views uint8 [..., px, px, 3] as the model reads them: float32 [..., 3, px, px] in [-1, 1]."""
    return views.movedim(-1, -3).to(torch.float32).div_(127.5).sub_(1.0)


class NanoProcessor(ProcessorMixin):
    """Image processor and tokenizer as one; expands each `<image>` to the tokens of its image."""

    def __init__(
        self,
        image_processor: NanoImageProcessor | None = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        tokens_per_image: int = 20,
        **kwargs: Any,
    ) -> None:
        self.tokens_per_image = tokens_per_image
        self.image_token = IMAGE_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        super().__init__(image_processor, tokenizer, chat_template=chat_template, **kwargs)

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        jitter_seed: int | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Tokenise texts and cut views.

        Args:
            images: images in the order of the `<image>` marks in the texts.
            text: one text or a list.
            jitter_seed: see `NanoImageProcessor.preprocess`.
            **kwargs: for the tokenizer.

        Raises:
            ValueError: the numbers of images and of marks differ.
        """
        data: dict[str, Any] = {}
        flat = _flatten(images) if images is not None else []
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            marks = sum(t.count(IMAGE_TOKEN) for t in texts)
            if marks != len(flat):
                raise ValueError(f"{marks} {IMAGE_TOKEN} marks in the text but {len(flat)} images")
            texts = [t.replace(IMAGE_TOKEN, IMAGE_TOKEN * self.tokens_per_image) for t in texts]
            data.update(self.tokenizer(texts, **kwargs))
        if flat:
            data.update(self.image_processor.preprocess(flat, jitter_seed=jitter_seed))
        return BatchFeature(data)

    @property
    def model_input_names(self) -> list[str]:
        """What the model's forward pass takes from here."""
        return ["input_ids", "attention_mask", "pixel_values"]


def _flatten(images: Any) -> list[Any]:
    if isinstance(images, (list, tuple)):
        return [image for group in images for image in _flatten(group)]
    return [images]


def _to_array(image: Any) -> np.ndarray:
    array = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"an image is a PIL image or a uint8 array [H, W, 3], got {array.dtype} {array.shape}")
    return array


def _mirror_up_to(image: np.ndarray, side: int) -> np.ndarray:
    pad_y, pad_x = max(0, side - image.shape[0]), max(0, side - image.shape[1])
    if not pad_y and not pad_x:
        return image
    before_y, before_x = pad_y // 2, pad_x // 2
    return np.pad(image, ((before_y, pad_y - before_y), (before_x, pad_x - before_x), (0, 0)), mode="symmetric")
