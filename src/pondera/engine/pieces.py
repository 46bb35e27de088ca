"""Checkpoints of a model in pieces (FSDP2): each process writes the pieces that it holds, into one folder.

The library writes the optimiser of such a model as the first process sees it, which is a part. Frozen weights are
left out: they are as in the model that the stage started from. Buffers are not: batch normalisation counts in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException

from pondera.models.distribution import reshard

_MOMENTS = "moments/"  # of the optimiser; behind it stands WEIGHT/NAME


def save_pieces(model: nn.Module, optimiser: torch.optim.Optimizer, folder: Path) -> None:
    """Write trained weights, buffers and the optimiser's moments; all processes together.

    Raises:
        OSError: one of them could not.
    """
    weights = _weights(model)
    moments = {
        f"{_MOMENTS}{name}/{key}": value
        for name, weight in weights.items()
        for key, value in optimiser.state.get(weight, {}).items()
    }
    with _plain_errors():
        dcp.save({**_values(weights), **_buffers(model), **moments}, checkpoint_id=folder)


def load_pieces(model: nn.Module, optimiser: torch.optim.Optimizer, folder: Path) -> None:
    """Read them back; all processes together.

    Raises:
        OSError: one of them could not, or the folder holds other weights.
    """
    weights = _weights(model)
    moments = dict(_empty_moments(weights, folder))
    with _plain_errors():
        dcp.load({**_values(weights), **_buffers(model), **moments}, checkpoint_id=folder)
    places = {p: n for n, p in enumerate(p for group in optimiser.param_groups for p in group["params"])}
    state: dict[int, dict[str, torch.Tensor]] = defaultdict(dict)
    for key, value in moments.items():
        name, moment = _weight_and_moment(key)
        state[places[weights[name]]][moment] = value
    # Through its own loading, which knows on which device it wants what.
    optimiser.load_state_dict({"state": dict(state), "param_groups": optimiser.state_dict()["param_groups"]})


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """What is trained, by name, in pieces as the optimiser knows it."""
    reshard(model)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _values(weights: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in weights.items()}


def _buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """What a checkpoint of the whole model would hold of them."""
    kept = model.state_dict().keys()
    return {name: buffer for name, buffer in model.named_buffers() if name in kept}


def _empty_moments(weights: dict[str, nn.Parameter], folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Room for the moments that a folder holds, cut as their weights are; weights without gradients never had any."""
    for key, entry in dcp.FileSystemReader(folder).read_metadata().state_dict_metadata.items():
        if key.startswith(_MOMENTS):
            weight = weights[_weight_and_moment(key)[0]]
            assert isinstance(entry, dcp.metadata.TensorStorageMetadata)  # moments are tensors
            dtype = entry.properties.dtype
            is_cut = entry.size == weight.shape
            yield key, torch.zeros_like(weight, dtype=dtype) if is_cut else torch.zeros(entry.size, dtype=dtype)


def _weight_and_moment(key: str) -> tuple[str, str]:
    name, _, moment = key.removeprefix(_MOMENTS).rpartition("/")
    return name, moment


@contextmanager
def _plain_errors() -> Iterator[None]:
    """torch's own error is no Exception."""
    try:
        yield
    except CheckpointException as error:
        raise OSError(str(error)) from error
