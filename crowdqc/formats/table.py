"""Tables of boxes: CSV or CSV.gz, one box a row, corners in pixels.

``[annotations] columns`` says which column of the file is which of ours: ``case, slice, rater,
label, x0, y0, x1, y1, height, width, time, seconds``. Without `slice` every case is one image;
without `label` the study must have a single one. A row without a box means: read, nothing there.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError, Severity
from crowdqc.formats.draft import EDGES, FAULTS_MAX, SIDE_MAX, SLICE_MAX, Draft, bad_file, bad_line
from crowdqc.formats.files import parse_number, relative, short
from crowdqc.formats.output import Output
from crowdqc.formats.times import WHEN, moment
from crowdqc.schema import ReadingState

KNOWN = ["case", "slice", "rater", "label", *EDGES, "height", "width", *WHEN]
_KEYS = ["case", "slice", "rater"]
BYTES_MAX = 500_000_000
"""Most characters that a table may unpack to: as text in memory it takes ten times as much."""
LINE_MAX = 1_000_000
"""Most characters of a line."""


def read_table(config: Config) -> Draft:
    """Read the table of boxes that the study names.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or the study does not say who drew.
    """
    annotations = config.annotations
    columns = annotations.columns
    if "rater" not in columns and not annotations.rater:
        raise InputError(
            f"{config.file}: 'annotations.columns' must name the column 'rater', or "
            "'annotations.rater' the one who drew everything."
        )
    path = config.resolve(annotations.path)
    return read_boxes(path, columns, config, keep=annotations.keep)


def read_boxes(
    path: Path,
    columns: dict[str, str],
    config: Config,
    *,
    keep: dict[str, str | list[str]] | None = None,
) -> Draft:
    """Read a table of boxes; `columns` as in the study file, `keep` chooses rows."""
    where = relative(path, config)
    raw, findings = _load(path, where)
    _check_columns(raw, columns, keep=keep or {}, where=where)
    for name, values in (keep or {}).items():
        raw = raw[raw[name].isin([values] if isinstance(values, str) else values)]
    source = where + ":" + raw["_line"].astype(str)
    frame = pd.DataFrame({name: raw[column] for name, column in columns.items()})
    frame = _filled(frame, config).assign(source=source.to_numpy())
    return _draft(frame, config, findings)


def _draft(frame: pd.DataFrame, config: Config, findings: list[Finding]) -> Draft:
    place, bad_places = _places(frame)
    frame = frame.loc[place.index]  # first: assigning to an empty frame would add rows
    place, bad_times = _timed(place, frame)
    place = place.assign(nothing=_says_nothing(frame))
    edges, bad_edges = _edges(frame[~place["nothing"]])
    names = {label.name: label.name for label in config.labels.values()}
    names |= {key: label.name for key, label in config.labels.items()}
    unknown = frame.loc[edges.index][~frame.loc[edges.index, "label"].isin(list(names))]
    bad_labels = [_unknown(row, names) for row in _first_of_case(unknown).itertuples()]
    edges = edges.drop(index=unknown.index)
    boxes = place.loc[edges.index, _KEYS].join(edges)
    drawn = frame.loc[boxes.index]
    boxes = boxes.assign(label=drawn["label"].map(names), source=drawn["source"])
    return Draft(
        boxes=boxes[[*_KEYS, "label", *EDGES, "source"]].reset_index(drop=True),
        readings=_readings(place),
        findings=[*findings, *bad_places, *bad_times, *bad_edges, *bad_labels],
    )


def _load(path: Path, where: str) -> tuple[pd.DataFrame, list[Finding]]:
    """All cells as text, the line of each row in ``_line``; rows of odd length left out."""
    rows = _rows(path, where)
    _, header = next(rows, (0, []))
    if not header:
        raise InputError(f"{where}: is empty; its first line must name the columns.")
    header = [name.strip() for name in header]
    refuse_separator(header, where)
    if len(set(header)) != len(header):
        raise InputError(f"{where}: two columns have the same name: {short(str(header))}.")
    cells, lines, odd = [], [], []
    for line, row in rows:
        if len(row) == len(header):
            cells.append(row)
            lines.append(line)
        elif any(cell.strip() for cell in row):
            odd.append((line, len(row)))
    findings = [
        bad_line("field-count", f"has {n} fields; the first line names {len(header)}.", source)
        for line, n in odd[:FAULTS_MAX]
        for source in [f"{where}:{line}"]
    ]
    if len(odd) > FAULTS_MAX:
        message = f"{where}: {len(odd)} rows have more or fewer fields than the first line names."
        findings.append(bad_file("field-count", message, where))
    frame = pd.DataFrame(cells, columns=header, dtype=object)
    stripped = frame.apply(lambda column: column.str.strip())
    return stripped.assign(_line=lines), findings


def refuse_separator(header: list[str], where: str) -> None:
    """Spreadsheets of many countries separate by semicolons, and write 1,5 for 1.5."""
    mark = separator(header)
    if mark:
        raise InputError(
            f"{where}: must have commas between its columns; got {mark}s. Save it as CSV with "
            "commas, and with points in numbers (1.5, not 1,5)."
        )


def separator(header: list[str]) -> str | None:
    """What seems to stand between columns where a first line has no comma; `None` if nothing does.

    Examples
    --------
    >>> separator(["case;slice;rater"])
    'semicolon'
    >>> separator(["case", "slice;index"])
    """
    marks = {";": "semicolon", "\t": "tab"}
    found = [name for mark, name in marks.items() if len(header) == 1 and mark in header[0]]
    return found[0] if found else None


def _rows(path: Path, where: str) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row with the line on which it ends, as far as `BYTES_MAX` allow."""
    if not path.is_file():
        raise InputError(f"{where}: there is no such file.")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            rows = csv.reader(_limited(text, where), strict=True)
            for row in rows:
                yield rows.line_num, row
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{where}: cannot be read: {error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text ({error.reason}).") from error
    except csv.Error as error:
        raise InputError(f"{where}:{rows.line_num}: is not CSV: {error}.") from error


def _limited(lines: TextIO, where: str) -> Iterator[str]:
    """Lines, until they are more than a table has: what is packed may unpack to anything."""
    total = 0
    while line := lines.readline(LINE_MAX):
        total += len(line)
        if total > BYTES_MAX or len(line) == LINE_MAX:
            raise InputError(
                f"{where}: has a line of more than {LINE_MAX} characters, or more than "
                f"{BYTES_MAX} in all. Split the table."
            )
        yield line


def _check_columns(
    raw: pd.DataFrame, columns: dict[str, str], *, keep: dict[str, str | list[str]], where: str
) -> None:
    unknown = [name for name in columns if name not in KNOWN]
    if unknown:
        raise InputError(f"{where}: 'columns' has '{unknown[0]}'; a table has {', '.join(KNOWN)}.")
    needed = [name for name in ["case", *EDGES] if name not in columns]
    if needed:
        raise InputError(f"{where}: 'columns' must say which column is {', '.join(needed)}.")
    have = [name for name in raw.columns if name != "_line"]
    absent = [name for name in [*columns.values(), *keep] if name not in have]
    if absent:
        raise InputError(f"{where}: has no column '{absent[0]}'; it has {', '.join(have)}.")


def _filled(frame: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Columns that the file leaves out, from the study file."""
    if "label" not in frame:
        if len(config.labels) > 1:
            raise InputError(
                f"{config.file}: 'annotations.columns' names no column 'label', but [labels] "
                f"has {len(config.labels)}. Name it, or leave one label."
            )
        frame = frame.assign(label=config.label_names[0])
    if "slice" not in frame:
        frame = frame.assign(slice="0")
    if "rater" not in frame:
        frame = frame.assign(rater=config.annotations.rater or "")
    return frame


def _says_nothing(frame: pd.DataFrame) -> pd.Series:
    return (frame[EDGES] == "").all(axis=1)


def _places(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """``case, slice, rater`` (and ``height, width``) of the rows where all of them are sound."""
    unnamed = (frame[["case", "rater"]] == "").any(axis=1)
    findings = [
        bad_line("name-missing", "has no case or no rater.", row.source)
        for row in frame[unnamed].head(FAULTS_MAX).itertuples()
    ]
    place = frame.loc[~unnamed, ["case", "rater"]]
    for name in [name for name in ("slice", "height", "width") if name in frame]:
        values, bad = _parsed(frame.loc[place.index, name])
        least, most = (0, SLICE_MAX) if name == "slice" else (1, SIDE_MAX)
        bad |= ~((values >= least) & (values <= most) & (values % 1 == 0))
        findings += _not_a_number(frame.loc[place.index][bad], name, "a whole number")
        place = place[~bad].assign(**{name: values[~bad].astype(np.int64)})
    return place, findings


def _timed(place: pd.DataFrame, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """`place` with ``time`` and ``seconds`` of the rows, nan where a row does not say them."""
    findings: list[Finding] = []
    for name in [name for name in WHEN if name in frame]:
        values = frame[name].map(moment).astype(np.float64)
        odd = frame[values.isna() & (frame[name] != "")]
        if len(odd):
            first = odd.iloc[0]
            message = (
                f"{first['source']}: {name} is '{short(first[name])}' (and {len(odd) - 1} more), "
                "which is no number of seconds and no date with time. It is taken as not known."
            )
            findings.append(Finding(check="time-unknown", severity=Severity.NOTE, message=message))
        place = place.assign(**{name: values})
    return place, findings


def _edges(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """``x0, y0, x1, y1`` of the rows where all four are numbers (nan and inf are judged later)."""
    findings: list[Finding] = []
    edges = pd.DataFrame(index=frame.index)
    for name in EDGES:
        values, bad = _parsed(frame.loc[edges.index, name])
        findings += _not_a_number(frame.loc[edges.index][bad], name, "a number")
        edges = edges[~bad].assign(**{name: values[~bad]})
    return edges, findings


def _parsed(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Numbers of a column of text, and where it holds none."""
    values = pd.to_numeric(column, errors="coerce").astype(np.float64)
    odd = column[values.isna()]
    no_number = odd.index[[parse_number(text) is None for text in odd]]
    return values, pd.Series(column.index.isin(no_number), index=column.index)


def _not_a_number(rows: pd.DataFrame, name: str, kind: str) -> list[Finding]:
    return [
        bad_line(
            "not-a-number",
            f"{name} is '{short(getattr(row, name))}', which is not {kind}.",
            row.source,
            case=row.case,
        )
        for row in _first_of_case(rows).itertuples()
    ]


def _first_of_case(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows to tell one by one: of very many of a case only the first."""
    return rows[rows.groupby("case").cumcount() < FAULTS_MAX]


def _unknown(row: Any, names: dict[str, str]) -> Finding:
    message = f"label '{short(row.label)}' is not in [labels]: {', '.join(names)}."
    return bad_line("unknown-class", message, row.source, case=row.case, rater=row.rater)


def _readings(place: pd.DataFrame) -> pd.DataFrame:
    """One reading for each case, slice and rater.

    It was reviewed where a row says that there is nothing; ``opened`` stands for the rest,
    until a box is found in it.
    """
    reviewed = place.groupby(_KEYS, sort=False)["nothing"].any().to_numpy()
    state = np.where(reviewed, ReadingState.REVIEWED_EMPTY.value, ReadingState.OPENED.value)
    first = place.drop_duplicates(_KEYS).drop(columns="nothing")
    for name in [name for name in WHEN if name in place]:  # the last row ends the reading
        first[name] = place.groupby(_KEYS, sort=False)[name].max().to_numpy()
    return first.assign(labels="", state=state).reset_index(drop=True)


def write_table(output: Output, folder: Path) -> dict[str, object]:
    """Write ``boxes.csv``: a row for each box, and one for each reading without a box."""
    columns = ["case", "slice", "rater", "label", *EDGES, "height", "width"]
    with (folder / "boxes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for reading in output.readings():
            nothing: list[tuple[object, ...]] = [("", "", "", "", "")]
            for box in reading.boxes or nothing:
                place = (reading.case, reading.slice, reading.rater)
                writer.writerow([*place, *box, reading.height, reading.width])
    return {"path": "boxes.csv", "columns": {name: name for name in columns}}
