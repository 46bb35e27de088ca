"""A table of one's own: whatever separator, letter case and decimal mark a spreadsheet program wrote."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pondera.core.records import Sample
from pondera.data.adapters.tables import Row, refuse_twice, row_of
from pondera.data.images import is_image_file
from pondera.data.importers.fields import CSV_FIELDS, Labels, choose_columns, labelled_sample
from pondera.data.text_files import csv_cells, opened
from pondera.data.video.container import is_video_file
from pondera.errors import DatasetError

_SPREADSHEETS = frozenset({".xlsx", ".xls", ".ods", ".numbers"})


@dataclass(frozen=True, slots=True)
class _Table:
    """Its separator and its header, in line `line`."""

    file: Path
    delimiter: str
    names: tuple[str, ...]
    line: int

    @property
    def decimal(self) -> str:
        """Where commas do not separate cells they are decimal marks."""
        return "." if self.delimiter == "," else ","

    @property
    def _way_out(self) -> str:
        """Of a row with more or fewer cells than columns."""
        return f"a cell that holds a {_NAME_OF[self.delimiter]} must stand in quotes"

    def rows(self) -> Iterator[Row]:
        for line, cells in csv_cells(self.file, delimiter=self.delimiter):
            if line > self.line:
                yield row_of(self.file, line, self.names, cells, self._way_out)


_NAME_OF = {",": "comma", ";": "semicolon", "\t": "tab"}


def csv_samples(
    table: Path, labels: Labels, *, dataset: str, columns: Mapping[str, str], media: Path
) -> Iterator[Sample]:
    """Samples from a table with a header, its cells separated by commas, semicolons or tabs.

    Backslashes in `file` are read as slashes. With semicolons or tabs a comma is a decimal mark.

    Args:
        table: the file, UTF-8.
        labels: how its labels are read.
        dataset: name of the data set.
        columns: field (`CSV_FIELDS`) to column. Fields not named here are looked for under their own name; only
            `file` and `mos` must be there.
        media: folder that `file` is relative to.

    Raises:
        ConfigError: a field is unknown.
        DatasetError: the file or a column is missing, a value is wrong, or a sample is there twice.
    """
    found = _read_header(table)
    chosen = choose_columns(_where(found), [name for name in found.names if name], columns, CSV_FIELDS)
    line_of: dict[str, int] = {}
    for row in found.rows():
        file = row.text(chosen["file"]).replace("\\", "/")
        sample = labelled_sample(
            row, chosen, labels, dataset=dataset, item=_item(file, media), path=media / file, decimal=found.decimal
        )
        first = line_of.setdefault(sample.id, row.line)
        if first != row.line:
            raise DatasetError(
                f"{row.where}: {file} was in line {first} already; keep one row, or tell them apart by a column of "
                "names, --columns id=..."
            )
        yield sample
    if not line_of:
        raise DatasetError(f"{table}: no rows below the header")


def _read_header(table: Path) -> _Table:
    if table.is_dir():
        raise DatasetError(
            f"{table}: a folder; give the table in it, or import the folder without labels: folder {table}"
        )
    if not table.is_file():
        raise DatasetError(f"{table}: no such table")
    if table.suffix.lower() in _SPREADSHEETS:
        raise DatasetError(f"{table}: a spreadsheet; save its sheet as CSV (UTF-8) and import that")
    with opened(table) as file:
        line, text = next(((n, text) for n, text in enumerate(file, start=1) if text.strip()), (0, ""))
    if not text:
        raise DatasetError(f"{table}: empty; expected a header, such as file,mos, and rows")
    headers = {mark: next(csv.reader([text], delimiter=mark, skipinitialspace=True)) for mark in _NAME_OF}
    delimiter = "\t" if table.suffix.lower() == ".tsv" else max(headers, key=lambda mark: len(headers[mark]))
    names = tuple(name.strip() for name in headers[delimiter])
    refuse_twice(table, line, names)
    return _Table(table, delimiter, names, line)


def _where(table: _Table) -> str:
    """The table; where its header looks like a row, with that said."""
    is_row = any(_is_number(name) or is_image_file(Path(name)) or is_video_file(name) for name in table.names)
    return f"{table.file}" + (" (its first line must name the columns, and looks like a row)" if is_row else "")


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _item(file: str, media: Path) -> str:
    """The name of a sample: its file, below the folder of the media where it is there."""
    path = PurePosixPath(file)
    if path.is_absolute() and path.is_relative_to(media.absolute().as_posix()):
        return path.relative_to(media.absolute().as_posix()).as_posix()
    return file.lstrip("/")
