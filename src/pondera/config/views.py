"""Second views of a sample in reinforcement; what each does: `docs/second-views.md`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pondera.config.sections import Strict


class DegradedView(Strict):
    """Push the answer away from the one a damaged picture would get: Q-Hawkeye's implicit perception loss."""

    kind: Literal["degraded"] = "degraded"
    weight: float = Field(1e-4, gt=0, description="Of the divergence that is raised.")
    last_epoch: float | None = Field(5.0, gt=0, description="The weight falls to 0 by then; null keeps it.")
    visible_mdsi: float = Field(0.2, gt=0, description="Damage below this distance (MDSI) counts as invisible.")


class MaskedView(Strict):
    """Push the answer away from the one that a picture with holes would get: PAPO."""

    kind: Literal["masked"] = "masked"
    weight: float = Field(0.01, gt=0, description="Of the divergence that is raised.")
    last_epoch: float | None = Field(None, gt=0, description="The weight falls to 0 by then; null keeps it.")
    patch_px: int = Field(14, ge=1, description="Side of a patch in pixels of the picture.")
    probability: float = Field(0.6, gt=0, le=1, description="Of each patch to be black.")


class CaptionView(Strict):
    """Hold the answer near the one that a caption in place of the picture would get: CapPO-style."""

    kind: Literal["caption"] = "caption"
    weight: float = Field(0.01, ge=0, description="Of the divergence that is lowered; 0 leaves its side array.")
    source: Literal["auto", "manifest", "model"] = Field(
        "auto", description="targets.caption of a sample, the model the stage starts from, or the first that there is."
    )
    question: str | None = Field(
        None, description="What that model is asked for a caption; null: the sample's own question, for its thought."
    )


class TextOnlyView(Strict):
    """Read the score from the thought alone, with its numbers masked and without the picture: Q-Ponder-style."""

    kind: Literal["text_only"] = "text_only"


class ThoughtView(Strict):
    """Read the probability of the true score with the thought and without one: Refine-IQA."""

    kind: Literal["thought"] = "thought"


OrderKind = Literal["shuffle", "local_shuffle", "reverse", "jitter", "duplicate", "drop"]


class PerturbedFramesView(Strict):
    """Answer again about a video's frames out of order: VQ-Insight, VQAThinker."""

    kind: Literal["perturbed_frames"] = "perturbed_frames"
    orders: tuple[OrderKind, ...] | None = Field(
        None, min_length=1, description="Drawn from for each sample; null: shuffle for VQ-Insight, else all six."
    )
    completions: int | None = Field(None, ge=2, description="Further ones a sample; null is half the group.")


SecondView = Annotated[
    DegradedView | MaskedView | CaptionView | TextOnlyView | ThoughtView | PerturbedFramesView,
    Field(discriminator="kind"),
]
