"""Stock families compute on packed rows what they compute on one plain sequence after the other."""

from __future__ import annotations

import logging

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.attention.flex_attention import BlockMask

from pondera.errors import ModelError
from pondera.models import Family, block_attention, flex_attention, packing
from pondera.models.packing import Branch, pack, packed_logps, packing_error
from tests.models import stock

UNCOMPILED = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
FAMILIES = {"qwen2.5-vl": stock.qwen, "idefics3": stock.idefics, "llava": stock.llava}
FAMILIES |= {"llava-pixtral": stock.pixtral_llava}  # images of different sizes; CLIP has one size


def _groups(prompts, group_size=3):
    return list(zip(prompts, stock.random_branches(len(prompts), group_size), strict=True))


def _packed(family, groups):
    batch = pack(family, [(prompt, [Branch.scored(ids) for ids in branches]) for prompt, branches in groups])
    return batch, packed_logps(family.model, batch)[0]


def _separate_logps(family, prompt, ids):
    """One unpadded sequence, no mask, no positions: the family does it all itself."""
    tokens = torch.tensor([[*prompt.ids, *ids]])
    types = {}
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in family._forward_arguments():
            types[name] = (tokens == stock.IMAGE).int()
    logits = family.model(input_ids=tokens, **types, **prompt.media, use_cache=False).logits[0]
    logits = logits[len(prompt.ids) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).squeeze(1)


def _gradients(family, logp_M):
    family.model.zero_grad()
    (logp_M * torch.linspace(-1, 1, len(logp_M))).sum().backward()
    return {n: p.grad.clone() for n, p in family.model.named_parameters() if p.grad is not None}


def _assert_same(family, groups):
    separate = torch.cat([_separate_logps(family, prompt, ids) for prompt, branches in groups for ids in branches])
    expected = _gradients(family, separate)
    batch, packed = _packed(family, groups)
    torch.testing.assert_close(packed, separate, rtol=0, atol=1e-5)
    gradients = _gradients(family, packed)
    assert gradients.keys() == expected.keys()
    norm = torch.stack([g.norm() for g in expected.values()]).norm()
    difference = torch.stack([(gradients[n] - g).norm() for n, g in expected.items()]).norm()
    assert float(difference / norm) < 1e-5
    return batch


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", FAMILIES)
def test_packed_and_separate_agree_in_logps_and_gradients(name, attention):
    config, prompts = FAMILIES[name]()
    family = stock.stock_family(config, attention=attention)
    batch = _assert_same(family, _groups(prompts))
    assert batch.mask.ndim == 4 and len(batch.input_ids) == len(prompts)  # packed indeed, one row a group


@pytest.mark.parametrize("columns", [1, 5, 64])
@pytest.mark.parametrize("name", FAMILIES)
def test_block_attention_changes_nothing_but_the_time(name, columns, monkeypatch):
    monkeypatch.setattr(block_attention, "_COLUMNS", columns)
    config, prompts = FAMILIES[name]()
    family = stock.stock_family(config)
    block_attention.use_block_attention(family.model)
    batch = _assert_same(family, _groups(prompts, group_size=5))
    assert batch.blocks is not None and batch.mask.ndim == 4


@UNCOMPILED
@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_flex_attention_changes_nothing_but_the_time(name):
    """On a CPU torch has no gradients of it; `benchmarks/gpu_check.py` compares those of a GPU."""
    config, prompts = FAMILIES[name]()
    family = stock.stock_family(config)
    _, expected = _packed(family, _groups(prompts, group_size=5))
    family.model.set_attn_implementation({"text_config": flex_attention.NAME})
    batch, packed = _packed(family, _groups(prompts, group_size=5))
    assert isinstance(batch.mask, BlockMask) and len(batch.input_ids) == len(prompts)
    torch.testing.assert_close(packed, expected, rtol=0, atol=1e-5)


@UNCOMPILED
def test_with_flex_attention_padded_rows_are_read_by_sdpa():
    config, prompts = stock.qwen()
    family = stock.stock_family(config)
    family.model.set_attn_implementation({"text_config": flex_attention.NAME})
    groups = [(prompts[0], [Branch.scored(ids) for ids in stock.random_branches(1, 3)[0]])]
    padded = pack(family, groups, is_padded=True)
    assert isinstance(padded.mask, torch.Tensor)
    with torch.no_grad():
        packed_M = packed_logps(family.model, pack(family, groups))[0]
    packed_logps(family.model, padded)[0].sum().backward()  # SDPA has gradients on a CPU
    torch.testing.assert_close(packed_logps(family.model, padded)[0], packed_M, rtol=0, atol=1e-5)


def test_flex_attention_is_refused_on_a_cpu():
    config, _ = stock.llava()
    with pytest.raises(ModelError, match=r"CUDA GPUs only, and the model is on cpu; set model\.attention: auto"):
        flex_attention.use_flex_attention(stock.stock_family(config).model)


def test_blocks_start_their_keys_at_the_branch_of_their_first_column(monkeypatch):
    """Prefix of 2; branches of 3 and 4 columns in row 0, of 4 and 1 in row 1, which ends two columns earlier."""
    monkeypatch.setattr(block_attention, "_COLUMNS", 3)
    segment = torch.tensor([[0, 0, 1, 1, 1, 2, 2, 2, 2], [0, 0, 1, 1, 1, 1, 2, -1, -1]])
    assert block_attention.query_blocks(segment, 2) == ((2, 5, 2), (5, 8, 2), (8, 9, 5))


@pytest.mark.parametrize("name", FAMILIES)
def test_gradient_checkpointing_changes_nothing(name):
    config, prompts = FAMILIES[name]()
    family = stock.stock_family(config)
    _, plain = _packed(family, _groups(prompts))
    expected = _gradients(family, plain)
    family.model.activation_checkpointing_enable()
    family.model.train()
    _, logp_M = _packed(family, _groups(prompts))
    gradients = _gradients(family, logp_M)
    torch.testing.assert_close(logp_M, plain, rtol=0, atol=1e-6)
    for parameter, gradient in expected.items():
        torch.testing.assert_close(gradients[parameter], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_packed_and_separate_agree_under_lora(name):
    config, prompts = FAMILIES[name]()
    family = stock.stock_family(config)
    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adapted = Family(get_peft_model(family.model, lora).eval(), family.processor)
    batch = _assert_same(adapted, _groups(prompts))
    assert batch.mask.ndim == 4


def test_qwen_image_tokens_have_rows_and_columns_and_text_goes_on_from_the_largest():
    """Two words and a start mark at 0 to 2; a 2 x 3 image from 3: rows 3, 4, columns 3 to 5; the text goes on at 6."""
    family = stock.stock_family(stock.qwen_config())
    position_AT = family.positions(stock.qwen_prompt([(2, 3)], 2, seed=0))
    assert position_AT[0].tolist() == [0, 1, 2, *[3] * 6, 6, 7, 8]
    assert position_AT[1].tolist() == [0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7, 8]
    assert position_AT[2].tolist() == [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8]


def _assert_padded(family, groups, caplog, reason):
    packing._say_padded.cache_clear()
    with caplog.at_level(logging.WARNING, logger="pondera"):
        batch = _assert_same(family, groups)
        _packed(family, groups)
    assert batch.mask.shape == batch.input_ids.shape
    assert len(batch.input_ids) == sum(len(branches) for _, branches in groups)
    (record,) = caplog.records  # said once, though packed twice
    assert reason in record.getMessage()


def test_a_family_whose_image_tokens_look_both_ways_gets_padded_rows(caplog):
    config, prompts = stock.gemma()
    _assert_padded(stock.stock_family(config), _groups(prompts), caplog, "in both directions")


def test_a_sliding_window_shorter_than_a_sequence_gets_padded_rows(caplog):
    _, prompts = stock.llava()
    family = stock.stock_family(stock.sliding_llava_config(window=10))
    _assert_padded(family, _groups(prompts), caplog, "sliding window of 10 tokens")


def test_a_sliding_window_that_holds_every_sequence_is_no_obstacle():
    """The row is longer than the window here, yet no token is further than the window from what it sees."""
    _, prompts = stock.llava()
    groups = _groups(prompts, group_size=8)
    family = stock.stock_family(stock.sliding_llava_config(window=60))
    batch = _assert_same(family, groups)
    assert batch.mask.ndim == 4 and batch.input_ids.shape[1] > 60


def test_flash_attention_is_told_to_be_replaced_by_sdpa():
    config, _ = stock.llava()
    family = stock.stock_family(config)
    family.model.config.get_text_config()._attn_implementation = "flash_attention_2"
    assert "attn_implementation='sdpa'" in family.packing_obstacle(10)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_self_check_passes_for_families_that_pack(name):
    config, prompts = FAMILIES[name]()
    family = stock.stock_family(config)
    branches = [Branch.scored(ids) for ids in stock.random_branches(1, 3)[0]]
    assert packing_error(family, prompts[0], branches) < 1e-5


def test_the_self_check_finds_a_rule_that_nobody_declared(monkeypatch):
    """A window that the configuration hides from `packing_obstacle`, but the model applies to padded rows."""
    _, prompts = stock.llava()
    family = stock.stock_family(stock.sliding_llava_config(window=10))
    monkeypatch.setattr(Family, "packing_obstacle", lambda self, longest: None)
    branches = [Branch.scored(ids) for ids in stock.random_branches(1, 3)[0]]
    assert packing_error(family, prompts[0], branches) > 1e-3


def test_a_self_check_with_one_branch_is_refused():
    config, prompts = stock.llava()
    with pytest.raises(ValueError, match="needs at least 2 branches, got 1"):
        packing_error(stock.stock_family(config), prompts[0], [Branch.scored([5])])


def test_a_family_without_an_index_for_logits_is_named():
    config, _ = stock.llava()
    family = stock.stock_family(config)
    family.model.forward = lambda input_ids: None
    assert "logits_to_keep" in family.packing_obstacle(10)


def test_layers_that_are_no_attention_are_an_obstacle():
    config, _ = stock.llava()
    family = stock.stock_family(config)
    family.model.config.get_text_config().layer_types = ["linear_attention", "full_attention"]
    assert family.packing_obstacle(10) == "it has layers of the kind linear_attention"


@pytest.mark.parametrize(("config", "part"), [(stock.qwen_config, "merger"), (stock.idefics_config, "connector")])
def test_the_projector_of_a_stock_model_can_be_frozen(config, part):
    family = stock.stock_family(config())
    family.freeze_projector()
    frozen = {name for name, p in family.model.named_parameters() if not p.requires_grad}
    assert frozen and all(part in name for name in frozen)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tower_of_a_stock_model_can_be_frozen(name):
    family = stock.stock_family(FAMILIES[name]()[0])
    family.freeze_vision()
    frozen = {name for name, p in family.model.named_parameters() if not p.requires_grad}
    assert frozen and all("vision" in name or "visual" in name for name in frozen)
