"""Nothing recorded is assessed again; killed runs and shards give what one whole run gives."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from pondera.core.records import FIVE_POINT, Assessment, Media, Sample
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate import evaluate
from pondera.evaluate.assessing import recall_samples, record_samples
from pondera.evaluate.shards import Shard, read_receipts, samples_digest, write_receipt
from pondera.evaluate.store import AssessmentStore, Reads, content_keys

PRINT = "f00d"


@pytest.fixture
def files(tmp_path):
    """25 samples, each its own small file."""
    made = []
    for i in range(25):
        path = tmp_path / f"{i}.bin"
        path.write_bytes(bytes([i]))
        made.append(Sample(id=f"s{i}", media=(Media(str(path)),), mos=1 + i / 10, scale=FIVE_POINT))
    return made


class Model:
    """Scores a file by its byte and by the batch it came in, so that other batches give other scores."""

    def __init__(self, die_after=math.inf):
        self.batches, self.die_after = [], die_after

    def __call__(self, paths):
        if len(self.batches) >= self.die_after:
            raise KeyboardInterrupt
        self.batches.append(list(paths))
        bytes_of = {path: Path(path).read_bytes()[0] for path in paths}
        shift = sum(bytes_of.values()) * 1e-6
        return [
            Assessment(path, 1 + bytes_of[path] / 10 + shift, FIVE_POINT, "fast", spread=0.1, fingerprint=PRINT)
            for path in paths
        ]


def _scores(samples, folder):
    return [a.score for a in recall_samples(samples, AssessmentStore(folder, PRINT))]


def test_a_run_that_is_killed_and_resumed_equals_an_uninterrupted_one(files, tmp_path):
    whole = Model()
    with AssessmentStore(tmp_path / "whole", PRINT) as store:
        record_samples(files, whole, store, batch_size=4)
    scored = []
    for die_after in (2, 1, 3, math.inf):
        model = Model(die_after)
        with AssessmentStore(tmp_path / "cut", PRINT) as store:
            try:
                record_samples(files, model, store, batch_size=4)
            except KeyboardInterrupt:
                assert die_after < math.inf
        scored += [path for batch in model.batches for path in batch]
    assert sorted(scored) == sorted(sample.path() for sample in files)  # each once
    assert _scores(files, tmp_path / "cut") == _scores(files, tmp_path / "whole")


@pytest.mark.parametrize("count", [2, 3, 9])
def test_shards_together_equal_one_run_to_the_last_bit(files, tmp_path, count):
    with AssessmentStore(tmp_path / "whole", PRINT) as store:
        record_samples(files, Model(), store, batch_size=4)
    models = [Model() for _ in range(count)]
    for i, model in enumerate(models):
        with AssessmentStore(tmp_path / "parts", PRINT) as store:
            record_samples(files, model, store, batch_size=4, shard=Shard(i + 1, count))
    assert sum(len(batch) for model in models for batch in model.batches) == 25
    assert _scores(files, tmp_path / "parts") == _scores(files, tmp_path / "whole")


def test_a_second_run_asks_nothing_and_gives_the_same_table(files, tmp_path):
    first, second = Model(), Model()
    runs = []
    for model in (first, second):
        with AssessmentStore(tmp_path / "store", PRINT) as store:
            runs.append(evaluate(files, model, name="x", store=store, num_resamples=20))
    assert second.batches == []
    assert runs[0].metrics == runs[1].metrics
    assert len(list((tmp_path / "store" / PRINT).glob("*.jsonl"))) == 1


def test_a_renamed_or_repeated_file_is_the_same_content(files, tmp_path):
    copy = tmp_path / "copy.bin"
    copy.write_bytes(bytes([3]))
    samples = [*files, Sample(id="copy", media=(Media(str(copy)),), mos=2.0, scale=FIVE_POINT)]
    model = Model()
    with AssessmentStore(tmp_path / "store", PRINT) as store:
        run = evaluate(samples, model, name="x", store=store, num_resamples=0)
    assert sum(map(len, model.batches)) == 25
    assert run.rows[-1]["score"] == run.rows[3]["score"]
    assert run.rows[-1]["path"] == str(copy)


def test_changed_content_or_another_fingerprint_is_assessed_anew(files, tmp_path):
    with AssessmentStore(tmp_path / "store", PRINT) as store:
        record_samples(files, Model(), store)
        (tmp_path / "7.bin").write_bytes(bytes([200]))
        model = Model()
        record_samples(files, model, store)
        assert model.batches == [[str(tmp_path / "7.bin")]]
    assert len(AssessmentStore(tmp_path / "store", "cafe")) == 0


def test_an_assessment_of_another_system_is_not_recorded_under_this_one(files, tmp_path):
    with (
        AssessmentStore(tmp_path / "store", "cafe") as store,
        pytest.raises(ValueError, match="the store is of 'cafe'"),
    ):
        record_samples(files, Model(), store)


def test_whole_samples_differ_by_reference_and_text(files, tmp_path):
    path, other = files[0].path(), files[1].path()
    bare = Sample(id="a", media=(Media(path),))
    with_reference = Sample(id="b", media=(Media(path), Media(other, "reference")))
    with_text = Sample(id="c", media=(Media(path),), text="a red bus")
    samples = [bare, with_reference, with_text]
    assert len(set(content_keys(samples))) == 1
    assert len(set(content_keys(samples, whole_samples=True))) == 3
    # What was recorded of the file alone is found again where there is nothing else to read.
    assert content_keys([bare], whole_samples=True) == content_keys([bare])


def test_a_system_gets_nothing_of_a_sample_that_its_address_does_not_hold(files):
    media = (Media(files[0].path()), Media(files[1].path(), "reference"))
    sample = Sample(id="a", media=media, text="a red bus")
    keys = {
        reads: content_keys([reads.part_of(sample)], whole_samples=True)[0]
        for reads in (Reads(), Reads(text=True), Reads(reference=True), Reads(text=True, reference=True))
    }
    assert len(set(keys.values())) == 4
    assert keys[Reads()] == content_keys([sample])[0]
    assert (Reads().part_of(sample).text, Reads().part_of(sample).media) == (None, media[:1])
    assert Reads(text=True).part_of(sample).text == "a red bus"
    other = replace(sample, text="a blue bus")
    assert content_keys([Reads().part_of(other)], whole_samples=True) == [keys[Reads()]]
    assert content_keys([Reads(text=True).part_of(other)], whole_samples=True) != [keys[Reads(text=True)]]


def test_a_missing_file_is_recorded_as_an_error_and_tried_again_when_it_is_there(files, tmp_path):
    late = tmp_path / "late.bin"
    samples = [Sample(id="late", media=(Media(str(late)),))]

    def assess(paths):
        error = None if late.exists() else "no such file"
        score = math.nan if error else 3.0
        return [
            Assessment(p, score, FIVE_POINT, "fast", valid=not error, error=error, fingerprint=PRINT) for p in paths
        ]

    with AssessmentStore(tmp_path / "store", PRINT) as store:
        record_samples(samples, assess, store)
        assert recall_samples(samples, store)[0].error == "no such file"
        late.write_bytes(b"now")
        record_samples(samples, assess, store)
        assert recall_samples(samples, store)[0].score == 3.0


def test_everything_said_survives_the_disk(tmp_path):
    said = Assessment(
        "a.png", 3.1, FIVE_POINT, "reason", spread=math.nan, reasoning="soft \u2028 <b>\n", aspects={"noise": 4},
        completion="<think>", seconds=0.1 + 0.2, fingerprint=PRINT,
    )  # fmt: skip
    with AssessmentStore(tmp_path, PRINT) as store:
        store.record({"key": said})
    again = AssessmentStore(tmp_path, PRINT).get("key")
    assert math.isnan(again.spread)
    assert {**again.to_dict(), "path": "a.png"} == said.to_dict()


def test_a_torn_last_line_costs_its_batch_only_and_damage_elsewhere_is_named(files, tmp_path):
    with AssessmentStore(tmp_path / "store", PRINT) as store:
        record_samples(files, Model(), store, batch_size=5)
    (path,) = (tmp_path / "store" / PRINT).glob("*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:40])
    assert len(AssessmentStore(tmp_path / "store", PRINT)) == 20
    path.write_text(lines[0][:40] + "\n" + "".join(lines[1:]))
    with pytest.raises(DatasetError, match=r"jsonl:1: not a batch .*remove this line"):
        AssessmentStore(tmp_path / "store", PRINT)


@pytest.mark.parametrize("line", ["[1]", '{"key": {"score": 1}}', '{"key": 3}', '{"key": {"score": "high"}}'])
def test_a_line_of_the_store_that_is_no_batch_names_file_line_and_way_out(tmp_path, line):
    (tmp_path / PRINT).mkdir()
    (tmp_path / PRINT / "a.jsonl").write_text(f"{line}\n")
    with pytest.raises(DatasetError, match=r"a\.jsonl:1: not a batch of assessments .*; remove this line"):
        AssessmentStore(tmp_path, PRINT)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "1-of-2.json",
            '{"asked": {"',
            r"1-of-2\.json: damaged .*Delete it and run the command with --shard 1/2 again",
        ),
        ("1-of-2.json", "[]", r"1-of-2\.json: damaged \(it holds a list\)"),
        ("x-of-2.json", "{}", r"x-of-2\.json: not the receipt of a shard .*Delete it"),
        ("3-of-2.json", "{}", r"3-of-2\.json: not the receipt of a shard .*got 3/2.*Delete it"),
    ],
)
def test_a_damaged_receipt_is_named_with_the_way_out(files, tmp_path, name, text, says):
    digest = samples_digest(files)
    for index in (1, 2):
        write_receipt(tmp_path, Shard(index, 2), {"asked": {}, "samples": digest})
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=says):
        read_receipts(tmp_path, digest)


def test_recalling_what_was_never_recorded_names_the_first(files, tmp_path):
    with AssessmentStore(tmp_path / "store", PRINT) as store:
        record_samples(files, Model(), store, batch_size=5, shard=Shard(1, 2))
    with pytest.raises(DatasetError, match="no assessment of 10 of 25 samples, the first is 's5'"):
        recall_samples(files, AssessmentStore(tmp_path / "store", PRINT))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_shards_that_make_no_sense_are_refused(text):
    with pytest.raises(ConfigError, match="shard"):
        Shard.parse(text)


def test_a_shard_comes_from_the_launcher(monkeypatch):
    assert Shard.of_this_process() == Shard(1, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert str(Shard.of_this_process()) == "3/4"


def test_receipts_name_what_is_missing_or_does_not_belong(files, tmp_path):
    digest = samples_digest(files)
    facts = {"asked": {"": {"fingerprint": PRINT}}, "samples": digest}
    with pytest.raises(DatasetError, match="no finished shard"):
        read_receipts(tmp_path, digest)
    write_receipt(tmp_path, Shard(1, 3), facts)
    write_receipt(tmp_path, Shard(3, 3), facts)
    with pytest.raises(DatasetError, match="shard 2/3 is not finished"):
        read_receipts(tmp_path, digest)
    write_receipt(tmp_path, Shard(2, 3), facts | {"asked": {"": {"fingerprint": "cafe"}}})
    with pytest.raises(DatasetError, match="asked differs"):
        read_receipts(tmp_path, digest)
    write_receipt(tmp_path, Shard(2, 3), {"fingerprint": PRINT, "samples": digest})
    with pytest.raises(DatasetError, match="another version of Pondera; run this shard again"):
        read_receipts(tmp_path, digest)
    write_receipt(tmp_path, Shard(2, 3), facts)
    assert read_receipts(tmp_path, digest) == json.loads(json.dumps(facts))
    with pytest.raises(DatasetError, match="other samples"):
        read_receipts(tmp_path, samples_digest(files[1:]))
    write_receipt(tmp_path, Shard(1, 2), facts)
    with pytest.raises(DatasetError, match=r"in 2 parts: 1-of-2.json; in 3 parts: 1-of-3.json, .*\)\. Delete those"):
        read_receipts(tmp_path, digest)
    assert read_receipts(tmp_path, digest, count=3) == facts
