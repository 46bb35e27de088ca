"""The endpoint: what chat clients get, what is refused and how, and that batches change nothing."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from pondera.assess import Assessor
from pondera.models import ModelCard
from pondera.serve import Limits, create_app
from pondera.serve.batches import PATIENCE, BatchWorker, QueueFull
from pondera.serve.images import EncodedImage
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
    "an unknown setting": ({"json": chat(mirostat=2)}, 400, "mirostat"),
    "a setting that would be ignored": ({"json": chat(top_p=0.9)}, 400, "top_p is not supported, it may only be 1;"),
    "a stop word": ({"json": chat(stop=["</think>"])}, 400, "stop is not supported"),
    "a format": ({"json": chat(response_format={"type": "json_object"})}, 400, 'may only be {"type": "text"}'),
    "a tool": ({"json": chat(tools=[{"type": "function"}])}, 400, "tools is not supported"),
    "log-probabilities": ({"json": chat(logprobs=True)}, 400, "logprobs is not supported"),
    "options of no stream": ({"json": chat(stream_options={"include_usage": True})}, 400, "stream: true only"),
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


def test_the_request_of_the_documentation_is_answered(app):
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    text = page.split("printf '")[1].split("' \\")[0] % base64.b64encode(png()).decode()
    reply = post_chat(app, json.loads(text) | {"model": "tiny"})
    assert reply.status_code == 200 and reply.json()["usage"]["completion_tokens"] > 0


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


def test_the_model_waits_for_those_whom_it_just_answered():
    sizes = []

    def compute(group, items):
        sizes.append(len(items))
        time.sleep(0.5)
        return items

    def ask(worker, times, pause_s):
        for i in range(times):
            worker.submit("a", i).result(timeout=10)
            time.sleep(pause_s)  # one client after the other is ready again

    worker = BatchWorker(compute)
    clients = [threading.Thread(target=ask, args=(worker, 3, 0.008 * i)) for i in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert sizes == [1, 4, 4, 3]  # the first client found the model idle; who asked three times is done
    worker.close()


def test_nobody_is_waited_for_who_stays_away():
    took_s = 0.2
    worker = BatchWorker(lambda group, items: [time.sleep(took_s / len(items)) for _ in items])
    together = [worker.submit("a", i) for i in range(4)]
    for future in together:
        future.result(timeout=10)
    start = time.monotonic()
    for i in range(3):  # alone from now on: the wait for the others ends, and does not come back
        worker.submit("a", i).result(timeout=10)
    assert time.monotonic() - start < 3 * took_s + 2 * PATIENCE * took_s + 0.1
    worker.close()


def test_a_model_for_videos_scores_no_images(assessor, monkeypatch):
    monkeypatch.setattr(assessor, "card", replace(assessor.card, prompt="quality.short.video"))
    app = create_app(assessor, "tiny")
    (response,) = exchange(app, ("POST", "/v1/score", {"content": b"x", "headers": {"content-type": "image/png"}}))
    assert response.status_code == 400 and "judges videos" in response.json()["error"]["message"]


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


# What openai 3.57.0 sent for chat.completions.create(...) with these arguments, recorded at a server of its own; the
# address of the image and the model's name apart.
SENT_BY_OPENAI = {
    "frequency_penalty": 0, "logit_bias": {}, "logprobs": False, "max_completion_tokens": 8, "metadata": {"a": "b"},
    "n": 1, "presence_penalty": 0.0, "response_format": {"type": "text"}, "seed": 7, "stop": [], "stream_options": None,
    "temperature": 0, "tools": [], "top_p": 1, "user": "me",
}  # fmt: skip


@pytest.mark.parametrize("detail", ["auto", "low", "high", None])
def test_settings_that_change_nothing_are_accepted_from_foreign_clients(app, detail):
    body = chat(max_tokens=8)
    plain = post_chat(app, body).json()
    body["messages"][0]["content"][0]["image_url"]["detail"] = detail
    del body["max_tokens"]
    foreign = post_chat(app, body | SENT_BY_OPENAI).json()
    assert foreign["choices"] == plain["choices"] and foreign["usage"] == plain["usage"]


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_stream_holds_what_the_whole_reply_holds(app, with_usage):
    body = chat(n=2, temperature=1.0, seed=3, max_tokens=8)
    whole = post_chat(app, body).json()
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    response = post_chat(app, body | {"stream": True, **options})
    assert response.headers["content-type"].startswith("text/event-stream")
    *lines, end, rest = response.text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    for choice in whole["choices"]:
        pieces = [x for event in events for x in event["choices"] if x["index"] == choice["index"]]
        assert "".join(piece["delta"].get("content", "") for piece in pieces) == choice["message"]["content"]
        assert pieces[0]["delta"]["role"] == "assistant" and pieces[-1]["finish_reason"] == choice["finish_reason"]
    assert [event["usage"] for event in events if "usage" in event] == ([whole["usage"]] if with_usage else [])


def test_one_model_can_be_asked_for_by_name(app):
    found, other = exchange(app, ("GET", "/v1/models/tiny", {}), ("GET", "/v1/models/a/b", {}))
    assert found.json()["id"] == "tiny"
    assert other.status_code == 404 and other.json()["error"]["code"] == "model_not_found"


def test_an_image_is_decoded_when_its_turn_comes_and_not_while_it_waits(assessor, monkeypatch):
    app = create_app(assessor, "tiny", Limits(batch_size=1))
    go, decoded, generate = threading.Event(), [], assessor.backend.generate
    decode = EncodedImage.decode
    monkeypatch.setattr(EncodedImage, "decode", lambda self: decoded.append(self) or decode(self))
    monkeypatch.setattr(assessor.backend, "generate", lambda *args, **more: go.wait(30) and generate(*args, **more))

    async def run():
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            send = partial(client.post, "/v1/chat/completions", json=chat(max_tokens=2))
            tasks = [asyncio.create_task(send()) for _ in range(4)]
            while not decoded:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            at_work = len(decoded)
            go.set()
            return at_work, [response.status_code for response in await asyncio.gather(*tasks)]

    assert asyncio.run(run()) == (1, [200] * 4)
    assert len(decoded) == 4


def test_requests_that_hold_too_many_bytes_together_are_sent_away_until_others_are_answered(assessor, monkeypatch):
    body = json.dumps(chat(image=url_of(png(size=(200, 200))), max_tokens=2)).encode()
    size = len(body)
    app = create_app(assessor, "tiny", Limits(body_bytes=size, waiting_bytes=1))  # room for two of the longest
    go, generate = threading.Event(), assessor.backend.generate
    monkeypatch.setattr(assessor.backend, "generate", lambda *args, **more: go.wait(30) and generate(*args, **more))

    async def run():
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            send = partial(client.post, "/v1/chat/completions", content=body)
            tasks = [asyncio.create_task(send()) for _ in range(3)]
            (refused,) = (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=30))[0]
            go.set()
            answered = await asyncio.gather(*tasks)
            return refused.result(), [response.status_code for response in answered], (await send()).status_code

    refused, statuses, later = asyncio.run(run())
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert f"of {2 * size} bytes" in refused.json()["error"]["message"]
    assert sorted(statuses) == [200, 200, 429] and later == 200


def test_a_damaged_image_costs_its_own_request_only(app, monkeypatch):
    """Its head is fine, so that it is found when its turn comes, beside others of its batch."""
    damaged = png(size=(200, 200))[:20_000]
    bodies = [{"image": url_of(content), "mode": "fast"} for content in (png(), damaged, png(1))]
    scores = exchange(app, *(("POST", "/v1/score", {"json": body}) for body in bodies))
    chats = [chat(image=url_of(content), max_tokens=2) for content in (png(), damaged, png(1))]
    replies = exchange(app, *(("POST", "/v1/chat/completions", {"json": body}) for body in chats))
    for responses in (scores, replies):
        assert [response.status_code for response in responses] == [200, 400, 200]
        assert responses[1].json()["error"]["code"] == "bad_image"


def test_a_full_queue_is_status_429_with_a_time_to_come_back(assessor, monkeypatch):
    app = create_app(assessor, "tiny")

    def full(self, group, item):
        raise QueueFull("5 requests wait already")

    monkeypatch.setattr(BatchWorker, "submit", full)
    response = post_chat(app, chat())
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert json.loads(response.content)["error"]["code"] == "busy"
