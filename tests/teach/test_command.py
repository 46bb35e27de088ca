"""The command teacher: any program, one JSON line in, one out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pondera import prompts
from pondera.errors import TeacherError
from pondera.teach import CommandTeacher, distill, status

ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    assert set(request) == {"sample", "k", "seed", "kind", "media", "text", "prompt"}
    text = f"<think>{request['prompt'][:40]} about {request['sample']}, completion {'x' * request['k']}</think>"
    print(json.dumps({"completion": text + "<answer>3.00</answer>", "usage": {"calls": 1}}), flush=True)
"""


@pytest.fixture
def command(tmp_path):
    def make(source: str) -> list[str]:
        (tmp_path / "teacher.py").write_text(source)
        return [sys.executable, str(tmp_path / "teacher.py")]

    return make


def test_a_program_is_asked_line_by_line(make_samples, command):
    responses = list(CommandTeacher(command(ECHO)).respond(make_samples(2), 2, seed=5))
    assert [(r.sample, r.k, r.seed, r.usage) for r in responses] == [
        (sample, k, 5, {"calls": 1.0}) for sample in ("s0", "s1") for k in (0, 1)
    ]
    assert responses[0].completion.startswith(f"<think>{prompts.get('quality.expert').render()[:40]} about s0")


def test_the_program_of_the_documentation_teaches(make_samples, command, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "distillation.md").read_text(encoding="utf-8")
    source = page[page.index("# my_teacher.py") :].partition("```")[0]
    done = distill(make_samples(3), CommandTeacher(command(source)), tmp_path / "out")
    assert done.num_kept == 3


def test_a_program_can_be_distilled_from(make_samples, command, tmp_path):
    done = distill(make_samples(3), CommandTeacher(command(ECHO)), tmp_path / "out", num=2, filters=())
    assert done.num_kept == 3
    assert done.usage == {"calls": 6.0}


@pytest.mark.parametrize("number", ["NaN", "-1", "Infinity"])
def test_usage_that_no_sum_could_hold_is_refused(make_samples, command, number):
    source = ECHO.replace('"usage": {"calls": 1}', f'"usage": {{"calls": float("{number}")}}')
    with pytest.raises(TeacherError, match="finite and not negative"):
        list(CommandTeacher(command(source)).respond(make_samples(1), 1, seed=0))


def test_what_a_kill_lost_is_counted_as_repeated(make_samples, command, tmp_path):
    """The program ends once in the middle, and is the same program when it is asked again."""
    once = f"""
import pathlib, sys
mark = pathlib.Path({str(tmp_path / "mark")!r})
if not mark.exists():
    mark.touch()
    sys.stdin.readline()
    sys.exit(1)
"""
    teacher = CommandTeacher(command(once + ECHO))
    with pytest.raises(TeacherError, match="exit code 1"):
        distill(make_samples(2), teacher, tmp_path / "out", filters=())
    distill(make_samples(2), teacher, tmp_path / "out", filters=())
    found = status(tmp_path / "out")
    assert (found["recorded"], found["requests"], found["repeated"]) == (2, 3, 1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys; sys.stdin.readline(); sys.exit(3)", "ended with exit code 3 before it answered about 's0'"),
        ("import sys; sys.stdin.readline(); print('hello', flush=True)", "answered about 's0' with 'hello'"),
        ("import sys; sys.stdin.readline(); print('{\"completion\": 3}', flush=True)", "a completion is text"),
        ("import sys; sys.stdin.readline(); print('[1]', flush=True)", "one JSON line"),
        ("import sys, time; sys.stdin.readline(); time.sleep(60)", "did not answer about 's0' within 0.5 s"),
    ],
)
def test_a_program_that_does_not_deliver_is_named_with_the_reason(make_samples, command, source, message):
    timeout_s = 0.5 if "0.5 s" in message else 20.0
    with pytest.raises(TeacherError) as error:
        list(CommandTeacher(command(source), timeout_s=timeout_s).respond(make_samples(1), 1, seed=0))
    assert message in str(error.value)


def test_a_program_that_is_not_there_is_an_error_with_a_way_out(make_samples):
    with pytest.raises(TeacherError, match="cannot start 'no-such-program'"):
        list(CommandTeacher(["no-such-program"]).respond(make_samples(1), 1, seed=0))


def test_the_fingerprint_sees_command_prompt_version_and_the_programs_text(command):
    base = CommandTeacher(command(ECHO)).fingerprint
    assert CommandTeacher(command(ECHO)).fingerprint == base
    assert CommandTeacher(command(ECHO), version="2").fingerprint != base
    assert CommandTeacher(command(ECHO), prompt="quality.short").fingerprint != base
    assert CommandTeacher([*command(ECHO), "--hot"]).fingerprint != base
    assert CommandTeacher(command(ECHO + "# changed")).fingerprint != base


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="timeout_s"):
        CommandTeacher(["x"], timeout_s=0)
    with pytest.raises(ValueError, match="command"):
        CommandTeacher([])
