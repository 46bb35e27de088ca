"""The run folder: opened for one recipe only, and what is in it is kept.

RUN/recipe.yaml            the resolved recipe
RUN/environment.json       versions and seeds
RUN/metrics.jsonl          every logged value of every stage
RUN/rationales/NAME/       what the measuring teacher said, where a stage asks it
RUN/stages/NAME/           checkpoints and best-STEP/ while it runs, rollouts/, model/ when it is done; adapter/ of LoRA
RUN/final/                 the last stage's model: give this folder to `pondera score --model`
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pondera._version import __version__
from pondera.config import Recipe
from pondera.engine.checkpoints import last_checkpoint
from pondera.engine.files import new_folder, saving, write_text
from pondera.errors import ConfigError
from pondera.models import Family, ModelCard, lora
from pondera.models.distribution import is_sharded, rank, wait
from pondera.models.lora import has_adapter
from pondera.models.policy_weights import whole_state

_SHOWN = 3  # differences named in a message


def check_folder(recipe: Recipe, out: Path, *, may_exist: bool) -> None:
    """Make the folder, or come back to it; nothing in it changes.

    Raises:
        ConfigError: it holds a run and `may_exist` is false, or a run of another recipe; or it cannot be made.
    """
    path = out / "recipe.yaml"
    if path.exists():
        if not may_exist:
            raise ConfigError(f"{out} holds a run already; go on with --resume, or give another folder with --out")
        if different := _differences(path, recipe):
            raise ConfigError(
                f"{path} is another recipe than this one: {'; '.join(different)}. Nothing was changed; give another "
                "folder with --out, or the same values to go on"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the run folder {out} cannot be made: {error.strerror}; give another with --out") from None


def open_run(recipe: Recipe, out: Path) -> None:
    """Write down what runs in the folder, once all else is found in order: from now on it is for this recipe only.

    Raises:
        TrainingError: it could not be written.
    """
    with saving(f"run folder {out}"):
        write_text(out / "recipe.yaml", yaml.safe_dump(json.loads(recipe.model_dump_json()), sort_keys=False))
        write_text(out / "environment.json", json.dumps(_environment(recipe.seed), indent=2) + "\n")


def refuse_interrupted(name: str, folder: Path) -> None:
    """A stage that got somewhere is neither started again nor continued without being asked to.

    Raises:
        ConfigError: the folder of the stage holds a checkpoint.
    """
    if last := last_checkpoint(folder / "checkpoints"):
        raise ConfigError(
            f"stage {name!r} was interrupted, its last checkpoint is {last}; go on with --resume, or delete {folder} "
            "to start the stage again"
        )


def save_model(family: Family, card: ModelCard, folder: Path) -> None:
    """Write weights, processor and card; the folder appears only when it is complete.

    An adapter is added to the weights in the file, and stays beside them in the model.

    Raises:
        TrainingError: it could not be written.
    """
    has_own_weights = not is_sharded(family.model) and not has_adapter(family.model)
    is_asked = rank() == 0 or is_sharded(family.model)
    state = whole_state(family.model) if is_asked and not has_own_weights else None
    if rank() == 0:
        with saving(f"model {folder}"), new_folder(folder) as partial:
            family.save(partial, state)
            card.save(partial)
    wait()


def save_adapter(family: Family, folder: Path) -> None:
    """Write the adapter of a model beside it, once; the folder appears only when it is complete.

    Raises:
        TrainingError: it could not be written.
    """
    if rank() == 0:
        with saving(f"adapter {folder}"), new_folder(folder) as partial:
            lora.save_adapter(family, partial)
    wait()


def _differences(path: Path, recipe: Recipe) -> list[str]:
    """Values of a recipe that a file says otherwise, or why it cannot be compared; settings it does not name have
    their default, so that a run goes on after an update that brought new ones."""
    try:
        there = Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:  # pydantic's and Unicode's errors are ValueErrors
        return [f"it cannot be read by this version: {str(error).splitlines()[0]}"]
    mine, theirs = (_flat(json.loads(r.model_dump_json())) for r in (recipe, there))
    keys = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
    shown = [f"{key} is {theirs.get(key, 'absent')!r} there, {mine.get(key, 'absent')!r} here" for key in keys[:_SHOWN]]
    return shown if len(keys) <= _SHOWN else [*shown, f"and {len(keys) - _SHOWN} more"]


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and lists by their dotted key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {key: value}
    return {k: v for name, part in items for k, v in _flat(part, f"{key}.{name}" if key else f"{name}").items()}


def _environment(seed: int) -> dict[str, object]:
    import torch
    import transformers

    return {
        "pondera": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "seed": seed,
    }
