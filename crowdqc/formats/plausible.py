"""What cannot be right although every line is sound: nobody shares an image, no box fits a size.

What a tool or a person did to all boxes of a study may also have been done to those of one rater.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

from crowdqc.findings import Finding
from crowdqc.formats.images import sizes_of
from crowdqc.geometry import pairwise_iou
from crowdqc.schema import BOX, Study, natural_order
from crowdqc.text import count

CORNER = 0.5
"""Share of both sides of its image within which all boxes of a study never lie."""
BOXES_LEAST = 10
"""Boxes from which on that says something."""
SLICES_LEAST = 2
BEYOND = 0.1
"""Share of boxes beyond their images from which on the numbers may mean something else."""
SLICES_TRIED = 200
SAME_PLACE = 0.5
"""IoU of two boxes that are of one object."""
SAME_LEAST = 3
"""Slices on which two labels lie at one place, and their share of those that have both, from which
on they may be one label."""
SAME_SHARE = 0.7
SHOWN = 12
"""Labels that are named."""
SEVERAL = 0.2
"""Share of slices with several boxes of a label which has one from which on these are reported."""


def implausible(study: Study, drawn: pd.DataFrame, *, in_px: bool) -> list[Finding]:
    """Findings about a study as a whole.

    Parameters
    ----------
    study : Study
        What was sound.
    drawn : DataFrame
        All boxes, in px, those that were refused among them.
    in_px : bool
        Whether the files gave them so, which must then fit the sizes of images.

    Returns
    -------
    list of Finding
        Empty where nothing is odd.
    """
    found = [*_read_once(study), *_named_apart(study), *_by_rater(_corners_as_sizes, study, drawn)]
    if not in_px:
        return found
    found += _by_rater(_as_fractions, study, study.boxes) or _in_a_corner(study)
    return [*found, *_exchanged(study, drawn)]


def _by_rater(
    look: Callable[[Study, pd.DataFrame], list[Finding]], study: Study, boxes: pd.DataFrame
) -> list[Finding]:
    """What is found in all boxes; or else in those of single raters, whom it names."""
    return look(study, boxes) or [
        dataclasses.replace(one, rater=str(rater), message=f"Rater {rater}: {one.message}")
        for rater, own in boxes.groupby("rater")
        for one in look(study, own)
    ]


def _read_once(study: Study) -> list[Finding]:
    """Where no image was read by two people, as where each has a name of its own for it."""
    readings = study.readings
    if len(study.raters) == 1 and study.rater_scope == "study":
        return _one_rater(study)
    if len(readings) < 2 or readings.duplicated(["case", "slice"]).any():
        return []
    prefix = _prefix(readings)
    message = "No image was read by two raters, so that they cannot be compared. "
    if prefix:
        message += (
            f"Names of images differ only by what stands before them, as '{prefix}' does: put * in "
            "its place in [annotations] image or path."
        )
    else:
        message += "Check what [annotations] path and image make of the names of files and images."
    return [Finding(check="no-image-shared", message=message)]


def _named_apart(study: Study) -> list[Finding]:
    """Labels that raters drew at one place, but never the same of them both."""
    who = study.boxes.groupby("label")["rater"].agg(set)
    apart = {
        pair
        for pair in itertools.combinations(who.index, 2)
        if who[pair[0]].isdisjoint(who[pair[1]])
    }
    if not apart or study.rater_scope == "case":
        return []
    met: Counter[tuple[str, str]] = Counter()
    same: Counter[tuple[str, str]] = Counter()
    for _, rows in itertools.islice(study.boxes.groupby(["case", "slice"]), SLICES_TRIED):
        labels = rows["label"].to_numpy()
        one, other = np.nonzero(pairwise_iou(rows[BOX], rows[BOX]) >= SAME_PLACE)
        met.update(apart.intersection(itertools.combinations(sorted(set(labels)), 2)))
        same.update(apart.intersection(zip(labels[one], labels[other], strict=True)))
    pairs = [pair for pair, n in same.items() if n >= SAME_LEAST and n >= SAME_SHARE * met[pair]]
    if not pairs:
        return []
    names = natural_order(set(itertools.chain(*pairs)))
    shown = ", ".join(f"{name} ({', '.join(sorted(who[name]))})" for name in names[:SHOWN])
    more = ", ..." if len(names) > SHOWN else ""
    message = (
        f"Some labels lie where other raters draw another one, and nobody draws both: {shown}{more}"
        ". They may be one label in several languages. Keep one entry of it in [labels], with the "
        f'others in it: also = ["{names[0]}"].'
    )
    return [Finding(check="labels-named-apart", message=message)]


def _prefix(readings: pd.DataFrame) -> str | None:
    """What stands before names that are the same without it, for two raters."""
    ways: list[Callable[[str], str]] = [
        lambda name: re.sub(r"^[^-_]+[-_]", "", name),
        lambda name: re.sub(r"^.*?[-_](?=[^-_]*$)", "", name),
    ]
    for shorten in ways:
        short = readings["case"].map({name: shorten(name) for name in readings["case"].unique()})
        same = readings.assign(case=short).duplicated(["case", "slice"])
        if same.mean() > SEVERAL:
            name = str(readings["case"].iloc[0])
            return name.removesuffix(shorten(name))
    return None


def _one_rater(study: Study) -> list[Finding]:
    """One rater who has several boxes of a label wherever one is may be several people."""
    boxes = study.boxes[study.boxes["label"].isin(study.single)]
    counts = boxes.groupby(["case", "slice", "label"]).size()
    several = int((counts > 1).sum())
    if several < SLICES_LEAST or several < SEVERAL * len(counts):
        return []
    message = (
        f"The one rater, {study.raters[0]}, has several boxes of a label on {several} of "
        f"{len(counts)} slices. If several people drew, say where their names stand ({{rater}} in "
        "the path, columns = { rater = ... }); if slices hold several objects, set single = false."
    )
    return [Finding(check="boxes-of-one-rater", message=message)]


def _as_fractions(_: Study, boxes: pd.DataFrame) -> list[Finding]:
    far = boxes[["x1", "y1"]]
    if far.empty or (far > 1).any(axis=None):
        return []
    message = (
        f"All {count(len(far), 'box')} lie within the first pixel of their images, as fractions of "
        "an image do. Multiply x by its columns and y by its rows; only YOLO files hold fractions."
    )
    return [Finding(check="boxes-in-a-corner", message=message)]


def _in_a_corner(study: Study) -> list[Finding]:
    far = study.boxes[["x1", "y1"]]
    size = sizes_of(study.boxes, study.images)
    reach = (far.to_numpy() / size).max(axis=0, initial=0)
    if len(far) < BOXES_LEAST or (reach > CORNER).any():
        return []
    width, height = np.ceil(far.max()).astype(int)
    message = (
        f"All {len(study.boxes)} boxes lie within the first {width} x {height} px of their images, "
        f"which have {size[0][0]:g} x {size[0][1]:g}: the sizes may be those of other pictures, or "
        "the boxes fractions. Check [annotations] size, or [images]."
    )
    return [Finding(check="boxes-in-a-corner", message=message)]


def _exchanged(study: Study, drawn: pd.DataFrame) -> list[Finding]:
    size, edges = sizes_of(drawn, study.images), drawn[BOX].to_numpy(np.float64)
    beyond = (edges[:, 2:] > size + 1).any(axis=1)
    fits = beyond & (edges[:, 2:] <= size[:, ::-1] + 1).all(axis=1)
    if not beyond.any() or fits.sum() < 0.9 * beyond.sum():
        return []
    message = (
        f"{int(fits.sum())} boxes reach beyond images of {size[0][0]:g} x {size[0][1]:g} px and "
        f"would lie inside {size[0][1]:g} x {size[0][0]:g}: rows and columns may be exchanged."
    )
    return [Finding(check="image-size-exchanged", message=message)]


def _corners_as_sizes(study: Study, drawn: pd.DataFrame) -> list[Finding]:
    """Where two corners were read as one corner, or a centre, and a size."""
    size, edges = sizes_of(drawn, study.images), drawn[BOX].to_numpy(np.float64)
    beyond = (edges[:, :2] < -1).any(axis=1) | (edges[:, 2:] > size + 1).any(axis=1)
    if len(edges) < BOXES_LEAST or beyond.mean() < BEYOND:
        return []
    far = edges[:, 2:] - edges[:, :2]
    inside = (far <= size + 1).all()
    near = {"x, y": edges[:, :2], "x_centre, y_centre": (edges[:, :2] + edges[:, 2:]) / 2}
    fits = [name for name, low in near.items() if inside and ((low >= 0) & (low < far)).all()]
    if not fits:
        return []
    message = (
        f"{count(int(beyond.sum()), 'box')} of {len(edges)} reach beyond their images, and in all "
        f"of them width and height are larger than {fits[0]}, as the corner at the lower right "
        "is: the files seem to hold two corners (x0, y0, x1, y1). None of these boxes is right. "
        "Write sizes in their place, or read the files as a table with x0, y0, x1, y1."
    )
    return [Finding(check="corners-as-sizes", message=message)]
