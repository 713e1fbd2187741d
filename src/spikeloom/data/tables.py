"""Tables in files, as spreadsheets, pandas, R and MATLAB write them: delimited text and Parquet."""

from __future__ import annotations

import csv
import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.damage import DAMAGE
from spikeloom.data.dates import with_seconds
from spikeloom.data.declared import check_declared, not_enough_memory
from spikeloom.data.json_columns import with_entries
from spikeloom.errors import DataError

Table = Any
"""A table of pandas, whose declared types are too wide for a static check."""
Column = Any
"""A column of one."""
TEXT = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pqt", ".pq")
TABLES = (*TEXT, *PARQUET)
"""Endings of files that hold a table."""
VALUE_BYTES = 8
"""Of a value of a table in memory, about."""
HEAD_BYTES = 1 << 16
"""How much of a text file is looked at to tell its delimiter, decimal mark, comments and header."""
DELIMITERS = ("\t", ";", "|", ",")
"""Those that are tried, the likeliest first: a comma may be a decimal mark."""
BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf|", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class _Dialect:
    """How a text file is written."""

    encoding: str
    delimiter: str
    decimal: str
    comment: str | None
    names: list[str] | None  # None where the first line is the header


def read_table(path: Path, notes: list[str]) -> pd.DataFrame:
    r"""The table in a file; delimiter, decimal mark, comments and encoding of text are recognised.

    Args:
        path: A file with one of the endings ``TABLES``.
        notes: Gets a note about what was guessed.

    Raises:
        DataError: If it is no table, has no header that names its columns, or is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "spikes.csv")
        ...     _ = path.write_text("# recorded by hand\nunit;time_s\n3;0,25\n1;1,5\n")
        ...     read_table(path, [])
           unit  time_s
        0     3    0.25
        1     1    1.50
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"the table '{path}' {what}; name a file ({', '.join(TABLES)}).")
    try:
        table: Table = _read_parquet(path) if path.suffix.lower() in PARQUET else _read_text(path, notes)
    except DataError:
        raise
    except PermissionError:
        raise DataError(f"{path} cannot be read: permission denied; check its rights.") from None
    except MemoryError:
        raise not_enough_memory(path.name) from None
    except (*DAMAGE, csv.Error) as error:  # those of pandas and Arrow are among them
        detail = " ".join(str(error).split())[:120].rstrip(".")
        raise DataError(
            f"{path.name} is not a table with as many values in every row ({detail}); correct it."
        ) from None
    table.columns = [str(name).strip() for name in table.columns]
    numbered = [name for name in table if name == "Unnamed: 0" and table[name].dtype.kind in "iu"]
    if numbered and (np.diff(table[numbered[0]]) == 1).all():  # pandas numbers rows
        table = table.drop(columns=numbered)
    if not len(table):
        raise DataError(f"{path.name} has no rows; name a table that holds something.")
    table = _with_thousands(table, path, notes)
    table = with_entries(with_seconds(table, notes), notes)
    for name in table:
        if table[name].dtype.kind == "M" and not table[name].isna().all():
            notes.append(f"'{name}' of {path.name} holds days, and is taken as text")
            table[name] = table[name].astype(str)
    return table


def _with_thousands(table: Table, path: Path, notes: list[str]) -> Table:
    """A table in which numbers in quotes with commas, between thousands ("12,345.5") or as decimal marks, are numbers.

    Raises:
        DataError: If commas may be either.
    """
    for name in list(table):
        texts = [] if pd.api.types.is_numeric_dtype(table[name].dtype) else table[name].dropna().tolist()
        if not any("," in text for text in texts if isinstance(text, str)):
            continue
        if not all(isinstance(text, str) and _THOUSANDS.fullmatch(text.strip()) for text in texts):
            continue
        if any(text.count(",") > 1 or "." in text for text in texts):
            mark = ""
        elif any(text.strip().startswith("0,") for text in texts):
            mark = "."
        else:
            raise DataError(
                f"'{name}' of {path.name} holds numbers such as {texts[0]}, in which a comma may part thousands or "
                "decimals; write them without commas."
            )
        table = table.assign(**{name: pd.to_numeric(table[name].str.strip().str.replace(",", mark))})
        notes.append(f"commas in '{name}' of {path.name} are {'decimal marks' if mark else 'between thousands'}")
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(
            f"{path.name} is a Parquet file, which needs pyarrow; install it with: pip install 'spikeloom[tables]'."
        ) from None
    file = pq.ParquetFile(path)
    about = file.metadata
    check_declared((about.num_rows, about.num_columns), VALUE_BYTES)
    check_declared([sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))], 1)
    table = file.read().to_pandas()
    named = table.index.name is not None or isinstance(table.index, pd.MultiIndex)
    return table.reset_index() if named else table


def _read_text(path: Path, notes: list[str]) -> pd.DataFrame:
    dialect = _dialect(path, notes)
    table = pd.read_csv(
        path,
        sep=dialect.delimiter,
        decimal=dialect.decimal,
        comment=dialect.comment,
        encoding=dialect.encoding,
        header=0 if dialect.names is None else None,
        names=dialect.names,
        skipinitialspace=True,
        low_memory=False,
    )
    if not _ends_a_line(path):
        notes.append(f"{path.name} does not end with a line break: if it was cut there, rows are missing")
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{path.name} has more values in a row than names in its header; correct the header.")
    # A delimiter at the end of every line, as some programs write it, makes a column of nothing.
    empty = [name for name in table if str(name).startswith("Unnamed: ") and table[name].isna().all()]
    return table.drop(columns=empty)


def _dialect(path: Path, notes: list[str]) -> _Dialect:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), "utf-8")
    if encoding != "utf-16" and b"\0" in head:
        raise DataError(f"{path.name} is not a text file; name a table with delimiters, or give it its own ending.")
    try:
        text = head.decode(encoding, "strict" if len(head) < HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        encoding = "cp1252"  # what spreadsheets write on Windows
        text = head.decode(encoding, "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(head) == HEAD_BYTES and len(lines) > 1:
        lines = lines[:-1]  # it may be cut
    comment = next((mark for mark in "#%" if any(line.startswith(mark) for line in lines)), None)
    remarks = list(itertools.takewhile(lambda line: comment is not None and line.startswith(comment), lines))
    rows = [line for line in lines if comment is None or not line.startswith(comment)][:50]
    if not rows:
        raise DataError(f"{path.name} holds no table; name a file with a header line and rows.")
    delimiter = _delimiter(rows)
    cells = [_split(row, delimiter) for row in rows]
    decimal = "," if delimiter != "," and any(_DECIMAL_COMMA.fullmatch(cell) for row in cells for cell in row) else "."
    if decimal == ",":
        notes.append(f"{path.name} has decimal commas")
    names = _header(path, cells, remarks, delimiter, decimal, notes)
    return _Dialect(encoding, delimiter, decimal, comment, names)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 4), os.SEEK_END)
        return file.read().rstrip(b"\0")[-1:] in (b"\n", b"\r")  # zeros: those of UTF-16


def _delimiter(rows: list[str]) -> str:
    """The delimiter by which all rows have as many cells; white space if there is none."""
    for delimiter in DELIMITERS:
        sizes = {len(_split(row, delimiter)) for row in rows}
        if len(sizes) == 1 and sizes != {1}:
            return delimiter
    if len({len(row.split()) for row in rows}) == 1 and len(rows[0].split()) > 1:
        return r"\s+"
    most = max(DELIMITERS, key=lambda delimiter: len(_split(rows[0], delimiter)))
    return most if len(_split(rows[0], most)) > 1 else ","


def _split(row: str, delimiter: str) -> list[str]:
    if delimiter == r"\s+":
        return row.split()
    return [cell.strip() for cell in next(csv.reader([row], delimiter=delimiter))]


def _header(
    path: Path, cells: list[list[str]], remarks: list[str], delimiter: str, decimal: str, notes: list[str]
) -> list[str] | None:
    """The names of columns where the first line has none; None where it is the header."""
    first = [cell.replace(",", ".") if decimal == "," else cell for cell in cells[0]]
    if not all(_NUMBER.fullmatch(cell) for cell in first) or not any(first):
        return None
    if remarks:  # numpy.savetxt writes the header behind a comment mark
        names = _split(remarks[-1].lstrip("#% \t"), delimiter)
        if len(names) == len(first) and not any(_NUMBER.fullmatch(name) for name in names):
            notes.append(f"columns of {path.name} are named by its last comment: {', '.join(names[:8])}")
            return names
    numbered = [str(i) for i in range(len(first))]
    # pandas names the columns of an array by their number, and the column of row numbers not at all.
    if first[0] == "" or (len(first) > 2 and first == numbered):
        return None
    raise DataError(
        f"{path.name} has no header: its first line is '{delimiter.join(cells[0])[:40]}'; write one that names the "
        "columns, such as 'unit,time_s' for spike times, or the names of the neurons for counts."
    )
