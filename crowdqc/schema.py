"""The tables that pass between the stages, and `Study`, the three that everything starts from.

A table is a tidy pandas frame whose columns stand here, once, as data: `TABLES`. `conform`
gives a frame exactly those columns and types, or says what is wrong with it.

Case, rater and label are text, `slice` is the index along the volume's slice axis from 0,
coordinates are px as in `crowdqc.geometry`. A column marked optional may hold nan (numbers)
or the empty text (text): "not known" or "pooled over it".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray


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
    """One column: its name, its kind, and whether a value may be missing."""

    name: str
    kind: Literal["text", "int", "float", "bool"]
    optional: bool = False


_ABSENT: dict[str, object] = {"text": "", "int": 0, "float": np.nan, "bool": False}
"""What an optional column holds in a table that came without it."""


def _columns(text: str) -> tuple[Column, ...]:
    """Columns from ``"name:kind name:kind?"``; ``?`` marks an optional one."""
    columns = []
    for word in text.split():
        name, kind = word.rstrip("?").split(":")
        columns.append(Column(name, kind, optional=word.endswith("?")))  # type: ignore[arg-type]
    return tuple(columns)


_SCORES = (
    "set:text case:text slice:float? label:text dice:float? surface_dice:float? hd95_mm:float?"
)
_COMPARISON = (
    "label:text a:text b:text n:int mean_a:float? ci_a:float? mean_b:float? ci_b:float? "
    "difference:float? low:float? high:float? test:text? statistic:float? p:float? "
    "p_holm:float? effect:float? shapiro_p:float? detectable:float? why:text?"
)

TABLES: dict[str, tuple[Column, ...]] = {
    "images": _columns(
        "case:text slice:int height:int width:int "
        "spacing_x:float? spacing_y:float? spacing_z:float? path:text?"
    ),
    "readings": _columns("case:text slice:int rater:text labels:text? state:text"),
    "boxes": _columns(
        "box:int case:text slice:int rater:text label:text "
        "x0:float y0:float x1:float y1:float source:text?"
    ),
    "measurements": _columns(
        "measure:text case:text? slice:float? rater:text? label:text? value:float? "
        "low:float? high:float? n:int unit:text? why:text? other:text?"
    ),
    "raters": _columns(
        "rater:text n_cases:int n_slices:int n_boxes:int "
        "agreement:float? agreement_low:float? agreement_high:float? reliability:float? "
        "miss_rate:float? extra_rate:float? shift_x:float? shift_y:float? size_ratio:float? "
        "weight:float? verdict:text? reasons:text? faults:text?"
    ),
    "consensus": _columns(
        "case:text slice:int label:text x0:float? y0:float? x1:float? y1:float? "
        "support:int n_raters:int score:float? "
        "spread_x0:float? spread_y0:float? spread_x1:float? spread_y1:float? "
        "raters:text? method:text state:text"
    ),
    "completeness": _columns(
        "case:text label:text rater:text? state:text n_slices:int first:float? last:float? "
        "n_gaps:int gap_slices:text? truncated:text? coverage:float? reasons:text? "
        "lost_slices:text? ends:text? length_ratio:float? faults:text?"
    ),
    "masks": _columns(
        "case:text slice:int label:text model:text n_prompts:int area_px:int "
        "predicted_iou:float? stability:float? entropy:float? mutual_information:float? "
        "pairwise_dice:float? expected_dice:float? box_iou:float? z_dice:float? "
        "interpolated:bool risk:float? "
        "mutual_information_between_raters:float? mutual_information_within_raters:float? "
        "model_dice:float? "
        "reprompted:bool? removed_px:int? filled_px:int?"
    ),
    "todo": _columns(
        "rater:text case:text label:text? task:text slices:text? n_slices:int why:text"
    ),
    "scores": _columns(_SCORES),
    "comparison": _columns(_COMPARISON),
    "model_scores": _columns(_SCORES),
    "model_comparison": _columns(_COMPARISON),
}
"""Columns of each table, in order. A table may carry more columns behind these."""

KEYS = {
    "images": ["case", "slice"],
    "readings": ["case", "slice", "rater"],
    "boxes": ["box"],
}

BOX = ["x0", "y0", "x1", "y1"]
"""Columns of a box: its left, upper, right and lower edge."""


class SchemaError(ValueError):
    """A frame that is not the table it is meant to be: a fault of code, not of the user."""


def empty(table: str) -> pd.DataFrame:
    """The named table with all its columns and no row."""
    return conform(table, pd.DataFrame({column.name: [] for column in TABLES[table]}))


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
    columns = TABLES[table]
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

    def __post_init__(self) -> None:
        for table in ("images", "readings", "boxes"):
            object.__setattr__(self, table, conform(table, getattr(self, table)))
            _check_key(table, getattr(self, table))
        _check_reference(self.readings, "readings", target="images", other=self.images)
        _check_reference(self.boxes, "boxes", target="readings", other=self.readings)
        self._check_boxes()

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
        everything = " ".join(self.labels)
        labels = readings["labels"].where(readings["labels"] != "", everything).str.split(" ")
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
    """Whether the `keys` of each row of `frame` are those of some row of `other`, shape (N,)."""
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
        return [_chunk(part) for part in _split_digits(name)], name

    return sorted(names, key=key)


def _split_digits(name: str) -> list[str]:
    parts: list[str] = []
    for char in name:
        if parts and parts[-1][-1].isdecimal() == char.isdecimal():
            parts[-1] += char
        else:
            parts.append(char)
    return parts


def _chunk(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)
