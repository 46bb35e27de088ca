"""PreResQ-R1: five aspects of an image, or two views of a video, coherent in a group and ordered across samples."""

from __future__ import annotations

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.presets.registry import any_numbers, preset, titled
from pondera.core.rewards import (
    Format,
    PreferenceTriplet,
    RankToTruth,
    ResponseBalance,
    ScoreAndRank,
    SpreadPenalty,
)
from pondera.core.system import System, Weighted

ASPECTS = ("saturation", "granularity", "sharpness", "foreground", "background")
VIEWS = ("global", "local")
STAGES = ("exploration", "stability")

_SOURCE = "PreResQ-R1 arXiv:2511.05393; github.com/DanceSkyCode/General-Visual-Quality-RL @fc5b685"
_COMMON = (
    "[stated: code] weights 0.375, 1, 0.5, 0.125, 1, strict format reward of weight 1, z-score with the sample "
    "standard deviation and eps 1e-4; two stages named exploration and stability, 12 then 6 completions per prompt. "
    "[unknown] the paper's own equations. "
    "[ours] @as_released has one reward for both stages, as the code has no switch; it pads missing numbers and reads "
    "them outside the answer, we call such answers invalid. Comparisons run over the global batch of a dataset, in the "
    "code over one device."
)


@preset("preresq-r1-image", stages=STAGES)
def preresq_image(released: bool, stage: str) -> System:
    """Five aspect scores, one a line; the image score is their mean."""
    terms = [Weighted(Format("preresq-r1-image" if released else "tolerant")), *_shared(released)]
    if released or stage == "exploration":
        terms.append(Weighted(SpreadPenalty()))
    terms.append(Weighted(RankToTruth(ties="stable" if released else "average")))
    return System(
        name=titled("preresq-r1-image", released),
        stage=stage,
        terms=tuple(terms),
        divisor=3.0,
        answer=AnswerFormat(Numbers(5, names=ASPECTS)),
        also=any_numbers(released, 5, lenient=False),
        as_released=released,
        source=_SOURCE,
        notes=f"{_COMMON} [stated: figures] the spread penalty belongs to the first stage; corrected drops it in the "
        "second. [ours] corrected: wrong orders earn 0, ties are shared, all five aspects are balanced.",
    )


@preset("preresq-r1-video", stages=STAGES)
def preresq_video(released: bool, stage: str) -> System:
    """Two scores, global and local; the video score is their mean."""
    terms = [Weighted(Format("preresq-r1-video" if released else "tolerant")), *_shared(released)]
    if released:
        terms.append(Weighted(SpreadPenalty()))
    return System(
        name=titled("preresq-r1-video", released),
        stage=stage,
        terms=tuple(terms),
        answer=AnswerFormat(Numbers(2, names=VIEWS)),
        also=any_numbers(released, 2, lenient=False),
        as_released=released,
        source=_SOURCE,
        notes=f"{_COMMON} [stated: code] no rank-to-truth term, no division by 3, and a spread penalty that two "
        "scores escape only by differing by 1. [ours] corrected leaves that penalty out in both stages, which differ "
        "in prompts and group size only.",
    )


def _shared(released: bool) -> list[Weighted]:
    """The terms that images and videos have in common."""
    if released:
        return [
            Weighted(ScoreAndRank(wrong_order="as_released", min_gap=0.0, ties="stable"), 0.375),
            Weighted(PreferenceTriplet(pairing="index", ties="strict"), 0.125),
            Weighted(ResponseBalance(aspects="first_four"), 0.5),
        ]
    return [
        Weighted(ScoreAndRank(), 0.375),
        Weighted(PreferenceTriplet(), 0.125),
        Weighted(ResponseBalance(), 0.5),
    ]
