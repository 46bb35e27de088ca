"""`pondera score`: what a model says about images and videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pondera.cli.options import (
    ChosenModelOption,
    DeviceOption,
    Mode,
    ModeOption,
    SampleSeedOption,
    SamplesOption,
    kinds_for,
    model_for,
    progress,
    quiet_loading,
    sampling,
)
from pondera.cli.writers import FORMATS, Format, format_for, opened

if TYPE_CHECKING:
    from pondera.assess import Assessor
    from pondera.core.records import Assessment, MediaKind


def score(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Images, videos, folders and glob patterns.")],
    model: ChosenModelOption = None,
    mode: ModeOption = Mode.reason,
    samples: SamplesOption = None,
    seed: SampleSeedOption = None,
    scale: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Scale of the scores.", show_default="the model's own"),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="Score how well each file shows this text, for models with a prompt about alignment.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="How to write.", show_default="by the ending of --out, else table"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write to.", show_default="stdout")] = None,
    explain: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the pictures that the model looked at.", show_default=False),
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Score images and videos, with a reason for every score.

    Folders are searched to the bottom, for what --model judges; without it, for images and videos. A file that cannot
    be read becomes a row with its error; the others are still scored, and the exit code is 1.
    """
    options = sampling(mode, samples, seed)
    if scale is not None and not scale[0] < scale[1]:
        raise typer.BadParameter(f"LOW must be below HIGH, got {scale[0]:g} and {scale[1]:g}", param_hint="--scale")
    if text is not None and not text.strip():
        raise typer.BadParameter("it is empty; write what the picture should show", param_hint="--text")

    from pondera.data.presentation import kind_of

    kinds = kinds_for(model)
    media = _media(paths, kinds)
    names = {kind: model_for(kind, model) for kind in {kind_of(path, kinds[0]) for path in media}}

    from pondera.assess import ShownPictures, load, stream_by_kind  # loads torch

    def loaded(kind: MediaKind) -> Assessor:
        assessor = load(names[kind], device=device, scale=scale, kind=kind)
        return assessor if text is None else assessor.asking("alignment")

    quiet_loading()
    assessments = stream_by_kind(
        media,
        loaded,
        mode.value,
        text=text,
        either=kinds[0],
        on_shown=None if explain is None else ShownPictures(explain),
        **options,
    )
    failed: list[Path] = []
    with opened(out) as file:
        # Shown only where the results do not show how far things are.
        shown = _counted(assessments, failed, len(media), show=out is not None)
        for piece in FORMATS[format_for(form, out)](shown):
            file.write(piece)
            file.flush()
    if failed:
        typer.echo(f"{len(failed)} of {len(media)} files got no score", err=True)
        raise typer.Exit(1)


def _media(paths: list[str], kinds: tuple[MediaKind, ...]) -> list[Path]:
    """The files to judge. A folder stands for those of these kinds in it."""
    from pondera.data.images import is_image_file, list_media
    from pondera.data.presentation import kind_of
    from pondera.data.video import is_video_file

    def is_wanted(path: Path) -> bool:
        return (is_image_file(path) or is_video_file(path)) and kind_of(path, kinds[0]) in kinds

    media = list_media(paths, is_wanted)
    if all(path.is_dir() for path in media):
        raise typer.BadParameter(f"there is no {' and no '.join(kinds)} in {', '.join(paths)}", param_hint="PATH")
    return media


def _counted(assessments: Iterable[Assessment], failed: list[Path], total: int, *, show: bool) -> Iterator[Assessment]:
    """Pass assessments on and note those without a score."""
    advance = progress("scored")
    for done, assessment in enumerate(assessments, start=1):
        if assessment.error is not None:
            failed.append(Path(assessment.path))
        if show:
            advance(done, total)
        yield assessment
