"""Systems without released code, built in the style of their papers, and Pondera's own default."""

from __future__ import annotations

from pondera.core.advantage_plan import AdvantagePlan, CaptionWeight, DropUniform, GroupZScore
from pondera.core.presets.registry import one_number, preset
from pondera.core.rewards import Consistency, Format, Gaussian, LevelRank, LexiconConsistency, Margin
from pondera.core.system import System, Weighted


@preset("pondera", unreleased="this system is our own: there is no other code to follow")
def pondera(released: bool, stage: str) -> System:
    """The default: the order and distances of margins, anchored by a Gaussian on the score itself."""
    return System(
        name="pondera",
        terms=(
            Weighted(Format()),
            Weighted(Gaussian(sigma=0.4)),
            Weighted(Margin(width="unit", unit=1.0)),
        ),
        answer=one_number(),
        advantage=AdvantagePlan((DropUniform(limit=1e-3), GroupZScore())),
        source="own design from published parts: MR-IQA arXiv:2606.29760 (margin), Aes-R1 arXiv:2509.21871 (rank and "
        "absolute together, sigma 0.1 of the range), OmniQuality-R arXiv:2510.10609 (filter)",
        notes="[ours] A rank reward alone loses calibration (Aes-R1's comparison), a score threshold alone falls on "
        "mixed data (RALI's), so both kinds are here. The margin keeps a slope where the fidelity reward saturates "
        "near 1, and is shift-free; the Gaussian holds the absolute level: 0.4 on 1..5 is 0.1 of the range, above the "
        "noise of a MOS from 30 raters and below Gaussians that hardly tell 0.2 from 0.",
    )


@preset("q-ponder", unreleased="Q-Ponder published neither code nor its reward formula")
def q_ponder(released: bool, stage: str) -> System:
    """Score accuracy and agreement of the score with the wording of its reasoning."""
    return _q_ponder("q-ponder", Weighted(LexiconConsistency(), 0.5), "a lexicon reads the reasoning (English only)")


@preset("q-ponder-text", unreleased="Q-Ponder published neither code nor its reward formula")
def q_ponder_text(released: bool, stage: str) -> System:
    """The same with the score that the reference model reads from the reasoning alone."""
    return _q_ponder(
        "q-ponder-text",
        Weighted(Consistency(sigma=0.5), 0.5),
        "the reference model reads the reasoning, numbers masked",
    )


def _q_ponder(name: str, consistency: Weighted, how: str) -> System:
    return System(
        name=name,
        terms=(Weighted(Format()), Weighted(Gaussian(sigma=0.35)), consistency),
        answer=one_number(),
        source="Q-Ponder arXiv:2506.05384 (abstract)",
        notes="Q-Ponder-style. [stated] GRPO with rewards for accuracy and for consistency of the reasoning, after "
        "a cold start. [unknown] formula, widths, weights, format. [ours] all of it: Gaussian 0.35, 0.5 "
        f"consistency; {how}.",
    )


@preset("cappo", unreleased="CapPO published no code and no formulas")
def cappo(released: bool, stage: str) -> System:
    """Good answers that hold beside a caption of the image count more."""
    return System(
        name="cappo",
        terms=(Weighted(Format()), Weighted(Gaussian(sigma=0.5))),
        answer=one_number(),
        advantage=AdvantagePlan((GroupZScore(), CaptionWeight())),
        source="CapPO arXiv:2509.21854 (abstract)",
        notes="CapPO-style. [stated] an advantage weighted by the divergence between caption and image, and a "
        "penalty on it (in the objective). [unknown] formulas and constants. [ours] softmax weight, tau 1, "
        "clipped to 0.5..2, on positive advantages only; the score reward. Captions must name visible "
        "defects, or the weight teaches the model to overlook them.",
    )


@preset("hirqa", unreleased="HiRQA released inference only; its training losses are unpublished")
def hirqa(released: bool, stage: str) -> System:
    """No MOS: the level of a distortion that was put there orders the samples."""
    return System(
        name="hirqa",
        terms=(Weighted(Format()), Weighted(LevelRank())),
        answer=one_number(),
        source="HiRQA arXiv:2508.15130 (abstract and inference code)",
        notes="HiRQA-style. [stated] opinion-unaware training on ranked distortions of pristine images, with a small "
        "network and three losses. [unknown] their formulas. [ours] only its idea of ranking by level, as a fidelity "
        "reward on targets.level for a reasoning model.",
    )
