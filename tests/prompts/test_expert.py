"""Expert prompts: all families and variants are there, and no wording changes unnoticed."""

from __future__ import annotations

import pytest

from pondera import prompts

EXPERT = [name for name in prompts.list_names() if name.split(".")[0] in ("technical", "aesthetics", "alignment")]

# Printed by the packaged prompts when they were written. Weights in use carry the hashes of quality.*.
HASHES = {
    "aesthetics.image.compare@1": "000ba4f0227f",
    "aesthetics.image.fast@1": "61ab7ae79ed4",
    "aesthetics.image.five@1": "5166be062bda",
    "aesthetics.image.hint@1": "a6c5d00ff892",
    "aesthetics.image@1": "5ce004b8d925",
    "alignment.image.compare@1": "224fdd6ad1fd",
    "alignment.image.fast@1": "2a882c955ed9",
    "alignment.image.five@1": "adfffe4b2fb4",
    "alignment.image.hint@1": "543acff20d2b",
    "alignment.image@1": "ccd964d114b2",
    "alignment.video.compare@1": "ba6f17dd799f",
    "alignment.video.fast@1": "013a28a230d2",
    "alignment.video.five@1": "976a694b59c2",
    "alignment.video.hint@1": "d35715bc15ec",
    "alignment.video@1": "bf769a446146",
    "insight.compare@1": "dd30ceb6cb19",
    "insight.degradation@1": "7bb86aa8e6f2",
    "insight.image.rating@1": "43dcbb908965",
    "insight.rating@1": "da34f8967662",
    "insight.video.compare@1": "e3357462a8a3",
    "insight.video.multi@1": "b8ed9b63348a",
    "insight.video.rating@1": "051e7a2daf9b",
    "judge.contradiction@1": "91678b8d3bd5",
    "judge.description@1": "2ff7201f67bb",
    "quality.compare@1": "a86250fb563c",
    "quality.expert.fast@1": "51514fd95e5f",
    "quality.expert@1": "86863b615de0",
    "quality.five@1": "327eefb58eb9",
    "quality.hint@1": "becfec14f0ba",
    "quality.short.fast@1": "97565b05e3af",
    "quality.short.level@1": "2d2d6edaad6b",
    "quality.short.video.fast@1": "f48f60e77220",
    "quality.short.video.score.fast@1": "26e840aa0d42",
    "quality.short.video.score@1": "5e6ed98caf2d",
    "quality.short.video@1": "898c19ce6dee",
    "quality.short@1": "9c047cd6e609",
    "quality.video@1": "a641c3237da8",
    "save.video@1": "749f05b52bcd",
    "short.compare@1": "6263c129f02e",
    "short.degradation@1": "5ef67ec929fd",
    "short.five.fast@1": "5b892d2dd0cb",
    "short.five@1": "b8ef422dd498",
    "short.from_zero.fast@1": "87d143d33591",
    "short.from_zero@1": "eb6de36b31b6",
    "short.grounding@1": "26adf672353e",
    "short.hundred@1": "1d379b94bb76",
    "short.rating@1": "1c1d4aa26b98",
    "short.score.fast@1": "c9019ad36d7b",
    "short.score@1": "3e106fdc1604",
    "short.unit.fast@1": "f9079675c5ff",
    "short.unit@1": "9e40be95f6e5",
    "short.video.causes@1": "f3b1a25b10be",
    "short.video.compare@1": "9b75da7a6150",
    "short.video.hundred@1": "755c55e92181",
    "short.video.unit.fast@1": "cdb5f041f9cb",
    "short.video.unit@1": "dd785d131709",
    "technical.image.compare@1": "61e6ada5b341",
    "technical.image.fast@1": "071afeb51c41",
    "technical.image.five@1": "4134d09ab2c0",
    "technical.image.hint@1": "a25ca918852f",
    "technical.image@1": "21acd353f76e",
    "technical.video.compare@1": "7c23bf76eccb",
    "technical.video.fast@1": "db855f3a7adf",
    "technical.video.five@1": "a202200dd5c0",
    "technical.video.hint@1": "103c124c80a0",
    "technical.video.two@1": "fc27ec86565b",
    "technical.video@1": "d8bf12c6a305",
}


def variants(family: str, kind: str) -> set[str]:
    chosen = (prompts.get(name) for name in EXPERT if name.startswith(f"{family}."))
    return {prompt.variant for prompt in chosen if prompt.kind == kind}


def test_no_wording_changes_without_a_new_version():
    assert {f"{name}@{prompts.get(name).version}": prompts.get(name).hash for name in prompts.list_names()} == HASHES


def test_every_family_has_every_variant():
    all_variants = {"think", "fast", "hint", "five", "compare"}
    assert variants("technical", "image") == variants("aesthetics", "image") == variants("alignment", "image")
    assert variants("technical", "image") == variants("alignment", "video") == all_variants
    assert variants("technical", "video") == all_variants | {"two"}


@pytest.mark.parametrize("name", EXPERT)
def test_an_expert_prompt_has_three_wordings_or_more_and_names_the_tags_it_wants(name):
    prompt = prompts.get(name)
    assert len(prompt.paraphrases) >= 3
    for index in range(len(prompt.paraphrases)):
        text = prompt.render(index, **dict.fromkeys(prompt.fields, "FIELD"))
        assert text.count("<answer></answer>") == 1
        assert text.count("<think></think>") == (0 if prompt.variant == "fast" else 1)


@pytest.mark.parametrize("name", EXPERT)
def test_only_hints_know_the_score_and_only_alignment_knows_the_text(name):
    prompt = prompts.get(name)
    assert ("score" in prompt.fields) == (prompt.variant == "hint")
    assert ("text" in prompt.fields) == name.startswith("alignment")


@pytest.mark.parametrize("name", [name for name in EXPERT if name.endswith(".hint")])
def test_a_hint_is_named_once_and_forbidden_to_appear(name):
    fields = {**dict.fromkeys(prompts.get(name).fields, "a boat"), "score": "3.17"}
    text = prompts.get(name).render(**fields)
    assert "no given score" in text
    assert text.count("3.17") == 1


@pytest.mark.parametrize(
    ("name", "aspects"),
    [
        ("technical.image", ("saturation", "granularity", "sharpness", "exposure", "contrast", "compression")),
        ("technical.image", ("foreground", "background", "what is shown", "weigh")),
        ("technical.video", ("stability", "flicker", "frame rate", "motion blur", "compression", "weigh")),
        ("aesthetics.image", ("composition", "colour", "light", "subject", "technique", "weigh")),
        ("alignment.image", ("subjects", "attributes", "actions", "relations", "setting", "weigh")),
        ("alignment.video", ("subjects", "attributes", "actions and their order", "camera")),
    ],
)
def test_an_expert_looks_at_every_aspect_of_its_family(name, aspects):
    text = prompts.get(name).render(**dict.fromkeys(prompts.get(name).fields, "x"))
    assert [aspect for aspect in aspects if aspect not in text] == []


def test_braces_in_the_text_of_a_generated_image_do_no_harm():
    text = prompts.get("alignment.image").render(text="a {red} box {0}")
    assert 'was to show: "a {red} box {0}".' in text
