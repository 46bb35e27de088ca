"""Commands that ask a chat service have its options under the same names, with the same words and defaults."""

from __future__ import annotations

import inspect

import pytest
import typer.main

from pondera.cli import app
from pondera.cli.client_options import client_settings, read_prices
from pondera.generate.chat import ChatClient

COMMANDS = ("distill", "judge")
OF_A_RUN = ("concurrency", "timeout", "total_timeout", "max_rate", "max_cost", "also_model")


def options_of(command):
    return {option.name: option for option in typer.main.get_command(app).commands[command].params}


@pytest.mark.parametrize("name", OF_A_RUN)
def test_limits_are_the_same_options_in_every_command(name):
    """judge had neither time-outs nor a rate nor further names."""
    distill, judge = (options_of(command)[name] for command in COMMANDS)
    assert distill.opts == judge.opts == [f"--{name.replace('_', '-')}"]
    for part in ("help", "default", "show_default", "multiple", "required"):
        assert getattr(distill, part) == getattr(judge, part)


@pytest.mark.parametrize("name", ["concurrency", "timeout"])
def test_the_default_that_is_shown_is_that_of_the_client(name):
    (argument,) = client_settings({name: 1.0})
    default = inspect.signature(ChatClient).parameters[argument].default
    assert {options_of(command)[name].show_default for command in COMMANDS} == {f"{default:g}"}


@pytest.mark.parametrize("name", ["total_timeout", "max_rate", "max_cost"])
def test_what_is_shown_as_no_limit_is_none_in_the_client(name):
    (argument,) = client_settings({name: 1.0})
    assert inspect.signature(ChatClient).parameters[argument].default is None
    assert {options_of(command)[name].show_default for command in COMMANDS} == {"no limit"}


def test_options_that_were_not_given_leave_the_clients_defaults():
    given = {"timeout": 2.0, "also_model": [], "max_rate": None, "api_key_env": ""}
    assert client_settings(given) == {"timeout_s": 2.0, "api_key_env": ""}


def test_prices_are_two_numbers_and_written_alike_everywhere():
    """distill wanted two words, judge one with a comma."""
    assert read_prices("2.5,10") == (2.5, 10.0)
    assert {
        options_of(c)[name].metavar
        for c, name in (("distill", "prices"), ("distill", "opinion_prices"), ("judge", "prices"))
    } == {"IN,OUT"}
    for wrong in ("2.5", "a,b", "1,2,3", ""):
        with pytest.raises(typer.BadParameter, match=r"two numbers such as 2\.5,10"):
            read_prices(wrong)
