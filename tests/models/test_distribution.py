"""Leaving a group: what belongs to it is freed before, whatever ended the run."""

from __future__ import annotations

import weakref

import pytest
from torch import distributed as dist

from pondera.models.distribution import joined


class Wrapped:
    """Held by a ring of references, as trainers are."""

    def __init__(self):
        self.trainer = self


def _run(seen, error):
    wrapped = Wrapped()
    seen.append(weakref.ref(wrapped))
    if error is not None:
        raise error


@pytest.mark.parametrize("error", [None, RuntimeError("no"), KeyboardInterrupt()])
def test_nothing_of_a_run_is_left_when_its_group_is_destroyed(monkeypatch, error):
    seen, left = [], []
    destroy = dist.destroy_process_group

    def watched():
        left.append(seen[0]() is not None)
        destroy()

    monkeypatch.setattr(dist, "destroy_process_group", watched)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with joined():
            _run(seen, error)
    except (RuntimeError, KeyboardInterrupt) as caught:
        assert caught is error
    assert left == [False] and not dist.is_initialized()
