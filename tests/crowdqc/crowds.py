"""Simulated crowds of which the truth is known, for the tests of crowd and fusion."""

import numpy as np
import pandas as pd

from crowdqc.schema import Study

BOX = ["x0", "y0", "x1", "y1"]


def crowd_study(seed, *, sd, bias=0.0, miss=0.02, things=60, extra=0.0, single=True, **fields):
    """One thing per slice, and what raters draw there.

    `sd`, `bias`, `miss` and `extra` hold a value for each rater: spread and bias (outwards)
    of every edge in px, share of things missed, and of slices with an invented box.

    Returns the study and the true boxes, one row per slice.
    """
    rng = np.random.default_rng(seed)
    n = len(sd)
    bias, miss, extra = (np.broadcast_to(value, n) for value in (bias, miss, extra))
    centre = rng.uniform(150, 350, (things, 2))
    half = rng.uniform(20, 60, (things, 2))
    truth = np.hstack([centre - half, centre + half])
    boxes, readings = [], []
    for z in range(things):
        for r in range(n):
            drawn = []
            if rng.random() >= miss[r]:
                outwards = bias[r] * np.array([-1, -1, 1, 1])
                drawn.append(truth[z] + np.clip(rng.normal(0, sd[r], 4), -19, 19) + outwards)
            if rng.random() < extra[r]:
                low = rng.uniform(0, 100, 2)
                drawn.append(np.r_[low, low + rng.uniform(10, 40, 2)])
            readings.append(("c", z, f"r{r}", "boxed" if drawn else "reviewed_empty"))
            boxes += [("c", z, f"r{r}", "organ", *box) for box in drawn]
    frame = pd.DataFrame(boxes, columns=["case", "slice", "rater", "label", *BOX])
    images = pd.DataFrame({"case": "c", "slice": range(things), "height": 512, "width": 512})
    study = Study(
        "crowd",
        ("organ",),
        images,
        pd.DataFrame(readings, columns=["case", "slice", "rater", "state"]),
        frame.assign(box=range(len(frame))),
        single=frozenset({"organ"} if single else ()),
        **fields,
    )
    return study, truth
