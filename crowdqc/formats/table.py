"""Tables of boxes: CSV or CSV.gz, one box a row, in pixels; one file, or one for each rater.

``[annotations] columns`` says which column of the file is which of ours: ``case, slice`` (or
``image``, a name that fits ``[annotations] image``), ``rater, label, height, width, time, seconds``
and the box: ``x0, y0, x1, y1``, or ``box_width, box_height`` with ``x0, y0`` or
``x_centre, y_centre``. A number instead of a name is the place of a column, from 1, in a file whose
first line is a row. Without `slice` every case is one image; without `label` the study must have a
single one. A row without a box means: read, nothing there. With ``point_x, point_y`` a row may be a
point instead, on the object, or beside it where ``positive`` is false or 0; rows that follow each
other with one ``scribble`` are the corners of a line.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError
from crowdqc.formats.base import Format
from crowdqc.formats.csvfile import load_cells
from crowdqc.formats.draft import FAULTS_MAX, Draft, bad_line, point_frame
from crowdqc.formats.files import inside, relative, short
from crowdqc.formats.labels import Labels
from crowdqc.formats.output import Output
from crowdqc.formats.patterns import find
from crowdqc.formats.slicefiles import strays
from crowdqc.formats.table_cells import (
    CENTRE,
    POINT,
    SIZE,
    Faults,
    edges_of,
    filled,
    first_of_case,
    is_missing,
    places_of,
    whole_lines,
    with_images,
)
from crowdqc.formats.table_guess import BOXES, sniff_table
from crowdqc.formats.times import WHEN, moment
from crowdqc.schema import BOX, READING, ReadingState

KNOWN = ["case", "slice", "image", "rater", "label", *BOX, *CENTRE, *SIZE]
KNOWN += [*POINT, "positive", "scribble", "height", "width", *WHEN]
_NEGATIVE = {"false", "0", "no", "negative"}

_ROWS = 2**16
"""About so many rows are taken at a time."""


def read_table(config: Config) -> Draft:
    """Read the table of boxes that the study names.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or the study does not say who drew.
    """
    annotations = config.annotations
    found = find(config.resolve(annotations.path))
    if not ("rater" in annotations.columns or annotations.rater or "rater" in found.fields):
        raise InputError(
            f"{config.file}: 'annotations.columns' must name the column 'rater', or "
            "'annotations.rater' the one who drew everything, or {rater} in 'annotations.path'."
        )
    rows = _Rows(config, strays(found, config) if found.fields else [])
    for one in found.files:
        frame, findings = _load(one.path, annotations.columns, config, keep=annotations.keep)
        from_path = {name: text for name, text in one.fields.items() if name not in frame}
        rows.add(frame.assign(**from_path), findings)
    return rows.draft()


def read_boxes(path: Path, columns: dict[str, str | int], config: Config) -> Draft:
    """Read one table of boxes.

    Parameters
    ----------
    path : Path
        Of a CSV file.
    columns : dict
        As ``columns`` in the study file: our name -> its name or place.
    config : Config
        Of the study file.
    """
    rows = _Rows(config, [])
    rows.add(*_load(path, columns, config))
    return rows.draft()


def _load(
    path: Path,
    columns: Mapping[str, str | int],
    config: Config,
    *,
    keep: Mapping[str, str | list[str]] | None = None,
) -> tuple[pd.DataFrame, list[Finding]]:
    """The cells of a table under our names of the columns, with ``source``."""
    where = relative(path, config)
    places = [isinstance(column, int) for column in columns.values()]
    if any(places) != all(places):
        raise InputError(f"{where}: 'columns' must hold names only, or places (1, 2, ...) only.")
    raw, findings = load_cells(path, config, header=not any(places))
    names = {name: str(column) for name, column in columns.items()}
    have = [name for name in raw.columns if name != "_line"]
    columns_there = f"; it has {', '.join(have)}" if inside(path, config) else ""
    _check_columns(names, where)
    absent = [name for name in [*names.values(), *(keep or {})] if name not in have]
    if absent:
        raise InputError(f"{where}: has no column '{absent[0]}'{columns_there}.")
    for name, values in (keep or {}).items():
        raw = raw[raw[name].isin([values] if isinstance(values, str) else values)]
    frame = pd.DataFrame({name: raw[column] for name, column in names.items()})
    return frame.assign(source=[f"{where}:{line}" for line in raw["_line"]]), findings


class _Rows:
    """Rows of all files, as numbers and names as soon as a file is read: text takes far more."""

    def __init__(self, config: Config, findings: list[Finding]) -> None:
        self.config, self.files, self.labels = config, findings, Labels(config)
        self.boxes: list[pd.DataFrame] = []
        self.points: list[pd.DataFrame] = []
        self.readings: list[pd.DataFrame] = []
        self.refused: list[tuple[str, int, str, str]] = []
        self.faults: dict[str, list[Finding]] = {}
        self.odd_times: dict[str, list[tuple[str, str, int]]] = {}
        self._names: dict[str, str] = {}
        self._shared: dict[str, str] = {}
        self._waiting: list[pd.DataFrame] = []

    def add(self, frame: pd.DataFrame, findings: list[Finding]) -> None:
        """Rows of one more file, and what was found while its cells were read."""
        self.files += findings
        self._waiting.append(frame)
        if sum(map(len, self._waiting)) >= _ROWS:
            self._take()

    def _take(self) -> None:
        """Take the rows that wait: of small files many at a time."""
        frame, self._waiting = pd.concat(self._waiting, ignore_index=True), []
        frame = filled(self._noted(with_images(frame, self.config)), self.config)
        place = self._noted(places_of(self._one_text_each(frame)))
        frame = frame.loc[place.index]  # first: assigning to an empty frame would add rows
        place = self._timed(place, frame)
        four = next(one for one in BOXES if set(one) <= set(frame))
        without = frame[four].apply(is_missing).all(axis=1)
        is_point = ~frame.reindex(columns=POINT, fill_value="").apply(is_missing).all(axis=1)
        place = place.assign(nothing=without & ~is_point)
        self._take_points(place, frame[is_point])
        drawn = frame[~without]
        edges = self._noted(edges_of(drawn, four))
        label = self._label(drawn["label"])
        unknown = drawn.loc[edges.index][label.loc[edges.index] == ""]
        bad_labels = [_unknown(row, self.labels) for row in first_of_case(unknown).itertuples()]
        edges = self._noted((edges.drop(index=unknown.index), {"label": bad_labels}))
        boxes = place.loc[edges.index, READING].join(edges)
        boxes = boxes.assign(label=label.loc[edges.index], source=drawn.loc[edges.index, "source"])
        self.boxes.append(boxes[[*READING, "label", *BOX, "source"]])
        lost = drawn.index.difference(edges.index)
        refused = zip(*(place.loc[lost, key] for key in READING), label.loc[lost], strict=True)
        self.refused += refused
        self.readings.append(_readings(place))

    def _take_points(self, place: pd.DataFrame, frame: pd.DataFrame) -> None:
        """The points of some rows."""
        if frame.empty:
            return
        where = self._noted(edges_of(frame, POINT))
        frame = whole_lines(frame, where.index)
        label = self._label(frame["label"])
        unknown = first_of_case(frame[label == ""]).itertuples()
        self._noted((where, {"label": [_unknown(row, self.labels) for row in unknown]}))
        good = frame[label != ""]
        said = good.get("positive", pd.Series("", index=good.index)).str.strip().str.lower()
        rows = place.loc[good.index, READING].assign(
            label=label[good.index],
            x=where.loc[good.index, "point_x"],
            y=where.loc[good.index, "point_y"],
            positive=~said.isin(_NEGATIVE),
            source=good["source"],
            scribble=good.get("scribble", pd.Series("", index=good.index)).str.strip(),
        )
        self.points.append(point_frame(list(rows.itertuples(index=False, name=None))))

    def draft(self) -> Draft:
        """All that was read."""
        if self._waiting or not self.boxes:
            self._take()
        boxes, self.boxes = pd.concat(self.boxes, ignore_index=True), []
        for name, odd in self.odd_times.items():
            self.faults[name] = _of_times(name, odd)
        faults = [fault for of_kind in self.faults.values() for fault in _first(of_kind)]
        return Draft(
            boxes=boxes,
            points=pd.concat([point_frame([]), *self.points], ignore_index=True),
            readings=_joined(pd.concat(self.readings, ignore_index=True)),
            findings=[*self.files, *faults, *self.labels.spellings()],
            refused=self.refused,
        )

    def _noted(self, found: tuple[pd.DataFrame, Faults]) -> pd.DataFrame:
        """What was found sound; the faults are kept by their kind."""
        sound, faults = found
        for kind, more in faults.items():
            self.faults.setdefault(kind, []).extend(more)
        return sound

    def _one_text_each(self, frame: pd.DataFrame) -> pd.DataFrame:
        """`frame` with one object for each name, instead of one for each cell."""
        share = self._shared.setdefault
        names = {key: [share(name, name) for name in frame[key]] for key in ("case", "rater")}
        return frame.assign(**names)

    def _label(self, texts: pd.Series) -> pd.Series:
        """Label of each text, "" where it is none."""
        for text in texts.unique():
            if text not in self._names:
                self._names[text] = self.labels.find(text) or ""
        return texts.map(self._names).astype(object)

    def _timed(self, place: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
        """`place` with ``time`` and ``seconds`` of the rows, nan where a row does not say them."""
        for name in [name for name in WHEN if name in frame]:
            self.faults.setdefault(name, [])
            values = frame[name].map(moment).astype(np.float64)
            odd = frame[values.isna() & (frame[name] != "")]
            if len(odd):
                first = odd.iloc[0]
                told = (str(first["source"]), str(first[name]), len(odd))
                self.odd_times.setdefault(name, []).append(told)
            place = place.assign(**{name: values})
        return place


def _of_times(name: str, odd: list[tuple[str, str, int]]) -> list[Finding]:
    """That times could not be read: of each file the first such row, its cell, and how many."""
    source, text, _ = odd[0]
    more = sum(n for _, _, n in odd) - 1
    message = (
        f"{source}: {name} is '{short(text)}' (and {more} more), which is no number of seconds and "
        "no date with time. It is taken as not known."
    )
    return [Finding(check="time-unknown", message=message)]


def _first(faults: list[Finding]) -> list[Finding]:
    """Of very many faults of one kind and case only the first, however many files have them."""
    counts: Counter[str | None] = Counter()
    kept = []
    for fault in faults:
        counts[fault.case] += 1
        if counts[fault.case] <= FAULTS_MAX:
            kept.append(fault)
    return kept


def _joined(readings: pd.DataFrame) -> pd.DataFrame:
    """One reading for each case, slice and rater, also of those that stand in several files."""
    if not readings.duplicated(READING).any():
        return readings
    return _readings(
        readings.assign(nothing=readings["state"] == ReadingState.REVIEWED_EMPTY.value)
    )


def _check_columns(columns: dict[str, str], where: str) -> None:
    unknown = [name for name in columns if name not in KNOWN]
    if unknown:
        raise InputError(f"{where}: 'columns' has '{unknown[0]}'; a table has {', '.join(KNOWN)}.")
    if not {"case", "image"} & columns.keys():
        raise InputError(f"{where}: 'columns' must say which column is case, or image.")
    if not any(set(one) <= columns.keys() for one in BOXES):
        ways = "; or ".join(", ".join(one) for one in BOXES)
        raise InputError(f"{where}: 'columns' must say which column is {ways}.")


def _unknown(row: Any, labels: Labels) -> Finding:
    message = f"label '{short(row.label)}' is not in [labels]: {labels.known}."
    if row.label == "":
        message = "has a box and no label. Where nothing was drawn, leave the box empty, too."
    return bad_line("unknown-class", message, row.source, case=row.case, rater=row.rater)


def _readings(place: pd.DataFrame) -> pd.DataFrame:
    """One reading for each case, slice and rater.

    It was reviewed where a row says that there is nothing; ``opened`` stands for the rest,
    until a box is found in it.
    """
    reviewed = place.groupby(READING, sort=False)["nothing"].any().to_numpy()
    state = np.where(reviewed, ReadingState.REVIEWED_EMPTY.value, ReadingState.OPENED.value)
    first = place.drop_duplicates(READING).drop(columns="nothing")
    for name in [name for name in WHEN if name in place]:  # the last row ends the reading
        first[name] = place.groupby(READING, sort=False)[name].max().to_numpy()
    return first.assign(labels="", state=state).reset_index(drop=True)


def _write_table(output: Output, folder: Path) -> dict[str, object]:
    """Write ``boxes.csv``: a row for each box and point, and for each reading without one."""
    columns = ["case", "slice", "rater", "label", *BOX]
    columns += [*POINT, "positive", "scribble"] * output.has_points + ["height", "width"]
    nothing = ("",) * 4 if output.has_points else ()
    with (folder / "boxes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for reading in output.readings():
            rows: list[tuple[object, ...]] = [(*box, *nothing) for box in reading.boxes]
            rows += [(label, "", "", "", "", *place, "") for label, *place in reading.points]
            for n, (label, places, said) in enumerate(reading.scribbles, start=1):
                rows += [(label, "", "", "", "", *place, said, n) for place in places]
            for row in rows or [("", "", "", "", "", *nothing)]:
                place = (reading.case, reading.slice, reading.rater)
                writer.writerow([*place, *row, reading.height, reading.width])
    return {"path": "boxes.csv", "columns": {name: name for name in columns}}


FORMAT = Format(
    title="table of boxes (.csv)",
    sniff=sniff_table,
    read=read_table,
    write=_write_table,
    holds_points=True,
    precedence=0,
)
