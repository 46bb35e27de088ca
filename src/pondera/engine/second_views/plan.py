"""Which second views a stage makes: those it asks for, and those that its system reads.

Everything that cannot work is refused here, before a model runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pondera.config import (
    CaptionView,
    DegradedView,
    MaskedView,
    PerturbedFramesView,
    ReinforceStage,
    SecondView,
    TextOnlyView,
    ThoughtView,
)
from pondera.core.answers import Numbers
from pondera.core.records import Sample
from pondera.core.system import System
from pondera.engine.auxiliary import AuxiliaryView
from pondera.engine.second_views.captions import Captioned, caption_view
from pondera.engine.second_views.perturbed import PerturbedFrames, has_frames, perturbed_names
from pondera.engine.second_views.pictures_apart import degraded_view, masked_view
from pondera.engine.second_views.thoughts import TextOnly, Thought
from pondera.engine.second_views.tools import Tools
from pondera.errors import ConfigError, TrainingError
from pondera.models import ModelCard

_log = logging.getLogger("pondera")

_DEFAULTS: Mapping[str, Callable[[], SecondView]] = {
    "degraded": DegradedView,
    "masked": MaskedView,
    "caption": CaptionView,
    "text_only": TextOnlyView,
    "thought": ThoughtView,
    "perturbed_frames": PerturbedFramesView,
}
_FIXED_SIDES = {"caption": Captioned.side, "text_only": TextOnly.side, "thought": Thought.side}
_PUSHING = ("degraded", "masked")


@dataclass(frozen=True)
class Plan:
    """The second views of a stage, checked.

    Args:
        settings: one for each view.
        side: names of the side arrays that they make.
    """

    settings: tuple[SecondView, ...] = ()
    side: tuple[str, ...] = ()

    @property
    def needs_reference(self) -> bool:
        """Whether a view reads with the model that the stage starts from."""
        return any(view.kind == "text_only" for view in self.settings)


def plan_views(stage: ReinforceStage, system: System, card: ModelCard, train: Sequence[Sample]) -> Plan:
    """Settle the views of a stage, and say in the log which were added for the system.

    Raises:
        ConfigError: a view stands twice, makes only what the system does not read, or pulls against another one.
        TrainingError: the data or the answers do not allow a view.
    """
    asked = [view.kind for view in stage.second_views]
    if len(set(asked)) != len(asked):
        raise ConfigError(f"second_views: a kind stands twice in {asked}; keep one")
    added = _automatic(system, asked, train) if stage.automatic_views else []
    settings = (*stage.second_views, *(_DEFAULTS[kind]() for kind in added))
    for view in settings:
        _check_use(view, system)
        _check_data(view, system, card, train)
    _check_directions([view.kind for view in settings], allowed=stage.opposed_views)
    names = tuple(name for view in settings for name in _side_of(view.kind, system))
    return Plan(settings, names)


def make_views(plan: Plan, tools: Tools, train: Sequence[Sample]) -> list[AuxiliaryView]:
    """The views of a plan, ready for the first step; captions are written here.

    Raises:
        TrainingError: a caption is missing.
    """
    return [_make(view, tools, train) for view in plan.settings]


def _make(view: SecondView, tools: Tools, train: Sequence[Sample]) -> AuxiliaryView:
    match view:
        case DegradedView():
            return degraded_view(view, tools)
        case MaskedView():
            return masked_view(view, tools)
        case CaptionView():
            return caption_view(view, tools, train)
        case TextOnlyView():
            return TextOnly(tools)
        case ThoughtView():
            return Thought(tools)
        case PerturbedFramesView():
            return PerturbedFrames(view, tools)


def _side_of(kind: str, system: System) -> tuple[str, ...]:
    return perturbed_names(system) if kind == "perturbed_frames" else _FIXED_SIDES.get(kind, ())


def _automatic(system: System, asked: Sequence[str], train: Sequence[Sample]) -> list[str]:
    """Kinds that the system reads or owns and the stage does not name."""
    read = [kind for kind in _DEFAULTS if set(_side_of(kind, system)) & set(system.reads_side)]
    kinds = [kind for kind in dict.fromkeys((*read, *system.second_views)) if kind not in asked]
    if "perturbed_frames" in kinds and not any(has_frames(sample) for sample in train):
        kinds.remove("perturbed_frames")
        _log.warning("system %s: no sample is a video, so no frames are put out of order", system.name)
    for kind in kinds:
        reason = ", ".join(_side_of(kind, system)) or "its loss"
        _log.warning("system %s: second view %s is on, for %s", system.name, kind, reason)
    return kinds


def _check_use(view: SecondView, system: System) -> None:
    """A view for a reward that nobody reads costs time and does nothing."""
    has_loss = view.kind in _PUSHING or (isinstance(view, CaptionView) and view.weight > 0)
    side = _side_of(view.kind, system)
    if not has_loss and not set(side) & set(system.reads_side):
        made = ", ".join(side) or "rewards for a temporal bonus"
        raise ConfigError(
            f"second view {view.kind!r} makes {made}, which system {system.name!r} does not read; leave the view out"
        )


def _check_data(view: SecondView, system: System, card: ModelCard, train: Sequence[Sample]) -> None:
    if isinstance(view, PerturbedFramesView) and not any(has_frames(sample) for sample in train):
        raise TrainingError("second view 'perturbed_frames' needs videos or frames, and no training sample has any")
    body = card.answer.body
    if isinstance(view, TextOnlyView) and not isinstance(body, Numbers):
        raise TrainingError(f"second view 'text_only' reads answers that are numbers, the prompt asks for {body}")
    if isinstance(view, ThoughtView):
        if not isinstance(body, Numbers) or body.n != 1:
            raise TrainingError(f"second view 'thought' reads answers of one number, the prompt asks for {body}")
        if not card.fast_prompt:
            raise TrainingError("second view 'thought' needs a prompt for answers without a thought: set prompts.fast")


def _check_directions(kinds: Sequence[str], *, allowed: bool) -> None:
    pushing = [kind for kind in kinds if kind in _PUSHING]
    if pushing and "caption" in kinds and not allowed:
        raise ConfigError(
            f"second views {pushing[0]!r} and 'caption' pull against each other: one raises the divergence from a "
            "worse look at the picture, the other lowers that from no look at all. Keep one, or set opposed_views: true"
        )
