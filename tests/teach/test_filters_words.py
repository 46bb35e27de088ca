"""Filters that read words: adversarial texts on one side, honest look-alikes on the other.

The labelled set of `benchmarks/filters.py` measures them; these tests hold what must not break.
"""

from __future__ import annotations

import pytest

from pondera import prompts
from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.records import FIVE_POINT, Distortion, LabelScale, Media, Sample
from pondera.teach.filters import (
    Candidate,
    contradiction_filter,
    copied_filter,
    default_filters,
    duplicate_filter,
    fact_filter,
    hint_filter,
    language_filter,
    leak_filter,
    refusal_filter,
    run_filters,
    second_opinion_filter,
    unfinished_filter,
)
from pondera.teach.filters.mentions import stated_kinds, stated_severities

COMPARE = prompts.get("technical.image.compare").answer


def objection(item, think, *, score="3.00", form=None, prompt="", **labels) -> str | None:
    """What one filter says of one thought."""
    text = f"<think>{think}</think><answer>{score}</answer>"
    sample = Sample("a", (Media("a.png"),), **labels)
    dropped = run_filters([Candidate(sample, 0, text, (form or AnswerFormat()).parse(text), prompt)], [item])[1]
    return dropped[0][2] if dropped else None


@pytest.mark.parametrize(
    "think",
    ["it reaches ４．２ in my eyes", "three and a half would be fair", "a four-star picture", "★★★★☆ for the light",
     "between 3 and 4, since the sky is noisy", "the lowest rating is due", "I would give it a two, and that is kind",
     "on a scale of one to five it is in the middle", "the score is slightly above three", "an 84 out of 100"],
)  # fmt: skip
def test_scores_in_disguise_are_leaks(think):
    assert objection(leak_filter(), think) is not None


@pytest.mark.parametrize(
    "think",
    ["shot at f/2.8 with a 35 mm lens", "2.5 m away stands a dog", "a frame rate of 30 and a bit rate of 4 megabits",
     "a three point light", "two stars over the sea", "a 4K clip of four boats", "wood scored by three cracks",
     "at half past four by the church clock", "between two cars a cyclist appears", "first-rate light, a low one"],
)  # fmt: skip
def test_numbers_of_things_are_no_leak(think):
    assert objection(leak_filter(), think) is None


def test_the_thoughts_own_score_is_a_leak_on_any_scale():
    form = AnswerFormat(Numbers(low=0, high=100))
    assert objection(leak_filter(), "it comes to 73.5 in the end", score="73.5", form=form) == "says '73.5'"
    assert objection(leak_filter(), "it comes to 71.5 in the end", score="73.5", form=form) is None


@pytest.mark.parametrize(
    "think",
    ["as the given score suggests, blur is strong", "viewers gave it a low score", "the panel was strict",
     "to justify the score I was given, I name blur", "according to the hint it is fine", "the human raters saw blur",
     "you said it is weak", "the ground truth is low"],
)  # fmt: skip
def test_signs_of_a_known_score_are_hint_leaks(think):
    assert objection(hint_filter(), think) is not None


@pytest.mark.parametrize(
    "think",
    ["most viewers would find the noise annoying", "the label on the bottle is readable",
     "the subject is given enough space", "a door panel with fine grain", "people stand in the rain"],
)  # fmt: skip
def test_viewers_and_labels_in_the_picture_are_no_hint(think):
    assert objection(hint_filter(), think) is None


def test_the_label_itself_is_a_hint_leak_on_its_own_scale():
    labels = {"mos": 68.43, "scale": LabelScale(0, 100)}
    assert objection(hint_filter(), "68.4 is explained by the blur", **labels) == "says '68.4'"
    assert objection(hint_filter(), "68.9 is explained by the blur", **labels) is None


@pytest.mark.parametrize("think", ["I cannot see any noise in the sky", "no image noise to speak of"])
def test_seeing_no_defect_is_no_refusal(think):
    assert objection(refusal_filter(), think) is None


@pytest.mark.parametrize(
    ("think", "language"),
    [
        ("Das Bild ist unscharf und der Himmel rauscht sehr stark.", "German"),
        ("L'image est floue et le ciel est très bruité.", "French"),
        ("The street is sharp. Der Himmel ist aber stark verrauscht.", "German"),
        ("图像模糊,天空有明显的噪点。", "Cjk"),
        ("Изображение размыто, на небе шум.", "Cyrillic"),
    ],
)
def test_other_languages_are_dropped_by_name(think, language):
    assert objection(language_filter(), think) == f"{language} text"


@pytest.mark.parametrize(
    "think",
    ["Crisp rocks, smooth water, gentle haze, warm tones, deep blacks, clean highlights.",
     "The sign reads '北京烤鸭' and every stroke of it is clean.", "Naïve façade, fine detail in the café."],
)  # fmt: skip
def test_english_without_function_words_and_quoted_signs_pass(think):
    assert objection(language_filter(), think) is None


@pytest.mark.parametrize(
    ("think", "is_cut"),
    [("The water in the", True), ("Grain is low, and a slight", True), ("However,", True), ("no noise", False),
     ("Edges are soft.", False), ('He calls it "art"', False), ("", False)],
)  # fmt: skip
def test_only_thoughts_that_break_off_are_unfinished(think, is_cut):
    text = f"<think>{think}</think><answer>3</answer>"
    candidate = Candidate(Sample("a", (Media("a.png"),)), 0, text, AnswerFormat(lenient=True).parse(text))
    assert bool(run_filters([candidate], [unfinished_filter()])[1]) == is_cut


def test_instructions_are_not_repeated_but_the_text_of_the_image_may_be():
    prompt = prompts.get("alignment.image")
    text = "a red boat with two sailors on a calm lake at dawn"
    asked = prompt.render(text=text)
    copied = "First take the text apart: subjects, how many of each, attributes."
    assert "repeats the instructions" in objection(copied_filter(), copied, prompt=asked, text=text)
    assert objection(copied_filter(), f"It shows {text}, but one sailor is missing.", prompt=asked, text=text) is None
    assert objection(copied_filter(), copied) is None


@pytest.mark.parametrize(
    ("think", "score"),
    [("The overall quality is terrible.", "4.50"), ("In summary, an outstanding image.", "2.00"),
     ("The image is perfectly sharp. The image is heavily blurred.", "3.00"),
     ("No noise at all here. The photograph is very noisy.", "3.00")],
)  # fmt: skip
def test_verdicts_against_the_score_and_claims_against_each_other(think, score):
    assert objection(contradiction_filter(), think, score=score) is not None


@pytest.mark.parametrize(
    ("think", "score"),
    [("The overall quality is not excellent.", "2.00"), ("The overall quality is terrible.", "1.50"),
     ("The image is sharp. It is slightly blurred at the borders.", "3.00"),
     ("The subject is sharp. The background is blurred.", "4.00"), ("The composition is superb.", "2.00")],
)  # fmt: skip
def test_negations_and_parts_contradict_nothing(think, score):
    assert objection(contradiction_filter(), think, score=score) is None


def test_a_comparison_must_choose_what_it_found_better():
    words = "The first image is soft. The second image is clearly better."
    first, second = '{"better": "first"}', '{"better": "second"}'
    same_scale = contradiction_filter(scale=None)
    assert objection(same_scale, words, score=first, form=COMPARE) == "calls the second better, answers first"
    assert objection(same_scale, words, score=second, form=COMPARE) is None
    assert objection(same_scale, "No difference can be seen.", score=first, form=COMPARE) is not None


def test_a_second_opinion_drops_only_what_it_calls_contradictory():
    for opinion, is_dropped in ((True, True), (False, False), (None, False)):
        found = objection(second_opinion_filter(lambda _, answer=opinion: answer), "edges are soft")
        assert bool(found) == is_dropped


@pytest.mark.parametrize(
    ("think", "distortion", "words"),
    [
        ("Every edge is crisp.", ("gaussian_blur", 5), "finds sharpness good"),
        ("A calm garden.", ("jpeg", 4), "does not speak of compression"),
        ("The picture is too bright.", ("darken", 4), "says bright where"),
        ("Heavy blur.", ("gaussian_blur", 5), None),
        ("Every edge is crisp.", ("gaussian_blur", 2), None),
        ("A calm garden.", ("jpeg", 3), None),
        ("A calm garden.", ("rain", 5), None),
    ],
)
def test_thoughts_must_not_contradict_known_damage(think, distortion, words):
    found = objection(fact_filter(), think, distortions=(Distortion(*distortion),))
    assert found is None if words is None else words in found


def test_damage_of_a_part_may_be_overlooked():
    local = Distortion("gaussian_blur", 5, (0.0, 0.0, 0.5, 0.5))
    assert objection(fact_filter(), "Every edge is crisp.", distortions=(local,)) is None


def test_mentions_know_denials_strengths_and_grades():
    assert stated_severities("No noise, but slightly soft edges and heavy banding.") == {
        "noise": 0.0,
        "sharpness": 1.5,
        "compression": 4.5,
    }
    assert stated_severities("It is noisy. noise is good") == {"noise": 1.25}
    assert stated_kinds("Mosquito noise around the mast, blocked shadows.") == {"blocks", "harsh"}


def test_near_copies_over_samples_are_dropped_after_the_allowed_number():
    text = " ".join(f"word{n}" for n in range(60))
    candidates = []
    for n in range(6):
        words = f"<think>{text} end{n}</think><answer>3</answer>"
        candidates.append(Candidate(Sample(str(n), (Media("a.png"),)), 0, words, AnswerFormat().parse(words)))
    dropped = run_filters(candidates, [duplicate_filter(max_copies=4)])[1]
    assert [candidate.sample.id for candidate, _, _ in dropped] == ["4", "5"]


def test_answers_without_a_thought_pass_all_filters():
    """The length and duplicate filters dropped every answer of a prompt that asks for no thought."""
    form = prompts.get("technical.image.fast").answer
    candidates = []
    for n in range(200):
        sample = Sample("a", (Media("a.png"),), mos=3.0, scale=FIVE_POINT)
        candidates.append(Candidate(sample, n, "<answer>3.00</answer>", form.parse("<answer>3.00</answer>")))
    assert run_filters(candidates, (*default_filters(form), fact_filter()))[1] == []


@pytest.mark.parametrize("make", [lambda: copied_filter(0), lambda: fact_filter(4, 3), lambda: fact_filter(0, 6)])
def test_arguments_are_checked(make):
    with pytest.raises(ValueError, match=r"must be|need"):
        make()
