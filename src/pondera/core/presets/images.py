"""Systems for images whose reward code was released."""

from __future__ import annotations

from pondera.core.advantage_plan import AdvantagePlan, DropUniform, GroupZScore, PositiveOnly, UncertaintyWeight
from pondera.core.answers import AnswerFormat, BoxesField, ClassField, Json, NumberField
from pondera.core.presets.registry import ANY, any_numbers, one_number, preset, titled
from pondera.core.records import LabelScale
from pondera.core.rewards import (
    Comparison,
    Degradation,
    Fidelity,
    Format,
    Gaussian,
    Grounding,
    Laplace,
    Margin,
    ProbabilityDifference,
    RepetitionPenalty,
    Threshold,
)
from pondera.core.system import System, Weighted

DISTORTION_CLASSES = ("noise", "compression", "blur", "darken", "null")
SEVERITIES = ("slight", "moderate", "obvious", "serious", "catastrophic", "null")
CHOICES = ("Image A", "Image B", "Similar")


@preset("visualquality-r1")
def visualquality_r1(released: bool, stage: str) -> System:
    """Rank only: fidelity of Thurstone preference probabilities."""
    return System(
        name=titled("visualquality-r1", released),
        terms=(Weighted(Format("think_answer" if released else "tolerant")), Weighted(Fidelity())),
        answer=one_number(),
        also=any_numbers(released),
        as_released=released,
        source="VisualQuality-R1 arXiv:2505.14460; github.com/TianheWu/VisualQuality-R1 @a16dcdb",
        notes="[stated: code] unbiased variance, 1e-6 in the denominator and under both roots, ties 0.5, pairs on one "
        "device; an answer without a number gets a random one, which we call invalid in both forms. Rank only: good "
        "order, poor calibration.",
    )


@preset("q-insight")
def q_insight(released: bool, stage: str) -> System:
    """Threshold on the score, and classes of degradation as a second task."""
    high = ANY if released else 5.0
    answers = {
        "degradation": AnswerFormat(
            Json(
                {
                    "distortion_class": ClassField(() if released else DISTORTION_CLASSES),
                    "severity": ClassField(() if released else SEVERITIES),
                }
            )
        )
    }
    terms = [
        Weighted(Format("q-insight" if released else "tolerant")),
        Weighted(Threshold(limit=0.35), tasks=("score",)),
        Weighted(Degradation(), tasks=("degradation",)),
    ]
    if not released:
        answers["compare"] = AnswerFormat(Json({"choice": ClassField(CHOICES)}))
        terms.append(Weighted(Comparison(), tasks=("compare",)))
    wide = AnswerFormat(Json({"rating": NumberField(0.0, high)}), lenient=True)
    return System(
        name=titled("q-insight", released),
        terms=tuple(terms),
        answer=AnswerFormat(Json({"rating": NumberField(1.0, 5.0)})),
        answers=answers,
        also=(wide,) if released else (),
        as_released=released,
        source="Q-Insight arXiv:2503.22679; github.com/bytedance/Q-Insight @08308fd",
        notes="[stated: code] error below 0.35, 0.25 for the class and 0.75 more for the severity, format by a pattern "
        "that demands newlines (corrected: tolerant). [stated: code] the comparison model is a separate script that "
        'answers in plain words; [ours] corrected asks for {"choice": ...}, @as_released leaves the task out. '
        "[inferred] severity null for a clean image.",
    )


@preset("q-hawkeye")
def q_hawkeye(released: bool, stage: str) -> System:
    """Laplace score reward; uncertain groups teach less."""
    weight = UncertaintyWeight(half=None) if released else UncertaintyWeight()
    return System(
        name=titled("q-hawkeye", released),
        terms=(
            Weighted(Format("think_answer" if released else "tolerant"), 0.8),
            Weighted(Laplace(tau=0.3, clamp=(1.0, 5.0) if released else None)),
            Weighted(RepetitionPenalty(part="answer")),
        ),
        answer=one_number(),
        also=any_numbers(released),
        advantage=AdvantagePlan((GroupZScore(), weight)),
        floor=-2.0,
        as_released=released,
        second_views=("degraded",),
        source="Q-Hawkeye arXiv:2601.22920; github.com/AMAP-ML/Q-Hawkeye @905262f",
        notes="[stated: code] tau 0.3, both clamped to 1..5, format 0.8, repetition of words and characters in the "
        "answer down to -2, weight exp(-0.2 u) with u = variance / 4. [inferred] with these constants the "
        "weight hardly acts, and an answer without its tag pays -2, which is our floor. [ours] corrected: u = "
        "v / (v + 0.05 on 1..5). The implicit perception loss belongs to the objective: second view `degraded`.",
    )


@preset("omniquality-r")
def omniquality_r(released: bool, stage: str) -> System:
    """A wide Gaussian on 0..5; groups that agree are dropped."""
    return System(
        name=titled("omniquality-r", released),
        scale=LabelScale(0.0, 5.0),
        terms=(
            Weighted(Format("omniquality-r" if released else "tolerant"), 0.5),
            Weighted(Gaussian(sigma=0.8)),
        ),
        answer=one_number(0.0, 5.0),
        also=any_numbers(released),
        advantage=AdvantagePlan((DropUniform(limit=1e-3, terms=("gaussian",)), GroupZScore())),
        as_released=released,
        source="OmniQuality-R arXiv:2510.10609; github.com/yeppp27/VisualScore @479b9f3",
        notes="[stated: code] sigma 0.8, format 0.5 for each of four tags exactly once, groups with a standard "
        "deviation of the Gaussian reward <= 0.001 are dropped; text around the blocks is free. [unknown] the filter's "
        "ddof and the z-score's eps; "
        "1 and 1e-4 are ours. The entropy gate belongs to the objective.",
    )


@preset("aes-r1")
def aes_r1(released: bool, stage: str) -> System:
    """Rank and absolute score together, on 0..1."""
    rank = Fidelity(ties="greater_equal", decimals=4) if released else Fidelity()
    near = Gaussian(sigma=0.1, offset=1e-5, decimals=4) if released else Gaussian(sigma=0.1)
    rank_weight, near_weight = (1.0, 1.0) if released else (0.6, 0.4)
    return System(
        name=titled("aes-r1", released),
        scale=LabelScale(0.0, 1.0),
        terms=(
            Weighted(Format("think_answer" if released else "tolerant")),
            Weighted(rank, rank_weight),
            Weighted(near, near_weight),
        ),
        answer=one_number(0.0, 1.0),
        also=any_numbers(released),
        as_released=released,
        source="Aes-R1 / RAPO arXiv:2509.21871; github.com/ssssmark/AesR1 @6e19b49",
        notes="[stated: code] ties count as better both ways, Gaussian + 1e-5, both rounded to 4 decimals, all three "
        "with weight 1. [stated: paper] weights 0.6 and 0.4 gave the best rank correlation; corrected uses them, and "
        "ties of 0.5. [ours] the Gaussian stays at sigma 0.1 of the range.",
    )


@preset("mr-iqa")
def mr_iqa(released: bool, stage: str) -> System:
    """Margins to the other samples, one width for all."""
    return _margin_system(titled("mr-iqa", released), Margin(width="unit"), released)


@preset("mr-iqa-sigma")
def mr_iqa_sigma(released: bool, stage: str) -> System:
    """Margins to the other samples, as wide as people disagree."""
    return _margin_system(titled("mr-iqa-sigma", released), Margin(width="annotator"), released)


def _margin_system(name: str, margin: Margin, released: bool) -> System:
    return System(
        name=name,
        terms=(Weighted(margin),),
        answer=one_number().without_thinking(),
        also=(one_number(),),
        as_released=released,
        source="MR-IQA arXiv:2606.29760; github.com/RobinY99/MR-IQA @e6b0125",
        notes="[stated: code] the margin reward alone, values outside 1..5 invalid with 0, no thought by default (one "
        "is accepted); sigma = the annotators' standard deviations, at least 1e-4. [unknown] whether a format reward "
        "is added. [inferred] adding a constant to all scores costs nothing. Both forms are the same here: no defect "
        "is known.",
    )


@preset("refine-iqa", stages=("scoring", "perception"), released_stages=("scoring",))
def refine_iqa(released: bool, stage: str) -> System:
    """Did thinking help? Learn from the good roll-outs only."""
    if stage == "perception":
        return _refine_perception()
    form = Format("refine-iqa" if released else "tolerant")
    right = Threshold(limit=0.5, inclusive=True)
    return System(
        name=titled("refine-iqa", released),
        stage=stage,
        terms=(
            Weighted(form),
            Weighted(right),
            Weighted(ProbabilityDifference(accuracy=right, form=form), optional=released),
        ),
        answer=one_number(prefix="Score:"),
        also=(*any_numbers(released, prefix="Score:"), *any_numbers(released)),
        advantage=AdvantagePlan((GroupZScore(), PositiveOnly())),
        as_released=released,
        source=_REFINE,
        notes="[stated: code] right within 0.5 inclusive (the run name says 0.35), bonus p_think - p_nothink for right "
        "and well-formed answers, positive advantages only, -0.2 for all when all fail alike. [ours] @as_released also "
        "explains logs without the two probabilities: then the bonus is left out and named.",
    )


_REFINE = "Refine-IQA arXiv:2508.03763; github.com/jzhws/VisualQualityAssessment-RL-Trainer @ec4655a"


def _refine_perception() -> System:
    return System(
        name="refine-iqa",
        stage="perception",
        terms=(
            Weighted(Format()),
            Weighted(Grounding(), tasks=("grounding",)),
            Weighted(Threshold(limit=0.5, inclusive=True), tasks=("score",)),
        ),
        answer=one_number(prefix="Score:"),
        answers={"grounding": AnswerFormat(Json({"boxes": BoxesField()}))},
        source=_REFINE,
        notes="[stated: abstract] the first stage rewards type, severity and place of local distortions. [unknown] its "
        "weights and data. [ours] GS-IQA's published grounding reward stands in; score samples keep the threshold.",
    )
