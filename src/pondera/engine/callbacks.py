"""Callbacks and trackers that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from transformers import TrainerCallback

from pondera.errors import ConfigError

GROUP = "pondera.callbacks"


def load_callbacks(names: Sequence[str]) -> list[TrainerCallback]:
    """The callbacks of these names, made without arguments.

    Args:
        names: entry points of the group `pondera.callbacks`, or `package.module:Name`.

    Raises:
        ConfigError: there is none of this name, or it is no callback of transformers.
    """
    return [_made(name) for name in names]


def check_trackers(names: Sequence[str]) -> None:
    """Trackers must be known to the library and installed, before hours of work.

    Raises:
        ConfigError: one is not.
    """
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise ConfigError(f"tracking.report_to: no tracker {name!r}; the library knows {known}")
        if name not in get_available_reporting_integrations():
            raise ConfigError(f"tracking.report_to: {name} is not installed; try: pip install {name}")


def _made(name: str) -> TrainerCallback:
    found = _found(name)
    callback = found() if isinstance(found, type) else found
    if not isinstance(callback, TrainerCallback):
        raise ConfigError(f"tracking.callbacks: {name!r} is no transformers.TrainerCallback but {type(callback)}")
    return callback


def _found(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not colon:
        registered = {point.name: point for point in entry_points(group=GROUP)}
        if name not in registered:
            known = ", ".join(sorted(registered)) or "none"
            raise ConfigError(
                f"tracking.callbacks: no callback {name!r}; registered as {GROUP} are: {known}. Or write "
                "package.module:Name"
            )
        return registered[name].load()
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"tracking.callbacks: {name!r} cannot be loaded: {error}") from None
