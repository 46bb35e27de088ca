"""Attention for packed rows that skips what the mask hides anyway.

A packed row of G branches is a square mask of which a dense kernel computes every cell, though a branch sees the prefix
and itself only. Here the columns are cut into blocks, and each block of queries meets the prefix and the keys from the
start of its own branch on. The mask stays in force within each block, so the result is that of the dense kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "pondera_blocks"
_COLUMNS = 64  # of one block; smaller ones skip more, larger ones call the kernel less often

Blocks = tuple[tuple[int, int, int], ...]


def use_block_attention(model: Any) -> None:
    """Let the decoder of a model compute packed rows block by block; everything else runs through SDPA as before."""
    model.set_attn_implementation({"text_config": NAME})


def query_blocks(segment_RT: torch.Tensor, prefix_length: int) -> Blocks:
    """Blocks of columns behind the prefix: first column, last + 1, and the first column of any branch in the block.

    Args:
        segment_RT: number of each column's branch, from 1; 0 prefix, -1 padding.
        prefix_length: columns of the prefix, the same in all rows.
    """
    total = segment_RT.shape[1]
    blocks = []
    for start in range(prefix_length, total, _COLUMNS):
        # A row that has ended counts as one long segment of padding, which sees itself only.
        is_own_RT = (segment_RT == segment_RT[:, start, None]) & (segment_RT[:, start, None] > 0)
        firsts = [int(row.nonzero()[0]) for row in is_own_RT if row.any()]
        blocks.append((start, min(start + _COLUMNS, total), min([start, *firsts])))
    return tuple(blocks)


def block_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed_blocks: Blocks | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The library's attention interface; [R, heads, T, D] in, [R, T, heads, D] out.

    Args:
        module: the layer.
        query: of all columns.
        key: of all columns.
        value: of all columns.
        attention_mask: additive [R, 1, T, T].
        packed_blocks: from `query_blocks`; without them (generation, padded rows) this is SDPA.
        **kwargs: scaling and dropout.
    """
    if packed_blocks is None or attention_mask is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    prefix_length = packed_blocks[0][0]
    parts = []
    for start, stop, first in ((0, prefix_length, prefix_length), *packed_blocks):
        q = query[:, :, start:stop]
        k, v = (_seen(t, prefix_length, first, stop, dim=2) for t in (key, value))
        mask = _seen(attention_mask[:, :, start:stop], prefix_length, first, stop, dim=3)
        parts.append(sdpa_attention_forward(module, q, k, v, mask, **kwargs)[0])
    return torch.cat(parts, dim=1), None


def _seen(tensor: torch.Tensor, prefix_length: int, first: int, stop: int, dim: int) -> torch.Tensor:
    """The prefix and the columns from `first` to `stop`."""
    prefix = tensor.narrow(dim, 0, prefix_length)
    return torch.cat([prefix, tensor.narrow(dim, first, stop - first)], dim) if stop > first else prefix


AttentionInterface.register(NAME, block_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
