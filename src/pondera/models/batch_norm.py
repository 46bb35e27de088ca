"""Batch normalisation over the batches of all processes, so that what a tower learns does not depend on their number.

torch's own `SyncBatchNorm` does this on GPUs only, and by other modules, which cannot take over the pieces of a sharded
model.

Shape letters: C channels.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from pondera.models.distribution import world_size


def share_batch_norm(model: nn.Module) -> None:
    """Let all batch normalisations of a model take mean and variance from the batches of all processes.

    In training all processes then pass through the model together. Nothing happens in one process.
    """
    if world_size() == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.forward = MethodType(shared_forward, module)  # type: ignore[method-assign]


def shared_forward(module: Any, values: torch.Tensor) -> torch.Tensor:
    """What a batch normalisation gives for the batches of all processes, at its place among them.

    Args:
        module: `BatchNorm1d`, `2d` or `3d`.
        values: [N, C, ...] of this process.
    """
    if not (module.training or module.running_mean is None):
        return type(module).forward(module, values)
    axes = [axis for axis in range(values.ndim) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(values.ndim)]
    whole = values.to(torch.promote_types(values.dtype, torch.float32))
    count = _Summed.apply(whole.new_tensor(values.numel() / values.shape[1]))
    mean_C = _Summed.apply(whole.sum(axes)) / count
    centred = whole - mean_C.view(shape)
    # A mean of squares less the square of the mean would lose the digits that one process keeps.
    variance_C = _Summed.apply(centred.square().sum(axes)) / count
    if module.training and module.track_running_stats:
        _track(module, mean_C.detach(), (variance_C * count / (count - 1)).detach())
    normal = centred * (variance_C + module.eps).rsqrt().view(shape)
    if module.affine:
        normal = normal * module.weight.view(shape) + module.bias.view(shape)
    return normal.to(values.dtype)


@torch.no_grad()
def _track(module: Any, mean_C: torch.Tensor, variance_C: torch.Tensor) -> None:
    module.num_batches_tracked += 1
    share = 1 / float(module.num_batches_tracked) if module.momentum is None else module.momentum
    module.running_mean.lerp_(mean_C.to(module.running_mean.dtype), share)
    module.running_var.lerp_(variance_C.to(module.running_var.dtype), share)


class _Summed(torch.autograd.Function):
    """A sum over processes; each one's part has the gradient of all their losses."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total
