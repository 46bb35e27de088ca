"""Text files that people make: UTF-8 text, CSV cells and plain numbers, or an error that names file and line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pondera.errors import DatasetError, PonderaError

_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)


@contextmanager
def opened(path: Path, error: type[PonderaError] = DatasetError) -> Iterator[TextIO]:
    """A text file, UTF-8 with or without a byte order mark.

    Args:
        path: the file.
        error: what to raise about it.

    Raises:
        PonderaError: it is something else; names the line of the first byte that is not UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError:
        raise error(
            f"{path}:{_undecodable_line(path)}: not UTF-8 text. An owner's file must be unpacked; an editor or a "
            "spreadsheet program saves yours as UTF-8"
        ) from None


def csv_cells(path: Path, *, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows of a delimited text file that hold anything, each with the line it begins on.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        delimiter: one character.

    Raises:
        DatasetError: it is not UTF-8 text, or a quote is wrong; a quote that never closes would swallow all rows below
            it.
    """
    with opened(path) as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DatasetError(
                    f"{path}:{line}: not CSV ({error}): a cell of the row that begins here is not well quoted; close "
                    'its quotes, and write a quote inside a cell as ""'
                ) from None
            if any(cell.strip() for cell in cells):
                yield line, cells


def plain_number(text: str) -> float:
    """The number that a text is, NaN and infinity among them.

    Raises:
        ValueError: it is none; `1_000`, which Python reads as a thousand, among them.
    """
    text = text.strip()
    if not _PLAIN_NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def _undecodable_line(path: Path) -> int:
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return 1
