"""The chat client against a service on loopback that fails in every way it can."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
import time
import tracemalloc
from functools import partial

import httpx2
import pytest

from pondera.errors import ConfigError, TeacherError
from pondera.generate.chat import (
    Budget,
    ChatClient,
    ChatReply,
    ChatRequest,
    LimitReached,
    RequestFailed,
    ServiceRefused,
)
from pondera.generate.chat_reply import BadReply, read_reply, usage_in
from tests.generate.chat_server import ChatServer, Said, completion, say

KEY = "sk-a-key-that-nobody-may-see-0123456789"


def echo(payload):
    return say(f"answer to {payload['messages'][0]['content']}")


def ask(key, text=None, **settings):
    return ChatRequest(key, [{"role": "user", "content": text or f"question {key}"}], **settings)


def client_of(server, **settings):
    return ChatClient(server.url, "teacher", **{"backoff_s": 0.001, "max_wait_s": 0.5, "timeout_s": 5} | settings)


class Notes:
    """Keeps what it is told, in a list."""

    def __init__(self, seen):
        self.seen = seen

    def sent(self, number):
        self.seen.append(number)

    def unusable(self, usage):
        self.seen.append(usage)


def one(server, **settings):
    """One completion: a reply, or the error that `complete` raises."""
    return asyncio.run(client_of(server, **settings).complete([{"role": "user", "content": "question"}]))


def in_turn(*answers):
    """A service that gives these answers, then the last one for ever."""
    remaining = list(answers)
    return lambda payload: remaining.pop(0) if len(remaining) > 1 else remaining[0]


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_a_completion_carries_text_reason_tokens_and_time():
    with ChatServer(echo) as server:
        reply = one(server)
    assert (reply.text, reply.finish_reason) == ("answer to question", "stop")
    assert reply.usage == {"prompt_tokens": 100, "completion_tokens": 10, "tries": 1}
    assert 0 < reply.seconds < 5


def test_what_was_asked_is_what_is_sent():
    with ChatServer(echo) as server:
        client = client_of(server)
        client.complete_all([ask(1, temperature=0.7, max_tokens=9, seed=3), ask(2)], lambda *_: None)
    first, second = sorted(server.payloads, key=lambda p: -p["temperature"])
    messages = [{"role": "user", "content": "question 1"}]
    assert first == {"model": "teacher", "messages": messages, "temperature": 0.7, "max_tokens": 9, "seed": 3}
    assert "seed" not in second
    assert "authorization" not in server.headers[0]


GOOD = say("good")
FAILURES = {
    "too many requests": Said(b"slow down", 429),
    "server error": Said(b"<html>oops</html>", 500),
    "unavailable": Said(status=503, headers={"retry-after": "0"}),
    "no JSON": Said(b"<html>hello</html>"),
    "half JSON": Said(json.dumps(completion("x")).encode()[:40]),
    "JSON of another kind": Said(b"[1, 2]"),
    "nested too deep": Said(b"[" * 200_000),
    "empty body": Said(b""),
    "empty choices": say("x", choices=[]),
    "a choice without message": say("x", choices=[{"finish_reason": "stop"}]),
    "content that is a number": say("x", choices=[{"message": {"content": 5}, "finish_reason": "stop"}]),
    "nothing and no reason": say("x", choices=[{"message": {"content": None}, "finish_reason": None}]),
    "another model": say("x", model="other"),
    "cut before the status": Said(b"x", cut=0),
    "cut in the headers": Said(b"x", cut=20),
    "cut in the body": Said(b"x" * 1000, cut=200),
    "huge": Said(b"x" * 50_000),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_is_tried_again(failure):
    with ChatServer(in_turn(failure, failure, GOOD)) as server:
        reply = one(server, max_reply_bytes=20_000)
    assert (reply.text, reply.usage["tries"], len(server.payloads)) == ("good", 3, 3)


USAGE = {"prompt_tokens": 100, "completion_tokens": 10}
CHARGED = {
    "another model": say("x", model="other"),
    "no choices": say("x", choices=[]),
    "cut off in the middle of JSON": Said(
        b'{"usage": {"prompt_tokens": 100, "completion_tokens": 10}, "choices": [{"mes'
    ),
    "too long": say("y" * 400_000),
}


@pytest.mark.parametrize("said", CHARGED.values(), ids=CHARGED.keys())
def test_a_reply_that_is_not_accepted_but_charged_for_counts(said):
    """It cost nothing that anybody knew of, and was asked for again beyond the limit."""
    seen = []
    with ChatServer(in_turn(said, GOOD)) as server:
        client = client_of(server, prices=(1e4, 1e5))  # 1 + 1 a reply
        reply = asyncio.run(client.complete([{"role": "user", "content": "question"}], notes=Notes(seen)))
    assert seen == [1, {**USAGE, "cost": 2}, 2]
    assert (reply.usage["cost"], client.cost, client.budget.spent) == (2, 4, 4)
    with ChatServer(lambda payload: said) as server:
        client = client_of(server, prices=(1e4, 1e5), max_cost=5)
        with pytest.raises(LimitReached, match=r"4\.0000 are spent"):
            asyncio.run(client.complete([{"role": "user", "content": "question"}], max_tokens=10))
    assert len(server.payloads) == 2


def test_counts_that_a_model_writes_about_are_not_taken_for_its_own():
    said = say('{"usage": {"prompt_tokens": 7}}', choices=[], usage=None, note='"usage": {"prompt_tokens": 7}')
    assert usage_in(said.body) == {}


def test_a_slow_reply_is_given_up_and_tried_again():
    with ChatServer(in_turn(Said(pause_s=5), GOOD)) as server:
        start = time.monotonic()
        assert one(server, timeout_s=0.2).text == "good"
    assert time.monotonic() - start < 2


def test_a_request_that_keeps_failing_ends_with_its_last_reason():
    with ChatServer(lambda payload: Said(b'{"error": {"message": "out of memory"}}', 500)) as server:
        with pytest.raises(RequestFailed, match=r"no reply in 3 tries, the last time: HTTP 500: out of memory"):
            one(server, tries=3)
        assert len(server.payloads) == 3


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_not_sent_again(status):
    with ChatServer(lambda payload: Said(b'{"error": {"message": "image too large"}}', status)) as server:
        with pytest.raises(RequestFailed, match=f"HTTP {status}: image too large"):
            one(server)
        assert len(server.payloads) == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said(b'{"error": "who are you?"}', 401), "set OPENAI_API_KEY"),
        (Said(b"<html>Forbidden</html>", 403), "see whether OPENAI_API_KEY holds a key that may use this model"),
        (Said(b'{"error": {"message": "no such model"}}', 404), "no such model; check address and model"),
        (Said(status=302, headers={"location": "http://127.0.0.1:1/"}), "HTTP 302"),
        (Said(b'{"error": {"message": "pay first", "code": "insufficient_quota"}}', 429), "pay first"),
    ],
)
def test_a_service_that_refuses_everything_ends_the_work_at_once(said, words):
    with ChatServer(lambda payload: said) as server:
        with pytest.raises(ServiceRefused, match=words):
            client_of(server, concurrency=1).complete_all(map(ask, range(100)), lambda *_: None)
        assert len(server.payloads) == 1


@pytest.mark.parametrize(
    "error", [{"metadata": {"reasons": ["violence"]}}, {"code": "content_policy_violation"}, {"code": "content_filter"}]
)
def test_a_forbidden_image_is_not_taken_for_a_forbidden_caller(error):
    flagged = Said(json.dumps({"error": {"message": "input was flagged", **error}}).encode(), 403)
    with ChatServer(in_turn(flagged, GOOD)) as server:
        outcomes = [outcome for _, outcome in client_of(server, concurrency=1).replies(map(ask, range(2)))]
    assert [type(outcome) for outcome in outcomes] == [RequestFailed, ChatReply]


def test_a_service_that_only_knows_another_model_is_not_paid_hundreds_of_times():
    """Twelve charged tries of each of twenty requests came before anybody was told."""
    with ChatServer(lambda payload: say("x", model="other")) as server:
        with pytest.raises(ServiceRefused, match=r"model 'other' answered.* 4 times; .*--also-model"):
            client_of(server, concurrency=2).complete_all(map(ask, range(100)), lambda *_: None)
        assert len(server.payloads) <= 2 * 4


def test_an_address_without_its_last_part_is_named():
    with ChatServer(lambda payload: Said(b"Not Found", 404)) as server:
        client = ChatClient(server.url.removesuffix("/v1"), "teacher")
        with pytest.raises(ServiceRefused, match="check address and model; most addresses end in /v1"):
            asyncio.run(client.complete([{"role": "user", "content": "question"}]))


def test_an_address_where_nobody_listens_is_named_soon():
    with ChatServer(echo) as server:
        pass
    with pytest.raises(ServiceRefused, match=rf"cannot reach {server.url}.*is the service running"):
        one(server)


def test_retry_after_is_honoured_for_all_requests():
    times = []
    answers = in_turn(Said(status=429, headers={"Retry-After": "0.4"}), GOOD)

    def behave(payload):
        times.append(time.monotonic())
        return answers(payload)

    with ChatServer(behave) as server:
        client = client_of(server, concurrency=1)
        client.complete_all(map(ask, range(3)), lambda *_: None)
    assert len(times) == 4
    assert 0.4 <= times[1] - times[0] < 1.5


def test_a_date_in_retry_after_in_the_past_is_no_wait():
    past = Said(status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    with ChatServer(in_turn(past, Said(status=503, headers={"Retry-After": "soon"}), GOOD)) as server:
        assert one(server).text == "good"


def test_a_service_that_asks_for_an_hour_ends_the_request():
    with (
        ChatServer(lambda payload: Said(b"tired", 429, {"Retry-After": "3600"})) as server,
        pytest.raises(RequestFailed, match=r"HTTP 429: tired; it asks to wait 3600 s, more than max_wait_s = 0\.5"),
    ):
        one(server)


def test_waits_are_random_below_a_bound_that_doubles(monkeypatch):
    bounds = []
    monkeypatch.setattr(random, "uniform", lambda low, high: bounds.append((low, high)) or 0.0)
    with ChatServer(lambda payload: Said(status=500)) as server, pytest.raises(RequestFailed):
        one(server, tries=6, backoff_s=0.1, max_wait_s=0.5)
    assert bounds == [(0, 0.1), (0, 0.2), (0, 0.4), (0, 0.5), (0, 0.5)]


def test_no_more_requests_than_allowed_are_under_way():
    with ChatServer(lambda payload: Said(GOOD.body, pause_s=0.03)) as server:
        client_of(server, concurrency=4).complete_all(map(ask, range(24)), lambda *_: None)
    assert server.most_open == 4


def test_outcomes_come_as_they_are_ready_and_with_their_requests():
    def behave(payload):
        text = payload["messages"][0]["content"]
        return Said(say(text).body, pause_s=0.3 if text == "question 0" else 0)

    with ChatServer(behave) as server:
        pairs = list(client_of(server, concurrency=2).replies(map(ask, range(6))))
    assert [request.key for request, _ in pairs][-1] == 0
    assert {(request.key, reply.text) for request, reply in pairs} == {(i, f"question {i}") for i in range(6)}


def test_a_request_that_fails_does_not_stop_the_others():
    def behave(payload):
        return Said(status=400) if payload["messages"][0]["content"] == "question 3" else echo(payload)

    with ChatServer(behave) as server:
        outcomes = {request.key: outcome for request, outcome in client_of(server).replies(map(ask, range(9)))}
    assert isinstance(outcomes.pop(3), RequestFailed)
    assert len(outcomes) == 8
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes.values())


def test_failures_in_a_row_end_the_work():
    seen = []
    with (
        ChatServer(lambda payload: Said(b"never", 400)) as server,
        pytest.raises(ServiceRefused, match=r"5 requests failed in a row, the last:.*never"),
    ):
        client_of(server, max_failures=5, concurrency=1).complete_all(map(ask, range(99)), lambda *p: seen.append(p))
    assert len(seen) == len(server.payloads) == 5


def test_the_rate_limit_spaces_requests():
    with ChatServer(echo) as server:
        start = time.monotonic()
        client_of(server, max_rate=1200).complete_all(map(ask, range(7)), lambda *_: None)
    assert time.monotonic() - start >= 6 * 60 / 1200


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_the_cost_limit_is_not_passed_and_what_was_paid_is_delivered(concurrency):
    seen, sent = [], []
    with ChatServer(lambda payload: Said(GOOD.body, pause_s=0.02)) as server:
        client = client_of(server, concurrency=concurrency, prices=(1e4, 1e5), max_cost=9.9)  # 1 + 1 a reply
        requests = (ask(i, max_tokens=10, notes=Notes(sent)) for i in range(99))
        with pytest.raises(LimitReached, match=r"limit is 9\.9"):
            client.complete_all(requests, lambda request, reply: seen.append(reply.usage["cost"]))
    assert len(seen) == len(sent) == len(server.payloads) == 4
    assert client.cost == client.budget.spent == sum(seen) == 8


def test_a_limit_that_is_a_sum_of_prices_is_spent_to_the_last_request():
    with ChatServer(lambda payload: GOOD) as server:
        client = client_of(server, concurrency=1, prices=(1e3, 0), max_cost=0.3)  # 0.1 + 0.1 + 0.1 > 0.3 in floats
        with pytest.raises(LimitReached):
            client.complete_all(map(ask, range(99)), lambda *_: None)
    assert len(server.payloads) == 3


def test_a_request_that_could_pass_the_limit_is_not_begun_though_it_would_have_been_short():
    with ChatServer(lambda payload: GOOD) as server:
        client = client_of(server, prices=(0, 1e5), max_cost=4.5)  # 1 a reply, up to 2
        with pytest.raises(LimitReached, match=r"3\.0000 are spent, one more request may cost 2\.0000"):
            client.complete_all((ask(i, max_tokens=20) for i in range(99)), lambda *_: None)
    assert len(server.payloads) == 3


def test_clients_that_share_a_budget_spend_it_together():
    budget = Budget(4.5)
    with ChatServer(lambda payload: GOOD) as server:
        first = client_of(server, prices=(1e4, 0), budget=budget)
        first.complete_all(map(ask, range(3)), lambda *_: None)
        second = client_of(server, prices=(1e4, 0), budget=budget)
        with pytest.raises(LimitReached, match=r"4\.0000 are spent"):
            second.complete_all(map(ask, range(9)), lambda *_: None)
    assert (first.cost, second.cost, budget.spent) == (3, 1, 4)
    with pytest.raises(ConfigError, match="not both"):
        client_of(server, prices=(1, 1), budget=budget, max_cost=1)
    with pytest.raises(ConfigError, match="max_cost needs prices"):
        client_of(server, budget=budget)


def test_a_first_request_that_fails_lets_the_next_one_go_alone():
    answers = in_turn(Said(status=400), Said(status=400), GOOD)
    with ChatServer(lambda payload: Said(**{**answers(payload).__dict__, "pause_s": 0.02})) as server:
        client = client_of(server, concurrency=4, prices=(1e4, 0), max_cost=2)
        with pytest.raises(LimitReached):
            client.complete_all(map(ask, range(9)), lambda *_: None)
    assert len(server.payloads) == 4 and client.cost == 2


def test_the_total_time_limit_ends_the_work():
    with ChatServer(lambda payload: Said(GOOD.body, pause_s=0.05)) as server:
        start = time.monotonic()
        with pytest.raises(LimitReached, match=r"time limit of 0\.3 s"):
            client_of(server, concurrency=1, total_timeout_s=0.3).complete_all(map(ask, range(99)), lambda *_: None)
    assert time.monotonic() - start < 2


def test_requests_are_fetched_only_shortly_before_they_are_sent():
    fetched = []

    def requests():
        for i in range(1000):
            fetched.append(i)
            yield ask(i)

    with ChatServer(echo) as server:
        replies = client_of(server, concurrency=3).replies(requests())
        for _ in range(10):
            next(replies)
        time.sleep(0.1)  # the consumer is slow
        assert len(fetched) <= 10 + 2 * 3
        replies.close()
    assert not [t for t in threading.enumerate() if t.name == "chat requests"]


def test_an_error_while_making_requests_arrives_after_what_was_under_way():
    def requests():
        yield ask(0)
        yield ask(1)
        raise TeacherError("no such image")

    seen = []
    with (
        ChatServer(lambda payload: Said(GOOD.body, pause_s=0.05)) as server,
        pytest.raises(TeacherError, match="no such image"),
    ):
        client_of(server).complete_all(requests(), lambda request, _: seen.append(request.key))
    assert sorted(seen) == [0, 1]


def test_memory_does_not_grow_with_the_number_of_requests():
    def run(count):
        text = "x" * 20_000
        client_of(server, concurrency=2).complete_all((ask(i, f"{i}{text}") for i in range(count)), lambda *_: None)

    def behave(payload):
        server.payloads.clear()
        return Said(json.dumps(completion("y" * 20_000)).encode())

    with ChatServer(behave) as server:
        run(20)
        tracemalloc.start()
        run(20)
        few = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        run(200)
        many = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert many < few + 500_000  # 180 more requests and replies are 7 MB


def test_a_completion_far_longer_than_was_asked_for_is_a_failure():
    """A service that ignores max_tokens filled the log and the memory with up to 4 MiB a reply."""
    huge, good = say("y" * 200_000), say("short")
    with ChatServer(in_turn(huge, good)) as server:
        client = client_of(server)
        ask_for = partial(client.complete, [{"role": "user", "content": "question"}])
        assert asyncio.run(ask_for(max_tokens=10)).usage["tries"] == 2
    with ChatServer(in_turn(huge, good)) as server:
        client = client_of(server)
        ask_for = partial(client.complete, [{"role": "user", "content": "question"}])
        assert asyncio.run(ask_for(max_tokens=1000)).text == "y" * 200_000


@pytest.mark.parametrize("url", ["https://teacher.example/v1", "HTTPS://teacher.example/v1"])
def test_certificates_are_checked_wherever_there_are_any(monkeypatch, url):
    seen = []
    monkeypatch.setattr(httpx2, "AsyncClient", lambda **settings: seen.append(settings["verify"]))
    ChatClient(url, "teacher")._connect()
    ChatClient("http://127.0.0.1:8000/v1", "teacher")._connect()
    assert seen == [True, False]


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_the_key_is_sent_and_is_in_no_message_log_or_representation(monkeypatch, caplog, status):
    monkeypatch.setenv("SOME_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    quoting = say(f"your key is {KEY}") if status == 200 else Said(f'{{"error": "bad key {KEY}"}}'.encode(), status)
    with ChatServer(lambda payload: quoting) as server:
        client = client_of(server, api_key_env="SOME_KEY", tries=2)
        if status == 200:
            said = asyncio.run(client.complete([])).text
            assert said == "your key is [API key]"
        else:
            with pytest.raises(TeacherError) as caught:
                asyncio.run(client.complete([]))
            said = str(caught.value)
            assert "bad key [API key]" in said
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in said + repr(client) + str(vars(client)) + caplog.text


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "spelled", [r"sk-a\/b+c-0123", r"sk-a/b\u002Bc-0123", "".join(f"\\u{ord(c):04x}" for c in "sk-a/b+c-0123")]
)
def test_a_key_in_the_escapes_of_json_is_hidden_too(monkeypatch, status, spelled):
    key = "sk-a/b+c-0123"
    monkeypatch.setenv("SOME_KEY", key)
    body = say("your key is @").body if status == 200 else b'{"error": {"message": "bad key @"}}'
    with ChatServer(lambda payload: Said(body.replace(b"@", spelled.encode()), status)) as server:
        client = client_of(server, api_key_env="SOME_KEY", tries=1)
        if status == 200:
            assert asyncio.run(client.complete([])).text == "your key is [API key]"
        else:
            with pytest.raises(TeacherError, match=r"bad key \[API key\]") as caught:
                asyncio.run(client.complete([]))
            assert key not in str(caught.value)


def test_a_key_does_not_leave_the_machine_unencrypted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ConfigError, match="unencrypted") as caught:
        ChatClient("http://models.example/v1", "m")
    assert KEY not in str(caught.value)
    for address in ("https://models.example/v1", "http://localhost:8000/v1", "http://10.1.2.3/v1", "http://[::1]/v1"):
        ChatClient(address, "m")
    ChatClient("http://models.example/v1", "m", api_key_env="")


@pytest.mark.parametrize("url", ["https://me:secret@models.example/v1", "https://x/v1?key=secret", "https://x:secret"])
def test_a_secret_in_the_address_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError, match="base_url") as caught:
        ChatClient(url, "m")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["models.example/v1", "ftp://x/v1", "http://", "", "http://[x/v1"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="base_url"):
        ChatClient(url, "m")


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"tries": 0},
        {"timeout_s": -1},
        {"total_timeout_s": 0},
        {"max_cost": 1.0},
        {"prices": (-1, 1)},
        {"prices": (1, float("nan"))},
        {"max_rate": 0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ChatClient("http://127.0.0.1/v1", "m", **wrong)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, ("ab", "stop", "")),
        ({"content": None, "refusal": "I cannot"}, ("I cannot", "stop", "")),
        ({"content": None}, ("", "stop", "")),
        ({"content": "answer", "reasoning_content": "thought"}, ("answer", "stop", "thought")),
        ({"content": "half \ud800 pair"}, ("half ? pair", "stop", "")),
    ],
)
def test_the_forms_in_which_services_write_text_are_read(changes, expected):
    body = completion("", choices=[{"message": changes, "finish_reason": "stop"}])
    assert read_reply(json.dumps(body).encode(), ["teacher"])[:3] == expected


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": "many"}, {"prompt_tokens": -1}, {"prompt_tokens": True}])
def test_token_counts_that_are_none_are_left_out(usage):
    assert read_reply(json.dumps(completion("x", usage=usage)).encode(), ["teacher"])[3] == {}


@pytest.mark.parametrize("model", ["teacher", "Teacher", "teacher-2026-01-31", "teacher@001", None, "spare"])
def test_a_model_may_answer_under_its_name_with_a_date_or_another_name_given(model):
    assert read_reply(json.dumps(completion("x", model=model)).encode(), ["teacher", "spare"])[0] == "x"


@pytest.mark.parametrize("model", ["teacher-mini", "teacher2", "student"])
def test_another_model_is_refused(model):
    with pytest.raises(BadReply, match=f"model '{model}' answered"):
        read_reply(json.dumps(completion("x", model=model)).encode(), ["teacher"])
