"""Is a model asked for what the labels say? Sets rated for alignment or beauty, and models asked otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pondera.core.records import Sample

_RATED_FOR = {
    "evalmuse": "alignment",
    "ava": "aesthetics",
    "tad66k": "aesthetics",
    "flickr-aes": "aesthetics",
    "aadb": "aesthetics",
}


def other_questions(samples: Sequence[Sample], prompt: str) -> list[str]:
    """Sentences about samples whose label answers another question than the prompt asks.

    Args:
        samples: under the dataset names of their manifests.
        prompt: name, whose first part says what is asked for.
    """
    asked = prompt.partition(".")[0]
    count = Counter(sample.dataset for sample in samples)
    return [
        f"{dataset}: {number} labels rate {_RATED_FOR[dataset]}, the prompt {prompt!r} asks about something else"
        for dataset, number in sorted(count.items())
        if _RATED_FOR.get(dataset, asked) != asked
    ]
