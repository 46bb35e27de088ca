"""Ask a system about samples, batch by batch, and never twice about the same content when there is a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pondera.core.records import Assessment, Sample
from pondera.errors import DatasetError
from pondera.evaluate.shards import Shard
from pondera.evaluate.store import AssessmentStore, content_keys

Assess = Callable[[Sequence[Any]], Sequence[Assessment]]
Progress = Callable[[int, int], None]

BATCH_SIZE = 64


def assess_samples(
    samples: Sequence[Sample],
    assess: Assess,
    *,
    whole_samples: bool = False,
    batch_size: int = BATCH_SIZE,
    on_progress: Progress | None = None,
) -> list[Assessment]:
    """One assessment per sample, in order, kept in memory only.

    Args:
        samples: what is to be assessed.
        assess: from a list of inputs to one assessment each, in order.
        whole_samples: inputs are the samples, not the paths of their test files.
        batch_size: inputs per call.
        on_progress: called with (done, total) after every batch.

    Raises:
        ValueError: `assess` returned another number of assessments than it got inputs.
    """
    assessments: list[Assessment] = []
    for first in range(0, len(samples), batch_size):
        assessments += _ask(assess, samples[first : first + batch_size], whole_samples)
        if on_progress is not None:
            on_progress(len(assessments), len(samples))
    return assessments


def record_samples(
    samples: Sequence[Sample],
    assess: Assess,
    store: AssessmentStore,
    *,
    whole_samples: bool = False,
    batch_size: int = BATCH_SIZE,
    shard: Shard | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Put the assessments of samples, or of one shard of them, into a store; what stands there is not asked again.

    Samples that show the same content are assessed once. Batches are cut before the store is looked at, so a run that
    was interrupted goes on with the batches it would have had, and its scores do not change by a rounding error.

    Args:
        samples: all samples of the run, in every shard.
        assess: as in `assess_samples`.
        store: of this system.
        whole_samples: as in `assess_samples`.
        batch_size: as in `assess_samples`.
        shard: which part to do; all by default.
        on_progress: called with (done, total) of this shard after every batch; what was recorded before counts.

    Raises:
        ValueError: as in `assess_samples`, or an assessment has another fingerprint than the store.
    """
    sample_of: dict[str, Sample] = {}
    for key, sample in zip(content_keys(samples, whole_samples=whole_samples), samples, strict=True):
        sample_of.setdefault(key, sample)
    batches = (shard or Shard()).batches(list(sample_of), batch_size)
    total, done = sum(map(len, batches)), 0
    for batch in batches:
        new = [key for key in batch if store.get(key) is None]
        if new:
            answers = _ask(assess, [sample_of[key] for key in new], whole_samples)
            store.record(dict(zip(new, answers, strict=True)))
        done += len(batch)
        if on_progress is not None:
            on_progress(done, total)


def recall_samples(
    samples: Sequence[Sample], store: AssessmentStore, *, whole_samples: bool = False
) -> list[Assessment]:
    """One assessment per sample, in order, out of a store.

    Raises:
        DatasetError: some were never recorded; the message counts them and names the first.
    """
    keys = content_keys(samples, whole_samples=whole_samples)
    missing = [sample for key, sample in zip(keys, samples, strict=True) if store.get(key) is None]
    if missing:
        raise DatasetError(
            f"{store.folder}: no assessment of {len(missing)} of {len(samples)} samples, the first is "
            f"{missing[0].id!r} ({missing[0].main_path}); run again without --merge, or copy all shards' files here"
        )
    found = [store.get(key) for key in keys]
    return [replace(a, path=s.main_path) for a, s in zip(found, samples, strict=True) if a is not None]


def _ask(assess: Assess, batch: Sequence[Sample], whole_samples: bool) -> Sequence[Assessment]:
    assessments = assess(list(batch) if whole_samples else [sample.main_path for sample in batch])
    if len(assessments) != len(batch):
        raise ValueError(f"the system returned {len(assessments)} assessments for {len(batch)} samples")
    return assessments
