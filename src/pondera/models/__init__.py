"""Loading models: one adapter per stock family, and the built-in nano model."""

from pondera.models.family import EncodedPrompt, Family, PromptSource
from pondera.models.loading import BUILT_IN, BUILT_IN_FOR, TOWERS, LoadedModel, ModelCard, load_model

__all__ = [
    "BUILT_IN",
    "BUILT_IN_FOR",
    "TOWERS",
    "EncodedPrompt",
    "Family",
    "LoadedModel",
    "ModelCard",
    "PromptSource",
    "load_model",
]
