"""The HTML page: self-contained, escaped, complete."""

import base64
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tests.data.video.clips import number_in, write_clip

from pondera.core.metrics import summarise_groups
from pondera.errors import DatasetError
from pondera.evaluate.page import middle_frame
from pondera.report import GalleryEntry, GalleryItem, System, read_curves, render_report, svg
from pondera.report.words import by_note, number, p_value, summary_sentences

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"
VOID = {"meta", "img", "br", "link", "hr", "input"}


class _Page(HTMLParser):
    """Collects tags, and checks that they close in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.urls = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.urls += [value for name, value in attributes if name in ("src", "href")]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _system(name, noise, seed=0, dataset="sim", n=80):
    rng = np.random.default_rng(seed)
    mos = rng.uniform(1, 5, n)
    score = mos + noise * rng.normal(size=n) if math.isfinite(noise) else np.full(n, 3.0)
    rows = [
        {"dataset": dataset, "score": float(s), "mos": float(m), "scale_low": 1.0, "scale_high": 5.0}
        for s, m in zip(score, mos, strict=True)
    ]
    return System(name, summarise_groups(score, mos, dataset=[dataset] * n, num_resamples=50), rows)


def _comparison(low=0.01, high=0.09):
    entry = {"first": 0.7, "second": 0.75, "difference": (low + high) / 2, "ci": [low, high], "p": 0.004}
    return {"baseline": "cold", "other": "tuned", "n": 80, "n_dropped": 1, "srcc": entry, "plcc": entry}


def _page(**options):
    given = {"title": "Trial", "protocol": {"cold": {"mode": "reason"}}, "systems": [_system("cold", 0.5)]}
    return render_report(**(given | options))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 600, 3), dtype=np.uint8)).save(path)
    return path


def test_page_is_well_formed_and_loads_nothing_from_outside(picture):
    item = GalleryItem(str(picture), "a.png", 3.0, (1.0, 5.0), (GalleryEntry("cold", 2.5, "soft", {"noise": 4}),))
    curves = {"grpo/reward": [{"step": i, "value": i / 50} for i in range(50)]}
    text = _page(gallery=[item], curves=curves, comparisons=[_comparison()], environment={"numpy": "2"})
    page = _Page(text)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(url.startswith("data:image/jpeg;base64,") for url in page.urls)
    assert "url(" not in text
    assert re.findall(r"https?://", text) == []
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    "place", ["title", "reasoning", "system", "error", "aspect", "note", "protocol", "curve", "named"]
)
def test_markup_in_any_text_stays_text(place, tmp_path):
    say = {place: ATTACK}
    entry = GalleryEntry(
        say.get("system", "cold"),
        2.0,
        say.get("reasoning", ""),
        {say.get("aspect", "noise"): 2},
        True,
        say.get("error"),
    )
    item = GalleryItem("missing.png", say.get("title", "t"), 3.0, (1.0, 5.0), (entry,), say.get("note", ""))
    system = _system(say.get("system", "cold"), 0.5)
    truth = {"n": 1, "fraction": 1.0, "fraction_ci": [math.nan] * 2, "n_silent": 0}
    truth["types"] = {"blur": {"aspect": "x", "n": 1, "fraction": 1.0, "named": {say.get("named", "x"): 1}}}
    text = _page(
        title=say.get("title", "t"),
        systems=[system],
        gallery=[item],
        protocol={say.get("system", "cold"): {"prompt": say.get("protocol", "p")}},
        curves={f"s/{say.get('curve', 'loss').replace('/', '|')}": [{"step": 1, "value": 2.0}]},
        comparisons=[_comparison() | {"other": say.get("system", "tuned")}],
        truthfulness={say.get("system", "cold"): truth},
    )
    page = _Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_summary_says_what_the_numbers_say():
    metrics = {name: _system(name, noise, seed).metrics for name, noise, seed in [("cold", 1.0, 1), ("tuned", 0.3, 2)]}
    text = " ".join(summary_sentences(metrics, [_comparison()], {}))
    assert text.startswith("tuned reaches SRCC 0.9")
    assert "highest SRCC of 2 systems" in text
    assert "tuned is above cold by 0.050 in SRCC (95 % interval 0.010 to 0.090" in text
    assert "Every answer was valid." in text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.02, 0.05, "cannot be told apart"),
        (-0.09, -0.01, "is below cold by 0.050"),
        (math.nan, math.nan, "cannot be compared"),
    ],
)
def test_summary_claims_no_more_than_the_interval_allows(low, high, expected):
    assert expected in " ".join(summary_sentences({}, [_comparison(low, high)], {}))


def test_summary_reports_invalid_answers_and_truthfulness():
    metrics = {"cold": summarise_groups([1.0, 2.0, 3.0, math.nan], [1.0, 2.0, 3.0, 4.0], num_resamples=10)}
    truth = {"cold": {"n": 40, "fraction": 0.8, "fraction_ci": [0.66, 0.91], "n_silent": 2, "types": {}}}
    text = " ".join(summary_sentences(metrics, [], truth))
    assert "1 invalid answer out of 4 (25.0 %)" in text
    assert "in 80 % (66 to 91 %) for cold" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_constant_system_is_shown_as_undefined():
    text = _page(systems=[_system("mean", math.nan), _system("cold", 0.5)])
    assert "mean has no correlation" in text
    assert "all scores are equal" in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S).lower().replace("finance", "")


def test_an_image_that_cannot_be_read_is_named_not_fatal(tmp_path, picture):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:3000])
    for name in ("text.png", "cut.png", "missing.png"):
        text = _page(gallery=[GalleryItem(str(tmp_path / name), name, 3.0, (1.0, 5.0), ())])
        assert "no picture:" in text


def test_thumbnails_are_small_and_any_mode_of_image_works(tmp_path):
    for mode, size in (("RGBA", (900, 500)), ("CMYK", (500, 900)), ("I;16", (64, 64)), ("P", (10, 10)), ("L", (1, 1))):
        path = tmp_path / f"{mode.replace(';', '')}.tif"
        Image.new(mode, size).save(path)
        text = _page(gallery=[GalleryItem(str(path), "x", 3.0, (1.0, 5.0), ())])
        data = re.search(r"data:image/jpeg;base64,([^\"]+)", text)[1]
        with Image.open(io.BytesIO(base64.b64decode(data))) as small:
            assert max(small.size) <= 320


def test_a_clip_shows_its_middle_frame_and_a_broken_one_says_so(tmp_path):
    write_clip(tmp_path / "clip.mp4", num=9)
    (tmp_path / "cut.mp4").write_bytes(b"no clip")
    pictures = []
    for name in ("clip.mp4", "cut.mp4", "gone.mp4"):
        item = GalleryItem(str(tmp_path / name), name, 3.0, (1.0, 5.0), ())
        pictures.append(_page(gallery=[item], still_of=middle_frame))
    data = re.search(r"data:image/jpeg;base64,([^\"]+)", pictures[0])[1]
    assert number_in(np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))) == 4
    assert "no picture: cannot be read" in pictures[1]
    assert "no picture: file not found" in pictures[2]


def test_page_with_many_rows_stays_small():
    text = _page(systems=[_system("cold", 0.5, n=20_000)])
    assert text.count("<circle") < svg.MOST_POINTS + 10
    assert "even selection" in text


def test_datasets_and_subsets_get_tables_of_their_own():
    rng = np.random.default_rng(0)
    mos, score = rng.uniform(1, 5, 80), rng.uniform(1, 5, 80)
    dataset, subset = ["aa", "bb"] * 40, ["night", "night", "day", "day"] * 20
    metrics = summarise_groups(score, mos, dataset=dataset, subset=subset, num_resamples=10)
    text = _page(systems=[System("cold", metrics)])
    for heading in ("Overall", "aa", "bb", "aa/day", "bb/night"):
        assert f"<h3>{heading}</h3>" in text


def test_invalid_answers_are_counted_as_the_worst_in_every_part_that_has_them_and_in_no_other():
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 80)
    dataset, subset = ["aa", "bb"] * 40, ["night", "night", "day", "day"] * 20
    score = mos + rng.normal(size=80)
    score[1] = math.nan  # of bb, night
    low = np.where(np.isnan(score), 1.0, score)
    options = {"dataset": dataset, "subset": subset, "num_resamples": 10}
    metrics = {**summarise_groups(score, mos, **options), "worst_case": summarise_groups(low, mos, **options)}
    clean = summarise_groups(low, mos, **options)
    text = _page(systems=[System("cold", metrics), System("clean", {**clean, "worst_case": clean})])
    section = text[text.index("Invalid answers counted as the worst score") : text.index("<h3>aa/day</h3>")]
    assert re.findall("<h4>(.*?)</h4>", section) == ["Overall", "bb", "bb/night"]
    assert f"{metrics['worst_case']['subsets']['bb/night']['srcc']:.3f}".replace("-", "\N{MINUS SIGN}") in section
    assert ">clean<" not in section
    assert "Invalid answers counted" not in _page(systems=[System("clean", {**clean, "worst_case": clean})])


def test_a_comparison_on_several_sets_shows_each():
    parts = {name: {"n": 40, **{key: _comparison()[key] for key in ("srcc", "plcc")}} for name in ("aa", "bb")}
    text = _page(comparisons=[{**_comparison(), "datasets": parts}])
    assert "on aa" in text and "on bb" in text
    assert "on aa" not in _page(comparisons=[{**_comparison(), "datasets": {"aa": parts["aa"]}}])


def test_ticks_are_round_numbers_inside_the_range():
    assert svg.ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert svg.ticks(-3.0, 97.0) == pytest.approx([0, 20, 40, 60, 80])
    assert all(1.02 <= t <= 1.0301 for t in svg.ticks(1.02, 1.03))


@pytest.mark.parametrize("points", [[(1.0, 2.0)], [(1.0, 2.0), (1.0, 2.0)], [(0.0, 0.0), (1e-300, 1e300)]])
def test_figures_survive_degenerate_points(points):
    for figure in (
        svg.scatter(points, x_label="x", y_label="y", diagonal=True),
        svg.line(points, x_label="x", y_label="y"),
    ):
        assert "nan" not in figure
        assert "inf" not in figure
    assert "undefined" in svg.intervals([("a", math.nan, math.nan, math.nan)], x_label="x")


def test_a_long_name_is_shortened_in_the_middle_so_that_its_number_is_seen():
    figure = svg.intervals([("runs/" + 30 * "very/" + "final", 0.5, 0.4, 0.6)], x_label="x")
    (text,) = re.findall(r'class="row"[^>]*>([^<]*)<', figure)
    assert text.startswith("runs/very")
    assert text.endswith("very/final  0.500")
    assert len(text) < 50


def test_numbers_are_set_with_a_real_minus_and_a_dash_for_unknown():
    assert number(-0.5) == "\N{MINUS SIGN}0.500"
    assert number(math.nan) == number(None) == "\N{EN DASH}"
    assert number(12_345) == "12,345"
    assert (p_value(0.0001), p_value(0.04)) == ("< 0.001", "0.040")


def test_curves_are_read_by_stage_and_a_torn_last_line_is_forgiven(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"stage": "grpo", "step": 2, "reward": 0.5, "lr": 1}\n{"stage": "grpo", "step": 1, "reward": 0.4}\n'
        '{"step": 1, "loss": NaN}\n{"step": 2, "loss": 3}\n{"step": 3, "lo'
    )
    assert read_curves(path) == {
        "grpo/reward": [{"step": 1, "value": 0.4}, {"step": 2, "value": 0.5}],
        "loss": [{"step": 2, "value": 3.0}],
    }
    assert set(read_curves(path, ["lr"])) == {"grpo/lr"}


def test_a_broken_line_inside_the_curves_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 3}\n{"step": 2, "loss": 3}\n')
    with pytest.raises(DatasetError, match=r"metrics.jsonl:1: not a JSON object with a step"):
        read_curves(path)
    with pytest.raises(DatasetError, match="no such file"):
        read_curves(tmp_path / "missing.jsonl")


def test_a_remark_that_holds_for_several_systems_stands_once():
    rows = [("a", {"notes": ["steep", "few"]}), ("b", {"notes": []}), ("c", {"notes": ["steep"]})]
    assert by_note(rows) == [("steep", ["a", "c"]), ("few", ["a"])]
