"""LoRA: only the adapter learns, without it the model is the old one, and merged it is a plain checkpoint."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from pondera.errors import ConfigError
from pondera.models.lora import add_adapter, has_adapter
from pondera.models.packing import Branch, pack, packed_logps
from pondera.models.policy_weights import whole_state
from tests.models import stock
from tests.models.tiny import noise_image, tiny_family

FAMILIES = {"qwen": stock.qwen, "idefics": stock.idefics, "llava": stock.llava}


def _batch(family, prompts):
    branches = stock.random_branches(len(prompts), 3)
    return pack(family, [(p, [Branch.scored(ids) for ids in g]) for p, g in zip(prompts, branches, strict=True)])


def _trained(family):
    """As after training: the second matrix of each pair is no longer zero."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in family.model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_adapter_starts_as_nothing_learns_alone_and_merges_exactly(name):
    config, prompts = FAMILIES[name]()
    family = stock.stock_family(config)
    batch = _batch(family, prompts)
    before, _ = packed_logps(family.model, batch)
    add_adapter(family, rank=2, alpha=4)
    assert has_adapter(family.model)
    assert _batch(family, prompts).mask.ndim == 4  # it still packs
    logp_M, _ = packed_logps(family.model, batch)
    torch.testing.assert_close(logp_M, before, rtol=0, atol=1e-6)
    logp_M.sum().backward()
    learning = {n for n, p in family.model.named_parameters() if p.grad is not None}
    assert learning and all("lora_" in n and "vision" not in n and "visual" not in n for n in learning)
    _trained(family)
    trained, _ = packed_logps(family.model, batch)
    assert float((trained - before).detach().abs().max()) > 1e-3
    with family.model.disable_adapter():
        torch.testing.assert_close(packed_logps(family.model, batch)[0], before, rtol=0, atol=1e-6)
    family.model = family.model.merge_and_unload()
    assert not has_adapter(family.model)
    torch.testing.assert_close(packed_logps(family.model, batch)[0], trained, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_saved_in_between_is_the_merged_one_and_its_adapter_learns_on(name, tmp_path):
    config, _ = FAMILIES[name]()
    family = stock.stock_family(config)
    add_adapter(family, rank=2, alpha=4)
    _trained(family)
    before = {key: value.clone() for key, value in family.model.state_dict().items()}
    family.model.get_base_model().save_pretrained(tmp_path / "between", state_dict=whole_state(family.model))
    assert has_adapter(family.model)
    after = family.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    family.model = family.model.merge_and_unload()
    family.model.save_pretrained(tmp_path / "end")
    between, end = (load_file(tmp_path / folder / "model.safetensors") for folder in ("between", "end"))
    assert between.keys() == end.keys()
    for key, value in end.items():
        torch.testing.assert_close(between[key], value, rtol=0, atol=0)


def test_packed_and_padded_rows_agree_beside_an_adapter():
    config, prompts = stock.idefics()
    family = stock.stock_family(config)
    add_adapter(family, rank=2, alpha=4)
    _trained(family)
    branches = stock.random_branches(len(prompts), 3)
    groups = [(p, [Branch.scored(ids) for ids in g]) for p, g in zip(prompts, branches, strict=True)]
    gradients = []
    for is_padded in (False, True):
        family.model.zero_grad()
        logp_M, _ = packed_logps(family.model, pack(family, groups, is_padded=is_padded))
        logp_M.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in family.model.parameters() if p.grad is not None]))
    difference = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert float(difference) < 1e-5


def test_targets_choose_layers_and_a_wrong_one_is_refused():
    family = tiny_family()
    with pytest.raises(ConfigError, match=r"names 'query', which is no linear layer of the decoder; it has .*q_proj"):
        add_adapter(family, rank=2, alpha=4, targets=("query",))
    add_adapter(family, rank=2, alpha=4, targets=("q_proj", "v_proj"))
    learning = [n for n, p in family.model.named_parameters() if p.requires_grad]
    assert learning and all("q_proj" in n or "v_proj" in n for n in learning)


def test_a_frozen_tower_is_still_read_once_beside_an_adapter():
    family = tiny_family()
    expected = family.precompute([family.encode([noise_image()], "x")])[0].media["image_cells"]
    add_adapter(family, rank=2, alpha=4)
    assert family.freeze_vision()
    found = family.precompute([family.encode([noise_image()], "x")])[0].media["image_cells"]
    torch.testing.assert_close(found, expected)
