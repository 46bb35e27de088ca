"""Systems for videos."""

from __future__ import annotations

from pondera.core.answers import AnswerFormat, ClassField, Json, LabelsField, NumberField
from pondera.core.presets.images import CHOICES
from pondera.core.presets.registry import ANY, any_numbers, one_number, preset, titled
from pondera.core.records import LabelScale
from pondera.core.rewards import (
    AttributionF1,
    Comparison,
    DimensionMean,
    Fidelity,
    Format,
    Gaussian,
    LengthBonus,
    Linear,
    RelativeError,
    TemporalBonus,
    Term,
    TwoDecimals,
)
from pondera.core.system import System, Weighted

GENERATED_VIDEO = ("spatial", "temporal", "consistency")
COMPARED = ("color", "noise", "artifact", "blur", "temporal", "overall")
SAVE = ("visual", "dynamic", "alignment")


@preset("vq-insight")
def vq_insight(released: bool, stage: str) -> System:
    """Relative error on 0..100, with bonuses for using the order of frames and for moderate length."""
    kernel = RelativeError() if released else Linear(width=100.0)
    accuracy: dict[str, Term] = {"score": kernel, "multi": DimensionMean(GENERATED_VIDEO, kernel)}
    accuracy["compare"] = DimensionMean(COMPARED, kernel) if released else Comparison()
    terms = [Weighted(Format("think_answer" if released else "tolerant"))]
    for task, term in accuracy.items():
        terms += _with_bonuses(term, task, released)
    high = ANY if released else 100.0
    compare = _numbers(COMPARED, 0.0, high) if released else AnswerFormat(Json({"choice": ClassField(CHOICES)}))
    return System(
        name=titled("vq-insight", released),
        scale=LabelScale(0.0, 100.0),
        terms=tuple(terms),
        answer=one_number(0.0, 100.0),
        answers={"multi": _numbers(GENERATED_VIDEO, 0.0, high), "compare": compare},
        also=any_numbers(released),
        as_released=released,
        source="VQ-Insight arXiv:2506.18564; github.com/xuanyuzhang21/VQ-Insight @c37b628",
        notes="[stated] paper and code disagree. Code: relative error, +0.3 to roll-outs above 0.1 where the batch "
        "mean is >= 0.8 of that for shuffled frames, +0.2 for 320..512 tokens inclusive where two or more "
        "roll-outs above 0.1 qualify, comparison by six numbers. Paper (= corrected): 1 - |error| (of the "
        "range), the temporal bonus per sample and strict, +0.1 for lengths inside 320..512, comparison by "
        "exact match. Only videos have shuffled roll-outs: without the side array perturbed_reward there is "
        "no temporal bonus.",
    )


def _with_bonuses(accuracy: Term, task: str, released: bool) -> list[Weighted]:
    """A task's accuracy with its two bonuses."""
    if released:
        temporal = TemporalBonus(accuracy, scope="batch", strict=False, above=0.1)
        length = LengthBonus(bonus=0.2, inclusive=True, kernel=accuracy, above=0.1, at_least=2)
    else:
        temporal, length = TemporalBonus(accuracy), LengthBonus()
    of = "" if task == "score" else f"_{task}"
    return [
        Weighted(accuracy, tasks=(task,), label=f"accuracy{of}"),
        Weighted(temporal, tasks=(task,), label=f"temporal_bonus{of}", optional=True),
        Weighted(length, tasks=(task,), label=f"length_bonus{of}"),
    ]


def _numbers(names: tuple[str, ...], low: float, high: float) -> AnswerFormat:
    return AnswerFormat(Json({name: NumberField(low, high) for name in names}))


@preset("vqathinker")
def vqathinker(released: bool, stage: str) -> System:
    """Bell-shaped score reward that wants two decimals, and fidelity rank."""
    score = TwoDecimals(Gaussian(sigma=0.5), factor=0.8, read="float" if released else "text")
    terms = [Weighted(Format("think_answer" if released else "tolerant")), Weighted(score), Weighted(Fidelity())]
    for kernel, side, above in ((Fidelity(), "rank", 0.5), (score, "score", 0.9)):
        bonus = TemporalBonus(
            kernel,
            side_name=f"perturbed_{side}_reward",
            scope="batch" if released else "sample",
            ratio=1.0,
            strict=not released,
            above=above,
        )
        terms.append(Weighted(bonus, label=f"temporal_bonus_{side}", optional=True))
    return System(
        name=titled("vqathinker", released),
        terms=tuple(terms),
        answer=one_number(),
        also=any_numbers(released),
        as_released=released,
        source="VQAThinker arXiv:2508.06051; github.com/clh124/VQAThinker @ee47a40",
        notes="[stated: code] sigma 0.5, times 0.8 for fewer than two decimals of the parsed number, so 3.40 loses 20% "
        "(corrected: the text is read); unweighted sum. [stated: code] the released script turns the temporal bonuses "
        "off: here they count only where the rewards for perturbed frames are given (corrected: per video, strict).",
    )


_UNRELEASED = "Q-Save published neither code nor its reward formula"


@preset("q-save", unreleased=_UNRELEASED)
def q_save(released: bool, stage: str) -> System:
    """Three dimensions of a generated video, with the causes named."""
    return _saved("q-save", SAVE)


@preset("q-save-no-text", unreleased=_UNRELEASED)
def q_save_no_text(released: bool, stage: str) -> System:
    """The two of Q-Save's dimensions that need no text, with the causes named: for videos that no text describes."""
    without = "q-save without the dimension of alignment, for videos without a text [ours]. "
    return _saved("q-save-no-text", SAVE[:2], without)


def _saved(name: str, dimensions: tuple[str, ...], note: str = "") -> System:
    schema = {dimension: NumberField(1.0, 5.0) for dimension in dimensions}
    answer = AnswerFormat(Json({**schema, "attribution": LabelsField()}))
    kernel = Gaussian(sigma=0.5)
    return System(
        name=name,
        terms=(
            Weighted(Format()),
            Weighted(kernel, tasks=("score",)),
            Weighted(DimensionMean(dimensions, kernel), tasks=("multi",)),
            Weighted(AttributionF1(), 0.5, tasks=("multi",)),
        ),
        answer=answer,
        answers={"multi": answer},
        source="Q-Save arXiv:2511.18825 (abstract and introduction)",
        notes=note + "[stated] scores and attributions of visual quality, dynamic quality and alignment; supervised, "
        "GRPO, supervised again. [unknown] reward formula and weights. [ours] Gaussian of sigma 0.5 per dimension + "
        "0.5 F1 of the attribution labels + format.",
    )
