"""Best of n: which of a sample's verified completions becomes its rationale, and in which words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.aspects import read_grades
from pondera.core.records import LabelScale, Sample
from pondera.teach.filters import Candidate


def best_of(candidates: Sequence[Candidate], scale: LabelScale | None) -> Candidate:
    """The one to learn from; the order of the tie-breaks is documented in `distill`.

    Args:
        candidates: of one sample, at least one.
        scale: of the answers; None where they are no score, so that the label says nothing about them.
    """

    def rank(candidate: Candidate) -> tuple[float, int, int, int]:
        distance = math.nan if scale is None else abs(candidate.answer.score - candidate.sample.mos_on(scale))
        known = 0.0 if math.isnan(distance) else round(distance, 9)  # equal scores must tie
        return known, -len(read_grades(candidate.think)), len(candidate.think.split()), candidate.k

    return min(candidates, key=rank)


def explained(candidate: Candidate, scale: LabelScale | None) -> Sample:
    """The sample with its rationale; with a scale, the label stands in place of the teacher's score."""
    text = candidate.completion.strip()
    if scale is not None:
        label = f"{candidate.sample.mos_on(scale):.2f}"
        # The number alone: what the form wants before it stays.
        text = re.sub(r"[-+.\d]+(?=\s*</answer>)", label, text)
    return replace(candidate.sample, rationale=text)


def scale_of(answer_format: AnswerFormat) -> LabelScale | None:
    """The scale of the answers; None where they are no numbers."""
    body = answer_format.body
    return LabelScale(body.low, body.high) if isinstance(body, Numbers) else None
