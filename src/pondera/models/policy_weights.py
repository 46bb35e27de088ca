"""The weights of a policy as its checkpoint names them, each whole: for files, and for engines that keep a copy.

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
from pondera.models.distribution import rank, reshard

WeightShape = tuple[str, torch.dtype, tuple[int, ...]]


def weight_shapes(model: nn.Module) -> list[WeightShape]:
    """Name, type and whole shape of every weight, in the order of `whole_weights`.

    Raises:
        ModelError: as in `whole_weights`.
    """
    return [(name, weight.dtype, tuple(weight.shape)) for name, weight, _ in _known(_weights(model))]


@torch.no_grad()
def whole_weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight, adapters added, sharded ones gathered; tied weights come once.

    With FSDP2 each weight is gathered by all processes together: every rank has to exhaust this iterator.

    Raises:
        ModelError: weights are quantized, or hidden by a sharding that has no whole tensors (ZeRO-3).
    """
    for name, weight, adapted in _known(_weights(model)):
        yield name, _adapted(_whole(weight), adapted)


@torch.no_grad()
def whole_state(model: Any) -> dict[str, torch.Tensor]:
    """Weights and buffers as a checkpoint holds them, adapters added, in main memory.

    Where the model is in pieces (FSDP2, ZeRO-3), all processes ask together; the first gets them, the others nothing.
    """
    reshard(model)
    state: dict[str, torch.Tensor] = {}
    for name, weight, adapted in _weights(model):
        whole = _adapted(_whole(weight), adapted)
        if rank() == 0:
            state[name] = whole.cpu()
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if rank() == 0:
        kept = set(base.state_dict())
        state |= {name: buffer.cpu() for name, buffer in base.named_buffers() if name in kept}
    return state


def _whole(weight: nn.Parameter) -> torch.Tensor:
    """A weight that pieces of it may have to be gathered for."""
    value: Any = weight.detach()
    if hasattr(value, "full_tensor"):  # a DTensor knows its shard only
        return value.full_tensor()
    if hasattr(weight, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([weight]):
            return weight.detach().clone()
    return value


def _adapted(weight: torch.Tensor, layer: Any) -> torch.Tensor:
    for adapter in () if layer is None else layer.active_adapters:
        weight = weight + layer.get_delta_weight(adapter).to(weight.dtype)
    return weight


_Weights = Iterator[tuple[str, nn.Parameter, Any]]


def _known(weights: _Weights) -> _Weights:
    """The same, if all of them have values that can be handed over."""
    for name, parameter, adapted in weights:
        if not parameter.is_floating_point() or parameter.numel() == 0:
            raise ModelError(
                f"weight {name} is {tuple(parameter.shape)} of {parameter.dtype}: quantized and ZeRO-3 weights cannot "
                "be handed to another engine; roll out with backend: transformers"
            )
        yield name, parameter, adapted


def _weights(model: Any) -> _Weights:
    """Checkpoint name, parameter, and the adapted layer that it belongs to, or None."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT
    for name, parameter in base.named_parameters():
        if ".lora_" in name or ".original_module." in name:
            continue
        path, found, leaf = name.rpartition(".base_layer.")
        adapted = base.get_submodule(path) if found and leaf == "weight" else None
        yield re.sub(r"\.modules_to_save\.[^.]+", "", name.replace(".base_layer.", ".")), parameter, adapted
