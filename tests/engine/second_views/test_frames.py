"""Perturbed orders of frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondera.engine.second_views.frames import ORDERS, perturbed_order


def _order(kind, num, seed=0):
    return perturbed_order(kind, num, np.random.default_rng(seed))


@given(st.sampled_from(sorted(ORDERS)), st.integers(2, 33), st.integers(0, 10_000))
def test_an_order_keeps_the_length_and_always_changes_something(kind, num, seed):
    order = _order(kind, num, seed)
    assert len(order) == num and order != list(range(num))
    assert all(n is None or 0 <= n < num for n in order)
    assert order == _order(kind, num, seed)


@given(st.integers(2, 33), st.integers(0, 10_000))
def test_each_kind_does_what_its_name_says(num, seed):
    frames = list(range(num))
    assert sorted(_order("shuffle", num, seed)) == frames
    local = _order("local_shuffle", num, seed)
    assert all(sorted(local[s : s + 4]) == frames[s : s + 4] for s in range(0, num, 4))
    assert all(abs(n - i) <= 1 for i, n in enumerate(_order("jitter", num, seed)))
    dropped = _order("drop", num, seed)
    assert 1 <= dropped.count(None) <= 3 and all(n in (None, i) for i, n in enumerate(dropped))
    duplicated = _order("duplicate", num, seed)
    moved = [i for i, n in enumerate(duplicated) if n != i]
    assert 1 <= len(moved) <= 3 and all(duplicated[i] == duplicated[i - 1] for i in moved)


def test_reverse_runs_backwards():
    assert _order("reverse", 4) == [3, 2, 1, 0]


def test_local_shuffle_reaches_all_orders_of_a_window_and_nothing_else():
    found = {tuple(_order("local_shuffle", 4, seed)) for seed in range(2000)}
    assert len(found) == 23  # all 24 but the one that changes nothing


def test_an_unknown_kind_and_a_single_frame_are_refused():
    with pytest.raises(ValueError, match="kind must be one of shuffle, local_shuffle"):
        _order("rotate", 4)
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        _order("reverse", 1)
