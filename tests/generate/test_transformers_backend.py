"""Shared-prefix sampling: exact, seeded, independent of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pondera.generate.backend import sample_seed
from pondera.generate.transformers_backend import TransformersBackend, choose_tokens
from pondera.models import EncodedPrompt
from pondera.models.packing import Branch, pack, packed_logps
from tests.models.stock import idefics, llava, qwen, stock_family
from tests.models.tiny import noise_image, tiny_family


@pytest.fixture(scope="module")
def family():
    return tiny_family()


def _prompts(family):
    texts = ["Rate it.", "Rate the quality of this image.", "ok"]
    return [family.encode([noise_image(seed=i)], text) for i, text in enumerate(texts)]


def test_greedy_agrees_with_the_librarys_generate(family):
    prompt = _prompts(family)[1]
    ours = TransformersBackend(family).generate([prompt], max_new_tokens=10, seeds=[0])[0][0]
    text = family.prompt_text("Rate the quality of this image.")
    batch = family.processor(text=[text], images=[noise_image(seed=1)], return_tensors="pt")
    theirs = family.model.generate(**batch, max_new_tokens=10, do_sample=False)[0, batch["input_ids"].shape[1] :]
    assert list(ours.ids) == theirs.tolist()


def test_a_completion_does_not_depend_on_its_neighbours_in_the_batch(family):
    backend = TransformersBackend(family)
    options = {"num_completions": 3, "max_new_tokens": 12, "temperature": 1.0}
    together = backend.generate(_prompts(family), seeds=[1, 2, 3], **options)
    alone = backend.generate(_prompts(family)[1:2], seeds=[2], **options)
    narrow = TransformersBackend(family, batch_rows=1).generate(_prompts(family), seeds=[1, 2, 3], **options)
    assert [c.ids for c in alone[0]] == [c.ids for c in together[1]]
    assert [[c.ids for c in g] for g in narrow] == [[c.ids for c in g] for g in together]


def test_reported_logps_are_those_the_training_pass_computes(family):
    prompts = _prompts(family)
    groups = TransformersBackend(family).generate(
        prompts, num_completions=4, max_new_tokens=12, temperature=0.7, seeds=[5, 6, 7]
    )
    batch = pack(family, [(p, [Branch.scored(c.ids) for c in g]) for p, g in zip(prompts, groups, strict=True)])
    logp_M, _ = packed_logps(family.model, batch)
    reported = torch.tensor([logp for group in groups for c in group for logp in c.logps])
    torch.testing.assert_close(logp_M, reported, rtol=0, atol=2e-5)


@pytest.mark.parametrize("make", [qwen, idefics, llava])
def test_roll_outs_of_stock_families_have_the_positions_of_the_training_pass(make):
    """With mRoPE positions are no count of tokens: counted ones gave Qwen-VL other probabilities."""
    config, prompts = make()
    family = stock_family(config)
    family.processor.tokenizer.decode = lambda ids, **_: " ".join(map(str, ids))
    groups = TransformersBackend(family).generate(
        prompts, num_completions=3, max_new_tokens=9, temperature=1.0, seeds=range(len(prompts))
    )
    batch = pack(family, [(p, [Branch.scored(c.ids) for c in g]) for p, g in zip(prompts, groups, strict=True)])
    logp_M, _ = packed_logps(family.model, batch)
    reported = torch.tensor([logp for group in groups for c in group for logp in c.logps])
    torch.testing.assert_close(logp_M, reported, rtol=0, atol=2e-5)


def test_placeholders_of_images_and_videos_are_never_drawn():
    config, prompts = qwen()
    family = stock_family(config)
    family.processor.tokenizer.decode = lambda ids, **_: ""
    groups = TransformersBackend(family).generate(
        prompts, num_completions=64, max_new_tokens=9, temperature=2.0, seeds=range(len(prompts))
    )
    drawn = {token for group in groups for completion in group for token in completion.ids}
    assert set(range(config.text_config.vocab_size)) - drawn == {config.image_token_id, config.video_token_id}


def test_sampling_follows_the_softmax():
    """Chi-square of 20,000 draws over four tokens; the fifth is banned and never drawn."""
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 9.0]])
    uniform = torch.from_numpy(np.random.default_rng(0).random(20_000))
    token_R, _ = choose_tokens(logits.expand(20_000, -1).clone(), 1.0, uniform, banned=(4,))
    counts = torch.bincount(token_R, minlength=5).double()
    expected = logits[0, :4].double().softmax(-1) * 20_000
    assert counts[4] == 0
    assert float(((counts[:4] - expected) ** 2 / expected).sum()) < 16.3  # 0.1 % quantile, 3 degrees of freedom


def test_the_last_draw_stays_inside_the_vocabulary():
    token_R, _ = choose_tokens(torch.zeros(1, 3), 1.0, torch.tensor([1.0 - 1e-17], dtype=torch.float64), banned=(0,))
    assert int(token_R) in (1, 2)


def test_a_seed_depends_on_the_name_the_run_and_the_step():
    seeds = {sample_seed(name, seed=run, step=step) for name in "ab" for run in (0, 1) for step in (0, 1)}
    assert len(seeds) == 8
    assert sample_seed("a", seed=0) == sample_seed("a", seed=0)


def test_one_seed_a_prompt_is_required(family):
    with pytest.raises(ValueError, match="one seed a prompt"):
        TransformersBackend(family).generate(_prompts(family), max_new_tokens=2, seeds=[1])


@pytest.mark.parametrize("num_prompts", [0, 1, 5, 7])
def test_batches_are_of_even_size_and_every_prompt_is_answered(num_prompts, monkeypatch):
    backend = TransformersBackend(tiny_family(), batch_rows=6)  # 3 prompts of 2 completions
    sizes = []
    monkeypatch.setattr(backend, "_batch", lambda prompts, *_: sizes.append(len(prompts)) or [[]] * len(prompts))
    prompts = [EncodedPrompt((1,), {})] * num_prompts
    found = backend.generate(prompts, num_completions=2, max_new_tokens=1, seeds=range(num_prompts))
    assert len(found) == num_prompts
    assert sizes == {0: [], 1: [1], 5: [3, 2], 7: [3, 2, 2]}[num_prompts]


def test_out_of_memory_halves_the_batch_and_changes_no_completion(family, monkeypatch, caplog):
    settings = {"num_completions": 2, "max_new_tokens": 4, "temperature": 1.0, "seeds": [1, 2, 3, 4]}
    prompts = [*_prompts(family), *_prompts(family)][:4]
    expected = TransformersBackend(family).generate(prompts, **settings)
    backend = TransformersBackend(family)
    read = backend._batch

    def hungry(prompts, *rest):
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(prompts, *rest)

    monkeypatch.setattr(backend, "_batch", hungry)
    found = backend.generate(prompts, **settings)
    assert [[c.ids for c in group] for group in found] == [[c.ids for c in group] for group in expected]
    assert backend.batch_rows == 2 and "going on with 1" in caplog.text


def test_a_prompt_that_does_not_fit_alone_is_an_error(family, monkeypatch):
    backend = TransformersBackend(family)

    def hungry(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(backend, "_batch", hungry)
    with pytest.raises(torch.OutOfMemoryError):
        backend.generate(_prompts(family)[:1], max_new_tokens=2, seeds=[1])
