"""The nano model behaves like any stock model of the library."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from pondera.models.nano import build_nano
from pondera.models.nano.processing import NanoImageProcessor
from tests.models.tiny import TEXTS, noise_image, tiny_family


def test_saved_and_loaded_through_the_auto_classes_it_computes_the_same(tmp_path):
    family = tiny_family()
    family.save(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    processor = AutoProcessor.from_pretrained(tmp_path)
    text = family.prompt_text("Rate it.")
    batch = processor(text=[text], images=[noise_image()], return_tensors="pt")
    expected = family.processor(text=[text], images=[noise_image()], return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, family.model(**expected).logits, rtol=0, atol=0)


def test_generate_gives_the_same_tokens_with_and_without_cache():
    family = tiny_family()
    text = family.prompt_text("Rate it.")
    batch = family.processor(text=[text], images=[noise_image()], return_tensors="pt")
    with_cache, without = (
        family.model.generate(**batch, max_new_tokens=8, do_sample=False, use_cache=cached) for cached in (True, False)
    )
    assert torch.equal(with_cache, without)


def test_a_lora_adapter_starts_as_the_identity():
    from peft import LoraConfig, get_peft_model

    family = tiny_family()
    batch = family.processor(text=[family.prompt_text("Rate it.")], images=[noise_image()], return_tensors="pt")
    with torch.no_grad():
        before = family.model(**batch).logits
        after = get_peft_model(family.model, LoraConfig(target_modules=["q_proj", "v_proj"]))(**batch).logits
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 400), (31, 33), (700, 20), (256, 384)])
def test_any_image_size_gives_the_same_number_of_views(height, width):
    processor = NanoImageProcessor(tile_px=32, num_crops=3)
    pixels = processor.preprocess([noise_image(height, width)])["pixel_values"]
    assert pixels.shape == (1, 4, 3, 32, 32)
    assert pixels.min() >= -1 and pixels.max() <= 1


def test_crops_are_cut_at_native_resolution():
    """A one-pixel checkerboard survives in every crop; the scaled global view shows grey."""
    board = ((np.indices((128, 128)).sum(0) % 2) * 255).astype(np.uint8)
    pixels = NanoImageProcessor(tile_px=32, num_crops=4).preprocess([np.stack([board] * 3, -1)])["pixel_values"][0]
    assert float(pixels[0].abs().max()) < 0.1
    assert all(float(view.abs().min()) == 1.0 for view in pixels[1:])


def test_jitter_is_seeded_and_leaves_the_global_view_alone_but_for_mirroring():
    processor = NanoImageProcessor(tile_px=32, num_crops=2)
    image = noise_image(64, 96)
    first, again, other = (processor.preprocess([image], jitter_seed=s)["pixel_values"] for s in (1, 1, 2))
    plain = processor.preprocess([image])["pixel_values"]
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(first[0, 0], plain[0, 0]) or torch.equal(first[0, 0], plain[0, 0].flip(-1))


def test_every_digit_is_a_token_of_its_own():
    tokenizer = tiny_family().tokenizer
    assert tokenizer.tokenize("<answer>3.42</answer>") == ["<answer>", "3", ".", "4", "2", "</answer>"]


def test_any_text_survives_the_tokenizer():
    family = tiny_family()
    text = "Größe 12,5 ☂ <think>ok</think>"
    assert family.decode(family.encode_text(text)) == text


def test_weights_depend_on_the_seed_only():
    first, second, other = (build_nano(TEXTS, seed=s, hidden_size=32, num_layers=1)[0] for s in (3, 3, 4))
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_a_model_over_five_million_parameters_is_refused():
    with pytest.raises(ValueError, match="5,000,000"):
        build_nano(TEXTS, hidden_size=512, num_layers=8)


def test_wrong_number_of_images_is_an_error():
    family = tiny_family()
    with pytest.raises(ValueError, match="1 <image> marks in the text but 2 images"):
        family.processor(text=[family.prompt_text("Rate it.")], images=[noise_image(), noise_image()])


def test_words_between_pictures_reach_the_model_in_their_order():
    family = tiny_family()
    first, second = noise_image(seed=1), noise_image(seed=2)
    mixed = family.encode(["First:", first, "Second:", second, "Now", "think."], "Rate it.")
    text = family.tokenizer.decode(mixed.ids).replace("<image>" * family.processor.tokens_per_image, "#")
    assert text == "<|user|>First:#Second:#Now\nthink.\nRate it.<|end|><|assistant|>"
    assert mixed.media["pixel_values"].shape[0] == 2


def test_pictures_alone_are_encoded_as_the_processor_does():
    family = tiny_family()
    images = [noise_image(seed=1), noise_image(seed=2)]
    encoded = family.encode(images, "Rate it.")
    expected = family.processor(text=["<|user|><image><image>Rate it.<|end|><|assistant|>"], images=images)
    assert encoded.ids == tuple(expected["input_ids"][0])
    assert torch.equal(encoded.media["pixel_values"], expected["pixel_values"])


def test_a_frozen_tower_is_replaced_by_its_output_for_prompts_with_several_pictures():
    family = tiny_family()
    prompts = [
        family.encode([noise_image(seed=1), "and", noise_image(seed=2)], "Rate it."),
        family.encode([noise_image(seed=3)], "Rate it."),
    ]
    kept = family.precompute(prompts, batch_size=2)
    for prompt, features in zip(prompts, kept, strict=True):
        ids = torch.tensor([prompt.ids])
        with torch.no_grad():
            pixels, cells = (family.model(input_ids=ids, **family.media_batch([p])).logits for p in (prompt, features))
        torch.testing.assert_close(cells, pixels, rtol=0, atol=1e-5)


VIDEO = {"num_crops": 1, "global_tiles": 2, "mirror": False}


def _numbered_montage() -> np.ndarray:
    """A 4 x 4 montage whose cells are grey 0, 10, ..., 150 in time order."""
    values = np.arange(0, 160, 10, dtype=np.uint8).reshape(4, 4).repeat(16, 0).repeat(16, 1)
    return np.stack([values] * 3, -1)


def test_every_cell_of_a_montage_has_an_image_token_of_its_own():
    """With 2 x 2 tiles of 32 pixels and a grid of 2, a cell of a 64-pixel montage is a quarter of a tile."""
    processor = NanoImageProcessor(tile_px=32, num_crops=1, global_tiles=2)
    views = processor.preprocess([_numbered_montage()])["pixel_values"][0]
    assert views.shape == (5, 3, 32, 32)
    cells = ((views[:4, 0] + 1) * 127.5).round().unflatten(1, (2, 16)).unflatten(3, (2, 16))
    assert bool((cells == cells[:, :, :1, :, :1]).all())  # a token's cell is of one frame
    values = cells[:, :, 0, :, 0].unflatten(0, (2, 2)).transpose(1, 2).flatten()
    assert values.tolist() == list(range(0, 160, 10))


def test_changes_are_between_successive_cells_row_by_row():
    from pondera.models.nano.modeling import cell_changes

    value_N = torch.arange(16.0) ** 2 / 256  # of the cells in time order
    picture = value_N.view(4, 4).repeat_interleave(3, 0).repeat_interleave(3, 1)
    tiles = picture.view(2, 6, 2, 6).transpose(1, 2).reshape(1, 4, 1, 6, 6).expand(1, 4, 3, 6, 6)
    change = cell_changes(tiles, 2, 2).view(2, 2, 2, 2, 2).transpose(1, 2).reshape(16, 2)
    expected = ((value_N.diff() + 1e-3).log() + 4) / 2
    torch.testing.assert_close(change[1:, 0], expected)
    torch.testing.assert_close(change[1:, 1], expected)
    assert change[0].tolist() == [0.0, 0.0]


def test_moving_texture_changes_pixels_and_flicker_changes_brightness():
    from pondera.models.nano.modeling import cell_changes

    texture = torch.rand(1, 1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    texture[..., 6:] = texture[..., :6].flip(-1)  # the second cell has the pixels of the first, elsewhere
    moved = cell_changes(texture, 1, 2)[0, 0, 1]
    assert moved[0] > 0 and moved[1] < -1
    flicker = torch.cat([torch.full((1, 1, 3, 12, 6), value) for value in (0.0, 0.2)], dim=-1)
    assert torch.allclose(*cell_changes(flicker, 1, 2)[0, 0, 1])


def test_a_model_with_cell_changes_tells_a_frozen_montage_from_a_moving_one_by_them_alone():
    family = tiny_family(cell_changes=True, **VIDEO)
    with torch.no_grad():
        for parameter in family.model.model.projector.linear_2.parameters():
            parameter.zero_()
    moving, frozen = _numbered_montage(), np.full((64, 64, 3), 70, np.uint8)
    first, second = (
        family.model.model.get_image_features(family.processor.image_processor.preprocess([p])["pixel_values"])
        for p in (moving, frozen)
    )
    assert not torch.allclose(first, second)
    assert family.processor.tokens_per_image == first.shape[1] == 20


def test_several_tiles_are_saved_and_loaded(tmp_path):
    family = tiny_family(cell_changes=True, **VIDEO)
    family.save(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    batch = AutoProcessor.from_pretrained(tmp_path)(text=[family.prompt_text("Rate it.")], images=[noise_image()])
    expected = family.processor(text=[family.prompt_text("Rate it.")], images=[noise_image()])
    with torch.no_grad():
        torch.testing.assert_close(
            model(input_ids=torch.tensor(batch["input_ids"]), pixel_values=batch["pixel_values"]).logits,
            family.model(input_ids=torch.tensor(expected["input_ids"]), pixel_values=expected["pixel_values"]).logits,
        )


def test_jitter_mirrors_only_where_it_may():
    image = noise_image(64, 96)
    plain = NanoImageProcessor(tile_px=32, num_crops=0, mirror=False)
    views = [plain.preprocess([image], jitter_seed=seed)["pixel_values"] for seed in range(8)]
    assert all(torch.equal(view, views[0]) for view in views)
    with pytest.raises(ValueError, match="cannot be mirrored"):
        tiny_family(global_tiles=2)


def test_a_frozen_projector_learns_nothing_but_the_mark_of_the_view():
    family = tiny_family()
    family.freeze_projector()
    learning = {name for name, p in family.model.model.projector.named_parameters() if p.requires_grad}
    assert learning == {"place"}
    assert all(p.requires_grad for p in family.model.model.language_model.parameters())
