"""Writing files that are there whole or not at all: written beside their place, then renamed.

A kill, a power cut or a full disk in the middle of writing leaves what was there before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from pondera.errors import TrainingError

_PARTIAL = ".partial"
_DISCARDED = ".discarded"


@contextmanager
def saving(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while writing into an error that a person can act on.

    Raises:
        TrainingError: writing failed; names `what`, the reason, and the way out.
    """
    try:
        yield
    # torch.save and safetensors meet a full disk with errors of their own.
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"{what} could not be written: {error}. Whatever was complete before is still there: see that the disk "
            "has space and may be written, then go on with --resume"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Replace a text file."""
    partial = path.with_name(path.name + _PARTIAL)
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill; when the block ends without an error it takes its place, and that of a folder already there."""
    partial = target.with_name(target.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        publish(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # half a checkpoint on a full disk only keeps it full
        raise


def publish(partial: Path, target: Path) -> None:
    """Rename a complete folder into its place, after all of it has reached the disk."""
    for path in partial.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
    discard(target)
    partial.replace(target)


def discard(folder: Path) -> None:
    """Delete a folder so that nobody takes what a kill leaves of it for the whole."""
    doomed = folder.with_name(folder.name + _DISCARDED)
    shutil.rmtree(doomed, ignore_errors=True)
    if folder.is_dir():
        folder.replace(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
