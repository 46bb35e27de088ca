"""Reading label tables: comma or space separated text, spreadsheets, MATLAB and JSON files.

Every value comes with the file and line it stands on, so that an error can name them.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pondera.errors import DatasetError, MissingExtra

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

    def number(self, column: str, *, decimal: str = ".") -> float:
        """The number of a cell.

        Args:
            column: its column.
            decimal: the decimal mark.

        Raises:
            DatasetError: it is no finite number.
        """
        text = self.text(column)
        try:
            value = float(text.replace(decimal, "."))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DatasetError(f"{self.where}: {column} is {text!r}, not a number; correct the row")
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
def opened(path: Path) -> Iterator[TextIO]:
    """A text file, UTF-8 with or without a byte order mark.

    Raises:
        DatasetError: it is something else.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError:
        raise DatasetError(
            f"{path}: not UTF-8 text. An owner's file must be unpacked; a spreadsheet program saves yours as CSV UTF-8"
        ) from None


def csv_rows(path: Path, columns: Sequence[str] = (), *, delimiter: str = ",") -> Iterator[Row]:
    """Rows of a delimited text file; empty lines are skipped.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        columns: names by position for a file without a header; empty when the first line is the header.
        delimiter: one character.

    Raises:
        DatasetError: the file is not UTF-8 text, or a row has fewer cells than there are columns.
    """
    with opened(path) as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        names: Sequence[str] = columns or [name.strip() for name in next(reader, [])]
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _row(path, reader.line_num, names, cells)


def spaced_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a text file without a header, separated by spaces and commas in any mixture.

    Raises:
        DatasetError: the file is not UTF-8 text, or a row has fewer cells than there are columns.
    """
    with opened(path) as file:
        for line, text in enumerate(file, start=1):
            cells = text.replace(",", " ").split()
            if cells:
                yield _row(path, line, columns, cells)


def sheet_rows(path: Path, sheet: str | None, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a spreadsheet below its header: the first row in which all of `columns` occur.

    Args:
        path: an .xlsx file, or a .csv file saved from it.
        sheet: its name; None takes the first. A .csv file has one.
        columns: those that are needed. Others come along.

    Raises:
        DatasetError: no row is such a header.
        MissingExtra: reading .xlsx needs openpyxl.
    """
    names: Sequence[str] | None = None
    for line, cells in enumerate(sheet_cells(path, sheet), start=1):
        if names is not None:
            if any(cells):
                yield _row(path, line, names, cells)
        elif set(columns) <= set(cells):
            names = cells
    if names is None:
        raise DatasetError(f"{path}: no row holds the columns {', '.join(columns)}; is it the owner's file?")


def sheet_cells(path: Path, sheet: str | None = None) -> Iterator[list[str]]:
    """All rows of a spreadsheet as text; numbers keep all their digits.

    Raises:
        DatasetError: there is no such sheet, or the file is no .xlsx or .csv.
        MissingExtra: reading .xlsx needs openpyxl.
    """
    if path.suffix.lower() == ".csv":
        with opened(path) as file:
            yield from ([cell.strip() for cell in cells] for cells in csv.reader(file))
        return
    if path.suffix.lower() != ".xlsx":
        raise DatasetError(f"{path}: open this file in a spreadsheet program and save it as .xlsx or .csv")
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise MissingExtra(
            f"{path} is a spreadsheet; save it as {path.with_suffix('.csv').name}, or read it with openpyxl", "datasets"
        ) from None
    workbook = load_workbook(path, read_only=True, data_only=True)
    try:
        if sheet is not None and sheet not in workbook.sheetnames:
            raise DatasetError(f"{path}: no sheet {sheet!r}; there are {', '.join(workbook.sheetnames)}")
        for values in (workbook[sheet] if sheet else workbook.worksheets[0]).iter_rows(values_only=True):
            yield ["" if value is None else str(value).strip() for value in values]
    finally:
        workbook.close()


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
        raise DatasetError(f"{path}: expected a list of objects; is it the owner's file?")
    return content


def _mat_vector(path: Path, variable: str) -> list[str]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(path)
    except NotImplementedError:  # SciPy's word for version 7.3, which is HDF5
        raise DatasetError(f"{path}: MATLAB format 7.3 is not read here; save it again with: save -v7") from None
    except (ValueError, OSError) as error:
        raise DatasetError(f"{path}: not a readable MATLAB file ({error}); download it again") from None
    if variable not in content:
        names = [name for name in content if not name.startswith("__")]
        raise DatasetError(f"{path}: no variable {variable!r}; there are {', '.join(names)}")
    return [_mat_text(value) for value in content[variable].ravel()]


def _mat_text(value: Any) -> str:
    """A number or string as text; cells are arrays of arrays."""
    while hasattr(value, "ravel") and getattr(value, "size", 0) == 1 and getattr(value, "ndim", 0):
        value = value.ravel()[0]
    return str(value)


def _row(path: Path, line: int, names: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) < len(names):
        raise DatasetError(f"{path}:{line}: {len(cells)} cells, expected {len(names)} ({', '.join(names)})")
    return Row(path, line, {name: cell for name, cell in zip(names, cells, strict=False) if name})
