"""Flex attention for packed rows: one compiled kernel on the GPU that never touches what the mask hides.

The mask is a rule from which torch derives the blocks that a kernel may skip, in place of a square of numbers: memory
grows with the length of a row, not with its square. The library's own interface to the kernel is open only to models
that declare it, and Qwen-VL does not; this one is chosen by us, for packed rows alone.

Shape letters: R rows, T columns, D width of a head.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from pondera.errors import ModelError

NAME = "pondera_flex"


def use_flex_attention(model: Any) -> None:
    """Let the decoder of a model compute packed rows with flex attention; everything else runs through SDPA as before.

    Raises:
        ModelError: the model is not on a GPU; torch has no gradients of flex attention elsewhere.
    """
    if model.device.type != "cuda":
        raise ModelError(
            f"flex attention trains on CUDA GPUs only, and the model is on {model.device.type}; "
            "set model.attention: auto in the recipe"
        )
    model.set_attn_implementation({"text_config": NAME})


def flex_mask(segment_RT: torch.Tensor) -> BlockMask:
    """Each token sees the prefix and its own branch, up to itself.

    Args:
        segment_RT: number of each column's branch, from 1; 0 prefix, -1 padding.
    """

    def sees(row: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        of_key = segment_RT[row, key]
        is_visible = ((of_key == 0) | (of_key == segment_RT[row, query])) & (of_key >= 0) & (key <= query)
        return is_visible | (key == query)  # padding sees itself: a row of nothing has no softmax

    num_rows, length = segment_RT.shape
    return create_block_mask(sees, num_rows, None, length, length, device=segment_RT.device)


def packed_flex_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | BlockMask | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The library's attention interface; [R, heads, T, D] in, [R, T, heads, D] out.

    Args:
        module: the layer.
        query: of all columns.
        key: of all columns.
        value: of all columns.
        attention_mask: from `flex_mask`; with any other (generation, padded rows) this is SDPA.
        scaling: of the scores.
        dropout: of the weights.
        **kwargs: for SDPA.

    Raises:
        ModelError: dropout on packed rows, which the kernel does not have.
    """
    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    if dropout > 0:
        raise ModelError(f"flex attention has no dropout, and the model asks for {dropout}; set model.attention: auto")
    kernel = _compiled() if query.is_cuda else flex_attention
    # Under autocast the rotary embedding has turned queries and keys back into float32.
    query, key = query.to(value.dtype), key.to(value.dtype)
    output = kernel(query, key, value, block_mask=attention_mask, scale=scaling, enable_gqa=True)
    return output.transpose(1, 2).contiguous(), None


@functools.cache
def _compiled() -> Any:
    """Uncompiled, flex attention computes every cell."""
    return torch.compile(flex_attention)


AttentionInterface.register(NAME, packed_flex_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
