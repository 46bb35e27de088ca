"""`pondera compare`: which of two images or videos looks better, by how much, and why."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pondera.cli.options import (
    ChosenModelOption,
    DeviceOption,
    Mode,
    ModeOption,
    Plain,
    PlainOption,
    SampleSeedOption,
    SamplesOption,
    aligned,
    kinds_for,
    model_for,
    printable,
    quiet_loading,
    sampling,
)

if TYPE_CHECKING:
    from pondera.assess import Comparison


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="One image or video.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other.")],
    model: ChosenModelOption = None,
    mode: ModeOption = Mode.consensus,
    samples: SamplesOption = None,
    seed: SampleSeedOption = None,
    form: PlainOption = Plain.table,
    device: DeviceOption = None,
) -> None:
    """Tell which of two images or videos looks better, by how much, and why."""
    options = sampling(mode, samples, seed)

    from pondera.data.presentation import kind_of

    either = kinds_for(model)[0]
    kind = kind_of(first, either)
    if kind_of(second, either) != kind:
        raise typer.BadParameter(f"{first} is a {kind}, {second} is not; give two of a kind", param_hint="A, B")

    from pondera.assess import load  # loads torch

    quiet_loading()
    comparison = load(model_for(kind, model), device=device, kind=kind).compare(first, second, mode.value, **options)
    if form is Plain.json:
        typer.echo(json.dumps(_record(comparison), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo(_text(comparison))


def _record(comparison: Comparison) -> dict[str, Any]:
    return {
        "better": comparison.better,
        "margin": comparison.margin,
        "probability": None if math.isnan(comparison.probability) else comparison.probability,
        "reason": comparison.reason,
        "first": comparison.first.to_dict(),
        "second": comparison.second.to_dict(),
    }


def _text(comparison: Comparison) -> str:
    a, b = comparison.first, comparison.second
    scale = f"on a scale from {a.scale.low:g} to {a.scale.high:g}"
    if comparison.better == "tie":
        verdict = f"A and B look alike: they differ by {abs(comparison.margin):.2f} {scale}."
    else:
        verdict = f"{comparison.better} looks better by {abs(comparison.margin):.2f} {scale}."
    if not math.isnan(comparison.probability):
        verdict += f" Probability that A is better: {comparison.probability:.2f}."
    rows = [(name, f"{item.score:.2f}", printable(item.path)) for name, item in (("A", a), ("B", b))]
    return "\n".join([aligned(rows), verdict, printable(comparison.reason)])
