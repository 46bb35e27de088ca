"""The command line: arguments in, text out; heavy imports inside the commands.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
import typer.core

from pondera._version import __version__
from pondera.cli import (
    compare,
    data,
    distill,
    evaluate,
    judge,
    metrics,
    models,
    quickstart,
    recipes,
    rewards,
    score,
    serve,
    study,
    train,
)
from pondera.errors import PonderaError

_GO_ON = {
    "quickstart-video": "finished stages are kept; go on with the same command",
    "quickstart": "finished stages are kept; go on with the same command",
    "data": "what is made is kept; go on with the same command",
    "distill": "responses so far are kept; go on with the same command",
    "evaluate": "what was scored is recorded; go on with the same command",
    "judge": "answers so far are kept; go on with the same command",
    "train": "go on with the same command and --resume",
    "score": "results so far are written; give the remaining files to go on",
}


_ORDER = (
    "quickstart", "quickstart-video", "score", "compare", "data", "distill", "train", "evaluate", "metrics", "judge",
    "serve", "recipes", "rewards", "models",
)  # fmt: skip


class Commands(typer.core.TyperGroup):
    """The commands, and what becomes of errors that a user can act on."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order in which one meets them; typer would put the groups last."""
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; expected errors become one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            hint = _GO_ON.get(ctx.invoked_subcommand or "", "nothing is kept; start again with the same command")
            typer.echo(f"interrupted: {hint}", err=True)
            raise typer.Exit(130) from None
        except PonderaError as error:
            typer.echo(f"{type(error).__name__}: {error}", err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.filename is None:  # a closed pipe, a full disk: not about one file that the user named
                raise
            typer.echo(f"{type(error).__name__}: {error.filename}: {error.strerror}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text: examples can be copied, and --help stays quick
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Judge the quality of images, with a reason for every score; train and evaluate the models that do."""


def _example(*lines: str) -> str:
    """Text for the end of a help page; \\b keeps the lines as they are."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


app.command(
    "quickstart",
    short_help="Run the whole pipeline on bundled photographs.",
    epilog=_example("pondera quickstart --out quickstart"),
)(quickstart.quickstart)
app.command(
    "quickstart-video",
    epilog=_example("pondera quickstart-video --out quickstart-video"),
)(quickstart.quickstart_video)
app.command("score", epilog=_example("pondera score photo.jpg", "pondera score photos/ --mode fast --out scores.csv"))(
    score.score
)
app.command("compare", epilog=_example("pondera compare before.jpg after.jpg"))(compare.compare)
data.app.command(
    "study",
    short_help="Turn opinions or pairwise votes of people into a manifest.",
    epilog=_example("pondera data study opinions.csv --scale 1 5 --screen bt500 --out study.jsonl"),
)(study.study)
app.add_typer(data.app, name="data")
app.command(
    "distill",
    short_help="Write rationales with a teacher, verified and resumable.",
    epilog=_example("pondera distill data/manifest.jsonl --split train --out data/taught.jsonl"),
)(distill.distill)
app.command("train", epilog=_example("pondera train quickstart --set stages.reinforce.steps=20 --out runs/short"))(
    train.train
)
app.command(
    "evaluate",
    short_help="Measure a model on labelled samples.",
    epilog=_example("pondera evaluate data/manifest.jsonl --split test --model nano --out evaluation"),
)(evaluate.evaluate)
app.command("metrics", short_help="Measure scores in a table against labels.")(metrics.metrics)
app.command(
    "judge",
    short_help="Judge what systems write about images.",
    epilog=_example(
        "pondera judge evaluation",
        "pondera judge evaluation --judge some-model --base-url http://127.0.0.1:8000/v1 --out judged",
    ),
)(judge.judge)
app.command("serve", epilog=_example("pondera serve --model nano --port 8000"))(serve.serve)
app.add_typer(recipes.app, name="recipes")
app.add_typer(rewards.app, name="rewards")
app.add_typer(models.app, name="models")


def main() -> None:
    """The entry point of `pondera`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name or a word that the terminal lacks must not end the run
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its hints are for programmers
    app(prog_name="pondera")
