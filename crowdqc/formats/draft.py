"""From what a format says to a checked `Study`: the rules that all formats share.

A reader fills a `Draft`: what it read, line by line, with the place of each. `to_study`
then applies the rules once for all of them: a row that breaks one becomes a finding and is
left out, the rest is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError
from crowdqc.formats.images import sizes_of
from crowdqc.formats.states import infer_states
from crowdqc.geometry import yolo_to_pixels
from crowdqc.schema import BOX, Study, empty, natural_order
from crowdqc.text import count

TOLERANCE = 1e-4
"""How far beyond the image, as a fraction of its side, a box may reach: tools round so."""

FRACTIONS = ["x_centre", "y_centre", "box_width", "box_height"]
"""Columns of boxes, as fractions of the image, whose size is not known yet."""

LINE_KEYS = ["case", "slice", "rater", "label", "scribble"]
"""What the corners of one scribble share; where `scribble` is "", they are points."""
POINT_KEYS = [*LINE_KEYS, "x", "y", "positive"]
"""What makes a point itself."""

SLICE_MAX = 2**31
"""Largest slice number that makes sense."""
FAULTS_MAX = 1000
"""Faults of one kind that are reported one by one for each case and file; the rest are counted."""


@dataclass
class Draft:
    """What a reader read.

    `boxes` has ``case, slice, rater, label, x0, y0, x1, y1, source`` (px; or, instead of the
    corners, `FRACTIONS`), `readings` has ``case, slice, rater, labels, state`` (and
    ``height, width`` where the format says them), where the state ``""`` is still to be inferred.
    """

    boxes: pd.DataFrame
    readings: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)
    points: pd.DataFrame = field(default_factory=lambda: point_frame([]))
    """``case, slice, rater, label, x, y, positive, source, scribble`` in px."""
    refused: list[tuple[str, int, str, str]] = field(default_factory=list)
    """Case, slice, rater and label (or "") of all that the reader left out."""

    @property
    def in_fractions(self) -> bool:
        """Whether boxes are fractions of their image."""
        return FRACTIONS[0] in self.boxes


def box_frame(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """The `boxes` of a draft from its rows, with its types even where there is no row."""
    columns = ["case", "slice", "rater", "label", *BOX, "source"]
    types = {"slice": np.int64, **dict.fromkeys(BOX, np.float64)}
    return pd.DataFrame(rows, columns=columns).astype(types)


def point_frame(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """The `points` of a draft from its rows, with its types even where there is no row."""
    columns = ["case", "slice", "rater", "label", "x", "y", "positive", "source", "scribble"]
    types = {"slice": np.int64, "x": np.float64, "y": np.float64, "positive": bool}
    return pd.DataFrame(rows, columns=columns).astype(types)


def to_pixels(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Boxes in `FRACTIONS` of their image as boxes in px.

    Parameters
    ----------
    boxes : DataFrame
        ``case, slice`` and `FRACTIONS`.
    images : DataFrame
        ``case, slice, height, width`` of every image that has a box.

    Returns
    -------
    boxes : DataFrame
        The same rows with ``x0, y0, x1, y1`` instead; what is too large for a number is not finite.
    """
    corners = yolo_to_pixels(boxes[FRACTIONS].to_numpy(np.float64), height=1.0, width=1.0)
    with np.errstate(over="ignore"):  # what is not finite is refused with its line
        corners = corners * np.tile(sizes_of(boxes, images), 2)
    return boxes.drop(columns=FRACTIONS).assign(**dict(zip(BOX, corners.T, strict=True)))


def bad_line(check: str, message: str, source: str, **where: object) -> Finding:
    """Finding about one malformed line, which is left out.

    Parameters
    ----------
    check : str
        One of ``checks.toml``.
    message : str
        Sentences about the line.
    source : str
        File and line, as ``amy/img1.txt:3``.
    **where : object
        Further fields of the finding: case, slice, rater, label.
    """
    return Finding(
        check=check,
        message=f"{source}: {message} The line is left out.",
        source=source,
        **where,  # type: ignore[arg-type]
    )


def file_finding(check: str, file: str, message: str) -> Finding:
    """Finding about one file; `file` is how messages name it.

    Parameters
    ----------
    check : str
        One of ``checks.toml``.
    file : str
        As messages name it: see `crowdqc.formats.files.relative`.
    message : str
        A sentence that follows the name.
    """
    return Finding(check=check, message=f"{file}: {message}", source=file)


def to_study(
    draft: Draft, config: Config, images: pd.DataFrame, *, owed: pd.DataFrame | None = None
) -> tuple[Study, list[Finding]]:
    """Apply the common rules and build the study.

    Parameters
    ----------
    draft : Draft
        What the reader read.
    config : Config
        The study file.
    images : DataFrame
        The table `images`: one row for each slice that is known, and for each that was read.
    owed : DataFrame, optional
        ``case, slice, rater`` of what was assigned.

    Returns
    -------
    study : Study
        Everything that is sound.
    findings : list of Finding
        The reader's own, and one for each row that was left out or mended.
    """
    boxes = draft.boxes
    points, bad_points = _sound_points(draft.points, images)
    sound, bad = _sound(boxes, images, clip=config.annotations.outside == "clip")
    refused = [*draft.refused, *_rows(boxes.drop(index=sound.index))]
    readings = _left_open(draft.readings, refused, sound, labels=config.label_names)
    readings = readings.drop(columns=["height", "width"], errors="ignore")
    readings, notes = infer_states(readings, sound, rule=config.annotations.empty_file, owed=owed)
    if readings.empty:
        raise InputError(f"{config.file}: the annotations hold no reading at all.")
    study = Study(
        name=config.study.name,
        labels=config.label_names,
        images=images,
        readings=in_order(readings, ["case", "slice", "rater"]),
        boxes=_numbered(sound),
        rater_scope=config.annotations.rater_scope,
        single=frozenset(label.name for label in config.labels.values() if label.single),
        points=numbered_points(points),
    )
    return study, [*draft.findings, *bad, *bad_points, *notes]


def _sound_points(points: pd.DataFrame, images: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Points within their image, each once, and a finding for each that is not.

    A scribble is left out whole where one of its corners is.
    """
    if points.empty:
        return points, []
    size = sizes_of(points, images)
    place = points[["x", "y"]].to_numpy(np.float64)
    within = (place >= -TOLERANCE * size) & (place <= (1 + TOLERANCE) * size)
    bad = ~within.all(axis=1)  # nan is nowhere
    findings = [
        bad_line(
            "point-outside-image",
            f"the point ({row.x:g}, {row.y:g}) px in an image of {width:g} x {height:g} lies "
            f"outside; a {'scribble is drawn' if row.scribble else 'point is set'} on the image.",
            str(row.source),
            case=row.case,
            slice=int(row.slice),
            rater=row.rater,
            label=row.label,
        )
        for row, (width, height) in _first_of_each(points, size, bad)
    ]
    x, y = np.clip(place, 0.0, size).T
    lines = points["scribble"] != ""
    lost = bad | (lines & pd.Series(bad, points.index).groupby(_keys(points)).transform("any"))
    again = ~lines & points.duplicated(POINT_KEYS)
    return points.assign(x=x, y=y)[~lost & ~again], findings


def _keys(points: pd.DataFrame) -> list[pd.Series]:
    return [points[key] for key in LINE_KEYS]


def numbered_points(points: pd.DataFrame) -> pd.DataFrame:
    """Points in natural order, with their numbers, and scribbles with theirs."""
    points = in_order(points, ["case", "slice", "rater", "label"])
    lines = points.groupby(_keys(points), sort=False)
    drawn = (points["scribble"] != "") & (lines["x"].transform("size") > 1)
    numbers = pd.Series("", points.index, dtype=object)
    numbers[drawn] = (pd.factorize(lines.ngroup()[drawn])[0] + 1).astype(str)
    return points.assign(point=np.arange(len(points)), scribble=numbers)


def _sound(
    boxes: pd.DataFrame, images: pd.DataFrame, *, clip: bool
) -> tuple[pd.DataFrame, list[Finding]]:
    """Boxes that keep all rules, and a finding for each that does not."""
    if boxes.empty:
        return empty("boxes").drop(columns="box"), []
    size = np.tile(sizes_of(boxes, images), 2)
    corners = boxes[BOX].to_numpy(np.float64)
    finite = np.isfinite(corners).all(axis=1)
    limit = np.inf if clip else TOLERANCE * size
    outside = finite & (np.maximum(-corners, corners - size) > limit).any(axis=1)
    corners = np.where(outside[:, None], corners, np.clip(corners, 0.0, size))
    reversed_ = finite & ~outside & (corners[:, 2:] <= corners[:, :2]).any(axis=1)
    twice = _repeated(boxes) & finite & ~reversed_ & ~outside
    rules = [
        (~finite, "box-not-finite", "is not finite; coordinates must be finite numbers."),
        (reversed_, "box-empty", "has no area; a box needs a width and a height above zero."),
        (outside, "box-outside-image", "reaches beyond the image; boxes must lie inside it."),
        (twice, "box-twice", "stands a second time; each box is drawn once."),
    ]
    findings = [
        _broken(row, row_size, check=check, rule=rule)
        for mask, check, rule in rules
        for row, row_size in _first_of_each(boxes, size, mask)
    ]
    good = finite & ~reversed_ & ~outside & ~twice
    mended = boxes.assign(**dict(zip(BOX, corners.T, strict=True)))[good]
    return mended, sorted(findings, key=_place) + _clipped(boxes[good], mended)


def _first_of_each(
    boxes: pd.DataFrame, size: np.ndarray, mask: np.ndarray
) -> Iterable[tuple[Any, np.ndarray]]:
    """Rows chosen by `mask` with their sizes; of very many in one case and file only the first."""
    rows = boxes[mask]
    if len(rows) > FAULTS_MAX:
        file = rows["source"].str.rpartition(":")[0]
        few = (rows.groupby([rows["case"], file]).cumcount() < FAULTS_MAX).to_numpy()
        rows, size = rows[few], size[mask][few]
    else:
        size = size[mask]
    return zip(rows.itertuples(index=False), size, strict=True)


def _rows(boxes: pd.DataFrame) -> Iterable[tuple[str, int, str, str]]:
    return boxes[["case", "slice", "rater", "label"]].itertuples(index=False, name=None)


def _left_open(
    readings: pd.DataFrame,
    refused: Sequence[tuple[str, int, str, str]],
    sound: pd.DataFrame,
    *,
    labels: Sequence[str],
) -> pd.DataFrame:
    """Readings of which something was left out say nothing of what it was.

    One without any box was opened only; in another one, a label of which all was left out is not
    among those that were asked for.
    """
    if not refused:
        return readings
    known = set(_rows(sound))
    boxed = {row[:3] for row in known}
    lost: dict[tuple[str, int, str], set[str]] = {}
    for row in refused:
        lost.setdefault(row[:3], set()).update(() if row in known else row[3:])
    state, asked = [], []
    for one in readings.itertuples():
        place = (one.case, one.slice, one.rater)
        names = one.labels.split() or labels
        left = [name for name in names if name not in lost.get(place, ())]
        state.append("opened" if place in lost else one.state)
        partly = place in boxed and 0 < len(left) < len(names)
        asked.append(" ".join(left) if partly else one.labels)
    return readings.assign(state=state, labels=asked)


def _repeated(boxes: pd.DataFrame) -> np.ndarray:
    """Whether a row stood before, shape (N,); only the few that share all edges are compared."""
    alike = pd.util.hash_pandas_object(boxes[BOX] + 0.0, index=False).duplicated(keep=False)
    repeated = alike.to_numpy(copy=True)
    repeated[repeated] = boxes[repeated].duplicated(["case", "slice", "rater", "label", *BOX])
    return repeated


def _broken(row: Any, size: np.ndarray, *, check: str, rule: str) -> Finding:
    box = ", ".join(f"{getattr(row, edge):g}" for edge in BOX)
    message = f"the box ({box}) px in an image of {size[0]:g} x {size[1]:g} {rule}"
    where = {"case": row.case, "slice": int(row.slice), "rater": row.rater, "label": row.label}
    return bad_line(check, message, str(row.source), **where)


def _place(finding: Finding) -> tuple[str, int]:
    file, _, line = (finding.source or "").rpartition(":")
    return file, int(line) if line.isdecimal() else 0


def _clipped(before: pd.DataFrame, after: pd.DataFrame) -> list[Finding]:
    change = (before[BOX] - after[BOX]).abs().max(axis=1)
    changed = change[change > 1e-9]
    if changed.empty:
        return []
    first = before.loc[changed.idxmax()]
    message = (
        f"clipped to their image: {count(len(changed), 'box')}, which reached beyond it by "
        f"{changed.max():.3g} px at most ({first['source']})."
    )
    note = Finding(
        check="box-clipped",
        message=message,
        value=float(len(changed)),
        source=first["source"],
    )
    return [note]


def _numbered(boxes: pd.DataFrame) -> pd.DataFrame:
    boxes = in_order(boxes, ["case", "slice", "rater", "label"])
    return boxes.assign(box=np.arange(len(boxes)))


def in_order(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """In natural order of the keys; rows that are equal in them stay in reading order.

    Parameters
    ----------
    frame : DataFrame
        With the columns `keys`.
    keys : sequence of str
        The most important first; ``slice`` holds numbers, all others text.

    Returns
    -------
    DataFrame
        The same rows, numbered anew.
    """
    ranks = []
    for key in keys:
        if key == "slice":
            ranks.append(frame[key].to_numpy())
        else:
            code, names = pd.factorize(frame[key])
            place = {name: rank for rank, name in enumerate(natural_order(names))}
            ranks.append(np.array([place[name] for name in names])[code])
    return frame.iloc[np.lexsort(ranks[::-1])].reset_index(drop=True)
