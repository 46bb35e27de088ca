"""Which question each sample of a mixture is asked, and what a recipe may put together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from pondera import prompts
from pondera.config import DataSection, Recipe
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.manifest import write_manifest
from pondera.data.picture_hash import picture_hash
from pondera.engine.plans import StagePlan, make_card, plan_stages, read_samples, with_pictures
from pondera.engine.questions import questions
from pondera.errors import ConfigError, TrainingError
from pondera.models import ModelCard
from tests.models.tiny import noise_image

CARD = ModelCard(prompt="short.rating", fast_prompt="", tasks={"degradation": "short.degradation"})
OPTIMISER = {"learning_rate": 0.001}


def _sample(name: str, task: str = "score", *, media: str = "", **more: object) -> Sample:
    return Sample(id=name, media=(Media(media or f"{name}.png"),), task=task, mos=3.0, scale=FIVE_POINT, **more)  # type: ignore[arg-type]


def _recipe(**changes: object) -> Recipe:
    stages = [{"kind": "cold_start", "optimiser": OPTIMISER}, {"kind": "reinforce", "optimiser": OPTIMISER, "steps": 2}]
    return Recipe.model_validate({"name": "r", "data": {"manifest": "m.jsonl"}, "stages": stages, **changes})


def test_each_sample_is_asked_the_question_of_its_task():
    asked = questions(CARD, [_sample("a"), _sample("b", "degradation")], [1, 2])
    assert asked == [prompts.get("short.rating").render(), prompts.get("short.degradation").render()]


def test_a_task_without_a_prompt_is_refused_and_says_where_to_name_one():
    with pytest.raises(ConfigError, match=r"no prompt for the task 'compare'.*prompts\.tasks\.compare"):
        questions(CARD, [_sample("a", "compare")], [0])


def test_one_wording_is_always_the_first_and_a_pool_uses_all_of_them():
    samples, pool = [_sample("a")] * 40, set(prompts.get("short.rating").paraphrases)
    assert set(questions(CARD, samples, range(40), "one")) == {prompts.get("short.rating").paraphrases[0]}
    assert set(questions(CARD, samples, range(40), "pool")) == pool
    assert questions(CARD, samples, range(40), "pool") == questions(CARD, samples, range(40), "pool")


def test_a_prompt_about_a_text_gets_that_of_the_sample_and_refuses_a_sample_without():
    card = ModelCard(prompt="alignment.image")
    assert "a red fox" in questions(card, [_sample("a", text="a red fox")], [0])[0]
    with pytest.raises(TrainingError, match="needs the text of sample 'a'"):
        questions(card, [_sample("a")], [0])


def test_a_prompt_that_tells_the_label_is_refused_in_training():
    with pytest.raises(TrainingError, match="field 'score'"):
        questions(ModelCard(prompt="quality.hint"), [_sample("a")], [0])


def test_the_card_of_a_stage_names_the_prompts_of_the_stage():
    recipe = _recipe()
    train = [_sample("a"), _sample("b", "degradation")]
    section = recipe.prompts.model_copy(update={"reason": "short.rating", "fast": None, "tasks": dict(CARD.tasks)})
    card = make_card(recipe, section, train, trained_on=("x",))
    assert (card.prompt, card.fast_prompt, card.scale) == ("short.rating", "", FIVE_POINT)
    assert card.prompt_for("degradation").name == "short.degradation"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reason": "short.degradation"}, "asks for no score"),
        ({"reason": "short.five"}, "ask for different answers"),
        ({"tasks": {"degradation": "short.degradatio"}}, "no prompt 'short.degradatio'"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(change, message):
    section = _recipe().prompts.model_copy(
        update={"fast": None if "degradation" in str(change) else "quality.short.fast", **change}
    )
    with pytest.raises(ConfigError, match=message):
        make_card(
            _recipe(), section, [_sample("a"), _sample("b", "degradation")] if "tasks" in change else [], trained_on=()
        )


def test_stages_have_their_own_data_and_prompts_and_what_was_seen_before_counts(tmp_path):
    for name in ("first", "second"):
        samples = [_sample(f"{name}-{i}", split="train", dataset=name) for i in range(2)]
        write_manifest(tmp_path / f"{name}.jsonl", samples)
    own = {"data": {"manifest": str(tmp_path / "second.jsonl")}, "prompts": {"reason": "short.rating", "fast": None}}
    stages = [
        {"kind": "cold_start", "optimiser": OPTIMISER},
        {"kind": "reinforce", "optimiser": OPTIMISER, "steps": 2, **own},
    ]
    first, second = plan_stages(_recipe(data={"manifest": str(tmp_path / "first.jsonl")}, stages=stages))
    assert first.card.trained_on == ("first",) and second.card.trained_on == ("first", "second")
    assert (first.card.prompt, second.card.prompt) == ("quality.short", "short.rating")
    assert {s.dataset for s in first.train} == {"first"} and {s.dataset for s in second.train} == {"second"}


def test_the_card_keeps_a_picture_of_each_content_and_those_of_the_model_before(tmp_path):
    for seed, name in enumerate("abr"):
        Image.fromarray(noise_image(seed=seed)).save(tmp_path / f"{name}.png")
    path_of = {name: str(tmp_path / f"{name}.png") for name in "abr"}
    damaged = (Media(path_of["b"]), Media(path_of["r"], role="reference"))
    train = [_sample("a", media=path_of["a"]), _sample("again", media=path_of["b"], reference="a")]
    train.append(replace(_sample("d", reference="r"), media=damaged))
    (tmp_path / "before").mkdir()
    ModelCard(pictures=("f" * 64,)).save(tmp_path / "before")
    plan = with_pictures(StagePlan(_recipe().stages[0], CARD, train, []), _recipe(), tmp_path / "before")
    assert set(plan.card.pictures) == {picture_hash(path_of["a"]), picture_hash(path_of["r"]), "f" * 64}
    plan.card.save(tmp_path)
    assert ModelCard.read(tmp_path).pictures == plan.card.pictures


def test_several_manifests_are_read_as_one_and_only_scores_are_held_out(tmp_path):
    write_manifest(tmp_path / "a.jsonl", [_sample("a", split="train"), _sample("v", split="val")])
    write_manifest(tmp_path / "b.jsonl", [_sample("b", split="train"), _sample("w", "degradation", split="val")])
    data = DataSection(manifest=(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")))
    train, validation = read_samples(data)
    assert [s.id for s in train] == ["a", "b"] and [s.id for s in validation] == ["v"]


def test_an_id_in_two_manifests_is_refused(tmp_path):
    for name in "ab":
        write_manifest(tmp_path / f"{name}.jsonl", [_sample("same", split="train")])
    with pytest.raises(TrainingError, match="id 'same' stands in two"):
        read_samples(DataSection(manifest=(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))))
