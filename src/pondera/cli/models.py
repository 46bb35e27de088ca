"""`pondera models`: what can be loaded."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from pondera.cli.options import Plain, PlainOption, aligned, facts, quiet_loading

app = typer.Typer(help="Show models.", no_args_is_help=True)


@app.command("list", epilog="\b\nExample:\n  pondera models list")
def list_() -> None:
    """List what --model takes."""
    from pondera.models import BUILT_IN, TOWERS  # loads torch

    rows = [*BUILT_IN.items(), *TOWERS.items()]
    rows.append(("FOLDER", "weights and processor in the transformers format, such as RUN/final of a training run"))
    rows.append(("ORGANISATION/NAME", "a stock image-text-to-text model of the Hugging Face hub, no remote code"))
    typer.echo(aligned(rows))


@app.command(epilog="\b\nExample:\n  pondera models info nano")
def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="nano, nano-video, a folder, or a hub id.")],
    form: PlainOption = Plain.table,
) -> None:
    """Print facts about a model: its size, how it is asked, what it was trained on."""
    from pondera.models import load_model  # loads torch

    quiet_loading()
    loaded = load_model(model, device="cpu")
    card, network = loaded.card, loaded.family.model
    values: dict[str, Any] = {
        "name": loaded.name,
        "class": type(network).__name__,
        "parameters": sum(p.numel() for p in network.parameters()),
        "dtype": str(network.dtype).removeprefix("torch."),
        "weights": loaded.weights_hash,
        "scale": [card.scale.low, card.scale.high],
        "prompt": card.prompt,
        "fast_prompt": card.fast_prompt,
        "tasks": dict(card.tasks),
        "max_new_tokens": card.max_new_tokens,
        "trained_on": list(card.trained_on),
        "recipe": card.recipe,
    }
    if form is Plain.json:
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    values["parameters"] = f"{values['parameters']:,}"
    values["scale"] = f"{card.scale.low:g} (worst) to {card.scale.high:g} (best)"
    values["fast_prompt"] = card.fast_prompt or "none: it was not taught to answer without a thought"
    values["tasks"] = ", ".join(("score", *card.tasks))
    values["trained_on"] = ", ".join(card.trained_on) or "not recorded"
    values["recipe"] = card.recipe or "not recorded"
    typer.echo(facts(values))
