"""Texts and tokens of completions under second views."""

from __future__ import annotations

import pytest

from pondera.engine.second_views.wording import answer_number, ids_before, label_branch, masked_thought
from tests.models.tiny import tiny_family


def test_numbers_of_a_thought_are_masked_and_the_answer_is_cut_off():
    text = "<think>Noise is 3.5 of 5, near 1,200 grains.</think>\n<answer>2.41</answer>"
    assert masked_thought(text) == "<think>Noise is # of #, near # grains.</think>\n"


@pytest.mark.parametrize("text", ["<think>no answer yet", "<answer>2.41</answer>", "  <answer>3.00</answer>"])
def test_there_is_no_thought_to_read_without_an_answer_or_without_words_before_it(text):
    assert masked_thought(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>x 9</think><answer>2.41</answer>", "<think>x 9</think><answer>"),
        ("<think>x</think><answer>\nScore: 2.41</answer>", "<think>x</think><answer>\nScore: "),
        ("<think>x</think><answer>1.00\n2.00\n</answer>", "<think>x</think><answer>1.00\n"),
        ("<think>x</think><answer>good</answer>", None),
        ("<think>2.41</think>", None),
    ],
)
def test_the_answers_last_number_is_found_inside_the_answer_only(text, expected):
    found = answer_number(text)
    assert found == (None if expected is None else len(expected))


def test_tokens_before_a_place_are_the_completions_own_as_far_as_they_go():
    family = tiny_family()
    text = "<think>noise is poor.</think><answer>2.41</answer>"
    ids = family.encode_text(text)
    before = ids_before(family, ids, text[: answer_number(text)])
    assert before == tuple(ids[: len(before)]) and family.decode(before) == "<think>noise is poor.</think><answer>"


def test_a_token_that_reaches_over_the_place_is_replaced_by_its_part():
    family = tiny_family()
    (joined,) = (i for i in range(len(family.tokenizer)) if family.decode([i]) == " sharpness")
    before = ids_before(family, [joined], " sharp")
    assert joined not in before and family.decode(before) == " sharp"


@pytest.mark.parametrize("label", ["3.40", "3.4", "62.50"])
def test_a_label_branch_scores_the_first_decimal_alone(label):
    family = tiny_family()
    before = family.encode_text("<answer>")
    branch = label_branch(family, before, label)
    scored = [i for i, weight in enumerate(branch.weights) if weight]
    assert scored == [len(branch.ids) - 1] and branch.weights[-1] == 1.0
    assert family.decode(branch.ids) == "<answer>" + label[: label.index(".") + 2]


def test_a_label_without_decimals_is_refused():
    with pytest.raises(ValueError, match="got '3'"):
        label_branch(tiny_family(), [], "3")
