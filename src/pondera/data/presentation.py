"""Presentations: what a model is shown of one sample, pictures and words in order.

Everything that turns a sample into a prompt goes through here, in training, validation and inference alike, so that a
model meets at work what it was trained on. How a video is shown (`Layout`) stands on the model card. What changes a
presentation afterwards (damaged pictures, shuffled frames, an added caption) is a function from one to another, so
that second views are made from the pixels of the first. Shape letters: H height, W width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pondera.core.records import Media, MediaKind, MediaRole, Sample
from pondera.data.images import ImageSource, is_image_file, load_image
from pondera.data.video import is_video_file
from pondera.errors import ManifestError

if TYPE_CHECKING:
    from pondera.data.video_views import VideoView

UInt8Array = NDArray[np.uint8]
VideoLayout = Literal["preresq", "sequence", "slow_fast", "native"]
FrameOrder = Callable[[int], Sequence[int | None]]

_GRID = 4  # of a montage, cells a side
_PAIR: tuple[tuple[str, MediaRole], ...] = (("First", "test"), ("Second", "other"))


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """A clip that is shown as one, for families whose processor takes a video.

    Args:
        frames: uint8 [T, H, W, 3], at even distances.
        rate: frames a second, > 0.
    """

    frames: UInt8Array
    rate: float


Part = UInt8Array | Footage | str


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples are shown to a model; stands on its card.

    Args:
        video: preresq (montage of 16 frames and three local ones), sequence (frames with their times), slow_fast (few
            large frames among many small ones), native (a clip, for families whose processor takes one).
        montage_px: longer side of a montage.
        local_px: longer side above which a local or large frame is scaled down.
        num_frames: of a sequence.
        frame_px: longer side of the frames of a sequence or of a clip.
        clip_rate: frames a second of a clip.
        clip_frames: most frames of a clip; a longer video gets fewer a second.
        facts: add measured frame rate, standstills and flicker as text.
        severities: add how severe repeated frames, standstills, uneven motion, flicker and shake are, as text.
        strip: add differences between successive frames as a picture.
        profile: add one row of pixels over time as a picture.
        reference: show the reference of a sample that has one; off, a sample is judged without it.

    Raises:
        ValueError: a value is out of range.
    """

    video: VideoLayout = "preresq"
    montage_px: int = 1024
    local_px: int = 1024
    num_frames: int = 6
    frame_px: int = 448
    clip_rate: float = 2.0
    clip_frames: int = 64
    facts: bool = False
    severities: bool = False
    strip: bool = False
    profile: bool = False
    reference: bool = False

    def __post_init__(self) -> None:
        if self.video not in get_args(VideoLayout):
            raise ValueError(f"video must be one of {', '.join(get_args(VideoLayout))}, got {self.video!r}")
        sizes = {name: getattr(self, name) for name in ("montage_px", "local_px", "num_frames", "frame_px")}
        for name, value in (sizes | {"clip_frames": self.clip_frames}).items():
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if not 0 < self.clip_rate < math.inf:
            raise ValueError(f"clip_rate must be > 0 (frames a second), got {self.clip_rate}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one frame of a video stands: which part, the (top, left, bottom, right) of its pixels there, and, where
    the part is a clip, its number in that."""

    part: int
    box: tuple[int, int, int, int]
    frame: int = 0


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a model is shown, in order; the question comes behind it.

    Args:
        parts: pictures, uint8 [H, W, 3], clips, and words.
        runs: places of the frames of a video, each run in time order: the cells of a montage, local frames, a clip.
    """

    parts: tuple[Part, ...]
    runs: tuple[tuple[Place, ...], ...] = ()

    @property
    def images(self) -> tuple[UInt8Array, ...]:
        """The pictures, in order; the frames of a clip are pictures too."""
        return tuple(image for part in self.parts for image in _pictures(part))

    @property
    def words(self) -> tuple[str, ...]:
        """The words, in order."""
        return tuple(part for part in self.parts if isinstance(part, str))

    @property
    def num_bytes(self) -> int:
        """Memory that the pictures take."""
        return sum(image.nbytes for image in self.images)

    @property
    def signature(self) -> tuple[str | tuple[float, ...], ...]:
        """Words, sizes and rates: all that token ids depend on beside the question."""
        return tuple(_signature(part) for part in self.parts)

    def with_images(self, change: Callable[[UInt8Array, int], UInt8Array]) -> Presentation:
        """The same with every picture changed by `change(picture, its number from 0)`; sizes must stay."""
        numbers = itertools.count()

        def changed(part: Part) -> Part:
            if isinstance(part, str):
                return part
            if isinstance(part, Footage):
                return replace(part, frames=np.stack([change(frame, next(numbers)) for frame in part.frames]))
            return change(part, next(numbers))

        return replace(self, parts=tuple(changed(part) for part in self.parts))

    def with_words(self, text: str) -> Presentation:
        """The same with words at the end, such as a caption."""
        return replace(self, parts=(*self.parts, text))

    def with_frames(self, order: FrameOrder) -> Presentation:
        """The same with the frames of every run in another order; words, times among them, stay.

        Args:
            order: from the number N of frames in a run to N entries: which frame stands there instead, or None for
                black. Frames may repeat.

        Raises:
            ValueError: `order` gave another number of entries, or a frame that there is not.
        """
        parts = [_copied(part) for part in self.parts]
        for run in self.runs:
            chosen = list(order(len(run)))
            if len(chosen) != len(run) or any(n is not None and not 0 <= n < len(run) for n in chosen):
                raise ValueError(f"an order of {len(run)} frames has as many entries below {len(run)}, got {chosen}")
            shown = [self._frame(place) for place in run]
            for place, n in zip(run, chosen, strict=True):
                _put(parts, place, None if n is None else shown[n])
        return replace(self, parts=tuple(parts))

    def _frame(self, place: Place) -> UInt8Array:
        picture = _pictures(self.parts[place.part])[place.frame]
        top, left, bottom, right = place.box
        return picture[top:bottom, left:right]


def _put(parts: list[Any], place: Place, frame: UInt8Array | None) -> None:
    """Write a frame into its place; a picture that is one frame is replaced, because sizes may differ."""
    top, left, bottom, right = place.box
    if isinstance(parts[place.part], Footage):
        parts[place.part].frames[place.frame] = 0 if frame is None else frame  # all of one size
    elif frame is None:
        parts[place.part][top:bottom, left:right] = 0
    elif (bottom - top, right - left) == parts[place.part].shape[:2]:
        parts[place.part] = frame.copy()
    else:
        parts[place.part][top:bottom, left:right] = frame


def _pictures(part: Part) -> Sequence[UInt8Array]:
    """The pictures of one part: none, one, or the frames of a clip."""
    if isinstance(part, str):
        return ()
    return tuple(part.frames) if isinstance(part, Footage) else (part,)


def _signature(part: Part) -> str | tuple[float, ...]:
    if isinstance(part, Footage):
        return (*part.frames.shape, part.rate)
    return part if isinstance(part, str) else part.shape


def _copied(part: Part) -> Part:
    if isinstance(part, Footage):
        return replace(part, frames=part.frames.copy())
    return part if isinstance(part, str) else part.copy()


Change = Callable[[Presentation, Sample, int], Presentation]
"""Makes a second view from (presentation, sample, seed)."""


def shuffled(shown: Presentation, sample: Sample, seed: int) -> Presentation:
    """A `Change`: the frames of every run in a random order, each order of one run equally likely."""
    generator = np.random.default_rng(seed)
    return shown.with_frames(lambda num: generator.permutation(num).tolist())


def kind_of(path: str | Path, either: MediaKind = "image") -> MediaKind:
    """Image or video, by the ending of the name.

    Args:
        path: the file, which is not opened.
        either: what a name counts as that may be both (`.gif`).
    """
    if is_video_file(path):
        return either if is_image_file(path) else "video"
    return "image"


def show_image(source: ImageSource) -> Presentation:
    """One picture and nothing else.

    Raises:
        MediaError: it cannot be read.
    """
    return Presentation((load_image(source),))


def present(sample: Sample, layout: Layout | None = None, *, jitter_seed: int | None = None) -> Presentation:
    """What is shown of a sample.

    An image: the picture. A video: frames as the layout says; pictures that lie ready are taken by their roles instead
    (`montage` with `local`, or `frame`). A comparison: the file with role `test`, then the one with role `other`, each
    introduced. A reference, where the layout wants it, comes first.

    Args:
        sample: media paths as `read_manifest` gives them.
        layout: None is `Layout()`.
        jitter_seed: training only: frames are taken at seeded times within their bins. Pictures do not vary.

    Raises:
        ManifestError: a file with a role that is needed is missing.
        MediaError: a file cannot be read.
        MissingExtra: a video is to be read and PyAV is not installed.
    """
    layout = layout or Layout()
    seed = jitter_seed
    if sample.task == "compare":
        shown = [(f"{word} {sample.kind}:", _by_role(sample, role, layout, seed)) for word, role in _PAIR]
        return _joined(shown)
    judged = _media(sample, layout, seed)
    if not layout.reference or not any(media.role == "reference" for media in sample.media):
        return judged
    reference = _by_role(sample, "reference", layout, seed)
    return _joined([(f"Reference {sample.kind}:", reference), (f"The {sample.kind} to be judged:", judged)])


def media_shown(sample: Sample, layout: Layout) -> tuple[Media, ...]:
    """The files that `present` reads of a sample; fewer where one that is needed is missing."""
    if sample.task == "compare":
        return tuple(media for _, role in _PAIR for media in _first(sample, role))
    roles = {media.role for media in sample.media}
    ready: set[MediaRole] = {"montage", "local"} if roles & {"montage", "local"} else {"frame"}
    judged = tuple(media for media in sample.media if media.role in ready) or _first(sample, "test")
    return judged + (_first(sample, "reference") if layout.reference else ())


def _first(sample: Sample, role: MediaRole) -> tuple[Media, ...]:
    """The one file that counts of those with this role."""
    return tuple(media for media in sample.media if media.role == role)[:1]


def _media(sample: Sample, layout: Layout, seed: int | None) -> Presentation:
    """What is to be judged: pictures that lie ready, or the file with role `test`."""
    roles = {media.role for media in sample.media}
    if roles & {"montage", "local"}:
        return _of_ready_made(sample.media)
    if "frame" in roles:
        frames = [media.path for media in sample.media if media.role == "frame"]
        return _of_frames([load_image(path) for path in frames])
    return _by_role(sample, "test", layout, seed)


def _by_role(sample: Sample, role: MediaRole, layout: Layout, seed: int | None) -> Presentation:
    paths = [media.path for media in sample.media if media.role == role]
    if not paths:
        raise ManifestError(
            f"sample {sample.id!r} (task {sample.task}) has no media with role {role!r}; add it to its manifest line"
        )
    return _of_video(paths[0], layout, seed) if sample.kind == "video" else show_image(paths[0])


def _of_video(path: str | Path, layout: Layout, seed: int | None) -> Presentation:
    from pondera.data import video_views as views

    if layout.video == "native":
        presentation = _footage(path, layout, seed)
    else:
        presentation = _of_view(_view(path, layout, seed), has_montage=layout.video == "preresq")
    evidence = views.with_evidence(
        views.VideoView("evidence", ()),
        path,
        facts=layout.facts,
        severities=layout.severities,
        strip=layout.strip,
        profile=layout.profile,
    )
    return replace(presentation, parts=presentation.parts + _of_view(evidence, has_montage=False).parts)


def _view(path: str | Path, layout: Layout, seed: int | None) -> VideoView:
    """The stills that stand for a video."""
    from pondera.data import video_views as views

    if layout.video == "preresq":
        sizes = views.MontageSizes(layout.montage_px, layout.local_px)
        return views.preresq_view(path, sizes=sizes, seed=seed)
    if layout.video == "sequence":
        return views.sequence_view(path, num=layout.num_frames, max_side=layout.frame_px, seed=seed)
    return views.slow_fast_view(path, slow_side=layout.local_px, seed=seed)


def _footage(path: str | Path, layout: Layout, seed: int | None) -> Presentation:
    """A clip and nothing else; jittered frames count as evenly spaced, which they are on average."""
    from pondera.data.video_views import fitted, native_frames

    clip = native_frames(
        path, rate=layout.clip_rate, max_frames=layout.clip_frames, max_side=layout.frame_px, seed=seed
    )
    height, width = clip.frames[0].image.shape[:2]
    frames = np.stack([fitted(frame.image, height, width) for frame in clip.frames])
    duration = clip.info.duration_s
    rate = len(frames) / duration if duration > 0 else layout.clip_rate
    run = tuple(Place(0, (0, 0, height, width), frame) for frame in range(len(frames)))
    return Presentation((Footage(frames, rate),), (run,))


def _of_ready_made(media: Sequence[Media]) -> Presentation:
    from pondera.data.video_views import ready_made_view

    return _of_view(ready_made_view(media, ""), has_montage=True)


def _of_frames(frames: Sequence[UInt8Array]) -> Presentation:
    """Frames that lie ready, in the order of their lines; their times are not known."""
    parts: list[Part] = []
    for number, frame in enumerate(frames, start=1):
        parts += [f"Frame {number} of {len(frames)}:", frame]
    run = tuple(_whole(index, part) for index, part in enumerate(parts) if isinstance(part, np.ndarray))
    return Presentation(tuple(parts), (run,))


def _of_view(view: Any, *, has_montage: bool) -> Presentation:
    """A `VideoView` in parts; frames of one size are one run, and the cells of a montage are another."""
    parts: list[Part] = []
    runs: dict[tuple[int, ...], list[Place]] = {}
    for part in view.parts:
        parts.append(part.text)
        if part.image is None:
            continue
        parts.append(part.image)
        if has_montage and not runs:
            runs[()] = _cells(len(parts) - 1, part.image)
        else:
            runs.setdefault(part.image.shape, []).append(_whole(len(parts) - 1, part.image))
    return Presentation(tuple(parts), tuple(tuple(run) for run in runs.values()))


def _whole(part: int, image: UInt8Array) -> Place:
    return Place(part, (0, 0, image.shape[0], image.shape[1]))


def _cells(part: int, image: UInt8Array) -> list[Place]:
    """The cells of a montage, row by row; a remainder at the lower and right edge belongs to none."""
    height, width = image.shape[0] // _GRID, image.shape[1] // _GRID
    corners = [(row * height, column * width) for row in range(_GRID) for column in range(_GRID)]
    return [Place(part, (top, left, top + height, left + width)) for top, left in corners]


def _joined(introduced: Sequence[tuple[str, Presentation]]) -> Presentation:
    """Several presentations one after the other, each behind its words."""
    parts: list[Part] = []
    runs: list[tuple[Place, ...]] = []
    for words, presentation in introduced:
        parts.append(words)
        runs += [tuple(replace(p, part=p.part + len(parts)) for p in run) for run in presentation.runs]
        parts += presentation.parts
    return Presentation(tuple(parts), tuple(runs))
