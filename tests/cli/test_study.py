"""Studies: from a table of opinions or votes to a manifest, and what is refused."""

import json
import re
from pathlib import Path

import pytest

from pondera.data.manifest import read_manifest

LONG = """stimulus,subject,score,reference
a.png,ann,1,one
a.png,bob,2,one
b.png,ann,4,one
b.png,bob,5,one
c.png,ann,3,two
"""
WIDE = """stimulus,reference,ann,bob
a.png,one,1,2
b.png,one,4,5
c.png,two,3,
"""


def _table(folder, text):
    """The table, with an empty file for every name that looks like a stimulus."""
    path = folder / "study.csv"
    path.write_text(text, encoding="utf-8")
    for name in re.findall(r"\w+\.png", text):
        (folder / name).touch()
    return path


def test_a_manifest_in_place_of_a_table_is_said_to_be_none(pondera, tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "a"}\n', encoding="utf-8")
    result = pondera("data", "study", path, "--out", tmp_path / "out.jsonl")
    assert (result.exit_code, "m.jsonl: a study is read from a CSV table" in result.stderr) == (1, True)


@pytest.mark.parametrize("text", [LONG, WIDE])
def test_opinions_in_rows_or_columns_become_the_same_labels(pondera, tmp_path, text):
    out = tmp_path / "manifests" / "m.jsonl"
    result = pondera("data", "study", _table(tmp_path, text), "--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "3 samples from 5 opinions" in result.stdout
    samples = read_manifest(out)
    assert [(s.id, s.mos, s.reference, s.dataset) for s in samples] == [
        ("study/a.png", 1.5, "one", "study"),
        ("study/b.png", 4.5, "one", "study"),
        ("study/c.png", 3.0, "two", "study"),
    ]
    assert samples[0].mos_std == pytest.approx(0.5**0.5)
    assert samples[0].meta == {"opinions": 2, "ci95": pytest.approx(12.706205 * 0.5)}
    assert samples[2].mos_std is None
    assert (tmp_path / "a.png").resolve() == (out.parent / samples[0].path()).resolve()


def test_a_subject_who_disagrees_is_left_out_and_named(pondera, tmp_path):
    rows = [f"{n}.png,{1 + n},{1 + n},{5 - n}" for n in range(5)]
    table = _table(tmp_path, "\n".join(["stimulus,ann,bob,contrary Mary", *rows]))
    result = pondera("data", "study", table, "--out", tmp_path / "m.jsonl", "--screen", "p913")
    assert "2 of 3 subjects kept" in result.stdout
    assert "left out: contrary Mary" in result.stdout
    assert [s.mos for s in read_manifest(tmp_path / "m.jsonl")] == [1.0, 2.0, 3.0, 4.0, 5.0]
    everyone = pondera(
        "data", "study", table, "--out", tmp_path / "m.jsonl", "--screen", "none", "--format", "json"
    )  # fmt: skip
    document = json.loads(everyone.stdout)
    assert document["num_judgements"] == 15
    assert not document["subjects"]["contrary Mary"]["rejected"]


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("stimulus,s1,s2,s1\na.png,1,2,5\n", (), "study.csv:1: two columns are called 's1'; rename one"),
        ("stimulus,s1,s2\na.png,3,5,4,5\n", (), "study.csv:2: 5 cells, expected 3"),
        ('stimulus,s1\n"a.png,3\n' + 20000 * "b.png,3\n", (), "study.csv:2: not CSV"),
        ("first,second,choice\na.png,b.png,first\n", ("--pseudo-votes", "inf"), "a finite number of votes"),
    ],
)
def test_a_study_that_would_lose_answers_is_refused(pondera, tmp_path, text, options, says):
    refused = pondera("data", "study", _table(tmp_path, text), "--out", tmp_path / "m.jsonl", *options)
    assert refused.exit_code in (1, 2) and says in refused.stderr
    assert not (tmp_path / "m.jsonl").exists()


def test_bias_is_removed_when_asked_for(pondera, tmp_path):
    """Bob votes one above Ann; c.png, that only Ann rated, is worth half a grade more than she said."""
    table = _table(tmp_path, WIDE)
    pondera("data", "study", table, "--out", tmp_path / "m.jsonl", "--remove-bias")
    samples = read_manifest(tmp_path / "m.jsonl")
    assert samples[2].mos == pytest.approx(3 + 1 / 3)  # her bias: (-0.5 - 0.5 + 0) / 3
    assert samples[0].mos_std < 0.5**0.5


def test_p910_weighs_careless_subjects_instead_of_leaving_them_out(pondera, tmp_path):
    """Nine subjects agree within half a grade; Mary, upside down, moves plain means and hardly weighted ones."""
    truth = [1, 2, 3, 4, 5, 2, 4]
    names = [*"abcdefghi", "contrary Mary"]
    rows = [
        f"{n}.png," + ",".join([str(mos + 0.25 * ((n + u) % 3 - 1)) for u in range(9)] + [str(6 - mos)])
        for n, mos in enumerate(truth)
    ]
    table = _table(tmp_path, "\n".join([f"stimulus,{','.join(names)}", *rows]))
    args = ("data", "study", table, "--scale", "0", "6", "--out", tmp_path / "m.jsonl", "--format", "json", "--screen")
    error = {}
    for rule in ("none", "p910"):
        document = json.loads(pondera(*args, rule).stdout)
        labels = [s.mos for s in read_manifest(tmp_path / "m.jsonl")]
        error[rule] = max(abs(mos - true) for mos, true in zip(labels, truth, strict=True))
    assert error["p910"] < 0.3 < error["none"]
    inconsistency = {name: found["inconsistency"] for name, found in document["subjects"].items()}
    assert max(inconsistency, key=inconsistency.get) == "contrary Mary"
    assert pondera(*args, "p910", "--remove-bias").exit_code == 2


def test_a_panel_too_small_for_p910_is_named(pondera, tmp_path):
    result = pondera("data", "study", _table(tmp_path, LONG), "--out", tmp_path / "m.jsonl", "--screen", "p910")
    assert "decides alone" in result.stdout


def test_votes_become_scores_in_units_of_a_75_percent_preference(pondera, tmp_path):
    votes = ["a.png,b.png,first"] * 3 + ["b.png,a.png,first", "b.png,c.png,tie", "a.png,c.png,tie"]
    table = _table(tmp_path, "\n".join(["first,second,choice", *votes]))
    for model in ("bradley-terry", "thurstone"):
        result = pondera("data", "study", table, "--out", tmp_path / "m.jsonl", "--model", model)
        assert "3 samples from 6 votes" in result.stdout
        a, b, c = (s.mos for s in read_manifest(tmp_path / "m.jsonl"))
        assert a > c > b
        assert a + b + c == pytest.approx(0)


WRONG = [
    ("stimulus,subject,score\na.png,ann,9", "study.csv:2: score is 9, outside [1, 5]"),
    ("stimulus,subject,score\na.png,ann,good", "study.csv:2: score is 'good', not a number"),
    ("stimulus,subject,score\na.png,ann,2\na.png,ann,3", "study.csv:3: ann has rated a.png on line 2 already"),
    ("stimulus,subject,score,reference\na.png,ann,2,x\na.png,bob,3,y", "study.csv:3: a.png had reference 'x'"),
    ("file,score\na.png,2", "study.csv:1: the columns are file, score"),
    ("first,second,choice\na.png,b.png,left", "study.csv:2: choice is 'left'; write first, second or tie"),
    ("first,second,choice\na.png,a.png,tie", "study.csv:2: a.png is compared with itself"),
    ("first,second,choice\na.png,b.png,first", "for example"),
    ("stimulus,subject,score\n", "no rows below the header"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_table_is_one_line_that_names_the_place(pondera, tmp_path, text, message):
    result = pondera("data", "study", _table(tmp_path, text), "--out", tmp_path / "m.jsonl")
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    assert not (tmp_path / "m.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "option"),
    [
        (WIDE, ("--model", "thurstone")),
        (WIDE, ("--pseudo-votes", "1")),
        (WIDE, ("--scale", "5", "1")),
        ("first,second,choice\na.png,b.png,tie", ("--remove-bias",)),
        ("first,second,choice\na.png,b.png,tie", ("--screen", "bt500")),
        ("first,second,choice\na.png,b.png,tie", ("--scale", "1", "5")),
    ],
)
def test_options_of_the_other_kind_of_table_are_refused(pondera, tmp_path, text, option):
    result = pondera("data", "study", _table(tmp_path, text), "--out", tmp_path / "m.jsonl", *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr


def test_pseudo_votes_join_what_the_votes_leave_open(pondera, tmp_path):
    table = _table(tmp_path, "first,second,choice\na.png,b.png,first")
    result = pondera("data", "study", table, "--out", tmp_path / "m.jsonl", "--pseudo-votes", "1")
    assert result.exit_code == 0
    assert read_manifest(tmp_path / "m.jsonl")[0].mos > 0


def test_what_was_never_compared_is_named_and_pseudo_votes_are_no_way_out(pondera, tmp_path):
    """Pseudo-votes join a and b here, so the groups are {a, b} and {c, d}."""
    (tmp_path / "d.png").touch()
    table = _table(tmp_path, "first,second,choice\na.png,b.png,first\nc.png,d.png,tie")
    result = pondera("data", "study", table, "--out", tmp_path / "m.jsonl", "--pseudo-votes", "0.5")
    words = " ".join(result.stderr.split())
    assert result.exit_code == 1 and "collect votes that join them" in words and "add pseudo-votes" not in words
    first, second = re.search(r"for example (\w)\.png and (\w)\.png", words).groups()
    assert (first in "ab") != (second in "ab")


@pytest.mark.parametrize("text", [LONG, "first,second,choice\na.png,b.png,tie"])
def test_a_stimulus_that_is_not_there_is_named_unless_nobody_shall_look(pondera, tmp_path, text):
    table = _table(tmp_path, text)
    (tmp_path / "b.png").unlink()
    args = ("data", "study", table, "--out", tmp_path / "m.jsonl")
    result = pondera(*args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "b.png: missing (1 of " in result.stderr
    assert "--no-check-media" in result.stderr
    assert not (tmp_path / "m.jsonl").exists()
    assert pondera(*args, "--no-check-media").exit_code == 0


def test_ids_carry_the_name_of_the_data_set_and_the_next_step_is_named(pondera, tmp_path):
    out = tmp_path / "m.jsonl"
    result = pondera("data", "study", _table(tmp_path, LONG), "--out", out, "--dataset", "mine")
    assert [(s.id, s.dataset) for s in read_manifest(out)] == [(f"mine/{n}.png", "mine") for n in "abc"]
    assert f"pondera data split {out} --out {out}" in result.stdout


def test_the_example_of_votes_on_the_page_gives_the_scores_that_the_page_says(pondera, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("| first | second | choice |\n|---|---|---|\n")
    rows = [line.strip("| ").replace(" | ", ",") for line in rest.split("\n\n")[0].splitlines()]
    table = tmp_path / "votes.csv"
    table.write_text("\n".join(["first,second,choice", *rows]) + "\n")
    result = pondera("data", "study", table, "--out", tmp_path / "votes.jsonl", "--no-check-media")
    assert f"{result.stdout.splitlines()[0].rsplit('/', 1)[-1]}\n```" in rest
    scores = [f"{sample.mos:.2f}" for sample in read_manifest(tmp_path / "votes.jsonl")]
    assert "The scores are {}, {} and {}.".format(*scores) in rest
