"""A few boxes to try functions on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.schema import BOX


def example_boxes() -> pd.DataFrame:
    """Boxes of three raters round two organs in two cases; one rater's are shifted.

    Returns
    -------
    DataFrame
        ``case, slice, rater, label, x0, y0, x1, y1``: slices 0 to 5 of each case. `cem` draws
        everything 6 px to the right, and has left out the liver on slice 3 of case 1.

    Examples
    --------
    >>> example_boxes().groupby("rater").size().to_dict()
    {'ann': 24, 'bob': 24, 'cem': 23}
    """
    rng = np.random.default_rng(0)
    organs = {"liver": (20.0, 30.0, 70.0, 80.0), "spleen": (90.0, 40.0, 115.0, 70.0)}
    rows = []
    for case in ("1", "2"):
        for place, rater in enumerate(("ann", "bob", "cem")):
            for k in range(6):
                for label, box in organs.items():
                    drawn = np.array(box) + rng.normal(0, 0.7, 4).round(1)
                    drawn[[0, 2]] += 6.0 * (place == 2)
                    rows.append((case, k, rater, label, *drawn))
    frame = pd.DataFrame(rows, columns=["case", "slice", "rater", "label", *BOX])
    lost = (frame["rater"] == "cem") & (frame["case"] == "1") & (frame["slice"] == 3)
    return frame[~(lost & (frame["label"] == "liver"))].reset_index(drop=True)
