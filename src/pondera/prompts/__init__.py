"""Versioned prompt templates and the answer format each asks for.

`get("quality.short")` is the whole interface most callers need. The templates stand in YAML files beside this module;
a prompt's hash covers all that a model can notice, so it belongs into every fingerprint.
"""

from pondera.prompts.template import QUESTIONS, Prompt, get, list_names

__all__ = ["QUESTIONS", "Prompt", "get", "list_names"]
