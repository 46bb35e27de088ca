"""`pondera train`: run a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pondera.cli.options import OverridesOption, quiet_loading, require


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A packaged recipe, or a YAML file.")],
    overrides: OverridesOption = None,
    stage: Annotated[str | None, typer.Option(help="Run only this stage, from the model of the one before.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/NAME of the recipe")] = None,
) -> None:
    """Run the stages of a recipe: cold start, reinforcement. Prints the folder of the trained model."""
    from pondera.config import load_recipe

    checked = load_recipe(recipe, overrides or [])
    require("train", "accelerate", "tqdm", "pyarrow")

    from pondera.engine.run import run_recipe  # loads torch
    from pondera.models.distribution import is_first

    quiet_loading()
    run = out or Path("runs") / checked.name
    final = run_recipe(checked, run, only_stage=stage, resume=resume)
    if not is_first():
        return
    if final.is_dir():
        typer.echo(f"the model is in {final}; score with: pondera score photo.jpg --model {final}", err=True)
        typer.echo(final)
    else:
        model = run / "stages" / str(stage) / "model"
        typer.echo(f"stage {stage} is done, its model is in {model}; go on with --resume", err=True)
        typer.echo(model)
