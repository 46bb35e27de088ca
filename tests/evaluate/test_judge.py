"""Judging texts: scripted judges, recorded answers, agreement against published numbers."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from pondera.cli import app
from pondera.cli.judge import _key_envs
from pondera.errors import MediaError, TeacherError
from pondera.evaluate import evaluate
from pondera.evaluate.judge import CRITERIA, judge_texts
from pondera.evaluate.judge_summary import krippendorff_alpha, summarise_judgements
from pondera.generate.chat import ChatReply, RequestFailed
from pondera.generate.record_files import appending
from tests.generate.chat_server import ChatServer, Said, say


class ScriptedJudge:
    """Answers with the words that `reply` gives for a request's text."""

    def __init__(self, reply, model="judge-a"):
        self.reply, self.model, self.asked = reply, model, []

    def complete_all(self, requests, on_reply):
        for request in requests:
            text = request.messages[0]["content"][1]["text"]
            self.asked.append((request, text))
            words = self.reply(text, request.seed)
            outcome = words if isinstance(words, Exception) else ChatReply(words, "stop", {}, 0.0)
            on_reply(request, outcome)


def judged(*args, **settings):
    return judge_texts(*args, **settings).judgements


def graded(accuracy, reasonableness=1, completeness=1):
    body = json.dumps({"accuracy": accuracy, "reasonableness": reasonableness, "completeness": completeness})
    return f"<think>I see grain.</think><answer>{body}</answer>"


@pytest.fixture
def make_rows(tmp_path):
    def make(texts):
        rows = []
        for n, text in enumerate(texts):
            path = tmp_path / f"{n}.png"
            Image.fromarray(np.full((8, 9, 3), 20 * n, np.uint8)).save(path)
            rows.append(
                {
                    "sample": f"s{n}",
                    "path": str(path),
                    "dataset": "d",
                    "reference": f"c{n}",
                    "reasoning": text,
                    "valid": True,
                    "score": 2.0,
                    "scale_low": 1.0,
                    "scale_high": 5.0,
                    "mos": 2.25,
                    "distortions": [{"type": "gaussian_noise", "level": 4}],
                }
            )
        return rows

    return make


def test_a_judge_sees_image_text_score_and_facts_but_no_system(make_rows, tmp_path):
    judge = ScriptedJudge(lambda *_: graded(2))
    judged({"our-secret-model": make_rows(['grain, "coarse"'])}, judge, tmp_path / "log.jsonl", seeds=[0])
    (request, text), *more = judge.asked
    assert not more
    assert request.messages[0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert "\"grain, 'coarse'\" and gave it 2.00 on a scale from 1 (worst) to 5 (best)." in text
    assert "2.25" in text
    assert "gaussian noise of level 4 of 5, which harms noise" in text
    assert "our-secret-model" not in text


def test_a_blind_judge_is_told_no_facts(make_rows, tmp_path):
    judge = ScriptedJudge(lambda *_: graded(2))
    judged({"m": make_rows(["grain"])}, judge, tmp_path / "log.jsonl", seeds=[0], with_facts=False)
    assert "2.25" not in judge.asked[0][1]
    assert "gaussian" not in judge.asked[0][1]


def test_requests_are_shuffled_criteria_too_and_results_come_in_order(make_rows, tmp_path):
    rows = make_rows([f"text {n}" for n in range(8)])
    judge = ScriptedJudge(lambda *_: graded(1))
    found = judged({"a": rows, "b": rows}, judge, tmp_path / "log.jsonl", seeds=[0, 1])
    wanted = [(system, row["sample"], seed) for system in "ab" for row in rows for seed in (0, 1)]
    assert [(j.system, j.sample, j.seed) for j in found] == wanted
    seeds_asked = [request.seed for request, _ in judge.asked]
    assert seeds_asked != sorted(seeds_asked)
    orders = {tuple(sorted(CRITERIA, key=lambda name: text.index(f"{name} ("))) for _, text in judge.asked}
    assert len(orders) > 3


def test_recorded_answers_are_not_asked_again_and_failed_ones_are(make_rows, tmp_path):
    rows, log = make_rows(["one", "two", "three"]), tmp_path / "log.jsonl"
    first = ScriptedJudge(lambda text, _: RequestFailed("overloaded") if '"two"' in text else graded(2))
    found = judged({"m": rows}, first, log, seeds=[0])
    assert [j.error for j in found] == [None, "overloaded", None]
    with log.open("a") as file:
        file.write('{"key": "cut off by a ki')
    second = ScriptedJudge(lambda *_: graded(0))
    found = judged({"m": rows}, second, log, seeds=[0])
    assert len(second.asked) == 1
    assert [j.scores["accuracy"] for j in found] == [2, 0, 2]
    third = ScriptedJudge(lambda *_: graded(0))
    judged({"m": rows}, third, log, seeds=[0])
    assert third.asked == []


def test_a_folder_that_moved_is_not_paid_for_again_and_a_changed_image_is(make_rows, tmp_path):
    """Answers were kept under the path: a moved folder was asked about again, and a new picture got the old answer."""
    rows, log = make_rows(["one", "two"]), tmp_path / "log.jsonl"
    judged({"runs/m": rows}, ScriptedJudge(lambda *_: graded(2)), log, seeds=[0])
    (tmp_path / "moved").mkdir()
    moved = [row | {"path": str(tmp_path / "moved" / f"{row['sample']}.png")} for row in rows]
    for row, there in zip(rows, moved, strict=True):
        Path(row["path"]).rename(there["path"])
    again = ScriptedJudge(lambda *_: graded(0))
    found = judged({"/elsewhere/m": moved}, again, log, seeds=[0])
    assert again.asked == [] and [j.scores["accuracy"] for j in found] == [2, 2]
    Image.fromarray(np.full((8, 9, 3), 77, np.uint8)).save(moved[1]["path"])
    found = judged({"/elsewhere/m": moved}, again, log, seeds=[0])
    assert len(again.asked) == 1 and [j.scores["accuracy"] for j in found] == [2, 0]
    with pytest.raises(MediaError, match=r"0\.png: No such file.*judges are shown the images"):
        judged({"m": rows}, again, log, seeds=[0])


def test_texts_that_are_alike_share_an_answer(make_rows, tmp_path):
    rows = make_rows(["one"])
    judge = ScriptedJudge(lambda *_: graded(2))
    found = judged({"a": rows, "b": rows}, judge, tmp_path / "log.jsonl", seeds=[0])
    assert len(judge.asked) == 1 and [(j.system, j.scores["accuracy"]) for j in found] == [("a", 2), ("b", 2)]


@pytest.mark.skipif(os.name == "nt", reason="no file lock there")
def test_two_runs_cannot_judge_into_one_log(make_rows, tmp_path):
    judge = ScriptedJudge(lambda *_: graded(2))
    with appending(tmp_path / "log.jsonl"), pytest.raises(TeacherError, match="another run is writing"):
        judged({"m": make_rows(["x"])}, judge, tmp_path / "log.jsonl", seeds=[0])
    assert judge.asked == []


def test_a_damaged_log_names_its_line(make_rows, tmp_path):
    (tmp_path / "log.jsonl").write_text("[]\n")
    with pytest.raises(TeacherError, match=r"log\.jsonl:1: .*remove this line"):
        judged({"m": make_rows(["x"])}, ScriptedJudge(lambda *_: graded(1)), tmp_path / "log.jsonl")


def test_unreadable_judgements_are_counted_and_left_out(make_rows, tmp_path):
    rows = make_rows(["one", "two", "three"])
    judge = ScriptedJudge(lambda text, _: "Great text!" if '"two"' in text else graded(2, 2, 2))
    found = summarise_judgements(judged({"m": rows}, judge, tmp_path / "log.jsonl", seeds=[0]))
    assert found["judges"]["judge-a"]["n_unreadable"] == 1
    assert found["systems"]["m"]["n"] == 2
    assert found["systems"]["m"]["overall"]["mean"] == 2.0


def test_a_grade_off_the_scale_is_unreadable(make_rows, tmp_path):
    judge = ScriptedJudge(lambda *_: graded(3))
    (judgement,) = judged({"m": make_rows(["x"])}, judge, tmp_path / "log.jsonl", seeds=[0])
    assert (judgement.scores, "outside [0, 2]" in judgement.error) == ({}, True)


def test_rows_without_a_text_or_answer_are_not_judged(make_rows, tmp_path):
    rows = make_rows(["", "x"])
    rows[1]["valid"] = False
    assert judged({"m": rows}, ScriptedJudge(lambda *_: graded(1)), tmp_path / "log.jsonl") == []


def test_systems_are_compared_on_the_same_images(make_rows, tmp_path):
    good, bad = make_rows(["good"] * 6), make_rows(["bad"] * 6)
    judge = ScriptedJudge(lambda text, seed: graded(2 if '"good"' in text else seed % 2))
    found = summarise_judgements(judged({"bad": bad, "good": good}, judge, tmp_path / "log.jsonl", seeds=[0, 1]))
    (difference,) = found["differences"]
    assert (difference["first"], difference["second"], difference["n"]) == ("bad", "good", 6)
    assert difference["difference"] == pytest.approx((2 - 0.5) / 3)
    assert difference["ci"] == pytest.approx([0.5, 0.5])


def test_judges_that_agree_have_alpha_one_and_opposite_ones_below_zero(make_rows, tmp_path):
    rows = make_rows([f"text {n}" for n in range(6)])

    def by_number(text, _):
        return graded(int(text.split('"text ')[1][0]) % 3)

    def opposite(text, _):
        return graded(2 - int(text.split('"text ')[1][0]) % 3)

    log = tmp_path / "log.jsonl"
    one = judged({"m": rows}, ScriptedJudge(by_number, "a"), log)
    same = judged({"m": rows}, ScriptedJudge(by_number, "b"), log)
    other = judged({"m": rows}, ScriptedJudge(opposite, "c"), log)
    assert summarise_judgements(one + same)["between_judges"]["accuracy"] == pytest.approx(1.0)
    assert summarise_judgements(one + other)["between_judges"]["accuracy"] < -0.5
    assert summarise_judgements(one)["judges"]["a"]["between_seeds"]["accuracy"] == pytest.approx(1.0)
    assert math.isnan(summarise_judgements(one)["between_judges"]["accuracy"])


def test_alpha_matches_krippendorffs_own_example():
    """Krippendorff 2011, example C: four observers, twelve units, missing values; interval alpha 0.849."""
    x = math.nan
    rating_RU = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, x, x, x],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, x, 3],
        [x, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, x],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, x],
    ]
    assert krippendorff_alpha(rating_RU) == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_equal_ratings_says_nothing():
    assert math.isnan(krippendorff_alpha(np.ones((2, 5))))
    assert math.isnan(krippendorff_alpha([[1, 2, math.nan], [math.nan, math.nan, 3]]))


class Service(BaseHTTPRequestHandler):
    """A judge behind HTTP that finds every text accurate."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": graded(2)}
        body = json.dumps(
            {"model": asked["model"], "choices": [{"message": message, "finish_reason": "stop"}]}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def evaluation(samples, make_assess, make_rows, tmp_path):
    """A folder of `pondera evaluate` with six rows whose images exist."""
    result = evaluate(samples[:6], make_assess(0.3), name="m", num_resamples=10)
    for row, made in zip(result.rows, make_rows(["x"] * 6), strict=True):
        row["path"] = made["path"]
    result.save(tmp_path / "evaluation")
    return tmp_path / "evaluation"


def run(*words):
    return CliRunner().invoke(app, ["judge", *map(str, words)])


def test_the_command_checks_texts_without_any_judge(evaluation):
    result = run(evaluation, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == ["grounded"]
    (checks,) = found["grounded"].values()
    assert checks["n"] == 6
    assert "same texts, other images" in run(evaluation).stdout


def test_the_command_asks_judges_and_keeps_report_and_answers(evaluation, service, tmp_path):
    words = (evaluation, "--judge", "a", "--judge", "b", "--base-url", service, "--out", tmp_path / "out", "--seeds", 2)
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    assert "agreement of judges" in result.stdout
    report = json.loads((tmp_path / "out" / "judge.json").read_text())
    assert report["judged"]["judges"]["b"]["n"] == 12
    assert report["protocol"]["judges"] == ["a", "b"]
    answers = (tmp_path / "out" / "judgements.jsonl").read_bytes()
    assert answers.count(b"\n") == 24
    assert run(*words).exit_code == 0
    assert (tmp_path / "out" / "judgements.jsonl").read_bytes() == answers


def test_judges_spend_one_limit_and_what_they_used_is_reported(evaluation, tmp_path):
    behave = lambda payload: say(graded(2), model=payload["model"])  # noqa: E731 - 100 and 10 tokens a reply
    with ChatServer(behave) as server:
        words = (evaluation, "--judge", "a", "--judge", "b", "--base-url", server.url, "--out", tmp_path / "out")
        words += ("--seeds", 1, "--concurrency", 1, "--format", "json")
        refused = run(*words, "--max-cost", 9)
        assert refused.exit_code == 2 and "prices of every judge" in refused.stderr
        stopped = run(*words, "--prices", "10000,0", "--prices", "20000,0", "--max-cost", 14)  # 6 * 1, then 2, maybe 7
        assert stopped.exit_code == 1 and "8.0000 are spent" in stopped.stderr
        assert len(server.payloads) == 7
        done = run(*words, "--prices", "10000,0", "--prices", "20000,0")
        assert len(server.payloads) == 12
    spending = json.loads(done.stdout)["spending"]
    assert (spending["a"]["usage"]["cost"], spending["b"]["usage"]["cost"]) == (6, 12)
    assert {"answers": 6, "new": 5, "requests": 6, "repeated": 0, "retries": 0}.items() <= spending["b"].items()


def test_judges_keep_to_time_outs_rate_and_names_of_the_run(evaluation, tmp_path):
    """A judge could be asked with a time-out of 300 s, at any rate and under one name only."""
    pause_s = 60.0
    behave = lambda payload: Said(say(graded(2), model=f"large-{payload['model']}").body, pause_s=pause_s)  # noqa: E731
    with ChatServer(behave) as server:
        words = (evaluation, "--judge", "a", "--judge", "b", "--base-url", server.url, "--out", tmp_path / "out")
        words += ("--seeds", 1, "--concurrency", 1, "--format", "json")
        start = time.monotonic()
        ended = run(*words, "--timeout", 0.2, "--total-timeout", 1)
        assert ended.exit_code == 1 and "time limit of 1 s is over" in ended.stderr
        assert time.monotonic() - start < 40  # far from 60, however busy the machine is
        pause_s = 0.0
        refused = run(*words)
        assert refused.exit_code == 1 and "model 'large-a' answered" in refused.stderr
        assert "--also-model" in refused.stderr
        server.payloads.clear()
        start = time.monotonic()
        done = run(*words, "--also-model", "large-a", "--also-model", "large-b", "--max-rate", 600)
        assert done.exit_code == 0, done.stderr
        assert len(server.payloads) == 12 and time.monotonic() - start > 2 * 5 * 0.1  # 12 requests, 10 waits
    endless = run(*words, "--total-timeout", 0)
    assert endless.exit_code == 1 and "total_timeout_s must be > 0" in endless.stderr


def test_the_key_of_a_judge_is_sent_and_is_in_no_output_and_no_file(evaluation, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-that-nobody-may-see")
    quoting = f"<think>my key is sk-that-nobody-may-see</think>{graded(2).partition('</think>')[2]}"
    behave = lambda payload: say(quoting, model=payload["model"])  # noqa: E731
    with ChatServer(behave) as server:
        words = ("--judge", "a", "--base-url", server.url, "--out", tmp_path / "out", "--seeds", 1)
        result = run(evaluation, *words, "--api-key-env", "MY_KEY")
        assert server.headers[0]["authorization"] == "Bearer sk-that-nobody-may-see"
    assert result.exit_code == 0, result.stderr
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"my key is [API key]" in written
    assert b"nobody-may-see" not in written + result.output.encode()


def test_a_judge_of_whom_nothing_can_be_read_is_a_failure(evaluation, service, tmp_path, monkeypatch):
    """It printed a table of nan and succeeded."""
    monkeypatch.setattr("tests.evaluate.test_judge.graded", lambda grade: "fine, I think")
    result = run(evaluation, "--judge", "a", "--base-url", service, "--out", tmp_path / "out", "--seeds", 1)
    assert result.exit_code == 1 and "unreadable from a" in result.stdout
    assert "no answer of a judge could be read" in result.stderr and "judgements.jsonl" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "2"], "goes with --judge only"),
        (["--blind"], "goes with --judge only"),
        (["--timeout", "3", "--also-model", "x"], "goes with --judge only"),
        (["--judge", "a", "--base-url", "http://127.0.0.1:1/v1"], "say where"),
        (["--judge", "a", "--out", "x"], "give one, or one for each of 1 judges"),
        (["--judge", "a", "--base-url", "http://x/v1", "--out", "x", "--prices", "1"], "two numbers such as 2.5,10"),
        (["--judge", "a", "--judge", "a", "--base-url", "http://127.0.0.1:1/v1"], "stands twice"),
    ],
)
def test_options_that_would_do_nothing_or_lack_a_partner_are_refused(words, message, tmp_path):
    result = run(tmp_path, *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_judges_of_several_services_get_no_key_but_their_own():
    here, there = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"
    assert _key_envs([here, here], []) == ["OPENAI_API_KEY"] * 2
    assert _key_envs([here, here], ["A"]) == ["A", "A"]
    assert _key_envs([here, there], []) == ["", ""]
    assert _key_envs([here, there], ["A", ""]) == ["A", ""]
    with pytest.raises(typer.BadParameter, match="one for each of 2 judges"):
        _key_envs([here, there], ["A"])
