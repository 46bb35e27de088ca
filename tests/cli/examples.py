"""The commands and the examples of their help pages."""

from __future__ import annotations

import re
import shlex
from typing import Any

import typer.main

from pondera.cli import app


def all_commands() -> dict[tuple[str, ...], Any]:
    """Every command that does something, by its words."""
    found: dict[tuple[str, ...], Any] = {}

    def visit(command: Any, words: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                visit(inner, (*words, name))
        else:
            found[words] = command

    visit(typer.main.get_command(app), ())
    return found


def example_lines(help_text: str) -> list[list[str]]:
    """The words of each example on a help page, `pondera` left out; redirections and pipes are the shell's."""
    after = help_text.partition("Example")[2]
    lines = re.findall(r"(?:^|: )\s*pondera (.+)$", after, flags=re.MULTILINE)
    return [shlex.split(re.split(r"[<>|]", line)[0]) for line in lines]
