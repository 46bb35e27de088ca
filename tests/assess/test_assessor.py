"""Four modes, one fingerprint, no invented scores."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.models.tiny import noise_image, tiny_family

from pondera import prompts
from pondera.assess import Assessor, load
from pondera.assess.expected import candidate_numbers, expected_scores
from pondera.core.answers import Numbers
from pondera.core.records import LabelScale, Media, Sample
from pondera.errors import ConfigError, MediaError, ModelError
from pondera.generate.backend import Completion
from pondera.models import ModelCard, load_model


@pytest.fixture(scope="module")
def family():
    return tiny_family()


@pytest.fixture(scope="module")
def assessor(family):
    return Assessor(family, ModelCard(max_new_tokens=24), batch_size=4)


def test_candidates_cover_the_scale_once_and_stand_for_their_middle():
    candidates = candidate_numbers(1.0, 5.0)
    assert [text for text, _ in candidates][:2] == ["1.0", "1.1"] and candidates[-1] == ("5.0", 5.0)
    assert len(candidates) == 41 and candidates[24] == ("3.4", pytest.approx(3.445))
    wide = candidate_numbers(0.0, 100.0)
    assert wide[0][0] == "0" and wide[-1][0] == "100" and len(wide) == 101


def test_the_expected_score_is_the_mean_under_the_models_own_probabilities(family):
    """Against plain sequences: one unpacked forward pass for every number that could be written."""
    prompt = family.encode([noise_image()], "Rate it.")
    score_P, spread_P = expected_scores(family, [prompt], Numbers())
    opened = [*prompt.ids, *family.encode_text("<answer>")]
    logps, values = [], []
    for text, value in candidate_numbers(1.0, 5.0):
        ids = family.encode_text(text)
        logits = family.model(input_ids=torch.tensor([opened + ids]), **prompt.media).logits[0, len(opened) - 1 : -1]
        logps.append(logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum())
        values.append(value)
    probability = torch.stack(logps).softmax(0)
    mean = (probability * torch.tensor(values)).sum()
    spread = (probability * (torch.tensor(values) - mean) ** 2).sum().sqrt()
    torch.testing.assert_close(score_P[0], mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(spread_P[0], spread, rtol=0, atol=1e-4)


def test_the_expected_score_is_differentiable(family):
    score_P, _ = expected_scores(family, [family.encode([noise_image()], "Rate it.")], Numbers())
    score_P.sum().backward()
    assert any(
        p.grad is not None and float(p.grad.abs().sum()) > 0 for p in family.model.model.vision_tower.parameters()
    )
    family.model.zero_grad()


def test_several_numbers_are_read_in_turn_and_averaged(family):
    prompt = family.encode([noise_image()], "Rate it.")
    with torch.no_grad():
        one, _ = expected_scores(family, [prompt], Numbers())
        two, spread = expected_scores(family, [prompt], Numbers(2))
    assert 1 <= float(two) <= 5 and float(spread) > 0 and float(two) != float(one)


def test_fast_scores_do_not_depend_on_the_batch(assessor):
    images = [noise_image(seed=i) for i in range(6)]
    together = [a.score for a in assessor(images, mode="fast")]
    alone = [assessor(image, mode="fast").score for image in images]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)


def test_an_untrained_model_gives_no_valid_answer_and_no_score(assessor):
    found = assessor(noise_image(), mode="reason")
    assert not found.valid and math.isnan(found.score) and "no valid answer" in found.error


def test_a_bad_file_has_its_error_and_the_others_their_score(assessor, tmp_path):
    (tmp_path / "empty.png").touch()
    first, bad, last = assessor([noise_image(), tmp_path / "empty.png", noise_image()], mode="fast")
    assert not bad.valid and "empty.png" in bad.error and math.isnan(bad.score)
    assert first.score == pytest.approx(last.score, abs=1e-4)


def test_scores_come_on_the_scale_that_was_asked_for(family):
    own = Assessor(family, ModelCard())(noise_image())
    percent = Assessor(family, ModelCard(), scale=LabelScale(0, 100))(noise_image())
    assert percent.score == pytest.approx((own.score - 1) * 25) and percent.spread == pytest.approx(own.spread * 25)


def test_valid_answers_are_averaged_and_the_nearest_reasoning_is_shown(assessor):
    texts = [f"<think>{word}</think><answer>{score}</answer>" for word, score in (("a", 2), ("b", 3), ("c", 4.6))]
    found = assessor._from_texts([*texts, "nonsense"], "consensus")
    assert found.score == pytest.approx(3.2) and found.reasoning == "b"
    assert found.spread == pytest.approx(np.std([2, 3, 4.6], ddof=1))


def test_the_expected_score_stands_behind_the_greedy_thought(family, assessor, monkeypatch):
    texts = ["<think>some noise</think><answer>2.00</answer>", "no answer", "<think>blur</think><answer>4.50</answer>"]
    completions = [[Completion(ids=(), logps=(), text=text, is_finished=True)] for text in texts]
    monkeypatch.setattr(assessor.backend, "generate", lambda *args, **kwargs: completions)
    images = [noise_image(seed=n) for n in range(3)]
    first, invalid, last = assessor(images, mode="expected")
    assert not invalid.valid and math.isnan(invalid.score)
    for image, text, found in ((images[0], texts[0], first), (images[2], texts[2], last)):
        asked = assessor.family.encode(assessor.present(image).parts, prompts.get(assessor.card.prompt).render())
        thought = tuple(family.encode_text(text.partition("<answer>")[0]))
        with torch.no_grad():
            score_P, spread_P = expected_scores(family, [replace(asked, ids=asked.ids + thought)], Numbers(1, 1.0, 5.0))
        assert found.score == pytest.approx(float(score_P[0]), abs=1e-5)
        assert found.spread == pytest.approx(float(spread_P[0]), abs=1e-5)
        assert found.completion == text and found.reasoning in ("some noise", "blur")
    percent = Assessor(family, assessor.card, scale=LabelScale(0, 100))
    monkeypatch.setattr(percent.backend, "generate", lambda *args, **kwargs: completions[:1])
    assert percent(images[0], mode="expected").score == pytest.approx((first.score - 1) * 25, abs=1e-3)


def test_the_fingerprint_names_what_a_score_depends_on(family, assessor):
    other = Assessor(family, ModelCard(max_new_tokens=25))
    prints = {assessor.fingerprint("fast"), assessor.fingerprint("reason"), other.fingerprint("reason")}
    prints |= {assessor.fingerprint("consensus", samples=4), assessor.fingerprint("consensus", samples=8)}
    assert len(prints) == 5
    assert assessor(noise_image()).fingerprint == assessor.fingerprint("fast")


def _words_asked(assessor, monkeypatch):
    """The words of every prompt that is encoded from now on."""
    asked, encode = [], assessor.family.encode
    monkeypatch.setattr(assessor.family, "encode", lambda parts, text: asked.append(text) or encode(parts, text))
    return asked


@pytest.fixture
def pictures(tmp_path):
    """Two samples with a text each, and one without."""
    for n in range(3):
        Image.fromarray(noise_image(seed=n)).save(tmp_path / f"{n}.png")
    media = [(Media(str(tmp_path / f"{n}.png")),) for n in range(3)]
    return [Sample("a", media[0], text="a red {bus}"), Sample("b", media[1], text="two cats"), Sample("c", media[2])]


def test_the_text_of_a_sample_reaches_the_model_and_its_lack_is_that_samples_error(family, pictures, monkeypatch):
    card = ModelCard(prompt="alignment.image", fast_prompt="alignment.image.fast", max_new_tokens=4)
    assessor = Assessor(family, card)
    asked = _words_asked(assessor, monkeypatch)
    first, second, third = assessor(pictures, mode="fast")
    assert [text.count("a red {bus}") + 2 * text.count("two cats") for text in asked] == [1, 2]
    assert first.valid and second.valid
    assert not third.valid and "'alignment.image.fast' asks about a text" in third.error
    assert "asks about a text" in assessor(pictures[0].path(), mode="reason").error


def test_a_prompt_without_a_text_asks_every_sample_alike(assessor, pictures, monkeypatch):
    asked = _words_asked(assessor, monkeypatch)
    assessor(pictures, mode="fast")
    assert len(asked) == 3 and len(set(asked)) == 1


def test_another_question_is_another_prompt_with_another_fingerprint(family):
    tasks = {"alignment": "alignment.image"}
    card = ModelCard(tasks=tasks, fast_tasks={"alignment": "alignment.image.fast"})
    assessor = Assessor(family, card, scale=LabelScale(0, 100), weights_hash="w")
    other = assessor.asking("alignment")
    assert other.protocol("fast")["prompt"] == "alignment.image.fast"
    assert other.protocol("reason")["prompt"] == "alignment.image"
    assert (other.scale, other.weights_hash) == (LabelScale(0, 100), "w")
    assert other.fingerprint("fast") != assessor.fingerprint("fast")
    assert assessor.asking("quality") is assessor.asking("") is assessor
    with pytest.raises(ConfigError, match=r"no prompt for aesthetics: it is asked 'quality\.short'"):
        assessor.asking("aesthetics")
    only_thought = Assessor(family, ModelCard(tasks=tasks)).asking("alignment")
    with pytest.raises(ModelError, match="Use mode reason"):
        only_thought.protocol("fast")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "slow"}, "mode must be one of reason, expected, fast, consensus"),
        ({"mode": "consensus", "samples": 1}, "at least 2 samples"),
        ({"mode": "consensus", "temperature": 0.0}, "greedy samples are all the same"),
    ],
)
def test_wrong_options_are_refused(assessor, options, message):
    with pytest.raises(ConfigError, match=message):
        assessor(noise_image(), **options)


def test_compare_names_the_better_image_and_refuses_what_it_cannot_read(assessor, tmp_path):
    found = assessor.compare(noise_image(seed=1), noise_image(seed=2), mode="fast")
    expected = "tie" if abs(found.margin) < 0.02 else ("A" if found.margin > 0 else "B")
    assert found.better == expected and (found.probability > 0.5) == (found.margin > 0)
    with pytest.raises(MediaError, match=r"missing\.png"):
        assessor.compare(noise_image(), tmp_path / "missing.png", mode="fast")


def test_the_packaged_tower_has_eyes_but_is_refused_where_scores_are_wanted():
    with pytest.raises(ModelError, match=r"'nano-tower' has no speech.*model.vision_from"):
        load("nano-tower")
    assert load_model("nano-tower").card.trained_on == ("biq2021",)
