"""Each picture of a forward pass through the vision tower once, however often the batch shows it.

A picture stands in several groups of a batch where several tasks ask about it, and in every padded row of its group.
A frozen tower's output can be kept (`engine/encoder.py`); that of a tower that learns cannot, but its features can be
repeated within the pass, and the gradients of all uses add up in the one encoding.

Shape letters: N pictures of a pass, U different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import nn

Picture = Sequence[torch.Tensor]  # its pixels, then whatever else the tower is told of it

_BY_PICTURE = {"pixel_values", "pixel_attention_mask", "image_sizes", "image_grid_thw"}
_BY_PICTURE |= {"pixel_values_videos", "video_grid_thw"}
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Repeats(NamedTuple):
    """Which pictures of a pass are the same.

    Args:
        first_U: the place at which each different picture comes first.
        different_N: the number of each picture among the different ones.
    """

    first_U: list[int]
    different_N: list[int]


def find_repeats(pictures: Sequence[Picture], tower: nn.Module) -> Repeats | None:
    """Pictures that are equal to the last bit; None where there are none, or every one of them counts.

    Args:
        pictures: N of them.
        tower: reads them. While it takes statistics from its batch (batch normalisation in training), a picture that
            comes twice counts twice there, and none may be left out.
    """
    if len(pictures) < 2:
        return None
    # Sums of bits do not depend on the order of adding, and come from the device all at once.
    sum_N = torch.stack([_bit_sum(pixels) for pixels, *_ in pictures]).tolist()
    first_U: list[int] = []
    different_N: list[int] = []
    for n, picture in enumerate(pictures):
        equal = (u for u, m in enumerate(first_U) if sum_N[m] == sum_N[n] and _is_equal(pictures[m], picture))
        different_N.append(next(equal, len(first_U)))
        if different_N[-1] == len(first_U):
            first_U.append(n)
    return None if len(first_U) == len(pictures) or _learns_from_batch(tower) else Repeats(first_U, different_N)


def encode_once(model: Any) -> None:
    """Let a stock model encode each picture and clip of a pass once. Families that are not listed encode all of them.

    Args:
        model: without its head: the part whose forward pass calls `get_image_features`.
    """
    if getattr(model.config, "model_type", None) not in _SPLITS:
        return
    for name in ("get_image_features", "get_video_features"):
        if hasattr(type(model), name):
            setattr(model, name, MethodType(_ONCE[name], model))


def _bit_sum(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.view(_BITS[pixels.element_size()]).sum(dtype=torch.int64)


def _is_equal(one: Picture, other: Picture) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _learns_from_batch(tower: nn.Module) -> bool:
    return any(m.training for m in tower.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))


def _features(method: str) -> Callable[..., Any]:
    """The method of a stock model that turns pixels into features, with each picture encoded once."""

    def features(module: Any, *args: Any, **kwargs: Any) -> Any:
        plain = getattr(type(module), method)
        given: dict[Any, Any] = dict(enumerate(args)) | kwargs
        by_picture = [name for name in given if name not in kwargs or name in _BY_PICTURE]
        tensors = {name: given[name] for name in by_picture if given[name] is not None}
        if not all(isinstance(value, torch.Tensor) for value in tensors.values()):  # called by hand, with lists
            return plain(module, *args, **kwargs)
        pictures = _SPLITS[module.config.model_type](*tensors.values())
        repeats = find_repeats(pictures, module)
        if repeats is None:
            return plain(module, *args, **kwargs)
        different = zip(*(pictures[n] for n in repeats.first_U), strict=True)
        given.update({name: torch.cat(parts) for name, parts in zip(tensors, different, strict=True)})
        outputs = plain(module, *(given[n] for n in range(len(args))), **{name: given[name] for name in kwargs})
        feature_U = outputs.pooler_output
        feature_N = [feature_U[u] for u in repeats.different_N]
        outputs.pooler_output = torch.stack(feature_N) if isinstance(feature_U, torch.Tensor) else feature_N
        return outputs

    return features


_ONCE = {name: _features(name) for name in ("get_image_features", "get_video_features")}


def _stacked(*tensors: torch.Tensor) -> list[Picture]:
    """Dimension 0 of everything counts pictures."""
    return list(zip(*(tensor.split(1) for tensor in tensors), strict=True))


def _patches(pixels: torch.Tensor, grid: torch.Tensor) -> list[Picture]:
    """Patches of all pictures one behind the other; the grid says how many each has."""
    return list(zip(pixels.split(grid.prod(1).tolist()), grid.split(1), strict=True))


def _rows(*tensors: torch.Tensor) -> list[Picture]:
    """Rows of pictures; every picture becomes a row of its own, so that its features come apart from the others'."""
    return _stacked(*(tensor.flatten(0, 1)[:, None] for tensor in tensors))


# How the tensors of a pass fall into pictures. Listed are families whose features are by picture in nothing but
# `pooler_output`, and that a test compares with one pass a picture.
_SPLITS: Mapping[str, Callable[..., list[Picture]]] = {
    "gemma3": _stacked,
    "idefics3": _rows,
    "llava": _stacked,
    "qwen2_5_vl": _patches,
    "qwen2_vl": _patches,
    "smolvlm": _rows,
}
