"""Does the score follow from the reasoning? Two back-ends: a text-only pass of a model, and a lexicon.

Q-Ponder rewards this agreement but publishes no formula: both forms are ours, in its style.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import NO_COMPARISON, Term, positive, register, scored

_GOOD = """
    sharp crisp clear clean vivid vibrant natural balanced pleasing excellent good great superb outstanding detailed
    rich accurate faithful well-exposed well-lit well-defined well-balanced high-quality pristine stable smooth
    sharpness clarity detail details intact appealing beautiful impressive
"""
_BAD = """
    blur blurry blurred blurring noise noisy grain grainy artifact artifacts artefact artefacts blocky blocking
    blockiness dull washed faded overexposed over-exposed underexposed under-exposed murky distorted distortion
    distortions poor bad terrible severe degraded degradation banding ringing haze hazy unnatural soft pixelated
    pixelation flicker flickering stutter jitter smeared unsharp low-quality compression weak fuzzy muddy awful
    unpleasant defects defect flawed lost
"""
_NEGATION = "no not without free never lack lacks lacking loss hardly barely minimal nor neither less"
_POLARITY = dict.fromkeys(_GOOD.split(), +1) | dict.fromkeys(_BAD.split(), -1)
_NEGATIONS = frozenset(_NEGATION.split())
_CLAUSE = re.compile(r"[.,;:!?\n]|\b(?:but|however|although|though|while|yet)\b")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_REACH = 3  # words that a negation reaches over: "no visible noise", "free of blocking artifacts"


@register
@dataclass(frozen=True)
class Consistency(Term):
    """Agreement of the answer with the score that a text-only model reads from the reasoning alone.

    Args:
        sigma: width, > 0 (label units).

    Raises:
        ValueError: sigma is not positive; or, when called, the side array is missing.
    """

    name = "consistency"
    formula = "exp(-(text_score - q)^2 / (2 sigma^2))"
    source = "Q-Ponder arXiv:2506.05384 names the idea only; the formula, sigma 0.5 on 1..5 and the masking are ours"
    range = "0..1"
    branch = "response"

    sigma: float = 0.5

    needs_side = ("text_score",)

    def __post_init__(self) -> None:
        positive(self, sigma=self.sigma)

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present, or where the text gave no score (NaN)."""
        text_score_SK = self.side(pool, "text_score")
        known_SK = scored(pool) & np.isfinite(text_score_SK)
        reward_SK = np.zeros(known_SK.shape)
        reward_SK[known_SK] = np.exp(-0.5 * ((text_score_SK[known_SK] - pool.score_SK[known_SK]) / self.sigma) ** 2)
        return reward_SK


@register
@dataclass(frozen=True)
class LexiconConsistency(Term):
    """Agreement of the answer's third of the scale with the tone of the reasoning's words. English only.

    Tone is (good - bad) / (good + bad) over the words of the lexicon, a negation in the same clause turning a word
    around; beyond +-1/3 it is good or bad, otherwise (and without such words) middling. A completion without
    reasoning earns 0.5.

    Args:
        low: scores below this share of the scale are bad, in (0, 1); 0.375 is 2.5 on 1..5.
        high: scores above this share are good, in (0, 1), >= low; 0.625 is 3.5 on 1..5.

    Raises:
        ValueError: the shares are not in order inside (0, 1).
    """

    name = "consistency_lexicon"
    formula = "1, 0.5, 0 for the same, a neighbouring, the opposite band (bad, middling, good) of score and wording"
    source = "own design, in the style of Q-Ponder arXiv:2506.05384; bands below 2.5 and above 3.5 on 1..5"
    range = "0, 0.5 or 1"
    branch = "response"

    low: float = 0.375
    high: float = 0.625

    def __post_init__(self) -> None:
        if not 0.0 < self.low <= self.high < 1.0:
            raise ValueError(f"consistency_lexicon needs 0 < low <= high < 1, got {self.low} and {self.high}")

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid or not present."""
        scored_SK = scored(pool)
        reward_SK = np.zeros(scored_SK.shape)
        share_SK = (pool.score_SK - pool.scale.low) / pool.scale.width
        for s, k in np.argwhere(scored_SK):
            think = pool.answer_SK[s][k].think
            band = int(share_SK[s, k] > self.high) - int(share_SK[s, k] < self.low)
            reward_SK[s, k] = NO_COMPARISON if not think else 1.0 - abs(band - tone_band(think)) / 2
        return reward_SK


def tone_band(text: str) -> int:
    """The tone of an English text about quality: -1 bad, 0 middling, 1 good."""
    good = bad = 0
    for clause in _CLAUSE.split(text.lower()):
        words = _WORD.findall(clause)
        for index, word in enumerate(words):
            polarity = _POLARITY.get(word, 0)
            if not _NEGATIONS.isdisjoint(words[max(0, index - _REACH) : index]):
                polarity = -polarity
            good += polarity > 0
            bad += polarity < 0
    tone = (good - bad) / max(good + bad, 1)
    return int(tone > 1 / 3) - int(tone < -1 / 3)
