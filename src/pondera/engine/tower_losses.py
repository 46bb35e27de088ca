"""What a vision tower can learn from damaged versions of one crop beside the levels themselves.

HiRQA (arXiv:2508.15130) trains on ranked distortions of pristine pictures with three losses: higher-order ranking,
embedding distance, and contrast with structured text. Its formulas, margins and weights are unpublished; those here are
our own, after the ideas of its abstract. Two versions of a crop are *ordered* where each distortion of the one is at
most as strong as in the other and one is weaker: an order that needs no opinion on which distortion is worse.

Shape letters: G groups, V versions, T types of distortion, D width of an embedding, N = G x V, C texts.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

RANK_MARGIN = 0.05  # of a score in [0, 1], per level of difference
PAIR_MARGIN = 0.02
TEMPERATURE = 0.07
WEIGHTS = {"levels": 1.0, "full_reference": 0.5, "ranking": 1.0, "distance": 0.5, "text": 0.1}
"""Ours; a starting point, not tuned."""

_LEVELS = 5  # levels come as shares of the strongest
_SMALLEST = 1e-6


def ordered_pairs(level_GVT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which versions are surely better than which, and by how much.

    Args:
        level_GVT: level of each type as a share of the strongest, 0 to 1.

    Returns:
        is_better_GVV: [g, a, b] whether a is better than b; step_GVVT: level of b minus level of a, by type.
    """
    step_GVVT = level_GVT[:, None, :, :] - level_GVT[:, :, None, :]
    is_better_GVV = (step_GVVT >= 0).all(-1) & (step_GVVT > 0).any(-1)
    return is_better_GVV, step_GVVT


def ranking_loss(score_GV: torch.Tensor, level_GVT: torch.Tensor) -> torch.Tensor:
    """A better version scores higher, by a margin per level; a larger step between versions is a larger step of scores.

    mean over ordered pairs of max(0, RANK_MARGIN * levels between - (s_a - s_b)), plus the mean over pairs of ordered
    pairs of one crop, the first of which is the larger step in every type, of
    max(0, PAIR_MARGIN - ((s_a - s_b) - (s_c - s_d))). 0 where nothing is ordered.

    Args:
        score_GV: quality, 0 to 1, with gradient.
        level_GVT: as in `ordered_pairs`.

    Source: HiRQA's "higher-order ranking" (arXiv:2508.15130); the formula is ours.
    """
    is_better_GVV, step_GVVT = ordered_pairs(level_GVT)
    gap_GVV = score_GV[:, :, None] - score_GV[:, None, :]
    levels_GVV = _LEVELS * step_GVVT.sum(-1)
    first = _masked_mean(F.relu(RANK_MARGIN * levels_GVV - gap_GVV), is_better_GVV)
    gaps, larger = [], []
    for g in range(len(score_GV)):  # the number of ordered pairs differs between groups
        step_PT, gap_P = step_GVVT[g][is_better_GVV[g]], gap_GVV[g][is_better_GVV[g]]
        more_PPT = step_PT[:, None] - step_PT[None, :]
        larger.append(((more_PPT >= 0).all(-1) & (more_PPT > 0).any(-1)).flatten())
        gaps.append((gap_P[:, None] - gap_P[None, :]).flatten())
    return first + _masked_mean(F.relu(PAIR_MARGIN - torch.cat(gaps)), torch.cat(larger))


def distance_loss(z_GVD: torch.Tensor, score_GV: torch.Tensor) -> torch.Tensor:
    """Distances of embeddings agree with distances of scores, both relative to their means over the batch.

    mean over pairs of versions of one crop of | (1 - z_a . z_b) / 2 / mean - |s_a - s_b| / mean |.

    Args:
        z_GVD: embeddings of length 1, with gradient.
        score_GV: quality, 0 to 1, with gradient.

    Source: HiRQA's "embedding distance" (arXiv:2508.15130); the formula is ours.
    """
    first, second = torch.triu_indices(z_GVD.shape[1], z_GVD.shape[1], offset=1, device=z_GVD.device)
    of_z = (1 - (z_GVD[:, first] * z_GVD[:, second]).sum(-1)) / 2
    of_score = (score_GV[:, first] - score_GV[:, second]).abs()
    relative_z, relative_score = (d / d.mean().clamp_min(_SMALLEST) for d in (of_z, of_score))
    return (relative_z - relative_score).abs().mean()


def text_loss(z_ND: torch.Tensor, text_CD: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
    """InfoNCE from images to texts: the text of an image's strongest distortion against all other texts.

    Args:
        z_ND: embeddings of images, length 1, with gradient.
        text_CD: embeddings of the texts, length 1, with gradient.
        target_N: the text of each image.

    Source: HiRQA's contrast with structured text (arXiv:2508.15130), which has CLIP's text encoder; temperature 0.07.
    """
    return F.cross_entropy(z_ND @ text_CD.T / TEMPERATURE, target_N)


def strongest_text(level_NT: torch.Tensor) -> torch.Tensor:
    """Number of the text for each image: 0 undamaged, then five for each type, slight to extreme: [N, T] -> [N]."""
    level_N, type_N = level_NT.max(1)
    step_N = (_LEVELS * level_N).round().long()
    return torch.where(step_N == 0, 0, type_N * _LEVELS + step_N)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (values * mask).sum() / mask.sum().clamp_min(1)
