"""Encoded training prompts: files are decoded once, and where the vision tower is frozen, encoded once.

Pixels for a tower that learns go on as they are; `models/encode_once.py` finds the equal ones of a pass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from pondera.core.records import Media, MediaKind, Sample
from pondera.data.presentation import Change, Layout, Presentation, present
from pondera.models import EncodedPrompt, Family

_Source = tuple[MediaKind, bool, tuple[Media, ...]]
_Key = tuple[_Source, int]  # what is shown, and the variant


def _source(sample: Sample) -> _Source:
    """All of a sample that decides what is shown of it: the same for several tasks on one picture."""
    return sample.kind, sample.task == "compare", sample.media


class PresentationCache:
    """What is shown of samples, in memory up to a limit; the least recently used leave first.

    Args:
        layout: how samples are shown.
        limit_bytes: most memory for pixels.
    """

    def __init__(self, layout: Layout | None = None, limit_bytes: int = 1 << 30) -> None:
        self.layout = layout or Layout()
        self.limit_bytes = limit_bytes
        self._held: OrderedDict[tuple[_Source, int | None], Presentation] = OrderedDict()
        self._bytes = 0

    def get(self, sample: Sample, variant: int | None) -> Presentation:
        """What is shown of a sample; the variant seeds at which times the frames of a video are taken, None takes bin
        centres.

        Raises:
            MediaError, ManifestError, MissingExtra: as in `present`.
        """
        # Pictures do not vary: all variants of an image share one entry.
        key = (_source(sample), variant if sample.kind == "video" else 0)
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        shown = present(sample, self.layout, jitter_seed=variant)
        self._held[key] = shown
        self._bytes += shown.num_bytes
        while self._bytes > self.limit_bytes and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= dropped.num_bytes
        return shown


class Features(NamedTuple):
    """What is kept of one variant of a sample: what its token ids depend on, and the tower's output."""

    signature: tuple[object, ...]
    media: Mapping[str, torch.Tensor]


class FeatureStore:
    """What a frozen tower made of pictures, handed from stage to stage while the tower and the way of showing stay.

    Encoding all pictures once more costs as much as teaching a small decoder on them.
    """

    def __init__(self) -> None:
        self._made_by: object = None
        self._kept: dict[_Key, Features] = {}

    def made_by(self, tower: object) -> dict[_Key, Features]:
        """The output of this tower; that of another is dropped.

        Args:
            tower: says all that the output depends on.
        """
        if tower != self._made_by:
            self._made_by, self._kept = tower, {}
        return self._kept


class PromptEncoder:
    """Encodes questions about samples, with seeded variation of what is shown.

    Args:
        family: the model.
        layout: how samples are shown to it; that of its card.
        freeze_vision: stop training the tower; where the family allows it, its output is kept instead of pixels.
        views: number of variants of each sample: of the times at which a video's frames are taken, and, where the
            tower's output is kept, of the views of each picture too.
        features: what earlier stages kept, and where this one keeps its own.
    """

    def __init__(
        self,
        family: Family,
        layout: Layout | None = None,
        *,
        freeze_vision: bool = False,
        views: int = 1,
        features: FeatureStore | None = None,
    ) -> None:
        self.family = family
        self.shown = PresentationCache(layout)
        self.views = views
        self.keeps_features = family.freeze_vision() if freeze_vision else False
        self._ids: dict[tuple[tuple[object, ...], str], tuple[int, ...]] = {}
        self._kept: dict[_Key, Features] = {}
        if self.keeps_features and features is not None:
            self._kept = features.made_by((family.vision_digest(), layout))

    def __call__(
        self, samples: Sequence[Sample], texts: Sequence[str], seeds: Sequence[int], *, change: Change | None = None
    ) -> list[EncodedPrompt]:
        """One question about each of several samples.

        Args:
            samples: N of them; ids are unique in a run.
            texts: N questions.
            seeds: one a sample; chooses the variant of its views.
            change: makes a second view of what is shown, with the sample's seed. Its pictures are always encoded anew,
                cut in the places of the first view.
        """
        asked = list(zip(samples, texts, seeds, strict=True))
        if change is not None or not self.keeps_features:
            return [
                self.family.encode(
                    self._shown(sample, seed, change).parts,
                    text,
                    jitter_seed=seed % self.views if self.keeps_features else seed,
                )
                for sample, text, seed in asked
            ]
        keys = [self._key(sample, seed) for sample, _, seed in asked]
        self._fill(samples, texts, keys)
        kept = [self._kept[key] for key in keys]
        return [
            EncodedPrompt(self._ids[features.signature, text], features.media)
            for features, text in zip(kept, texts, strict=True)
        ]

    def read(self, sample: Sample, seed: int) -> None:
        """Make sure that a sample can be encoded with this seed.

        Raises:
            MediaError, ManifestError, MissingExtra: as in `present`.
        """
        if self._key(sample, seed) not in self._kept:
            self.shown.get(sample, seed % self.views)

    def _key(self, sample: Sample, seed: int) -> _Key:
        return _source(sample), seed % self.views

    def _shown(self, sample: Sample, seed: int, change: Change | None) -> Presentation:
        shown = self.shown.get(sample, seed % self.views)
        return shown if change is None else change(shown, sample, seed)

    def _fill(self, samples: Sequence[Sample], texts: Sequence[str], keys: Sequence[_Key]) -> None:
        """Encode what is not kept yet. Token ids depend on the question, the words and the sizes of pictures only."""
        signature_of = {key: self._kept[key].signature for key in keys if key in self._kept}
        fresh: dict[_Key, EncodedPrompt] = {}
        for sample, text, key in zip(samples, texts, keys, strict=True):
            if key in signature_of and (signature_of[key], text) in self._ids:
                continue
            shown = self.shown.get(sample, key[-1])
            encoded = self.family.encode(shown.parts, text, jitter_seed=key[-1])
            signature_of[key] = shown.signature
            self._ids[shown.signature, text] = encoded.ids
            if key not in self._kept:
                fresh[key] = encoded
        if fresh:
            encoded_media = self.family.precompute(list(fresh.values()))
            for key, made in zip(fresh, encoded_media, strict=True):
                self._kept[key] = Features(signature_of[key], made.media)
