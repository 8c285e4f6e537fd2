"""The table of assignments as people write it: every fault is reported with its line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from crowdqc.completeness.slices import from_ranges, to_ranges
from crowdqc.config import Config
from crowdqc.csv_files import to_csv
from crowdqc.findings import InputError, refuse_all
from crowdqc.formats.csvfile import csv_rows, read_header
from crowdqc.formats.files import inside, relative, short
from crowdqc.schema import TABLES, conform
from crowdqc.text import must_be_one_of
from crowdqc.writing import atomic

COLUMNS = [column.name for column in TABLES["assignments"]]
ROWS_MAX = 1_000_000
SLICES_MAX = 1_000_000
"""Most slices that one row may name."""


def assignments_file(config: Config) -> Path | None:
    """The table of assignments that a study file names, if it names one."""
    path = config.assignments.path
    return None if path is None else config.resolve(path)


def read_assignments(config: Config) -> pd.DataFrame | None:
    """The assignments of a study.

    Parameters
    ----------
    config : Config
        The study file.

    Returns
    -------
    DataFrame or None
        Table ``assignments`` with a further column `line`; `slices` in ascending ranges, "" for
        the whole case. None where the study file names no table.

    Raises
    ------
    InputError
        If it is not there or breaks a rule: every fault with its line, the value and the rule.
    """
    path = assignments_file(config)
    if path is None:
        return None
    where = relative(path, config)
    if not path.exists():
        raise InputError(
            f"{path}: is not there ([assignments] path). Write it by hand, or have it dealt out: "
            f"crowdqc assign {config.file}"
        )
    quoted = inside(path, config)
    rows = csv_rows(path, where, rows_max=ROWS_MAX)
    header = read_header(rows, where)
    _check_header(header, where, quoted=quoted)
    faults: list[str] = []
    table = pd.DataFrame(
        list(_rows(rows, header, config, where=where, faults=faults)), columns=[*COLUMNS, "line"]
    )
    faults += _twice(table, where)
    if faults and not quoted:
        raise InputError(
            f"{where}: {len(faults)} rows break a rule (not quoted: the file lies outside the "
            "study's folder). Move it beside the study file to see which."
        )
    refuse_all(faults)
    return conform("assignments", table)


def write_assignments(path: Path, table: pd.DataFrame, *, after: str = "") -> None:
    """Write a table of assignments.

    Parameters
    ----------
    path : Path
        Where to.
    table : DataFrame
        Table ``assignments``.
    after : str
        What the file holds already, which stays as it is. Without it there must be no file.

    Raises
    ------
    InputError
        If there is a file already, or its first line names other columns.
    """
    if not after and (path.exists() or path.is_symlink()):
        raise InputError(
            f"{path}: is there already and is not overwritten. Rename it to deal all out anew; "
            "--join NAME adds a rater."
        )
    known = conform("assignments", table)
    text = to_csv(known[COLUMNS])
    if after:
        header = [name.strip() for name in after.splitlines()[0].lstrip("\ufeff").split(",")]
        lost = [name for name in COLUMNS if name not in header and _says_something(known[name])]
        if lost or not set(header) <= set(COLUMNS):
            raise InputError(f"{path}:1: the first line must name {', '.join(lost or COLUMNS)}.")
        rows = to_csv(known[header]).partition("\n")[2]
        text = after + ("" if after.endswith("\n") else "\n") + rows
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _says_something(column: pd.Series) -> bool:
    return bool((~column.isin(["", 1])).any())


def _check_header(header: list[str], where: str, *, quoted: bool) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    absent = [name for name in ("rater", "case") if name not in header]
    if unknown or absent or len(set(header)) < len(header):
        raise InputError(
            f"{where}:1: the first line must name the columns rater and case, and may name "
            "label, slices, due and round, each once"
            + (f"; got {short(', '.join(header))}." if quoted else ".")
        )


def _rows(
    rows: Iterable[tuple[int, list[str]]],
    header: list[str],
    config: Config,
    *,
    where: str,
    faults: list[str],
) -> Iterator[list[object]]:
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            faults.append(f"{where}:{line}: has {len(cells)} cells; the first line {len(header)}.")
            continue
        row = dict(zip(header, map(str.strip, cells), strict=True))
        found = list(_faults(row, config))
        faults += [f"{where}:{line}: {text}" for text in found]
        if not found:
            slices = to_ranges(from_ranges(row.get("slices", "")))
            known = {**row, "slices": slices, "round": int(row.get("round") or 1)}
            yield [*(known.get(name, "") for name in COLUMNS), line]


def _faults(row: dict[str, str], config: Config) -> Iterator[str]:
    for name in ("rater", "case"):
        if not row[name]:
            yield f"'{name}' must be filled in."
    everybody, labels = config.assignments.raters, config.label_names
    if row["rater"] and everybody and row["rater"] not in everybody:
        yield must_be_one_of("rater", short(row["rater"]), everybody)
    for label in row.get("label", "").split():
        if label not in labels:
            yield must_be_one_of("label", short(label), labels)
    if not _are_slices(row.get("slices", "")):
        got = short(row["slices"])
        yield f"'slices' must be such as '40-43 74', or empty for all; got '{got}'."
    if not _is_date(row.get("due", "")):
        yield f"'due' must be a date such as 2026-12-24, or empty; got '{short(row['due'])}'."
    number = row.get("round", "")
    if number and not (number.isascii() and number.isdecimal() and 0 < int(number[:9]) < 1000):
        yield f"'round' must be a whole number from 1 to 999, or empty; got '{short(number)}'."


def _are_slices(text: str) -> bool:
    total = 0
    for part in text.split():
        first, dash, last = part.partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdecimal() and len(end) < 10 for end in ends):
            return False
        total += int(ends[1]) - int(ends[0]) + 1
        if int(ends[1]) < int(ends[0]) or total > SLICES_MAX:
            return False
    return True


def _is_date(text: str) -> bool:
    try:
        return not text or dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _twice(table: pd.DataFrame, where: str) -> Iterator[str]:
    """What is asked of one rater twice in one round: both lines."""
    for (rater, case, number), group in table.groupby(["rater", "case", "round"], sort=False):
        taken: dict[tuple[str, int | None], int] = {}
        for row in group.itertuples() if len(group) > 1 else ():
            asked: list[int | None] = [*from_ranges(row.slices)] or [None]
            places = [(label, k) for label in row.label.split() or [""] for k in asked]
            earlier = next((taken[place] for place in places if place in taken), None)
            if earlier is not None:
                yield (
                    f"{where}:{row.line}: rater '{short(rater)}' has case '{short(case)}' in round "
                    f"{number} already, on line {earlier}. Remove one, or name other slices."
                )
            taken.update((place, row.line) for place in places if place not in taken)
