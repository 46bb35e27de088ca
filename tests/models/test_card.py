"""The model card: which prompt for which question."""

from __future__ import annotations

import json

import pytest

from pondera import prompts
from pondera.errors import ConfigError
from pondera.models import ModelCard


def test_the_own_question_is_the_card_itself():
    card = ModelCard(prompt="alignment.image.five", fast_prompt="")
    assert card.asked("alignment") is card.asked("") is card


def test_another_question_takes_its_prompts_from_the_tasks():
    card = ModelCard(tasks={"aesthetics": "aesthetics.image"}, fast_tasks={"aesthetics": "aesthetics.image.fast"})
    asked = card.asked("aesthetics")
    assert (asked.prompt, asked.fast_prompt) == ("aesthetics.image", "aesthetics.image.fast")
    assert asked.asked("aesthetics") is asked


def test_a_question_without_a_prompt_or_without_a_score_is_refused():
    card = ModelCard(tasks={"degradation": "short.degradation"})
    with pytest.raises(ConfigError, match="no prompt for alignment"):
        card.asked("alignment")
    with pytest.raises(ConfigError, match="asks for no score"):
        card.asked("degradation")


@pytest.mark.parametrize(("kind", "known"), [("image", ("aesthetics", "alignment")), ("video", ("alignment",))])
def test_a_stock_model_can_be_asked_every_packaged_question_of_its_kind(tmp_path, kind, known):
    card = ModelCard.read(tmp_path, kind)
    for question in ("quality", *known):
        asked = card.asked(question)
        for name in (asked.prompt, asked.fast_prompt):
            assert (prompts.get(name).kind, prompts.get(name).question) == (kind, question)
        assert prompts.get(asked.fast_prompt).answer == asked.answer.without_thinking()


def test_a_card_of_an_earlier_version_has_no_prompts_for_other_questions(tmp_path):
    (tmp_path / "pondera.json").write_text(json.dumps({"prompt": "quality.short"}), encoding="utf-8")
    assert ModelCard.read(tmp_path).fast_tasks == {}
