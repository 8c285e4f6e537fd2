"""Tables of a study of which only the boxes are known: the rest is inferred from them."""

from __future__ import annotations

import numpy as np
import pandas as pd

_PLACE = ["case", "slice"]


def with_identifiers(boxes: pd.DataFrame) -> pd.DataFrame:
    """`boxes` with case, rater and label as text, and a number for each box."""
    names = [name for name in ("case", "rater", "label") if name in boxes]
    text = {name: boxes[name].astype("str").where(boxes[name].notna()) for name in names}
    frame = boxes.assign(**text)
    return frame if "box" in frame else frame.assign(box=np.arange(len(frame)))


def single_labels(boxes: pd.DataFrame) -> frozenset[str]:
    """Labels of which nobody drew two boxes on one slice."""
    twice = boxes.duplicated([*_PLACE, "rater", "label"])
    return frozenset(boxes["label"]) - frozenset(boxes.loc[twice, "label"])


def readings_of(boxes: pd.DataFrame) -> pd.DataFrame:
    """Table `readings`: who drew in a case has read it from its first boxed slice to its last."""
    ends = boxes.groupby("case", sort=False)["slice"].agg(["min", "max"])
    rows = [(case, k) for case, low, high in ends.itertuples() for k in range(low, high + 1)]
    people = boxes[["case", "rater"]].drop_duplicates()
    readings = pd.DataFrame(rows, columns=_PLACE).merge(people, on="case")
    drawn = pd.MultiIndex.from_frame(boxes[[*_PLACE, "rater"]])
    boxed = pd.MultiIndex.from_frame(readings[[*_PLACE, "rater"]]).isin(drawn)
    return readings.assign(state=np.where(boxed, "boxed", "reviewed_empty"))


def images_of(
    readings: pd.DataFrame, boxes: pd.DataFrame, shape: tuple[int, int] | None
) -> pd.DataFrame:
    """Table `images` of what was read; without a shape, pictures reach to the outermost box.

    Parameters
    ----------
    readings : DataFrame
        Names cases and slices.
    boxes : DataFrame
        In px.
    shape : tuple of int or None
        Height and width in px of all pictures.
    """
    images = readings[_PLACE].drop_duplicates(ignore_index=True)
    if shape is not None:
        return images.assign(height=shape[0], width=shape[1])
    edges = boxes[["y1", "x1"]]
    reach = np.ceil(edges.groupby(boxes["case"]).max()).reindex(images["case"])
    reach = reach.fillna(np.ceil(edges.max()) if len(edges) else 1.0).astype(np.int64)
    return images.assign(height=reach["y1"].to_numpy(), width=reach["x1"].to_numpy())
