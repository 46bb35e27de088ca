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


def _decoder_layers(model: Any) -> dict[str, str]:
    """Full name and last part of the name of every linear layer of the decoder; the head stays as it is."""
    inside = set(model.get_decoder().modules())
    return {
        name: name.rpartition(".")[2]
        for name, module in model.named_modules()
        if module in inside and isinstance(module, torch.nn.Linear)
    }
