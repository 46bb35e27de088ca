"""The registry of presets, and the answer forms that several of them share."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.system import System
from pondera.errors import ConfigError

Builder = Callable[[bool, str], System]

SUFFIX = "@as_released"

# Released parsers do not check the range; 1e6 stands for "any number".
ANY = 1e6


@dataclass(frozen=True)
class Preset:
    """A named way to build a system.

    Args:
        name: registry name.
        build: (as released?, stage) -> system.
        stages: names of its stages in order; the first is taken when none is named.
        unreleased: why there is no `@as_released`; "" where there is one.
        released_stages: stages that the released code has, if not all.
    """

    name: str
    build: Builder
    stages: tuple[str, ...] = ()
    unreleased: str = ""
    released_stages: tuple[str, ...] | None = None


_PRESETS: dict[str, Preset] = {}


def preset(
    name: str,
    *,
    stages: tuple[str, ...] = (),
    unreleased: str = "",
    released_stages: tuple[str, ...] | None = None,
) -> Callable[[Builder], Builder]:
    """Add a builder to the registry (decorator).

    Raises:
        ValueError: the name is taken.
    """

    def add(build: Builder) -> Builder:
        if name in _PRESETS:
            raise ValueError(f"preset {name!r} exists already; choose another name")
        _PRESETS[name] = Preset(name, build, stages, unreleased, released_stages)
        return build

    return add


def list_systems() -> tuple[str, ...]:
    """Names of all presets, sorted."""
    return tuple(sorted(_PRESETS))


def get_preset(name: str) -> Preset:
    """The preset of this name, without a suffix.

    Raises:
        ConfigError: there is none; the message suggests the nearest names.
    """
    if name not in _PRESETS:
        close = difflib.get_close_matches(name, _PRESETS, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else f"known are {', '.join(list_systems())}"
        raise ConfigError(f"no preset is called {name!r}; {hint}")
    return _PRESETS[name]


def get_system(name: str, stage: str | None = None) -> System:
    """Build a preset.

    Args:
        name: preset name, with `@as_released` for the released code to the letter.
        stage: stage of a system with stages; None = its first.

    Raises:
        ConfigError: no such preset or stage, or nothing was released.
    """
    base, at, suffix = name.partition("@")
    if at and at + suffix != SUFFIX:
        raise ConfigError(f"{name!r}: the only suffix is {SUFFIX}")
    found = get_preset(base)
    if at and found.unreleased:
        raise ConfigError(f"{name!r}: {found.unreleased}; use {base!r}")
    if stage and stage not in found.stages:
        stages = (
            f"its stages are {', '.join(found.stages)}" if found.stages else "it has no stages; leave the stage out"
        )
        raise ConfigError(f"preset {base!r} has no stage {stage!r}; {stages}")
    chosen = stage or (found.stages[0] if found.stages else "")
    if at and found.released_stages is not None and chosen not in found.released_stages:
        raise ConfigError(
            f"{name!r}: stage {chosen!r} was not released; use {base!r}, or stage {found.released_stages}"
        )
    return found.build(bool(at), chosen)


def titled(name: str, released: bool) -> str:
    """Preset name with its suffix."""
    return name + SUFFIX if released else name


def one_number(low: float = 1.0, high: float = 5.0, *, prefix: str = "") -> AnswerFormat:
    """A thought and one number."""
    return AnswerFormat(Numbers(1, low, high, prefix))


def any_numbers(released: bool, n: int = 1, *, prefix: str = "", lenient: bool = True) -> tuple[AnswerFormat, ...]:
    """Further forms that released parsers read: numbers off the scale, answers without a thought, text around them."""
    if not released:
        return ()
    wide = AnswerFormat(Numbers(n, 0.0, ANY, prefix), lenient=lenient)
    return (wide, wide.without_thinking())
