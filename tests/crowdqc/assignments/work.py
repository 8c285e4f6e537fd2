"""Work of raters, and assignments, as small tables."""

import pandas as pd

from crowdqc.schema import BOX, Study

COLUMNS = ["rater", "case", "label", "slices", "due", "round"]
DEFAULTS = ("", "", "", 1)


def assigned(rows):
    """A table of assignments from the first cells of its rows."""
    return pd.DataFrame([(*row, *DEFAULTS[len(row) - 2 :]) for row in rows], columns=COLUMNS)


def drawn(work, *, labels=("liver",), shift=0.0, opened=()):
    """A study: rater -> case -> slices with a box of each label; `opened` are empty files."""
    rows, readings = [], []
    for rater, cases in work.items():
        for case, slices in cases.items():
            for k in slices:
                for n, label in enumerate(labels):
                    x = 10.0 + 40 * n + (shift if rater == "bob" else 0.0)
                    rows.append((case, k, rater, label, x, 10.0, x + 20, 40.0))
                readings.append((case, k, rater, "", "boxed"))
    readings += [(case, k, rater, "", "opened") for rater, case, k in opened]
    boxes = pd.DataFrame(rows, columns=["case", "slice", "rater", "label", *BOX])
    read = pd.DataFrame(readings, columns=["case", "slice", "rater", "labels", "state"])
    return Study.from_boxes(boxes, readings=read, labels=labels, single=labels)
