from __future__ import annotations

import subprocess
import sys

import pytest
import typer.main

from pondera._version import __version__
from pondera.cli import app
from tests.cli.examples import all_commands, example_lines

HEAVY = {"torch", "transformers", "accelerate", "scipy", "numpy", "PIL", "pyarrow", "pydantic", "yaml"}
COMMANDS = all_commands()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_command_has_a_first_line_and_an_example(pondera, words):
    result = pondera(*words, "--help")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert example_lines(result.stdout), result.stdout


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_examples_on_help_pages_parse(pondera, words, tmp_path, monkeypatch):
    examples = example_lines(pondera(*words, "--help").stdout)
    monkeypatch.chdir(tmp_path)
    for example in examples:
        for word in example:
            if word.endswith((".csv", ".jsonl", ".parquet")):  # some commands want their input to be there
                (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / word).touch()
        assert tuple(example[: len(words)]) == words
        command = typer.main.get_command(app)
        rest = example
        context = None
        while hasattr(command, "commands"):
            context = command.make_context(rest[0], list(rest), parent=context, resilient_parsing=True)
            _, command, rest = command.resolve_command(context, rest)
        command.make_context(words[-1], list(rest), parent=context)


def test_pondera_alone_shows_its_help_and_is_wrong_usage(pondera):
    result = pondera()
    assert result.exit_code == 2
    assert "score" in result.stdout + result.stderr


def test_version_is_that_of_the_package(pondera):
    result = pondera("--version")
    assert (result.exit_code, result.stdout) == (0, f"{__version__}\n")


@pytest.mark.parametrize("module", ["pondera", "pondera.cli"])
def test_import_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*({HEAVY!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize("module", ["pondera.core.rewards", "pondera.core.metrics", "pondera.config"])
def test_import_of_the_core_loads_neither_torch_nor_scipy(module):
    code = f"import sys, {module}; print(*({{'torch', 'transformers', 'scipy', 'PIL'}} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


def test_help_answers_within_half_a_second():
    """Of processor time: what else the machine does at that moment is not ours."""
    resource = pytest.importorskip("resource")
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "pondera.cli", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.5
