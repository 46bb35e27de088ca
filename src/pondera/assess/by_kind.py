"""Images and videos in one list, each judged by a model for its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pondera.assess.assessor import Assessor, Mode
from pondera.core.records import Assessment, MediaKind
from pondera.data.presentation import kind_of


def stream_by_kind(
    paths: Sequence[Path], load: Callable[[MediaKind], Assessor], mode: Mode, **options: Any
) -> Iterator[Assessment]:
    """One assessment after the other, in the order of the paths.

    Args:
        paths: images and videos.
        load: the assessor for a kind; called once for each kind that occurs.
        mode: as in `Assessor.stream`.
        options: of `Assessor.stream`.
    """
    loaded: dict[MediaKind, Assessor] = {}
    for kind, run in groupby(paths, key=kind_of):
        if kind not in loaded:
            loaded[kind] = load(kind)
        yield from loaded[kind].stream(list(run), mode, **options)
