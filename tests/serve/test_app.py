"""The endpoint: what chat clients get, what is refused and how, and that batches change nothing."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading

import httpx2
import pytest
from PIL import Image

from pondera.assess import Assessor
from pondera.models import ModelCard
from pondera.serve import Limits, create_app
from pondera.serve.batches import BatchWorker, QueueFull
from tests.models.tiny import noise_image, tiny_family

QUESTION = "Rate the quality of this image. Think first."


@pytest.fixture(scope="module")
def assessor():
    return Assessor(tiny_family(), ModelCard(max_new_tokens=12))


def png(seed=0, size=(48, 64)):
    content = io.BytesIO()
    Image.fromarray(noise_image(*size, seed=seed)).save(content, "PNG")
    return content.getvalue()


def url_of(content):
    return "data:image/png;base64," + base64.b64encode(content).decode()


def chat(text=QUESTION, image=None, **changes):
    parts = [{"type": "image_url", "image_url": {"url": image or url_of(png())}}, {"type": "text", "text": text}]
    return {"model": "tiny", "messages": [{"role": "user", "content": parts}], "temperature": 0} | changes


def exchange(app, *requests):
    """Send requests (method, path, keyword arguments) side by side; the responses in their order."""

    async def run():
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.gather(*(client.request(method, path, **more) for method, path, more in requests))

    return asyncio.run(run())


def post_chat(app, body):
    (response,) = exchange(app, ("POST", "/v1/chat/completions", {"json": body}))
    return response


@pytest.fixture(scope="module")
def app(assessor):
    return create_app(assessor, "tiny")


def test_the_model_is_listed(app):
    (response,) = exchange(app, ("GET", "/v1/models", {}))
    assert [model["id"] for model in response.json()["data"]] == ["tiny"]


def test_a_greedy_completion_is_that_of_the_model(app, assessor):
    reply = post_chat(app, chat()).json()
    prompt = assessor.family.encode([noise_image()], QUESTION)
    ((expected,),) = assessor.backend.generate([prompt], num_completions=1, max_new_tokens=12, seeds=[0])
    (choice,) = reply["choices"]
    assert choice["message"] == {"role": "assistant", "content": expected.text}
    assert choice["finish_reason"] == ("stop" if expected.is_finished else "length")
    usage = {"prompt_tokens": len(prompt.ids), "completion_tokens": len(expected.ids)}
    assert reply["usage"] == usage | {"total_tokens": sum(usage.values())}
    assert (reply["object"], reply["model"]) == ("chat.completion", "tiny")


def test_seeded_completions_do_not_depend_on_who_else_asks(app):
    bodies = [chat(image=url_of(png(i)), seed=i, temperature=1.0, n=2, max_tokens=6 + i % 2) for i in range(6)]
    alone = [post_chat(app, body).json()["choices"] for body in bodies]
    together = exchange(app, *(("POST", "/v1/chat/completions", {"json": body}) for body in bodies))
    assert [response.json()["choices"] for response in together] == alone
    assert len(alone[0]) == 2


def test_a_system_message_stands_before_the_users_words(app):
    body = chat("image.")
    body["messages"].insert(0, {"role": "system", "content": "Rate the quality of this"})
    joined = post_chat(app, chat("Rate the quality of this\nimage.")).json()
    assert post_chat(app, body).json()["choices"] == joined["choices"]


def _said(app, *contents):
    """The greedy reply to one user message of these pictures (numbers) and words."""
    parts = [
        {"type": "text", "text": c}
        if isinstance(c, str)
        else {"type": "image_url", "image_url": {"url": url_of(png(c))}}
        for c in contents
    ]
    body = chat(max_tokens=8) | {"messages": [{"role": "user", "content": parts}]}
    return post_chat(app, body).json()


def test_words_between_images_stay_between_them(app, assessor):
    reply = _said(app, "First:", 1, "Second:", 2, QUESTION)
    prompt = assessor.family.encode(["First:", noise_image(seed=1), "Second:", noise_image(seed=2)], QUESTION)
    assert reply["usage"]["prompt_tokens"] == len(prompt.ids)
    ((expected,),) = assessor.backend.generate([prompt], num_completions=1, max_new_tokens=8, seeds=[0])
    assert reply["choices"][0]["message"]["content"] == expected.text


def test_a_question_before_the_images_is_put_behind_them(app):
    before, behind = _said(app, QUESTION, 1, 2), _said(app, 1, 2, QUESTION)
    assert before["choices"] == behind["choices"] and before["usage"] == behind["usage"]


def test_no_more_tokens_than_asked_for_and_than_the_model_has_room_for(app, assessor):
    assert post_chat(app, chat(max_tokens=3)).json()["usage"]["completion_tokens"] <= 3
    usage = post_chat(app, chat(max_completion_tokens=10**9)).json()["usage"]
    assert usage["total_tokens"] <= assessor.family.max_length


@pytest.mark.parametrize("mode", ["reason", "fast", "consensus"])
def test_a_score_is_the_record_of_the_command_line(app, assessor, mode):
    options = {"samples": 3, "seed": 7} if mode == "consensus" else {}
    expected = assessor(noise_image(), mode, **options).to_dict()
    as_json = ("POST", "/v1/score", {"json": {"image": url_of(png()), "mode": mode, **options}})
    headers = {"content-type": "image/png"}
    as_bytes = ("POST", "/v1/score", {"content": png(), "headers": headers, "params": {"mode": mode, **options}})
    for response in exchange(app, as_json, as_bytes):
        record = response.json()
        assert record.keys() == expected.keys()
        for name in expected.keys() - {"seconds"}:
            value = expected[name]
            assert record[name] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value)


WRONG = {
    "not JSON": ({"content": b"{"}, 400, "Invalid JSON"),
    "another model": ({"json": chat(model="gpt")}, 404, "there is no model 'gpt' here; ask for 'tiny'"),
    "an unknown setting": ({"json": chat(logit_bias={})}, 400, "logit_bias"),
    "streaming": ({"json": chat(stream=True)}, 400, "stream"),
    "an address": ({"json": chat(image="http://127.0.0.1/a.png")}, 400, "fetches no addresses"),
    "a file": ({"json": chat(image="file:///etc/passwd")}, 400, "must be a data URL"),
    "broken base64": ({"json": chat(image="data:image/png;base64,%%%")}, 400, "not valid base64"),
    "no image": ({"json": chat(image=url_of(b"hello"))}, 400, "no format that Pillow knows"),
    "half an image": ({"json": chat(image=url_of(png()[:200]))}, 400, "an image"),
    "a large image": ({"json": chat(image=url_of(png(size=(200, 200))))}, 400, "200 x 200 pixels, the limit is 10000"),
    "a long request": ({"content": b"x" * 300_001}, 413, "more than 300000 bytes"),
    "a conversation": ({"json": chat() | {"messages": chat()["messages"] * 2}}, 400, "one user message"),
    "too many images": ({"json": chat() | {"messages": [
        {"role": "user", "content": chat()["messages"][0]["content"][:1] * 3}]}}, 400, "3 images are too many"),
    "a prompt too long": ({"json": chat("quality " * 5000)}, 400, "tokens, the model reads"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_in_json(assessor, request_, status, words):
    app = create_app(assessor, "tiny", Limits(body_bytes=300_000, image_pixels=10_000, images=2))
    (response,) = exchange(app, ("POST", "/v1/chat/completions", request_))
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (status, "invalid_request_error")
    assert words in error["message"]
    assert len(error["message"]) < 400


def test_unknown_paths_wrong_methods_and_wrong_scores_are_json_too(app):
    responses = exchange(
        app,
        ("GET", "/v2", {}),
        ("GET", "/v1/score", {}),
        ("POST", "/v1/score", {"json": {"image": "x", "mode": "guess"}}),
        ("POST", "/v1/score", {"json": {"image": "x", "samples": 3}}),
        ("POST", "/v1/score", {"content": b"", "headers": {"content-type": "image/png"}, "params": {"mode": "fast"}}),
    )
    assert [response.status_code for response in responses] == [404, 405, 400, 400, 400]
    assert all(response.json()["error"]["message"] for response in responses)


def test_a_failing_model_is_a_server_error_and_the_next_request_is_answered(assessor, monkeypatch):
    app = create_app(assessor, "tiny")
    with monkeypatch.context() as patch:
        patch.setattr(assessor.backend, "generate", lambda *_, **__: 1 / 0)
        response = post_chat(app, chat())
        assert response.status_code == 500
        assert response.json()["error"]["type"] == "server_error"
    assert post_chat(app, chat()).status_code == 200


def test_jobs_of_one_group_share_a_batch_and_keep_their_order():
    go, batches = threading.Event(), []

    def compute(group, items):
        go.wait()
        batches.append((group, items))
        return [ValueError(item) if item == 13 else item * 2 for item in items]

    worker = BatchWorker(compute, batch_size=3, max_waiting=9)
    futures = [worker.submit(group, item) for group, item in [("a", 0)]]
    while worker._waiting:  # the first batch is at work
        pass
    futures += [worker.submit(group, item) for group, item in zip("ababaaa", range(10, 17), strict=True)]
    go.set()
    assert [str(f.exception() or f.result()) for f in futures] == ["0", "20", "22", "24", "13", "28", "30", "32"]
    assert batches == [("a", [0]), ("a", [10, 12, 14]), ("b", [11, 13]), ("a", [15, 16])]
    worker.close()


def test_requests_beyond_the_queue_are_refused():
    go = threading.Event()
    worker = BatchWorker(lambda group, items: [go.wait() for _ in items], max_waiting=2)
    first = worker.submit("a", 0)
    while worker._waiting:
        pass
    waiting = [worker.submit("a", i) for i in range(2)]
    with pytest.raises(QueueFull, match="2 requests wait"):
        worker.submit("a", 3)
    go.set()
    assert all(future.result(timeout=5) for future in [first, *waiting])
    worker.close()


def test_a_full_queue_is_status_429_with_a_time_to_come_back(assessor, monkeypatch):
    app = create_app(assessor, "tiny")

    def full(self, group, item):
        raise QueueFull("5 requests wait already")

    monkeypatch.setattr(BatchWorker, "submit", full)
    response = post_chat(app, chat())
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert json.loads(response.content)["error"]["code"] == "busy"
