"""`pondera data study`: from the answers of people to a manifest."""

from __future__ import annotations

import json
import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pondera.cli.options import Plain, PlainOption, printable

if TYPE_CHECKING:
    from pondera.core.pairwise import PairwiseModel
    from pondera.data.study import Study


_DECIDES_ALONE = 1e-3  # of a grade


class Screen(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """Whose opinions are left out."""

    none = "none"
    bt500 = "bt500"
    p913 = "p913"
    p910 = "p910"


class Model(str, Enum):  # noqa: UP042 - see Screen
    """How votes become scores."""

    bradley_terry = "bradley-terry"
    thurstone = "thurstone"


def study(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="CSV: stimulus,subject,score; or stimulus and a column per subject; or first,second,choice, where "
            "choice is first, second or tie. A stimulus is a media file. Opinions may have a column reference.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Manifest to write.")],
    media: Annotated[Path | None, typer.Option(help="Folder of the stimuli.", show_default="that of the table")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the data set.", show_default="that of the table")] = None,
    scale: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Scale of the opinions, higher is better.", show_default="1 5"),
    ] = None,
    screen: Annotated[
        Screen | None,
        typer.Option(
            help="Leave out subjects: bt500: often far from the panel to both sides; p913: Pearson correlation with "
            "the panel below 0.75; p910: nobody, but careless subjects weigh less; none. Opinions only.",
            show_default="bt500",
        ),
    ] = None,
    remove_bias: Annotated[
        bool, typer.Option("--remove-bias", help="Take off each subject's mean distance (P.913). Opinions only.")
    ] = False,
    model: Annotated[
        Model | None, typer.Option(help="How votes become scores. Votes only.", show_default="bradley-terry")
    ] = None,
    pseudo_votes: Annotated[
        float | None,
        typer.Option(min=0, help="Votes added each way to every pair compared. Votes only.", show_default="0"),
    ] = None,
    check_media: Annotated[bool, typer.Option(help="Look whether every stimulus is there.")] = True,
    form: PlainOption = Plain.table,
) -> None:
    """Turn the answers of a study into a manifest: opinions of subjects (MOS), or votes for the better of two.

    Labels come with standard deviation and 95 % interval. Votes give scores in units of a 75 % preference.
    """
    from pondera.core.records import LabelScale
    from pondera.data.importers.run import require_files
    from pondera.data.manifest import write_manifest
    from pondera.data.study import Opinions, opinion_study, read_study, vote_study

    if pseudo_votes is not None and not math.isfinite(pseudo_votes):
        raise typer.BadParameter(f"a finite number of votes, got {pseudo_votes:g}", param_hint="--pseudo-votes")
    try:
        bounds = LabelScale(*(scale or (1.0, 5.0)))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scale") from None
    answers = read_study(table, bounds)
    place: dict[str, Any] = {"folder": media or table.parent, "dataset": dataset or table.stem}
    if isinstance(answers, Opinions):
        _refuse("a table of opinions", {"--model": model, "--pseudo-votes": pseudo_votes})
        if remove_bias and screen is Screen.p910:
            raise typer.BadParameter("p910 takes the bias off by itself; leave it out", param_hint="--remove-bias")
        rule = None if screen is Screen.none else (screen or Screen.bt500).value
        made = opinion_study(answers, scale=bounds, screening=rule, without_bias=remove_bias, **place)
    else:
        _refuse("a table of votes", {"--scale": scale, "--screen": screen, "--remove-bias": remove_bias or None})
        chosen: PairwiseModel = "thurstone" if model is Model.thurstone else "bradley-terry"
        made = vote_study(answers, model=chosen, pseudo_votes=pseudo_votes or 0.0, **place)
    if check_media:
        require_files(made.samples, table, "Correct the names or --media, or do not look with --no-check-media")
    write_manifest(out, made.samples)
    typer.echo(json.dumps(_document(made, out), indent=2) if form is Plain.json else _text(made, out))


def _refuse(kind: str, options: dict[str, Any]) -> None:
    """Nothing is accepted and ignored."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise typer.BadParameter(f"does nothing for {kind}", param_hint=", ".join(given))


def _document(made: Study, out: Path) -> dict[str, Any]:
    from pondera.core.metrics import jsonable

    document: dict[str, Any] = jsonable(
        {
            "manifest": str(out),
            "num_samples": len(made.samples),
            "num_judgements": made.num_judgements,
            "mean_ci95": made.mean_reach,
            "subjects": made.subjects,
        }
    )
    return document


def _text(made: Study, out: Path) -> str:
    kind = "opinions" if made.subjects else "votes"
    lines = [
        f"{out}: {len(made.samples)} samples from {made.num_judgements} {kind}, "
        f"95 % intervals of +-{made.mean_reach:.2f} on average"
    ]
    if made.subjects:
        rejected = {name: found for name, found in made.subjects.items() if found["rejected"]}
        lines.append(f"{len(made.subjects) - len(rejected)} of {len(made.subjects)} subjects kept")
        for name, found in rejected.items():
            figures = ", ".join(f"{key} {value:.3f}" for key, value in found.items() if key != "rejected")
            lines.append(f"  left out: {printable(name)} ({figures})")
        lines += [
            f"  {printable(name)} agrees with the labels to the last bit and decides alone: too few subjects for p910"
            for name, found in made.subjects.items()
            if found.get("inconsistency", 1.0) < _DECIDES_ALONE
        ]
    lines.append(f"no sample has a split yet: pondera data split {out} --out {out}")
    return "\n".join(lines)
