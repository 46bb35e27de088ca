"""What a video file says about itself, and errors a person can act on when it cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pondera.errors import MediaError, MissingExtra

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_FRAME_PIXELS = 80_000_000  # twice 8K; decoders hold a dozen frames, so more would not fit in 2 GiB
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"}
    | {".nut", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m", ".264", ".265", ".h264", ".h265", ".hevc", ".ivf"}
)

_STALL_S = 20.0  # a read that takes longer hangs (a dead network mount, an endless loop in a demuxer)
_DECODED_PIXELS = 100_000_000  # frames held by decoding threads together: 3 of 8K, all the usual 4 of 4K


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file says about its video.

    Args:
        path: the file.
        width: in pixels, after rotation.
        height: in pixels, after rotation.
        duration_s: from the first frame to the end of the last, as the header says or the packets show; > 0.
        rate: frames a second on average, as the header says; 0 where it does not.
        container: FFmpeg's name of the format, such as "mov,mp4,m4a,3gp,3g2,mj2".
        codec: FFmpeg's name of the codec, such as "h264".
        pixel_format: as coded, such as "yuv420p10le".
        rotation: degrees that were applied, anticlockwise.
        is_hdr: PQ or HLG.
    """

    path: str
    width: int
    height: int
    duration_s: float
    rate: float
    container: str
    codec: str
    pixel_format: str
    rotation: int
    is_hdr: bool


def probe(path: str | Path) -> VideoInfo:
    """Describe a video: reads the header and decodes one frame; reads all packets where the header has no duration.

    Raises:
        MediaError: the file is missing, a folder, empty, damaged, too large, or has no video; names file and way out.
        MissingExtra: PyAV is not installed.
    """
    from pondera.data.video.frames import VideoReader

    with VideoReader(path) as reader:
        return reader.info


def is_video_file(path: str | Path) -> bool:
    """Whether the name ends like a video's (`VIDEO_SUFFIXES`, any letter case); the file is not opened.

    ".gif" is both here and among the images: as an image its first frame counts, as a video all of them do.
    """
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def import_av() -> Any:
    """PyAV, its messages off standard error: what matters comes back as an exception.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingExtra("video files need PyAV", "video") from None
    av.logging.set_level(None)
    return av


def open_container(path: Path) -> InputContainer:
    """Open a file with FFmpeg.

    Raises:
        MediaError: it is missing, a folder, empty, or no container that FFmpeg knows.
    """
    av = import_av()
    if path.is_dir():
        raise MediaError(f"{path}: this is a folder; give a video file")
    if not path.exists():
        raise MediaError(f"{path}: no such file; check the spelling and the working directory ({Path.cwd()})")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty (0 bytes); copy or download it again")
    with explained(path):
        # "file:" keeps a name such as "concat:a|b" or "http:" from being taken for a protocol; playlists that a file
        # holds may name no other protocol either.
        options = {"protocol_whitelist": "file"}
        return av.open(f"file:{path}", options=options, timeout=_STALL_S, metadata_errors="replace")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what FFmpeg raises into a MediaError that names the file and the way out."""
    av = import_av()
    try:
        yield
    except av.error.ExitError:
        raise MediaError(f"{path}: reading stalled for {_STALL_S:g} s; copy the file to a local disk") from None
    except (av.error.FFmpegError, ValueError, OverflowError) as error:  # the latter two: nonsense in a damaged header
        raise MediaError(
            f"{path}: cannot be read as a video ({_reason(error)}); get it again, or convert it to MP4 with H.264"
        ) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def video_stream(path: Path, container: InputContainer) -> VideoStream:
    """The video of a container; a cover picture does not count. Sets the number of decoding threads.

    Raises:
        MediaError: there is none, its codec is unknown, or its frames are too large.
    """
    av = import_av()
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(s.type for s in container.streams) or "nothing"
        raise MediaError(f"{path}: no video in this file (it holds: {kinds}); give a file with a video stream")
    stream: VideoStream = streams[0]
    context = stream.codec_context
    if context is None:
        raise MediaError(f"{path}: this FFmpeg has no decoder for its video; convert it to MP4 with H.264")
    check_size(path, context.width, context.height)
    context.thread_type = "AUTO"
    context.thread_count = num_threads(context.width * context.height)
    return stream


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse frames that would not fit in memory.

    Raises:
        MediaError: above `MAX_FRAME_PIXELS`.
    """
    if width * height > MAX_FRAME_PIXELS:
        raise MediaError(
            f"{path}: frames of {width} x {height} are {width * height / 1e6:.0f} megapixels, the limit is "
            f"{MAX_FRAME_PIXELS / 1e6:.0f}; scale the video down"
        )


def num_threads(num_pixels: int) -> int:
    """Decoding threads: at most 4, and so few that their frames stay small in memory."""
    return max(1, min(os.cpu_count() or 1, 4, _DECODED_PIXELS // max(1, num_pixels)))


def stated_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """The duration of the stream, or of the file, as the header says; None where it says nothing usable."""
    if stream.duration and stream.duration > 0 and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        # The file's duration counts from the start of its earliest stream.
        start = float((stream.start_time or 0) * (stream.time_base or Fraction(0)))
        duration = container.duration / 1e6 - max(0.0, start - (container.start_time or 0) / 1e6)
        return duration if duration > 0 else None
    return None


def stated_rate(stream: VideoStream) -> float:
    """Frames a second as the header says; 0 where it does not."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate else 0.0
