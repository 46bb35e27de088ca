"""How much of decoding a whole video is saved by sampling 16 frames of it.

    python benchmarks/video_sampling.py             60 s of 1080p H.264, one key frame a second, and one in all
    python benchmarks/video_sampling.py --seconds 10 --repeats 1

Makes the clips first (a camera over a bundled photograph, B-frames, CRF 23), then times both ways in turns, in one
process, with the same decoder settings; the median counts. `whole` decodes every frame and converts the same 16;
`ratio` is sampling / whole.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from PIL import Image

from pondera.data.images import load_image
from pondera.data.photographs import list_photographs
from pondera.data.video import bin_centres, sample_clip
from pondera.data.video.container import num_threads
from pondera.data.video.pixels import to_srgb

RATE = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--size", type=int, nargs=2, default=(1920, 1080), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--num", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, interval in (("one key frame a second", RATE), ("one key frame in all", RATE * args.seconds)):
            path = Path(folder) / f"{interval}.mp4"
            write_clip(path, args.seconds, tuple(args.size), interval)
            sampled_s, whole_s = timed(path, args.num, args.repeats)
            line = {"clip": name, "megabytes": round(path.stat().st_size / 1e6, 1)}
            line |= {"sampled_s": round(sampled_s, 3), "whole_s": round(whole_s, 3)}
            print(json.dumps(line | {"ratio": round(sampled_s / whole_s, 3)}), flush=True)


def write_clip(path: Path, seconds: int, size: tuple[int, int], key_interval: int) -> None:
    width, height = size
    photograph = Image.fromarray(load_image(list_photographs()[0])).resize((width * 5 // 4, height * 5 // 4))
    content = np.asarray(photograph)
    options = {"preset": "veryfast", "crf": "23", "bf": "3", "x264-params": f"keyint={key_interval}:scenecut=0"}
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(seconds * RATE):
            phase = number / (seconds * RATE)
            left, top = int(phase * (width // 4)), int((0.5 + 0.5 * np.sin(20 * phase)) * (height // 4 - 1))
            view = np.ascontiguousarray(content[top : top + height, left : left + width])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
        output.mux(stream.encode(None))


def timed(path: Path, num: int, repeats: int) -> tuple[float, float]:
    """Median seconds of sampling, and of decoding the whole."""
    sampled, whole = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        sample_clip(path, num)
        middle = time.perf_counter()
        decode_whole(path, num)
        sampled.append(middle - start)
        whole.append(time.perf_counter() - middle)
    return statistics.median(sampled), statistics.median(whole)


def decode_whole(path: Path, num: int) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = num_threads(stream.width * stream.height)
        times = bin_centres(float(stream.duration * stream.time_base), num)
        for frame in container.decode(stream):
            if times and frame.time >= times[0]:
                times.pop(0)
                to_srgb(frame)


if __name__ == "__main__":
    main()
