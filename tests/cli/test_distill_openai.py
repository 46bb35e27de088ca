"""`pondera distill --teacher openai` against a service on loopback, and --status."""

from __future__ import annotations

import hashlib
import json
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests.generate.chat_server import ChatServer, Said, say

KEY = "sk-a-key-that-nobody-may-see-0123456789"
TEXT = "<think>scene {} is shown, its edges are soft and the sky is clean</think><answer>3.00</answer>"


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = tmp_path / "in.jsonl"
    lines = []
    for name in "abc":
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        lines.append(json.dumps({"id": name, "media": [f"{name}.png"], "mos": 3.0, "scale": [1, 5]}))
    path.write_text("\n".join(lines) + "\n")
    return path


def numbered():
    """A service whose answers differ from each other."""
    count = iter(range(10**6))
    return lambda payload: say(TEXT.format(f"number {next(count)} here"))


def args_for(server, manifest, tmp_path, *more):
    service = ("--teacher", "openai", "--base-url", server.url, "--teacher-model", "teacher")
    return ("distill", manifest, *service, "--out", tmp_path / "taught.jsonl", *more)


def test_rationales_come_from_the_service_and_a_second_run_asks_for_nothing(pondera, manifest, tmp_path):
    with ChatServer(numbered()) as server:
        options = (
            "--concurrency",
            2,
            "--temperature",
            0,
            "--temperature",
            0.9,
            "--num",
            2,
            "--prompt",
            "quality.short",
        )
        options += ("--max-tokens", 50, "--prices", "1,2", "--max-rate", 1e6)
        first = pondera(*args_for(server, manifest, tmp_path, *options, "--format", "json"))
        second = pondera(*args_for(server, manifest, tmp_path, *options))
    assert first.exit_code == 0, first.output
    done = json.loads(first.stdout)
    assert (done["num_responses"], done["num_new"]) == (6, 6)
    assert done["usage"]["cost"] == pytest.approx(6 * (100 + 2 * 10) / 1e6)
    assert sorted(payload["temperature"] for payload in server.payloads) == [0, 0, 0, 0.9, 0.9, 0.9]
    assert {payload["max_tokens"] for payload in server.payloads} == {50}
    assert "6 responses, 0 of them new" in second.stdout


def test_status_says_how_far_a_run_is_and_needs_no_manifest(pondera, manifest, tmp_path):
    with ChatServer(lambda payload: Said(b'{"error": "never"}', 400)) as server:
        failed = pondera(*args_for(server, manifest, tmp_path))
        assert failed.exit_code == 1
        assert "no completion 0 for sample" in failed.stderr
        assert "never" in failed.stderr
        server.behave = numbered()
        pondera(*args_for(server, manifest, tmp_path))
    result = pondera("distill", "--out", tmp_path / "taught.jsonl", "--status", "--format", "json")
    found = json.loads(result.stdout)
    assert {"state": "done", "recorded": 3, "wanted": 3, "requests": 6, "repeated": 3}.items() <= found.items()
    table = pondera("distill", manifest, "--out", tmp_path / "taught.jsonl", "--status").stdout
    assert "repeated" in table
    assert pondera("distill", "--out", tmp_path / "nothing", "--status").exit_code == 1


def test_allow_missing_finishes_and_says_what_is_missing(pondera, manifest, tmp_path):
    answers = numbered()
    seen = []

    def behave(payload):
        seen.append(payload)
        return Said(status=400) if len(seen) == 1 else answers(payload)

    with ChatServer(behave) as server:
        result = pondera(*args_for(server, manifest, tmp_path, "--allow-missing", "--concurrency", 1))
    assert result.exit_code == 0, result.output
    assert "1 responses are missing" in result.stdout


def test_the_key_is_sent_and_is_in_no_output_and_no_file(pondera, manifest, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    quoting = Said(json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(), 401)
    with ChatServer(lambda payload: quoting) as server:
        result = pondera(*args_for(server, manifest, tmp_path, "--api-key-env", "MY_KEY"))
    assert result.exit_code == 1
    assert "set MY_KEY" in result.stderr
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written + result.output.encode()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--teacher", "openai", "--base-url", "http://127.0.0.1:1/v1"), "needs both"),
        (("--concurrency", "3"), "--teacher openai only"),
        (("--base-url", "http://127.0.0.1:1/v1"), "--teacher openai only"),
        (("--teacher", "vllm"), "needs a folder or hub id"),
        (("--teacher", "vllm", "--model", "m", "--max-cost", "3"), "--max-cost: goes with --teacher openai only"),
        (("--teacher", "openai", "--gpus", "2"), "--gpus: goes with --teacher vllm only"),
        (("--teacher", "command", "--temperature", "1"), "openai or vllm only"),
        (("--max-cost", "3"), "--max-cost: goes with --teacher openai only"),
        (("--opinion-prices", "1,2"), "--opinion-prices: goes with --second-opinion only"),
    ],
)
def test_options_that_do_not_fit_are_refused(pondera, manifest, tmp_path, args, words):
    result = pondera("distill", manifest, "--out", tmp_path / "taught.jsonl", *args)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_a_manifest_is_needed_to_ask(pondera, tmp_path):
    result = pondera("distill", "--out", tmp_path / "taught.jsonl")
    assert result.exit_code == 2
    assert "MANIFEST" in result.stderr


def test_drops_are_shown_with_their_reasons_by_status_too(pondera, manifest, tmp_path):
    with ChatServer(lambda payload: say("I cannot see the image")) as server:
        done = pondera(*args_for(server, manifest, tmp_path))
    assert done.exit_code == 1 and "no completion passed the filters" in done.stderr
    table = pondera("distill", "--out", tmp_path / "taught.jsonl", "--status").stdout
    for shown in (done.stdout, table):
        assert "dropped:" in shown and "the teacher refused or saw no image" in shown
    assert "I cannot see the image" in (tmp_path / "taught.distill" / "filters.md").read_text()


def test_known_distortions_are_checked_where_asked_for_and_only_where_there_are_any(pondera, manifest, tmp_path):
    praise = "<think>scene {} is clear of any noise, excellent sharpness, noise is excellent</think>"
    with ChatServer(numbered()) as server:
        refused = pondera(*args_for(server, manifest, tmp_path, "--check-facts"))
        assert refused.exit_code == 2 and "no sample has known distortions" in refused.stderr
        lines = [json.loads(line) for line in manifest.read_text().splitlines()]
        lines[0]["distortions"] = [{"type": "gaussian_noise", "level": 5}]
        manifest.write_text("\n".join(map(json.dumps, lines)) + "\n")
        count = iter(range(10**6))
        server.behave = lambda payload: say(praise.format(f"number {next(count)}") + "<answer>4.80</answer>")
        plain = pondera(*args_for(server, manifest, tmp_path, "--format", "json"))
        checked = pondera(*args_for(server, manifest, tmp_path, "--check-facts", "--format", "json"))
    assert (json.loads(plain.stdout)["num_kept"], json.loads(checked.stdout)["num_kept"]) == (3, 2)
    assert json.loads(checked.stdout)["dropped"]["facts"] == 1 and json.loads(checked.stdout)["num_new"] == 0


def test_another_service_gets_no_key_but_its_own(pondera, manifest, tmp_path, monkeypatch):
    def judge(payload):
        asked = payload["messages"][0]["content"]
        return say('<answer>{"verdict": "consistent"}</answer>') if isinstance(asked, str) else say(TEXT.format("a"))

    monkeypatch.setenv("OPENAI_API_KEY", "of-the-teacher")
    monkeypatch.setenv("OTHER_KEY", "of-the-other")
    opinions = tmp_path / "taught.distill" / "opinions.jsonl"
    with ChatServer(judge) as server, ChatServer(judge) as other:
        asked = args_for(server, manifest, tmp_path, "--second-opinion", "teacher")
        assert pondera(*asked).exit_code == 0
        assert {headers.get("authorization") for headers in server.headers} == {"Bearer of-the-teacher"}
        for given, expected in (((), None), (("--opinion-key-env", "OTHER_KEY"), "Bearer of-the-other")):
            opinions.unlink()
            assert pondera(*asked, "--opinion-url", other.url, *given).exit_code == 0
            assert other.headers[-1].get("authorization") == expected
    alone = pondera("distill", manifest, "--out", tmp_path / "x.jsonl", "--opinion-key-env", "OTHER_KEY")
    assert alone.exit_code == 2 and "goes with --second-opinion only" in alone.stderr


def test_a_second_opinion_is_asked_at_the_teachers_address_or_its_own(pondera, manifest, tmp_path):
    def judge(payload):
        asked = payload["messages"][0]["content"]
        return say('<answer>{"verdict": "contradictory"}</answer>') if isinstance(asked, str) else say(TEXT.format("a"))

    with ChatServer(judge) as server, ChatServer(judge) as other:
        here = pondera(*args_for(server, manifest, tmp_path, "--second-opinion", "teacher"))
        assert here.exit_code == 1 and "second opinions: 1 asked" in here.stdout  # three thoughts are one text
        assert "a second opinion found thought and answer contradictory" in here.stdout
        (tmp_path / "taught.distill" / "opinions.jsonl").unlink()
        there = pondera(
            *args_for(server, manifest, tmp_path, "--second-opinion", "teacher", "--opinion-url", other.url)
        )
        assert there.exit_code == 1 and len(other.payloads) == 1
    alone = pondera("distill", manifest, "--out", tmp_path / "x.jsonl", "--opinion-url", "http://127.0.0.1:1/v1")
    assert alone.exit_code == 2 and "goes with --second-opinion only" in alone.stderr
    nowhere = pondera("distill", manifest, "--out", tmp_path / "x.jsonl", "--second-opinion", "m")
    assert nowhere.exit_code == 2 and "needs the address of a service" in nowhere.stderr


def opinions_too(payload):
    """A teacher that also gives second opinions: each reply has 100 prompt tokens and 10 of completion."""
    asked = payload["messages"][0]["content"]
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    verdict = '<answer>{"verdict": "consistent"}</answer>'
    return say(verdict if isinstance(asked, str) else TEXT.format(digest), model=payload["model"])


def test_second_opinions_are_counted_and_shown_with_the_prices_of_their_model(pondera, manifest, tmp_path):
    with ChatServer(opinions_too) as server:
        costs = ("--prices", "1000,0", "--max-cost", 9)
        other = pondera(*args_for(server, manifest, tmp_path, *costs, "--second-opinion", "judge"))
        assert other.exit_code == 2 and "--opinion-prices" in other.stderr and not server.payloads
        priced = ("--second-opinion", "judge", "--opinion-prices", "100,0")
        done = pondera(*args_for(server, manifest, tmp_path, *costs, *priced))
        assert done.exit_code == 0, done.output
        assert "second opinions: 3 asked, 0 unreadable, 0 missing, cost 0.03" in done.stdout
        table = pondera("distill", "--out", tmp_path / "taught.jsonl", "--status").stdout
        rows = dict(line.split(maxsplit=1) for line in table.replace("opinions ", "opinions_").splitlines())
        assert (rows["kept"], rows["rejected"]) == ("3 of 3 samples", "0 of 3 responses")
        assert (rows["cost"], rows["opinions_cost"], rows["opinions_recorded"]) == ("0.3", "0.03", "3")
        assert "total cost" in table and "0.33" in table
        (tmp_path / "taught.distill" / "opinions.jsonl").unlink()
        same = pondera(*args_for(server, manifest, tmp_path, *costs, "--second-opinion", "teacher"))
        assert "missing, cost 0.3" in same.stdout


def test_teacher_and_second_opinion_spend_one_budget(pondera, manifest, tmp_path):
    with ChatServer(opinions_too) as server:
        asked = args_for(server, manifest, tmp_path, "--prices", "1000,0", "--second-opinion", "teacher")
        stopped = pondera(*asked, "--max-cost", 0.55)  # 0.1 a request, an opinion up to 0.22 by its length
        assert stopped.exit_code == 1 and "limit is 0.55" in stopped.stderr
        assert len(server.payloads) == 4
        found = json.loads(
            pondera("distill", "--out", tmp_path / "taught.jsonl", "--status", "--format", "json").stdout
        )
    assert found["cost"] == pytest.approx(0.4) and found["opinions"]["recorded"] == 1


def test_a_teacher_that_costs_nothing_may_have_a_paid_second_opinion(pondera, manifest, tmp_path):
    with ChatServer(opinions_too) as server:
        asked = ("distill", manifest, "--out", tmp_path / "m.jsonl", "--second-opinion", "judge", "--opinion-url")
        done = pondera(*asked, server.url, "--opinion-prices", "1000,0", "--max-cost", 0.35)
    assert done.exit_code == 1 and "limit is 0.35" in done.stderr
    assert 1 <= len(server.payloads) <= 2


def test_second_opinions_keep_to_the_limits_of_the_run(pondera, manifest, tmp_path):
    """They had no time-out but 300 s a try, no end, no rate, and refused their model's other names."""

    def judge(payload):
        if isinstance(payload["messages"][0]["content"], str):
            return Said(say('<answer>{"verdict": "consistent"}</answer>', model="judge-large").body, pause_s=pause_s)
        return say(TEXT.format("a"))

    pause_s = 5.0
    with ChatServer(judge) as server:
        asked = args_for(server, manifest, tmp_path, "--second-opinion", "judge")
        start = time.monotonic()
        ended = pondera(*asked, "--timeout", 1, "--total-timeout", 3)
        assert ended.exit_code == 1 and "time limit of 3 s is over" in ended.stderr
        assert time.monotonic() - start < 5
        found = json.loads(
            pondera("distill", "--out", tmp_path / "taught.jsonl", "--status", "--format", "json").stdout
        )
        assert found["state"] == "stopped" and "time limit" in found["reason"]
        assert (found["opinions"]["requests"], found["opinions"]["retries"] >= 1) == (1, True)
        pause_s = 0.0
        done = pondera(*asked, "--opinion-also-model", "judge-large", "--max-rate", 1e5)
        assert done.exit_code == 0 and "1 asked, 0 unreadable, 0 missing" in done.stdout
    alone = ("distill", manifest, "--out", tmp_path / "m.jsonl", "--second-opinion", "judge")
    nobody = pondera(
        *alone, "--opinion-url", "http://127.0.0.1:1/v1", "--timeout", 2, "--max-rate", 9, "--concurrency", 1
    )
    assert nobody.exit_code == 1 and "cannot reach" in nobody.stderr  # limits go with a teacher that asks no service


def test_a_program_has_a_time_out_a_version_and_its_requests_are_counted(pondera, manifest, tmp_path):
    (tmp_path / "slow.py").write_text("import sys, time; sys.stdin.readline(); time.sleep(60)")
    (tmp_path / "good.py").write_text(
        "import json, sys\nfor line in sys.stdin:\n    about = json.loads(line)['sample']\n"
        f"    print(json.dumps({{'completion': {TEXT!r}.format(about)}}), flush=True)"
    )

    def asked(program, *more):
        command = f"{sys.executable} {tmp_path / program}"
        out = ("--out", tmp_path / "taught.jsonl", "--teacher", "command", "--command", command)
        return pondera("distill", manifest, *out, *more)

    def counted():
        shown = pondera("distill", "--out", tmp_path / "taught.jsonl", "--status", "--format", "json")
        return {name: json.loads(shown.stdout)[name] for name in ("recorded", "requests", "repeated")}

    slow = asked("slow.py", "--timeout", 0.5)
    assert slow.exit_code == 1 and "within 0.5 s; raise the time-out (--timeout)" in slow.stderr
    assert counted() == {"recorded": 0, "requests": 1, "repeated": 0}
    assert asked("good.py").exit_code == 0
    assert counted() == {"recorded": 3, "requests": 3, "repeated": 0}
    assert "3 of them new" in asked("good.py", "--teacher-version", "2").stdout
