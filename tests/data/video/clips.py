"""Test clips that encode their frame number in pixels: eight black or white cells, the lowest bit first."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS, CELL, HEIGHT = 8, 16, 48
WIDTH = BITS * CELL


def picture(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> NDArray[np.uint8]:
    """An image that holds a number in 0..255."""
    bits = [255 * (number >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8), -(-size[0] // BITS))[: size[0]]
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (size[1], size[0], 3)))


def number_in(image: NDArray[np.uint8]) -> int:
    """Read it back."""
    width, middle = image.shape[1], image.shape[0] // 2
    places = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(int(image[middle, place].mean() > 127) << bit for bit, place in enumerate(places))


def write_clip(
    path: Path,
    codec: str = "libx264",
    *,
    num: int = 50,
    rate: int = 25,
    times: Sequence[Fraction | float] | None = None,
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container: str | None = None,
    shift: int = 0,
    rotation: int | None = None,
) -> list[float]:
    """Encode frames 0, 1, ... and return their presentation times in seconds.

    `times` makes a variable frame rate; `shift` moves all packets by so many frames after encoding.
    """
    import av

    base = Fraction(1, 1000) if times is not None else Fraction(1, rate)
    ticks = [round(t * 1000) for t in times] if times is not None else list(range(num))
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        stream: Any = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = base
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(number, size), "rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = tick, base
            _mux(output, stream.encode(frame), shift)
        _mux(output, stream.encode(None), shift)
    return [float(tick * base) for tick in ticks]


def repeat_clip(source: Path, target: Path, times: int) -> None:
    """A long clip for little: the packets of a short one (without B-frames), over and over."""
    import av

    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        stream = given.streams.video[0]
        packets = [packet for packet in given.demux(stream) if packet.size]
        span = sum(packet.duration or 0 for packet in packets)
        copied = output.add_stream_from_template(stream)
        for n in range(times):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.pts, again.dts = (tick + n * span for tick in (packet.pts, packet.dts))
                again.time_base, again.stream, again.is_keyframe = packet.time_base, copied, packet.is_keyframe
                output.mux(again)


def _mux(output: Any, packets: Any, shift: int) -> None:
    for packet in packets:
        if shift:
            packet.pts += shift
            packet.dts += shift
        output.mux(packet)
