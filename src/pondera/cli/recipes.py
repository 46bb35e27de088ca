"""`pondera recipes`: the packaged recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from pondera.cli.options import aligned

app = typer.Typer(help="Show the packaged recipes.", no_args_is_help=True)


@app.command("list", epilog="\b\nExample:\n  pondera recipes list")
def list_() -> None:
    """List the packaged recipes by the model they start from, with the kinds of their stages."""
    from pondera.config import load_recipe, recipe_names

    groups: dict[str, list[tuple[str, ...]]] = {}
    for name in recipe_names():
        recipe = load_recipe(name)
        start = recipe.model.init
        group = "nano, from fresh weights on a CPU" if start == "nano-new" else f"from {start}"
        kinds = " > ".join(stage.kind for stage in recipe.stages)
        groups.setdefault(group, []).append((f"  {name}", kinds, " ".join(recipe.description.split())))
    for group, rows in sorted(groups.items(), reverse=True):
        typer.echo(group)
        typer.echo(aligned(rows))


@app.command(epilog="\b\nExample:\n  pondera recipes show quickstart > mine.yaml")
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="See `pondera recipes list`.")]) -> None:
    """Print a recipe, for example to make your own from it."""
    from pondera.config import recipe_text

    typer.echo(recipe_text(name), nl=False)
