"""LoRA: a few trainable matrices of low rank beside frozen weights, through PEFT.

An adapter starts as nothing, so the model without it is the one that the stage began with: the reference of the KL
costs no memory. Where a model is saved, its adapter is added to the weights in the file: that is a plain checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pondera.errors import ConfigError, MissingExtra
from pondera.models.family import Family


def add_adapter(family: Family, *, rank: int, alpha: int, targets: Sequence[str] = (), seed: int = 0) -> None:
    """Freeze the model of a family and put an adapter beside linear layers of its decoder.

    Args:
        family: its `model` is replaced.
        rank: of each pair of matrices, >= 1.
        alpha: their product is scaled by alpha / rank.
        targets: last parts of the names of layers, such as `q_proj`; empty takes all linear layers of the decoder.
        seed: of the first matrix of each pair; the second is zero.

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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        family.model = get_peft_model(family.model, config)


def has_adapter(model: Any) -> bool:
    """Whether a model carries an adapter."""
    return hasattr(model, "disable_adapter") and hasattr(model, "merge_and_unload")


def save_adapter(family: Family, folder: Path) -> None:
    """Write the adapter alone, as `peft.PeftModel.from_pretrained(model, folder)` reads it."""
    # Not told what to write, PEFT puts together the pieces of frozen weights too, for which it needs all processes.
    trained = {name: weight.detach() for name, weight in family.model.named_parameters() if weight.requires_grad}
    family.model.save_pretrained(folder, state_dict=trained, save_embedding_layers=False)


def load_adapter(family: Family, folder: Path) -> None:
    """Put a written adapter beside the model that it was trained beside."""
    from peft import PeftModel

    family.model = PeftModel.from_pretrained(family.model, folder)


def _decoder_layers(model: Any) -> dict[str, str]:
    """Full name and last part of the name of every linear layer of the decoder; the head stays as it is."""
    inside = set(model.get_decoder().modules())
    return {
        name: name.rpartition(".")[2]
        for name, module in model.named_modules()
        if module in inside and isinstance(module, torch.nn.Linear)
    }
