"""The table of results as Markdown and LaTeX."""

import math

import pytest

from pondera.report.results import ResultRow, Results, to_latex, to_markdown

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
        ("a_b|c", r"a\_b\|c", r"a\_b|c"),
        ("<b>x</b>", r"\<b\>x\</b\>", "<b>x</b>"),
        ("50 % & more", r"50 % \& more", r"50 \% \& more"),
        ("two\nlines", "two lines", "two lines"),
        ("\\end{table}", "\\\\end{table}", r"\textbackslash{}end\{table\}"),
    ],
)
def test_names_cannot_break_the_table(name, markdown, latex):
    results = Results(("a",), (ResultRow(name, ((0.5, 0.5),)),))
    assert f"| {markdown} |" in to_markdown(results)
    assert f"{latex} & .500" in to_latex(results)
