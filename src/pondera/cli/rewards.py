"""`pondera rewards`: the reward terms and systems, and what they make of logged completions."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pondera.cli.options import aligned

if TYPE_CHECKING:
    from pondera.core.explain import Line
    from pondera.core.system import System

app = typer.Typer(help="Show reward terms and systems; explain logged completions.", no_args_is_help=True)


class Form(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """How explanations are printed."""

    jsonl = "jsonl"
    table = "table"


@app.command("list", epilog="\b\nExample:\n  pondera rewards list")
def list_() -> None:
    """List every reward term, and every system with the terms it adds up."""
    from pondera.core.presets import get_preset, get_system, list_systems
    from pondera.core.rewards import all_terms

    typer.echo("terms")
    typer.echo(aligned([(f"  {name}", term.formula) for name, term in all_terms().items()]))
    typer.echo("\nsystems (for --preset; * = also NAME@as_released)")
    rows: list[tuple[str, ...]] = []
    for name in list_systems():
        preset = get_preset(name)
        for stage in preset.stages or ("",):
            shown = f"  {name}{'' if preset.unreleased else ' *'}{f' --stage {stage}' if stage else ''}"
            rows.append((shown, get_system(name, stage).formula()))
    typer.echo(aligned(rows))


@app.command(
    epilog="\b\nExample:\n  pondera rewards explain runs/quickstart/stages/reinforce/rollouts --preset pondera"
    " --scale 0 1"
    "\n  pondera rewards explain rollouts.jsonl --preset preresq-r1-image --stage stability"
    "\n  pondera rewards explain - --preset q-insight@as_released < rollouts.jsonl"
)
def explain(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="JSON lines {step?, sample, dataset, task?, mos?, mos_std?, scale?, targets?, side?, num_tokens?, "
            "completion}; a parquet file or a folder of them, as a run writes to stages/NAME/rollouts; - is stdin.",
        ),
    ],
    preset: Annotated[str, typer.Option(help="NAME or NAME@as_released: see `pondera rewards list`.")],
    stage: Annotated[
        str | None, typer.Option(help="Stage of a system with stages; its first one if not given.")
    ] = None,
    scale: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Scale of the numbers in the completions, where the prompt asked on another one.",
            show_default="the system's own",
        ),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="How to print.")] = Form.jsonl,
    raw: Annotated[bool, typer.Option("--raw", help="Show terms without their weights.")] = False,
) -> None:
    """Show how a system reads, rewards and weighs logged completions, line by line.

    Completions of one step and sample are a group, groups of one step and dataset are compared. The weighted terms
    of a valid completion add up to its reward; an invalid one earns the system's floor. Values are shown on the
    system's scale.
    """
    if scale is not None and not scale[0] < scale[1]:
        raise typer.BadParameter(f"LOW must be below HIGH, got {scale[0]:g} and {scale[1]:g}", param_hint="--scale")
    from pondera.core.explain import explain as explain_lines
    from pondera.core.explain import read_lines, to_json, to_table
    from pondera.core.presets import get_system
    from pondera.core.records import LabelScale

    system = get_system(preset, stage)
    if scale is not None:
        system = system.asked_on(LabelScale(*scale))
    name = "stdin" if file == "-" else file
    lines = read_lines(_texts(file), system, name=name)
    records = explain_lines(lines, system, name=name, stage=stage or system.stage, raw=raw)
    _warn(lines, system)
    if not any(record["valid"] for record in records):
        typer.echo("note: no completion is valid; if the prompt asked on another scale, give it by --scale", err=True)
    if form is Form.table:
        typer.echo(to_table(records))
        return
    for line in to_json(records):
        typer.echo(line)


def _texts(file: str) -> list[str]:
    from pondera.errors import ManifestError

    if file == "-":
        return sys.stdin.read().split("\n")
    path = Path(file)
    if path.is_dir() or path.suffix == ".parquet":
        from pondera.data.completions import read_completions

        return read_completions(path)
    if not path.is_file():
        raise ManifestError(f"{file}: no such file; give completions as JSONL or parquet, or - for stdin")
    try:
        # Not str.splitlines: a JSON string may hold characters that it takes for the end of a line.
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _warn(lines: list[Line], system: System) -> None:
    """Say on stderr what the rewards do not hold."""
    from pondera.core.explain import side_names

    asked = {line.sample.task for line in lines}
    given = side_names(lines)
    if unread := [name for name in given if name not in system.reads_side]:
        reads = f"it reads {', '.join(system.reads_side)}" if system.reads_side else "it reads none"
        typer.echo(f"note: side {', '.join(unread)} is not read by {system.name}; {reads}", err=True)
    for term, names in system.left_out(given, asked).items():
        typer.echo(f"note: {term} is left out of the reward: no line has side {', '.join(names)}", err=True)
    unlabelled = {line.group for line in lines if line.sample.task == "score" and line.sample.mos is None}
    if unlabelled:
        typer.echo(f"note: {len(unlabelled)} groups have no mos; terms that need one give 0 there", err=True)
    for task in sorted(asked - {"score"}):
        fields = system.label_names(task)
        without = {line.group for line in lines if line.sample.task == task and not fields & set(line.sample.targets)}
        if without:
            typer.echo(
                f"note: {len(without)} groups of task {task} have none of {', '.join(sorted(fields))} in "
                "their targets; terms that need one give 0 there",
                err=True,
            )
