"""The seam between Pondera and a vision-language model: prompts in, tensors out.

Everything above works on `EncodedPrompt`s: token ids with the image placeholders already expanded, and the tensors of
the images, joined over a batch. Stock families differ in their processors, in the positions of image tokens (mRoPE) and
in who sees whom (sliding windows, image tokens that look both ways); all three are read from the model itself.

Shape letters: A position axes (1, or 3 with mRoPE), R rows, T tokens.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pondera.data.presentation import Footage, Part
from pondera.errors import ModelError
from pondera.models import block_attention, flex_attention
from pondera.models.distribution import is_sharded
from pondera.models.encode_once import encode_once


@dataclass(frozen=True)
class PromptSource:
    """What a prompt was encoded from, for engines that encode on their own.

    Args:
        text: the user turn through the chat template, one placeholder a picture.
        parts: the same turn before the template: pictures, uint8 [H, W, 3], and words, in order; no clips.
    """

    text: str
    parts: tuple[np.ndarray | str, ...]

    @property
    def images(self) -> list[np.ndarray]:
        """The pictures among the parts."""
        return [part for part in self.parts if not isinstance(part, str)]


@dataclass(frozen=True)
class EncodedPrompt:
    """One prompt as the model reads it.

    Args:
        ids: token ids, image placeholders expanded.
        media: image tensors by the name of the forward argument; dimension 0 counts images or patches, but for
            Idefics-type models, where it is 1 and dimension 1 counts images.
        source: what it was encoded from; None where that does not lead to the same pixels again.
    """

    ids: tuple[int, ...]
    media: Mapping[str, torch.Tensor]
    source: PromptSource | None = None


# One value a token, and the same as "is this token an image's": made anew for whole rows instead of stored.
_TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")
_VIDEO_TYPE = 2


class Family:
    """A model with its processor.

    Args:
        model: a stock image-text-to-text model; from here on it encodes equal pictures of a pass once (`encode_once`).
        processor: its processor.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self.tokenizer = processor.tokenizer
        encode_once(self._stock.base_model)
        self.image_token_id = int(model.config.image_token_id)
        self.video_token_id: int | None = getattr(model.config, "video_token_id", None)
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
    def _stock(self) -> Any:
        """The model without an adapter around it."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def attention(self) -> str:
        """How the decoder computes attention: a name of the library, or of `block_attention` or `flex_attention`."""
        return str(self.model.config.get_text_config()._attn_implementation)

    @property
    def placeholder_ids(self) -> tuple[int, ...]:
        """Tokens that stand for parts of a picture in a prompt, and mean nothing in an answer."""
        return (self.image_token_id,) if self.video_token_id is None else (self.image_token_id, self.video_token_id)

    @property
    def max_length(self) -> int:
        """Longest sequence the decoder has positions for."""
        return int(self.model.config.get_text_config().max_position_embeddings)

    def prompt_text(self, text: str, parts: Sequence[Any] = (None,)) -> str:
        """One user turn through the family's own chat template, opened for the answer.

        Args:
            text: the question.
            parts: what stands before it, in order: words, clips, and anything else for a picture; one picture by
                default. Words behind words begin a new line, because templates join them without a space.
        """
        content = [_placeholder(part) for part in _turn((*parts, text))]
        messages = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    def encode(self, parts: Sequence[Part], text: str, *, jitter_seed: int | None = None) -> EncodedPrompt:
        """Encode one prompt.

        Args:
            parts: what is shown before the question, in order: pictures, uint8 arrays [H, W, 3], clips, and words.
            text: the question.
            jitter_seed: training only: seeded variation of the views, where the family has it.

        Raises:
            ModelError: the processor made no image tokens: the model would answer blind; or it takes no clips.
        """
        images = [part for part in parts if isinstance(part, np.ndarray)]
        clips = [part for part in parts if isinstance(part, Footage)]
        has_jitter = "jitter_seed" in inspect.signature(self.processor.__call__).parameters
        options = {"jitter_seed": jitter_seed} if has_jitter and jitter_seed is not None else {}
        pixels: dict[str, Any] = {"images": images} if images else {}
        pixels |= self._video_arguments(clips) if clips else {}
        prompt_text = self.prompt_text(text, parts)
        encoded = self.processor(text=[prompt_text], **pixels, **options)
        ids = tuple(int(token) for token in encoded.pop("input_ids")[0])
        for name in ("attention_mask", "video_metadata", *_TOKEN_TYPES):
            encoded.pop(name, None)
        if images and self.image_token_id not in ids:
            raise ModelError(f"{type(self.processor).__name__} made no image tokens; the model would not see the image")
        if clips and self.video_token_id not in ids:
            raise ModelError(f"{type(self.processor).__name__} made no video tokens; the model would not see the clip")
        # Some processors return lists of arrays, which NumPy joins and torch does not.
        media = {n: v if isinstance(v, torch.Tensor) else torch.as_tensor(np.asarray(v)) for n, v in encoded.items()}
        # Who encodes on their own cannot repeat the variation, and samples clips by rules of its own.
        source = None if options or clips else PromptSource(prompt_text, _turn((*parts, text)))
        return EncodedPrompt(ids, media, source)

    def _video_arguments(self, clips: Sequence[Footage]) -> dict[str, Any]:
        """What the processor is given of clips: all their frames, and how far apart they are.

        Raises:
            ModelError: the family has no tokens for videos, or its processor takes none.
        """
        if self.video_token_id is None or getattr(self.processor, "video_processor", None) is None:
            raise ModelError(
                f"{type(self.processor).__name__} takes no clips; show videos as pictures: set view.video to sequence, "
                "slow_fast or preresq in the recipe, or in pondera.json beside the weights"
            )
        metadata = [
            {"total_num_frames": len(clip.frames), "fps": clip.rate, "frames_indices": list(range(len(clip.frames)))}
            for clip in clips
        ]
        return {
            "videos": [clip.frames for clip in clips],
            "video_metadata": metadata,
            "do_sample_frames": False,  # sampled already, at the rate that the layout asks for
        }

    def encode_text(self, text: str) -> list[int]:
        """Token ids of plain text, nothing added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a completion, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def media_batch(self, prompts: Sequence[EncodedPrompt]) -> dict[str, torch.Tensor]:
        """The image tensors of several prompts, on the model's device."""
        names = {name for prompt in prompts for name in prompt.media}
        # Idefics-type processors put the images of one prompt side by side in dimension 1 and fill up with black ones;
        # all images in one row are the same to the model, and nothing is filled up.
        dim = 1 if "pixel_attention_mask" in names and "spatial_shapes" not in names else 0
        return {
            name: _joined([prompt.media[name] for prompt in prompts if name in prompt.media], dim).to(self.device)
            for name in sorted(names)
        }

    def positions(self, prompt: EncodedPrompt) -> torch.Tensor:
        """Position of each token of a prompt, [A, T]; the first token behind it has the position max + 1.

        With mRoPE (Qwen-VL, GLM-V) an image token has a time, a row and a column, and the text behind an image goes on
        from the largest of them, so positions are not a count of tokens.
        """
        rope_index = self._rope_index()
        if rope_index is None:
            return torch.arange(len(prompt.ids))[None]
        ids_RT = torch.tensor([prompt.ids])
        names = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")
        grids = {name: prompt.media[name].cpu() for name in names if name in prompt.media}
        type_RT = self._token_type(ids_RT)
        position_ART, _ = rope_index(input_ids=ids_RT, mm_token_type_ids=type_RT, **grids)
        return _behind_clips(position_ART[:, 0], type_RT[0] == _VIDEO_TYPE)

    def _rope_index(self) -> Any | None:
        """The model's own function from tokens and image grids to mRoPE positions; None without mRoPE."""
        return next((m.get_rope_index for m in self.model.modules() if hasattr(m, "get_rope_index")), None)

    def token_types(self, ids_RT: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the forward pass wants to know about each token beside its id; empty for most families."""
        return {name: self._token_type(ids_RT) for name in _TOKEN_TYPES if name in self._forward_arguments()}

    def _token_type(self, ids_RT: torch.Tensor) -> torch.Tensor:
        """0 text, 1 image, 2 video."""
        type_RT = (ids_RT == self.image_token_id).int()
        if self.video_token_id is None:
            return type_RT
        return type_RT + _VIDEO_TYPE * (ids_RT == self.video_token_id).int()

    def _forward_arguments(self) -> frozenset[str]:
        model = self._stock
        return frozenset(inspect.signature(model.forward).parameters)

    def packing_obstacle(self, longest: int) -> str | None:
        """Why this model cannot read packed rows; None when it can.

        Args:
            longest: tokens of the longest prefix with one branch.
        """
        config = self.model.config.get_text_config()
        arguments = self._forward_arguments()
        if self.attention not in ("sdpa", "eager", block_attention.NAME, flex_attention.NAME):
            return f"{self.attention} takes no additive mask; load the model with attn_implementation='sdpa'"
        if "logits_to_keep" not in arguments:
            return "its forward pass takes no logits_to_keep"
        # Stock families read token types for two reasons only: mRoPE positions, and image tokens that look both ways.
        has_types = any(name in arguments for name in _TOKEN_TYPES)
        if has_types and self._rope_index() is None:
            return "its image tokens attend to one another in both directions"
        return _layer_obstacle(config, longest)

    def freeze_vision(self) -> bool:
        """Stop training the vision tower.

        Returns:
            Whether `precompute` may then replace pixels by the tower's output: each image is encoded once a run.
        """
        self._vision_tower().requires_grad_(False)
        # Pieces of a sharded model come together in its root forward pass only, which `precompute` does not take.
        return hasattr(self._stock.base_model, "encode_images") and not is_sharded(self.model)

    def vision_digest(self) -> str:
        """Hash of the vision tower's weights, with their type and where they are."""
        digest = hashlib.sha256()
        for name, tensor in self._vision_tower().state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tensor.device}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def _vision_tower(self) -> torch.nn.Module:
        base = self._stock.base_model
        names = ("vision_tower", "visual", "vision_model")
        found = [getattr(base, name) for name in names if hasattr(base, name)]
        if not found:
            raise ModelError(f"{type(self.model).__name__} has no part called {', '.join(names)} to freeze")
        return found[0]  # type: ignore[no-any-return]

    def freeze_projector(self) -> None:
        """Stop training what turns the tower's output into image tokens; nano's mark of the view goes on learning.

        Raises:
            ModelError: the model has no such part under a known name.
        """
        base = self._stock.base_model
        names = ("projector", "multi_modal_projector", "connector")
        found = [getattr(base, name) for name in names if hasattr(base, name)]
        found += [part for part in [getattr(getattr(base, "visual", None), "merger", None)] if part is not None]
        if not found:
            raise ModelError(f"{type(self.model).__name__} has no part called {', '.join(names)} or visual.merger")
        for name, parameter in found[0].named_parameters():
            parameter.requires_grad_(name == "place" or name.startswith("changes."))

    @torch.no_grad()
    def precompute(self, prompts: Sequence[EncodedPrompt], batch_size: int = 32) -> list[EncodedPrompt]:
        """The same prompts with the frozen tower's output in place of pixels (families with `encode_images`)."""
        model = self._stock.base_model
        was_training = self.model.training
        self.model.eval()
        pictures = [picture for prompt in prompts for picture in prompt.media["pixel_values"].split(1)]
        cells: list[torch.Tensor] = []
        for start in range(0, len(pictures), batch_size):
            pixels = torch.cat(pictures[start : start + batch_size])
            cells += model.encode_images(pixels.to(self.device)).cpu().split(1)
        self.model.train(was_training)
        rest = iter(cells)
        joined = [torch.cat([next(rest) for _ in prompt.media["pixel_values"]]) for prompt in prompts]
        return [EncodedPrompt(p.ids, {"image_cells": c}) for p, c in zip(prompts, joined, strict=True)]

    def save(self, folder: Any, state: Mapping[str, torch.Tensor] | None = None) -> None:
        """Weights (safetensors) and processor; `state` holds the weights that the model has no single tensors of."""
        model = self._stock
        pieces = getattr(model.config, "distributed_config", None)
        if state is not None and pieces is not None:
            model.config.distributed_config = None  # or the library would put the pieces together again
        try:
            model.save_pretrained(folder, state_dict=state)
        finally:
            if pieces is not None:
                model.config.distributed_config = pieces
        self.processor.save_pretrained(folder)


def _turn(parts: Sequence[Any]) -> tuple[Any, ...]:
    """The parts of a user turn, words behind words joined by a new line."""
    turn: list[Any] = []
    for part in parts:
        if turn and isinstance(part, str) and isinstance(turn[-1], str):
            turn[-1] = f"{turn[-1]}\n{part}"
        else:
            turn.append(part)
    return tuple(turn)


def _placeholder(part: Any) -> dict[str, str]:
    """One part of a user turn as chat templates know it."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "video"} if isinstance(part, Footage) else {"type": "image"}


def _behind_clips(position_AT: torch.Tensor, is_clip_T: torch.Tensor) -> torch.Tensor:
    """Positions with what follows a clip moved behind its last moment.

    As Qwen2.5-VL was released, text goes on from the largest position of a clip, its time among them. transformers 5.23
    counts rows and columns only: text behind a long clip would lie amid its frames, and decoding, which goes on from
    the largest, would jump. Where the library is right, nothing moves.
    """
    moved_AT = position_AT.clone()
    ends = (is_clip_T[:-1] & ~is_clip_T[1:]).nonzero().squeeze(1).tolist()
    for end in ends:
        missing = int(moved_AT[:, : end + 1].max()) + 1 - int(moved_AT[:, end + 1].min())
        moved_AT[:, end + 1 :] += max(0, missing)
    return moved_AT


def _layer_obstacle(config: Any, longest: int) -> str | None:
    """Layers that see less than all earlier tokens, unless their window holds the longest sequence."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
    window = getattr(config, "sliding_window", None)
    # Families without `layer_types` slide in all layers as soon as they have a window.
    if "sliding_attention" in kinds or (window and not getattr(config, "layer_types", None)):
        kinds.discard("sliding_attention")
        if window is not None and longest > window:
            return f"its sliding window of {window} tokens is shorter than a sequence of {longest}"
    return f"it has layers of the kind {', '.join(sorted(kinds))}" if kinds else None


def _joined(tensors: Sequence[torch.Tensor], dim: int) -> torch.Tensor:
    """Join along one dimension; the others are filled up with zeros to the largest (images of different sizes)."""
    shapes = [[*t.shape[:dim], 0, *t.shape[dim + 1 :]] for t in tensors]
    size = [max(sizes) for sizes in zip(*shapes, strict=True)]
    padded = []
    for tensor in tensors:
        missing = [0 if d == dim else size[d] - tensor.shape[d] for d in range(tensor.ndim)]
        # `pad` counts dimensions from the last one.
        amounts = [amount for d in reversed(range(tensor.ndim)) for amount in (0, missing[d])]
        padded.append(torch.nn.functional.pad(tensor, amounts) if any(missing) else tensor)
    return torch.cat(padded, dim=dim)
