"""LoRA: a few trainable matrices of low rank beside frozen weights, through PEFT.

An adapter starts as nothing, so the model without it is the one that the stage began with: the reference of the KL
costs no memory. Behind a stage the adapter is merged, and what is saved is a plain checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pondera.errors import ConfigError, MissingExtra
from pondera.models.family import Family


def add_adapter(family: Family, *, rank: int, alpha: int, targets: Sequence[str] = ()) -> None:
    """Freeze the model of a family and put an adapter beside linear layers of its decoder.

    Args:
        family: its `model` is replaced.
        rank: of each pair of matrices, >= 1.
        alpha: their product is scaled by alpha / rank.
        targets: last parts of the names of layers, such as `q_proj`; empty takes all linear layers of the decoder.

    Raises:
        MissingExtra: PEFT is not installed.
        ConfigError: a target names no layer.

    Source: LoRA (arXiv:2106.09685).
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MissingExtra("LoRA needs PEFT", "train") from None
    layers = _decoder_layers(family.model)
    for target in targets:
        if target not in layers.values():
            raise ConfigError(
                f"model.lora.targets names {target!r}, which is no linear layer of the decoder; it has "
                f"{', '.join(sorted(set(layers.values())))}"
            )
    names = [name for name, last in layers.items() if not targets or last in targets]
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, bias="none", target_modules=names)
    family.model = get_peft_model(family.model, config)


def has_adapter(model: Any) -> bool:
    """Whether a model carries an adapter."""
    return hasattr(model, "disable_adapter") and hasattr(model, "merge_and_unload")


def merge_adapter(family: Family) -> None:
    """Add the adapter to the weights: the family holds a stock model again. Nothing happens without an adapter."""
    if has_adapter(family.model):
        family.model = family.model.merge_and_unload()


def save_merged(model: Any, folder: Any) -> None:
    """Write the weights that `merge_adapter` would leave, and leave the adapter where it is.

    Merging and taking back would round the frozen weights, so the sums are made beside them, on the processor, one
    layer after the other.

    Args:
        model: has an adapter.
        folder: a new one.
    """
    base = model.get_base_model()
    layers = {name: module for name, module in base.named_modules() if hasattr(module, "get_delta_weight")}
    state = {
        name.replace(".base_layer.", "."): weight for name, weight in base.state_dict().items() if ".lora_" not in name
    }
    with torch.no_grad():
        for name, layer in layers.items():
            weight = layer.get_base_layer().weight
            delta = sum(layer.get_delta_weight(adapter) for adapter in layer.active_adapters)
            state[f"{name}.weight"] = (weight + delta.to(weight.dtype)).cpu()
    base.save_pretrained(folder, state_dict=state)


def _decoder_layers(model: Any) -> dict[str, str]:
    """Full name and last part of the name of every linear layer of the decoder; the head stays as it is."""
    inside = set(model.get_decoder().modules())
    return {
        name: name.rpartition(".")[2]
        for name, module in model.named_modules()
        if module in inside and isinstance(module, torch.nn.Linear)
    }
