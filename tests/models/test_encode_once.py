"""A vision tower that learns reads equal pictures of one pass once, and gets the gradients of all their uses."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pondera.engine.training import checkpoint_activations, freeze_batch_norm
from pondera.models import EncodedPrompt
from pondera.models.encode_once import find_repeats
from pondera.models.packing import Branch, pack, packed_logps
from tests.models import stock
from tests.models.tiny import noise_image, tiny_family


def _asked_twice(prompts):
    """The first two prompts, the first one's pictures under another question, and a second task of the same words."""
    first, other = prompts[:2]
    again = {name: tensor.clone() for name, tensor in first.media.items()}
    return [first, other, EncodedPrompt((*first.ids, 20, 21), again), first]


def _stock(make):
    def build():
        config, prompts = make()
        return stock.stock_family(config), _asked_twice(prompts)

    return build


def _nano():
    family = tiny_family()
    shown = [[noise_image(seed=0), noise_image(70, 33, seed=1)], [noise_image(40, 40, seed=2)]]
    return family, _asked_twice([family.encode(pictures, "Rate it.") for pictures in shown])


FAMILIES = {
    "nano": _nano,
    "qwen2.5-vl": _stock(stock.qwen),
    "qwen2-vl": _stock(stock.qwen2),
    "idefics3": _stock(stock.idefics),
    "smolvlm": _stock(stock.smolvlm),
    "llava": _stock(stock.llava),
    "llava-pixtral": _stock(stock.pixtral_llava),
    "gemma3": _stock(stock.gemma),
}


def _groups(family, prompts):
    words = stock.random_branches(len(prompts), 3)
    if family.image_token_id != stock.IMAGE:  # nano's is a word elsewhere
        words = [[[token + 1 for token in ids] for ids in row] for row in words]
    return [(p, [Branch.scored(ids) for ids in row]) for p, row in zip(prompts, words, strict=True)]


def _results(family, passes, *, is_padded=False):
    """Log-probabilities and gradients of all groups, read in these passes."""
    family.model.zero_grad()
    logp_M = torch.cat([packed_logps(family.model, pack(family, part, is_padded=is_padded))[0] for part in passes])
    (logp_M * torch.linspace(-1, 1, len(logp_M))).sum().backward()
    return logp_M.detach(), {n: p.grad.clone() for n, p in family.model.named_parameters() if p.grad is not None}


def _assert_same(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-5)
    assert found[1].keys() == expected[1].keys()
    assert any(float(gradient.abs().max()) > 1e-3 for name, gradient in expected[1].items() if "vis" in name)
    norm = torch.stack([gradient.norm() for gradient in expected[1].values()]).norm()
    difference = torch.stack([(found[1][name] - gradient).norm() for name, gradient in expected[1].items()]).norm()
    assert float(difference / norm) < 1e-5


def _pixels_read(family):
    """How much reaches the first layer of the tower, pass by pass, from here on."""
    sizes = []
    first = next(m for m in family._vision_tower().modules() if isinstance(m, (nn.Conv2d, nn.Conv3d)))
    first.register_forward_hook(lambda module, inputs, output: sizes.append(inputs[0].numel()))
    return sizes


@pytest.mark.parametrize("is_padded", [False, True], ids=["packed", "padded"])
@pytest.mark.parametrize("name", FAMILIES)
def test_equal_pictures_are_encoded_once_with_the_gradient_of_all_uses(name, is_padded):
    family, prompts = FAMILIES[name]()
    groups = _groups(family, prompts)
    one_by_one = [[(prompt, [branch])] for prompt, branches in groups for branch in branches]
    expected = _results(family, one_by_one)
    sizes = _pixels_read(family)
    packed_logps(family.model, pack(family, [(prompt, branches[:1]) for prompt, branches in groups[:2]]))
    _assert_same(_results(family, [groups], is_padded=is_padded), expected)
    of_two_prompts, of_all = sizes
    assert of_all == of_two_prompts  # whose pictures are all there are


@pytest.mark.parametrize("name", FAMILIES)
def test_activations_that_are_computed_again_are_those_of_the_different_pictures(name):
    family, prompts = FAMILIES[name]()
    groups = _groups(family, prompts)
    expected = _results(family, [[group] for group in groups])
    family.model.train()
    freeze_batch_norm(family.model)
    checkpoint_activations(family.model)
    _assert_same(_results(family, [groups]), expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_pictures_that_all_differ_are_handed_on_untouched(name):
    family, prompts = FAMILIES[name]()
    groups = _groups(family, prompts[:2])
    family.model.requires_grad_(False)
    found, _ = packed_logps(family.model, pack(family, groups))
    base = family.model.base_model
    for method in ("get_image_features", "get_video_features", "encode_different"):
        vars(base).pop(method, None)
    assert torch.equal(packed_logps(family.model, pack(family, groups))[0], found)


def test_equal_pixels_in_another_grid_are_another_picture():
    """Two rows of three and three rows of two, all black."""
    pixels = torch.zeros(2, 24, 96)
    grids = torch.tensor([[[1, 4, 6]], [[1, 6, 4]]])
    pictures = list(zip(pixels, grids, strict=True))
    assert find_repeats(pictures, nn.Identity()) is None
    assert find_repeats([*pictures, pictures[1]], nn.Identity()) == ([0, 1], [0, 1, 1])


def test_pixels_with_the_same_sum_are_compared():
    pixels = torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])
    assert find_repeats([(row,) for row in pixels], nn.Identity()) == ([0, 1], [0, 1, 0])


def test_batch_normalisation_in_training_sees_every_picture():
    """What comes twice weighs twice in the statistics of a batch."""
    family, prompts = FAMILIES["nano"]()
    groups = _groups(family, [prompts[0], prompts[0]])
    sizes = _pixels_read(family)
    for mode in (False, True):
        family.model.train(mode)
        packed_logps(family.model, pack(family, groups))
    assert sizes[1] == 2 * sizes[0]


@pytest.mark.parametrize("name", ["qwen2.5-vl", "idefics3", "llava-pixtral"])
def test_a_copy_of_a_model_encodes_with_its_own_tower(name):
    family, prompts = FAMILIES[name]()
    groups = _groups(family, prompts)
    with torch.no_grad():
        kept, _ = packed_logps(family.model, pack(family, groups))
        reference = copy.deepcopy(family.model)
        for parameter in family._vision_tower().parameters():
            parameter.mul_(2)
        changed, _ = packed_logps(family.model, pack(family, groups))
        assert torch.equal(packed_logps(reference, pack(family, groups))[0], kept)
    assert float((changed - kept).abs().max()) > 1e-3


def test_a_clip_that_two_tasks_ask_about_is_encoded_once():
    family = stock.stock_family(stock.qwen_config())
    generator = torch.Generator().manual_seed(0)
    pixels, grid = torch.randn(2 * 16, 96, generator=generator), torch.tensor([[2, 4, 4]])
    media = {"pixel_values_videos": pixels, "video_grid_thw": grid, "second_per_grid_ts": torch.tensor([1.0])}
    prompts = [EncodedPrompt((7, stock.START, *[39] * 8, stock.STOP, *question), media) for question in ([8], [9, 10])]
    groups = [(prompt, [Branch.scored([5, 6, 7])]) for prompt in prompts]
    expected = _results(family, [[group] for group in groups])
    sizes = _pixels_read(family)
    packed_logps(family.model, pack(family, groups[:1]))
    _assert_same(_results(family, [groups]), expected)
    assert sizes[0] == sizes[1]
