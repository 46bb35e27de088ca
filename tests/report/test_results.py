"""The table of results as Markdown and LaTeX."""

import math

import pytest

from pondera.report.results import Answers, ResultRow, Results, to_latex, to_markdown

NAN = (math.nan, math.nan)


@pytest.fixture
def results():
    return Results(
        columns=("koniq10k", "spaq"),
        rows=(
            ResultRow("Q-Insight", ((0.916, 0.933), NAN), "a table"),
            ResultRow("other", ((0.5, math.nan), (0.9, 0.9)), "another table"),
            ResultRow("ours", ((0.93, 0.9204), (-0.1, 0.05))),
        ),
        domains=("in", "cross"),
    )


def test_markdown_holds_numbers_sources_and_bold_maxima(results):
    text = to_markdown(results)
    lines = text.splitlines()
    assert lines[:5] == [
        "| System | koniq10k (in) | spaq (cross) |",
        "|---|---|---|",
        "| Q-Insight [1] | .916 / **.933** | -- |",
        "| other [2] | .500 / -- | **.900** / **.900** |",
        "| ours | **.930** / .920 | -.100 / .050 |",
    ]
    assert "Published, not measured here:\n\n1. a table\n2. another table\n" in text


def test_latex_is_a_booktabs_table(results):
    text = to_latex(results)
    assert r"Q-Insight$^{1}$ & .916 / \textbf{.933} & -- \\" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert r"\begin{tabular}{lcc}" in text


def test_a_lone_number_is_not_the_best():
    results = Results(("a",), (ResultRow("x", ((0.5, 0.5),)),))
    assert "**" not in to_markdown(results)
    assert "Published" not in to_markdown(results)


def test_numbers_that_print_alike_are_both_the_best():
    rows = (ResultRow("x", ((0.90041, 0.1),)), ResultRow("y", ((0.9002, 0.2),)))
    assert to_markdown(Results(("a",), rows)).count("**.900**") == 2


@pytest.mark.parametrize(
    ("name", "markdown", "latex"),
    [
        ("a_b|c", r"a\_b\|c", r"a\_b\textbar{}c"),
        ("<b>x</b>", r"\<b\>x\</b\>", "$<$b$>$x$<$/b$>$"),
        ("[1ex] x", r"\[1ex\] x", "{}[1ex] x"),  # behind a line break it would be a length
        ("* x", r"\* x", "{}* x"),
        ("50 % & more", r"50 % \& more", r"50 \% \& more"),
        ("two\nlines", "two lines", "two lines"),
        ("\\end{table}", "\\\\end{table}", r"\textbackslash{}end\{table\}"),
    ],
)
def test_names_cannot_break_the_table(name, markdown, latex):
    results = Results(("a",), (ResultRow(name, ((0.5, 0.5),)),))
    assert f"| {markdown} |" in to_markdown(results)
    assert f"{latex} & .500" in to_latex(results)


def _difference(value, low, high, p):
    return {"difference": value, "ci": [low, high], "p": p}


@pytest.fixture
def compared(results):
    """Ours with intervals, one comparison on two sets, and answers that were lost."""
    ours = ResultRow("ours", ((0.93, 0.92), (-0.1, 0.05)), "", (((0.9, 0.95), (0.89, 0.94)), ((-0.2, 0.01), NAN)))
    parts = {
        "koniq10k": {"n": 60, "srcc": _difference(0.02, 0.01, 0.03, 0.002), "plcc": _difference(0.0, -0.1, 0.1, 1.0)},
        "spaq": {"n": 40, "srcc": _difference(-0.3, -0.4, -0.2, 0.0), "plcc": _difference(*[math.nan] * 4)},
    }
    comparison = {
        "baseline": "first_model",
        "other": "ours",
        "n": 100,
        **{k: parts["spaq"][k] for k in ("srcc", "plcc")},
    }
    lost = Answers("ours", "spaq/night", 30, 4, (0.5, 0.6), (0.4, math.nan))
    return Results(
        results.columns,
        (results.rows[0], ours),
        comparisons=({**comparison, "datasets": parts},),
        answers=(lost,),
    )


def test_markdown_holds_intervals_differences_and_lost_answers(compared):
    text = to_markdown(compared)
    assert "| ours | **.930** [.900, .950] / .920 [.890, .940] | -.100 [-.200, .010] / .050 |" in text
    assert "| Q-Insight [1] | .916 / **.933** | -- |" in text  # published rows have no intervals
    assert "Brackets are 95 % intervals." in text
    lines = text.splitlines()
    start = lines.index("| System | set | n | SRCC | p | PLCC | p |")
    assert [line.replace("\\", "") for line in lines[start + 2 : start + 5]] == [
        "| ours | overall | 100 | -.300 [-.400, -.200] | < .001 | -- | -- |",
        "| ours | koniq10k | 60 | +.020 [.010, .030] | .002 | .000 [-.100, .100] | 1.000 |",
        "| ours | spaq | 40 | -.300 [-.400, -.200] | < .001 | -- | -- |",
    ]
    assert r"Difference from first\_model" in text
    assert "| ours | spaq/night | 30 | 4 | .500 / .400 | .600 / -- |" in text


def test_latex_holds_the_same_with_real_minus_signs_and_no_hyphens_before_numbers(compared):
    text = to_latex(compared)
    assert r"ours & \textbf{.930} / .920 & $-$.100 / .050 \\" in text
    assert r"& {\scriptsize [.900, .950] / [.890, .940]} & {\scriptsize [$-$.200, .010] / --} \\" in text
    assert r"ours & spaq & 40 & $-$.300 [$-$.400, $-$.200] & $<$ .001 & -- & -- \\" in text
    assert r"ours & spaq/night & 30 & 4 & .500 / .400 & .600 / -- \\" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
    assert r"95 \% intervals" in text


def test_one_set_has_one_line_a_comparison_and_its_name(compared):
    (comparison,) = compared.comparisons
    one = {**comparison, "datasets": {"spaq": comparison["datasets"]["spaq"]}}
    lines = to_markdown(Results(compared.columns, compared.rows, comparisons=(one,))).splitlines()
    assert sum(line.startswith("| ours | spaq |") for line in lines) == 1
    assert not any("overall" in line for line in lines)
