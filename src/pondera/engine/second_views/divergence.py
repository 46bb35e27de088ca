"""How far a completion's tokens are from those that a second view would have written: pure torch functions.

One divergence serves losses of both directions: Q-Hawkeye and PAPO raise it (a model that sees must notice damage),
CapPO lowers it (an answer should hold beside a caption). Shape letters: M scored tokens of all completions, N
completions.
"""

from __future__ import annotations

import math

import torch

_LOG_RATIO_BOUND, _KL_BOUND = 20.0, 10.0  # the released trainer's; without the second a loss that raises KL diverges


def view_kl(logp_M: torch.Tensor, view_logp_M: torch.Tensor) -> torch.Tensor:
    """The k3 divergence of each token between what the policy sees and a second view of it, in [0, 10].

    min(exp(d) - d - 1, 10) with d = clamp(view - policy, -20, 20). The gradient goes through the policy's own view
    only, d/dlogp = 1 - exp(d), and is 0 where a bound is reached.

    Args:
        logp_M: of the completions' tokens under the policy's own view.
        view_logp_M: of the same tokens under the second view; taken as a constant.

    Source: Q-Hawkeye arXiv:2601.22920 (code), after PAPO arXiv:2507.06448.
    """
    difference_M = (view_logp_M.detach() - logp_M).clamp(-_LOG_RATIO_BOUND, _LOG_RATIO_BOUND)
    return (difference_M.exp() - difference_M - 1).clamp(max=_KL_BOUND)


def completion_means(value_M: torch.Tensor, completion_M: torch.Tensor, num_completions: int) -> torch.Tensor:
    """Mean over the tokens of each completion, [N]; 0 for a completion without tokens."""
    sum_N = value_M.new_zeros(num_completions).index_add(0, completion_M, value_M)
    return sum_N / torch.bincount(completion_M, minlength=num_completions).clamp_min(1)


def cosine_decay(epoch: float, last_epoch: float | None) -> float:
    """A factor that falls from 1 at epoch 0 to 0 at `last_epoch` along half a cosine; 1 where there is none.

    Args:
        epoch: passes over the data so far, >= 0.
        last_epoch: > 0, or None for no decay.

    Source: Q-Hawkeye (code): 0 from epoch 5 on.
    """
    if last_epoch is None:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(epoch / last_epoch, 1.0)))
