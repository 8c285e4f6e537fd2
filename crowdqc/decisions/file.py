"""``decisions.csv``: read with care, and written by adding rows that then are on the disk.

A row that was not written whole (the machine stopped) was never reported as saved: it is the last
one, has no end of line, and is passed over when reading and cut off before the next row is added.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.config import Config
from crowdqc.decisions.rows import COLUMNS, NEEDED, BadRow, parse_row, to_cells
from crowdqc.files import Unreadable, decoded, read_bytes
from crowdqc.findings import InputError
from crowdqc.schema import conform, empty

FILE = "decisions.csv"
"""Its name, beside the study file."""
BYTES_MAX = 500_000_000
_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND
_OPEN |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def decisions_file(config: Config) -> Path:
    """Where the decisions of a study are."""
    return config.resolve(FILE)


def read_decisions(config: Config) -> pd.DataFrame:
    """All decisions of a study, in the order of the file.

    Parameters
    ----------
    config : Config
        The study file.

    Returns
    -------
    DataFrame
        Table ``decisions``, and ``line``, the line of the file on which each row ends; no row
        where there is no file.

    Raises
    ------
    InputError
        If the file cannot be read, or a row breaks a rule: file, line, value, rule and remedy.
    """
    path = decisions_file(config)
    if not path.is_symlink() and not path.exists():
        return empty("decisions").assign(line=pd.Series(dtype="int64"))
    try:
        data = read_bytes(path, BYTES_MAX, below=path.parent)
        text = decoded(data)
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    return _parse_decisions(text, str(path))


def hash_of_box_rows(config: Config) -> str:
    """Hash of the rows of decisions.csv but those on masks; empty where there is none.

    Grades of masks change neither what raters are judged by nor a fused box.

    Parameters
    ----------
    config : Config
        The study file.
    """
    path = decisions_file(config)
    if not path.is_symlink() and not path.exists():
        return ""
    try:
        text = decoded(read_bytes(path, BYTES_MAX, below=path.parent))
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (Unreadable, csv.Error) as error:
        return repr(error)
    names = [name.strip() for name in rows[0]] if rows else []
    at = names.index("unit") if "unit" in names else 0
    kept = [row for row in rows[1:] if row[at : at + 1] != ["mask"]]
    return hashlib.sha256(repr((names, kept)).encode()).hexdigest() if kept else ""


def _parse_decisions(text: str, name: str) -> pd.DataFrame:
    """The table ``decisions`` that a text in CSV says, as `read_decisions`; `name` is its file's.

    Raises
    ------
    InputError
        As `read_decisions`.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[dict[str, Any]] = []
    header: list[str] = []
    try:
        for cells in reader:
            if not header:
                header = _header(cells)
            elif any(cell.strip() for cell in cells):
                rows.append({**_parsed(cells, header), "line": reader.line_num})
    except (_Short, csv.Error) as error:
        is_last = not text.endswith(("\n", "\r")) and reader.line_num > text.count("\n")
        if header != COLUMNS or not is_last:
            raise InputError(f"{name}:{reader.line_num}: {error}") from error
    except BadRow as error:
        raise InputError(f"{name}:{reader.line_num}: {error}") from error
    if not rows:
        return empty("decisions").assign(line=pd.Series(dtype="int64"))
    return conform("decisions", pd.DataFrame(rows))


class FileChangedError(InputError):
    """The file of decisions is not as it was when it was read."""


class _Short(BadRow):
    """A row with fewer fields than there are columns: one that was not written whole, perhaps."""


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    unknown = [name for name in names if name not in COLUMNS]
    absent = [name for name in NEEDED if name not in names]
    twice = [name for name, n in Counter(names).items() if n > 1]
    for wrong, problem in ((unknown, "no column is called"), (twice, "two columns are called")):
        if wrong:
            raise BadRow(f"{problem} '{wrong[0][:80]}'. Columns are {', '.join(COLUMNS)}.")
    if absent:
        raise BadRow(f"the column '{absent[0]}' is not there. Needed are {', '.join(NEEDED)}.")
    return names


def _parsed(cells: list[str], header: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        problem = _Short if len(cells) < len(header) else BadRow
        raise problem(
            f"has {len(cells)} fields; the first line names {len(header)}. Quote texts with commas."
        )
    return parse_row(dict(zip(header, cells, strict=True)))


def append_decisions(
    path: Path, rows: Iterable[Mapping[str, Any]], *, size: int | None = None
) -> int:
    """Add rows at the end of a file of decisions, all or none; they are on the disk afterwards.

    Parameters
    ----------
    path : Path
        The file, made where there is none.
    rows : iterable of mapping
        Column of the table ``decisions`` -> value; columns that are not there are empty.
    size : int, optional
        Bytes that the file had when it was read, where the rows rest on what it held then.

    Returns
    -------
    int
        Bytes that the file has now.

    Raises
    ------
    FileChangedError
        If the file has another size than `size`. Read it again, and decide again.
    InputError
        If a row breaks a rule, or the file cannot be written (a full disk, a link, another
        order of columns that is not a table of decisions). Then nothing was added.
    """
    try:
        lines = _as_csv(map(to_cells, rows))
    except BadRow as error:
        raise InputError(f"{path}: not saved: {error}") from error
    try:
        handle = os.open(path, _OPEN, 0o644)
        with os.fdopen(handle, "rb+", buffering=0) as file, _exclusive(file):
            if size is not None and os.fstat(file.fileno()).st_size != size:
                raise FileChangedError(f"{path}: not saved: another program has added to it.")
            _add(file, lines, path)
            return file.tell()
    except OSError as error:
        raise InputError(f"{path}: not saved: {error.strerror or error}.") from error


def _add(file: io.FileIO, lines: bytes, path: Path) -> None:
    """Add bytes at the end of a file that is locked; a partial row there is cut off."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise InputError(f"{path}: not saved: it is no regular file.")
    before = file.readall()
    end, between = _end(before, path)
    file.truncate(end)
    try:
        data = between + lines
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise
    if not before:
        _sync_folder(path.parent)


def _end(before: bytes, path: Path) -> tuple[int, bytes]:
    """Where the last whole row ends, and what is between it and the next one."""
    if not before:
        return 0, _as_csv([COLUMNS])
    try:
        text = decoded(before)
    except Unreadable as error:
        raise InputError(f"{path}: not saved: {error}") from error
    names = next(csv.reader([text.partition("\n")[0]]), [])
    if [name.strip() for name in names] != COLUMNS:
        raise InputError(
            f"{path}: not saved: rows can be added to a file whose first line is "
            f"{','.join(COLUMNS)}. Put the columns into this order, with those that are not there."
        )
    if text.endswith(("\n", "\r")):
        return len(before), b""
    table = _parse_decisions(text, str(path))
    n_lines = text.count("\n") + 1
    is_whole = n_lines == 1 or (len(table) > 0 and table["line"].iloc[-1] >= n_lines)
    return (len(before), b"\n") if is_whole else (before.rfind(b"\n") + 1, b"")


def _as_csv(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _sync_folder(folder: Path) -> None:
    """See to it that the name of a new file is on the disk, too, where folders can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _exclusive(file: io.FileIO) -> Iterator[None]:
    """Hold the kernel's lock on an open file; it ends with the process, however that ends."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - on Windows only

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        try:
            yield
        finally:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        return
    import fcntl  # noqa: PLC0415 - not on Windows

    fcntl.flock(file.fileno(), fcntl.LOCK_EX)
    yield  # closing the file unlocks it
