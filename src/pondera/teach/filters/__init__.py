"""Filters: which of a teacher's completions may be learned from.

A filter has a name, a reason in words, and a check that says what is wrong with one completion, or None. Filters see
only what was recorded, so changing them costs no new response. They run in order, and the first that objects counts.
They read English. How well they do is measured by `benchmarks/filters.py`; `docs/filters.md` has numbers and limits.
"""

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.records import LabelScale
from pondera.teach.filters.base import Candidate, Check, Filter, remembering, run_filters
from pondera.teach.filters.contradictions import contradiction_filter, second_opinion_filter
from pondera.teach.filters.copies import copied_filter, duplicate_filter
from pondera.teach.filters.facts import fact_filter
from pondera.teach.filters.form import format_filter, length_filter, range_filter, tolerance_filter, unfinished_filter
from pondera.teach.filters.hints import hint_filter
from pondera.teach.filters.language import language_filter
from pondera.teach.filters.leaks import leak_filter
from pondera.teach.filters.refusals import refusal_filter

__all__ = [
    "Candidate",
    "Check",
    "Filter",
    "contradiction_filter",
    "copied_filter",
    "default_filters",
    "duplicate_filter",
    "fact_filter",
    "format_filter",
    "hint_filter",
    "language_filter",
    "leak_filter",
    "length_filter",
    "range_filter",
    "refusal_filter",
    "remembering",
    "run_filters",
    "second_opinion_filter",
    "tolerance_filter",
    "unfinished_filter",
]


def default_filters(answer_format: AnswerFormat | None = None) -> tuple[Filter, ...]:
    """All filters that ask for neither a label nor known distortions, each drop under its most telling reason.

    `tolerance_filter`, `fact_filter` and `second_opinion_filter` are added by whoever has what they need.
    """
    answer_format = answer_format or AnswerFormat()
    body = answer_format.body
    # The fields of a JSON answer have scales of their own, so its mean contradicts nothing.
    scale = LabelScale(body.low, body.high) if isinstance(body, Numbers) else None
    names = body.names if isinstance(body, Numbers) else ()
    return (
        refusal_filter(),
        range_filter(answer_format),
        format_filter(),
        unfinished_filter(),
        length_filter(),
        language_filter(),
        copied_filter(),
        hint_filter(),
        leak_filter(),
        contradiction_filter(scale=scale, names=names),
        duplicate_filter(),
    )
