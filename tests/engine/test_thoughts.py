"""Where a thought ends, and how firmly it is held."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from pondera.engine.policy_loss import kl_weights, thought_length
from tests.models.tiny import tiny_family


def test_a_thought_ends_with_the_token_that_completes_the_answers_mark():
    family = tiny_family()
    thought = family.encode_text("<think>noise is poor.</think><answer>")
    ids = [*thought, *family.encode_text("2.50</answer>")]
    length = thought_length(family, ids)
    assert "<answer>" in family.decode(ids[:length]) and "<answer>" not in family.decode(ids[: length - 1])
    assert "2.50" in family.decode(ids[length:])


def test_a_completion_without_an_answer_is_all_thought():
    family = tiny_family()
    ids = family.encode_text("<think>noise is")
    assert thought_length(family, ids) == len(ids) and thought_length(family, []) == 0


def test_the_kl_holds_thoughts_with_their_own_weight_and_answers_with_theirs():
    family = tiny_family()
    with_answer = family.encode_text("<think>poor</think><answer>2.50</answer>")
    without = family.encode_text("<think>poor")
    completions = [SimpleNamespace(ids=with_answer), SimpleNamespace(ids=without)]
    length = thought_length(family, with_answer)
    for thought, expected in ((0.2, 0.2), (None, 0.01)):
        stage = SimpleNamespace(kl_weight=0.01, thought_kl_weight=thought)
        weight_M = torch.cat(kl_weights(stage, completions, [length, len(without)]))
        answer = [0.01] * (len(with_answer) - length)
        torch.testing.assert_close(weight_M, torch.tensor([expected] * length + answer + [expected] * len(without)))
