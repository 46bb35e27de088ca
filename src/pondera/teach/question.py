"""What a teacher is shown of a sample, and asked: a prompt with its fields filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from pondera.core.answers import Numbers
from pondera.core.records import LabelScale, Sample
from pondera.data.images import UInt8Array
from pondera.data.presentation import Footage, Layout, present
from pondera.errors import ConfigError, TeacherError
from pondera.prompts import Prompt

NUM_FRAMES = 8
"""Of a video that a teacher is shown, unless told otherwise."""

_ROLES = {"image": ("test", "other"), "video": ("frame",)}  # a reference would give the answer away
_FULL_SIDE = 1 << 16  # px; longer than any frame: what is sent is fitted to `max_pixels`, not to a side

Shown: TypeAlias = Path | UInt8Array | str


def shown_parts(sample: Sample, num_frames: int = NUM_FRAMES) -> list[Shown]:
    """What a teacher is shown of a sample, in order: image files, frames out of videos, and words.

    Images, and videos whose frames lie ready (role `frame`), are files without words. Of other videos, frames are taken
    at even distances, each behind its number and time; of a pair of videos first those of `test`, then those of
    `other`, each run behind words that say which it is.

    Args:
        sample: media paths as `read_manifest` gives them.
        num_frames: of each video.

    Raises:
        TeacherError: there are no images.
        ManifestError, MediaError, MissingExtra: the video is missing or cannot be read.
    """
    paths: list[Shown] = [Path(media.path) for media in sample.media if media.role in _ROLES[sample.kind]]
    if paths and not (sample.kind == "video" and sample.task == "compare"):
        return paths
    if sample.kind == "image":
        raise TeacherError(
            f"sample {sample.id!r} is an image without media of role {' or '.join(_ROLES['image'])}; "
            "a service is sent images: add them to its line"
        )
    layout = Layout(video="sequence", num_frames=num_frames, frame_px=_FULL_SIDE)
    return [part for part in present(sample, layout).parts if not isinstance(part, Footage)]  # a sequence has no clip


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
