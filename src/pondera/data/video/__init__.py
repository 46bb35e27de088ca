"""Reading videos: the frame shown at a time, as 8-bit sRGB, from whatever container FFmpeg reads.

    container.py  what a file says about itself; errors a person can act on
    pixels.py     one decoded picture -> uint8 [H, W, 3]: range, matrix, 10 bit, HDR, alpha, rotation
    frames.py     the picture nearest to a time, by seeking or by decoding on, whichever is less work
    sampling.py   at which times to look; a sampled clip
    workers.py    several files at once, in processes that may crash without harm
    cache.py      sampled clips kept in a folder, on request

PyAV decodes and is an extra: `pip install "pondera[video]"`. Nothing here is imported for images.
"""

from __future__ import annotations

from pondera.data.video.cache import cached_clip
from pondera.data.video.container import VIDEO_SUFFIXES, VideoInfo, is_video_file, probe
from pondera.data.video.frames import Frame, VideoReader
from pondera.data.video.sampling import Clip, bin_centres, jittered_times, sample_clip, sample_clips, shrunk
from pondera.data.video.workers import sample_many

__all__ = [
    "VIDEO_SUFFIXES",
    "Clip",
    "Frame",
    "VideoInfo",
    "VideoReader",
    "bin_centres",
    "cached_clip",
    "is_video_file",
    "jittered_times",
    "probe",
    "sample_clip",
    "sample_clips",
    "sample_many",
    "shrunk",
]
