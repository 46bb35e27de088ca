"""The page in a real browser: Chromium, driven through the HTTP interface of chromedriver; skipped without them."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Assessment, Distortion, Media, Sample
from pondera.evaluate import evaluate
from pondera.evaluate.document import write_documents
from pondera.evaluate.protocols import load_protocol

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome"))),
        reason="needs chromium and chromedriver (Debian: apt install chromium chromium-driver)",
    ),
]

ATTACK = "<script>document.title = 'taken'; fetch('https://example.org')</script><img src=x onerror=\"alert(1)\">"
PHONE = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 3.0, "mobile": True, "touch": True}}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with every section: two systems, protocol, subsets, distortions, spread, grades, invalid answers."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    samples = []
    for i in range(60):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(path)
        samples.append(
            Sample(
                f"a-rather-long-name-of-a-file-{i}.png", (Media(str(path)),), dataset=("koniq10k", "spaq")[i % 2],
                mos=float(rng.uniform(1, 5)), scale=FIVE_POINT, subset=f"part {i % 3}", split="test",
                distortions=(Distortion("gaussian_blur", 5),) if i < 20 else (),
            )
        )  # fmt: skip

    def system(noise):
        def assess(items):
            return [
                Assessment(
                    s.path(), s.mos + noise * rng.normal() if k else float("nan"), FIVE_POINT, "consensus", spread=0.4,
                    reasoning=f"The sharpness is bad. {ATTACK}", aspects={"sharpness": 1, "noise": 3 + k % 2},
                    valid=bool(k), error=None if k else f"no answer block {ATTACK}", fingerprint="f00d",
                )
                for k, s in enumerate(items)
            ]  # fmt: skip

        return assess

    facts = {"leakage": [f"koniq10k: 3 samples {ATTACK}"], "preprocessing": {"a_long_key": ["x" * 300]}}
    runs = [
        evaluate(samples, system(noise), name=name, whole_samples=True, num_resamples=50, protocol=facts)
        for name, noise in (("runs/of-some-length/with/folders/final", 1.0), (f"second {ATTACK}", 0.3))
    ]
    return write_documents(folder, runs, title=f"Trial {ATTACK}", protocol=load_protocol("koniq-trained"))


@pytest.fixture(scope="module")
def driver():
    """Calls to a fresh chromedriver: driver(method, path, body) -> value."""
    port = "29733"
    process = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def call(method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            error.close()
            raise AssertionError(text) from None

    for _ in range(100):
        try:
            call("GET", "/status")
            break
        except urllib.error.URLError:
            time.sleep(0.1)
    yield call
    process.terminate()
    process.wait()


@pytest.fixture(params=[PHONE, None], ids=["phone", "desktop"])
def opened(driver, report, request):
    """(run a script in the opened page, messages of the console, addresses that were asked for)."""
    arguments = ["--headless=new", "--disable-gpu", "--window-size=1280,900"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to start as root with it
    options = {"args": arguments, **({"mobileEmulation": request.param} if request.param else {})}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
    session = driver("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
    try:
        driver("POST", f"/session/{session}/url", {"url": report.as_uri()})

        def run(script):
            return driver("POST", f"/session/{session}/execute/sync", {"script": script, "args": []})

        run("document.querySelectorAll('details').forEach(d => d.open = true)")
        console = driver("POST", f"/session/{session}/se/log", {"type": "browser"})
        events = [
            json.loads(entry["message"])["message"]
            for entry in driver("POST", f"/session/{session}/se/log", {"type": "performance"})
        ]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        yield run, console, asked
    finally:
        driver("DELETE", f"/session/{session}")


def test_page_opens_offline_without_console_messages_or_requests(opened, report):
    _, console, asked = opened
    assert console == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]


def test_script_tags_in_texts_stay_text(opened):
    run, *_ = opened
    assert run("return document.scripts.length") == 0
    assert run("return document.title").startswith("Trial <script>")
    assert "<script>document.title" in run("return document.querySelector('.reasoning').textContent")
    assert run("return document.querySelectorAll('img:not([src^=\"data:image/jpeg\"])').length") == 0


def test_nothing_is_wider_than_the_screen(opened):
    run, *_ = opened
    assert run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert run("return window.innerWidth") in (390, 1280)
    wider = """
    const inside = element => element.closest('.wide') !== null;
    return [...document.querySelectorAll('body *')]
      .filter(e => !inside(e) && e.getBoundingClientRect().right > window.innerWidth + 1)
      .map(e => e.tagName + '.' + e.className).slice(0, 5)"""
    assert run(wider) == []


def test_letters_are_large_enough_to_read(opened):
    run, *_ = opened
    sizes = """
    const texts = [...document.querySelectorAll('p, td, th')]
    return Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize)))"""
    assert run(sizes) >= 12
