"""The tables that pass between the stages, and `Study`, the three that everything starts from.

A table is a tidy pandas frame whose columns stand once, as data, in ``columns.toml``: `TABLES`.
`conform` gives a frame exactly those columns and types, or says what is wrong with it.

Case, rater and label are text, `slice` is the index along the volume's slice axis from 0,
coordinates are px as in `crowdqc.geometry`. A column marked optional may hold nan (numbers)
or the empty text (text): "not known" or "pooled over it".
"""

from __future__ import annotations

import importlib.resources
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.checks import Scope, registered
from crowdqc.inferred import images_of, readings_of, single_labels, with_identifiers


class ReadingState(StrEnum):
    """What is known of one rater's reading of one slice."""

    BOXED = "boxed"
    """At least one box was drawn."""
    REVIEWED_EMPTY = "reviewed_empty"
    """The slice was looked at and nothing was drawn."""
    OPENED = "opened"
    """There is a file, but it says nothing: the slice may never have been looked at."""


@dataclass(frozen=True)
class Column:
    """A column of a table, or a measure: how it is stored, and what it means."""

    name: str
    kind: Literal["text", "int", "float", "bool"]
    optional: bool = False
    """Whether a value may be missing."""
    extra: bool = False
    """Whether the column is there only where it was measured."""
    title: str = ""
    unit: str = ""
    """Unit of a number; "1" for one without, "share" for a part of a whole."""
    about: str = ""
    """What it says, without a full stop."""
    group: str = ""
    """Of a measure: the table of the report that shows it by organ."""


_ABSENT: dict[str, object] = {"text": "", "int": 0, "float": np.nan, "bool": False}
"""What an optional column holds in a table that came without it."""


def _column(name: str, declared: dict[str, Any]) -> Column:
    kind = declared.pop("kind", "float?")
    return Column(name, kind.rstrip("?"), optional=kind.endswith("?"), **declared)


def _declared() -> dict[str, dict[str, dict[str, Any]]]:
    text = importlib.resources.files("crowdqc").joinpath("columns.toml").read_text("utf-8")
    return tomllib.loads(text)


_DATA = _declared()

TABLES: dict[str, tuple[Column, ...]] = {
    table: tuple(_column(name, one) for name, one in columns.items())
    for table, columns in _DATA["table"].items()
}
"""Columns of each table, in order. A table may carry more columns behind these."""

MEASURES: dict[str, Column] = {name: _column(name, one) for name, one in _DATA["measure"].items()}
"""Measures of the table ``measurements``, by name."""

IF_READ = "_if_read"
"""End of the name of a measure for which slices that were only opened count as read."""


def column_of(table: str, name: str) -> Column:
    """What is declared of a column; one of another package's check is declared by the check.

    Parameters
    ----------
    table : str
        A key of `TABLES`.
    name : str
        Name of a column; any name gets a title at least.

    Returns
    -------
    Column
        Of an undeclared column its name as words is the title.
    """
    declared = {column.name: column for column in TABLES[table]}
    if name in declared:
        return declared[name]
    of: Scope = "rater" if table == "raters" else "run"
    measures = [one for check in registered(of) for one in check.measures if one.name == name]
    title = name.replace("_", " ").capitalize()
    unit, about = (measures[0].unit, measures[0].about) if measures else ("", "")
    return Column(name, "float", optional=True, extra=True, title=title, unit=unit, about=about)


BOX = ["x0", "y0", "x1", "y1"]
"""Columns of a box: its left, upper, right and lower edge."""
INTERPOLATED = "interpolated"
"""Mark, in the column ``method``, of a fused box that is interpolated."""
SPREAD = [f"spread_{edge}" for edge in BOX]
IMAGE, ORGAN = ["case", "slice"], ["case", "label"]
PLACE = [*IMAGE, "label"]
READING = [*IMAGE, "rater"]
RUN = [*ORGAN, "rater"]
KEYS = {"images": IMAGE, "readings": READING, "boxes": ["box"]}


class SchemaError(ValueError):
    """A frame that is not the table it is meant to be: a fault of code, not of the user."""


def empty(table: str) -> pd.DataFrame:
    """The named table with its columns and no row."""
    names = [column.name for column in TABLES[table] if not column.extra]
    return conform(table, pd.DataFrame({name: [] for name in names}))


def conform(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` as the named table: its columns first and in order, each of its own type.

    Parameters
    ----------
    table : str
        A key of `TABLES`.
    frame : DataFrame
        Optional columns may be absent; further columns are kept, behind.

    Returns
    -------
    DataFrame
        A new frame with a fresh index. A missing number is nan, a missing text is "".

    Raises
    ------
    SchemaError
        If a column is absent, holds nothing where it must, or holds another type.
    """
    columns = [c for c in TABLES[table] if not c.extra or c.name in frame.columns]
    absent = [c.name for c in columns if not c.optional and c.name not in frame.columns]
    if absent:
        raise SchemaError(f"Table '{table}' lacks {absent}; got {list(frame.columns)}.")
    known = {column.name for column in columns}
    data = {column.name: _typed(table, column, frame) for column in columns}
    data |= {name: frame[name].to_numpy() for name in frame.columns if name not in known}
    return pd.DataFrame(data)


def _typed(table: str, column: Column, frame: pd.DataFrame) -> pd.Series:
    if column.name not in frame.columns:
        values = pd.Series([_ABSENT[column.kind]] * len(frame), dtype=object)
    else:
        values = frame[column.name].reset_index(drop=True)
    missing = values.isna()
    if missing.any() and not column.optional:
        row = int(missing.to_numpy().argmax())
        raise SchemaError(f"Table '{table}', column '{column.name}': row {row} is empty.")
    try:
        match column.kind:
            case "text":
                text = values.astype("str")
                return text.where(~missing, "") if missing.any() else text
            case "int":
                return _whole(values)
            case "float":
                return values.astype(np.float64)
            case "bool":
                return values.astype(bool)
    except (TypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            f"Table '{table}', column '{column.name}' must be {column.kind}: {error}"
        ) from error


def _whole(values: pd.Series) -> pd.Series:
    whole = values.astype(np.int64)
    if not (whole == values).all():
        raise ValueError("not whole numbers")
    return whole


@dataclass(frozen=True)
class Study:
    """Images, readings and boxes of one study: checked once, when it is made.

    Parameters
    ----------
    name : str
        Name of the study.
    labels : tuple of str
        Names of all labels, in the order of the study file.
    images, readings, boxes : DataFrame
        As in `TABLES`. Every reading is of an image, every box belongs to a reading whose
        rater was asked for its label, and has ``x0 < x1`` and ``y0 < y1``.
    rater_scope : {"study", "case"}
        Whether one name means one person in the whole study, or only within a case
        (LIDC: reader 0 of two scans is not the same person).
    single : frozenset of str
        Labels of which a slice holds one object at most (organs); the rest may repeat.
    points : DataFrame
        Points that raters set, as in `TABLES`: prompts for models, never compared.

    Raises
    ------
    SchemaError
        If the tables do not fit together.
    """

    name: str
    labels: tuple[str, ...]
    images: pd.DataFrame
    readings: pd.DataFrame
    boxes: pd.DataFrame
    rater_scope: Literal["study", "case"] = "study"
    single: frozenset[str] = frozenset()
    points: pd.DataFrame = field(default_factory=lambda: empty("points"))

    def __post_init__(self) -> None:
        for table in ("images", "readings", "boxes"):
            object.__setattr__(self, table, conform(table, getattr(self, table)))
            _check_key(table, getattr(self, table))
        object.__setattr__(self, "points", conform("points", self.points))
        if (self.images["slice"] < 0).any():
            raise SchemaError(f"Slices count from 0; got {self.images['slice'].min()}.")
        _check_reference(self.readings, "readings", target="images", other=self.images)
        _check_reference(self.boxes, "boxes", target="readings", other=self.readings)
        self._check_boxes()

    @classmethod
    def from_boxes(
        cls,
        boxes: pd.DataFrame,
        *,
        name: str = "study",
        readings: pd.DataFrame | None = None,
        shape: tuple[int, int] | None = None,
        labels: Sequence[str] | None = None,
        single: Iterable[str] | None = None,
    ) -> Study:
        """A study of which only the boxes need to be known; the rest is inferred from them.

        Parameters
        ----------
        boxes : DataFrame
            ``case, slice, rater, label, x0, y0, x1, y1``: a row for each box, in px, with the
            origin at the outer corner of the first pixel. Further columns are kept.
        name : str
            Name of the study.
        readings : DataFrame, optional
            ``case, slice, rater, state``: who has looked at what. None: whoever drew a box in a
            case has read each of its slices from the first to the last that has a box of anybody,
            and found nothing where no own box is.
        shape : (int, int), optional
            Height and width of the pictures in px. None: they reach to the outermost box of
            their case.
        labels : sequence of str, optional
            Names of all labels. None: those of the boxes, in natural order.
        single : iterable of str, optional
            Labels of which a slice holds one object at most. None: those of which nobody drew
            two boxes on one slice.

        Returns
        -------
        Study
            Every rater was asked for every label, unless `readings` has a column `labels`.

        Raises
        ------
        SchemaError
            If a column is absent, a value is missing or of the wrong type, or a box is empty,
            reversed or of no reading.

        Examples
        --------
        >>> columns = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
        >>> rows = [("1", 0, "a", "liver", 10, 10, 30, 20), ("1", 2, "b", "liver", 9, 9, 30, 21)]
        >>> study = Study.from_boxes(pd.DataFrame(rows, columns=columns))
        >>> study.raters, len(study.images), study.readings["state"].value_counts().to_dict()
        (['a', 'b'], 3, {'reviewed_empty': 4, 'boxed': 2})
        """
        boxes = conform("boxes", with_identifiers(boxes))
        if not np.isfinite(boxes[BOX].to_numpy()).all():
            raise SchemaError("Boxes must be finite numbers of px; got nan or infinity.")
        read = conform("readings", readings_of(boxes) if readings is None else readings)
        return cls(
            name=name,
            labels=tuple(natural_order(boxes["label"].unique()) if labels is None else labels),
            images=images_of(read, boxes, shape),
            readings=read,
            boxes=boxes,
            single=single_labels(boxes) if single is None else frozenset(single),
        )

    @property
    def raters(self) -> list[str]:
        """All raters, in natural order."""
        return natural_order(self.readings["rater"].unique())

    @property
    def cases(self) -> list[str]:
        """All cases, in natural order."""
        return natural_order(self.images["case"].unique())

    def asked(self) -> pd.DataFrame:
        """One row per reading and label that its rater was asked for.

        Returns
        -------
        DataFrame
            ``case, slice, rater, label, state``: the readings, once for each label.
        """
        readings = self.readings
        everything = list(self.labels)
        labels = [text.split(" ") if text else everything for text in readings["labels"]]
        asked = readings[["case", "slice", "rater"]].assign(label=labels, state=readings["state"])
        return asked.explode("label", ignore_index=True)

    def _check_boxes(self) -> None:
        boxes = self.boxes
        unknown = sorted(set(boxes["label"].unique()) - set(self.labels))
        if unknown:
            raise SchemaError(f"Boxes carry labels that the study does not have: {unknown}.")
        corners = boxes[BOX].to_numpy()
        bad = ~np.isfinite(corners).all(axis=1) | (corners[:, 2:] <= corners[:, :2]).any(axis=1)
        if bad.any():
            row = boxes.iloc[int(bad.argmax())]
            raise SchemaError(f"A box is empty, reversed or not finite: {row.to_dict()}.")


def _check_key(table: str, frame: pd.DataFrame) -> None:
    twice = frame.duplicated(KEYS[table])
    if twice.any():
        row = frame.loc[twice.to_numpy().argmax(), KEYS[table]].to_dict()
        raise SchemaError(f"Table '{table}' has {row} more than once.")


def _check_reference(frame: pd.DataFrame, table: str, *, target: str, other: pd.DataFrame) -> None:
    key = KEYS[target]
    absent = ~stands_in(other, frame, key)
    if absent.any():
        row = frame.loc[absent.argmax(), key].to_dict()
        raise SchemaError(f"Table '{table}' has {row}, which is not in '{target}'.")


def stands_in(other: pd.DataFrame, frame: pd.DataFrame, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Whether the keys of each row of a frame are those of some row of another.

    Parameters
    ----------
    other : DataFrame
        Rows that are looked among; may be none.
    frame : DataFrame
        N rows: the result has shape (N,).
    keys : sequence of str
        Columns of both.
    """
    code = np.zeros(len(frame) + len(other), dtype=np.int64)
    for key in keys:
        both = pd.concat([frame[key], other[key]], ignore_index=True)
        part, names = pd.factorize(both)
        code = code * len(names) + part
    return np.isin(code[: len(frame)], code[len(frame) :])


def natural_order(names: Iterable[str]) -> list[str]:
    """Sorted so that numbers in names count as numbers: ``r2`` before ``r10``.

    Examples
    --------
    >>> natural_order(["r10", "r2", "a"])
    ['a', 'r2', 'r10']
    """

    def key(name: str) -> tuple[Sequence[tuple[int, int, str]], str]:
        return [_chunk(part) for part in re.findall(r"\d+|\D+", name)], name

    return sorted(names, key=key)


def _chunk(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)
