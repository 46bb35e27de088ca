"""Data sets that were made from the same photographs under other names, so that files and names do not betray it.

tid2013: 24 of 25 references are cropped from the Kodak images, I25 is artificial. TID2008's home page says so of the
    references (ponomarenko.info/tid2008.htm), which TID2013 keeps (Ponomarenko et al. 2015, not read again for this).
live: some of its 29 references are Kodak images. No list of them with a source was at hand, so all count.
synthetic, synthetic-video: made from the bundled Kodak images, unless from others; contents tell (`kodak-01`).

What is not in the table is not known to be free of shared photographs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pondera.core.records import Media, Sample
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.data.picture_hash import picture_hashes

SHARED_ORIGIN = "shared origin"  # the mark of a tested set that shows photographs of training under another name
KODAK = "the Kodak images"
BUNDLED = "bundled photographs"
_FROM_KODAK = frozenset({"tid2013", "live"})
_NAMED = frozenset({"synthetic", "synthetic-video", BUNDLED})  # contents keep the names kodak-01 to kodak-24
_ARTIFICIAL = frozenset({("tid2013", "I25")})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something comes from.

    Args:
        dataset: its name.
        content: the Kodak image, where the data set names it.
    """

    dataset: str
    content: str | None = None


def origin(sample: Sample) -> Origin | None:
    """The sample's, where it is known to be made from the Kodak images."""
    if sample.dataset in _NAMED:
        return Origin(sample.dataset, sample.content) if sample.content in PHOTOGRAPH_SPLITS else None
    if sample.dataset in _FROM_KODAK and (sample.dataset, sample.content) not in _ARTIFICIAL:
        return Origin(sample.dataset)
    return None


def origins(samples: Iterable[Sample], names: Collection[str] = ()) -> set[Origin]:
    """Those of training samples, and of datasets on a model card.

    A named data set on a card counts with its training photographs.
    """
    found = {known for sample in samples if (known := origin(sample)) is not None}
    for name in names:
        if name in _NAMED:
            found |= {Origin(name, content) for content, split in PHOTOGRAPH_SPLITS.items() if split == "train"}
        elif name in _FROM_KODAK:
            found.add(Origin(name))
    return found


def shared_with(sample: Sample, others: Collection[Origin]) -> list[str]:
    """Names of other data sets whose photographs the sample may show, sorted."""
    own = origin(sample)
    if own is None:
        return []
    return sorted(
        {
            other.dataset
            for other in others
            if other.dataset != own.dataset and (None in (own.content, other.content) or own.content == other.content)
        }
    )


def shares_origin(samples: Iterable[Sample], train: Iterable[Sample], names: Collection[str]) -> bool:
    """Whether a sample may show a photograph that another data set in training is made from.

    Args:
        samples: tested.
        train: training samples, as far as they are known.
        names: further datasets in training.
    """
    known = origins(train, names)
    return any(shared_with(sample, known) for sample in samples)


def origin_pictures(known: Collection[Origin]) -> list[str]:
    """Hashes of the Kodak images that things of these origins were made from, to know them under any name.

    Args:
        known: from `origins`; one that does not name its image may be made from any of them.
    """
    named = {one.content for one in known}
    return list(picture_hashes(str(p) for p in list_photographs() if p.stem in named or None in named).values())


def bundled_training_photographs() -> list[Sample]:
    """What NIQE's default model and the measuring teacher's constants were fitted on."""
    return [
        Sample(path.stem, (Media(str(path)),), dataset=BUNDLED, split="train")
        for path in list_photographs()
        if PHOTOGRAPH_SPLITS[path.stem] == "train"
    ]
