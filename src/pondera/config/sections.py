"""Sections that all recipes share: the model, the data, the prompts, the optimiser, the trackers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """A section of a recipe: unknown keys are errors, values do not change, and numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FourBitSection(Strict):
    """The decoder's frozen weights in NF4, through bitsandbytes (QLoRA); on GPUs with CUDA only."""

    compute_dtype: Literal["bfloat16", "float16", "float32"] = Field("bfloat16", description="Of the products.")
    double_quant: bool = Field(True, description="Quantise the scales of the blocks too.")


class LoraSection(Strict):
    """Train low-rank matrices beside the decoder's frozen weights; they are merged when a stage ends."""

    rank: int = Field(16, ge=1, description="Rank of each pair of matrices.")
    alpha: int = Field(32, ge=1, description="Their product is scaled by alpha / rank.")
    targets: tuple[str, ...] = Field((), description="Layers, such as q_proj; empty is all linear ones of the decoder.")
    four_bit: FourBitSection | None = Field(
        None, description="Hold the frozen weights in four bits, `{}` for the published setting; null as they are."
    )


class ModelSection(Strict):
    """Where training starts."""

    init: str = Field("nano-new", description="`nano-new` for fresh weights, or a name, folder or hub id to load.")
    hidden_size: int = Field(160, ge=32, description="Width of a fresh nano decoder.")
    num_layers: int = Field(4, ge=1, description="Depth of a fresh nano decoder.")
    vision_widths: tuple[int, ...] = Field((48, 96, 160, 256), description="Widths of a fresh nano backbone.")
    tile_px: int = Field(96, ge=32, description="Side of a fresh nano model's views, pixels.")
    num_crops: int = Field(4, ge=0, description="Native crops beside the global view of a fresh nano model.")
    grid: int = Field(2, ge=1, description="Image tokens per side of a view of a fresh nano model.")
    global_tiles: int = Field(1, ge=1, description="Views per side of the global view of a fresh nano model.")
    cell_changes: bool = Field(False, description="A fresh nano model also sees how successive cells differ.")
    mirror: bool = Field(True, description="Mirror views in training; off where places have an order, as in a montage.")
    vision_from: str | None = Field(
        None,
        description="Nano model, name or folder, whose vision tower a fresh nano model starts with; with the same "
        "`hidden_size`, its projector too.",
    )

    attention: Literal["auto", "flex"] = Field(
        "auto",
        description="How the decoder reads packed groups: `auto` is SDPA, in blocks on a CPU; `flex` is flex attention "
        "and needs a CUDA GPU.",
    )
    lora: LoraSection | None = Field(None, description="Train an adapter in cold start and reinforcement; null is all.")
    sharded: bool = Field(
        False, description="Processes of torchrun hold pieces of the model (FSDP2); otherwise copies (DDP)."
    )

    @model_validator(mode="after")
    def _settings_fit(self) -> ModelSection:
        if self.lora is not None and self.lora.four_bit is not None:
            if self.sharded:
                raise ValueError("lora.four_bit and sharded do not go together: rounded weights have no pieces")
            if self.init == "nano-new":
                raise ValueError("lora.four_bit is for weights that are there; init nano-new makes fresh ones")
        if self.vision_from is not None and self.init != "nano-new":
            raise ValueError(f"vision_from is for fresh models; init {self.init!r} has a vision tower of its own")
        if self.global_tiles > 1 and self.mirror:
            raise ValueError("mirror must be false where global_tiles > 1: mirrored views would be out of order")
        return self


class DataSection(Strict):
    """What is learned from, and what is held out."""

    manifest: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
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

    video: Literal["preresq", "sequence", "slow_fast", "native"] = Field(
        "preresq",
        description="Montage of 16 frames and three local ones; frames in turn; few large and many small; a clip.",
    )
    montage_px: int = Field(1024, ge=16, description="Longer side of a montage.")
    local_px: int = Field(1024, ge=16, description="Longer side above which local or large frames are scaled down.")
    num_frames: int = Field(6, ge=1, description="Frames of a sequence.")
    frame_px: int = Field(448, ge=16, description="Longer side of the frames of a sequence or clip.")
    clip_rate: float = Field(2.0, gt=0, description="Frames a second of a clip (native).")
    clip_frames: int = Field(64, ge=1, description="Most frames of a clip; a longer video gets fewer a second.")
    facts: bool = Field(False, description="Add measured frame rate, standstills and flicker as text.")
    severities: bool = Field(
        False, description="Add how severe repeats, standstills, uneven motion, flicker and shake are, 0 to 5, as text."
    )
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
