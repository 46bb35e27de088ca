"""Packaged prompts: complete, parseable, consistent with the answer they ask for."""

from __future__ import annotations

import pytest

from pondera import prompts
from pondera.errors import ConfigError
from pondera.prompts.template import parse_family

ONE = """
one:
  version: 1
  kind: image
  variant: think
  answer: {think: required, numbers: {n: 1, low: 1, high: 5}}
  paraphrases: ["Look."]
"""

SAMPLE_ANSWERS = {
    "think": "<think>sharp</think><answer>3.50</answer>",
    "fast": "<answer>3.50</answer>",
    "five": "<think>sharp</think><answer>1\n2\n3\n4\n5</answer>",
    "two": "<think>steady</think><answer>4\n3</answer>",
    "hint": "<think>sharp</think><answer>3.50</answer>",
    "compare": '<think>both sharp</think><answer>{"better": "first"}</answer>',
    "level": '<answer>{"level": "good"}</answer>',
}
OWN_ANSWERS = {
    "insight.rating": '<think>sharp</think><answer>{"rating": 3.5}</answer>',
    "insight.degradation": '<think>t</think><answer>{"distortion_class": "blur", "severity": "slight"}</answer>',
    "insight.compare": '<think>t</think><answer>{"choice": "Similar"}</answer>',
    "insight.video.compare": '<think>t</think><answer>{"choice": "Image B"}</answer>',
    "insight.video.multi": '<think>t</think><answer>{"spatial": 70, "temporal": 55, "consistency": 90}</answer>',
    "save.video": '<think>t</think><answer>{"visual": 3, "dynamic": 2, "alignment": 5, "attribution": []}</answer>',
    "quality.short.video.fast": "<answer>4\n3</answer>",
    "short.five.fast": "<answer>1\n2\n3\n4\n5</answer>",
    "short.rating": '<think>sharp</think><answer>{"rating": 3.5}</answer>',
    "short.degradation": '<think>t</think><answer>{"distortion_class": "null", "severity": "null"}</answer>',
    "short.compare": '<think>t</think><answer>{"choice": "Image A"}</answer>',
    "short.grounding": '<think>t</think><answer>{"boxes": [{"bbox_2d": [0, 0, 0.5, 1], "type": "jpeg"}]}</answer>',
    "short.video.compare": '<think>t</think><answer>{"choice": "Similar"}</answer>',
    "short.video.causes": '<think>it halts</think><answer>{"visual": 4.5, "dynamic": 2, "attribution": []}</answer>',
    "short.score": "<think>sharp</think><answer>Score: 3.50</answer>",
    "short.score.fast": "<answer>Score: 3.50</answer>",
    "short.unit": "<think>sharp</think><answer>0.35</answer>",
    "short.unit.fast": "<answer>0.35</answer>",
    "short.video.unit": "<think>steady</think><answer>0.35\n0.5</answer>",
    "short.video.unit.fast": "<answer>0.35\n0.5</answer>",
    "judge.description": '<think>t</think><answer>{"accuracy": 2, "reasonableness": 1, "completeness": 0}</answer>',
    "judge.contradiction": '<answer>{"verdict": "consistent"}</answer>',
}


@pytest.mark.parametrize("name", prompts.list_names())
def test_every_packaged_prompt_renders_and_reads_the_answer_it_asks_for(name):
    prompt = prompts.get(name)
    fields = dict.fromkeys(prompt.fields, "3.50")
    texts = [prompt.render(index, **fields) for index in range(len(prompt.paraphrases))]
    assert len(set(texts)) == len(texts) >= 2
    assert all("  " not in text and "\n" not in text for text in texts)
    assert prompt.answer.parse(OWN_ANSWERS.get(name) or SAMPLE_ANSWERS[prompt.variant]).is_valid
    assert len(prompt.hash) == 12


def test_the_packaged_set_covers_families_and_variants():
    assert {prompts.get(name).variant for name in prompts.list_names()} == {
        *SAMPLE_ANSWERS,
        "degradation",
        "grounding",
        "judge",
    }
    assert prompts.get("quality.video").kind == "video"


@pytest.mark.parametrize(
    "name", [name for name in prompts.list_names() if name.split(".")[1] == "short" or name.startswith("short.")]
)
def test_nano_prompts_have_at_most_sixteen_words(name):
    assert all(len(text.split()) <= 16 for text in prompts.get(name).paraphrases)


def test_expert_prompts_spell_out_the_tags_the_parser_wants():
    for name in ("quality.expert", "quality.five", "quality.video", "quality.hint", "quality.compare"):
        prompt = prompts.get(name)
        text = prompt.render(**dict.fromkeys(prompt.fields, "3.00"))
        assert "<think></think>" in text
        assert "<answer></answer>" in text
    assert "<think>" not in prompts.get("quality.expert.fast").render()


def test_the_first_paraphrase_is_the_default_and_indices_count_around():
    prompt = prompts.get("quality.short")
    assert prompt.render() == "Rate the quality of this image. Think first."
    assert prompt.render(len(prompt.paraphrases)) == prompt.render()


def test_a_seed_picks_the_same_paraphrase_twice_and_all_of_them_in_time():
    prompt = prompts.get("quality.short")
    assert prompt.render(seed=7) == prompt.render(seed=7)
    assert {prompt.render(seed=seed) for seed in range(40)} == set(prompt.paraphrases)


def test_hint_takes_the_score_as_a_field_and_nothing_else():
    prompt = prompts.get("quality.hint")
    assert prompt.fields == ("score",)
    assert "gave this image 2.75 on" in prompt.render(score="2.75")
    with pytest.raises(ValueError, match=r"takes the fields \['score'\], got \[\]"):
        prompt.render()
    with pytest.raises(ValueError, match="an index or a seed"):
        prompt.render(1, seed=1, score="2.75")


def test_compare_shows_single_braces_to_the_model():
    assert '{"better": "first"}' in prompts.get("quality.compare").render()


def test_an_unknown_name_is_answered_with_suggestions():
    with pytest.raises(ConfigError, match=r"did you mean .*quality\.short"):
        prompts.get("quality.shrot")


def test_the_hash_changes_with_wording_version_and_form():
    base = parse_family("x", ONE)["x.one"]
    changed = [ONE.replace("Look.", "See."), ONE.replace("version: 1", "version: 2"), ONE.replace("n: 1", "n: 2")]
    assert parse_family("x", ONE)["x.one"].hash == base.hash
    assert len({base.hash, *(parse_family("x", text)["x.one"].hash for text in changed)}) == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  version: 1\n", "", "needs the keys"),
        ("variant: think", "variant: dream", "variant must be one of think"),
        ("kind: image", "kind: sound", "kind must be one of image"),
        ('["Look."]', "[]", "paraphrases must be a list of texts"),
        ('["Look."]', '["Look.", "Look {again}."]', "same fields"),
        ("think: required", "think: maybe", "think must be required, absent or opened"),
        ("numbers: {n: 1, low: 1, high: 5}", "json: {a: {colour: red}}", "one of number, class, labels, boxes"),
        ("numbers: {n: 1, low: 1, high: 5}", "numbers: {n: 0}", "n >= 1"),
        ("numbers: {n: 1, low: 1, high: 5}", "words: 3", "either numbers or json"),
        ("one:", "one: [", "not YAML"),
    ],
)
def test_a_wrong_template_is_refused_with_file_and_reason(old, new, message):
    with pytest.raises(ConfigError, match=r"x\.yaml: .*") as error:
        parse_family("x", ONE.replace(old, new))
    assert message in str(error.value)


def test_json_answers_know_all_field_kinds():
    form = "json: {a: {number: [0, 1]}, b: {class: [x, y]}, c: {labels: [x]}, d: {boxes: true}}"
    text = ONE.replace("numbers: {n: 1, low: 1, high: 5}", form)
    answer = parse_family("x", text)["x.one"].answer
    box = '{"bbox_2d": [0, 0, 2, 2]}'
    assert answer.parse(
        f'<think>t</think><answer>{{"a": 0.5, "b": "X", "c": ["x"], "d": [{box}]}}</answer>'
    ).values == (0.5,)
