"""Loading models: one adapter per stock family, and the built-in nano model."""

from pondera.models.family import EncodedPrompt, Family, PromptSource
from pondera.models.loading import BUILT_IN, TOWERS, LoadedModel, ModelCard, load_model

__all__ = ["BUILT_IN", "TOWERS", "EncodedPrompt", "Family", "LoadedModel", "ModelCard", "PromptSource", "load_model"]
