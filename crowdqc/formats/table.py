"""Tables of boxes: CSV or CSV.gz, one box a row, corners in pixels.

``[annotations] columns`` says which column of the file is which of ours: ``case, slice, rater,
label, x0, y0, x1, y1, height, width, time, seconds``. Without `slice` every case is one image;
without `label` the study must have a single one. A row without a box means: read, nothing there.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError, Severity
from crowdqc.formats.base import Format
from crowdqc.formats.csvfile import csv_rows, load_cells, read_header
from crowdqc.formats.draft import EDGES, FAULTS_MAX, SIDE_MAX, SLICE_MAX, Draft, bad_line
from crowdqc.formats.files import parse_number, printable, relative, short
from crowdqc.formats.guess_documents import label_name
from crowdqc.formats.listing import FILES_MAX, Guess, Listing
from crowdqc.formats.output import Output
from crowdqc.formats.times import WHEN, moment
from crowdqc.schema import ReadingState

KNOWN = ["case", "slice", "rater", "label", *EDGES, "height", "width", *WHEN]
_KEYS = ["case", "slice", "rater"]
ROWS_MAX = 100_000
"""Rows that are looked at to recognise a table."""
SEVERAL = 0.05
"""Share of readings with several objects of a label above which these are no slips of the hand."""

_NAMES = {
    "case": ("case", "case_id", "scan_id", "image_id", "image", "item", "patient", "patient_id"),
    "slice": ("slice", "slice_index", "slice_id", "frame", "z"),
    "rater": ("rater", "worker", "annotator", "labeler", "reader", "user", "reader_session"),
    "label": ("label", "class", "class_name", "category", "organ"),
    "x0": ("x0", "xmin", "x_min", "xtl", "left"),
    "y0": ("y0", "ymin", "y_min", "ytl", "top"),
    "x1": ("x1", "xmax", "x_max", "xbr", "right"),
    "y1": ("y1", "ymax", "y_max", "ybr", "bottom"),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
}


def sniff_table(listing: Listing) -> Guess | None:
    """The table that has most of the columns."""
    tables = listing.ending(".csv", ".csv.gz")
    columns, errors = {}, []
    for one in tables[:FILES_MAX]:
        try:
            columns[one] = _known_columns(one)
        except InputError as error:
            errors.append(error)
    if not columns:
        if errors:
            raise errors[0]
        return None
    path = max(columns, key=lambda one: len(columns[one]))
    guess = Guess(listing.relative(path), [path], columns=columns[path])
    absent = [name for name in ("case", *EDGES) if name not in guess.columns]
    if absent:
        guess.remarks.append(f"Say in 'columns' which column is {', '.join(absent)}.")
    if len(tables) > 1:
        others = ", ".join(one.name for one in tables if one != path)
        guess.remarks.append(f"Tables that are not read: {printable(others)[:200]}.")
    counts = _count_labels(path, guess.columns)
    guess.labels = {name: label_name(name) for name in sorted(counts)}
    guess.several = {name for name, (places, more) in counts.items() if more > SEVERAL * places}
    guess.remarks.append("Where a slice may hold several objects of a label: single = false.")
    return guess


def _known_columns(path: Path) -> dict[str, str]:
    """Our name of a column -> its name in the table."""
    header = read_header(csv_rows(path, str(path)), str(path))
    lower = {column.lower(): column for column in header}
    return {
        ours: lower[name] for ours, names in _NAMES.items() for name in names[::-1] if name in lower
    }


def _count_labels(path: Path, columns: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Labels in the first rows of a table -> readings that drew one, and several of them."""
    rows = csv_rows(path, str(path))
    header = read_header(rows, str(path))
    place = [columns[name] for name in ("case", "slice", "rater") if name in columns]
    drawn: Counter[tuple[str, ...]] = Counter()
    for _, cells in itertools.islice(rows, ROWS_MAX):
        row = dict(zip(header, map(str.strip, cells), strict=False))
        label = row.get(columns["label"], "") if "label" in columns else "object"
        if label and row.get(columns.get("x0", "")) != "":
            drawn[(label, *(row.get(name, "") for name in place))] += 1
    readings = Counter(key[0] for key in drawn)
    several = Counter(key[0] for key, n in drawn.items() if n > 1)
    return {label: (n, several[label]) for label, n in readings.items()} or {"object": (0, 0)}


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
    raw, findings = load_cells(path, where)
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


FORMAT = Format(
    title="table of boxes (.csv)",
    sniff=sniff_table,
    read=read_table,
    write=write_table,
    precedence=0,
)
