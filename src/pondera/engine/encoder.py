"""Encoded training prompts: images are decoded once, and where the vision tower is frozen, encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from pondera.core.records import Sample
from pondera.data.images import load_image
from pondera.models import EncodedPrompt, Family


class ImageCache:
    """Decoded images in memory up to a limit; the least recently used leave first.

    Args:
        limit_bytes: most memory for pixels.
    """

    def __init__(self, limit_bytes: int = 1 << 30) -> None:
        self.limit_bytes = limit_bytes
        self._held: OrderedDict[str, np.ndarray] = OrderedDict()
        self._bytes = 0

    def image(self, sample: Sample) -> np.ndarray:
        """The test image of a sample, uint8 [H, W, 3].

        Raises:
            MediaError: it cannot be read.
        """
        path = sample.path()
        if path in self._held:
            self._held.move_to_end(path)
            return self._held[path]
        image = load_image(path)
        self._held[path] = image
        self._bytes += image.nbytes
        while self._bytes > self.limit_bytes and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= dropped.nbytes
        return image


class PromptEncoder:
    """Encodes questions about samples, with seeded variation of the views.

    Args:
        family: the model.
        freeze_vision: stop training the tower; where the family allows it, its output is kept instead of pixels.
        views: number of variants of each image that are kept then.
    """

    def __init__(self, family: Family, *, freeze_vision: bool = False, views: int = 1) -> None:
        self.family = family
        self.images = ImageCache()
        self.views = views
        self.keeps_features = family.freeze_vision() if freeze_vision else False
        self._ids: dict[tuple[int, int, str], tuple[int, ...]] = {}
        self._media: dict[tuple[str, int], Mapping[str, torch.Tensor]] = {}

    def __call__(self, samples: Sequence[Sample], texts: Sequence[str], seeds: Sequence[int]) -> list[EncodedPrompt]:
        """One question about each of several samples; one seed a sample chooses the variant of its views."""
        asked = list(zip(samples, texts, seeds, strict=True))
        if not self.keeps_features:
            return [self.family.encode([self.images.image(s)], text, jitter_seed=seed) for s, text, seed in asked]
        self._fill(samples, texts, seeds)
        return [
            EncodedPrompt(self._ids[(*self._size(s), text)], self._media[s.path(), seed % self.views])
            for s, text, seed in asked
        ]

    def _fill(self, samples: Sequence[Sample], texts: Sequence[str], seeds: Sequence[int]) -> None:
        """Encode what is not kept yet. Token ids depend on the text and the image's size only."""
        fresh: dict[tuple[str, int], EncodedPrompt] = {}
        for sample, text, seed in zip(samples, texts, seeds, strict=True):
            key, size = (sample.path(), seed % self.views), self._size(sample)
            if key in self._media and (*size, text) in self._ids:
                continue
            encoded = self.family.encode([self.images.image(sample)], text, jitter_seed=key[1])
            self._ids[(*size, text)] = encoded.ids
            if key not in self._media:
                fresh[key] = encoded
        if fresh:
            for key, encoded in zip(fresh, self.family.precompute(list(fresh.values())), strict=True):
                self._media[key] = encoded.media

    def _size(self, sample: Sample) -> tuple[int, int]:
        height, width = self.images.image(sample).shape[:2]
        return height, width
