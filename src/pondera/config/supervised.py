"""Stages that learn from what is given: `pretrain` from damage, `cold_start` from rationales."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pondera.config.sections import DataSection, Keep, OptimiserSection, Precision, PromptSection, Strict, Wordings

Objective = Literal["levels", "full_reference", "ranking", "distance", "text"]


class PretrainStage(Strict):
    """The vision tower learns distortions from pristine pictures: which, how strong. No opinion score."""

    kind: Literal["pretrain"] = "pretrain"
    name: str = "pretrain"
    optimiser: OptimiserSection
    pristine: str | None = Field(
        None, description="JSONL manifest of undistorted pictures; null is the bundled photographs of split train."
    )
    objective: tuple[Objective, ...] = Field(
        ("levels",),
        min_length=1,
        description="Losses that are added up: levels regresses the distortions, full_reference what MDSI says of each "
        "version; ranking, distance and text are HiRQA-style, on crops whose versions share two types.",
    )
    steps: int = Field(ge=1)
    batch_size: int = Field(16, ge=1, description="Crops per process and step.")
    versions: int = Field(8, ge=2, description="Versions of each crop, the first of them undamaged.")
    num_workers: int = Field(1, ge=0, description="Processes that make crops beside the training; 0 is none.")
    precision: Precision = Field(
        "auto", description="auto is bfloat16 where the processor computes faster in it, else float32."
    )
    save_every: int = Field(100, ge=1, description="Steps between checkpoints.")

    @model_validator(mode="after")
    def _objective_fits(self) -> PretrainStage:
        if len(set(self.objective)) != len(self.objective):
            raise ValueError(f"objective names a loss twice: {list(self.objective)}")
        if "distance" in self.objective and "ranking" not in self.objective:
            raise ValueError("objective distance compares with scores, which only ranking gives a meaning: add ranking")
        return self


class SoftLabelsSection(Strict):
    """A further question behind the image: which of five levels? Its label is a distribution (DeQA-Score)."""

    prompt: str = Field("quality.short.level", description="Prompt whose answer is one class field, worst level first.")
    weight: float = Field(1.0, gt=0, description="Of the KL between the label and the model's five probabilities.")
    fidelity_weight: float = Field(
        1.0,
        ge=0,
        description="Of the fidelity of preferences between the labelled samples of a batch; 0 leaves it out.",
    )
    spread: float | None = Field(
        None, ge=0, description="Spread of opinions, of five levels, where a sample has no mos_std; null refuses those."
    )
    density: Literal["pdf", "cdf"] = Field("pdf", description="pdf for wide spreads of opinions, cdf for narrow ones.")
    as_released: bool = Field(False, description="The released builder's labels, whose sum and mean may be off.")


AnswerSource = Literal["teacher", "labels"]


class ManifestRationales(Strict):
    """Rationales that the manifest holds, as `pondera distill` writes them."""

    source: Literal["manifest"] = "manifest"


class MeasuredRationales(Strict):
    """Rationales of the measuring teacher, in the form that the prompt of each task asks for."""

    source: Literal["measuring"] = "measuring"
    answers: AnswerSource | dict[str, AnswerSource] = Field(
        "teacher",
        description="Whose answer stands behind the thought; by task, where tasks differ: teacher for the rest.",
    )

    def answered_by(self, task: str) -> AnswerSource:
        """Whose answer stands behind the thoughts of a task."""
        return self.answers if isinstance(self.answers, str) else self.answers.get(task, "teacher")


class RejectionSampledRationales(Strict):
    """The best roll-outs of the policy itself, of those that agree with the labels."""

    source: Literal["rejection_sampled"] = "rejection_sampled"
    num: int = Field(8, ge=1, description="Roll-outs per sample.")
    temperature: float = Field(1.0, gt=0)
    tolerance: float = Field(0.3, gt=0, description="Largest error of a number, in units of the answer's scale.")


Rationales = Annotated[
    ManifestRationales | MeasuredRationales | RejectionSampledRationales, Field(discriminator="source")
]


class ColdStartStage(Strict):
    """Cross-entropy on rationales, thought and answer."""

    kind: Literal["cold_start"] = "cold_start"
    name: str = "cold_start"
    data: DataSection | None = Field(None, description="What this stage learns from; null is the recipe's.")
    prompts: PromptSection | None = Field(None, description="What this stage asks; null is the recipe's.")
    wordings: Wordings = Field("one", description="one: the first wording of a prompt; pool: a seeded one each time.")
    rationales: Rationales = Field(ManifestRationales(), description="Where the rationales come from.")
    optimiser: OptimiserSection
    epochs: float = Field(1.0, gt=0, description="One is the published optimum for large models.")
    batch_size: int = Field(16, ge=1, description="Samples per process and step.")
    fast_share: float = Field(
        0.5, ge=0, le=1, description="Share of samples that also teach the answer without a thought."
    )
    reasoning: bool = Field(True, description="Teach thoughts; false teaches the answer without one, from the labels.")
    thought_weight: float = Field(1.0, ge=0, description="Weight of the thought's tokens; 0 only reads them.")
    answer_weight: float = Field(1.0, gt=0, description="Weight of the answer's tokens.")
    soft_labels: SoftLabelsSection | None = Field(None, description="Auxiliary loss on five levels; null for none.")
    freeze_vision: bool = Field(False, description="Keep the vision tower as it is.")
    freeze_projector: bool = Field(False, description="Keep what turns the tower's output into image tokens.")
    views: int = Field(2, ge=1, description="Seeded variants of each image, where a frozen tower's output is kept.")
    gradient_accumulation: int = Field(1, ge=1, description="Batches of one step, read one after the other.")
    precision: Precision = Field("float32", description="Of the forward pass; weights and optimiser stay as they are.")
    gradient_checkpointing: bool = Field(False, description="Compute activations again instead of keeping them.")
    keep: Keep = Field("last", description="best: the model of the highest held-out SRCC, the first one included.")
    patience: int | None = Field(None, ge=1, description="Stop after so many validations without a gain; null never.")
    validate_every: Annotated[int, Field(ge=1)] | Literal["epoch"] = Field(
        50, description="Steps between held-out SRCC and PLCC, or `epoch`."
    )
    save_every: int = Field(100, ge=1, description="Steps between checkpoints.")

    @model_validator(mode="after")
    def _settings_of_thoughts_need_thoughts(self) -> ColdStartStage:
        fields = type(self).model_fields
        for name in ("fast_share", "thought_weight", "answer_weight", "rationales"):
            if not self.reasoning and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} has no meaning where reasoning is false: there are answers only")
        return self
