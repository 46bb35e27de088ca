"""Four bits beside an adapter: what the library is asked for, and who is told why not. No test here runs bitsandbytes,
which needs a GPU: stand-ins take its place."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.quantizers.quantizers_utils import should_convert_module

from pondera.config import ModelSection
from pondera.errors import ConfigError, MissingExtra
from pondera.models import four_bit, load_model
from pondera.models.four_bit import FourBit, is_quantised
from pondera.models.lora import add_adapter
from tests.models import stock
from tests.models.tiny import tiny_family


@pytest.fixture
def machine(monkeypatch):
    """A machine with CUDA and bitsandbytes, as far as can be asked."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(four_bit, "find_spec", lambda name: object())
    return monkeypatch


def test_without_cuda_the_way_out_is_named():
    with pytest.raises(ConfigError, match=r"model\.lora\.four_bit needs a GPU with CUDA.*leave it out.*any machine"):
        load_model("nano", four_bit=FourBit())


def test_without_bitsandbytes_the_command_that_installs_it_is_named(machine):
    machine.setattr(four_bit, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'needs bitsandbytes.*pip install "pondera\[qlora\]"'):
        load_model("nano", four_bit=FourBit())


@pytest.mark.parametrize("double_quant", [True, False])
def test_the_library_is_asked_for_nf4_on_this_process_s_own_gpu(machine, double_quant):
    options = FourBit(compute_dtype="float16", double_quant=double_quant).options()
    config = options["quantization_config"]
    assert config.load_in_4bit and config.bnb_4bit_quant_type == "nf4"
    assert config.bnb_4bit_compute_dtype == torch.float16
    assert config.bnb_4bit_use_double_quant is double_quant
    assert options["device_map"] == {"": 1}


@pytest.mark.parametrize("make", [stock.qwen, stock.idefics, stock.llava, None])
def test_the_decoder_is_rounded_and_the_eyes_and_the_head_are_not(machine, make):
    model = tiny_family().model if make is None else stock.stock_family(make()[0]).model
    skipped = FourBit().options()["quantization_config"].llm_int8_skip_modules
    linear = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    rounded = {name for name in linear if should_convert_module(name, skipped)}
    inside = set(model.get_decoder().modules())
    assert rounded == {name for name, module in linear.items() if module in inside}
    assert rounded and rounded != linear.keys()


def test_a_rounded_model_is_loaded_with_these_options_and_stays_where_it_is(machine):
    asked = {}
    model = tiny_family().model
    model.hf_quantizer = object()

    def from_pretrained(source, **options):
        asked.update(options)
        return model

    machine.setattr(AutoModelForImageTextToText, "from_pretrained", from_pretrained)
    machine.setattr(AutoProcessor, "from_pretrained", lambda *_, **__: tiny_family().processor)
    machine.setattr(model, "to", lambda *_: pytest.fail("a rounded model was moved"))
    machine.setattr(model, "float", lambda: pytest.fail("a rounded model was changed"))
    family = load_model("nano", four_bit=FourBit()).family
    assert asked["quantization_config"].load_in_4bit and asked["device_map"] == {"": 1}
    add_adapter(family, rank=2, alpha=4)
    assert is_quantised(family.model)
    assert not is_quantised(tiny_family().model)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"init": "nano", "sharded": True}, "four_bit and sharded"), ({"init": "nano-new"}, "for weights that are there")],
)
def test_what_cannot_be_rounded_is_refused_in_the_recipe(settings, words):
    with pytest.raises(ValueError, match=words):
        ModelSection(lora={"four_bit": {}}, **settings)
    assert ModelSection(init="nano", lora={"four_bit": {}}).lora.four_bit.double_quant
