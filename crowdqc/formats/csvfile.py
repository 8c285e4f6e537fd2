"""Cells of CSV and CSV.gz files, as text, with the line of each row."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from crowdqc.config import Config
from crowdqc.files import COLUMNS_MAX, Unreadable, refuse_more, unpacked
from crowdqc.findings import Finding, InputError
from crowdqc.formats.draft import FAULTS_MAX, bad_line, file_finding
from crowdqc.formats.files import inside, relative, short
from crowdqc.text import count

BYTES_MAX = 500_000_000
"""Most characters that a table may unpack to: in memory it takes ten times as much."""
PACKED_MAX = 100
"""Most bytes that a packed byte of a table unpacks to."""
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none"})
"""Words, in lower case, that programs write into empty cells."""
LINE_MAX = 1_000_000
"""Most characters of a line."""


def load_cells(
    path: Path, config: Config, *, header: bool = True
) -> tuple[pd.DataFrame, list[Finding]]:
    """All cells as text, the line of each row in ``_line``; rows of odd length left out.

    Parameters
    ----------
    path : Path
        The file; its first line names the columns.
    config : Config
        The study file, which says how many rows there may be.
    header : bool
        Whether the first line names the columns; else they are called 1, 2 and so on.

    Returns
    -------
    cells : DataFrame
        A column for each of the file, and ``_line``.
    findings : list of Finding
        One for each row with more or fewer fields than the first line names.

    Raises
    ------
    InputError
        If it cannot be read, or its first line does not name different columns.
    """
    where = relative(path, config)
    rows = csv_rows(path, where, rows_max=config.limits.rows)
    first = next(rows, (0, []))
    names = read_header(iter([first]), where)
    if not header:
        names = [str(place + 1) for place in range(len(names))]
        rows = itertools.chain([first], rows)
    if len(set(names)) != len(names):
        shown = f": {short(str(names))}" if inside(path, config) else ""
        raise InputError(f"{where}: two columns have the same name{shown}. Rename one of them.")
    cells, lines, odd, again = [], [], [], []
    for line, row in rows:
        if header and row == first[1]:  # tables that were written behind one another
            again.append(line)
        elif len(row) == len(names):
            cells.append([cell.strip() for cell in row])
            lines.append(line)
        elif any(cell.strip() for cell in row):
            odd.append((line, len(row)))
    frame = pd.DataFrame(cells, columns=names, dtype=object)
    return frame.assign(_line=lines), [*_odd_rows(odd, len(names), where), *_repeated(again, where)]


def _repeated(lines: list[int], where: str) -> list[Finding]:
    """That the first line stands again further down."""
    return [
        file_finding(
            "header-repeated",
            f"{where}:{line}",
            f"The names of the columns stand again in {count(len(lines), 'line')}, which holds no "
            "box and is left out.",
        )
        for line in lines[:1]
    ]


def _odd_rows(odd: list[tuple[int, int]], n_columns: int, where: str) -> list[Finding]:
    named = f"the first line names {n_columns}."
    findings = [
        bad_line("field-count", f"has {count(n, 'field')}; {named}", f"{where}:{line}")
        for line, n in odd[:FAULTS_MAX]
    ]
    if len(odd) > FAULTS_MAX:
        message = f"{len(odd)} rows have more or fewer fields than the first line names."
        findings.append(file_finding("field-count", where, message))
    return findings


def read_header(rows: Iterator[tuple[int, list[str]]], where: str) -> list[str]:
    """Names of the columns, from the first of some rows.

    Parameters
    ----------
    rows : iterator of (int, list of str)
        As of `csv_rows`; the first is taken from it.
    where : str
        How messages name the file.

    Returns
    -------
    list of str
        Without blanks round them.

    Raises
    ------
    InputError
        If there is none, there are more than `COLUMNS_MAX`, or something other than commas stands
        between them.
    """
    _, header = next(rows, (0, []))
    if not header:
        raise InputError(f"{where}: is empty; its first line must name the columns.")
    if len(header) > COLUMNS_MAX:
        raise InputError(f"{where}: has {len(header)} columns, more than {COLUMNS_MAX}.")
    mark = _separator(header)
    if mark:  # spreadsheets of many countries separate by semicolons, and write 1,5 for 1.5
        raise InputError(
            f"{where}: must have commas between its columns; got {mark}s. Save it as CSV with "
            "commas, and with points in numbers (1.5, not 1,5)."
        )
    return [name.strip() for name in header]


def _separator(header: list[str]) -> str | None:
    """What seems to stand between columns where a first line has no comma; `None` if nothing does.

    Examples
    --------
    >>> _separator(["case;slice;rater"])
    'semicolon'
    >>> _separator(["case", "slice;index"])
    """
    marks = {";": "semicolon", "\t": "tab"}
    found = [name for mark, name in marks.items() if len(header) == 1 and mark in header[0]]
    return found[0] if found else None


def csv_rows(
    path: Path, where: str, *, rows_max: int = sys.maxsize
) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row with the line on which it ends.

    Parameters
    ----------
    path : Path
        A CSV file, packed by gzip if its name ends with ``.gz``.
    where : str
        How messages name the file.
    rows_max : int
        With the header.

    Yields
    ------
    int
        Line on which the row ends, from 1.
    list of str
        Its cells.

    Raises
    ------
    InputError
        If the file cannot be read, is no CSV in UTF-8, or has more rows than `rows_max`, more
        bytes than `BYTES_MAX`, or than packed text can have.
    """
    line = 0
    try:
        most = 1_000_000 + PACKED_MAX * path.stat().st_size  # many times what it is, if unpacked
        with unpacked(path, 4 * BYTES_MAX) as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            rows = csv.reader(_lines(text, min(most, BYTES_MAX)), strict=True)
            for n_rows, row in enumerate(rows):
                refuse_more(n_rows, rows_max, "rows")
                yield (line := rows.line_num), row
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}.") from error
    except Unreadable as error:
        raise InputError(f"{where}: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: is not UTF-8 text ({error.reason}). Save it as UTF-8."
        ) from error
    except csv.Error as error:
        raise InputError(f"{where}:{line + 1}: is not CSV: {error}.") from error


def _lines(file: io.TextIOWrapper, most: int) -> Iterator[str]:
    total = 0
    while line := file.readline(LINE_MAX):
        total += len(line)
        if len(line) == LINE_MAX:
            raise Unreadable(f"has a line of more than {LINE_MAX} characters.")
        if total > most:
            raise Unreadable(f"unpacks to more than {most} characters. Split or unpack the table.")
        yield line
