"""`pondera metrics` and the tables it reads."""

import json
import math

import numpy as np
import pytest
import scipy.stats
import typer
from typer.testing import CliRunner

from pondera.cli.metrics import metrics
from pondera.errors import DatasetError
from pondera.evaluate.tables import read_table


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(metrics)

    def invoke(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 60)
    return mos, mos + rng.normal(size=60)


def _write_csv(path, rows, header="mos,score"):
    path.write_text(header + "\n" + "".join(f"{m},{s}\n" for m, s in zip(*rows, strict=True)))
    return path


def test_json_has_the_documented_keys_and_scipys_values(run, rows, tmp_path):
    document = json.loads(run(_write_csv(tmp_path / "p.csv", rows), "--format", "json").stdout)
    mos, score = rows
    assert document["srcc"] == pytest.approx(scipy.stats.spearmanr(score, mos).statistic, abs=1e-12)
    assert document["plcc"] == pytest.approx(scipy.stats.pearsonr(score, mos).statistic, abs=1e-12)
    assert document["krcc"] == pytest.approx(scipy.stats.kendalltau(score, mos).statistic, abs=1e-12)
    assert (document["n"], document["n_invalid"]) == (60, 0)
    for key in ("srcc", "plcc", "plcc_4p", "plcc_5p", "krcc"):
        low, high = document[f"{key}_ci"]
        assert low < document[key] < high
    assert {"rmse", "pairwise_accuracy", "outlier_ratio"} <= set(document)


def test_table_shows_each_dataset_and_subset(run, tmp_path):
    path = tmp_path / "p.jsonl"
    lines = [
        {"mos": i % 7, "score": i % 5 + 0.1 * i, "dataset": "ab"[i % 2], "subset": "night" if i % 3 else None}
        for i in range(40)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    out = run(path, "--resamples", "20").stdout
    assert "SRCC" in out
    for name in ("overall", "a ", "b ", "a/night", "b/night", "mean over 2 datasets"):
        assert name in out


def test_three_formats_give_one_answer(run, rows, tmp_path):
    import pyarrow
    import pyarrow.parquet

    mos, score = rows
    pyarrow.parquet.write_table(pyarrow.table({"mos": mos, "score": score}), tmp_path / "p.parquet")
    (tmp_path / "p.jsonl").write_text(
        "".join(json.dumps({"mos": m, "score": s}) + "\n" for m, s in zip(mos, score, strict=True))
    )
    _write_csv(tmp_path / "p.csv", rows)
    outputs = {run(tmp_path / f"p.{kind}", "--format", "json").stdout for kind in ("csv", "jsonl", "parquet")}
    assert len(outputs) == 1


def test_seed_and_resamples_are_used(run, rows, tmp_path):
    path = _write_csv(tmp_path / "p.csv", rows)
    one, two = (json.loads(run(path, "--format", "json", "--seed", s).stdout)["srcc_ci"] for s in (0, 1))
    assert one != two
    assert json.loads(run(path, "--format", "json", "--resamples", "0").stdout)["srcc_ci"] == [None, None]


def test_references_cluster_the_interval(run, rows, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("mos,score,reference\n" + "".join(f"{rows[0][i]},{rows[1][i]},c{i // 6}\n" for i in range(60)))
    assert json.loads(run(path, "--format", "json").stdout)["n_clusters"] == 10


def test_constant_scores_print_a_note_not_a_crash(run, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("mos,score\n1,3\n2,3\n3,3\n4,3\n")
    document = json.loads(run(path, "--format", "json").stdout)
    assert document["srcc"] is None
    assert any("all scores are equal" in note for note in document["notes"])
    assert "all scores are equal" in run(path).stdout


def test_empty_scores_and_invalid_rows_are_counted(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("mos,score,valid\n1,,true\n2,nan,\n3,3.5,false\n4,4.5,true\n,2,true\n")
    table = read_table(path)
    assert [math.isnan(s) for s in table["score"]] == [True, True, True, False, False]
    assert math.isnan(table["mos"][-1])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "mos,score\n1,2\n3,good\n", r"p.csv:3: column 'score': 'good' is not a number"),
        ("p.csv", "mos,points\n1,2\n", r"p.csv:1: no column 'score'; found mos, points"),
        ("p.csv", "mos,score,mos\n1,2,3\n", r"p.csv:1: column 'mos' stands twice"),
        ("p.csv", "mos,score\n1,2,3\n", r"p.csv:2: 3 cells under 2 columns"),
        ("p.csv", "mos,score\n", r"p.csv: no rows"),
        ("p.csv", "", r"p.csv:1: no column 'mos'"),
        ("p.csv", "mos,score,valid\n1,2,perhaps\n", r"p.csv:2: column 'valid': 'perhaps'"),
        ("p.csv", "mos,score\n1,2\n3,1_000\n", r"p.csv:3: column 'score': '1_000' is not a number"),
        ("p.csv", "mos,score,mos_std\n1,2,-1\n", r"p.csv:2: column 'mos_std': -1 is negative"),
        ("p.csv", "mos,score\n1,1e308\n2,3\n", r"p.csv: column 'score' runs from 3 to 1e\+308"),
        ("p.csv", "mos,score\n1,1e-310\n2,3e-310\n", r"p.csv: column 'score' runs from 1e-310 to 3e-310"),
        (
            "p.jsonl",
            '{"mos": 1, "score": 1' + 400 * "0" + "}\n",
            r"p.jsonl:1: column 'score': 10*\.\.\.0* is not a number",
        ),
        ("p.csv", 'mos,score,subset\n1,2,a\n1,2,"a\n' + 30000 * "1,2,a\n", r"p.csv:3: not CSV .*close its quotes"),
        ("p.csv", 'mos,score,subset\n1,2,a\n1,2,"a\n1,3,b\n', r"p.csv:3: not CSV .*close its quotes"),
        ("p.jsonl", '{"mos": 1, "score": 2}\n{"mos": 1}\n', r"p.jsonl:2: no column 'score'; found mos"),
        ("p.jsonl", '{"mos": 1, "score": true}\n', r"p.jsonl:1: column 'score': True is not a number"),
        ("p.jsonl", "{mos\n", r"p.jsonl:1: not JSON"),
        ("p.jsonl", "[1, 2]\n", r"p.jsonl:1: a line is one JSON object, got list"),
        ("p.txt", "mos,score\n1,2\n", r"cannot tell the format from '.txt'"),
        ("p.parquet", "mos,score\n1,2\n", r"p.parquet: not a parquet file"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_table(tmp_path / name)


def test_a_csv_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"mos,score\n\xff\xfe\x00,1\n")
    with pytest.raises(DatasetError, match=r"p\.csv:2: not UTF-8 text"):
        read_table(tmp_path / "p.csv")
    (tmp_path / "p.jsonl").write_bytes(b'{"mos": 1, "score": 2}\n{"mos": 1, "score": 2, "subset": "\xe4"}\n')
    with pytest.raises(DatasetError, match=r"p\.jsonl:2: not UTF-8 text"):
        read_table(tmp_path / "p.jsonl")
    with pytest.raises(DatasetError, match="no such file"):
        read_table(tmp_path / "missing.csv")


def test_a_missing_file_is_wrong_usage(run, tmp_path):
    assert run(tmp_path / "nothing.csv").exit_code == 2
