"""Completions from a transformers model: each prompt is read once, then its cache serves the whole group.

Shape letters: A axes of a position (1, or 3 with mRoPE), P prompts, K completions a prompt, R live rows (at most
P x K), T tokens, V vocabulary.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from pondera.generate.backend import Completion, uniforms
from pondera.models.distribution import is_sharded, largest
from pondera.models.family import EncodedPrompt, Family
from pondera.models.memory import free_memory, is_out_of_memory


class TransformersBackend:
    """Shared-prefix sampling with stock models.

    Args:
        family: the model.
        batch_rows: most rows decoded side by side; results do not depend on it but for rounding.
    """

    def __init__(self, family: Family, *, batch_rows: int = 256) -> None:
        self.family = family
        self.batch_rows = batch_rows

    def refresh(self, step: int) -> None:
        """Nothing: it samples from the very weights in training."""

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[EncodedPrompt],
        *,
        num_completions: int = 1,
        max_new_tokens: int,
        temperature: float = 0.0,
        seeds: Sequence[int],
    ) -> list[list[Completion]]:
        """Complete every prompt.

        Args:
            prompts: P prompts.
            num_completions: K.
            max_new_tokens: length limit of a completion.
            temperature: 0 is greedy; the reported log-probabilities are always those at temperature 1.
            seeds: one a prompt; a completion depends on its own seed, never on its neighbours in the batch.

        Returns:
            P groups of K completions.
        """
        if len(seeds) != len(prompts):
            raise ValueError(f"need one seed a prompt, got {len(seeds)} for {len(prompts)}")
        if temperature < 0:
            raise ValueError(f"temperature must be >= 0, got {temperature}")
        was_training = self.family.model.training
        self.family.model.eval()
        groups: list[list[Completion]] = []
        try:
            while left := len(prompts) - len(groups):
                most = max(1, self.batch_rows // num_completions)
                # Equal parts: a small rest would cost as many forward passes as a full batch.
                part = slice(len(groups), len(groups) + math.ceil(left / math.ceil(left / most)))
                found = self._attempt(prompts[part], num_completions, max_new_tokens, temperature, seeds[part])
                groups += found or []
        finally:
            self.family.model.train(was_training)
        return groups

    def _attempt(
        self, prompts: Sequence[EncodedPrompt], num_completions: int, *settings: Any
    ) -> list[list[Completion]] | None:
        """The completions of a batch; None where memory ran out, and the next attempt is half as large.

        Sharded processes read their batches together, so one of them cannot try again alone.
        """
        try:
            return self._batch(prompts, num_completions, *settings)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(prompts) == 1 or is_sharded(self.family.model):
                raise
        free_memory()
        self.batch_rows = max(1, len(prompts) // 2) * num_completions
        logging.getLogger("pondera").warning(
            "out of memory with %d prompts of %d completions side by side; going on with %d",
            len(prompts),
            num_completions,
            self.batch_rows // num_completions,
        )
        return None

    def _batch(
        self,
        prompts: Sequence[EncodedPrompt],
        num_completions: int,
        max_new_tokens: int,
        temperature: float,
        seeds: Sequence[int],
    ) -> list[list[Completion]]:
        family, device = self.family, self.family.device
        ids_PT, mask_PT = left_padded([p.ids for p in prompts], family.pad_id)
        mask_RT = mask_PT.to(device)
        position_APT = _left_padded_positions([family.positions(p) for p in prompts]).to(device)
        outputs = family.model(
            input_ids=ids_PT.to(device),
            attention_mask=mask_RT,
            position_ids=_as_expected(position_APT),
            **{name: type_PT.to(device) for name, type_PT in family.token_types(ids_PT).items()},
            logits_to_keep=1,
            use_cache=True,
            **family.media_batch(prompts),
        )
        cache = outputs.past_key_values
        cache.batch_repeat_interleave(num_completions)
        logits_RV = outputs.logits[:, -1].repeat_interleave(num_completions, 0)
        mask_RT = mask_RT.repeat_interleave(num_completions, 0)
        # With mRoPE an image takes fewer positions than tokens, and text goes on from the largest.
        position_AR = position_APT.amax((0, 2)).repeat(len(position_APT), 1).repeat_interleave(num_completions, 1)
        num_rows = len(prompts) * num_completions
        uniform_RT = np.stack([uniforms(s, k, max_new_tokens) for s in seeds for k in range(num_completions)])
        live_R = torch.arange(num_rows, device=device)
        tokens: list[list[int]] = [[] for _ in range(num_rows)]
        logps: list[list[float]] = [[] for _ in range(num_rows)]
        stop = torch.tensor(sorted(family.stop_ids), device=device)
        steps_together = is_sharded(family.model)
        for t in range(max_new_tokens):
            rows = live_R.cpu().numpy() if len(live_R) else np.zeros(1, dtype=int)
            uniform_R = torch.from_numpy(uniform_RT[rows, t]).to(device)
            token_R, logp_R = choose_tokens(logits_RV.float(), temperature, uniform_R, banned=family.placeholder_ids)
            for row, token, logp in zip(live_R.tolist(), token_R.tolist(), logp_R.tolist(), strict=False):
                tokens[row].append(token)
                logps[row].append(logp)
            going_R = ~torch.isin(token_R, stop)[: len(live_R)]
            is_going = bool(going_R.any())
            if t + 1 == max_new_tokens or not (largest(is_going, device) if steps_together else is_going):
                break
            if not bool(going_R.all()):
                live_R = live_R[going_R]
                # A sharded process whose rows have all ended reads one of them on, unheard, until the others are done.
                index = going_R.nonzero().squeeze(1) if is_going else torch.zeros(1, dtype=torch.long, device=device)
                cache.batch_select_indices(index)
                token_R, mask_RT = token_R[index], mask_RT[index]
                position_AR = position_AR[:, index]
            position_AR = position_AR + 1
            mask_RT = torch.cat([mask_RT, mask_RT.new_ones(len(mask_RT), 1)], dim=1)
            outputs = family.model(
                input_ids=token_R[:, None],
                attention_mask=mask_RT,
                position_ids=_as_expected(position_AR[:, :, None]),
                past_key_values=cache,
                use_cache=True,
            )
            logits_RV = outputs.logits[:, -1]
        flat = [
            Completion(tuple(ids), tuple(logp), family.decode(ids), ids[-1] in family.stop_ids)
            for ids, logp in zip(tokens, logps, strict=True)
        ]
        return [flat[i : i + num_completions] for i in range(0, num_rows, num_completions)]


def _left_padded_positions(position_APT: Sequence[torch.Tensor]) -> torch.Tensor:
    """Positions of P prompts, each [A, T], ending at the same column: [A, P, T]; A is 1, or 3 with mRoPE."""
    length = max(position_AT.shape[1] for position_AT in position_APT)
    return torch.stack([F.pad(position_AT, (length - position_AT.shape[1], 0)) for position_AT in position_APT], dim=1)


def _as_expected(position_ART: torch.Tensor) -> torch.Tensor:
    """[1, R, T] -> [R, T]: models without mRoPE know one position a token."""
    return position_ART[0] if len(position_ART) == 1 else position_ART


def left_padded(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [P, T] ending at the same column, and their 0/1 mask."""
    length = max(len(row) for row in ids)
    ids_PT = torch.full((len(ids), length), pad_id, dtype=torch.long)
    mask_PT = torch.zeros((len(ids), length), dtype=torch.long)
    for p, row in enumerate(ids):
        ids_PT[p, length - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask_PT[p, length - len(row) :] = 1
    return ids_PT, mask_PT


def choose_tokens(
    logits_RV: torch.Tensor, temperature: float, uniform_R: torch.Tensor, *, banned: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row, and its log-probability at temperature 1.

    Args:
        logits_RV: logits, float32.
        temperature: 0 takes the most probable token.
        uniform_R: one number in [0, 1) a row: the token where the cumulative probability passes it (float64).
        banned: tokens never drawn: placeholders of pictures have no meaning in an answer.

    Returns:
        token_R and logp_R; the log-probability is the policy's own, without the ban, as training recomputes it.
    """
    logp_RV = logits_RV.log_softmax(-1)
    logits_RV = logits_RV.index_fill(1, torch.tensor(banned, device=logits_RV.device), -torch.inf)
    if temperature == 0:
        token_R = logits_RV.argmax(-1)
    else:
        cumulative_RV = (logits_RV.double() / temperature).softmax(-1).cumsum(-1)
        # Rounding can leave the last sum a hair under 1; scaling keeps every draw inside the vocabulary.
        threshold_R = uniform_R.double()[:, None] * cumulative_RV[:, -1:]
        token_R = torch.searchsorted(cumulative_RV, threshold_R, right=True).squeeze(1)
        token_R = token_R.clamp_max(logits_RV.shape[-1] - 1)
    return token_R, logp_RV.gather(1, token_R[:, None]).squeeze(1)
