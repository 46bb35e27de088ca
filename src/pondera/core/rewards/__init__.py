"""Reward terms: one file per idea, each a pure function of a pool. Importing this registers all of them."""

from pondera.core.rewards.base import NO_COMPARISON, SIDE_ARRAYS, Term, all_terms, get_term, make_term, register
from pondera.core.rewards.consistency import Consistency, LexiconConsistency
from pondera.core.rewards.degradation import Comparison, Degradation
from pondera.core.rewards.dimensions import AttributionF1, DimensionMean
from pondera.core.rewards.fidelity import Fidelity
from pondera.core.rewards.format import Format
from pondera.core.rewards.grounding import Grounding
from pondera.core.rewards.hirqa import LevelRank
from pondera.core.rewards.pair import BinaryPair, Margin
from pondera.core.rewards.preresq import (
    PreferenceTriplet,
    RankToTruth,
    ResponseBalance,
    ScoreAndRank,
    SpreadPenalty,
)
from pondera.core.rewards.probability import ProbabilityDifference
from pondera.core.rewards.score import (
    Binary,
    Gaussian,
    Laplace,
    Linear,
    RelativeError,
    ScoreTerm,
    Threshold,
    TwoDecimals,
)
from pondera.core.rewards.temporal import TemporalBonus
from pondera.core.rewards.text import LengthBonus, RepetitionPenalty

__all__ = [
    "NO_COMPARISON",
    "SIDE_ARRAYS",
    "AttributionF1",
    "Binary",
    "BinaryPair",
    "Comparison",
    "Consistency",
    "Degradation",
    "DimensionMean",
    "Fidelity",
    "Format",
    "Gaussian",
    "Grounding",
    "Laplace",
    "LengthBonus",
    "LevelRank",
    "LexiconConsistency",
    "Linear",
    "Margin",
    "PreferenceTriplet",
    "ProbabilityDifference",
    "RankToTruth",
    "RelativeError",
    "RepetitionPenalty",
    "ResponseBalance",
    "ScoreAndRank",
    "ScoreTerm",
    "SpreadPenalty",
    "TemporalBonus",
    "Term",
    "Threshold",
    "TwoDecimals",
    "all_terms",
    "get_term",
    "make_term",
    "register",
]
