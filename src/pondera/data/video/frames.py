"""The picture nearest to a time, by seeking or by decoding on, whichever is less work.

Times are seconds from the first presented frame. Decoders hand out pictures in presentation order, so the nearest one
to a time is one of the two around it. For the next time, a seek pays only if a key frame lies in between: the
container's index says so where it has one, a pass over the packets (nothing decoded) where it has none.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pondera.data.video import pixels
from pondera.data.video.container import (
    VideoInfo,
    check_size,
    explained,
    import_av,
    open_container,
    stated_duration_s,
    stated_rate,
    video_stream,
)
from pondera.errors import MediaError

if TYPE_CHECKING:
    import av

UInt8Array = NDArray[np.uint8]

_FALLBACK_RATE = 25.0  # of streams that carry neither times nor a rate
_INEXACT = frozenset({"mpeg"})  # MPEG program streams time only some frames; after a seek the others are guessed wrong
_SEEK_COST = 12  # frames: what is thrown away in the decoder's threads and re-ordering, and has to be filled again
_FULL_S = 0.25  # this long before a wanted time every frame is decoded; earlier, those that no other refers to are not
_INDEX_REACH = 0.8  # an index that ends before this share of the duration covers a part of the file only


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a video.

    Args:
        image: uint8 [H, W, 3], sRGB, as `pixels.to_srgb` makes it.
        time_s: its presentation time, from the first frame.
        asked_s: the time that was asked for.
    """

    image: UInt8Array
    time_s: float
    asked_s: float


@dataclass(frozen=True, slots=True)
class _Picture:
    """A decoded picture, not yet converted."""

    time_s: float
    raw: av.VideoFrame


class VideoReader:
    """One open video. A context manager; used by one thread at a time.

    A damaged packet is left out, as players do. Pictures are decoded until a time is reached and converted only when
    chosen, so memory stays at the few frames that the decoder holds.

    Args:
        path: any file that FFmpeg reads.
        limit_s: seconds after which reading gives up; counted from here on.

    Raises:
        MediaError: the file cannot be read, or holds no picture that can be decoded.
        MissingExtra: PyAV is not installed.
    """

    _container: Any = None
    _stream: Any
    _decoder: Any

    def __init__(self, path: str | Path, *, limit_s: float = 300.0) -> None:
        if limit_s <= 0:
            raise ValueError(f"limit_s must be > 0 (seconds), got {limit_s}")
        self.path = Path(path)
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s
        self._key_times: list[float] | None = None
        self._has_times = True
        self._full_from_s, self._has_skipped = -1.0, False
        self._before: _Picture | None = None
        self._after: _Picture | None = None
        self._open()
        self._can_seek = self._container.format.name not in _INEXACT
        # H.264 marks for certain what nothing refers to; HEVC does so within one temporal layer only.
        self._may_skip = self._decoder.name == "h264"
        try:
            self.info = self._described()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; calling it twice does no harm."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def at(self, times_s: Iterable[float]) -> Iterator[Frame]:
        """The pictures nearest to some times, in the order of the times.

        Of two pictures equally near the earlier one is taken; before the first and after the last there is the first
        and the last. A picture that is nearest to several times is converted once.

        Args:
            times_s: ascending seconds from the first frame, >= 0.

        Raises:
            ValueError: a time is negative, not a number, or smaller than the one before it.
            MediaError: nothing can be decoded, or the time limit is over.
        """
        previous, last, image = 0.0, None, None
        for asked_s in times_s:
            if not asked_s >= previous:
                raise ValueError(f"times must be >= 0 seconds and ascending, got {asked_s} after {previous}")
            previous = asked_s
            picture = self._nearest(asked_s)
            if image is None or picture is not last:
                last, image = picture, self._converted(picture)
            yield Frame(image, picture.time_s, asked_s)

    def run(self, start_s: float, length_s: float) -> Iterator[Frame]:
        """Every picture from the one nearest to `start_s` on, as long as it is presented before start + length.

        Raises:
            ValueError: the start is negative, or the length not positive.
            MediaError: as in `at`.
        """
        if not (start_s >= 0 and length_s > 0):
            raise ValueError(f"a run starts at >= 0 s and lasts > 0 s, got start {start_s}, length {length_s}")
        picture: _Picture | None = self._nearest(start_s)
        while picture is not None and picture.time_s < start_s + length_s:
            yield Frame(self._converted(picture), picture.time_s, picture.time_s)
            picture = self._after_of(picture)

    # -- choosing ----------------------------------------------------------------------------------------------------

    def _nearest(self, asked_s: float) -> _Picture:
        if self._before is not None and asked_s < self._before.time_s:
            self._rewind()
        if self._after is not None and asked_s > self._after.time_s:
            self._approach(asked_s)
            self._decode_up_to(asked_s)
        around = [p for p in (self._before, self._after) if p is not None]
        if not around:
            raise MediaError(f"{self.path}: no picture in it can be decoded; the file looks damaged, get it again")
        return min(around, key=lambda p: (round(abs(p.time_s - asked_s), 9), p.time_s))

    def _decode_up_to(self, asked_s: float) -> None:
        """Step until the time lies between two pictures that follow each other."""
        self._full_from_s, self._has_skipped = asked_s - _FULL_S, False
        while self._after is not None and self._after.time_s < asked_s:
            self._step()
        if self._has_skipped and self._before is not None and self._before.time_s < self._full_from_s:
            # Frames are far apart here: a nearer one may have been left out.
            self._may_skip = False
            self._rewind()
            self._approach(asked_s)
            self._decode_up_to(asked_s)
        self._full_from_s = -1.0

    def _after_of(self, picture: _Picture) -> _Picture | None:
        """The picture that follows one of the two around the current place."""
        if picture is self._after or self._after is None:
            self._step()
        return self._after

    def _step(self) -> None:
        following = self._pull()
        if following is not None or self._after is not None:
            self._before = self._after if self._after is not None else self._before
        self._after = following

    def _approach(self, asked_s: float) -> None:
        """Jump to the last key frame before a time, if decoding on from here would pass over it."""
        here_s = self._after.time_s if self._after is not None else -1.0
        if self._is_at_end or not self._can_seek:
            return
        if self._key_time_before(asked_s) <= here_s + _SEEK_COST / (self.info.rate or _FALLBACK_RATE):
            return
        back_s = 0.0
        while asked_s - back_s > here_s:
            self._seek(asked_s - back_s)
            if self._after is not None and self._after.time_s <= asked_s:
                return
            # Some containers seek by decoding time, or to a place from which the decoder cannot start yet.
            back_s = max(1.0, 2 * back_s)
        self._rewind()

    def _key_time_before(self, asked_s: float) -> float:
        """Time of the last key frame at or before a time, as far as known; 0 where none is.

        Indexes hold decoding times, a little earlier than presentation: good enough for whether a seek pays.
        """
        if self._key_times is None:
            entries = self._stream.index_entries
            if len(entries) and self._since_origin(entries[-1].timestamp) > _INDEX_REACH * self.info.duration_s:
                place = entries.search_timestamp(self._ticks(asked_s), backward=True, any_frame=False)
                return self._since_origin(entries[place].timestamp) if place >= 0 else 0.0
            self._scan()
        times = self._key_times or []
        place = bisect_right(times, asked_s)
        return times[place - 1] if place else 0.0

    # -- decoding ----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._container = open_container(self.path)
        try:
            self._stream = video_stream(self.path, self._container)
            self._decoder = _alpha_decoder(self._stream) or self._stream.codec_context
        except BaseException:
            self.close()
            raise
        self._time_base = self._stream.time_base or Fraction(1, 1000)
        self._restart()

    def _restart(self) -> None:
        self._packets = self._container.demux(self._stream)
        self._decoded: deque[av.VideoFrame] = deque()
        self._before = self._after = None
        self._first_pts: int | None = None
        self._is_after_seek = self._is_at_end = False

    def _rewind(self) -> None:
        """Start again from the first frame: a new container, as not every format seeks back."""
        self.close()
        self._open()
        self._after = self._pull()

    def _seek(self, time_s: float) -> None:
        try:
            self._container.seek(self._ticks(time_s), stream=self._stream, backward=True)
        except import_av().error.FFmpegError:  # an index that lies, or a container that cannot seek
            self._can_seek = False
            self._rewind()
            return
        if self._decoder is not self._stream.codec_context:
            self._decoder.flush_buffers()
        self._restart()
        self._is_after_seek = True
        self._after = self._pull()

    def _pull(self) -> _Picture | None:
        """The next picture in presentation order, or None at the end."""
        while True:
            while self._decoded:
                raw = self._decoded.popleft()
                # Pictures before the key frame that a seek led to lack what they refer to.
                if self._first_pts is None or raw.pts is None or raw.pts >= self._first_pts:
                    check_size(self.path, raw.width, raw.height)  # it may change within a stream
                    return _Picture(self._time_of(raw), raw)
            if self._is_at_end:
                return None
            self._decode_packet()

    def _decode_packet(self) -> None:
        self._check_deadline()
        av = import_av()
        try:
            packet = next(self._packets, None)
        except av.error.ExitError:
            raise MediaError(f"{self.path}: reading stalled; copy the file to a local disk") from None
        except (av.error.FFmpegError, ValueError):  # cut off or damaged: what was read so far counts
            packet = None
        self._is_at_end = packet is None or packet.size == 0
        if packet is not None and self._is_after_seek:
            self._first_pts, self._is_after_seek = packet.pts, False
        if self._may_skip and packet is not None and packet.pts is not None:
            is_early = self._since_origin(packet.pts) < self._full_from_s
            self._decoder.skip_frame = "NONREF" if is_early else "DEFAULT"
            self._has_skipped |= is_early
        # After a damaged packet the decoder goes on with the next, as players do.
        with suppress(av.error.FFmpegError, ValueError):
            self._decoded.extend(self._decoder.decode(packet if not self._is_at_end else None))

    def _time_of(self, raw: av.VideoFrame) -> float:
        if self._has_times and raw.pts is not None:
            return self._since_origin(raw.pts)
        # Streams without times (raw H.264, for one): counted at the stated rate.
        self._has_times = self._can_seek = False
        last = self._after or self._before
        return last.time_s + 1 / (stated_rate(self._stream) or _FALLBACK_RATE) if last else 0.0

    def _since_origin(self, ticks: int) -> float:
        return float((ticks - self._origin) * self._time_base)

    def _ticks(self, time_s: float) -> int:
        return self._origin + int(time_s / self._time_base)

    def _converted(self, picture: _Picture) -> UInt8Array:
        self._check_deadline()
        with explained(self.path):
            return pixels.to_srgb(picture.raw)

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise MediaError(
                f"{self.path}: not done after {self._limit_s:g} s; raise limit_s, or cut the video into shorter parts"
            )

    # -- describing --------------------------------------------------------------------------------------------------

    def _described(self) -> VideoInfo:
        self._origin = 0
        self._after = self._pull()
        if self._after is None:
            raise MediaError(f"{self.path}: no picture in it can be decoded; the file looks damaged, get it again")
        raw = self._after.raw
        self._origin = raw.pts or 0
        self._after = _Picture(0.0, raw)
        width, height = pixels.display_size(raw.width, raw.height, raw.rotation)
        return VideoInfo(
            path=str(self.path),
            width=width,
            height=height,
            duration_s=(self._can_seek and stated_duration_s(self._container, self._stream)) or self._scan(),
            rate=stated_rate(self._stream),
            container=self._container.format.name,
            codec=self._stream.codec_context.name,
            pixel_format=raw.format.name,
            rotation=int(raw.rotation),
            is_hdr=pixels.is_hdr(raw),
        )

    def _scan(self) -> float:
        """Read all packets of the file, decoding none: key frames and the end of the last frame, in seconds."""
        num, last, end_s, keys = 0, 0.0, 0.0, []
        frame_s = 1 / (stated_rate(self._stream) or _FALLBACK_RATE)
        with explained(self.path), open_container(self.path) as container:
            stream = container.streams[self._stream.index]
            try:
                for packet in container.demux(stream):
                    self._check_deadline()
                    if packet.size == 0:
                        continue
                    num += 1
                    if packet.pts is not None:
                        last = self._since_origin(packet.pts)
                        end_s = max(end_s, last + float((packet.duration or 0) * self._time_base or frame_s))
                        if packet.is_keyframe:
                            keys.append(last)
            except import_av().error.FFmpegError:
                pass  # cut off: what stands before that counts
        self._key_times = sorted(keys)
        return end_s if end_s > 0 else max(1, num) * frame_s


def _alpha_decoder(stream: Any) -> Any:
    """FFmpeg's own VP8 and VP9 decoders drop the transparency that WebM keeps beside the picture; libvpx does not."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    av = import_av()
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if tags.get("alpha_mode") != "1" or name not in av.codecs_available:
        return None
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata = stream.codec_context.extradata
    return decoder
