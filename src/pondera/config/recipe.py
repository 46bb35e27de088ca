"""A recipe, and how it is read: YAML, packaged or a file, `extends`, overrides."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from pondera.config.reinforce import ReinforceStage
from pondera.config.sections import DataSection, ModelSection, PromptSection, Strict, TrackingSection, ViewSection
from pondera.config.supervised import ColdStartStage, PretrainStage
from pondera.errors import ConfigError

Stage = Annotated[PretrainStage | ColdStartStage | ReinforceStage, Field(discriminator="kind")]


class Recipe(Strict):
    """A complete configuration with a known outcome."""

    name: str
    description: str = ""
    seed: int = Field(0, ge=0)
    model: ModelSection = ModelSection()
    data: DataSection
    prompts: PromptSection = PromptSection()
    view: ViewSection = ViewSection()
    tracking: TrackingSection = TrackingSection()
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"two stages have one name: {names}")
        return self

    def prompts_of(self, stage: Stage) -> PromptSection:
        """What a stage asks: its own prompts, or those of the recipe."""
        return getattr(stage, "prompts", None) or self.prompts

    def data_of(self, stage: Stage) -> DataSection:
        """What a stage learns from: its own data, or that of the recipe."""
        return getattr(stage, "data", None) or self.data


def recipe_names() -> list[str]:
    """The packaged recipes."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """The YAML of a packaged recipe, or of a file.

    Raises:
        ConfigError: there is none of this name.
    """
    if name.endswith((".yaml", ".yml")) or Path(name).is_file():
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"{name}: no such recipe file")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name}: not UTF-8: {error}; save the recipe with this encoding") from None
    if name not in recipe_names():
        raise ConfigError(f"no recipe {name!r}; packaged are: {', '.join(recipe_names())}. A file ends in .yaml")
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        name: a packaged recipe or a YAML file.
        overrides: `a.b=value` assignments; list items by index or by their `name`: `stages.reinforce.steps=20`.

    A recipe may name another one with `extends`: what it leaves out comes from there. Its stages follow the stages of
    the other; one with the name of a stage there changes that stage's values instead.

    Raises:
        ConfigError: the file, an override or a value is wrong; the message names it.
    """
    values = _recipe_values(name)
    for assignment in overrides:
        _override(values, assignment)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        # A list counts its valid items only: a wrong stage makes it "too short" as well, which is no fault of its own.
        found = error.errors()
        within = {e["loc"][:i] for e in found for i in range(len(e["loc"]))}
        own = [e for e in found if e["type"] != "too_short" or e["loc"] not in within]
        lines = [f"{'.'.join(str(p) for p in e['loc'])} = {e.get('input')!r}: {e['msg']}" for e in own]
        raise ConfigError(f"recipe {name}: " + "; ".join(lines)) from None


def _recipe_values(name: str, below: tuple[str, ...] = ()) -> dict[str, Any]:
    if name in below:
        raise ConfigError(f"recipe {name} extends itself: {' -> '.join((*below, name))}")
    try:
        values = yaml.safe_load(recipe_text(name))
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: a recipe is a mapping, got {type(values).__name__}")
    base = values.pop("extends", None)
    return values if base is None else _extended(_recipe_values(str(base), (*below, name)), values)


def _extended(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Mappings join key by key, stages by name; any other value of its own replaces that of the base."""
    joined = dict(base)
    for key, value in own.items():
        before = base.get(key)
        if key == "stages" and isinstance(value, list) and isinstance(before, list):
            joined[key] = _extended_stages(before, value)
        elif isinstance(before, dict) and isinstance(value, dict):
            joined[key] = _extended(before, value)
        else:
            joined[key] = value
    return joined


def _extended_stages(base: list[Any], own: list[Any]) -> list[Any]:
    named = {_stage_name(stage): stage for stage in base}
    for stage in own:
        before = named.get(_stage_name(stage))
        named[_stage_name(stage)] = _extended(before, stage) if isinstance(before, dict) else stage
    return list(named.values())


def _stage_name(stage: Any) -> Any:
    return stage.get("name", stage.get("kind")) if isinstance(stage, dict) else id(stage)


def _folder() -> Any:
    return files("pondera") / "recipes"


def _override(values: dict[str, Any], assignment: str) -> None:
    path, sign, text = assignment.partition("=")
    keys = path.split(".")
    if not sign or not all(keys):
        raise ConfigError(f"--set {assignment!r}: write it as a.b=value")
    node: Any = values
    for key in keys[:-1]:
        node = _descend(node, key, assignment)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--set {assignment!r}: the value is not YAML: {reason}") from None
    if isinstance(node, list):
        node[_index(node, keys[-1], assignment)] = value
    elif isinstance(node, dict):
        node[keys[-1]] = value
    else:
        raise ConfigError(f"--set {assignment!r}: {'.'.join(keys[:-1])} is a value, not a section")


def _descend(node: Any, key: str, assignment: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, key, assignment)]
    if isinstance(node, dict):
        return node.setdefault(key, {})
    raise ConfigError(f"--set {assignment!r}: {key!r} is below a value, not a section")


def _index(node: list[Any], key: str, assignment: str) -> int:
    for i, item in enumerate(node):
        if key == str(i) or (isinstance(item, dict) and key == item.get("name", item.get("kind"))):
            return i
    raise ConfigError(f"--set {assignment!r}: no item {key!r} in the list of {len(node)}")
