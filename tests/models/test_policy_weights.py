"""Weights for other engines: whole, under the checkpoint's names, with adapters added exactly."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from pondera.errors import ModelError
from pondera.models.policy_weights import weight_shapes, whole_weights
from tests.models.tiny import tiny_family


def test_weights_have_the_names_and_values_of_the_model():
    model = tiny_family().model
    weights = dict(whole_weights(model))
    assert weights.keys() == dict(model.named_parameters()).keys()
    assert weight_shapes(model) == [(name, w.dtype, tuple(w.shape)) for name, w in weights.items()]
    assert all(torch.equal(weights[name], parameter) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("saved", [None, ["linear_1"]])
def test_adapters_are_added_as_merging_would_and_the_model_stays_as_it_was(saved):
    base = tiny_family().model
    names = list(dict(base.named_parameters()))
    adapted = get_peft_model(copy.deepcopy(base), LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=saved))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.add_(0.1)
    before = copy.deepcopy(adapted.state_dict())
    weights = dict(whole_weights(adapted))
    assert [name for name, _, _ in weight_shapes(adapted)] == list(weights)
    assert all(torch.equal(value, before[name]) for name, value in adapted.state_dict().items())
    merged = adapted.merge_and_unload()
    expected = dict(merged.named_parameters())
    assert list(weights) == list(expected) == names
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-7)
    plain = dict(base.named_parameters())
    assert {name for name, weight in weights.items() if "q_proj" in name and torch.equal(weight, plain[name])} == set()


def test_weights_that_have_no_whole_tensor_are_refused():
    model = nn.Module()
    model.packed = nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ModelError, match=r"packed is \(4,\) of torch.uint8"):
        list(whole_weights(model))
    model.packed = nn.Parameter(torch.zeros(0))
    with pytest.raises(ModelError, match="ZeRO-3"):
        weight_shapes(model)
