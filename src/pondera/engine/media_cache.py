"""Decoded training images, kept in memory up to a limit: every epoch reads them again."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from pondera.core.records import Sample
from pondera.data.images import load_image


class MediaCache:
    """Least recently used images leave first.

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
