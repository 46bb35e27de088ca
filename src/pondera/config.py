"""Recipes: typed, frozen, closed configuration read from YAML. A default lives here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pondera.errors import ConfigError


class Strict(BaseModel):
    """A section of a recipe: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraSection(Strict):
    """Train low-rank matrices beside the decoder's frozen weights; they are merged when a stage ends."""

    rank: int = Field(16, ge=1, description="Rank of each pair of matrices.")
    alpha: int = Field(32, ge=1, description="Their product is scaled by alpha / rank.")
    targets: tuple[str, ...] = Field((), description="Layers, such as q_proj; empty is all linear ones of the decoder.")


class ModelSection(Strict):
    """Where training starts."""

    init: str = Field("nano-new", description="`nano-new` for fresh weights, or a name, folder or hub id to load.")
    hidden_size: int = Field(160, ge=32, description="Width of a fresh nano decoder.")
    num_layers: int = Field(4, ge=1, description="Depth of a fresh nano decoder.")
    vision_widths: tuple[int, ...] = Field((32, 64, 128, 192), description="Widths of a fresh nano backbone.")
    tile_px: int = Field(96, ge=32, description="Side of a fresh nano model's views, pixels.")
    num_crops: int = Field(4, ge=0, description="Native crops beside the global view of a fresh nano model.")
    grid: int = Field(2, ge=1, description="Image tokens per side of a view of a fresh nano model.")
    global_tiles: int = Field(1, ge=1, description="Views per side of the global view of a fresh nano model.")
    cell_changes: bool = Field(False, description="A fresh nano model also sees how successive cells differ.")
    mirror: bool = Field(True, description="Mirror views in training; off where places have an order, as in a montage.")
    vision_from: str | None = Field(
        None, description="Nano model, name or folder, whose vision tower a fresh nano model starts with."
    )

    lora: LoraSection | None = Field(None, description="Train an adapter in cold start and reinforcement; null is all.")
    sharded: bool = Field(
        False, description="Processes of torchrun hold pieces of the model (FSDP2); otherwise copies (DDP)."
    )

    @model_validator(mode="after")
    def _settings_fit(self) -> ModelSection:
        if self.lora is not None and self.sharded:
            raise ValueError(
                "lora and sharded do not go together yet: an adapter needs little memory; drop one of them"
            )
        if self.vision_from is not None and self.init != "nano-new":
            raise ValueError(f"vision_from is for fresh models; init {self.init!r} has a vision tower of its own")
        if self.global_tiles > 1 and self.mirror:
            raise ValueError("mirror must be false where global_tiles > 1: mirrored views would be out of order")
        return self


class DataSection(Strict):
    """What is learned from, and what is held out."""

    manifest: str | tuple[str, ...] = Field(
        description="JSONL manifest, or a list of them; paths are relative to the working directory."
    )
    train_split: str | None = Field("train", description="Split to learn from; null takes all samples.")
    validation_split: str | None = Field("val", description="Held-out split for the curves; null for none.")
    validation_samples: int = Field(96, ge=2, description="At most so many of them, evenly spread.")
    max_unreadable: float = Field(
        0.05, ge=0, le=1, description="Share of samples that may be unreadable; they are skipped. More stop the run."
    )

    @property
    def manifests(self) -> tuple[str, ...]:
        """All of them."""
        return (self.manifest,) if isinstance(self.manifest, str) else self.manifest


class PromptSection(Strict):
    """What the model is asked."""

    reason: str = Field("quality.short", description="Prompt that asks for a score, as a rule behind a thought.")
    fast: str | None = Field("quality.short.fast", description="Prompt for the answer only; null: never asked.")
    tasks: dict[str, str] = Field({}, description="Prompts of the other tasks in the manifest, by task.")
    max_new_tokens: int = Field(96, ge=8, description="Longest completion.")


class ViewSection(Strict):
    """How samples are shown to the model: `pondera.data.presentation.Layout`; goes onto the model card."""

    video: Literal["preresq", "sequence", "slow_fast"] = Field(
        "preresq", description="Montage of 16 frames and three local ones; frames in turn; few large and many small."
    )
    montage_px: int = Field(1024, ge=16, description="Longer side of a montage.")
    local_px: int = Field(1024, ge=16, description="Longer side above which local or large frames are scaled down.")
    num_frames: int = Field(6, ge=1, description="Frames of a sequence.")
    frame_px: int = Field(448, ge=16, description="Longer side of the frames of a sequence.")
    facts: bool = Field(False, description="Add measured frame rate, standstills and flicker as text.")
    strip: bool = Field(False, description="Add differences between successive frames as a picture.")
    profile: bool = Field(False, description="Add one row of pixels over time as a picture.")
    reference: bool = Field(False, description="Show the reference of samples that have one.")


class OptimiserSection(Strict):
    """AdamW with warm-up and decay."""

    learning_rate: float = Field(gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    adam_beta2: float = Field(0.99, gt=0, lt=1)


class TrackingSection(Strict):
    """Who else hears of a run, beside its metrics file."""

    report_to: tuple[str, ...] = Field((), description="Trackers of transformers: tensorboard, wandb, trackio, ...")
    callbacks: tuple[str, ...] = Field(
        (), description="transformers.TrainerCallback classes: `package.module:Name`, or entry points."
    )


Wordings = Literal["one", "pool"]
Precision = Literal["auto", "float32", "bfloat16"]
Keep = Literal["last", "best"]


Objective = Literal["levels", "ranking", "distance", "text"]


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
        description="Losses that are added up: levels regresses the distortions; ranking, distance and text are "
        "HiRQA-style, on crops whose versions share two types.",
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


class ManifestRationales(Strict):
    """Rationales that the manifest holds, as `pondera distill` writes them."""

    source: Literal["manifest"] = "manifest"


class MeasuredRationales(Strict):
    """Rationales of the measuring teacher, in the form that the prompt of each task asks for."""

    source: Literal["measuring"] = "measuring"
    answers: Literal["teacher", "labels"] = Field("teacher", description="Whose answer stands behind the thought.")


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


class TransformersRollout(Strict):
    """Sample from the model in training itself."""

    backend: Literal["transformers"] = "transformers"


class VllmRollout(Strict):
    """Sample with a vLLM engine inside each training process. Unverified on GPU: `docs/vllm.md`."""

    backend: Literal["vllm"]
    gpu_memory: float = Field(0.3, gt=0, lt=1, description="Share of the GPU's memory that the engine may fill.")
    max_length: int | None = Field(
        None, ge=1, description="Longest prompt with completion, tokens; null is the model's own limit."
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="Type of the engine's weights; auto is that of the weights in training."
    )


class VllmServerRollout(Strict):
    """Sample on a server started with `vllm serve`. Unverified on GPU: `docs/vllm.md`."""

    backend: Literal["vllm_server"]
    url: str = Field(pattern=r"^https?://[^/\s]+(/v1)?/?$", description="Address, such as http://gpu7:8000.")
    timeout_s: float = Field(600, gt=0, description="Longest wait for one answer.")
    concurrency: int = Field(32, ge=1, description="Requests of each process under way at a time.")


Rollout = Annotated[TransformersRollout | VllmRollout | VllmServerRollout, Field(discriminator="backend")]


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


class RampSection(Strict):
    """A weight that goes linearly from one value to another between two steps, and is constant outside."""

    start: float
    end: float
    first_step: int = Field(0, ge=0)
    last_step: int = Field(ge=1)


class RewardSection(Strict):
    """A reward term added to those of the system."""

    term: str = Field(description="Registered name: see `pondera rewards list`.")
    weight: float = 1.0
    label: str = Field("", description="Its name in logs; the term's own when empty.")
    tasks: tuple[str, ...] = Field((), description="Only samples of these tasks earn it; empty is all.")
    parameters: dict[str, Any] = Field({}, description="Of the term.")


class ReinforceStage(Strict):
    """GRPO with the rewards and advantages of a named system."""

    kind: Literal["reinforce"] = "reinforce"
    name: str = "reinforce"
    data: DataSection | None = Field(None, description="What this stage learns from; null is the recipe's.")
    prompts: PromptSection | None = Field(None, description="What this stage asks; null is the recipe's.")
    wordings: Wordings = Field("one", description="one: the first wording of a prompt; pool: a seeded one each time.")
    system: str = Field("pondera", description="A preset: see `pondera rewards list`.")
    system_stage: str | None = Field(None, description="Stage of the preset, where it has several.")
    weights: dict[str, float | RampSection] = Field(
        {}, description="Weights of the system's terms, in place of its own: a number, or a ramp over steps."
    )
    rewards: tuple[RewardSection, ...] = Field((), description="Terms beside those of the system.")
    reference: Literal["reset", "kept"] = Field(
        "reset", description="What the KL holds to: where this stage starts, or where the first reinforce stage did."
    )
    optimiser: OptimiserSection
    steps: int = Field(ge=1)
    samples_per_step: int = Field(16, ge=1, description="Prompts per step, on all processes together.")
    least_samples: int = Field(
        1, ge=1, description="Samples of a dataset in any step that has it; the system's rewards may ask for more."
    )
    shares: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = Field(
        None, description="Share of each dataset in the steps; null is by its samples. Those not named are left out."
    )
    group_size: int = Field(8, ge=2, description="Completions per prompt (G, K).")
    updates_per_rollout: int = Field(
        1, ge=1, description="Steps on the same completions (mu); from the second on, ratios leave 1 and are clipped."
    )
    temperature: float = Field(1.0, gt=0)
    rollout: Rollout = Field(TransformersRollout(), description="What samples the completions.")
    kl_weight: float = Field(0.0, ge=0, description="Weight of the KL to the reference.")
    thought_kl_weight: float | None = Field(
        None,
        ge=0,
        description="The same on the tokens before the answer: what keeps a thought true; null is kl_weight.",
    )
    kl_estimate: Literal["k3", "unbiased_k3"] = Field(
        "k3", description="unbiased_k3 weighs k3 by the ratio, which gives the gradient of the KL itself."
    )
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.2, gt=0, description="Above clip_low it is DAPO's clip-higher.")
    dual_clip: float | None = Field(
        None, description="Largest ratio that pushes a bad token down, > 1 + clip_high; null sets no limit."
    )
    ratio: Literal["token", "sequence"] = Field(
        "token", description="sequence: one ratio a completion, the geometric mean of its tokens' (GSPO)."
    )
    normalise: Literal["grpo", "dr_grpo", "dapo"] = "grpo"
    thought_advantage: float = Field(
        1.0, ge=0, description="Factor on the advantage of the tokens before the answer; 0 leaves thoughts to the KL."
    )
    entropy_weight: float = Field(0.0, ge=0, description="Weight of the mean entropy, which is raised.")
    entropy_share: float = Field(
        1.0, gt=0, le=1, description="Share of tokens, by entropy, that the policy learns from; 0.2 is published."
    )
    token_budget: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto",
        description="Most tokens of a micro-batch; auto starts with the whole step and halves where memory ends.",
    )
    gradient_checkpointing: bool = Field(False, description="Compute activations again instead of keeping them.")
    second_views: tuple[SecondView, ...] = Field((), description="Further looks at each sample, for rewards or losses.")
    automatic_views: bool = Field(True, description="Add those that the system reads, with their default settings.")
    opposed_views: bool = Field(
        False,
        description="Allow a caption, which lowers a divergence, beside a degraded or masked view, which raises it.",
    )
    freeze_vision: bool = Field(False, description="Keep the vision tower as it is.")
    views: int = Field(2, ge=1, description="Seeded variants of each image, where a frozen tower's output is kept.")
    precision: Precision = Field("float32", description="Of the forward pass; weights and optimiser stay as they are.")
    keep: Keep = Field("last", description="best: the model of the highest held-out SRCC, the first one included.")
    patience: int | None = Field(None, ge=1, description="Stop after so many validations without a gain; null never.")
    validate_every: int = Field(20, ge=1, description="Steps between held-out SRCC and PLCC.")
    record_every: int = Field(10, ge=1, description="Steps between roll-outs that are written to the run folder.")
    save_every: int = Field(50, ge=1, description="Steps between checkpoints.")

    @model_validator(mode="after")
    def _settings_fit(self) -> ReinforceStage:
        if self.dual_clip is not None and self.dual_clip <= 1 + self.clip_high:
            raise ValueError(f"dual_clip must be > 1 + clip_high = {1 + self.clip_high:g}, got {self.dual_clip}")
        if self.save_every % self.updates_per_rollout:
            raise ValueError(
                f"save_every must be a multiple of updates_per_rollout = {self.updates_per_rollout}, got "
                f"{self.save_every}: a checkpoint holds no completions to go on with"
            )
        return self


Stage = Annotated[PretrainStage | ColdStartStage | ReinforceStage, Field(discriminator="kind")]


class Recipe(Strict):
    """A complete configuration with a known outcome."""

    name: str
    description: str = ""
    seed: int = Field(0, ge=0)
    model: ModelSection = ModelSection()
    data: DataSection
    prompts: PromptSection = PromptSection()
    view: ViewSection = ViewSection()
    tracking: TrackingSection = TrackingSection()
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"two stages have one name: {names}")
        return self

    def prompts_of(self, stage: Stage) -> PromptSection:
        """What a stage asks: its own prompts, or those of the recipe."""
        return getattr(stage, "prompts", None) or self.prompts

    def data_of(self, stage: Stage) -> DataSection:
        """What a stage learns from: its own data, or that of the recipe."""
        return getattr(stage, "data", None) or self.data


def recipe_names() -> list[str]:
    """The packaged recipes."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """The YAML of a packaged recipe, or of a file.

    Raises:
        ConfigError: there is none of this name.
    """
    if name.endswith((".yaml", ".yml")) or Path(name).is_file():
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"{name}: no such recipe file")
        return path.read_text(encoding="utf-8")
    if name not in recipe_names():
        raise ConfigError(f"no recipe {name!r}; packaged are: {', '.join(recipe_names())}. A file ends in .yaml")
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        name: a packaged recipe or a YAML file.
        overrides: `a.b=value` assignments; list items by index or by their `name`: `stages.reinforce.steps=20`.

    A recipe may name another one with `extends`: what it leaves out comes from there. Its stages follow the stages of
    the other; one with the name of a stage there changes that stage's values instead.

    Raises:
        ConfigError: the file, an override or a value is wrong; the message names it.
    """
    values = _recipe_values(name)
    for assignment in overrides:
        _override(values, assignment)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc'])} = {e.get('input')!r}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"recipe {name}: " + "; ".join(lines)) from None


def _recipe_values(name: str, below: tuple[str, ...] = ()) -> dict[str, Any]:
    if name in below:
        raise ConfigError(f"recipe {name} extends itself: {' -> '.join((*below, name))}")
    try:
        values = yaml.safe_load(recipe_text(name))
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: a recipe is a mapping, got {type(values).__name__}")
    base = values.pop("extends", None)
    return values if base is None else _extended(_recipe_values(str(base), (*below, name)), values)


def _extended(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Mappings join key by key, stages by name; any other value of its own replaces that of the base."""
    joined = dict(base)
    for key, value in own.items():
        before = base.get(key)
        if key == "stages" and isinstance(value, list) and isinstance(before, list):
            joined[key] = _extended_stages(before, value)
        elif isinstance(before, dict) and isinstance(value, dict):
            joined[key] = _extended(before, value)
        else:
            joined[key] = value
    return joined


def _extended_stages(base: list[Any], own: list[Any]) -> list[Any]:
    named = {_stage_name(stage): stage for stage in base}
    for stage in own:
        before = named.get(_stage_name(stage))
        named[_stage_name(stage)] = _extended(before, stage) if isinstance(before, dict) else stage
    return list(named.values())


def _stage_name(stage: Any) -> Any:
    return stage.get("name", stage.get("kind")) if isinstance(stage, dict) else id(stage)


def _folder() -> Any:
    return files("pondera") / "recipes"


def _override(values: dict[str, Any], assignment: str) -> None:
    path, sign, text = assignment.partition("=")
    keys = path.split(".")
    if not sign or not all(keys):
        raise ConfigError(f"--set {assignment!r}: write it as a.b=value")
    node: Any = values
    for key in keys[:-1]:
        node = _descend(node, key, assignment)
    if isinstance(node, list):
        node[_index(node, keys[-1], assignment)] = yaml.safe_load(text)
    elif isinstance(node, dict):
        node[keys[-1]] = yaml.safe_load(text)
    else:
        raise ConfigError(f"--set {assignment!r}: {'.'.join(keys[:-1])} is a value, not a section")


def _descend(node: Any, key: str, assignment: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, key, assignment)]
    if isinstance(node, dict):
        return node.setdefault(key, {})
    raise ConfigError(f"--set {assignment!r}: {key!r} is below a value, not a section")


def _index(node: list[Any], key: str, assignment: str) -> int:
    for i, item in enumerate(node):
        if key == str(i) or (isinstance(item, dict) and key == item.get("name", item.get("kind"))):
            return i
    raise ConfigError(f"--set {assignment!r}: no item {key!r} in the list of {len(node)}")
