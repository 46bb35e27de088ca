"""The parser reads what was asked for, and invents nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondera.core.answers import (
    AnswerFormat,
    BoxesField,
    ClassField,
    Json,
    LabelsField,
    NumberField,
    Numbers,
)

ONE = AnswerFormat()
FIVE = AnswerFormat(Numbers(5))


def test_a_thought_and_one_number():
    answer = ONE.parse("<think>Blurred.</think><answer>3.42</answer>")
    assert answer.is_valid and answer.values == (3.42,) and answer.score == 3.42 and answer.think == "Blurred."


def test_white_space_is_free():
    assert ONE.parse(" \n<think>\nok\n</think>\n\n <answer>\n 3.4 \n</answer>\n").score == 3.4


@pytest.mark.parametrize(
    ("text", "part_of_reason"),
    [
        ("3.4", "found none"),
        ("<answer>3.4</answer>", "expected the tags"),
        ("<think>a</think><answer>3</answer><answer>4</answer>", "once each"),
        ("<think>a</think><think>b</think><answer>3</answer>", "once each"),
        ("<answer>3</answer><think>a</think>", "in this order"),
        ("<think> </think><answer>3</answer>", "empty"),
        ("<think>a</think>so <answer>3</answer>", "outside"),
        ("<think>a</think><answer>3</answer> done 9", "outside"),
        ("<think>a</think><answer>4,20</answer>", "one number a line"),
        ("<think>a</think><answer>.5</answer>", "0.5 is outside [1, 5]"),
        ("<think>a</think><answer>99</answer>", "99 is outside"),
        ("<think>a</think><answer>nan</answer>", "one number a line"),
        ("<think>a</think><answer>1e0</answer>", "one number a line"),
        ("<think>a</think><answer>score 3</answer>", "one number a line"),
        ("<think>a</think><answer>3\n4</answer>", "expected 1 lines"),
        ("<think>a</think><answer></answer>", "expected 1 lines"),
        ("<think>a<answer>3</answer>", "expected the tags"),
    ],
)
def test_bad_completions_are_invalid_and_say_why(text, part_of_reason):
    answer = ONE.parse(text)
    assert not answer.is_valid and answer.values == () and math.isnan(answer.score)
    assert part_of_reason in answer.error


def test_five_numbers_are_averaged():
    answer = FIVE.parse("<think>a</think><answer>1.00\n2.00\n3.00\n4.00\n5.00\n</answer>")
    assert answer.values == (1.0, 2.0, 3.0, 4.0, 5.0) and answer.score == 3.0


def test_numbers_in_the_thought_do_not_count():
    assert ONE.parse("<think>1.2 and 4.9</think><answer>3.00</answer>").values == (3.0,)


def test_no_think_format_refuses_a_thought():
    fast = ONE.without_thinking()
    assert fast.parse("<answer>2.50</answer>").score == 2.5
    assert not fast.parse("<think>a</think><answer>2.50</answer>").is_valid


def test_a_thought_that_the_prompt_opened():
    opened = AnswerFormat(think="opened")
    answer = opened.parse("it is dark</think><answer>2.00</answer>")
    assert answer.score == 2.0 and answer.think == "it is dark"
    assert not opened.parse("</think><answer>2.00</answer>").is_valid


def test_a_prefix_is_required_and_case_is_free():
    scored = AnswerFormat(Numbers(prefix="Score:"))
    assert scored.parse("<think>a</think><answer>score: 3.40</answer>").score == 3.4
    assert not scored.parse("<think>a</think><answer>3.40</answer>").is_valid


SCHEMA = Json(
    {
        "spatial": NumberField(0, 100),
        "class": ClassField(("Blur", "Noise")),
        "labels": LabelsField(),
        "boxes": BoxesField(),
        "temporal": NumberField(0, 100),
    }
)


def test_json_with_every_kind_of_field():
    body = (
        '{"temporal": "60", "spatial": 40, "class": " blur", "labels": ["a"], '
        '"boxes": [{"bbox_2d": [0, 0, 10, 20], "type": "noise"}]}'
    )
    answer = AnswerFormat(SCHEMA).parse(f"<think>a</think><answer>{body}</answer>")
    assert answer.error is None
    assert answer.values == (40.0, 60.0) and answer.score == 50.0
    assert answer.fields["class"] == "Blur" and answer.fields["boxes"][0]["type"] == "noise"


RATING = AnswerFormat(Json({"rating": NumberField(1, 5)}))


@pytest.mark.parametrize(
    ("body", "part_of_reason"),
    [
        ('{"rating": 3.4, "rating": 5}', "stands twice"),
        ('{"rating": NaN}', "not a number"),
        ('{"rating": Infinity}', "not a number"),
        ('{"rating": 7}', "outside"),
        ('{"rating": true}', "must be a number"),
        ('{"rating": [3]}', "must be a number"),
        ('{"score": 3}', "expected the keys"),
        ("[3]", "expected the keys"),
        ("rating 3", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_bad_json_is_invalid_and_says_why(body, part_of_reason):
    answer = RATING.parse(f"<think>a</think><answer>{body}</answer>")
    assert not answer.is_valid and part_of_reason in answer.error


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_raise_or_leave_the_range(text):
    for candidate in (text, f"<think>a</think><answer>{text}</answer>"):
        for answer_format in (ONE, FIVE, RATING):
            answer = answer_format.parse(candidate)
            assert all(1 <= value <= 5 for value in answer.values)
            assert answer.is_valid != math.isnan(answer.score)


@given(st.floats(1, 5).map(lambda value: f"{value:.2f}"))
def test_what_is_written_is_what_is_read(number):
    assert ONE.parse(f"<think>a</think><answer>{number}</answer>").score == float(number)


@pytest.mark.parametrize("options", [{"n": 0}, {"low": 5.0, "high": 1.0}, {"n": 2, "names": ("a",)}])
def test_an_impossible_body_is_refused(options):
    with pytest.raises(ValueError, match="need n >= 1"):
        Numbers(**options)
