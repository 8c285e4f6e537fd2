"""Cells of a table of boxes: texts, and what is sound of them as places and edges.

Each function gives the rows that are sound, and findings about the others, by kind.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.config import SIDE_MAX, Config
from crowdqc.findings import Finding, InputError
from crowdqc.formats.csvfile import MISSING
from crowdqc.formats.draft import FAULTS_MAX, SLICE_MAX, bad_line
from crowdqc.formats.files import not_a_number, parse_number, short
from crowdqc.formats.patterns import Name
from crowdqc.schema import BOX

SIZE = ["box_width", "box_height"]
CENTRE = ["x_centre", "y_centre"]
POINT = ["point_x", "point_y"]
Faults = dict[str, list[Finding]]
"""What is reported row by row, by kind: all of one kind come before those of the next."""


def with_images(frame: pd.DataFrame, config: Config) -> tuple[pd.DataFrame, Faults]:
    """With case and slice as the names of images say them, where there are such names.

    Parameters
    ----------
    frame : DataFrame
        Texts, under our names of the columns, with ``source``.
    config : Config
        Of the study file.
    """
    if "image" not in frame:
        return frame, {}
    rule = config.annotations.image or "{case}"
    matcher = Name(rule)
    fields = {name: matcher.fields(name) for name in frame["image"].unique()}
    names_read = [fields[name] for name in frame["image"]]
    odd = frame[[one is None for one in names_read]]
    findings = [
        bad_line("image-name", f"'{short(row.image)}' does not fit image = '{rule}'.", row.source)
        for row in odd.head(FAULTS_MAX).itertuples()
    ]
    known = [one for one in names_read if one is not None]
    frame = frame.drop(index=odd.index)
    for key in {key for one in known for key in one} - {"rater"}:
        frame = frame.assign(**{key: [one[key] for one in known]})
    return frame.assign(case=frame.get("case", config.study.name)), {"image": findings}


def filled(frame: pd.DataFrame, config: Config) -> pd.DataFrame:
    """With columns that the file leaves out, from the study file.

    Parameters
    ----------
    frame, config
        As of `with_images`.

    Raises
    ------
    InputError
        If there is no column of labels, and the study has several.
    """
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


def places_of(frame: pd.DataFrame) -> tuple[pd.DataFrame, Faults]:
    """``case, slice, rater`` (and ``height, width``) of the rows where all of them are sound."""
    unnamed = (frame[["case", "rater"]] == "").any(axis=1)
    faults = {
        "name": [
            bad_line("name-missing", "has no case or no rater.", row.source)
            for row in frame[unnamed].head(FAULTS_MAX).itertuples()
        ]
    }
    place = frame.loc[~unnamed, ["case", "rater"]]
    for name in [name for name in ("slice", "height", "width") if name in frame]:
        values, bad = _parsed(frame.loc[place.index, name])
        least, most = (0, SLICE_MAX) if name == "slice" else (1, SIDE_MAX)
        bad |= ~((values >= least) & (values <= most) & (values % 1 == 0))
        faults[name] = _not_a_number(frame.loc[place.index][bad], name, "a whole number")
        place = place[~bad].assign(**{name: values[~bad].astype(np.int64)})
    return place, faults


def edges_of(frame: pd.DataFrame, four: list[str]) -> tuple[pd.DataFrame, Faults]:
    """``x0, y0, x1, y1`` of the rows where all four are numbers (nan and inf are judged later).

    Parameters
    ----------
    frame : DataFrame
        As of `with_images`.
    four : list of str
        Columns that say where a box is; or `POINT`, whose numbers stay as they are.
    """
    faults: Faults = {}
    values = pd.DataFrame(index=frame.index)
    for name in four:
        numbers, bad = _parsed(frame.loc[values.index, name])
        faults[name] = _not_a_number(frame.loc[values.index][bad], name, "a number")
        values = values[~bad].assign(**{name: numbers[~bad]})
    if four in (BOX, POINT):
        return values, faults
    start, size = values[four[:2]].to_numpy(), values[SIZE].to_numpy()
    with np.errstate(invalid="ignore", over="ignore"):  # what comes of it is judged later
        start = start - size / 2 if four[:2] == CENTRE else start
        corners = dict(zip(BOX, np.hstack([start, start + size]).T, strict=True))
    return pd.DataFrame(corners, index=values.index), faults


def is_missing(cells: pd.Series) -> pd.Series:
    """Where cells are empty, or hold a word that programs write for that."""
    return cells.str.lower().isin(MISSING)


def whole_lines(frame: pd.DataFrame, sound: pd.Index) -> pd.DataFrame:
    """The sound rows with a point, without the others of a scribble of which one is not.

    Parameters
    ----------
    frame : DataFrame
        Rows with a point, as of `with_images`.
    sound : Index
        Of the rows whose point is sound.
    """
    if "scribble" not in frame:
        return frame.loc[sound]
    keys = [name for name in ("case", "slice", "image", "rater", "label") if name in frame]
    bad = pd.Series(~frame.index.isin(sound), frame.index)
    broken = bad.groupby([frame[key] for key in [*keys, "scribble"]]).transform("any")
    return frame[~bad & ~(broken & (frame["scribble"].str.strip() != ""))]


def first_of_case(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows to report one by one: of very many of a case only the first."""
    return rows[rows.groupby("case").cumcount() < FAULTS_MAX]


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
            f"{name} is {not_a_number(getattr(row, name), kind)}",
            row.source,
            case=row.case,
        )
        for row in first_of_case(rows).itertuples()
    ]
