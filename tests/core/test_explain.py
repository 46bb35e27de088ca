"""Explaining logged completions, and the `rewards` command around it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tests.core.systems import INVALID, completion

from pondera.core.explain import explain, read_lines, to_json, to_table
from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.errors import ManifestError


def line(sample="a", score=3.0, **extra) -> dict:
    system = get_system("pondera")
    base = {"sample": sample, "dataset": "set", "mos": 3.0, "completion": completion(system.answer, [score])}
    return {**base, **extra}


def run(lines: list[dict | str], preset: str = "pondera", stage: str | None = None, **kwargs) -> list[dict]:
    system = get_system(preset, stage)
    texts = [text if isinstance(text, str) else json.dumps(text) for text in lines]
    return explain(read_lines(texts, system, name="log.jsonl"), system, name="log.jsonl", **kwargs)


def test_several_steps_datasets_and_interleaved_groups_come_back_in_order():
    lines = []
    for k in range(3):
        for step in (0, 7):
            for dataset, mos in (("x", (2.0, 4.0)), ("y", (1.5, 3.5, 4.5))):
                for index, m in enumerate(mos):
                    score = round(1.2 + 0.3 * k + 0.5 * index + 0.1 * (step > 0), 2)
                    lines.append(line(f"{dataset}{index}", score, step=step, dataset=dataset, mos=m))
    records = run(lines)
    assert [(r["step"], r["sample"]) for r in records] == [(item["step"], item["sample"]) for item in lines]
    assert list(records[0]) == ["step", "sample", "k", "valid", "values", "terms", "reward", "advantage"]
    system = get_system("pondera")
    for step in (0, 7):
        for dataset, mos in (("x", (2.0, 4.0)), ("y", (1.5, 3.5, 4.5))):
            mine = [i for i, item in enumerate(lines) if (item["step"], item["dataset"]) == (step, dataset)]
            samples = [Sample(f"{dataset}{i}", (), mos=m, scale=FIVE_POINT) for i, m in enumerate(mos)]
            texts = [[lines[i]["completion"] for i in mine if lines[i]["sample"] == s.id] for s in samples]
            judged = system.judge(system.pool(samples, texts, step=step))
            for i in mine:
                s = [sample.id for sample in samples].index(records[i]["sample"])
                assert records[i]["reward"] == pytest.approx(judged.reward_SK[s, records[i]["k"]], abs=1e-12)
                assert records[i]["advantage"] == pytest.approx(judged.advantage_SK[s, records[i]["k"]], abs=1e-9)


def test_other_steps_and_datasets_change_nothing():
    alone = run([line("a", 2.0, mos=2.0), line("b", 4.5, mos=4.0)])
    crowd = run(
        [
            line("a", 2.0, mos=2.0),
            line("z", 1.0, mos=5.0, step=3),
            line("b", 4.5, mos=4.0),
            line("z", 1.0, mos=5.0, dataset="other"),
        ]
    )
    assert [crowd[0], crowd[2]] == alone


def test_labels_of_one_sample_may_differ_between_steps():
    assert [r["k"] for r in run([line("a", mos=3.0), line("a", mos=4.0, step=1)])] == [0, 0]


def test_labels_are_converted_from_their_scale():
    near = run([line("a", 3.0, mos=50.0, scale=[0, 100])])
    assert near == run([line("a", 3.0, mos=3.0)])
    assert run([line("a", 3.0, mos=3.0, scale=[1, 5])]) == near
    sigma = run(
        [
            line("a", 3.0, mos=50.0, mos_std=10.0, scale=[0, 100]),
            line("b", 4.0, mos=60.0, mos_std=10.0, scale=[0, 100]),
        ],
        "mr-iqa-sigma",
    )
    assert sigma == run([line("a", 3.0, mos_std=0.4), line("b", 4.0, mos=3.4, mos_std=0.4)], "mr-iqa-sigma")


def test_tasks_of_one_pool_are_read_and_rewarded_by_their_own_forms():
    body = "<think>\nx\n</think>\n<answer>\n{}\n</answer>"
    lines = [
        line("a", completion=body.replace("{}", '{"rating": 3.1}')),
        line(
            "b",
            task="degradation",
            mos=None,
            targets={"distortion_class": "blur", "severity": "slight"},
            completion=body.replace("{}", '{"distortion_class": "blur", "severity": "moderate"}'),
        ),
    ]
    for preset in ("q-insight", "q-insight@as_released"):
        records = run(lines, preset)
        assert [r["reward"] for r in records] == [2.0, 1.25]
        assert list(records[0]["terms"]) == ["format", "threshold"]
        assert list(records[1]["terms"]) == ["format", "degradation"]


def test_two_tasks_of_one_sample_are_two_groups():
    body = '<think>x</think><answer>{"distortion_class": "blur", "severity": "slight"}</answer>'
    labels = {"targets": {"distortion_class": "blur", "severity": "slight"}}
    records = run(
        [
            line("a", completion='<think>x</think><answer>{"rating": 3.1}</answer>'),
            line("a", task="degradation", completion=body, **labels),
        ],
        "q-insight",
    )
    assert [r["k"] for r in records] == [0, 0]


def test_side_arrays_are_numbers_of_their_lines():
    lines = [
        line(
            "a",
            score=q,
            completion=f"<think>x</think><answer>Score: {q:.2f}</answer>",
            side={"p_think": p, "p_nothink": 0.4},
        )
        for q, p in ((3.5, 0.6), (4.0, 0.3), (2.5, 0.2), (1.0, 0.5))
    ]
    for preset in ("refine-iqa", "refine-iqa@as_released"):
        records = run(lines, preset)
        np.testing.assert_allclose([r["reward"] for r in records], [2.2, 1, 2, 1])
        np.testing.assert_allclose([r["advantage"] for r in records], [1.015, 0, 0.7027, 0], atol=5e-5)


def test_null_side_numbers_are_missing_and_missing_arrays_are_refused_or_named():
    lines = [line("a", 50.0, mos=50.0, scale=[0, 100], side={"perturbed_reward": x}) for x in (0.5, None)]
    records = run(lines, "vq-insight@as_released")
    assert [r["terms"]["temporal_bonus"] for r in records] == [0.3, 0.3]
    without = run([line("a", 50.0, mos=50.0, scale=[0, 100])], "vq-insight@as_released")
    assert without[0]["terms"]["temporal_bonus"] is None
    with pytest.raises(ManifestError, match=r"log.jsonl: step 0, dataset 'set': .*needs the side array 'text_score'"):
        run([line()], "q-ponder-text")
    with pytest.raises(ManifestError, match="'caption_kl'"):
        run([line()], "cappo")


def test_lengths_in_tokens_are_read_and_fall_back_on_words():
    lines = [line("a", 50.0, mos=50.0, scale=[0, 100], num_tokens=n) for n in (400, None)]
    assert [r["terms"]["length_bonus"] for r in run(lines, "vq-insight")] == [0.1, 0.0]


def test_an_invalid_completion_has_no_values_no_terms_and_the_floor():
    records = run([line("a", completion=INVALID), line("a", 3.0)], "q-hawkeye")
    assert records[0]["valid"] is False
    assert records[0]["values"] == []
    assert set(records[0]["terms"].values()) == {None}
    assert records[0]["reward"] == -2.0
    assert records[1]["k"] == 1
    assert records[1]["advantage"] > records[0]["advantage"]


def test_raw_terms_are_shown_without_their_weights():
    body = "<think>x</think><answer>" + "\n".join(["3.0"] * 5) + "</answer>"
    weighted, raw = (run([line("a", completion=body)], "preresq-r1-image", raw=raw)[0] for raw in (False, True))
    assert raw["terms"]["rank_to_truth"] == 1.0
    assert weighted["terms"]["rank_to_truth"] == pytest.approx(1 / 3)
    assert sum(weighted["terms"].values()) == pytest.approx(weighted["reward"])
    assert raw["reward"] == weighted["reward"]


def test_results_of_a_run_beside_the_completion_are_recomputed():
    records = run([line("a", 3.0, reward=99.0, advantage=99.0, k=4)])
    assert records[0]["reward"] < 3.0
    assert records[0]["k"] == 0


def test_groups_of_different_sizes_are_judged_together():
    records = run([line("a", 3.0), line("a", 3.5), line("b", 4.0, mos=4.0)])
    assert all(math.isfinite(r["advantage"]) for r in records)
    assert records[2]["advantage"] == 0.0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", r"log.jsonl:2: not JSON \(.* one object a line"),
        ("[1]", "log.jsonl:2: a line is one JSON object, got list"),
        ('{"sample": "a", "dataset": "set", "mos": NaN, "completion": "x"}', "log.jsonl:2: NaN is not JSON"),
        (line(score_of="x"), "log.jsonl:2: unknown key 'score_of'"),
        ({"dataset": "set", "completion": "x"}, "log.jsonl:2: 'sample' is missing"),
        ({"sample": "b", "completion": "x"}, "log.jsonl:2: 'dataset' is missing"),
        ({"sample": "b", "dataset": "set"}, "log.jsonl:2: 'completion' is missing"),
        (line("b", completion=3), "log.jsonl:2: 'completion' must be text, got 3"),
        (line(1.5), "log.jsonl:2: 'sample' must be text or a whole number"),
        (line("b", mos=7), r"log.jsonl:2: mos 7.0 is outside its scale \[1.0, 5.0\]"),
        (line("b", scale=[5, 1]), "log.jsonl:2: scale must be"),
        (line("b", mos_std=-1), "log.jsonl:2: 'mos_std' must be >= 0"),
        (line("b", task="grounding"), "log.jsonl:2: system 'pondera' has no reward for task 'grounding'"),
        (line("b", task="guess"), "log.jsonl:2: 'task' must be one of"),
        (line("b", step=-1), "log.jsonl:2: 'step' must be a whole number >= 0"),
        (line("b", num_tokens=1.5), "log.jsonl:2: 'num_tokens' must be a whole number"),
        (line("b", side=[1]), "log.jsonl:2: 'side' must be an object of numbers"),
        (line("b", side={"p": "x"}), "log.jsonl:2: side.p must be a number or null"),
        (line("a", mos=4.0), "log.jsonl:2: 'mos' of sample 'a' is 4.0, but 3.0 on line 1 of the same group"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(bad, message):
    with pytest.raises(ManifestError, match=message):
        run([line("a"), bad])


def test_an_empty_file_and_a_missing_label_are_refused():
    with pytest.raises(ManifestError, match=r"log.jsonl: no line with a completion"):
        run(["", "  "])
    with pytest.raises(ManifestError, match="has none: add mos_std"):
        run([line("a"), line("b", 4.0, mos=4.0)], "mr-iqa-sigma")


def test_output_is_strict_json_and_a_table_has_a_row_for_each_line():
    records = run([line("a", 3.0), line("a", completion=INVALID)])
    for text in to_json(records):
        json.loads(text, parse_constant=pytest.fail)
    rows = to_table(records).splitlines()
    assert rows[0].split()[:4] == ["step", "sample", "k", "values"]
    assert "invalid" in rows[2]
    assert len(rows) == 3
    assert to_table([]) == ""


def test_whole_number_sample_names_stay_numbers():
    assert run([line(5)])[0]["sample"] == 5


def test_the_command_reads_a_file_or_stdin_and_keeps_notes_off_stdout(tmp_path):
    from typer.testing import CliRunner

    from pondera.cli.rewards import app

    rows = [line("a", 50.0 + k, mos=50.0, scale=[0, 100]) for k in range(2)]
    text = "\n".join(json.dumps(row) for row in rows) + "\n"
    path = tmp_path / "log.jsonl"
    path.write_text(text, encoding="utf-8")
    arguments = ["--preset", "vq-insight@as_released"]
    from_file = CliRunner().invoke(app, ["explain", str(path), *arguments])
    from_stdin = CliRunner().invoke(app, ["explain", "-", *arguments], input=text)
    assert from_file.exit_code == from_stdin.exit_code == 0
    assert from_file.stdout == from_stdin.stdout
    assert [json.loads(row)["k"] for row in from_file.stdout.splitlines()] == [0, 1]
    assert "temporal_bonus is left out of the reward: no line has side perturbed_reward" in from_file.stderr
    table = CliRunner().invoke(app, ["explain", str(path), *arguments, "--format", "table", "--raw"])
    assert "accuracy" in table.stdout.splitlines()[0]


def test_the_command_reports_stages_bad_files_and_unlabelled_groups(tmp_path):
    from typer.testing import CliRunner

    from pondera.cli.rewards import app

    path = tmp_path / "log.jsonl"
    body = "<think>x</think><answer>" + "\n".join(["3.0"] * 5) + "</answer>"
    path.write_text(json.dumps(line("a", completion=body, mos=None)), encoding="utf-8")
    result = CliRunner().invoke(app, ["explain", str(path), "--preset", "preresq-r1-image", "--stage", "stability"])
    assert "spread_penalty" not in json.loads(result.stdout)["terms"]
    assert "1 groups have no mos" in result.stderr
    missing = CliRunner().invoke(app, ["explain", str(tmp_path / "none.jsonl"), "--preset", "pondera"])
    assert isinstance(missing.exception, ManifestError)
    path.write_bytes(b"\xff\xfe")
    broken = CliRunner().invoke(app, ["explain", str(path), "--preset", "pondera"])
    assert "not UTF-8" in str(broken.exception)


def test_the_command_lists_terms_and_systems():
    from typer.testing import CliRunner

    from pondera.cli.rewards import app

    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    for word in (
        "score_and_rank",
        "visualquality-r1 *",
        "preresq-r1-image * --stage stability",
        "0.375 score_and_rank",
    ):
        assert word in result.stdout


def test_line_separators_inside_a_completion_do_not_break_a_line(tmp_path):
    from typer.testing import CliRunner

    from pondera.cli.rewards import app

    path = tmp_path / "log.jsonl"
    text = "<think>a\u2028b\x85c</think><answer>3.0</answer>"
    path.write_text(json.dumps(line("a", completion=text), ensure_ascii=False) + "\r\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["explain", str(path), "--preset", "pondera"])
    assert json.loads(result.stdout)["valid"] is True


def test_the_scale_of_a_label_defaults_to_the_working_scale():
    assert get_system("vq-insight").scale == LabelScale(0.0, 100.0)
    assert run([line("a", 80.0, mos=80.0)], "vq-insight")[0]["reward"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("preset", "reads"),
    [("vq-insight@as_released", "it reads perturbed_reward"), ("visualquality-r1", "it reads none")],
)
def test_the_command_names_side_arrays_that_the_system_does_not_read(tmp_path, preset, reads):
    """A misspelt side array was passed over in silence."""
    from typer.testing import CliRunner

    from pondera.cli.rewards import app

    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(line(scale=[1, 5], side={"perturbd_reward": 0.5})), encoding="utf-8")
    result = CliRunner().invoke(app, ["explain", str(path), "--preset", preset])
    assert result.exit_code == 0
    assert f"side perturbd_reward is not read by {preset}; {reads}" in result.stderr


@pytest.mark.parametrize("targets", [{}, {"class": "blur"}, {"distortion_class": "blur"}])
def test_the_command_names_the_labels_that_a_task_lacks(tmp_path, targets):
    """A degradation labelled under another name earned 0 without a word."""
    from typer.testing import CliRunner

    from pondera.cli.rewards import app

    body = '<think>\nx\n</think>\n<answer>\n{"distortion_class": "blur", "severity": "slight"}\n</answer>'
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(line(task="degradation", targets=targets, mos=None, completion=body)), encoding="utf-8")
    result = CliRunner().invoke(app, ["explain", str(path), "--preset", "q-insight"])
    is_named = "1 groups of task degradation have none of distortion_class, severity" in result.stderr
    assert result.exit_code == 0 and is_named == ("distortion_class" not in targets)
