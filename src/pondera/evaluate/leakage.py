"""Has the model seen what it is tested on? Found out from files and pictures where they are known, else from names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pondera.core.records import Sample
from pondera.data.picture_hash import are_known, picture_hashes
from pondera.errors import DatasetError
from pondera.evaluate.origins import KODAK, SHARED_ORIGIN, origin_pictures, origins, shared_with, shares_origin
from pondera.evaluate.store import UNREADABLE, content_keys

_NO_NAME = "default"  # dataset of manifests that name none: two of them need have nothing in common


@dataclass(frozen=True)
class Leak:
    """Samples that are in training and in the test.

    Args:
        dataset: of the tested samples.
        num_samples: how many of them.
        why: in words.
    """

    dataset: str
    num_samples: int
    why: str

    def __str__(self) -> str:
        return f"{self.dataset}: {self.num_samples} samples, {self.why}"


def find_leaks(
    tested: Sequence[Sample],
    train: Sequence[Sample],
    trained_on: Collection[str] = (),
    pictures: Sequence[str] = (),
) -> list[Leak]:
    """Everything that shows training content in the test.

    Args:
        tested: samples under the dataset names of their manifests.
        train: the samples that the model was trained on, as far as they are known.
        trained_on: names of the datasets that the model was trained on, from its card.
        pictures: hashes of pictures that it was trained on (`data.picture_hash`), from its card.

    Returns:
        One leak per dataset and reason: the very file, or a content (`reference`) of one dataset, is also in
        `train`; or the model card names the dataset, and the samples are of its training split or of no named split;
        or they are made from photographs that another dataset in training is made from, see `origins`; or they show
        such a photograph, or one of `pictures`, under another name. The owner's division of a dataset in training is
        not checked for pictures on both of its sides.
    """
    found: defaultdict[tuple[str, str], int] = defaultdict(int)
    train_contents = {(sample.dataset, sample.content) for sample in train}
    train_files = set(content_keys(train)) if train else set()
    tested_files = content_keys(tested) if train else [UNREADABLE] * len(tested)
    train_origins = origins(train, trained_on)
    foreign = [sample for sample in tested if sample.dataset not in trained_on]
    recognised = _showing(foreign, [*pictures, *origin_pictures(train_origins)])
    for sample, key in zip(tested, tested_files, strict=True):
        if not key.startswith(UNREADABLE) and key in train_files:
            found[sample.dataset, "the same files are in training"] += 1
        elif (sample.dataset, sample.content) in train_contents:
            found[sample.dataset, "the same contents are in training"] += 1
        elif sample.dataset in trained_on and sample.dataset != _NO_NAME and sample.split in (None, "train"):
            split = "training split" if sample.split else "no named split"
            found[sample.dataset, f"the model was trained on this dataset, and these are of its {split}"] += 1
        elif others := shared_with(sample, train_origins):
            found[sample.dataset, f"{SHARED_ORIGIN}: made from {KODAK}, as is {', '.join(others)} in training"] += 1
        elif not recognised.isdisjoint(media.path for media in sample.media):
            found[sample.dataset, "the same pictures are in training, under another name"] += 1
    return [Leak(dataset, count, why) for (dataset, why), count in sorted(found.items())]


def _showing(samples: Sequence[Sample], known: Sequence[str]) -> set[str]:
    """Paths of the images among the samples' media that show a known picture; known are hashes."""
    if not known:  # nothing is decoded in vain
        return set()
    hash_of = picture_hashes(media.path for sample in samples if sample.kind == "image" for media in sample.media)
    matches = are_known(list(hash_of.values()), known)
    return {path for path, is_known in zip(hash_of, matches, strict=True) if is_known}


def without_tested(train: Sequence[Sample], tested: Sequence[Sample]) -> list[Sample]:
    """The training samples that share neither file, content nor origin with a tested one.

    Args:
        train: samples to learn from.
        tested: samples under the dataset names of their manifests.
    """
    tested_contents = {(sample.dataset, sample.content) for sample in tested}
    tested_files = set(content_keys(tested))
    tested_origins = origins(tested)
    return [
        sample
        for sample, key in zip(train, content_keys(train), strict=True)
        if key not in tested_files
        and (sample.dataset, sample.content) not in tested_contents
        and not shared_with(sample, tested_origins)
    ]


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Stop where there is a leak.

    Raises:
        DatasetError: there is one; the message lists all, and the way out.
    """
    if leaks:
        raise DatasetError(
            "the model has seen what it would be tested on: "
            + "; ".join(map(str, leaks))
            + ". Choose a held-out --split, or force it with --allow-leakage: the report then says so"
        )


def domains(
    tested: Mapping[str, Sequence[Sample]],
    trained_on: Collection[str],
    train: Sequence[Sample] = (),
    leaks: Sequence[Leak] = (),
) -> dict[str, str]:
    """What training has to do with each tested part.

    Args:
        tested: samples under the dataset names of their manifests, by name of the part.
        trained_on: names of the training sets.
        train: training samples, as far as they are known.
        leaks: from `find_leaks`.

    Returns:
        By part "in" the training domain, "shared origin" (other labels of photographs that are in training, see
        `origins`, or found there), "cross", or "unknown" where no training set is named.
    """
    leaked = {leak.dataset for leak in leaks}
    return {name: _domain(samples, trained_on, train, leaked) for name, samples in sorted(tested.items())}


def _domain(
    samples: Sequence[Sample], trained_on: Collection[str], train: Sequence[Sample], leaked: Collection[str]
) -> str:
    if not trained_on:
        return "unknown"
    if any(sample.dataset in trained_on for sample in samples):
        return "in"
    is_shared = any(sample.dataset in leaked for sample in samples) or shares_origin(samples, train, trained_on)
    return SHARED_ORIGIN if is_shared else "cross"
