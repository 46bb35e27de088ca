"""Views: what a model that reads images is shown of a video, picture by picture, each introduced by its text.

Sixteen stills show neither flicker nor stutter between them; `with_evidence` adds what was measured at full rate.
Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pondera.core.records import Media
from pondera.data.images import load_image
from pondera.data.motion_evidence import difference_strip, measure_motion, read_stretches, temporal_slice
from pondera.data.motion_faults import severity_text
from pondera.data.video import Clip, Frame, sample_clip, sample_clips, shrunk
from pondera.data.video.frames import VideoReader
from pondera.errors import ManifestError

UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ViewPart:
    """A text, and the picture it introduces; a text without picture is a statement.

    Args:
        text: ends with a colon where a picture follows.
        image: uint8 [H, W, 3], or None.
        times_s: of the frames in the picture, in order; empty where they are not known.
    """

    text: str
    image: UInt8Array | None
    times_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class VideoView:
    """All that is shown of one video, in order.

    Args:
        name: of the kind of view with the settings that change pixels; part of a fingerprint.
        parts: at least one.
    """

    name: str
    parts: tuple[ViewPart, ...]

    @property
    def images(self) -> tuple[UInt8Array, ...]:
        """The pictures, in order."""
        return tuple(part.image for part in self.parts if part.image is not None)


@dataclass(frozen=True, slots=True)
class MontageSizes:
    """Sizes of the PreResQ view.

    Args:
        montage: longer side of the whole montage, in pixels.
        local: longer side above which a local frame is scaled down.
    """

    montage: int = 1024
    local: int = 1024


AS_RELEASED = MontageSizes(montage=500, local=500)
"""Sizes as the released inference script hints at (longest side 500, Lanczos); its own pictures were not published."""

_RELEASED_TEXTS = ("Global multiframe picture:", "Local single frame picture {}:")
_OWN_TEXTS = ("Sixteen frames in time order, row by row:", "Frame {} of 3, at full detail:")
_GRID = 4


def preresq_view(path: str | Path, *, sizes: MontageSizes | None = None, seed: int | None = None) -> VideoView:
    """A 4 x 4 montage of 16 frames in time order, then three whole frames at native detail, from one pass.

    The montage has the aspect ratio of one frame; local frames stand at thirds' centres. Nothing is scaled up.

    Args:
        path: any video.
        sizes: None is `MontageSizes()`; `AS_RELEASED` also takes the released texts.
        seed: None for bin centres; a number >= 0 jitters all times within their bins (training).

    Raises:
        ValueError, MediaError, MissingExtra: as in `sample_clip`.

    Source: PreResQ-R1, arXiv:2511.05393, and its released inference script for order and texts. The frame sampling and
    the sizes of its pictures were not published: ours are bin centres, 1024 and 1024 pixels.
    """
    sizes = sizes or MontageSizes()
    globally, locally = sample_clips(path, [(_GRID**2, max(1, sizes.montage // _GRID)), (3, sizes.local)], seed=seed)
    cells = [frame.image for frame in globally.frames]
    first, each = _RELEASED_TEXTS if sizes == AS_RELEASED else _OWN_TEXTS
    parts = [ViewPart(first, montage(cells), tuple(frame.time_s for frame in globally.frames))]
    parts += [ViewPart(each.format(n), f.image, (f.time_s,)) for n, f in enumerate(locally.frames, start=1)]
    return VideoView(f"preresq montage={sizes.montage} local={sizes.local}", tuple(parts))


def ready_made_view(media: Sequence[Media], base: str | Path) -> VideoView:
    """The PreResQ view of pictures that lie ready: one with the role "montage", then those with the role "local".

    Args:
        media: of a sample; other roles are passed over.
        base: folder that their paths are relative to.

    Raises:
        ManifestError: there is not exactly one montage, or no local picture.
        MediaError: a picture cannot be read.
    """
    montages = [m for m in media if m.role == "montage"]
    locals_ = [m for m in media if m.role == "local"]
    if len(montages) != 1 or not locals_:
        raise ManifestError(
            f"{[m.path for m in media]}: a ready-made view has one file with role 'montage' and at least one with role "
            f"'local', got {len(montages)} and {len(locals_)}; correct the roles in the manifest"
        )
    first, each = _RELEASED_TEXTS
    parts = [ViewPart(first, load_image(Path(base) / montages[0].path))]
    parts += [ViewPart(each.format(n), load_image(Path(base) / m.path)) for n, m in enumerate(locals_, start=1)]
    return VideoView("preresq ready-made", tuple(parts))


def sequence_view(path: str | Path, *, num: int = 6, max_side: int = 448, seed: int | None = None) -> VideoView:
    """Frames one after the other, each with its time.

    Args:
        path: any video.
        num: of frames.
        max_side: longer side in pixels.
        seed: as in `preresq_view`.

    Raises:
        ValueError, MediaError, MissingExtra: as in `sample_clip`.

    Source: VQAThinker, arXiv:2508.06051: 6 frames at 448 in training, 12 at 560 in tests. The times are ours.
    """
    clip = sample_clip(path, num, seed=seed, max_side=max_side)
    parts = tuple(_timed(frame, f"Frame {n} of {num}") for n, frame in enumerate(clip.frames, start=1))
    return VideoView(f"sequence num={num} side={max_side}", parts)


def slow_fast_view(
    path: str | Path,
    *,
    num_slow: int = 4,
    num_fast: int = 16,
    slow_side: int = 1024,
    fast_side: int = 224,
    seed: int | None = None,
) -> VideoView:
    """Few large frames and many small ones, interleaved by their times.

    Args:
        path: any video.
        num_slow: large frames, >= 1.
        num_fast: small frames, >= 1.
        slow_side: longer side of the large ones, in pixels.
        fast_side: longer side of the small ones.
        seed: as in `preresq_view`.

    Raises:
        ValueError, MediaError, MissingExtra: as in `sample_clip`.

    Source: Q-Save, arXiv:2511.18825, for the idea; it does not state counts and sizes, these are ours.
    """
    slow, fast = sample_clips(path, [(num_slow, slow_side), (num_fast, fast_side)], seed=seed)
    marked = [(frame, "Large frame") for frame in slow.frames] + [(frame, "Small frame") for frame in fast.frames]
    marked.sort(key=lambda pair: (pair[0].asked_s, pair[1]))
    name = f"slow-fast slow={num_slow}x{slow_side} fast={num_fast}x{fast_side}"
    return VideoView(name, tuple(_timed(frame, word) for frame, word in marked))


def native_frames(
    path: str | Path,
    *,
    rate: float = 2.0,
    max_frames: int = 64,
    max_side: int | None = 768,
    seed: int | None = None,
) -> Clip:
    """Frames at a steady rate, for families whose processor takes a video: at most `max_frames`, evenly spread.

    Args:
        path: any video.
        rate: frames a second, > 0; a long video gets fewer.
        max_frames: >= 1.
        max_side: longer side in pixels; None keeps it.
        seed: as in `preresq_view`.

    Raises:
        ValueError, MediaError, MissingExtra: as in `sample_clip`.
    """
    if not rate > 0 or max_frames < 1:
        raise ValueError(f"rate must be > 0 and max_frames >= 1, got {rate}, {max_frames}")
    with VideoReader(path) as reader:
        num = math.ceil(reader.info.duration_s * rate)
    return sample_clip(path, max(1, min(num, max_frames)), seed=seed, max_side=max_side)


def with_evidence(
    view: VideoView,
    path: str | Path,
    *,
    facts: bool = False,
    severities: bool = False,
    strip: bool = False,
    profile: bool = False,
) -> VideoView:
    """Add motion evidence to a view, each kind on its own switch.

    Args:
        view: any.
        path: the video it is of.
        facts: measured frame rate, standstills and flicker, as text.
        severities: of repeated frames, standstills, uneven motion, flicker and shake, from 0 to 5, as text.
        strip: differences between successive frames, as a picture.
        profile: one row of pixels over time, as a picture.

    Raises:
        MediaError, MissingExtra: as in `read_stretches`.
    """
    switches = {"facts": facts, "severities": severities, "strip": strip, "profile": profile}
    wanted = [name for name, is_on in switches.items() if is_on]
    if not wanted:
        return view
    stretches = read_stretches(path)
    longest = max(stretches, key=lambda stretch: len(stretch.frames))
    added = []
    if facts:
        added.append(ViewPart(measure_motion(stretches).text(), None))
    if severities:
        added.append(ViewPart(severity_text(stretches), None))
    if strip and len(longest.frames) > 1:
        text = "Changes between successive frames, in time order, grey where nothing changes:"
        added.append(ViewPart(text, difference_strip(longest)))
    if profile and len(longest.frames) > 1:
        text = "The middle row of the picture over time, downwards:"
        added.append(ViewPart(text, temporal_slice(longest), tuple(float(t) for t in longest.times_s)))
    return replace(view, name=f"{view.name} +{'+'.join(wanted)}", parts=view.parts + tuple(added))


def montage(images: Sequence[UInt8Array]) -> UInt8Array:
    """Lay images out in a square grid, row by row: 16 make 4 x 4. The first sets the size of a cell.

    Args:
        images: n * n of them, each uint8 [H, W, 3].

    Returns:
        uint8 [n * H, n * W, 3].

    Raises:
        ValueError: their number is no square.
    """
    side = math.isqrt(len(images))
    if not images or side**2 != len(images):
        raise ValueError(f"a montage takes a square number of images, got {len(images)}")
    height, width = images[0].shape[:2]
    fitting = [fitted(image, height, width) for image in images]
    rows = [np.concatenate(fitting[n : n + side], axis=1) for n in range(0, len(fitting), side)]
    return np.concatenate(rows, axis=0)


def fitted(image_HWC: UInt8Array, height: int, width: int) -> UInt8Array:
    """Scale an image of another size into a frame of this one, on black: streams may change their size midway."""
    if image_HWC.shape[:2] == (height, width):
        return image_HWC
    factor = min(height / image_HWC.shape[0], width / image_HWC.shape[1])
    small = shrunk(image_HWC, max(1, int(factor * max(image_HWC.shape[:2]))))
    cell = np.zeros((height, width, 3), np.uint8)
    cell[: small.shape[0], : small.shape[1]] = small[:height, :width]
    return cell


def _timed(frame: Frame, word: str) -> ViewPart:
    return ViewPart(f"{word}, {frame.time_s:.2f} s:", frame.image, (frame.time_s,))
