"""Recipes: typed, frozen, closed configuration read from YAML. A default lives here and nowhere else."""

from pondera.config.recipe import Recipe, Stage, load_recipe, recipe_names, recipe_text
from pondera.config.reinforce import RampSection, ReinforceStage, TransformersRollout, VllmRollout, VllmServerRollout
from pondera.config.sections import DataSection, ModelSection, OptimiserSection, PromptSection, Strict, Wordings
from pondera.config.supervised import (
    ColdStartStage,
    MeasuredRationales,
    PretrainStage,
    RejectionSampledRationales,
    SoftLabelsSection,
)
from pondera.config.views import (
    CaptionView,
    DegradedView,
    MaskedView,
    PerturbedFramesView,
    SecondView,
    TextOnlyView,
    ThoughtView,
)

__all__ = [
    "CaptionView",
    "ColdStartStage",
    "DataSection",
    "DegradedView",
    "MaskedView",
    "MeasuredRationales",
    "ModelSection",
    "OptimiserSection",
    "PerturbedFramesView",
    "PretrainStage",
    "PromptSection",
    "RampSection",
    "Recipe",
    "ReinforceStage",
    "RejectionSampledRationales",
    "SecondView",
    "SoftLabelsSection",
    "Stage",
    "Strict",
    "TextOnlyView",
    "ThoughtView",
    "TransformersRollout",
    "VllmRollout",
    "VllmServerRollout",
    "Wordings",
    "load_recipe",
    "recipe_names",
    "recipe_text",
]
