"""Which teacher the options of `pondera distill` ask for; an option that it would not read is refused."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import typer

from pondera.cli.client_options import client_settings

if TYPE_CHECKING:
    from pondera.core.answers import AnswerFormat
    from pondera.generate.chat import Budget, Deadline
    from pondera.teach import SecondOpinion, Teacher


class TeacherKind(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """Who is asked."""

    measuring = "measuring"
    openai = "openai"
    vllm = "vllm"
    command = "command"


_CLIENT = ("concurrency", "api_key_env", "timeout", "total_timeout", "max_rate", "prices", "max_cost", "also_model")
# These hold for second opinions too, whoever the teacher is.
_SHARED = ("concurrency", "timeout", "total_timeout", "max_rate", "max_cost")
_ASKING = ("temperature", "max_tokens", "max_pixels", "frames", "teacher_version")
_OPTIONS: Mapping[TeacherKind, frozenset[str]] = {
    TeacherKind.measuring: frozenset({"prompt"}),
    TeacherKind.openai: frozenset({"prompt", "base_url", "model", *_CLIENT, *_ASKING}),
    TeacherKind.vllm: frozenset({"prompt", "model", "gpus", "max_length", *_ASKING}),
    TeacherKind.command: frozenset({"prompt", "command", "timeout", "teacher_version"}),
}
# What the classes call them, where that differs.
_NAMES = {
    "temperature": "temperatures",
    "frames": "num_frames",
    "teacher_version": "version",
    "timeout": "timeout_s",
}


def build_teacher(
    kind: TeacherKind, options: Mapping[str, Any], *, asks_others: bool = False
) -> tuple[Teacher, AnswerFormat]:
    """The teacher, and the form of the answers that its prompt asks for.

    Args:
        kind: who is asked.
        options: of the command line by name; None or empty where not given.
        asks_others: whether a second opinion is asked for too, so that limits of requests go with any teacher.

    Raises:
        BadParameter: an option is missing, or goes with another teacher.
    """
    from pondera import prompts
    from pondera.core.answers import AnswerFormat
    from pondera.teach import measuring_teacher

    given = {name: value for name, value in options.items() if value is not None and value != []}
    if asks_others:
        given = {name: value for name, value in given.items() if name in _OPTIONS[kind] or name not in _SHARED}
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


def _only(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _named(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {_NAMES.get(name, name): value for name, value in _only(given, *names).items()}


def _openai(given: Mapping[str, Any]) -> Any:
    from pondera.generate.chat import ChatClient
    from pondera.teach import OpenAITeacher

    if "base_url" not in given or "model" not in given:
        raise typer.BadParameter("teacher openai needs both", param_hint="--base-url, --model")
    client = ChatClient(given["base_url"], given["model"], **client_settings(_only(given, *_CLIENT)))
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
    return CommandTeacher(words, **_named(given, "prompt", "timeout", "teacher_version"))


def build_second_opinion(
    second: Mapping[str, Any], asking: Mapping[str, Any], teacher: Teacher
) -> SecondOpinion | None:
    """The model that is asked for second opinions, if any.

    Concurrency, time-outs, rate and budget are the teacher's, and so are key, prices and further names where both have
    one address (prices and names: one model too). Another service is sent no key but that of `opinion_key_env`.

    Args:
        second: its options by name; None where not given.
        asking: the teacher's options.
        teacher: as built from them.

    Raises:
        BadParameter: an option is missing or goes without effect.
    """
    model = second["second_opinion"]
    if model is None:
        for name, value in second.items():
            if value is not None and value != []:
                raise typer.BadParameter("goes with --second-opinion only", param_hint=f"--{name.replace('_', '-')}")
        return None
    from pondera.generate.chat import ChatClient
    from pondera.generate.chat_address import origin
    from pondera.teach import SecondOpinion

    teacher_url = asking["base_url"]
    address = second["opinion_url"] or teacher_url
    if address is None:
        raise typer.BadParameter("needs the address of a service", param_hint="--opinion-url")
    is_the_teachers = teacher_url is None or origin(address) == origin(teacher_url)
    key_env = second["opinion_key_env"]
    is_one_offer = is_the_teachers and model == asking["model"]
    # An empty name of a variable is a choice: it sends no key.
    given = {
        "api_key_env": key_env if key_env is not None else (asking["api_key_env"] if is_the_teachers else ""),
        "also_model": second["opinion_also_model"] or (asking["also_model"] if is_one_offer else None),
        "prices": _opinion_prices(second, asking, is_one_offer=is_one_offer),
        **{name: asking[name] for name in ("concurrency", "timeout", "max_rate")},
    }
    budget, deadline = _shared_limits(asking, teacher)
    return SecondOpinion(ChatClient(address, model, budget=budget, deadline=deadline, **client_settings(given)))


def _opinion_prices(
    second: Mapping[str, Any], asking: Mapping[str, Any], *, is_one_offer: bool
) -> tuple[float, float] | None:
    """The prices given, or those of the same model at the same service; costs are counted for both or for none."""
    prices: tuple[float, float] | None = second["opinion_prices"] or (asking["prices"] if is_one_offer else None)
    if prices is None and (asking["prices"] is not None or asking["max_cost"] is not None):
        raise typer.BadParameter(
            f"is needed, because {second['second_opinion']!r} is not what --prices are of; 0,0 where it costs nothing",
            param_hint="--opinion-prices",
        )
    return prices


def _shared_limits(asking: Mapping[str, Any], teacher: Teacher) -> tuple[Budget, Deadline]:
    """Of cost and time: the teacher's, where it has them; what it leaves is for second opinions."""
    from pondera.generate.chat import Budget, Deadline
    from pondera.teach import OpenAITeacher

    if isinstance(teacher, OpenAITeacher):
        return teacher.client.budget, teacher.client.deadline
    return Budget(asking["max_cost"]), Deadline(asking["total_timeout"])
