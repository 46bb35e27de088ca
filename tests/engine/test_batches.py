"""Global batches: enough samples of every dataset in each, shares over many, the same on any number of processes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pondera.core.records import Media, Sample
from pondera.engine.batches import own_share, plan_batches
from pondera.errors import TrainingError


def _samples(**sizes):
    return [
        Sample(id=f"{name}-{i}", media=(Media("x.png"),), dataset=name) for name, n in sizes.items() for i in range(n)
    ]


def _counts(samples, batch):
    return Counter(samples[i].dataset for i in batch)


def test_a_rare_dataset_comes_rarely_but_never_alone():
    """9 and 1 of 10 samples, batches of 10: one a batch would be alone, so two come in every second batch."""
    samples = _samples(large=90, small=10)
    batches = plan_batches(samples, batch_size=10, num_batches=20, least=2, seed=0)
    small = [_counts(samples, batch)["small"] for batch in batches]
    assert set(small) == {0, 2} and sum(small) == 20


def test_shares_may_be_given_and_a_dataset_left_out():
    samples = _samples(a=50, b=50, c=50)
    batches = plan_batches(samples, batch_size=8, num_batches=10, least=2, shares={"a": 3, "b": 1}, seed=0)
    assert sum((_counts(samples, batch) for batch in batches), Counter()) == {"a": 60, "b": 20}


def test_all_samples_come_once_before_any_comes_again():
    batches = plan_batches(_samples(a=12), batch_size=5, num_batches=12, seed=3)
    seen = [i for batch in batches for i in batch]
    assert all(len(set(batch)) == 5 for batch in batches)
    assert set(Counter(seen).values()) == {5}  # 60 places for 12 samples
    assert max(Counter(seen[:17]).values()) == 2 and len(set(seen[:12])) == 12


def test_the_seed_decides_and_a_longer_plan_begins_alike():
    samples = _samples(a=30, b=9)
    plan = plan_batches(samples, batch_size=6, num_batches=9, least=2, seed=1)
    assert plan == plan_batches(samples, batch_size=6, num_batches=20, least=2, seed=1)[:9]
    assert plan != plan_batches(samples, batch_size=6, num_batches=9, least=2, seed=2)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 30), min_size=1, max_size=5),
    batch_size=st.integers(2, 24),
    least=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_every_dataset_in_a_batch_has_enough_samples(sizes, batch_size, least, seed):
    samples = _samples(**{f"d{i}": size for i, size in enumerate(sizes)})
    try:
        batches = plan_batches(samples, batch_size=batch_size, num_batches=15, least=least, seed=seed)
    except TrainingError:
        largest_first = sorted(sizes, reverse=True)
        fits = [k for k in range(1, len(sizes) + 1) if sum(largest_first[:k]) >= batch_size]
        assert min(sizes) < least or not fits or fits[0] * least > batch_size
        return
    for batch in batches:
        assert len(set(batch)) == batch_size
        assert min(_counts(samples, batch).values()) >= least


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_processes_divide_a_batch_among_them(world_size):
    batch = tuple("abcdef")
    places = [own_share(batch, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(place for share in places for place in share) == list(range(6))
    assert len({len(share) for share in places}) == 1


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ({"a": 9}, {"batch_size": 1, "least": 2}, "samples_per_step is 1, but each global batch needs 2 samples"),
        ({"a": 9, "b": 1}, {"batch_size": 4, "least": 2}, "dataset 'b' has 1 training samples of task 'score'"),
        ({"a": 9}, {"batch_size": 10}, "samples_per_step is 10 but there are 9"),
        ({"a": 9}, {"batch_size": 4, "shares": {"x": 1.0}}, "shares names dataset 'x'"),
        ({"a": 4, "b": 4, "c": 4}, {"batch_size": 10, "least": 4}, "takes 3 kinds of samples, and 4 of each"),
    ],
)
def test_a_batch_that_cannot_be_filled_is_refused_before_training(sizes, options, message):
    with pytest.raises(TrainingError, match=message):
        plan_batches(_samples(**sizes), num_batches=3, seed=0, **options)


def test_a_batch_that_processes_cannot_share_is_refused_with_one_that_they_can():
    with pytest.raises(TrainingError, match="which 4 processes cannot share evenly; try 8"):
        own_share(range(6), rank=0, world_size=4)
