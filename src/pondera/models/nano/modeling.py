"""The nano model: a stock convolutional backbone and a stock decoder behind one small class.

A view (global or native crop) passes through the backbone; the mean over each cell of a small grid of every selected
feature map, and the standard deviation beside it, become one image token per cell. Noise, blur and compression are
texture: their statistics, not their places, carry the quality, which is why the spread is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoBackbone, AutoModel, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from pondera.models.encode_once import find_repeats
from pondera.models.nano.configuration import NanoConfig


class NanoPreTrainedModel(PreTrainedModel):
    """What the library needs to know about the family."""

    config_class = NanoConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012 - the library's own form
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012 - the library's own form


def with_residual(pixels: torch.Tensor, gain: float = 4.0) -> torch.Tensor:
    """Put the high-pass residual beside the colours: pixels minus their 3 x 3 mean, amplified.

    Noise, blur and blocking live in differences of a few grey levels between neighbours, which a network that starts
    from random weights finds only slowly under the large swings of the picture itself. Measured in
    `docs/experiments.md`.

    Args:
        pixels: [N, 3, h, w].
        gain: brings the residual of an ordinary photograph to the size of the colours.

    Returns:
        [N, 6, h, w].
    """
    # Sums of shifted slices: on processors three times as fast as avg_pool2d of the pixels' channels-last layout.
    padded = F.pad(pixels.contiguous(), (1, 1, 1, 1), mode="replicate")
    row_sum = padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]
    smooth = (row_sum[..., :-2, :] + row_sum[..., 1:-1, :] + row_sum[..., 2:, :]) / 9
    return torch.cat([pixels, (pixels - smooth) * gain], dim=1)


def pooled_statistics(feature_maps: tuple[torch.Tensor, ...], grid: int) -> torch.Tensor:
    """Mean and standard deviation of every feature map over a grid of cells.

    Args:
        feature_maps: each [N, C, h, w].
        grid: cells per side.

    Returns:
        [N, grid x grid, twice the sum of C].
    """
    pooled = []
    for feature in feature_maps:
        mean = F.adaptive_avg_pool2d(feature, grid)
        square = F.adaptive_avg_pool2d(feature.square(), grid)
        # The floor keeps the square root differentiable where a cell is flat.
        pooled += [mean, (square - mean.square()).clamp_min(1e-6).sqrt()]
    return torch.cat(pooled, dim=1).flatten(2).transpose(1, 2)


NUM_CHANGES = 2  # numbers that say how a cell differs from the one before


def cell_changes(pixel_values: torch.Tensor, tiles: int, grid: int) -> torch.Tensor:
    """How far every cell of a global view is from the one before it, row by row: in pixels, and in brightness.

    Logarithms, because a picture that stands still and one that moves a little differ by orders of magnitude; of
    pixels, because features that are normalised no longer say how much changed (measured in `docs/experiments.md`).

    Args:
        pixel_values: the tiles of global views, row by row, in [-1, 1], [images, tiles x tiles, 3, px, px].
        tiles: per side of the global view.
        grid: cells per side of a tile.

    Returns:
        [images, tiles x tiles, grid x grid, 2], about -1.5 for no change, 1.5 for a cut; 0 for the first cell.
    """
    px = pixel_values.shape[-1] // grid
    whole = pixel_values[..., : px * grid, : px * grid].unflatten(1, (tiles, tiles)).permute(0, 3, 1, 4, 2, 5)
    picture = whole.flatten(4, 5).flatten(2, 3)  # [images, 3, side, side]
    cells = picture.unflatten(3, (tiles * grid, px)).unflatten(2, (tiles * grid, px)).permute(0, 2, 4, 1, 3, 5)
    rows = cells.flatten(1, 2)  # [images, cells, 3, px, px]
    difference = rows[:, 1:] - rows[:, :-1]
    size = torch.stack([difference.abs().mean((2, 3, 4)), difference.mean((2, 3, 4)).abs()], dim=-1)
    change = F.pad(((size + 1e-3).log() + 4) / 2, (0, 0, 1, 0))
    return change.unflatten(1, (tiles, grid, tiles, grid)).transpose(2, 3).flatten(3, 4).flatten(1, 2)


class NanoProjector(nn.Module):
    """Statistics of the cells of all views -> image tokens."""

    def __init__(self, config: NanoConfig, channels: int) -> None:
        super().__init__()
        hidden = config.text_config.hidden_size
        self.norm = nn.LayerNorm(2 * channels)
        self.linear_1 = nn.Linear(2 * channels, hidden)
        self.linear_2 = nn.Linear(hidden, hidden)
        # The decoder cannot tell the views apart without this: positions restart with every prompt's length.
        self.place = nn.Parameter(torch.zeros(config.num_views, config.grid**2, hidden))
        self.tiles, self.grid = config.global_tiles, config.grid
        self.changes: nn.Module | None = None
        if config.cell_changes:
            self.changes = nn.Sequential(nn.Linear(NUM_CHANGES, hidden), nn.GELU(), nn.Linear(hidden, hidden))

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """Cells of whole images (`NanoModel.encode_images`) -> image tokens [images, views x cells, hidden]."""
        if self.changes is None:
            return (self.without_place(cells) + self.place).flatten(1, 2)
        tokens = self.without_place(cells[..., :-NUM_CHANGES]) + self.place
        num_tiles = self.tiles**2
        change = self.changes(cells[:, :num_tiles, :, -NUM_CHANGES:])
        return torch.cat([tokens[:, :num_tiles] + change, tokens[:, num_tiles:]], dim=1).flatten(1, 2)

    def without_place(self, cells: torch.Tensor) -> torch.Tensor:
        """Cells [..., channels] -> tokens [..., hidden] that do not say from which view they are."""
        return self.linear_2(F.gelu(self.linear_1(self.norm(cells))))


class NanoModel(NanoPreTrainedModel):
    """Backbone, projector and decoder without the language-model head."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        self.vision_tower = AutoBackbone.from_config(config.vision_config)
        self.projector = NanoProjector(config, sum(self.vision_tower.channels))
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.language_model.set_input_embeddings(value)

    def encode_views(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Pixels [images, views, 3, px, px] in [-1, 1] -> cells [images, views, cells, channels]."""
        views = with_residual(pixel_values.flatten(0, 1)).to(self.dtype).contiguous(memory_format=torch.channels_last)
        cells = pooled_statistics(self.vision_tower(views).feature_maps, self.config.grid)
        return cells.unflatten(0, pixel_values.shape[:2])

    def encode_images(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """All views of images -> what the projector reads: cells, and with `cell_changes` two channels more.

        Args:
            pixel_values: [images, views, 3, px, px] in [-1, 1], the global view's tiles first.

        Returns:
            [images, views, cells, channels].
        """
        cells = self.encode_views(pixel_values)
        if not self.config.cell_changes:
            return cells
        num_tiles = self.config.global_tiles**2
        change = cell_changes(pixel_values[:, :num_tiles], self.config.global_tiles, self.config.grid).to(cells.dtype)
        return torch.cat([cells, F.pad(change, (0, 0, 0, 0, 0, cells.shape[1] - num_tiles))], dim=-1)

    def encode_different(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The same, with images that are equal encoded once."""
        repeats = find_repeats([(image,) for image in pixel_values], self.vision_tower)
        if repeats is None:
            return self.encode_images(pixel_values)
        return self.encode_images(pixel_values[repeats.first_U])[repeats.different_N]

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Pixels [images, views, 3, px, px] in [-1, 1] -> image tokens [images, tokens, hidden]."""
        return self.projector(self.encode_images(pixel_values))

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        image_cells: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Embed, put the image tokens in their places, decode. `image_cells` stand in for pixels already encoded."""
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if pixel_values is not None:
            image_cells = self.encode_different(pixel_values)
        if image_cells is not None:
            feature = self.projector(image_cells).to(inputs_embeds.dtype)
            place = input_ids == self.config.image_token_id
            if int(place.sum()) != feature.shape[0] * feature.shape[1]:
                raise ValueError(
                    f"{int(place.sum())} image tokens in the text but {feature.shape[0] * feature.shape[1]} from "
                    f"{feature.shape[0]} images; make both with the same processor"
                )
            inputs_embeds = inputs_embeds.masked_scatter(place.unsqueeze(-1), feature)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )


class NanoForConditionalGeneration(NanoPreTrainedModel, GenerationMixin):
    """The nano model with its language-model head."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        self.model = NanoModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The language-model head."""
        return self.lm_head

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits, and the loss where labels are given.

        Args:
            input_ids: [batch, T]; image tokens stand where image features go.
            pixel_values: [images, views, 3, px, px], images in the order of their tokens.
            attention_mask: [batch, T], or an additive [batch, 1, T, T].
            position_ids: [batch, T].
            past_key_values: cache of earlier tokens.
            inputs_embeds: instead of `input_ids`.
            labels: [batch, T], -100 where there is no loss.
            use_cache: return the cache.
            logits_to_keep: how many last positions, or an index tensor of positions, get logits; 0 is all.
            **kwargs: passed to the decoder.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        if isinstance(logits_to_keep, torch.Tensor):
            hidden = hidden[:, logits_to_keep]
        elif logits_to_keep:
            hidden = hidden[:, -logits_to_keep:]
        logits = self.lm_head(hidden)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=outputs.past_key_values)

    def prepare_inputs_for_generation(self, input_ids: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Images are read with the prompt only; afterwards they are in the cache."""
        pixel_values = kwargs.pop("pixel_values", None)
        is_first_iteration = kwargs.get("is_first_iteration", False)
        inputs = super().prepare_inputs_for_generation(input_ids, *args, **kwargs)  # type: ignore[misc]
        inputs["pixel_values"] = pixel_values if is_first_iteration or not kwargs.get("use_cache", True) else None
        return inputs
