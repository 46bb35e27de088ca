"""The model that a stage starts from: that of the stage before, one to be loaded, or a fresh one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pondera import prompts
from pondera.config import ColdStartStage, ModelSection, Recipe, Stage
from pondera.core.records import Sample
from pondera.data.presentation import present
from pondera.engine.plans import StagePlan
from pondera.errors import ConfigError
from pondera.models import Family, load_model
from pondera.models.block_attention import use_block_attention
from pondera.models.flex_attention import use_flex_attention
from pondera.models.four_bit import FourBit
from pondera.models.lora import add_adapter


def start_model(recipe: Recipe, stage: Stage, previous: Path | None, plans: Sequence[StagePlan]) -> Family:
    """The model of a stage, ready to be trained, with the adapter that the recipe asks for.

    Args:
        recipe: what to do.
        stage: what the model is for.
        previous: the model of the stage before; None for the first one.
        plans: of all stages: a fresh model's tokenizer is learned from their words.
    """
    family = bare_model(recipe, stage, previous, plans)
    lora = recipe.model.lora
    if lora is not None and stage.kind != "pretrain":
        add_adapter(family, rank=lora.rank, alpha=lora.alpha, targets=lora.targets, seed=recipe.seed)
    return family


def bare_model(recipe: Recipe, stage: Stage, previous: Path | None, plans: Sequence[StagePlan]) -> Family:
    """The same without an adapter: what the KL holds to.

    A tower that is pretrained is read apart from its model, and can neither be in pieces nor rounded.
    """
    section = recipe.model
    name = str(previous) if previous is not None else section.init
    if name == "nano-new":
        family = _fresh(recipe, plans)
    elif stage.kind == "pretrain":
        family = load_model(name).family
    else:
        four_bit = _four_bit(section)
        family = load_model(name, sharded=section.sharded, four_bit=four_bit).family
    if section.attention == "flex":
        use_flex_attention(family.model)
    elif family.attention == "sdpa" and family.device.type == "cpu":  # a third off the update; not measured on GPUs
        use_block_attention(family.model)
    return family


def _four_bit(section: ModelSection) -> FourBit | None:
    found = None if section.lora is None else section.lora.four_bit
    return None if found is None else FourBit(found.compute_dtype, found.double_quant)


def _fresh(recipe: Recipe, plans: Sequence[StagePlan]) -> Family:
    from pondera.models.loading import default_device
    from pondera.models.nano import build_nano

    section = recipe.model
    model, processor = build_nano(
        _words(plans),
        seed=recipe.seed,
        hidden_size=section.hidden_size,
        num_layers=section.num_layers,
        vision_widths=section.vision_widths,
        tile_px=section.tile_px,
        num_crops=section.num_crops,
        grid=section.grid,
        global_tiles=section.global_tiles,
        cell_changes=section.cell_changes,
        mirror=section.mirror,
    )
    if section.vision_from is not None:
        _take_vision(model, section.vision_from)
    return Family(model.to(default_device()), processor)  # type: ignore[arg-type]


def _words(plans: Sequence[StagePlan]) -> list[str]:
    """What the tokenizer of a fresh model learns from: questions, rationales, and words between pictures."""
    cards = [plan.card for plan in plans]
    asked = [name for card in cards for name in (card.prompt, card.fast_prompt, *card.tasks.values()) if name]
    stages = [plan.stage for plan in plans]
    asked += [s.soft_labels.prompt for s in stages if isinstance(s, ColdStartStage) and s.soft_labels]
    texts = [text for name in dict.fromkeys(asked) for text in prompts.get(name).paraphrases]
    rationales = {sample.id: sample.rationale for plan in plans for sample in plan.train if sample.rationale}
    texts += [w for plan in plans for sample in _some_videos(plan.train) for w in present(sample, plan.card.view).words]
    return [*texts, *rationales.values()]


def _some_videos(samples: Sequence[Sample], num: int = 8) -> list[Sample]:
    """Videos whose words between pictures the tokenizer learns; they are much the same for all."""
    videos = [sample for sample in samples if sample.kind == "video"]
    return videos[:: max(1, len(videos) // num)][:num]


def _take_vision(model: Any, source: str) -> None:
    """Copy the vision tower of another nano model, and its projector where both decoders are equally wide; which view
    a token is from is learned anew."""
    other = load_model(source).family.model
    if not hasattr(other.base_model, "encode_views"):
        raise ConfigError(f"model.vision_from = {source!r}: this is no nano model; its tower does not fit")
    own, kept = model.state_dict(), other.state_dict()
    tower = [name for name in own if ".vision_tower." in name]
    projector = [name for name in own if ".projector." in name and not name.endswith(".place")]
    fitting = [name for name in projector if name in kept and kept[name].shape == own[name].shape]
    try:
        model.load_state_dict({**own, **{name: kept[name] for name in tower + fitting}})
    except (KeyError, RuntimeError) as error:
        raise ConfigError(
            f"model.vision_from = {source!r}: its vision tower has other widths than model.vision_widths ({error})"
        ) from None
