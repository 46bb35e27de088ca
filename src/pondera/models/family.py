"""The seam between Pondera and a vision-language model: prompts in, tensors out.

Everything above works on `EncodedPrompt`s: token ids with the image placeholders already expanded, and the tensors of
the images, concatenated along their first dimension over a batch. Stock families differ in their processors only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pondera.errors import ModelError


@dataclass(frozen=True)
class EncodedPrompt:
    """One prompt as the model reads it.

    Args:
        ids: token ids, image placeholders expanded.
        media: image tensors by the name of the forward argument; dimension 0 counts images or patches.
    """

    ids: tuple[int, ...]
    media: Mapping[str, torch.Tensor]


class Family:
    """A model with its processor.

    Args:
        model: a stock image-text-to-text model.
        processor: its processor.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.image_token_id = int(model.config.image_token_id)
        stops = model.generation_config.eos_token_id
        stops = [stops] if isinstance(stops, int) else list(stops or [])
        self.stop_ids = frozenset(stops or [self.tokenizer.eos_token_id])
        self.pad_id = int(
            self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else min(self.stop_ids)
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def max_length(self) -> int:
        """Longest sequence the decoder has positions for."""
        return int(self.model.config.get_text_config().max_position_embeddings)

    def prompt_text(self, text: str, num_images: int = 1) -> str:
        """One user turn, images first, through the family's own chat template, opened for the answer."""
        content: list[dict[str, str]] = [{"type": "image"}] * num_images + [{"type": "text", "text": text}]
        messages = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    def encode(self, images: Sequence[np.ndarray], text: str, *, jitter_seed: int | None = None) -> EncodedPrompt:
        """Encode one prompt.

        Args:
            images: uint8 arrays [H, W, 3].
            text: the user's words.
            jitter_seed: training only: seeded variation of the views, where the family has it.

        Raises:
            ModelError: the processor made no image tokens: the model would answer blind.
        """
        options = {} if jitter_seed is None else {"jitter_seed": jitter_seed}
        encoded = self.processor(text=[self.prompt_text(text, len(images))], images=list(images), **options)
        ids = tuple(int(token) for token in encoded.pop("input_ids")[0])
        encoded.pop("attention_mask", None)
        if images and self.image_token_id not in ids:
            raise ModelError(f"{type(self.processor).__name__} made no image tokens; the model would not see the image")
        return EncodedPrompt(ids, {name: torch.as_tensor(value) for name, value in encoded.items()})

    def encode_text(self, text: str) -> list[int]:
        """Token ids of plain text, nothing added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a completion, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def media_batch(self, prompts: Sequence[EncodedPrompt]) -> dict[str, torch.Tensor]:
        """The image tensors of several prompts, on the model's device."""
        names = {name for prompt in prompts for name in prompt.media}
        return {
            name: torch.cat([prompt.media[name] for prompt in prompts if name in prompt.media]).to(self.device)
            for name in sorted(names)
        }

    def freeze_vision(self) -> bool:
        """Stop training the vision tower.

        Returns:
            Whether `precompute` may then replace pixels by the tower's output: each image is encoded once a run.
        """
        tower = getattr(self.model.base_model, "vision_tower", None) or getattr(self.model.base_model, "visual", None)
        if tower is None:
            raise ModelError(f"{type(self.model).__name__} has no part called vision_tower or visual to freeze")
        tower.requires_grad_(False)
        return hasattr(self.model.base_model, "encode_views")

    @torch.no_grad()
    def precompute(self, prompts: Sequence[EncodedPrompt], batch_size: int = 32) -> list[EncodedPrompt]:
        """The same prompts with the frozen tower's output in place of pixels (families with `encode_views`)."""
        model = self.model.base_model
        was_training = self.model.training
        self.model.eval()
        cells: list[torch.Tensor] = []
        for start in range(0, len(prompts), batch_size):
            pixels = torch.cat([prompt.media["pixel_values"] for prompt in prompts[start : start + batch_size]])
            cells += model.encode_views(pixels.to(self.device)).cpu().split(1)
        self.model.train(was_training)
        return [EncodedPrompt(p.ids, {"image_cells": c}) for p, c in zip(prompts, cells, strict=True)]

    def save(self, folder: Any) -> None:
        """Weights (safetensors) and processor."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)
