"""Packed sequences: a shared prefix once, then its branches side by side, each blind to the others.

`[prefix | branch 1 | ... | branch G]` with positions that restart behind the prefix. In reinforcement the prefix is
the prompt and the branches are its completions; in the cold start the prefix ends with the image, and each branch is
a question with its answer. The image is encoded once either way.

A model that cannot read such rows gets padded ones, one a branch: the same results at a higher price.

Shape letters: A position axes (1, or 3 with mRoPE), R rows (one group each), T columns, M scored tokens.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask

from pondera.models import block_attention, flex_attention
from pondera.models.family import EncodedPrompt, Family


@dataclass(frozen=True)
class Branch:
    """One continuation of a prefix.

    Args:
        ids: its tokens.
        weights: one a token: 0 is read only, anything else is scored with this weight.
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]

    @classmethod
    def scored(cls, ids: Sequence[int]) -> Branch:
        """A branch in which every token counts once."""
        return cls(tuple(ids), (1.0,) * len(ids))


@dataclass(frozen=True)
class PackedBatch:
    """Tensors of R packed rows.

    Args:
        input_ids: [R, T].
        position_ids: [R, T], restarting behind the prefix for every branch; [3, R, T] with mRoPE.
        mask: additive [R, 1, T, T] in the model's dtype: 0 visible, lowest value hidden. In padded rows [R, T], 1 for
            a token, and the model adds its own rules. With flex attention the same as a rule.
        columns: [C] columns whose logits are needed.
        row_M: row of each scored token.
        source_M: index into `columns` of the logits that predict it.
        target_M: the token itself.
        weight_M: its weight.
        branch_M: number of its branch, counted over the batch.
        media: image tensors, and token types where the family has them.
        blocks: for `block_attention`, where the decoder uses it; None elsewhere.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    mask: torch.Tensor | BlockMask
    columns: torch.Tensor
    row_M: torch.Tensor
    source_M: torch.Tensor
    target_M: torch.Tensor
    weight_M: torch.Tensor
    branch_M: torch.Tensor
    media: Mapping[str, torch.Tensor]
    blocks: block_attention.Blocks | None = None


def pack(
    family: Family,
    groups: Sequence[tuple[EncodedPrompt, Sequence[Branch]]],
    *,
    dtype: torch.dtype | None = None,
    is_padded: bool = False,
) -> PackedBatch:
    """Pack groups of branches, one row a group. Prefixes end at the same column.

    Where the family cannot read packed rows, every branch gets a padded row of its own, and a warning says why.

    Args:
        family: for padding, positions, device and dtype.
        groups: prefix and branches of each row.
        dtype: of the mask; the model's own by default.
        is_padded: padded rows in any case, for comparison.

    Raises:
        ValueError: a branch is empty, or has not one weight a token.
    """
    obstacle = family.packing_obstacle(longest_sequence(groups))
    if obstacle is not None:
        _say_padded(type(family.model).__name__, obstacle)
        is_padded = True
    if is_padded:
        groups = [(prefix, [branch]) for prefix, branches in groups for branch in branches]
    prefix_length = max(len(prefix.ids) for prefix, _ in groups)
    total = prefix_length + max(sum(len(b.ids) for b in branches) for _, branches in groups)
    prefix_positions = [family.positions(prefix) for prefix, _ in groups]
    input_ids = torch.full((len(groups), total), family.pad_id, dtype=torch.long)
    position_ids = torch.zeros((len(prefix_positions[0]), len(groups), total), dtype=torch.long)
    segment = torch.full((len(groups), total), -1, dtype=torch.long)  # -1 padding, 0 prefix, 1.. branches
    row, source, target, weight, branch_index = [], [], [], [], []
    num_branches = 0
    for r, (prefix, branches) in enumerate(groups):
        start = prefix_length - len(prefix.ids)
        input_ids[r, start:prefix_length] = torch.tensor(prefix.ids)
        position_ids[:, r, start:prefix_length] = prefix_positions[r]
        segment[r, start:prefix_length] = 0
        column, first_position = prefix_length, int(prefix_positions[r].max()) + 1
        for b, branch in enumerate(branches, start=1):
            length = len(branch.ids)
            if not length or len(branch.weights) != length:
                raise ValueError(f"a branch needs tokens and one weight each, got {length} and {len(branch.weights)}")
            input_ids[r, column : column + length] = torch.tensor(branch.ids)
            position_ids[:, r, column : column + length] = first_position + torch.arange(length)
            segment[r, column : column + length] = b
            for i, (token, w) in enumerate(zip(branch.ids, branch.weights, strict=True)):
                if w != 0:
                    row.append(r)
                    # The first token of every branch is predicted by the last token of the prefix.
                    source.append(prefix_length - 1 if i == 0 else column + i - 1)
                    target.append(token)
                    weight.append(w)
                    branch_index.append(num_branches)
            column += length
            num_branches += 1
    columns = sorted(set(source))
    place = {column: i for i, column in enumerate(columns)}
    device = family.device
    blocks = None
    mask: torch.Tensor | BlockMask
    if is_padded:
        mask = (segment >= 0).long()
    elif family.attention == flex_attention.NAME:
        mask = flex_attention.flex_mask(segment.to(device))
    else:
        mask = _additive_mask(segment, dtype or family.model.dtype)
        if family.attention == block_attention.NAME:
            blocks = block_attention.query_blocks(segment, prefix_length)
    return PackedBatch(
        input_ids=input_ids.to(device),
        position_ids=(position_ids[0] if len(position_ids) == 1 else position_ids).to(device),
        mask=mask.to(device),
        columns=torch.tensor(columns, device=device),
        row_M=torch.tensor(row, device=device),
        source_M=torch.tensor([place[c] for c in source], device=device),
        target_M=torch.tensor(target, device=device),
        weight_M=torch.tensor(weight, dtype=torch.float32, device=device),
        branch_M=torch.tensor(branch_index, device=device),
        media={**family.media_batch([prefix for prefix, _ in groups]), **family.token_types(input_ids.to(device))},
        blocks=blocks,
    )


@torch.no_grad()
def packing_error(family: Family, prefix: EncodedPrompt, branches: Sequence[Branch]) -> float:
    """Largest difference of a log-probability between packed and padded rows; 0 where the family pads anyway.

    A self-check for the start of a run: about 1e-6 in float32, a few hundredths in bfloat16. A family with a rule for
    its mask that `Family.packing_obstacle` does not know shows here.

    Args:
        family: model under test.
        prefix: a prompt with its images.
        branches: at least two, or packing has nothing to keep apart.

    Raises:
        ValueError: fewer than two branches.
    """
    if len(branches) < 2:
        raise ValueError(f"a check of packing needs at least 2 branches, got {len(branches)}")
    was_training = family.model.training
    family.model.eval()
    try:
        packed_M, padded_M = (
            packed_logps(family.model, pack(family, [(prefix, branches)], is_padded=is_padded))[0]
            for is_padded in (False, True)
        )
    finally:
        family.model.train(was_training)
    return float((packed_M - padded_M).abs().max())


def longest_sequence(groups: Sequence[tuple[EncodedPrompt, Sequence[Branch]]]) -> int:
    """Tokens of the longest prefix with one of its branches."""
    return max(len(prefix.ids) + max(len(branch.ids) for branch in branches) for prefix, branches in groups)


@functools.cache
def _say_padded(model: str, obstacle: str) -> None:
    """Once for each reason, not once a step."""
    logging.getLogger("pondera").warning(
        "%s cannot train on packed groups: %s. Every completion gets a padded row with its own copy of the prompt and "
        "the image: the results are the same, the update takes several times as long",
        model,
        obstacle,
    )


def _additive_mask(segment_RT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Each token sees the prefix and its own branch, up to itself."""
    query, key = segment_RT[:, :, None], segment_RT[:, None, :]
    length = segment_RT.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = ((key == 0) | (key == query)) & (key >= 0) & causal
    # A padding row that sees nothing would give NaN in the softmax; it sees itself, and nobody reads it.
    visible |= torch.eye(length, dtype=torch.bool)
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
    return mask[:, None]


def packed_logps(
    model: Any, batch: PackedBatch, *, with_entropy: bool = False, entropy_gradient: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of every scored token, from the root forward pass.

    Args:
        model: the model itself or its wrapper (DDP, sharded); never a sub-module of it.
        batch: the packed rows.
        with_entropy: also the entropy of each prediction; zeros otherwise.
        entropy_gradient: let gradients flow through the entropy, for a bonus on it; costs memory.

    Returns:
        logp_M and entropy_M, float32.
    """
    logp_MV = packed_logits(model, batch).log_softmax(-1)
    logp_M = logp_MV.gather(1, batch.target_M[:, None]).squeeze(1)
    if not with_entropy:
        return logp_M, torch.zeros_like(logp_M)
    if not entropy_gradient:
        logp_MV = logp_MV.detach()
    return logp_M, -(logp_MV.exp() * logp_MV).sum(-1)


def packed_logits(model: Any, batch: PackedBatch) -> torch.Tensor:
    """The logits that predict each scored token, [M, V], float32; see `packed_logps`."""
    blocks = {} if batch.blocks is None else {"packed_blocks": batch.blocks}
    outputs = model(
        input_ids=batch.input_ids,
        attention_mask=batch.mask,
        position_ids=batch.position_ids,
        logits_to_keep=batch.columns,
        use_cache=False,
        **batch.media,
        **blocks,
    )
    return outputs.logits[batch.row_M, batch.source_M].float()
