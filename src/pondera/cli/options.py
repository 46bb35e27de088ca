"""Options and small texts that several commands share."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pondera.errors import MissingExtra

if TYPE_CHECKING:
    from pondera.core.records import MediaKind


class Mode(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """How a score is made."""

    reason = "reason"
    expected = "expected"
    fast = "fast"
    consensus = "consensus"


class Plain(str, Enum):  # noqa: UP042 - see Mode
    """How a few facts are printed."""

    table = "table"
    json = "json"


ModelOption = Annotated[
    str,
    typer.Option(
        "--model", help="nano or nano-video (built in), a folder with weights such as RUN/final, or a hub id."
    ),
]
ChosenModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="nano or nano-video (built in), a folder with weights such as RUN/final, or a hub id.",
        show_default="nano for images, nano-video for videos",
    ),
]
ModeOption = Annotated[
    Mode,
    typer.Option(
        help="reason: think, then answer; expected: think, then the expected score; fast: that without a thought; "
        "consensus: mean of samples."
    ),
]
SamplesOption = Annotated[
    int | None, typer.Option(min=2, help="Completions per image, consensus only.", show_default="8")
]
SampleSeedOption = Annotated[
    int | None, typer.Option(min=0, help="Seed of these completions, consensus only.", show_default="0")
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, mps.", show_default="the best there is")]
OverridesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Change one value; repeat for more. List items go by name."),
]
PlainOption = Annotated[Plain, typer.Option("--format", help="How to print.")]


def model_for(kind: MediaKind, model: str | None) -> str:
    """The model asked for, or the built-in one for this kind of media."""
    if model is not None:
        return model
    from pondera.models import BUILT_IN_FOR  # loads torch

    return BUILT_IN_FOR[kind]


def kinds_for(model: str | None) -> tuple[MediaKind, ...]:
    """What is judged: images or videos, as the model's card says; both, by the built-in models, where none is named."""
    if model is None:
        return ("image", "video")
    from pondera.models.loading import ModelCard, resolve  # loads torch

    return (ModelCard.read(resolve(model) or Path(model)).kind,)


def sampling(mode: Mode, samples: int | None, seed: int | None) -> dict[str, int]:
    """The options of consensus mode; given with another mode they would do nothing, so they are refused."""
    given = {"samples": samples, "seed": seed}
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen and mode is not Mode.consensus:
        names = ", ".join(f"--{name}" for name in chosen)
        raise typer.BadParameter(f"needs --mode consensus; mode {mode.value} draws no samples", param_hint=names)
    return chosen


def require(extra: str, *packages: str) -> None:
    """Look for optional packages before the work starts, not after hours of it.

    Raises:
        MissingExtra: one is not installed.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtra(f"this command needs {package}", extra)


def quiet_loading() -> None:
    """Switch off transformers' bars for reading and writing weights; those for downloads stay. Loads transformers.

    A renaming inside the library is no business of a command's user either: 5.24 calls `past_key_values` `cache`. The
    old name, the only one that 5.23 knows, works up to 5.39.
    """
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging

    warnings.filterwarnings("ignore", message=".*`past_key_values`", category=FutureWarning)
    were_off = are_progress_bars_disabled()
    logging.disable_progress_bar()  # also that of the hub
    if not were_off:
        enable_progress_bars()


def progress(label: str) -> Callable[[int, int], None]:
    """A counter that renews itself on stderr; silent where nobody watches."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{label}: {done} of {total}", err=True, nl=done >= total)

    return show


def shares(text: str, option: str) -> dict[str, float]:
    """Read `train=0.7,val=0.1,test=0.2`."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        try:
            found[name] = float(value)
        except ValueError:
            sign = ""
        if not sign or not name:
            raise typer.BadParameter(f"{part!r} is no share; write train=0.7,val=0.1,test=0.2", param_hint=option)
    return found


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell; the last one is free."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)] if rows else []
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def facts(values: dict[str, Any]) -> str:
    """Names and values, one a line."""
    return aligned([(name, str(value)) for name, value in values.items()])


def printable(text: str) -> str:
    """Text from models and file names without control characters, which could steer the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def text_width() -> int:
    """Where lines are broken: at the edge of the terminal, or at 100 letters."""
    return max(40, min(100, shutil.get_terminal_size((100, 24)).columns))
