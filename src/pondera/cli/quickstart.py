"""`pondera quickstart` and `quickstart-video`: the whole pipeline from one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pondera.cli.options import OverridesOption, quiet_loading, require


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for data, runs and report.")] = Path("quickstart"),
    seed: Annotated[int, typer.Option(min=0, help="Same seed and machine, same weights.")] = 0,
    overrides: OverridesOption = None,
) -> None:
    """Teach a small model to judge photographs: distil, cold-start, reinforce, evaluate, report.

    Uses the bundled photographs, needs no GPU and no network, and takes some minutes. Finished stages are kept: run
    the same command again after an interruption. Prints the results and where the report is. --set changes the
    training (the recipe of the same name).
    """
    require("train", "accelerate", "tqdm", "pyarrow")
    require("report", "jinja2")

    from pondera.quickstart import run_quickstart  # loads torch

    quiet_loading()
    run_quickstart(out, seed=seed, overrides=tuple(overrides or ()))


def quickstart_video(
    out: Annotated[Path, typer.Option(help="Folder for data, runs and report.")] = Path("quickstart-video"),
    seed: Annotated[int, typer.Option(min=0, help="Same seed and machine, same weights.")] = 0,
    overrides: OverridesOption = None,
) -> None:
    """Teach a small model to judge videos: move, damage, distil, cold-start, reinforce, evaluate, report.

    A camera moves over the bundled photographs; codecs and faults of time damage the clips. Needs no GPU and no
    network, and takes some minutes. Finished stages are kept: run the same command again after an interruption.
    --set changes the training (the recipe of the same name).
    """
    require("video", "av")
    require("train", "accelerate", "tqdm", "pyarrow")
    require("report", "jinja2")

    from pondera.quickstart_video import run_quickstart_video  # loads torch

    quiet_loading()
    run_quickstart_video(out, seed=seed, overrides=tuple(overrides or ()))
