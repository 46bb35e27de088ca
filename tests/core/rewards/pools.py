"""Pools for the tests of reward terms: made from plain lists, or drawn by hypothesis."""

import math

import numpy as np
from hypothesis import strategies as st

from pondera.core.answers import Answer
from pondera.core.pool import Pool
from pondera.core.records import FIVE_POINT, LabelScale, Media, Sample


def answer(value, *, think="because", fields=None, body=None):
    """An answer of a number, a tuple of numbers, or None (invalid)."""
    if value is None:
        return Answer(error="no answer")
    values = tuple(value) if isinstance(value, tuple) else (value,)
    score = sum(values) / len(values)
    text = "\n".join(f"{v:.2f}" for v in values) if body is None else body
    return Answer(values=values, score=score, fields=fields or {}, think=think, body=text)


def pool_of_answers(answers, mos, *, std=None, targets=None, texts=None, scale=FIVE_POINT, tokens=None, side=None):
    samples = [
        Sample(
            id=f"s{i}",
            media=(Media("a.png"),),
            mos=None if label is None else label,
            mos_std=None if std is None else std[i],
            scale=scale,
            targets={} if targets is None else targets[i],
        )
        for i, label in enumerate(mos)
    ]
    if texts is None:
        texts = [[f"<think>{a.think}</think>\n<answer>{a.body}</answer>" for a in group] for group in answers]
    side = {name: np.array(array, dtype=float) for name, array in (side or {}).items()}
    return Pool.build(samples, texts, answers, scale=scale, num_tokens_SK=tokens, side=side)


def pool_of(values, mos, **options):
    """A pool from `values[s][k]`: a number, a tuple of numbers, or None (invalid)."""
    return pool_of_answers([[answer(v) for v in group] for group in values], mos, **options)


def plain(values):
    """Scores as the reference wants them."""
    return [[None if v is None else sum(v) / len(v) if isinstance(v, tuple) else v for v in group] for group in values]


@st.composite
def value_groups(draw, *, numbers=1, min_samples=1, max_samples=5, max_group=5, invalid=True, grid=20):
    """Groups of answers on a grid, so that ties, exact hits and equal labels happen; and labels on the same grid."""
    number = st.integers(grid, 5 * grid).map(lambda v: v / grid)
    one = number if numbers == 1 else st.tuples(*[number] * numbers)
    cell = st.one_of(one, one, one, st.none()) if invalid else one
    num_samples = draw(st.integers(min_samples, max_samples))
    size = draw(st.integers(1, max_group))
    values = [[draw(cell) for _ in range(size)] for _ in range(num_samples)]
    labels = [draw(number) for _ in range(num_samples)]
    return values, labels


FIVE = LabelScale(1.0, 5.0)
NAN = math.nan
