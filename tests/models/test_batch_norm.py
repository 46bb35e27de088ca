"""Batch normalisation over processes: in a group of one it is torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import distributed as dist
from torch import nn

from pondera.models.batch_norm import shared_forward


@pytest.fixture
def group():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def _passes(make, forward, shape):
    """Three passes: outputs, gradients, buffers."""
    generator = torch.Generator().manual_seed(0)
    module = make()
    found = []
    for number in range(3):
        module.train(number < 2)
        values = (3 + 2 * torch.randn(shape, generator=generator)).requires_grad_()
        weight = torch.randn(shape, generator=generator)
        output = forward(module, values)
        (output * weight).sum().backward()
        found += [output.detach(), values.grad, *(b.clone() for b in module.buffers())]
    return [*found, *(p.grad for p in module.parameters())]


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.BatchNorm2d(3), (4, 3, 5, 6)),
        (lambda: nn.BatchNorm1d(3, momentum=None), (7, 3)),
        (lambda: nn.BatchNorm2d(3, affine=False, track_running_stats=False), (2, 3, 4, 4)),
    ],
)
def test_it_agrees_with_torch_on_one_batch(group, make, shape):
    own, torchs = _passes(make, shared_forward, shape), _passes(make, lambda m, v: m(v), shape)
    for mine, theirs in zip(own, torchs, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
