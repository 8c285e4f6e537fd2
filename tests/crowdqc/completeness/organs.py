"""Studies of tapering organs, complete unless a test takes something away."""

import numpy as np
import pandas as pd

from crowdqc.schema import Study

PLACES = {  # centre x, y, slice and half sizes
    "spleen": (380, 250, 45, 50, 45, 10),
    "right_kidney": (150, 300, 30, 30, 35, 12),
    "left_kidney": (360, 300, 34, 30, 35, 12),
    "liver": (180, 200, 48, 110, 90, 15),
}
LABELS = tuple(PLACES)
DEPTH = 80


def organ(label, *, shift=0):
    """True boxes of an organ: one row per slice."""
    x, y, z, a, b, c = PLACES[label]
    rows = []
    for k in range(z - c + shift, z + c + 1 + shift):
        share = np.sqrt(1 - ((k - z - shift) / (c + 0.5)) ** 2)
        rows.append((k, label, x - a * share, y - b * share, x + a * share, y + b * share))
    return pd.DataFrame(rows, columns=["slice", "label", "x0", "y0", "x1", "y1"])


def drawn(*, cases=5, raters=("r0",), labels=LABELS):
    """Boxes of several raters on several cases, which differ in height."""
    parts = [
        organ(label, shift=2 * number).assign(case=f"{number:04d}", rater=rater)
        for number in range(cases)
        for rater in raters
        for label in labels
    ]
    return pd.concat(parts, ignore_index=True)


def study(boxes, *, labels=LABELS, single=None, opened=(), depth=DEPTH):
    """A study of these boxes in which all raters read all slices, but the `opened` cases."""
    cases = sorted({*boxes["case"], *opened})
    raters = sorted(boxes["rater"].unique())
    places = pd.DataFrame({"case": cases}).merge(pd.DataFrame({"slice": range(depth)}), how="cross")
    images = places.assign(height=512, width=512, spacing_x=0.8, spacing_y=0.8, spacing_z=3.0)
    readings = places.merge(pd.DataFrame({"rater": raters}), how="cross")
    state = np.where(readings["case"].isin(opened), "opened", "reviewed_empty")
    return Study(
        name="organs",
        labels=labels,
        images=images,
        readings=readings.assign(labels="", state=state),
        boxes=boxes.assign(box=np.arange(len(boxes))),
        single=frozenset(labels if single is None else single),
    )


def at(boxes, case="0002", label="left_kidney", rater="r0"):
    """Which boxes are of a run."""
    return (boxes["case"] == case) & (boxes["label"] == label) & (boxes["rater"] == rater)
