"""Sampled clips kept in a folder, on request: a second epoch then reads pixels instead of decoding."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pondera.data.video.container import VideoInfo
from pondera.data.video.frames import Frame
from pondera.data.video.sampling import Clip, sample_clip
from pondera.errors import MediaError

_VERSION = 1  # raise it when the same video would give other pixels


def cached_clip(
    path: str | Path, num: int, folder: str | Path, *, seed: int | None = None, max_side: int | None = None
) -> Clip:
    """`sample_clip`, kept in a folder.

    An entry is one uncompressed file of num x H x W x 3 bytes; it belongs to the path, size and modification time of
    the video and to the arguments. Entries are written whole or not at all, so several processes may share a folder.
    Nothing is ever removed: delete the folder to free the space.

    Raises:
        ValueError, MediaError, MissingExtra: as in `sample_clip`.
    """
    path, folder = Path(path), Path(folder)
    entry = folder / f"{_key(path, num, seed, max_side)}.npz"
    if entry.is_file():
        return _loaded(entry)
    clip = sample_clip(path, num, seed=seed, max_side=max_side)
    folder.mkdir(parents=True, exist_ok=True)
    partial = entry.with_suffix(f".{os.getpid()}.partial")
    arrays: dict[str, Any] = {f"frame_{n}": frame.image for n, frame in enumerate(clip.frames)}
    facts = {"info": asdict(clip.info), "ends_early": clip.ends_early}
    with partial.open("wb") as file:
        np.savez(
            file,
            facts=np.array(json.dumps(facts)),
            times=np.array([(frame.time_s, frame.asked_s) for frame in clip.frames]),
            **arrays,
        )
    partial.replace(entry)
    return clip


def _key(path: Path, num: int, seed: int | None, max_side: int | None) -> str:
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check the spelling and the working directory ({Path.cwd()})")
    facts = path.stat()
    parts = [_VERSION, str(path.resolve()), facts.st_size, facts.st_mtime_ns, num, seed, max_side]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _loaded(entry: Path) -> Clip:
    with np.load(entry, allow_pickle=False) as stored:
        facts = json.loads(str(stored["facts"]))
        times = stored["times"].tolist()
        frames = tuple(Frame(stored[f"frame_{n}"], *both) for n, both in enumerate(times))
    return Clip(VideoInfo(**facts["info"]), frames, facts["ends_early"])
