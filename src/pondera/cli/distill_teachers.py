"""Which teacher the options of `pondera distill` ask for; an option that it would not read is refused."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pondera.core.answers import AnswerFormat
    from pondera.teach import Teacher


class TeacherKind(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """Who is asked."""

    measuring = "measuring"
    openai = "openai"
    vllm = "vllm"
    command = "command"


_CLIENT = ("concurrency", "api_key_env", "timeout", "total_timeout", "max_rate", "prices", "max_cost", "also_model")
_ASKING = ("temperature", "max_tokens", "max_pixels", "teacher_version")
_OPTIONS: Mapping[TeacherKind, frozenset[str]] = {
    TeacherKind.measuring: frozenset({"prompt"}),
    TeacherKind.openai: frozenset({"prompt", "base_url", "model", *_CLIENT, *_ASKING}),
    TeacherKind.vllm: frozenset({"prompt", "model", "gpus", "max_length", *_ASKING}),
    TeacherKind.command: frozenset({"prompt", "command"}),
}
# What the classes call them, where that differs.
_NAMES = {
    "temperature": "temperatures",
    "teacher_version": "version",
    "timeout": "timeout_s",
    "total_timeout": "total_timeout_s",
    "also_model": "accepted_models",
}


def build_teacher(kind: TeacherKind, options: Mapping[str, Any]) -> tuple[Teacher, AnswerFormat]:
    """The teacher, and the form of the answers that its prompt asks for.

    Args:
        kind: who is asked.
        options: of the command line by name; None or empty where not given.

    Raises:
        BadParameter: an option is missing, or goes with another teacher.
    """
    from pondera import prompts
    from pondera.core.answers import AnswerFormat
    from pondera.teach import measuring_teacher

    given = {name: value for name, value in options.items() if value is not None and value != []}
    _refuse_foreign(kind, given)
    if kind is TeacherKind.measuring:
        if "prompt" not in given:
            return measuring_teacher("image", AnswerFormat()), AnswerFormat()
        prompt = prompts.get(given["prompt"])
        return measuring_teacher(prompt.kind, prompt.answer), prompt.answer
    build = {TeacherKind.openai: _openai, TeacherKind.vllm: _vllm, TeacherKind.command: _command}[kind]
    teacher = build(given)
    return teacher, teacher.prompt.answer


def _refuse_foreign(kind: TeacherKind, given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in _OPTIONS[kind]:
            owners = " or ".join(owner.value for owner, names in _OPTIONS.items() if name in names)
            raise typer.BadParameter(f"goes with --teacher {owners} only", param_hint=f"--{name.replace('_', '-')}")


def _named(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {_NAMES.get(name, name): given[name] for name in names if name in given}


def _openai(given: Mapping[str, Any]) -> Any:
    from pondera.generate.chat import ChatClient
    from pondera.teach import OpenAITeacher

    if "base_url" not in given or "model" not in given:
        raise typer.BadParameter("teacher openai needs both", param_hint="--base-url, --model")
    client = ChatClient(given["base_url"], given["model"], **_named(given, *_CLIENT))
    return OpenAITeacher(client, **_named(given, "prompt", *_ASKING))


def _vllm(given: Mapping[str, Any]) -> Any:
    from pondera.teach import VllmTeacher

    if "model" not in given:
        raise typer.BadParameter("teacher vllm needs a folder or hub id", param_hint="--model")
    return VllmTeacher(given["model"], **_named(given, "prompt", "gpus", "max_length", *_ASKING))


def _command(given: Mapping[str, Any]) -> Any:
    from pondera.teach import CommandTeacher

    words = shlex.split(given.get("command", ""))
    if not words:
        raise typer.BadParameter("teacher command needs the program to run", param_hint="--command")
    return CommandTeacher(words, **_named(given, "prompt"))
