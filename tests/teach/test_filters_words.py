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
     "on a scale of one to five it is in the middle", "the score is slightly above three", "an 84 out of 100",
     "f-o-u-r is what I think", "3½ points", "a B minus for the noise", "a picture of grade IV",
     "in the upper half of the scale",
     "it loses a star for the flare", "four-ish at best", "close to the maximum", "80 per cent of perfect",
     "the second-best mark",
     "half a notch below perfect", "leaving four.", "Four, because the sky is clean", "a quality of 70 percent",
     "4️⃣ for me",
     "excellent is five and good is four"],
)  # fmt: skip
def test_scores_in_disguise_are_leaks(think):
    assert objection(leak_filter(), think) is not None


@pytest.mark.parametrize(
    "think",
    ["shot at f/2.8 with a 35 mm lens", "2.5 m away stands a dog", "a frame rate of 30 and a bit rate of 4 megabits",
     "a three point light", "two stars over the sea", "a 4K clip of four boats", "wood scored by three cracks",
     "at half past four by the church clock", "between two cars a cyclist appears", "first-rate light, a low one",
     "of the boats there are three, all sharp", "the text asks for four, the image shows three.",
     "80 per cent of the frame is sky",
     "a sign reads 'Lane 4, gate 2.'", "A plus is the light", "two areas are blurred",
     "1. Sharpness is fine. 2. Noise is low.",
     "an A road in fog", "Image 3: sharpness is poor.", "Three, at the left, are sharp.", "cropped at 200 percent zoom",
     "the final chord of a musical score"],
)  # fmt: skip
def test_numbers_of_things_are_no_leak(think):
    assert objection(leak_filter(), think) is None


def test_the_thoughts_own_score_is_a_leak_on_any_scale():
    form = AnswerFormat(Numbers(low=0, high=100))
    assert objection(leak_filter(), "73.5 describes it well", score="73.5", form=form) == "says '73.5'"
    assert objection(leak_filter(), "71.5 describes it well", score="73.5", form=form) is None


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


@pytest.mark.parametrize(
    "think",
    ["my explanation has to fit a high rating", "it was scored poorly", "the low opinion of the observers is clear",
     "whoever judged it was strict", "As indicated above, it is weak.", "the question already reveals that it is weak",
     "so low a mark is no accident", "I am asked to explain a weak picture", "the low rating comes from the blur"],
)  # fmt: skip
def test_a_score_that_is_argued_for_was_known(think):
    assert objection(hint_filter(), think) is not None


@pytest.mark.parametrize(
    "think",
    ["a single bulb explains the deep shadows", "the blur is consistent with camera shake",
     "lit from above, as one sees in the shadows",
     "The sky is noisy. As mentioned, the grass is not.", "late in the day, as indicated by the long shadows",
     "a hint of grain",
     "one would rate the lens highly", "a human figure in the fog", "the score of the match is on the board",
     "an image of average quality", "noise impairs what viewers can make out"],
)  # fmt: skip
def test_explanations_of_what_is_seen_are_no_hint(think):
    assert objection(hint_filter(), think) is None


def test_a_reference_back_counts_where_nothing_has_been_said_yet():
    assert objection(hint_filter(), "As stated before, it is soft. The sky is clean.") is not None
    assert objection(hint_filter(), "It is soft. The sky, as stated before, is clean.") is None


@pytest.mark.parametrize(
    "think",
    ["nothing was attached", "the upload failed", "I can only process text", "a neutral default value is returned",
     "this content violates the usage rules", "no evaluation of the image will be given", "could you send it again",
     "let us assume something ordinary", "seeing is not among my abilities", "I can't make out any image here"],
)  # fmt: skip
def test_whoever_did_not_look_refused(think):
    assert objection(refusal_filter(), think) is not None


@pytest.mark.parametrize(
    "think",
    ["the image is missing all fine detail", "I cannot provide more specific detail, so strong is the blur",
     "taken, I assume, from a moving train", "the rules of composition are followed",
     "a chain link fence has a rusty link"],
)  # fmt: skip
def test_what_cannot_be_seen_for_blur_is_no_refusal(think):
    assert objection(refusal_filter(), think) is None


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
        ("Gambar ini buram dan langit penuh dengan derau yang kasar.", "Indonesian"),
        ("Slika je oštra, nebo prekriva šum, boje djeluju prirodno te ugodno svakom oku.", "foreign"),
    ],
)
def test_other_languages_are_dropped_by_name(think, language):
    assert objection(language_filter(), think) == f"{language} text"


@pytest.mark.parametrize(
    "think",
    ["Crisp rocks, smooth water, gentle haze, warm tones, deep blacks, clean highlights.",
     "Scene 1253e9373e781b7500 and frame 5e3c2e1f: its edges are soft.",
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


def test_a_prompt_repeated_in_pieces_is_an_echo_and_naming_its_aspects_is_not():
    asked = prompts.get("technical.image").render()
    words = [word for word in asked.split() if "<" not in word]
    pieces = " ".join("something" if n % 8 == 7 else word for n, word in enumerate(words[20:100]))
    assert "word triples" in objection(copied_filter(), pieces, prompt=asked)
    named = "A dog. Saturation of the colours is high, noise and grain are low, coding left no trace on its fur."
    assert objection(copied_filter(), named, prompt=asked) is None


@pytest.mark.parametrize(
    ("think", "is_talk"),
    [("Okay, the user wants me to rate this image.", True), ("I need to output a number with two decimals.", True),
     ("The job was done well by the lens.", False), ("A user of this bench would see the sea.", False)],
)  # fmt: skip
def test_talk_about_the_task_is_an_echo(think, is_talk):
    assert (objection(copied_filter(), think) is not None) == is_talk


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


@pytest.mark.parametrize(
    ("think", "score", "is_dropped"),
    [
        ("It is blurred, it is noisy, it is far too dark.", "4.60", True),
        ("It is blurred, it is noisy, it is far too dark.", "2.00", False),
        ("It is slightly soft, a little noisy at the left.", "4.60", False),
        ("Nothing is blurred, nothing is noisy, and no blocks are visible.", "1.50", True),
        ("Crisp detail, natural hues, clean shadows.", "1.50", True),
        ("Crisp detail, natural hues, but a smeared face.", "1.50", False),
        ("If it were sharp, clean and bright, it would be excellent.", "1.50", False),
        ("The quality of this picture is far from good.", "2.00", False),
        ("The overall quality is not good.", "4.70", True),
        ("The overall quality is not bad.", "1.50", True),
        ("The overall quality is not bad.", "4.70", False),
        ("An otherwise excellent image, ruined by a thumb.", "1.80", False),
    ],
)
def test_praise_and_blame_are_weighed_with_negations_and_hedges(think, score, is_dropped):
    assert (objection(contradiction_filter(), think, score=score) is not None) == is_dropped


def test_strong_words_for_an_aspect_contradict_its_own_number():
    form = prompts.get("technical.image.five").answer
    item = next(f for f in default_filters(form) if f.name == "contradiction")
    words = "Hues are rich, there is severe grain, edges are a bit soft, the face is plain, the wall is plain."
    for granularity, is_dropped in (("4.80", True), ("2.00", False)):
        numbers = f"4.00\n{granularity}\n4.00\n4.00\n4.00"
        assert (objection(item, words, score=numbers, form=form) is not None) == is_dropped


def test_a_comparison_must_choose_what_it_found_better():
    words = "The first image is soft. The second image is clearly better."
    first, second = '{"better": "first"}', '{"better": "second"}'
    same_scale = contradiction_filter(scale=None)
    assert objection(same_scale, words, score=first, form=COMPARE) == "calls the second better, answers first"
    assert objection(same_scale, words, score=second, form=COMPARE) is None
    assert objection(same_scale, "No difference can be seen.", score=first, form=COMPARE) is not None
    assert objection(same_scale, "The second one loses clearly.", score=second, form=COMPARE) is not None


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
    assert stated_severities("Nothing is blurred here.") == {"sharpness": 0.0}
    assert stated_kinds("a sickly green tone, as in a watercolour") == {"cast"}
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
