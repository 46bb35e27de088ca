"""What a teacher is shown of a sample, and asked: a prompt with its fields filled in."""

from __future__ import annotations

from typing import Any

from pondera.core.answers import Numbers
from pondera.core.records import LabelScale, Sample
from pondera.errors import ConfigError, TeacherError
from pondera.prompts import Prompt

_ROLES = {"image": ("test", "other"), "video": ("frame",)}  # a reference would give the answer away


def shown_paths(sample: Sample) -> list[str]:
    """The images that a teacher is shown of a sample.

    Raises:
        TeacherError: there are none.
    """
    paths = [media.path for media in sample.media if media.role in _ROLES[sample.kind]]
    if not paths:
        raise TeacherError(
            f"sample {sample.id!r} is a {sample.kind} without media of role {' or '.join(_ROLES[sample.kind])}; "
            "a service is sent images: add them to its line"
        )
    return paths


def tells_label(prompt: Prompt) -> bool:
    """Whether the text says the label."""
    return "score" in prompt.fields


def question(prompt: Prompt, sample: Sample, k: int) -> str:
    """The text for completion k: wording k, with the sample's text and label where the prompt has fields for them.

    Raises:
        TeacherError: the sample lacks what the prompt needs, or is of another kind.
        ConfigError: the prompt has a field that no sample can fill.
    """
    if sample.kind != prompt.kind:
        raise TeacherError(
            f"sample {sample.id!r} is a {sample.kind}, prompt {prompt.name!r} asks about a {prompt.kind}"
        )
    fields: dict[str, Any] = {name: _field(name, prompt, sample) for name in prompt.fields}
    return prompt.render(k, **fields)


def _field(name: str, prompt: Prompt, sample: Sample) -> str:
    if name == "text":
        if sample.text is None:
            raise TeacherError(f"prompt {prompt.name!r} needs the text of sample {sample.id!r}; add it to its line")
        return sample.text
    if name != "score" or not isinstance(prompt.answer.body, Numbers):
        raise ConfigError(f"prompt {prompt.name!r} has a field {name!r} that no sample fills; choose another prompt")
    if sample.mos is None:
        raise TeacherError(f"prompt {prompt.name!r} tells the label, but sample {sample.id!r} has no mos; add it")
    return f"{sample.mos_on(LabelScale(prompt.answer.body.low, prompt.answer.body.high)):.2f}"
