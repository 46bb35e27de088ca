"""The refusal filter: apologies, refusals, and claims that there is no image."""

from __future__ import annotations

import re

from pondera.teach.filters.base import Candidate, Filter

_CANNOT = r"(?:cannot|can't|can not|could not|couldn't|am unable to|am not able to|'m unable to|'m not able to)"
# Seeing no noise is an observation, seeing no image is a refusal: the object decides.
_TASK = (
    r"(?:help|assist|provide|comply|comment|view|access|open|process|analy[sz]e|assess|evaluate|judge|rate|describe"
    r"|determine"
    r"|perceive|(?:see|look at)\s+(?:the|this|that|your|any|an?)\s+(?:attached\s+)?(?:image|picture|photo\w*|file"
    r"|video))"
)
_MEDIA = r"(?:image|picture|photo(?:graph)?|file|video|attachment)"
_REFUSALS = re.compile(
    rf"\bI(?:\s+am|'m)\s+(?:very\s+|so\s+)?sorry\b|^\W*(?:sorry|apologies|regrettably)\b"
    rf"|\bI\s*{_CANNOT}\s+{_TASK}\b"
    rf"|\bI\s+(?:won't|will not|must decline|have to decline|refuse)\b"
    rf"|\bI\s+(?:don't|do not|lack|can't)\s+(?:have\s+)?(?:the\s+)?(?:access|eyes|ability|see\s+(?:an?|any"
    rf"|the)\s+{_MEDIA})"
    rf"|\bas an? (?:AI|(?:large )?language model|text[- ]based)\b"
    rf"|\bno {_MEDIA}\s+(?:was|is|has been|were)\s+(?:provided|attached|given|uploaded|included|visible)\b"
    rf"|\bthere is no {_MEDIA}\s+(?:attached|provided|here|to)\b(?!\s+speak)"
    rf"|\bplease\s+(?:provide|upload|attach|share|send)\b"
    rf"|\bwithout\s+(?:seeing|access to|being able to see|having seen)\s+(?:the|an|any|this)\s+{_MEDIA}\b"
    rf"|\b(?:{_MEDIA}\s+)?(?:url|link)\s+(?:appears|seems|is)\s+(?:to be\s+)?(?:broken|invalid|dead)"
    r"|\b(?:content|image|picture)\s+(?:was|is|has been)\s+blocked by\b"
    rf"|\b{_MEDIA}\s+(?:did not|didn't|failed to|does not|could not be)\s+load"
    rf"|\b(?:my|the|our)\s+(?:guidelines|policy|policies)\s+(?:do|does|on|about|prevent|prohibit|forbid)"
    rf"|\bbeyond my (?:capabilit|abilit)|\bnot able to (?:view|see|process) {_MEDIA}s?\b",
    re.I | re.M,
)


def refusal_filter() -> Filter:
    """Drops apologies, refusals, and claims that there is no image."""

    def check(candidate: Candidate) -> str | None:
        text = candidate.completion.replace("’", "'")
        match = _REFUSALS.search(re.sub(r"</?(?:think|answer)>", "\n", text))
        return f"says {match.group().strip()!r}" if match else None

    return Filter("refusal", "the teacher refused or saw no image", lambda: check)
