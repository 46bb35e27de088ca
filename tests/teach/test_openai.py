"""The teacher behind HTTP: what is sent, and that a hostile service, kills and failures cost nothing twice."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.generate.chat_server import ChatServer, Said, completion, say

from pondera import prompts
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.images import load_image
from pondera.data.manifest import read_manifest, write_manifest
from pondera.errors import ConfigError, MediaError, TeacherError
from pondera.generate.ahead import made_ahead
from pondera.generate.backend import sample_seed
from pondera.generate.chat import ChatClient, LimitReached
from pondera.generate.chat_images import data_url, fitting_size
from pondera.teach import CommandTeacher, OpenAITeacher, Unanswered, distill, status

KEY = "sk-a-key-that-nobody-may-see-0123456789"


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def rationale(payload):
    """A valid completion that depends on every byte of the request and on nothing else."""
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    words = " ".join(f"the {part} area looks plain," for part in digest[:4])
    return f"<think>scene {digest}: {words} edges are there.</think><answer>{1 + int(digest[0], 16) / 4:.2f}</answer>"


def kind_service(payload):
    return say(rationale(payload))


def hostile(seed):
    """A service that fails in some way half of the time, and is right and deterministic otherwise."""
    generator = random.Random(seed)

    def behave(payload):
        good = say(rationale(payload))
        failures = [
            Said(b"slow down", 429),
            Said(b"slow down", 429, {"retry-after": "0.01"}),
            Said(b"<html>", 500),
            Said(good.body, pause_s=0.6),
            Said(good.body, cut=0),
            Said(good.body, cut=len(good.body) // 2),
            Said(good.body[:50]),
            say("x", choices=[]),
            say("x", model="another"),
            Said(b"x" * 60_000),
        ]
        return generator.choice(failures) if generator.random() < 0.5 else good

    return behave


def teacher_of(server, *, prompt="quality.short", **settings):
    names = ("temperatures", "max_tokens", "max_pixels", "version", "num_frames")
    own = {name: settings.pop(name) for name in names if name in settings}
    client = ChatClient(
        server.url,
        "teacher",
        **{"backoff_s": 0.002, "max_wait_s": 0.05, "timeout_s": 0.5, "max_reply_bytes": 20_000, "tries": 30} | settings,
    )
    return OpenAITeacher(client, prompt=prompt, **own)


def identity(payload):
    """What a request asks, to count repetitions."""
    return json.dumps(payload, sort_keys=True)


def decoded(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_a_request_holds_the_image_the_wording_and_its_own_seed(make_samples):
    samples = make_samples(2)
    with ChatServer(kind_service) as server:
        responses = list(teacher_of(server, temperatures=(0, 0.8), max_tokens=77).respond(samples, 3, seed=5))
    assert {(r.sample, r.k) for r in responses} == {(s, k) for s in ("s0", "s1") for k in range(3)}
    assert len({payload["seed"] for payload in server.payloads}) == 6
    by_text = sorted(server.payloads, key=lambda p: (p["messages"][0]["content"][0]["image_url"]["url"], p["seed"]))
    assert sorted(p["temperature"] for p in by_text) == [0, 0, 0, 0, 0.8, 0.8]
    wordings = {p["messages"][0]["content"][1]["text"] for p in by_text}
    assert wordings == set(prompts.get("quality.short").paraphrases)
    sent = {decoded(p["messages"][0]["content"][0]["image_url"]["url"]).tobytes() for p in by_text}
    assert sent == {load_image(sample.path()).tobytes() for sample in samples}
    assert {p["max_tokens"] for p in by_text} == {77}


def test_the_same_run_sends_the_same_requests(make_samples):
    sent = []
    for _ in range(2):
        with ChatServer(kind_service) as server:
            list(teacher_of(server, timeout_s=60).respond(make_samples(3), 2, seed=1))
        sent.append(sorted(map(identity, server.payloads)))
    assert sent[0] == sent[1]


def test_a_small_plain_file_is_sent_byte_by_byte(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)).save(path, quality=40)
    url = data_url(path, 600)
    assert url == "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def test_a_large_image_is_scaled_down_within_the_budget_without_loss(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)).save(path)
    url = data_url(path, 1000)
    assert url.startswith("data:image/png;")
    height, width, _ = decoded(url).shape
    assert 900 < height * width <= 1000
    assert height / width == pytest.approx(4 / 3, rel=0.05)


def test_where_a_picture_was_taken_and_how_it_was_made_is_not_sent(tmp_path):
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    exif = pixels.getexif()
    exif[0x010E], exif[0x0112] = "at the house of Mrs Secret", 6
    pixels.save(tmp_path / "a.jpg", exif=exif)
    from PIL.PngImagePlugin import PngInfo

    words = PngInfo()
    words.add_text("parameters", "Secret prompt")
    pixels.save(tmp_path / "b.png", pnginfo=words)
    for name in ("a.jpg", "b.png"):
        url = data_url(tmp_path / name, 10_000)
        assert b"Secret" not in base64.b64decode(url.partition(",")[2])
        np.testing.assert_array_equal(decoded(url), load_image(tmp_path / name))


@pytest.mark.parametrize("size", [(1, 1), (4000, 1), (1, 4000), (640, 480), (30, 70), (999, 7)])
@pytest.mark.parametrize("budget", [1, 10, 500, 100_000])
def test_a_fitted_size_is_never_empty_and_never_over_the_budget(size, budget):
    width, height = fitting_size(*size, budget)
    assert min(width, height) >= 1
    assert width * height <= budget


def test_images_are_made_side_by_side_in_order_and_only_a_few_ahead():
    """One thread decoded, scaled and encoded all images, whatever the concurrency."""
    together, begun = threading.Barrier(3, timeout=30), []

    def make(item):
        begun.append(item)
        if item < 3:
            together.wait()  # passes only when three are under way
        if item == 7:
            raise MediaError("no such image")
        return item

    made = made_ahead(make, range(100), num_threads=3, num_ahead=5)
    assert [next(made) for _ in range(4)] == [0, 1, 2, 3]
    assert max(begun) <= 3 + 5
    assert [next(made) for _ in range(3)] == [4, 5, 6]
    with pytest.raises(MediaError, match="no such image"):
        next(made)
    assert max(begun) <= 7 + 5
    assert not [t for t in threading.enumerate() if t.name.startswith("made ahead")]


def test_a_thought_that_the_service_keeps_apart_is_put_back(make_samples):
    message = {"content": "\n<answer>3.00</answer>", "reasoning_content": "\nSoft edges.\n"}
    said = say("", choices=[{"message": message, "finish_reason": "stop"}])
    with ChatServer(lambda payload: said) as server:
        (response,) = teacher_of(server).respond(make_samples(1), 1, seed=0)
    assert response.completion == "<think>Soft edges.</think><answer>3.00</answer>"


def test_the_fingerprint_follows_what_completions_depend_on_and_not_the_address():
    def fingerprint(url="http://127.0.0.1:1/v1", model="m", **settings):
        return OpenAITeacher(ChatClient(url, model), **settings).fingerprint

    assert fingerprint() == fingerprint("https://elsewhere.example/v1")
    changes = [{"model": "n"}, {"prompt": "quality.short"}, {"temperatures": (0,)}, {"max_tokens": 9}]
    changes += [{"max_pixels": 99}, {"version": "2"}]
    assert len({fingerprint(), *(fingerprint(**change) for change in changes)}) == 7


@pytest.mark.parametrize("wrong", [{"temperatures": ()}, {"temperatures": (-1,)}, {"max_tokens": 0}, {"max_pixels": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="temperatures >= 0"):
        OpenAITeacher(ChatClient("http://127.0.0.1/v1", "m"), **wrong)


def test_a_hint_needs_a_label_and_counts_for_that_label_only(make_samples, tmp_path):
    with ChatServer(kind_service) as server:
        distill(make_samples(2), teacher_of(server, prompt="quality.hint"), tmp_path, filters=())
        assert "2.00" in server.payloads[0]["messages"][0]["content"][1]["text"]
        distill(make_samples(2, mos=4.5), teacher_of(server, prompt="quality.hint"), tmp_path, filters=())
        assert len(server.payloads) == 4
        distill(make_samples(2, mos=4.5), teacher_of(server), tmp_path, filters=())
        distill(make_samples(2, mos=1.5), teacher_of(server), tmp_path, filters=())
        assert len(server.payloads) == 6
        unlabelled = make_samples(1, mos=None, scale=None)
        with pytest.raises(TeacherError, match="'s0' has no mos"):
            distill(unlabelled, teacher_of(server, prompt="quality.hint"), tmp_path)
    with pytest.raises(ConfigError, match="tells the label"):
        CommandTeacher(["true"], prompt="quality.hint")


def test_samples_that_do_not_fit_are_named(make_samples, tmp_path):
    (sample,) = make_samples(1)
    video = Sample("v", (Media("v.mp4"),), kind="video")
    gone = Sample("g", (Media("gone.png"),), mos=3.0, scale=FIVE_POINT)
    cases = [(video, TeacherError, "'v' is a video"), (gone, MediaError, r"gone\.png")]
    with ChatServer(kind_service) as server:
        for wrong, kind, words in cases:
            with pytest.raises(kind, match=words):
                list(teacher_of(server).respond([sample, wrong], 1, seed=0))


@pytest.fixture
def clips(tmp_path):
    """Two videos of plain frames that grow brighter."""
    av = pytest.importorskip("av")
    paths = []
    for name in ("a", "b"):
        paths.append(tmp_path / f"{name}.mp4")
        with av.open(str(paths[-1]), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(20):
                frame = np.full((48, 64, 3), 20 + 10 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode())
    return paths


def sent_of(sample, **settings):
    """Brightness of each picture, and the words, in the order in which they were sent."""
    with ChatServer(kind_service) as server:
        list(teacher_of(server, timeout_s=10, **settings).respond([sample], 1, seed=0))
    parts = server.payloads[0]["messages"][0]["content"]
    return [p["text"] if p["type"] == "text" else float(decoded(p["image_url"]["url"]).mean()) for p in parts]


def test_a_video_is_sent_as_frames_in_order_with_their_times(clips):
    sample = Sample("v", (Media(str(clips[0])),), kind="video")
    *parts, asked = sent_of(sample, prompt="technical.video", num_frames=4)
    words, brightness = parts[::2], parts[1::2]
    assert [text.split(",")[0] for text in words] == [f"Frame {n} of 4" for n in (1, 2, 3, 4)]
    assert all(" s" in text for text in words)
    assert brightness == sorted(brightness) and brightness[-1] - brightness[0] > 80
    assert asked == prompts.get("technical.video").render(0)
    assert len(sent_of(sample, prompt="technical.video")) == 2 * 8 + 1


def test_a_pair_of_videos_is_sent_as_two_runs_that_are_told_apart(clips):
    media = (Media(str(clips[1]), "other"), Media(str(clips[0]), "test"))
    sample = Sample("p", media, kind="video", task="compare")
    *parts, _ = sent_of(sample, prompt="technical.video.compare", num_frames=2)
    assert (parts[0], parts[5]) == ("First video:", "Second video:")
    assert [isinstance(part, str) for part in parts] == [True, True, False, True, False] * 2


def test_the_number_of_frames_makes_another_teacher_and_what_was_paid_before_stays_valid():
    def fingerprint(**settings):
        return OpenAITeacher(ChatClient("http://127.0.0.1:1/v1", "m"), **settings).fingerprint

    assert fingerprint() == fingerprint(num_frames=8) == "openai-83b9b597eed9"
    assert fingerprint(num_frames=4) != fingerprint()


def test_a_hostile_service_costs_tries_and_nothing_else(make_samples, tmp_path):
    samples = make_samples(30)
    with ChatServer(kind_service) as server:
        expected = distill(samples, teacher_of(server), tmp_path / "kind").manifest.read_bytes()
    with ChatServer(hostile(0)) as server:
        done = distill(samples, teacher_of(server), tmp_path / "hostile")
        assert done.manifest.read_bytes() == expected
        assert (done.num_new, done.num_missing) == (30, 0)
        num_seen = len(server.payloads)
        assert 40 < num_seen <= done.usage["tries"]  # a try that a busy machine cannot connect is not seen
        distill(samples, teacher_of(server), tmp_path / "hostile")
        assert num_seen == len(server.payloads)  # nothing more was asked
    assert {"requests": 30, "repeated": 0}.items() <= status(tmp_path / "hostile").items()


def test_huge_replies_of_a_hostile_service_do_not_stay_in_memory(make_samples, tmp_path):
    """Each request is answered with 2 MB of valid completion first, which no log and no memory may keep."""
    seen = set()

    def behave(payload):
        server.payloads.clear()
        asked = identity(payload)
        if asked in seen:
            return kind_service(payload)
        seen.add(asked)
        return huge

    huge = say("<think>" + "word " * 400_000 + "</think><answer>3.00</answer>")
    samples = make_samples(60)
    with ChatServer(behave) as server:
        tracemalloc.start()
        teacher = teacher_of(server, concurrency=4, max_reply_bytes=4 << 20, max_tokens=96, timeout_s=60)
        done = distill(samples, teacher, tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (done.num_new, done.usage["tries"]) == (60, 120)
    assert peak < 30_000_000  # the replies are 120 MB; this also holds what the service is sending
    assert (tmp_path / "out" / "responses.jsonl").stat().st_size < 60 * 1000


def test_refused_requests_are_missing_and_asked_again_by_the_next_run(make_samples, tmp_path):
    samples = make_samples(4)
    refused = data_url(samples[2].path(), 10**6)

    def behave(payload):
        url = payload["messages"][0]["content"][0]["image_url"]["url"]
        return Said(b'{"error": "not this image"}', 400) if url == refused else kind_service(payload)

    with ChatServer(behave) as server:
        with pytest.raises(Unanswered, match=r"no completion 0 for sample 's2': .*not this image"):
            distill(samples, teacher_of(server), tmp_path / "out")
        done = distill(samples, teacher_of(server), tmp_path / "out", allow_missing=True)
        assert (done.num_responses, done.num_missing, done.num_kept) == (3, 1, 3)
        assert "not this image" in done.missing["s2/0"]
        assert [s.id for s in read_manifest(done.manifest)] == ["s0", "s1", "s3"]
        assert len(server.payloads) == 5
        server.behave = kind_service
        done = distill(samples, teacher_of(server), tmp_path / "out")
    assert (done.num_new, done.num_missing, done.num_kept) == (1, 0, 4)
    assert {"recorded": 4, "requests": 6, "repeated": 2}.items() <= status(tmp_path / "out").items()


def test_what_is_missing_is_asked_for_in_one_go_and_nothing_else_is(make_samples, tmp_path):
    """Samples that lacked different completions were asked about one after the other, whatever the concurrency."""
    samples = make_samples(4)
    lost = {sample_seed(f"s{i}/{k}", seed=0) for i, ks in enumerate([(0,), (1,), (2,), (0, 2)]) for k in ks}

    def behave(payload):
        return Said(status=400) if payload["seed"] in lost else kind_service(payload)

    with ChatServer(behave) as server:
        distill(samples, teacher_of(server), tmp_path / "out", num=3, allow_missing=True)
    with ChatServer(lambda payload: Said(kind_service(payload).body, pause_s=0.3)) as server:
        done = distill(samples, teacher_of(server, concurrency=5, timeout_s=60), tmp_path / "out", num=3)
    assert sorted(payload["seed"] for payload in server.payloads) == sorted(lost)
    assert (done.num_new, done.num_responses, server.most_open) == (5, 12, 5)


def test_a_cost_limit_keeps_what_was_paid_and_a_new_run_goes_on(make_samples, tmp_path):
    samples = make_samples(12)
    prices = {"prices": (1e4, 0.0), "concurrency": 2}  # 1 a reply
    with ChatServer(kind_service) as server:
        with pytest.raises(LimitReached, match="limit is 5"):
            distill(samples, teacher_of(server, max_cost=5, **prices), tmp_path / "out")
        halfway = status(tmp_path / "out")
        assert halfway["recorded"] == halfway["usage"]["cost"] == len(server.payloads) == 5
        assert halfway["requests"] == 5  # what the limit kept back was never sent
        done = distill(samples, teacher_of(server, **prices), tmp_path / "out")
    assert done.usage["cost"] == len(server.payloads) == 12


def test_the_key_is_in_no_file_of_a_distillation(make_samples, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    samples = make_samples(3)
    bad = data_url(samples[1].path(), 10**6)

    def behave(payload):
        if payload["messages"][0]["content"][0]["image_url"]["url"] == bad:
            return Said(f'{{"error": {{"message": "key {KEY} may not"}}}}'.encode(), 400)
        return say(rationale(payload).replace("scene", f"scene {KEY}"))

    with ChatServer(behave) as server:
        done = distill(samples, teacher_of(server), tmp_path / "out", allow_missing=True)
    assert all(headers["authorization"] == f"Bearer {KEY}" for headers in server.headers)
    assert "key [API key] may not" in done.missing["s1/0"]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) == 5  # manifest, responses, requests, state, filter report
    assert not any(KEY.encode() in path.read_bytes() for path in files)
    assert KEY not in json.dumps([done.to_dict(), status(tmp_path / "out")])


@pytest.mark.parametrize("key", ["sk-first\nsk-second", "sk-a b", "sk-\u2026"])
def test_a_key_that_fits_no_header_is_refused_without_being_quoted(monkeypatch, key):
    """The HTTP library quoted it in its error, which went into messages and the run's state."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match="value of OPENAI_API_KEY holds white space") as caught:
        ChatClient("http://127.0.0.1:1/v1", "m")
    assert "sk-" not in str(caught.value)


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from pondera.data.manifest import read_manifest
from tests.teach.test_openai import distill, teacher_of
class Server:
    url = {url!r}
distill(read_manifest({manifest!r}), teacher_of(Server, timeout_s=60), {out!r}, num=2)  # no retries: they repeat too
"""


def run_and_kill(samples, tmp_path, *, behave, num_kills):
    """Distil with kills at even distances; the finished file, and all payloads that the service saw."""
    write_manifest(tmp_path / "in.jsonl", samples)
    log = tmp_path / "killed" / "responses.jsonl"
    with ChatServer(behave) as server:
        settings = {"root": str(Path(__file__).parents[2]), "url": server.url, "manifest": str(tmp_path / "in.jsonl")}
        program = tmp_path / "distil.py"
        program.write_text(PROGRAM.format(**settings, out=str(tmp_path / "killed")))
        for kill in range(1, num_kills + 1):
            process = subprocess.Popen([sys.executable, program])
            target = kill * 2 * len(samples) // (num_kills + 1)
            deadline = time.monotonic() + 60
            while (not log.exists() or log.read_bytes().count(b"\n") < target) and time.monotonic() < deadline:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        num_recorded = log.read_bytes().count(b"\n")
        done = distill(samples, teacher_of(server, timeout_s=60), tmp_path / "killed", num=2)
        assert done.num_new == 2 * len(samples) - num_recorded
        return done, server.payloads


def check_kills(samples, tmp_path, *, num_kills):
    def slow(payload):
        return Said(kind_service(payload).body, pause_s=0.01)

    with ChatServer(kind_service) as server:
        whole = distill(samples, teacher_of(server), tmp_path / "whole", num=2).manifest.read_bytes()
    done, payloads = run_and_kill(samples, tmp_path, behave=slow, num_kills=num_kills)
    assert done.manifest.read_bytes() == whole
    num_repeated = len(payloads) - len({identity(payload) for payload in payloads})
    assert num_repeated <= num_kills * 2 * 8  # at most what was under way or unrecorded: twice the concurrency
    counted = status(tmp_path / "killed")
    assert counted["recorded"] == 2 * len(samples)
    assert num_repeated <= counted["repeated"] <= num_kills * 2 * 8  # a request noted but not yet sent counts as well
    assert counted["requests"] == counted["recorded"] + counted["repeated"]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_in_the_middle_the_final_file_is_the_same_and_repetitions_are_counted(make_samples, tmp_path):
    check_kills(make_samples(60), tmp_path, num_kills=2)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_ten_times_the_final_file_is_the_same(make_samples, tmp_path):
    check_kills(make_samples(500), tmp_path, num_kills=10)


@pytest.mark.slow
def test_a_thousand_samples_complete_against_a_hostile_service(make_samples, tmp_path):
    samples = make_samples(1000)
    with ChatServer(kind_service) as server:
        expected = distill(samples, teacher_of(server), tmp_path / "kind").manifest.read_bytes()
    with ChatServer(hostile(1)) as server:
        done = distill(samples, teacher_of(server, concurrency=16), tmp_path / "hostile")
    assert done.manifest.read_bytes() == expected
    assert (done.num_new, done.num_missing) == (1000, 0)


def test_an_unfinished_completion_is_recorded_with_the_words_it_has(make_samples, tmp_path):
    choice = {"message": {"content": None}, "finish_reason": "length"}
    with ChatServer(lambda payload: Said(json.dumps(completion("", choices=[choice])).encode())) as server:
        done = distill(make_samples(1), teacher_of(server), tmp_path / "out")
    assert (done.num_new, done.num_kept) == (1, 0)
    assert sum(done.dropped.values()) == 1
