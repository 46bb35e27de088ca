"""Images and videos in one list, each judged by a model for its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from pondera.assess.assessor import Assessor, Mode
from pondera.core.records import Assessment, Media, MediaKind, Sample
from pondera.data.presentation import kind_of


def stream_by_kind(
    paths: Sequence[Path],
    load: Callable[[MediaKind], Assessor],
    mode: Mode,
    *,
    text: str | None = None,
    either: MediaKind = "image",
    **options: Any,
) -> Iterator[Assessment]:
    """One assessment after the other, in the order of the paths.

    Args:
        paths: images and videos.
        load: the assessor for a kind; called once for each kind that occurs.
        mode: as in `Assessor.stream`.
        text: that all of them are asked about; the assessors' prompts must ask about one.
        either: as in `kind_of`.
        options: of `Assessor.stream`.
    """
    loaded: dict[MediaKind, Assessor] = {}
    for kind, group in groupby(paths, key=partial(kind_of, either=either)):
        run = list(group)
        if kind not in loaded:
            loaded[kind] = load(kind)
        items = run if text is None else [_about(path, kind, text) for path in run]
        yield from loaded[kind].stream(items, mode, **options)


def _about(path: Path, kind: MediaKind, text: str) -> Sample:
    return Sample(str(path), (Media(str(path)),), kind=kind, text=text)
