"""The fact filter: does the thought agree with what is known to have been done to the image?

Only samples with `distortions` can tell. The filter uses them as labels: a student of what it lets pass was told more
than its teacher saw. It forgives what cannot be seen for certain (weak damage, damage to a part) and drops three
things: strong damage denied, extreme damage passed over, and damage of the opposite direction named instead.
"""

from __future__ import annotations

from pondera.core.records import Distortion
from pondera.teach.defects import ASPECT_OF, DISTORTIONS_OF
from pondera.teach.filters.base import Candidate, Filter
from pondera.teach.filters.mentions import stated_kinds, stated_severities

_OPPOSITE = {"dark": "bright", "bright": "dark", "dull": "harsh", "harsh": "dull", "pale": "vivid", "vivid": "pale"}
_KINDS_OF = {
    name: {kind for kind, names in DISTORTIONS_OF.items() if name in names}
    for name in {name for names in DISTORTIONS_OF.values() for name in names}
}
_ADMITTED = 2.0  # "fair" and worse; "slightly" is too little for what is strong


def fact_filter(denied_from: int = 3, named_from: int = 4) -> Filter:
    """Drops thoughts that contradict known distortions of the whole image; samples without any pass.

    Args:
        denied_from: level from which the harmed aspect must not be praised or called free of damage, 1..5.
        named_from: level from which it must be spoken of, 1..5.

    Raises:
        ValueError: the levels are not in order.
    """
    if not 1 <= denied_from <= named_from <= 5:
        raise ValueError(f"need 1 <= denied_from <= named_from <= 5, got {denied_from} and {named_from}")

    def check(candidate: Candidate) -> str | None:
        whole = [d for d in candidate.sample.distortions if d.box is None and d.type in _KINDS_OF]
        strong = [d for d in whole if d.level >= denied_from]
        if not strong or candidate.answer.think is None:
            return None
        stated, kinds = stated_severities(candidate.think), stated_kinds(candidate.think)
        objections = (_objection(d, stated, kinds, named_from) for d in strong)
        return next((words for words in objections if words is not None), None)

    return Filter("facts", "the thought contradicts what is known to have been done to the image", lambda: check)


def _objection(distortion: Distortion, stated: dict[str, float], kinds: set[str], named_from: int) -> str | None:
    true_kinds = _KINDS_OF[distortion.type]
    aspect = ASPECT_OF[next(iter(true_kinds))]
    what = f"{distortion.type} of level {distortion.level}"
    reversed_kinds = sorted(kinds & {_OPPOSITE[kind] for kind in true_kinds if kind in _OPPOSITE})
    if reversed_kinds and not kinds & true_kinds:
        return f"says {reversed_kinds[0]} where there is {what}"
    severity = stated.get(aspect)
    if severity is None:
        return f"does not speak of {aspect}, harmed by {what}" if distortion.level >= named_from else None
    if severity >= _ADMITTED or (severity > 0 and distortion.level < named_from):
        return None
    return f"finds {aspect} good in spite of {what}"
