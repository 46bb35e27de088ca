"""The second opinion: asked last, asked once, and honest about what it did not get."""

from __future__ import annotations

import json

import pytest
from tests.generate.chat_server import ChatServer, Said, say

from pondera.core.answers import AnswerFormat, ClassField, Json
from pondera.errors import ConfigError, TeacherError
from pondera.generate.chat import ChatClient, LimitReached
from pondera.teach import SecondOpinion, TeacherResponse, distill, status
from pondera.teach.filters import Filter, remembering, run_filters
from pondera.teach.filters.base import Candidate
from pondera.teach.filters.copies import duplicate_filter

THOUGHTS = {"s0": "soft edges everywhere, a poor picture of a boat", "s1": "crisp and clean tower before a clear sky"}


class Teacher:
    """Says what the table says, and always 3."""

    name, fingerprint = "scripted", "scripted-1"

    def respond(self, samples, num, seed, *, first=0):
        for sample in samples:
            text = f"<think>{THOUGHTS[sample.id]}, as far as one can see</think><answer>3.00</answer>"
            yield TeacherResponse(sample.id, 0, text, self.fingerprint, seed)


def judge(payload):
    text = payload["messages"][0]["content"]
    verdict = "contradictory" if "tower" in text else "consistent"
    return say(f'<answer>{{"verdict": "{verdict}"}}</answer>')


def opinion_of(server, **settings):
    return SecondOpinion(ChatClient(server.url, "teacher", tries=1, backoff_s=0.001, **settings))


def test_what_a_second_reader_finds_contradictory_is_dropped_and_reported(make_samples, tmp_path):
    with ChatServer(judge) as server:
        done = distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))
        assert (done.num_kept, done.dropped["second_opinion"]) == (1, 1)
        assert done.opinions == {"asked": 2, "unreadable": 0, "missing": 0}
        sent = [payload["messages"][0]["content"] for payload in server.payloads]
        assert all("soft edges" in text or "tower" in text for text in sent) and "3.00" in sent[0]
        again = distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))
        assert again.opinions["asked"] == 0 and again.num_kept == 1 and len(server.payloads) == 2
    assert status(tmp_path)["dropped"]["second_opinion"] == 1
    report = (tmp_path / "filters.md").read_text()
    assert "| `second_opinion` | 1 |" in report and "crisp and clean tower" in report


def test_what_opinions_cost_is_recorded_and_shown(make_samples, tmp_path):
    with ChatServer(judge) as server:
        for num_asked in (2, 0):  # what was paid in an earlier run still counts
            done = distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server, prices=(1e4, 1e5)))
            assert done.opinions["asked"] == num_asked
            spent = {name: done.opinion_usage[name] for name in ("prompt_tokens", "completion_tokens", "cost")}
            assert spent == {"prompt_tokens": 200, "completion_tokens": 20, "cost": 4}
    found = status(tmp_path)
    assert found["opinion_usage"] == done.opinion_usage and found["cost"] == 4
    assert {"wanted": 2, "recorded": 2, "unreadable": 0}.items() <= found["opinions"].items()


def test_a_budget_ends_opinions_before_it_is_passed_and_status_knows_what_was_spent(make_samples, tmp_path):
    prices = {"prices": (1e4, 0), "concurrency": 2}  # 1 an opinion, and by the length of its text up to 2.2
    with ChatServer(judge) as server:
        with pytest.raises(LimitReached, match=r"limit is 2\.9"):
            distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server, max_cost=2.9, **prices))
        halfway = status(tmp_path)
        assert halfway["state"] == "stopped" and "limit is 2.9" in halfway["reason"]
        assert halfway["opinions"] == {"wanted": 2, "recorded": 1, "requests": 1, "repeated": 0, "retries": 0}
        assert halfway["cost"] == halfway["opinion_usage"]["cost"] == len(server.payloads) == 1
        done = distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server, **prices))
    assert (done.opinions["asked"], done.opinion_usage["cost"]) == (1, 2)


def test_opinions_recorded_before_costs_were_counted_are_still_read(make_samples, tmp_path):
    with ChatServer(judge) as server:
        distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))
        log = tmp_path / "opinions.jsonl"
        records = [json.loads(line) for line in log.read_text().splitlines()]
        log.write_text("".join(json.dumps({k: r[k] for k in ("key", "model", "text")}) + "\n" for r in records))
        done = distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))
    assert (done.opinions["asked"], done.num_kept, done.opinion_usage) == (0, 1, {})


def test_nobody_is_asked_about_what_other_filters_drop(make_samples, tmp_path):
    def refuse_boats(candidate):
        return "a boat" if "boat" in candidate.think else None

    boats = Filter("boats", "no boats", lambda: refuse_boats)
    with ChatServer(judge) as server:
        done = distill(make_samples(2), Teacher(), tmp_path, filters=(boats,), second_opinion=opinion_of(server))
    assert done.opinions["asked"] == len(server.payloads) == 1
    assert (done.dropped["boats"], done.dropped["second_opinion"]) == (1, 1)


def test_failures_and_unreadable_answers_drop_nothing_and_are_counted(make_samples, tmp_path):
    def broken(payload):
        is_tower = "tower" in payload["messages"][0]["content"]
        return say("well, hard to say") if is_tower else Said(b'{"error": "no"}', 400)

    with ChatServer(broken) as server:
        done = distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))
        assert (done.num_kept, done.opinions) == (2, {"asked": 2, "unreadable": 1, "missing": 1})
        server.behave = judge
        done = distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))
    assert done.opinions == {"asked": 1, "unreadable": 1, "missing": 0}  # what was answered is not asked again


def test_a_torn_opinion_is_asked_again_and_a_broken_one_is_named(make_samples, tmp_path):
    with ChatServer(judge) as server:
        distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))
        log = tmp_path / "opinions.jsonl"
        log.write_bytes(log.read_bytes()[:-9])
        assert distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server)).opinions["asked"] == 1
        log.write_text("{}\n" + log.read_text())
        with pytest.raises(TeacherError, match=r"opinions\.jsonl:1: no recorded answer"):
            distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))


def test_answers_that_are_no_numbers_have_no_score_to_be_contradicted(make_samples, tmp_path):
    form = AnswerFormat(Json({"level": ClassField(("a", "b"))}))
    with ChatServer(judge) as server, pytest.raises(ConfigError, match="no numbers"):
        distill(make_samples(2), Teacher(), tmp_path, answer_format=form, second_opinion=opinion_of(server))
    assert not list(tmp_path.rglob("responses.jsonl"))  # refused before the teacher was asked


def test_a_remembering_filter_looks_once_and_one_that_compares_looks_again(make_samples):
    looks = []
    (sample,) = make_samples(1)
    counting = remembering(Filter("count", "counts", lambda: lambda candidate: looks.append(candidate.k)))
    text = "<think>the very same words about the very same picture</think><answer>3.00</answer>"
    candidates = [Candidate(sample, k, text, AnswerFormat().parse(text)) for k in range(2)]
    for _ in range(3):
        run_filters(candidates, [counting])
    assert looks == [0, 1]
    duplicates = remembering(duplicate_filter())
    for _ in range(2):
        kept, _ = run_filters(candidates, [duplicates])
        assert [candidate.k for candidate in kept] == [0]


def test_the_log_of_opinions_holds_the_key_of_nobody(make_samples, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    with ChatServer(judge) as server:
        distill(make_samples(2), Teacher(), tmp_path, second_opinion=opinion_of(server))
        assert server.headers[0]["authorization"] == "Bearer sk-secret-0123456789"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert json.dumps([path.name for path in files]).count("opinions.jsonl") == 1
    assert not any(b"sk-secret" in path.read_bytes() for path in files)
