"""Micro-batches: groups cut to fit into memory, with the gradient of the whole batch.

A group that does not fit is split; each part reads the prefix again, image and all. Weigh every token by
`objective.completion_weights` of the whole batch, and the gradients of the parts add up to that of the unsplit batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pondera.models.family import EncodedPrompt
from pondera.models.packing import Branch

Group = tuple[EncodedPrompt, Sequence[Branch]]


@dataclass(frozen=True)
class MicroBatch:
    """A part of a batch.

    Args:
        groups: what to pack.
        branch_N: number of each of its branches, in their order, counted over all groups of the whole batch: with
            `packed.branch_M` from packing it, `branch_N[branch_M]` finds a token's completion in the batch.
    """

    groups: tuple[Group, ...]
    branch_N: tuple[int, ...]


def micro_batches(groups: Sequence[Group], *, token_budget: int, is_packed: bool = True) -> list[MicroBatch]:
    """Cut a batch into parts of at most `token_budget` columns x rows, in order.

    The smallest part is one branch with its prefix: where even that is above the budget, it is a part of its own.

    Args:
        groups: prefix and branches of every group, branches not empty.
        token_budget: most tokens of a part, padding included, > 0.
        is_packed: rows hold groups; otherwise the model reads padded rows, one a branch (`Family.packing_obstacle`).

    Raises:
        ValueError: the budget is not positive.
    """
    if token_budget <= 0:
        raise ValueError(f"token_budget must be > 0, got {token_budget}")
    parts: list[MicroBatch] = []
    first = 0
    for group in groups:
        for piece in _split(group, token_budget, is_packed):
            numbers = tuple(range(first, first + len(piece[1])))
            first += len(piece[1])
            last = parts[-1] if parts else MicroBatch((), ())
            if last.groups and num_tokens((*last.groups, piece), is_packed=is_packed) <= token_budget:
                parts[-1] = MicroBatch((*last.groups, piece), last.branch_N + numbers)
            else:
                parts.append(MicroBatch((piece,), numbers))
    return parts


def num_tokens(groups: Sequence[Group], *, is_packed: bool = True) -> int:
    """Columns x rows of the tensor that holds these groups, padding included."""
    longest_prefix = max(len(prefix.ids) for prefix, _ in groups)
    if is_packed:
        return len(groups) * (longest_prefix + max(sum(len(b.ids) for b in branches) for _, branches in groups))
    lengths = [len(branch.ids) for _, branches in groups for branch in branches]
    return len(lengths) * (longest_prefix + max(lengths))


def _split(group: Group, token_budget: int, is_packed: bool) -> list[Group]:
    """The group, or pieces of it with the same prefix, each as large as fits."""
    prefix, branches = group
    pieces: list[list[Branch]] = [[]]
    for branch in branches:
        if pieces[-1] and num_tokens([(prefix, [*pieces[-1], branch])], is_packed=is_packed) > token_budget:
            pieces.append([])
        pieces[-1].append(branch)
    return [(prefix, tuple(piece)) for piece in pieces]
