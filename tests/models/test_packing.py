"""Packed rows compute what separate sequences compute."""

from __future__ import annotations

import pytest
import torch

from pondera.models.packing import Branch, pack, packed_logps
from tests.models.tiny import noise_image, tiny_family

COMPLETIONS = [["<think>poor</think>", "<answer>2.4", "x"], ["good, good", "<answer>4.11</answer>"]]


SIZES = [[(48, 64)], [(32, 40), (70, 33)], [(96, 20), (48, 64), (31, 90)]]


def _groups(family, sizes=(((48, 64),), ((48, 64),))):
    """Two prompts about pictures of these sizes."""
    texts = ["Rate it.", "Rate the quality now."]
    pictures = [[noise_image(*size, seed=10 * i + k) for k, size in enumerate(row)] for i, row in enumerate(sizes)]
    prompts = [family.encode(shown, text) for shown, text in zip(pictures, texts, strict=True)]
    return [(p, [family.encode_text(t) for t in texts]) for p, texts in zip(prompts, COMPLETIONS, strict=True)]


def _separate_logps(family, prompt, ids):
    """One plain, unpadded sequence; no packing code involved."""
    tokens = torch.tensor([[*prompt.ids, *ids]])
    logits = family.model(input_ids=tokens, **prompt.media).logits[0, len(prompt.ids) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).squeeze(1)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("sizes", [SIZES[:1] * 2, SIZES[:2], SIZES[:0:-1]], ids=["one", "one-two", "three-two"])
def test_packed_and_separate_agree_in_logps_and_gradients(attention, sizes):
    """One to three pictures a prompt, of different sizes."""
    family = tiny_family()
    family.model.set_attn_implementation({"text_config": attention})
    assert family.model.model.language_model.config._attn_implementation == attention
    groups = _groups(family, sizes)
    separate = torch.cat([_separate_logps(family, prompt, ids) for prompt, branches in groups for ids in branches])
    weight = torch.linspace(-1, 1, len(separate))
    (separate * weight).sum().backward()
    expected = {n: p.grad.clone() for n, p in family.model.named_parameters() if p.grad is not None}
    family.model.zero_grad()
    batch = pack(family, [(prompt, [Branch.scored(ids) for ids in branches]) for prompt, branches in groups])
    packed, _ = packed_logps(family.model, batch)
    torch.testing.assert_close(packed, separate, rtol=0, atol=1e-5)
    (packed * weight).sum().backward()
    scale = max(float(g.abs().max()) for g in expected.values())
    for name, parameter in family.model.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=1e-5 * scale)


def test_a_branch_does_not_see_its_neighbours():
    family = tiny_family()
    prompt, branches = _groups(family)[0]
    alone, _ = packed_logps(family.model, pack(family, [(prompt, [Branch.scored(branches[0])])]))
    for neighbour in branches[1:]:
        both = pack(family, [(prompt, [Branch.scored(neighbour), Branch.scored(branches[0])])])
        logp_M, _ = packed_logps(family.model, both)
        torch.testing.assert_close(logp_M[both.branch_M == 1], alone, rtol=0, atol=1e-5)


def test_tokens_of_weight_zero_are_read_but_not_scored():
    family = tiny_family()
    prompt, branches = _groups(family)[0]
    ids = tuple(branches[0])
    half = Branch(ids, (0.0,) * 2 + (1.0,) * (len(ids) - 2))
    all_M, _ = packed_logps(family.model, pack(family, [(prompt, [Branch.scored(ids)])]))
    some_M, _ = packed_logps(family.model, pack(family, [(prompt, [half])]))
    torch.testing.assert_close(some_M, all_M[2:], rtol=0, atol=1e-6)


def test_entropy_is_that_of_each_prediction():
    family = tiny_family()
    prompt, branches = _groups(family)[1]
    batch = pack(family, [(prompt, [Branch.scored(branches[0])])])
    _, entropy_M = packed_logps(family.model, batch, with_entropy=True)
    tokens = torch.tensor([[*prompt.ids, *branches[0]]])
    logits = family.model(input_ids=tokens, **prompt.media).logits[0, len(prompt.ids) - 1 : -1]
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy_M, expected, rtol=0, atol=1e-5)


def test_entropy_has_a_gradient_only_when_asked_for():
    family = tiny_family()
    prompt, branches = _groups(family)[1]
    batch = pack(family, [(prompt, [Branch.scored(branches[0])])])
    assert not packed_logps(family.model, batch, with_entropy=True)[1].requires_grad
    _, entropy_M = packed_logps(family.model, batch, with_entropy=True, entropy_gradient=True)
    entropy_M.sum().backward()
    assert float(family.model.lm_head.weight.grad.abs().sum()) > 0


def test_a_branch_without_tokens_is_refused():
    family = tiny_family()
    prompt, _ = _groups(family)[0]
    with pytest.raises(ValueError, match="a branch needs tokens"):
        pack(family, [(prompt, [Branch((), ())])])
