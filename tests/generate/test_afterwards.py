"""Work that waits until requests are out."""

import threading

import pytest

from pondera.generate.afterwards import Afterwards


def test_everything_is_done_in_order_in_another_thread_before_the_context_ends():
    done = []
    with Afterwards(lambda item: done.append((item, threading.current_thread().name)), pause_s=0.01) as later:
        for item in range(50):
            later.add(item)
    assert done == [(item, "afterwards") for item in range(50)]


def test_work_begins_a_moment_later_and_the_end_does_not_wait_for_that():
    done = []
    with Afterwards(done.append, pause_s=60) as later:
        later.add(1)
        assert done == []
    assert done == [1]


def test_the_first_error_of_the_work_is_raised_at_the_end_and_nothing_is_done_after_it():
    done = []

    def work(item):
        done.append(item)
        if item == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"), Afterwards(work, pause_s=0) as later:
        for item in range(5):
            later.add(item)
    assert done == [0, 1, 2]


def test_an_error_of_the_context_goes_out_and_the_work_is_dropped():
    done = []
    with pytest.raises(KeyError), Afterwards(done.append, pause_s=60) as later:
        later.add(1)
        raise KeyError("x")
    assert done == []
