"""`pondera score`: what a model says about images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pondera.cli.options import (
    DeviceOption,
    Mode,
    ModelOption,
    ModeOption,
    SampleSeedOption,
    SamplesOption,
    progress,
    quiet_loading,
    sampling,
)
from pondera.cli.writers import FORMATS, Format, format_for, opened

if TYPE_CHECKING:
    from pondera.core.records import Assessment


def score(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Image files, folders and glob patterns.")],
    model: ModelOption = "nano",
    mode: ModeOption = Mode.reason,
    samples: SamplesOption = None,
    seed: SampleSeedOption = None,
    scale: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Scale of the scores.", show_default="the model's own"),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="How to write.", show_default="by the ending of --out, else table"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write to.", show_default="stdout")] = None,
    device: DeviceOption = None,
) -> None:
    """Score images, with a reason for every score.

    Folders are searched to the bottom. A file that cannot be read becomes a row with its error; the others are still
    scored, and the exit code is 1.
    """
    options = sampling(mode, samples, seed)
    if scale is not None and not scale[0] < scale[1]:
        raise typer.BadParameter(f"LOW must be below HIGH, got {scale[0]:g} and {scale[1]:g}", param_hint="--scale")

    from pondera.data.images import list_media

    media = list_media(paths)
    if all(path.is_dir() for path in media):
        raise typer.BadParameter(f"there is no image in {', '.join(paths)}", param_hint="PATH")

    from pondera.assess import load  # loads torch

    quiet_loading()
    assessor = load(model, device=device, scale=scale)
    failed: list[Path] = []
    with opened(out) as file:
        # Shown only where the results do not show how far things are.
        shown = _counted(assessor.stream(media, mode.value, **options), failed, len(media), show=out is not None)
        for text in FORMATS[format_for(form, out)](shown):
            file.write(text)
            file.flush()
    if failed:
        typer.echo(f"{len(failed)} of {len(media)} files got no score", err=True)
        raise typer.Exit(1)


def _counted(assessments: Iterable[Assessment], failed: list[Path], total: int, *, show: bool) -> Iterator[Assessment]:
    """Pass assessments on and note those without a score."""
    advance = progress("scored")
    for done, assessment in enumerate(assessments, start=1):
        if assessment.error is not None:
            failed.append(Path(assessment.path))
        if show:
            advance(done, total)
        yield assessment
