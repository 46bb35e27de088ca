"""Training prompts: what is kept is what would be made anew."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

from pondera.config import ModelSection
from pondera.core.records import Media, Sample
from pondera.data.presentation import Layout, present
from pondera.engine import encoder
from pondera.engine.encoder import FeatureStore, PresentationCache, PromptEncoder
from pondera.errors import ConfigError
from tests.models.tiny import noise_image, tiny_family


@pytest.fixture
def samples(tmp_path):
    """An image, and a video whose pictures lie ready."""
    for n in range(4):
        Image.fromarray(noise_image(48, 64 + 16 * n, seed=n)).save(tmp_path / f"{n}.png")
    paths = [str(tmp_path / f"{n}.png") for n in range(4)]
    media = (Media(paths[1], "montage"), Media(paths[2], "local"), Media(paths[3], "local"))
    return [Sample("image", (Media(paths[0]),)), Sample("video", media, kind="video")]


def test_features_that_were_kept_go_with_the_same_ids_as_pixels(samples):
    seeds = [3, 4]
    plain = PromptEncoder(tiny_family(), views=2)(samples, ["Rate it."] * 2, [s % 2 for s in seeds])
    encode = PromptEncoder(tiny_family(), freeze_vision=True, views=2)
    for text in ("Rate it.", "Rate it fast.", "Rate it."):
        kept = encode(samples, [text] * 2, seeds)
        assert [set(prompt.media) for prompt in kept] == [{"image_cells"}] * 2
        assert [p.media["image_cells"].shape[0] for p in kept] == [1, 3]
        if text == "Rate it.":
            assert [prompt.ids for prompt in kept] == [prompt.ids for prompt in plain]


def test_a_later_stage_takes_over_what_the_same_tower_made_of_the_same_files(samples):
    store = FeatureStore()

    looked_at = []

    def encoded(samples, *, seed=0, layout=None):
        encode = PromptEncoder(tiny_family(seed=seed), layout, freeze_vision=True, views=2, features=store)
        family_encode = encode.family.encode
        encode.family.encode = lambda *args, **options: looked_at.append(args) or family_encode(*args, **options)
        return encode(samples, ["Rate it."] * 2, [3, 4])

    def taken_over(first, second):
        return [a.media is b.media for a, b in zip(first, second, strict=True)]

    first = encoded(samples)
    assert taken_over(first, encoded(samples)) == [True, True]
    other = replace(samples[0], id="other")
    encoded([samples[0], other])
    looked_at.clear()
    again = encoded([samples[0], other])
    assert len(looked_at) == 1 and again[0].ids == again[1].ids  # one question about pictures of one size
    renamed = [replace(samples[0], media=(Media(samples[1].media[0].path),)), samples[1]]
    assert taken_over(first, encoded(renamed)) == [False, True]
    assert taken_over(first, encoded(samples, layout=Layout(montage_px=64))) == [False, False]
    assert taken_over(first, encoded(samples, seed=1)) == [False, False]


def test_tasks_on_one_file_share_what_is_shown_and_what_the_tower_made_of_it(samples, monkeypatch):
    score = samples[0]
    other = replace(score, id="damage", task="degradation")
    both = replace(score, id="two", task="compare", media=(*score.media, replace(samples[1].media[0], role="other")))
    same_files = replace(both, id="first", task="score")
    reads = []
    monkeypatch.setattr(encoder, "present", lambda sample, *a, **k: reads.append(sample.id) or present(sample, *a, **k))
    encode = PromptEncoder(tiny_family(), freeze_vision=True)
    asked = [score, other, both, same_files]
    prompts = encode(asked, ["Rate it.", "What is wrong?", "Compare.", "Rate it."], [1, 2, 3, 4])
    assert reads == ["image", "two", "first"]  # a comparison shows more of the files than a score
    assert prompts[0].media is prompts[1].media and prompts[0].ids != prompts[1].ids
    assert [len(prompt.media["image_cells"]) for prompt in prompts] == [1, 1, 2, 1]


def test_a_second_view_changes_what_is_shown_and_leaves_the_first_alone(samples):
    encode = PromptEncoder(tiny_family(), freeze_vision=True)
    first = encode(samples, ["Rate it."] * 2, [0, 0])
    seen = []

    def blacken(shown, sample, seed):
        seen.append((sample.id, seed))
        return shown.with_images(lambda image, number: image * 0).with_words("All is dark.")

    second = encode(samples, ["Rate it."] * 2, [7, 8], change=blacken)
    assert seen == [("image", 7), ("video", 8)]
    assert all(float(prompt.media["pixel_values"].max()) == -1 for prompt in second)
    assert all(len(b.ids) > len(a.ids) for a, b in zip(first, second, strict=True))
    again = encode(samples, ["Rate it."] * 2, [0, 0])
    assert all(torch.equal(a.media["image_cells"], b.media["image_cells"]) for a, b in zip(first, again, strict=True))


def test_the_least_recently_used_presentation_leaves_first(samples):
    cache = PresentationCache(Layout(), limit_bytes=1)
    first = cache.get(samples[0], 0)
    assert cache.get(samples[0], 1) is first  # an image has one variant
    assert cache.get(samples[1], 0) is not cache.get(samples[1], 1)
    assert cache.get(samples[0], 0) is not first


def test_a_fresh_model_may_start_with_the_tower_of_another(tmp_path):
    from pondera.engine.start import _take_vision

    other, own = tiny_family(seed=1), tiny_family(seed=2, global_tiles=2, num_crops=1, mirror=False)
    other.save(tmp_path)
    _take_vision(own.model, str(tmp_path))
    first, second = other.model.model.vision_tower.state_dict(), own.model.model.vision_tower.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    before, after = other.model.model.projector, own.model.model.projector
    assert torch.equal(before.linear_2.weight, after.linear_2.weight)  # the decoders are equally wide
    assert after.place.shape != before.place.shape
    wider = tiny_family(hidden_size=64)
    _take_vision(wider.model, str(tmp_path))
    assert wider.model.model.projector.linear_2.weight.shape == (64, 64)
    with pytest.raises(ConfigError, match="other widths"):
        _take_vision(tiny_family(vision_widths=(8, 24)).model, str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"init": "nano", "vision_from": "nano"}, "fresh models"), ({"global_tiles": 2}, "mirror must be false")],
)
def test_settings_of_a_fresh_model_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ModelSection(**settings)


def test_validation_decodes_a_video_once(samples, monkeypatch):
    from pondera.assess import Assessor
    from pondera.engine.validation import Validation
    from pondera.models import ModelCard

    reads = []
    monkeypatch.setattr(encoder, "present", lambda sample, *a, **k: reads.append(sample.id) or present(sample, *a, **k))
    card = ModelCard("quality.short.video", "quality.short.video.fast", max_new_tokens=8)
    validation = Validation(samples[1:], Assessor(tiny_family(), card), 1, lambda logs: None, mode="fast")
    validation.run()
    validation.run()
    assert reads == ["video"]
