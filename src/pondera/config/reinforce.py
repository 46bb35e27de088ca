"""The stage `reinforce`: who rolls out, what is rewarded, how the policy is updated."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pondera.config.sections import DataSection, Keep, OptimiserSection, Precision, PromptSection, Strict, Wordings
from pondera.config.views import PerturbedFramesView, SecondView


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
    freeze_projector: bool = Field(False, description="Keep what turns the tower's output into image tokens.")
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
        for view in self.second_views:
            if isinstance(view, PerturbedFramesView) and (view.completions or 0) > self.group_size:
                raise ValueError(
                    f"second view perturbed_frames: completions must be <= group_size = {self.group_size}, got "
                    f"{view.completions}"
                )
        if self.save_every % self.updates_per_rollout:
            raise ValueError(
                f"save_every must be a multiple of updates_per_rollout = {self.updates_per_rollout}, got "
                f"{self.save_every}: a checkpoint holds no completions to go on with"
            )
        return self
