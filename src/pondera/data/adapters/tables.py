"""Reading label tables: comma or space separated text, spreadsheets, MATLAB and JSON files.

Every value comes with the file and line it stands on, so that an error can name them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pondera.data.text_files import csv_cells, opened, plain_number
from pondera.errors import DatasetError, MissingExtra, PonderaError

_IS_IT = "is it the owner's file?"
_IN_QUOTES = "a cell that holds a comma must stand in quotes, and a decimal comma must be a dot"
_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, as text.

    Args:
        file: the table.
        line: line, or entry where a file has no lines, counted from 1.
        cells: text by column name.
    """

    file: Path
    line: int
    cells: Mapping[str, str]

    @property
    def where(self) -> str:
        """file:line."""
        return f"{self.file}:{self.line}"

    def text(self, column: str) -> str:
        """The text of a cell, without spaces around it.

        Raises:
            DatasetError: the column is not there, or the cell is empty.
        """
        value = (self.cells.get(column) or "").strip()
        if value:
            return value
        what = "is empty" if column in self.cells else f"is missing; there are {', '.join(self.cells)}"
        raise DatasetError(f"{self.where}: column {column!r} {what}")

    def number(self, column: str, *, decimal: str = ".", low: float = -math.inf) -> float:
        """The number of a cell.

        Args:
            column: its column.
            decimal: the decimal mark.
            low: the smallest that it can be; 0 for deviations and votes.

        Raises:
            DatasetError: it is no finite number, or below `low`.
        """
        text = self.text(column)
        try:
            value = plain_number(text.replace(decimal, "."))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DatasetError(f"{self.where}: {column} is {text!r}, not a number; correct the row")
        if value < low:
            raise DatasetError(f"{self.where}: {column} is {text!r}, expected {low:g} or more; correct the row")
        return value

    def flag(self, column: str) -> bool:
        """A cell that says yes or no, as pandas and spreadsheets write it.

        Raises:
            DatasetError: it says neither.
        """
        text = self.text(column).lower()
        if text not in _FLAGS:
            raise DatasetError(f"{self.where}: {column} is {text!r}, expected True or False")
        return _FLAGS[text]

    def has(self, column: str) -> bool:
        """Whether the cell holds anything."""
        return bool((self.cells.get(column) or "").strip())


@contextmanager
def damage_named(path: Path, what: str) -> Iterator[None]:
    """Turn what a library raises over a damaged file into one line.

    Args:
        path: the file.
        what: it should be.

    Raises:
        DatasetError: in place of any other error.
    """
    try:
        yield
    except PonderaError:
        raise
    except Exception as error:  # readers fail over web pages and cut files in as many ways as they have lines
        why = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(
            f"{path}: not {what} that can be read ({why}): a cut download, or a web page in its place. Download it "
            "again"
        ) from None


def csv_rows(path: Path, columns: Sequence[str] = (), *, delimiter: str = ",") -> Iterator[Row]:
    """Rows of a delimited text file; empty lines are skipped.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        columns: names by position for a file without a header; empty when the first line is the header.
        delimiter: one character.

    Raises:
        DatasetError: the file is not UTF-8 text or holds no rows, two columns have one name, or a row has fewer or
            more cells than there are columns.
    """
    rows = csv_cells(path, delimiter=delimiter)
    line, names = (0, columns) if columns else next(rows, (1, []))
    names = [name.strip() for name in names]
    refuse_twice(path, line, names)
    yield from _some_rows(path, (row_of(path, n, names, cells) for n, cells in rows), () if columns else names)


def spaced_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a text file without a header, separated by spaces and commas in any mixture.

    Raises:
        DatasetError: the file is not UTF-8 text or holds no rows, or a row has fewer or more cells than there are
            columns.
    """
    with opened(path) as file:
        lines = ((line, text.replace(",", " ").split()) for line, text in enumerate(file, start=1))
        yield from _some_rows(path, (row_of(path, line, columns, cells, _IS_IT) for line, cells in lines if cells))


def sheet_rows(path: Path, sheet: str | None, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a spreadsheet below its header: the first row in which all of `columns` occur.

    Args:
        path: an .xlsx file, or a .csv file saved from it.
        sheet: its name; None takes the first. A .csv file has one.
        columns: those that are needed. Others come along.

    Raises:
        DatasetError: no row is such a header, one of `columns` is there twice, or no row stands below it.
        MissingExtra: reading .xlsx needs openpyxl.
    """
    rows = sheet_cells(path, sheet)
    line, names = next(((n, cells) for n, cells in rows if set(columns) <= set(cells)), (0, []))
    if not names:
        raise DatasetError(f"{path}: no row holds the columns {', '.join(columns)}; {_IS_IT}")
    refuse_twice(path, line, [name for name in names if name in columns])
    if path.suffix.lower() == ".xlsx":  # its cells keep their columns; remarks may stand to the right of the header
        rows = ((n, cells[: len(names)]) for n, cells in rows)
    yield from _some_rows(path, (row_of(path, n, names, cells, _IS_IT) for n, cells in rows), columns)


def sheet_cells(path: Path, sheet: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows of a spreadsheet that hold anything, each with its line, as text; numbers keep all their digits.

    Raises:
        DatasetError: there is no such sheet, or the file is no .xlsx or .csv, or damaged.
        MissingExtra: reading .xlsx needs openpyxl.
    """
    if path.suffix.lower() == ".csv":
        yield from ((line, [cell.strip() for cell in cells]) for line, cells in csv_cells(path))
        return
    if path.suffix.lower() != ".xlsx":
        raise DatasetError(f"{path}: open this file in a spreadsheet program and save it as .xlsx or .csv")
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise MissingExtra(
            f"{path} is a spreadsheet; save it as {path.with_suffix('.csv').name}, or read it with openpyxl", "datasets"
        ) from None
    with damage_named(path, "a spreadsheet"), closing(load_workbook(path, read_only=True, data_only=True)) as workbook:
        if sheet is not None and sheet not in workbook.sheetnames:
            raise DatasetError(f"{path}: no sheet {sheet!r}; there are {', '.join(workbook.sheetnames)}")
        page = workbook[sheet] if sheet else workbook.worksheets[0]
        for line, values in enumerate(page.iter_rows(values_only=True), start=1):
            if any(value is not None for value in values):
                yield line, ["" if value is None else str(value).strip() for value in values]


def mat_rows(paths: Mapping[str, Path], variables: Mapping[str, str]) -> Iterator[Row]:
    """Rows from vectors of equal length in MATLAB files (before version 7.3).

    Args:
        paths: column name to file.
        variables: column name to the variable in that file.

    Raises:
        DatasetError: a variable is missing, or the vectors differ in length.
    """
    vectors = {column: _mat_vector(paths[column], variables[column]) for column in variables}
    lengths = {column: len(vector) for column, vector in vectors.items()}
    first = next(iter(paths.values()))
    if len(set(lengths.values())) > 1:
        raise DatasetError(f"{first}: vectors of different lengths: {lengths}; the files belong to different releases")
    for index, values in enumerate(zip(*vectors.values(), strict=True), start=1):
        yield Row(first, index, dict(zip(vectors, values, strict=True)))


def json_entries(path: Path) -> list[dict[str, Any]]:
    """A JSON file that holds a list of objects.

    Raises:
        DatasetError: it is not JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not JSON ({error}); download it again") from None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise DatasetError(f"{path}: expected a list of objects; {_IS_IT}")
    return content


def _mat_vector(path: Path, variable: str) -> list[str]:
    from scipy.io import loadmat

    with damage_named(path, "a MATLAB file"):
        try:
            content: dict[str, Any] = loadmat(path)
        except NotImplementedError:  # SciPy's word for version 7.3, which is HDF5
            raise DatasetError(f"{path}: MATLAB format 7.3 is not read here; save it again with: save -v7") from None
    if variable not in content:
        names = [name for name in content if not name.startswith("__")]
        raise DatasetError(f"{path}: no variable {variable!r}; there are {', '.join(names)}")
    return [_mat_text(value) for value in content[variable].ravel()]


def _mat_text(value: Any) -> str:
    """A number or string as text; cells are arrays of arrays."""
    while hasattr(value, "ravel") and getattr(value, "size", 0) == 1 and getattr(value, "ndim", 0):
        value = value.ravel()[0]
    return str(value)


def row_of(path: Path, line: int, names: Sequence[str], cells: Sequence[str], way_out: str = _IN_QUOTES) -> Row:
    """The row of these cells; empty ones behind the last column are those of a spreadsheet.

    Args:
        path: the table.
        line: where the row stands.
        names: of its columns.
        cells: of the row.
        way_out: last part of the message.

    Raises:
        DatasetError: there are fewer or more cells than columns: values would stand under wrong names.
    """
    if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
        raise DatasetError(f"{path}:{line}: {len(cells)} cells, expected {len(names)} ({', '.join(names)}); {way_out}")
    return Row(path, line, {name: cell for name, cell in zip(names, cells, strict=False) if name})


def refuse_twice(path: Path, line: int, names: Sequence[str]) -> None:
    """Refuse a header in which a name is there twice: one of the two columns would be lost.

    Raises:
        DatasetError: it is.
    """
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise DatasetError(f"{path}:{line}: two columns are called {twice!r}; rename one")


def _some_rows(path: Path, rows: Iterator[Row], header: Sequence[str] = ()) -> Iterator[Row]:
    """These rows, of which there must be one: the line of a failed download would pass for a header."""
    first = next(rows, None)
    if first is None:
        below = f" below the header ({', '.join(header)[:60]})" if header else ""
        raise DatasetError(f"{path}: no rows{below}; is the file whole? Write or download it again")
    yield first
    yield from rows
