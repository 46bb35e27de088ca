"""The options of commands that ask a chat service: one declaration each, with the defaults of `ChatClient`.

What is shown as a default here is that of `ChatClient`, which alone holds the value; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import typer


class Prices(NamedTuple):
    """Of a million prompt and completion tokens."""

    prompt: float
    completion: float


def read_prices(text: str) -> Prices:
    """Read `2.5,10`."""
    try:
        prompt, completion = (float(word) for word in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"must be two numbers such as 2.5,10, got {text!r}") from None
    return Prices(prompt, completion)


PRICES_FORM: Mapping[str, Any] = {"parser": read_prices, "metavar": "IN,OUT"}

ConcurrencyOption = Annotated[int | None, typer.Option(min=1, help="Requests under way at a time.", show_default="8")]
TimeoutOption = Annotated[float | None, typer.Option(help="Seconds for one try of a request.", show_default="300")]
TotalTimeoutOption = Annotated[float | None, typer.Option(help="Seconds for the run.", show_default="no limit")]
MaxRateOption = Annotated[
    float | None, typer.Option(help="Requests a minute, to each service.", show_default="no limit")
]
MaxCostOption = Annotated[
    float | None,
    typer.Option(
        help="Limit of what this run may spend in all; no request is begun that could pass it.",
        show_default="no limit",
    ),
]
AlsoModelOption = Annotated[
    list[str] | None, typer.Option(help="Another name under which the model may answer; repeatable.")
]

# What `ChatClient` calls them, where that differs.
_NAMES: Mapping[str, str] = {
    "timeout": "timeout_s",
    "total_timeout": "total_timeout_s",
    "also_model": "accepted_models",
}


def client_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `ChatClient` from options by name; those that were not given stay away, so its defaults hold."""
    given = {name: value for name, value in options.items() if value is not None and value != []}
    return {_NAMES.get(name, name): value for name, value in given.items()}
