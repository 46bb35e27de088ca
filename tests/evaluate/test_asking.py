"""Models that are asked several questions: which prompt, which record, which refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pondera.core.records import FIVE_POINT, Assessment, Media, Sample
from pondera.data.manifest import write_manifest
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate.candidates import Asked, Candidate, together
from pondera.evaluate.document import write_documents
from pondera.evaluate.shards import Shard
from pondera.evaluate.store import Reads
from pondera.evaluate.suite import measure_models, record_models
from pondera.evaluate.task import choose_samples


@pytest.fixture
def manifest(tmp_path):
    """Six images: three rated for alignment, three for quality; the quality set has a second label and texts."""
    samples = []
    for n in range(6):
        path = tmp_path / f"{n}.png"
        path.write_bytes(bytes([n]))
        samples.append(
            Sample(
                id=str(n),
                media=(Media(str(path)),),
                dataset="evalmuse" if n < 3 else "agiqa3k",
                mos=1 + n / 2,
                targets={"alignment": 4 - n / 2},
                scale=FIVE_POINT,
                text=f"text {n}",
                split="test",
            )
        )
    write_manifest(tmp_path / "manifest.jsonl", samples)
    return tmp_path / "manifest.jsonl"


class Model:
    """Scores 2 for its own question (quality) and 4 for alignment, and keeps what it was given."""

    def __init__(self, knows=("alignment",)):
        self.knows, self.seen = knows, []

    def load(self, name):
        return Candidate(self.ask, ())

    def ask(self, question):
        is_other = question == "alignment"
        if is_other and question not in self.knows:
            raise ConfigError(f"the model has no prompt for {question}")
        fingerprint, score = ("f00d", 4.0) if is_other else ("cafe", 2.0)

        def assess(samples):
            self.seen += [(fingerprint, sample.path()[-5:], sample.text) for sample in samples]
            return [Assessment(s.path(), score, FIVE_POINT, "fast", fingerprint=fingerprint) for s in samples]

        prompt = "alignment.image" if is_other else "quality.short"
        facts = {"prompt": prompt, "mode": "fast"}
        return Asked(assess, fingerprint, facts, "alignment" if is_other else "quality", Reads(text=is_other))


def _run(task, model, out, **options):
    record_models(task, ["m"], model.load, out=out, cache=out / "cache", shard=Shard(), **options)
    (found,) = measure_models(task, ["m"], out=out, cache=out / "cache")
    return found


def test_each_set_is_asked_what_its_labels_rate_and_the_text_goes_where_it_is_read(manifest, tmp_path):
    model = Model()
    found = _run(choose_samples([manifest]), model, tmp_path / "out")
    assert [row["score"] for row in found.rows] == [4, 4, 4, 2, 2, 2]
    assert [row["path"][-5:] for row in found.rows] == [f"{n}.png" for n in range(6)]
    assert set(model.seen) == {("f00d", f"{n}.png", f"text {n}") for n in range(3)} | {
        ("cafe", f"{n}.png", None) for n in range(3, 6)
    }
    assert found.protocol["prompt"] == {"alignment": "alignment.image", "quality": "quality.short"}
    assert (found.protocol["mode"], found.protocol["fingerprint"]) == ("fast", ["cafe", "f00d"])
    assert "other_question" not in found.protocol


def test_records_of_two_questions_are_never_mixed(manifest, tmp_path):
    model, out = Model(), tmp_path / "out"
    assert {row["score"] for row in _run(choose_samples([manifest], question="own"), model, out).rows} == {2}
    both = _run(choose_samples([manifest], question="alignment"), model, out)
    assert {row["score"] for row in both.rows} == {4}
    assert len(model.seen) == 12
    _run(choose_samples([manifest]), model, out)
    assert len(model.seen) == 12  # everything was recorded under its own question


def test_another_text_is_asked_anew_only_where_the_text_is_read(manifest, tmp_path):
    model, out = Model(), tmp_path / "out"
    _run(choose_samples([manifest]), model, out)
    samples = [replace(s, text="another") for s in choose_samples([manifest]).samples]
    write_manifest(tmp_path / "other.jsonl", samples)
    before = len(model.seen)
    _run(choose_samples([tmp_path / "other.jsonl"]), model, out)
    assert [(fingerprint, text) for fingerprint, _, text in model.seen[before:]] == [("f00d", "another")] * 3


def test_a_model_without_the_prompt_is_refused_unless_its_own_question_is_forced_and_then_shown(manifest, tmp_path):
    model = Model(knows=())
    with pytest.raises(ConfigError, match=r"m: .*no prompt for alignment.* 3 samples of evalmuse.*--question own"):
        _run(choose_samples([manifest]), model, tmp_path / "out")
    assert model.seen == []
    found = _run(choose_samples([manifest], question="own"), model, tmp_path / "out")
    assert found.protocol["question"] == "own"
    page = write_documents(tmp_path / "out", [found], title="t").read_text(encoding="utf-8")
    assert "m was asked another question. evalmuse: 3 labels rate alignment, the prompt asks about quality" in page


def test_a_sample_without_the_text_that_is_asked_about_is_refused_before_scoring(manifest, tmp_path):
    samples = [replace(s, text=None) if s.id == "1" else s for s in choose_samples([manifest]).samples]
    write_manifest(tmp_path / "other.jsonl", samples)
    model = Model()
    with pytest.raises(DatasetError, match=r"'alignment.image' .* 1 of 3 have none, the first is '1'"):
        _run(choose_samples([tmp_path / "other.jsonl"]), model, tmp_path / "out")
    assert model.seen == []


def test_a_second_label_is_measured_with_its_own_question(manifest, tmp_path):
    model = Model()
    task = choose_samples([manifest], target="alignment")
    found = _run(task, model, tmp_path / "out")
    assert [row["mos"] for row in found.rows] == [4 - n / 2 for n in range(6)]
    assert {row["score"] for row in found.rows} == {4}
    assert found.protocol["target"] == "alignment"


def test_shards_that_asked_something_else_are_not_merged(manifest, tmp_path):
    out = tmp_path / "out"
    _run(choose_samples([manifest], question="own"), Model(), out)
    with pytest.raises(DatasetError, match="the shards did not ask about 'alignment'"):
        measure_models(choose_samples([manifest]), ["m"], out=out, cache=out / "cache")


def test_facts_of_several_questions_stand_together_where_they_agree():
    one, two = {"mode": "fast", "prompt": "a"}, {"mode": "fast", "prompt": "b", "samples": 8}
    assert together({"": one}) == one
    assert together({"": one, "alignment": two}) == {
        "mode": "fast",
        "prompt": {"own": "a", "alignment": "b"},
        "samples": {"own": None, "alignment": 8},
    }
