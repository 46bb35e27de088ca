"""A new, untrained nano model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlamaConfig, ResNetConfig

from pondera.models.nano.configuration import NanoConfig
from pondera.models.nano.modeling import NanoForConditionalGeneration
from pondera.models.nano.processing import IMAGE_TOKEN, NanoImageProcessor, NanoProcessor
from pondera.models.nano.tokenizer import CHAT_TEMPLATE, train_tokenizer

MAX_PARAMETERS = 5_000_000


def build_nano(
    texts: Sequence[str],
    *,
    seed: int = 0,
    hidden_size: int = 160,
    num_layers: int = 4,
    vision_widths: Sequence[int] = (48, 96, 160, 256),
    tile_px: int = 96,
    num_crops: int = 4,
    grid: int = 2,
    global_tiles: int = 1,
    cell_changes: bool = False,
    mirror: bool = True,
) -> tuple[NanoForConditionalGeneration, NanoProcessor]:
    """Make a nano model and its processor with seeded random weights.

    Args:
        texts: prompts and rationales the tokenizer learns from.
        seed: for the weights; the global generator is left as it was.
        hidden_size: width of the decoder, a multiple of 32.
        num_layers: depth of the decoder.
        vision_widths: widths of the backbone's four stages.
        tile_px: side of a view in pixels.
        num_crops: native crops beside the global view.
        grid: image tokens per side of a view.
        global_tiles: views per side of the global view; with more than one, `mirror` must be off, or mirrored views
            would stand in the order of those that are not.
        cell_changes: as in `NanoConfig`.
        mirror: as in `NanoImageProcessor`.

    Raises:
        ValueError: the model would have more than five million parameters, or mirrors a global view of several tiles.
    """
    if mirror and global_tiles > 1:
        raise ValueError(f"a global view of {global_tiles} x {global_tiles} tiles cannot be mirrored; set mirror=False")
    tokenizer = train_tokenizer(texts)
    config = NanoConfig(
        vision_config=ResNetConfig(
            num_channels=6,  # colours and their high-pass residual
            embedding_size=32,
            hidden_sizes=list(vision_widths),
            depths=[1] * len(vision_widths),
            layer_type="basic",
            out_features=["stem", *(f"stage{i + 1}" for i in range(len(vision_widths)))],  # type: ignore[call-arg]
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden_size,
            intermediate_size=hidden_size * 5 // 2,
            num_hidden_layers=num_layers,
            num_attention_heads=hidden_size // 32,
            num_key_value_heads=hidden_size // 32,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        ),
        image_token_id=int(tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)),  # type: ignore[arg-type]
        tile_px=tile_px,
        num_crops=num_crops,
        grid=grid,
        global_tiles=global_tiles,
        cell_changes=cell_changes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NanoForConditionalGeneration(config)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    num_parameters = sum(p.numel() for p in model.parameters())
    if num_parameters > MAX_PARAMETERS:
        raise ValueError(f"the nano model has at most {MAX_PARAMETERS:,} parameters, this one {num_parameters:,}")
    processor = NanoProcessor(
        NanoImageProcessor(tile_px=tile_px, num_crops=num_crops, global_tiles=global_tiles, mirror=mirror),
        tokenizer,
        chat_template=CHAT_TEMPLATE,
        tokens_per_image=config.tokens_per_image,
    )
    return model, processor
