"""`pondera recipes`: the packaged recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from pondera.cli.options import aligned

app = typer.Typer(help="Show the packaged recipes.", no_args_is_help=True)


@app.command("list", epilog="\b\nExample:\n  pondera recipes list")
def list_() -> None:
    """List the packaged recipes."""
    from pondera.config import load_recipe, recipe_names

    rows = [(name, " ".join(load_recipe(name).description.split())) for name in recipe_names()]
    if rows:
        typer.echo(aligned(rows))


@app.command(epilog="\b\nExample:\n  pondera recipes show quickstart > mine.yaml")
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="See `pondera recipes list`.")]) -> None:
    """Print a recipe, for example to make your own from it."""
    from pondera.config import recipe_text

    typer.echo(recipe_text(name), nl=False)
