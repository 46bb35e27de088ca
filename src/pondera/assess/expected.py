"""The fast mode's arithmetic: the expected score from the probabilities of an answer's digits.

The model is not asked to write: every number it could write on the label scale, to one decimal, is offered to it as a
branch behind the opened answer, all in one packed pass. A number's probability is the product of its tokens'. The
second decimal is worth less than the readout's own error and is taken at its middle. Deterministic, differentiable.

Shape letters: P prompts, C candidate numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from pondera.core.answers import Numbers
from pondera.models.family import EncodedPrompt, Family
from pondera.models.packing import Branch, pack, packed_logps

_MAX_CANDIDATES = 120


@cache
def candidate_numbers(low: float, high: float) -> tuple[tuple[str, float], ...]:
    """What can stand in an answer, and the value it stands for.

    On a five-point scale the texts are "1.0" to "5.0"; "3.4" stands for 3.40 to 3.49, so for 3.445. Scales too wide
    for tenths use whole numbers.

    Args:
        low: smallest value, high: largest value.
        high: largest value, > low.
    """
    step = 0.1 if (high - low) / 0.1 <= _MAX_CANDIDATES else max(1.0, (high - low) / _MAX_CANDIDATES)
    decimals = 1 if step < 1 else 0
    unit = 10.0**-decimals
    count = round((high - low) / (unit * max(1, round(step / unit)))) + 1
    spacing = (high - low) / (count - 1)
    middle = 0.45 * unit
    return tuple((f"{low + i * spacing:.{decimals}f}", min(low + i * spacing + middle, high)) for i in range(count))


def expected_scores(
    family: Family, prompts: Sequence[EncodedPrompt], body: Numbers
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the score under the model's own probabilities.

    Args:
        family: the model, in evaluation mode.
        prompts: P prompts of the form without thought; the answer is opened here.
        body: what the answer holds; for several numbers each is read in turn, behind the most probable earlier ones.

    Returns:
        score_P and spread_P on the scale of `body`; for several numbers the mean of the expectations, and the
        standard deviation of that mean if the numbers were independent.
    """
    candidates = candidate_numbers(body.low, body.high)
    value_C = torch.tensor([value for _, value in candidates], dtype=torch.float32, device=family.device)
    prefix = f"{body.prefix} " if body.prefix else ""
    written = ["<answer>"] * len(prompts)
    means, variances = [], []
    for position in range(body.n):
        opened = [
            EncodedPrompt((*prompt.ids, *family.encode_text(text + prefix)), prompt.media)
            for prompt, text in zip(prompts, written, strict=True)
        ]
        probability_PC = _candidate_logps(family, opened, [text for text, _ in candidates]).softmax(-1)
        mean_P = probability_PC @ value_C
        means.append(mean_P)
        variances.append((probability_PC * (value_C - mean_P[:, None]) ** 2).sum(-1))
        if position + 1 < body.n:
            best = probability_PC.argmax(-1).tolist()
            written = [f"{w}{prefix}{candidates[c][0]}0\n" for w, c in zip(written, best, strict=True)]
    return torch.stack(means).mean(0), torch.stack(variances).sum(0).sqrt() / body.n


def _candidate_logps(family: Family, prompts: Sequence[EncodedPrompt], texts: Sequence[str]) -> torch.Tensor:
    """log P(text | prompt) for every prompt and candidate, shape [P, C]."""
    branches = [Branch.scored(family.encode_text(text)) for text in texts]
    batch = pack(family, [(prompt, branches) for prompt in prompts])
    logp_M, _ = packed_logps(family.model, batch)
    total = logp_M.new_zeros(len(prompts) * len(texts)).index_add(0, batch.branch_M, logp_M)
    return total.view(len(prompts), len(texts))
