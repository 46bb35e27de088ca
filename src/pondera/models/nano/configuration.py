"""Configuration of the built-in nano model."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import AutoConfig, PretrainedConfig


class NanoConfig(PretrainedConfig):
    """A convolutional backbone, a projector, and a small decoder.

    Args:
        vision_config: configuration of a stock backbone (`AutoBackbone`); its `out_features` are what the projector
            sees, each average-pooled to the same grid.
        text_config: configuration of a stock decoder (`AutoModel`).
        image_token_id: the placeholder that image features replace.
        tile_px: side of a view in pixels; every view is square.
        num_crops: native-resolution crops beside the global view.
        grid: each view becomes grid x grid image tokens.
        global_tiles: the global view is scaled to so many views per side and cut into them. With 2 and a grid of 2,
            every cell of a 4 x 4 montage has an image token of its own.
        cell_changes: image tokens of the global view also say how far its cells are from the one before, row by row:
            in a montage, how much changed from frame to frame.
    """

    model_type = "pondera_nano"
    sub_configs: ClassVar[dict[str, Any]] = {"vision_config": AutoConfig, "text_config": AutoConfig}

    vision_config: Any = None
    text_config: Any = None
    image_token_id: int = 0
    tile_px: int = 96
    num_crops: int = 4
    grid: int = 2
    global_tiles: int = 1
    cell_changes: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        self.vision_config = _as_config(self.vision_config, "resnet")
        self.text_config = _as_config(self.text_config, "llama")
        super().__post_init__(**kwargs)

    @property
    def num_views(self) -> int:
        """Views of one image: those of the global view, then the crops."""
        return self.global_tiles**2 + self.num_crops

    @property
    def tokens_per_image(self) -> int:
        """Image tokens of one image."""
        return self.num_views * self.grid**2


def _as_config(value: Any, default_type: str) -> PretrainedConfig:
    if isinstance(value, PretrainedConfig):
        return value
    values = dict(value or {})
    return AutoConfig.for_model(values.pop("model_type", default_type), **values)
