"""The weights of a policy as its checkpoint names them, each whole: for engines that keep their own copy.

A LoRA adapter is added to a copy of its layer's weight, one layer at a time. Merging adapters into the model and taking
them out again would round the base weights a little in every step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pondera.errors import ModelError

WeightShape = tuple[str, torch.dtype, tuple[int, ...]]


def weight_shapes(model: nn.Module) -> list[WeightShape]:
    """Name, type and whole shape of every weight, in the order of `whole_weights`.

    Raises:
        ModelError: as in `whole_weights`.
    """
    return [(name, weight.dtype, tuple(weight.shape)) for name, weight, _ in _weights(model)]


@torch.no_grad()
def whole_weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight, adapters added, sharded ones gathered; tied weights come once.

    With FSDP2 each weight is gathered by all processes together: every rank has to exhaust this iterator.

    Raises:
        ModelError: weights are quantized, or hidden by a sharding that has no whole tensors (ZeRO-3).
    """
    for name, weight, adapted in _weights(model):
        whole = weight.detach()
        if adapted is not None:
            for adapter in adapted.active_adapters:
                whole = whole + adapted.get_delta_weight(adapter).to(whole.dtype)
        # A DTensor knows its shard only.
        yield name, whole.full_tensor() if hasattr(whole, "full_tensor") else whole


def _weights(model: Any) -> Iterator[tuple[str, nn.Parameter, Any]]:
    """Checkpoint name, parameter, and the adapted layer that it belongs to, or None."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT
    for name, parameter in base.named_parameters():
        if ".lora_" in name or ".original_module." in name:
            continue
        if not parameter.is_floating_point() or parameter.numel() == 0:
            raise ModelError(
                f"weight {name} is {tuple(parameter.shape)} of {parameter.dtype}: quantized and ZeRO-3 weights cannot "
                "be handed to another engine; roll out with backend: transformers"
            )
        path, found, leaf = name.rpartition(".base_layer.")
        adapted = base.get_submodule(path) if found and leaf == "weight" else None
        yield re.sub(r"\.modules_to_save\.[^.]+", "", name.replace(".base_layer.", ".")), parameter, adapted
