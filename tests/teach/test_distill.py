"""Distillation: nothing is asked for twice, nothing unverified gets through, a kill costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.records import LabelScale
from pondera.data.manifest import read_manifest, write_manifest
from pondera.errors import MediaError, TeacherError
from pondera.generate.journal import RequestJournal
from pondera.generate.record_files import appending
from pondera.teach import MeasuringTeacher, TeacherResponse, distill, status
from pondera.teach.choice import best_of, explained
from pondera.teach.filters import Candidate, length_filter, tolerance_filter
from pondera.teach.log import logged, read_log, response_key


class ScriptedTeacher:
    """Says what `say(sample, k)` says; counts requests; stops after `limit`."""

    name = "scripted"
    fingerprint = "scripted-1"

    def __init__(self, say=None, limit: int = 10**9) -> None:
        self.say = say or (
            lambda s, k: (
                f"<think>scene {s.id} in words of run {k}, edges soft, clean sky</think><answer>3.0{k}</answer>"
            )
        )
        self.limit = limit
        self.asked: list[tuple[str, int]] = []

    def respond(self, samples, num, seed, *, first=0) -> Iterator[TeacherResponse]:
        for sample in samples:
            for k in range(first, first + num):
                if len(self.asked) >= self.limit:
                    raise TeacherError("the service went away")
                self.asked.append((sample.id, k))
                yield TeacherResponse(sample.id, k, self.say(sample, k), self.fingerprint, seed, {"tokens": 10})


def test_a_noted_request_is_on_disk_at_once_and_a_closed_journal_goes_on(tmp_path):
    journal, other = (RequestJournal(tmp_path / "requests.log") for _ in range(2))
    assert other.count({"a"}).requests == 0
    journal.of("a").sent(1)
    journal.of("b").sent(1)
    assert (other.count({"a", "b"}).requests, other.count({"a", "b"}).repeated) == (2, 0)
    journal.close()
    journal.of("a").sent(1)
    journal.close()
    assert (other.count({"a", "b"}).requests, other.count({"a", "b"}).repeated) == (3, 1)


def test_retries_and_useless_replies_are_counted_apart_from_what_a_kill_lost(tmp_path):
    journal = RequestJournal(tmp_path / "requests.log")
    for key in "ab":
        notes = journal.of(key)
        notes.sent(1)
        notes.unusable({"prompt_tokens": 7.0, "cost": 0.5})
        notes.sent(2)
    journal.close()
    found = RequestJournal(tmp_path / "requests.log").count({"a"})
    assert (found.requests, found.repeated, found.retries) == (1, 0, 1)
    assert found.unusable == {"replies": 1, "prompt_tokens": 7, "cost": 0.5}
    with (tmp_path / "requests.log").open("a") as file:
        file.write('a unusable {"prompt_tokens": 7.0, "co\n')  # a full disk cut it off
    assert RequestJournal(tmp_path / "requests.log").count({"a"}) == found


def test_every_sample_gets_a_rationale_that_parses(make_samples, tmp_path):
    samples = make_samples(4)
    seen = []
    done = distill(samples, MeasuringTeacher(), tmp_path / "out", seed=1, on_progress=lambda *pair: seen.append(pair))
    explained = read_manifest(done.manifest)
    assert [s.id for s in explained] == [s.id for s in samples]
    assert all(AnswerFormat().parse(s.rationale).is_valid for s in explained)
    assert [replace(s, rationale=None, media=()) for s in explained] == [replace(s, media=()) for s in samples]
    assert (done.num_samples, done.num_responses, done.num_new, done.num_kept) == (4, 4, 4, 4)
    assert set(done.dropped.values()) == {0}
    assert seen[-1] == (4, 4)


def test_a_second_run_asks_for_nothing_and_gives_the_same_file(make_samples, tmp_path):
    samples = make_samples(3)
    first = distill(samples, ScriptedTeacher(), tmp_path / "out")
    before = first.manifest.read_bytes()
    teacher = ScriptedTeacher(limit=0)
    second = distill(samples, teacher, tmp_path / "out")
    assert teacher.asked == []
    assert second.num_new == 0
    assert second.manifest.read_bytes() == before


def test_other_filters_rerun_on_recorded_responses_only(make_samples, tmp_path):
    samples = make_samples(3)
    distill(samples, ScriptedTeacher(), tmp_path / "out")
    done = distill(samples, ScriptedTeacher(limit=0), tmp_path / "out", filters=[length_filter(50, 60)])
    assert done.num_kept == 0
    assert done.dropped == {"length": 3, "format": 0}
    assert done.examples["length"][0]["sample"] == "s0"
    assert read_manifest(done.manifest) == []


def test_more_completions_ask_only_for_the_new_ones(make_samples, tmp_path):
    samples = make_samples(2)
    distill(samples, ScriptedTeacher(), tmp_path / "out", num=2)
    teacher = ScriptedTeacher()
    distill(samples, teacher, tmp_path / "out", num=4)
    assert sorted(teacher.asked) == [("s0", 2), ("s0", 3), ("s1", 2), ("s1", 3)]


def test_new_samples_other_seeds_teachers_and_pixels_are_asked_for(make_samples, tmp_path):
    samples = make_samples(3)
    distill(samples[:2], ScriptedTeacher(), tmp_path / "out")
    teacher = ScriptedTeacher()
    distill(samples, teacher, tmp_path / "out")
    assert teacher.asked == [("s2", 0)]
    for change in ("seed", "teacher", "pixels"):
        teacher = ScriptedTeacher()
        if change == "teacher":
            teacher.fingerprint = "scripted-2"
        if change == "pixels":
            with Path(samples[0].path()).open("ab") as file:
                file.write(b"more")
        distill(samples, teacher, tmp_path / "out", seed=int(change == "seed"))
        assert len(teacher.asked) == (1 if change == "pixels" else 3)


def test_a_teacher_that_fails_in_the_middle_keeps_what_it_gave(make_samples, tmp_path):
    samples = make_samples(5)
    with pytest.raises(TeacherError, match="went away"):
        distill(samples, ScriptedTeacher(limit=3), tmp_path / "out")
    halfway = status(tmp_path / "out")
    assert (halfway["state"], halfway["wanted"], halfway["recorded"], halfway["usage"]) == (
        "stopped",
        5,
        3,
        {"tokens": 30},
    )
    assert halfway["reason"] == "the service went away"
    teacher = ScriptedTeacher()
    distill(samples, teacher, tmp_path / "out")
    assert teacher.asked == [("s3", 0), ("s4", 0)]
    finished = status(tmp_path / "out")
    assert (finished["state"], finished["recorded"], finished["num_kept"]) == ("done", 5, 5)


@pytest.mark.parametrize("cut", [1, 20, 10**6])
def test_a_torn_last_line_is_dropped_and_redone(make_samples, tmp_path, cut):
    samples = make_samples(3)
    done = distill(samples, ScriptedTeacher(), tmp_path / "out")
    before = done.manifest.read_bytes()
    log = tmp_path / "out" / "responses.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]) + lines[2][: -min(cut, len(lines[2]) - 1)])
    teacher = ScriptedTeacher()
    distill(samples, teacher, tmp_path / "out")
    assert teacher.asked == [("s2", 0)]
    assert log.read_bytes() == b"".join(lines)
    assert done.manifest.read_bytes() == before


def test_a_log_that_is_one_torn_line_longer_than_a_read_is_emptied(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"x" * 200_000)
    with appending(log):
        pass
    assert log.read_bytes() == b""


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(make_samples, tmp_path):
    samples = make_samples(2)
    distill(samples, ScriptedTeacher(), tmp_path / "out")
    log = tmp_path / "out" / "responses.jsonl"
    log.write_bytes(b"{broken}\n" + log.read_bytes())
    with pytest.raises(TeacherError, match=r"responses\.jsonl:1: not a recorded response"):
        distill(samples, ScriptedTeacher(), tmp_path / "out")


def test_the_first_of_two_equal_keys_counts(tmp_path):
    key = response_key("a", "m", "t", 0, 0)
    with appending(tmp_path / "log.jsonl") as writer:
        writer.add(logged(key, TeacherResponse("a", 0, "first", "t", 0)))
        writer.add(logged(key, TeacherResponse("a", 0, "second", "t", 0)))
    assert read_log(tmp_path / "log.jsonl")[key].completion == "first"


@pytest.mark.skipif(os.name == "nt", reason="no file lock there")
def test_two_runs_cannot_write_to_one_log(tmp_path):
    with (
        appending(tmp_path / "log.jsonl"),
        pytest.raises(TeacherError, match="another run"),
        appending(tmp_path / "log.jsonl"),
    ):
        pass


@pytest.mark.skipif(os.name == "nt", reason="no file lock there")
def test_a_run_that_is_refused_leaves_the_state_of_the_one_under_way(make_samples, tmp_path):
    distill(make_samples(2), ScriptedTeacher(), tmp_path / "out.jsonl")
    state = tmp_path / "out.distill" / "state.json"
    before = state.read_bytes()
    with appending(tmp_path / "out.distill" / "responses.jsonl"), pytest.raises(TeacherError):
        distill(make_samples(3), ScriptedTeacher(), tmp_path / "out.jsonl")
    assert state.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="no file lock there")
def test_status_tells_a_run_that_goes_on_from_one_that_ended(make_samples, tmp_path):
    """A killed run and one under way were both asking, and nobody could say why a run had stopped."""
    seen = []

    def say(sample, k):
        seen.append(status(tmp_path / "out"))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return ScriptedTeacher().say(sample, k)

    with pytest.raises(KeyboardInterrupt):
        distill(make_samples(2), ScriptedTeacher(say), tmp_path / "out")
    assert seen[0]["state"] == "running" and "reason" not in seen[0]
    stopped = status(tmp_path / "out")
    assert (stopped["state"], stopped["reason"], stopped["recorded"]) == ("stopped", "Ctrl-C", 1)
    state = json.loads((tmp_path / "out" / "state.json").read_text())
    (tmp_path / "out" / "state.json").write_text(json.dumps({**state, "state": "asking"}))  # as a kill leaves it
    killed = status(tmp_path / "out")
    assert killed["state"] == "interrupted" and "killed" in killed["reason"]
    distill(make_samples(2), ScriptedTeacher(), tmp_path / "out")
    assert status(tmp_path / "out")["state"] == "done" and "reason" not in status(tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("targets", [(5, 11), pytest.param(tuple(range(2, 22, 2)), marks=pytest.mark.slow)])
def test_killed_again_and_again_the_final_file_is_the_same(make_samples, tmp_path, targets):
    samples = make_samples(12)
    write_manifest(tmp_path / "in.jsonl", samples)
    whole = distill(samples, ScriptedTeacher(), tmp_path / "whole.jsonl", num=2).manifest.read_bytes()
    program = tmp_path / "slow.py"
    program.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_distill import ScriptedTeacher, distill, read_manifest\n"
        "def say(sample, k):\n"
        "    time.sleep(0.02)\n"
        "    return ScriptedTeacher().say(sample, k)\n"
        f"distill(read_manifest({str(tmp_path / 'in.jsonl')!r}), ScriptedTeacher(say), "
        f"{str(tmp_path / 'killed.jsonl')!r}, num=2)\n"
    )
    log = tmp_path / "killed.distill" / "responses.jsonl"
    for target in targets:
        process = subprocess.Popen([sys.executable, program])
        deadline = time.monotonic() + 120
        while (not log.exists() or log.read_bytes().count(b"\n") < target) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    num_recorded = log.read_bytes().count(b"\n")
    assert targets[-1] <= num_recorded < 24
    teacher = ScriptedTeacher()
    distill(samples, teacher, tmp_path / "killed.jsonl", num=2)
    assert len(teacher.asked) == 24 - num_recorded
    assert (tmp_path / "killed.jsonl").read_bytes() == whole


def test_the_best_completion_is_closest_to_the_label_then_fullest_then_shortest_then_first(make_samples):
    (sample,) = make_samples(1)  # mos 2.0

    def made(k, think, score):
        text = f"<think>{think}</think><answer>{score}</answer>"
        return Candidate(sample, k, text, AnswerFormat().parse(text))

    scale = LabelScale(1, 5)
    far, near = made(0, "noise is good, colour is good", "4.0"), made(1, "soft", "2.1")
    assert best_of([far, near], scale) is near
    full = made(2, "noise is poor, colour is fair", "1.9")
    assert best_of([near, full], scale) is full
    short = made(3, "noise poor: noise is poor, colour: fair", "1.9")
    assert best_of([short, full], scale) is full
    assert best_of([made(5, "soft", "1.9"), near], scale) is near
    assert best_of([far, near], None) is far


def test_the_label_can_take_the_place_of_the_score(make_samples, tmp_path):
    samples = make_samples(2, mos=75.0, scale=LabelScale(0, 100))
    done = distill(samples, ScriptedTeacher(), tmp_path / "out", replace_score=True)
    rationales = [sample.rationale for sample in read_manifest(done.manifest)]
    assert all(text.endswith("</think><answer>4.00</answer>") for text in rationales)


@pytest.mark.parametrize("answer", ["Score: 3.00", "score:3", "Score: 3.", "Score:\t+3.0 "])
def test_the_label_takes_the_place_of_the_number_not_of_the_words_before_it(make_samples, answer):
    """With a prompt that wants "Score:" before the number, rationales lost it and could not be read."""
    form = AnswerFormat(Numbers(prefix="Score:"))
    text = f"<think>soft edges, 3 of 5 trees are sharp</think>\n<answer>{answer}</answer>"
    (sample,) = make_samples(1, mos=4.0, scale=LabelScale(1, 5))
    taught = explained(Candidate(sample, 0, text, form.parse(text)), LabelScale(1, 5)).rationale
    assert form.parse(text).is_valid and form.parse(taught).values == (4.0,)
    assert form.parse(taught).think == "soft edges, 3 of 5 trees are sharp"


def test_replacing_scores_needs_labels_and_one_number(make_samples, tmp_path):
    with pytest.raises(TeacherError, match="'s0' has no mos"):
        distill(make_samples(1, mos=None, scale=None), ScriptedTeacher(), tmp_path / "out", replace_score=True)
    two = AnswerFormat(Numbers(2))
    with pytest.raises(TeacherError, match="one number"):
        distill(make_samples(1), ScriptedTeacher(), tmp_path / "out", replace_score=True, answer_format=two)


def test_nothing_unreadable_passes_even_without_filters(make_samples, tmp_path):
    done = distill(make_samples(2), ScriptedTeacher(lambda s, k: "no tags"), tmp_path / "out", filters=())
    assert done.num_kept == 0
    assert done.dropped == {"format": 2}


def test_a_label_tolerance_counts_its_drops(make_samples, tmp_path):
    done = distill(make_samples(3), ScriptedTeacher(), tmp_path / "out", filters=[tolerance_filter(0.5)])
    assert done.num_kept == 1  # labels 2, 3, 4; the teacher says 3
    assert done.dropped["tolerance"] == 2


def test_a_manifest_name_keeps_the_log_beside_it(make_samples, tmp_path):
    done = distill(make_samples(1), ScriptedTeacher(), tmp_path / "cold.jsonl")
    assert done.manifest == tmp_path / "cold.jsonl"
    assert (tmp_path / "cold.distill" / "responses.jsonl").is_file()
    assert status(tmp_path / "cold.jsonl")["state"] == "done"
    json.dumps(done.to_dict())


def test_wrong_requests_are_refused_by_name(make_samples, tmp_path):
    samples = make_samples(1)
    with pytest.raises(TeacherError, match="no distillation"):
        status(tmp_path / "nowhere")
    with pytest.raises(TeacherError, match="'s0' stands more than once"):
        distill(samples * 2, ScriptedTeacher(), tmp_path / "out")
    with pytest.raises(ValueError, match="num"):
        distill(samples, ScriptedTeacher(), tmp_path / "out", num=0)
    gone = replace(samples[0], media=(replace(samples[0].media[0], path="gone.png"),))
    with pytest.raises(MediaError, match=r"gone\.png"):
        distill([gone], ScriptedTeacher(), tmp_path / "out")


def test_a_teacher_that_answers_something_else_is_stopped(make_samples, tmp_path):
    class Stranger(ScriptedTeacher):
        def respond(self, samples, num, seed, *, first=0):
            yield TeacherResponse("who?", 0, "text", self.fingerprint, seed)

    class Silent(ScriptedTeacher):
        def respond(self, samples, num, seed, *, first=0):
            yield from ()

    with pytest.raises(TeacherError, match=r"'who\?'.*not what it was asked for"):
        distill(make_samples(1), Stranger(), tmp_path / "a")
    with pytest.raises(TeacherError, match="no completion 0 for sample 's0'"):
        distill(make_samples(1), Silent(), tmp_path / "b")
