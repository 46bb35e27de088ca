"""A stock processor through `Family.encode`: what comes out can be packed, sampled from, and agrees with the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pondera.generate.transformers_backend import TransformersBackend
from pondera.models import EncodedPrompt
from pondera.models.packing import Branch, pack, packed_logps
from tests.models import stock
from tests.models.tiny import noise_image


@pytest.fixture(scope="module")
def family():
    return stock.processed_idefics()


def _prompts(family):
    """One to three images of different sizes each."""
    sizes = [[(48, 64)], [(30, 20), (16, 16)], [(20, 90), (64, 48), (33, 17)]]
    return [family.encode([noise_image(h, w, seed=i) for i, (h, w) in enumerate(s)], "Rate it.") for s in sizes]


def _separate_logps(family, prompt, ids):
    tokens = torch.tensor([[*prompt.ids, *ids]])
    logits = family.model(input_ids=tokens, **prompt.media).logits[0, len(prompt.ids) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).squeeze(1)


def test_encoded_prompts_hold_image_tensors_and_nothing_that_counts_tokens(family):
    for prompt, num_images in zip(_prompts(family), (1, 2, 3), strict=True):
        assert prompt.ids.count(family.image_token_id) == 4 * num_images
        assert set(prompt.media) == {"pixel_values", "pixel_attention_mask"}
        assert prompt.media["pixel_values"].shape == (1, num_images, 3, 16, 16)


def test_a_stock_processor_is_not_asked_for_a_jitter_it_does_not_know(family):
    plain, jittered = (family.encode([noise_image()], "Rate it.", jitter_seed=seed) for seed in (None, 3))
    assert plain.ids == jittered.ids
    assert all(torch.equal(plain.media[name], jittered.media[name]) for name in plain.media)


def test_packed_and_separate_agree_on_encoded_prompts(family):
    prompts = _prompts(family)
    texts = [["good", "poor, very poor"], ["2.41", "x"], ["<think>", "4"]]
    groups = [(p, [family.encode_text(t) for t in row]) for p, row in zip(prompts, texts, strict=True)]
    batch = pack(family, [(p, [Branch.scored(ids) for ids in row]) for p, row in groups])
    with torch.no_grad():
        separate = torch.cat([_separate_logps(family, p, ids) for p, row in groups for ids in row])
        packed, _ = packed_logps(family.model, batch)
    torch.testing.assert_close(packed, separate, rtol=0, atol=1e-5)


def test_the_log_probabilities_of_a_roll_out_are_those_of_the_update(family):
    prompts = _prompts(family)
    groups = TransformersBackend(family).generate(
        prompts, num_completions=3, max_new_tokens=6, temperature=1.0, seeds=[1, 2, 3]
    )
    batch = pack(family, [(p, [Branch.scored(c.ids) for c in row]) for p, row in zip(prompts, groups, strict=True)])
    with torch.no_grad():
        packed, _ = packed_logps(family.model, batch)
    sampled = torch.tensor([logp for row in groups for c in row for logp in c.logps])
    torch.testing.assert_close(packed, sampled, rtol=0, atol=1e-5)


def test_images_of_different_shapes_are_joined_with_zeros_around(family):
    """As LLaVA-NeXT needs it: its images come in different numbers of tiles."""
    one, two = torch.ones(1, 2, 3), torch.ones(2, 3, 2)
    prompts = [EncodedPrompt((1,), {"tiles": one}), EncodedPrompt((1,), {"tiles": two})]
    joined = family.media_batch(prompts)["tiles"]
    assert joined.shape == (3, 3, 3)
    np.testing.assert_array_equal(joined[0], [[1, 1, 1], [1, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(joined[1], [[1, 1, 0], [1, 1, 0], [1, 1, 0]])
