"""Several videos at once, each in a process that may crash, hang or eat memory without harm to the caller.

Decoders are C code fed with files from anywhere. A pool of the standard library is broken for good once a worker dies;
here a dead worker costs its file, with an error that says so, and is replaced.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from pondera.data.video.container import import_av
from pondera.data.video.sampling import Clip, sample_clip
from pondera.errors import MediaError

MEMORY_LIMIT_BYTES = 2 << 30  # data of one worker, where the system enforces such limits (Linux)
_START_S = 60.0  # to start a process and import NumPy and PyAV, on a busy machine


def sample_many(
    paths: Sequence[str | Path],
    num: int,
    *,
    seeds: Sequence[int] | None = None,
    max_side: int | None = None,
    num_workers: int | None = None,
    limit_s: float = 300.0,
) -> Iterator[Clip | MediaError]:
    """`sample_clip` of many videos in parallel; a file that cannot be read yields its error in its place.

    Processes are spawned: a script needs its `if __name__ == "__main__":`. At most two results per worker wait.

    Args:
        paths: videos.
        num: frames of each, >= 1.
        seeds: one per video jitters within the bins; None takes bin centres.
        max_side: as in `sample_clip`.
        num_workers: processes; None is the number of processors, at most 4.
        limit_s: seconds for one video; a worker that takes longer is ended.

    Yields:
        A clip or an error for each path, in order.

    Raises:
        ValueError: an argument is out of range.
        MissingExtra: PyAV is not installed.
    """
    import_av()
    if num < 1 or limit_s <= 0 or (num_workers is not None and num_workers < 1):
        raise ValueError(f"num, limit_s and num_workers must be > 0, got {num}, {limit_s}, {num_workers}")
    if seeds is not None and len(seeds) != len(paths):
        raise ValueError(f"one seed per video is needed, got {len(seeds)} for {len(paths)}")
    jobs = [(str(path), num, seeds[n] if seeds is not None else None, max_side) for n, path in enumerate(paths)]
    if not jobs:
        return
    workers = [_Worker(limit_s) for _ in range(min(len(jobs), num_workers or min(os.cpu_count() or 1, 4)))]
    try:
        yield from _in_order(workers, jobs)
    finally:
        for worker in workers:
            worker.end()


def _in_order(workers: list[_Worker], jobs: Sequence[tuple[Any, ...]]) -> Iterator[Clip | MediaError]:
    """Hand out jobs as workers become free, but not so far ahead that results pile up."""
    done: dict[int, Clip | MediaError] = {}
    following = given = 0
    while following < len(jobs):
        for worker in workers:
            if worker.place is None and given < min(len(jobs), following + 2 * len(workers)):
                worker.give(given, jobs[given])
                given += 1
        for worker in _ready(workers):
            place, result = worker.take()
            done[place] = result
        while following in done:
            yield done.pop(following)
            following += 1


def _ready(workers: list[_Worker]) -> list[_Worker]:
    """Busy workers that have answered, died, or are over their time."""
    busy = [worker for worker in workers if worker.place is not None]
    seconds = max(0.0, min((worker.deadline for worker in busy), default=0.0) - time.monotonic())
    answered = wait([worker.connection for worker in busy], timeout=seconds)
    return [w for w in busy if w.connection in answered or time.monotonic() >= w.deadline]


@dataclass(slots=True)
class _Worker:
    """One process; it is started with its first job and again after its death."""

    limit_s: float
    process: Any = None
    connection: Any = None
    place: int | None = None
    path: str = ""
    deadline: float = 0.0

    def give(self, place: int, job: tuple[Any, ...]) -> None:
        start_s = 0.0
        if self.process is None:
            start_s = _START_S
            context = multiprocessing.get_context("spawn")  # a fork would copy the threads of whoever calls us
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(theirs, self.limit_s), daemon=True)
            self.process.start()
            theirs.close()  # so that the end of the process is the end of the pipe
        # The reader gives up by itself after limit_s; the margin is for C code that does not come back.
        self.place, self.path = place, str(job[0])
        self.deadline = time.monotonic() + start_s + self.limit_s + 5.0
        with suppress(OSError):  # it has just died; `take` says so
            self.connection.send(job)

    def take(self) -> tuple[int, Clip | MediaError]:
        place, self.place = self.place, None
        assert place is not None
        try:
            if self.connection.poll():
                return place, self.connection.recv()
            problem = f"not done after {self.limit_s:g} s, and its decoder does not answer"
        except (EOFError, OSError):
            self.process.join()
            problem = f"its decoder crashed (exit status {self.process.exitcode})"
        self.end()
        return place, MediaError(f"{self.path}: {problem}; the file looks damaged, get it again")

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None


def _serve(connection: Connection, limit_s: float) -> None:
    """What a worker does until its pipe closes."""
    _limit_memory()
    while True:
        try:
            path, num, seed, max_side = connection.recv()
        except EOFError:
            return
        result: Clip | MediaError
        try:
            result = sample_clip(path, num, seed=seed, max_side=max_side, limit_s=limit_s)
        except MediaError as error:
            result = MediaError(str(error))
        except MemoryError:
            result = _too_large(path)
        try:
            connection.send(result)
        except MemoryError:  # its frames fit, their copy on the way out does not; nothing of it was sent
            connection.send(_too_large(path))


def _too_large(path: str) -> MediaError:
    return MediaError(
        f"{path}: needs more than {MEMORY_LIMIT_BYTES >> 30} GiB of memory; give max_side, or ask for fewer frames"
    )


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
