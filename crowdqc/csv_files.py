"""CSV tables as text and back: those that stages write, and those of the user's."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.files import COLUMNS_MAX, JSON_BYTES_MAX, Unreadable, opened, unpacked
from crowdqc.findings import InputError
from crowdqc.schema import TABLES, conform

HEADER_MAX = 100_000


def read_table(
    path: Path, table: str, *, below: Path, without: Collection[str] = ()
) -> pd.DataFrame:
    """Read a table of `crowdqc.schema.TABLES`.

    Parameters
    ----------
    path : Path
        Of the file.
    table : str
        Name of a table.
    below : Path
        Folder above it; between the two no link is followed.
    without : collection of str
        Optional columns that are not read.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If it is not the table it should be.
    """
    text = {column.name: str for column in TABLES[table] if column.kind == "text"}
    words = {"dtype": text, "keep_default_na": False, "na_values": _missing(table)}
    words["usecols"] = None if not without else lambda name: name not in without
    try:
        with opened(path, below=below) as file:
            _headings(file)
            file.seek(0)
            return conform(table, _with_numbers(_parsed(file, **words), table))
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        raise InputError(
            f"{path}: is not the table '{table}' ({error}). Run the stage that writes it again."
        ) from error


def read_csv(path: Path, *, text: Iterable[str]) -> pd.DataFrame:
    """Read a CSV table of the user's (also one that is packed, ``.csv.gz``).

    Parameters
    ----------
    path : Path
    text : iterable of str
        Columns that are text: ``0001`` is not 1 in them, and "NA" is a name.

    Raises
    ------
    InputError
        If it cannot be read, or is no table.
    """
    try:
        with unpacked(path, JSON_BYTES_MAX) as file:
            names = _headings(file)
        missing = {name: list(_MISSING) for name in names if name not in set(text)}
        with unpacked(path, JSON_BYTES_MAX) as file:
            words = {"keep_default_na": False, "na_values": missing}
            return _parsed(file, dtype=dict.fromkeys(text, str), **words)
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: is not a CSV table: {error}.") from error


def _headings(file: io.BufferedReader) -> list[str]:
    """Names of the columns; many would take memory and time beyond their number."""
    line = file.readline(HEADER_MAX)
    if len(line) == HEADER_MAX or line.count(b",") >= COLUMNS_MAX:
        raise Unreadable(f"names more than {COLUMNS_MAX} columns in its first line.")
    return list(pd.read_csv(io.BytesIO(line), nrows=0).columns)


def _parsed(file: io.BufferedReader, **words: Any) -> pd.DataFrame:
    """A table; rows of more cells than there are columns are no row names but a fault."""
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        return pd.read_csv(file, index_col=False, **words)


def to_csv(frame: pd.DataFrame) -> str:
    """A table as CSV: no index, floats to full precision."""
    return frame.to_csv(index=False, lineterminator="\n")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as `to_csv` gives it, some rows at a time: its text may take gigabytes.

    Parameters
    ----------
    frame : DataFrame
        The table.
    path : Path
        Of the file.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        frame.to_csv(file, index=False, lineterminator="\n")


_MISSING = (
    *("", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None"),
    *("NaN", "-NaN", "nan", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""What stands for a missing number."""


def _with_numbers(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """`frame` with further columns, which may miss some numbers, as numbers where they are."""
    known = {column.name for column in TABLES[table]}
    for name in [name for name in frame if name not in known and frame[name].dtype.kind == "O"]:
        numbers = pd.to_numeric(frame[name].where(frame[name] != ""), errors="coerce")
        if (numbers.notna() == (frame[name] != "")).all():
            frame = frame.assign(**{name: numbers})
    return frame


def _missing(table: str) -> dict[str, list[str]]:
    """Only numbers may be missing: an empty text is the text "", and "NA" is a name."""
    return {c.name: ["", "nan"] for c in TABLES[table] if c.kind == "float"}
