"""What a teacher is: something that writes completions about samples, whatever stands behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pondera.core.records import Sample
from pondera.errors import MediaError, TeacherError


@dataclass(frozen=True, slots=True)
class TeacherResponse:
    """One completion of a teacher, as it came.

    Args:
        sample: id of the sample.
        k: which of its completions, from 0.
        completion: the text.
        teacher: fingerprint of the teacher.
        seed: of the run.
        usage: what it cost: named numbers, such as seconds, prompt_tokens, completion_tokens.
    """

    sample: str
    k: int
    completion: str
    teacher: str
    seed: int
    usage: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {**asdict(self), "usage": dict(self.usage)}


class Unanswered(TeacherError):  # noqa: N818 - it says what is the case
    """Some completions could not be had; all others were yielded.

    Args:
        reasons: why, by (sample id, k); at least one.
    """

    def __init__(self, reasons: Mapping[tuple[str, int], str]) -> None:
        (sample, k), why = next(iter(reasons.items()))
        others = f", and {len(reasons) - 1} more are missing" if len(reasons) > 1 else ""
        super().__init__(f"no completion {k} for sample {sample!r}: {why}{others}; run again to ask once more")
        self.reasons = dict(reasons)


class Teacher(Protocol):
    """Anything that explains samples.

    It must not read `mos`, `targets` or `votes`, unless it has an attribute `sees_labels` that is True: then responses
    are recorded for this label. One that has to pay for requests may have an attribute `notes`: distillation sets it to
    a function of (sample id, k) that gives the `RequestNotes` in which the teacher notes each try before it goes out.
    One that works on many completions side by side, or takes long to start, may have `respond_to(wanted, seed)` beside
    `respond`, where `wanted` are pairs of a sample and the numbers k of its completions: a run that goes on then asks
    for all that it lacks in one go.
    """

    @property
    def name(self) -> str:
        """For people: what stands in reports."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes with everything that can change a completion: weights, prompt, constants, settings."""
        ...

    def respond(self, samples: Sequence[Sample], num: int, seed: int, *, first: int = 0) -> Iterator[TeacherResponse]:
        """Completions `first` to `first + num - 1` of every sample, in any order.

        Args:
            samples: media paths as `read_manifest` gives them.
            num: completions per sample, >= 1.
            seed: of the run; a deterministic teacher depends on (sample id, k, seed) and the media only.
            first: index of the first completion, for runs that go on.

        Raises:
            Unanswered: at the end, when some completions could not be had.
            TeacherError: the teacher did not deliver; what was yielded so far counts.
            MediaError: a file cannot be read.
        """
        ...


def digest_sample(sample: Sample, *, with_label: bool = False) -> str:
    """Hash of all that a teacher may look at: the bytes and roles of the media, the text, and the label if it is told.

    Raises:
        MediaError: a file is missing.
    """
    told = (sample.kind, sample.task, sample.text)
    label = (sample.mos, sample.scale and (sample.scale.low, sample.scale.high)) if with_label else ()
    digest = hashlib.sha256(repr(told + label).encode())
    for media in sample.media:
        try:
            content = hashlib.sha256(Path(media.path).read_bytes()).hexdigest()
        except OSError as error:
            raise MediaError(
                f"{media.path}: {error.strerror}; sample {sample.id!r} needs it, correct its manifest line"
            ) from None
        digest.update(f"/{media.role}:{content}".encode())
    return digest.hexdigest()
