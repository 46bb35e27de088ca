"""Callbacks and trackers that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback

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
    try:
        callback = found() if isinstance(found, type) else found
    except Exception as error:  # somebody else's code
        raise ConfigError(
            f"tracking.callbacks: {name!r} cannot be made without arguments: {error}; name a subclass that sets them"
        ) from None
    if isinstance(callback, EarlyStoppingCallback):
        raise ConfigError(
            f"tracking.callbacks: {name!r} watches the library's own evaluation, which these stages do not make; set "
            "patience in the stage instead"
        )
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
    except (ImportError, AttributeError, ValueError) as error:  # of an empty or relative module name too
        raise ConfigError(f"tracking.callbacks: {name!r} cannot be loaded: {error}") from None
