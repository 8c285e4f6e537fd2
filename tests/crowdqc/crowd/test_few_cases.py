"""What is known of a rater who read few cases."""

import numpy as np
import pandas as pd

from crowdqc.agreement import review_raters
from crowdqc.agreement.resample import Resampling
from crowdqc.matching import match
from crowdqc.schema import BOX, Study

CASES, SLICES, FEW = 8, 10, 2


def study_of(seed):
    """Four raters of one hand read eight cases that differ in hardness, but r0 only two of them."""
    rng = np.random.default_rng(seed)
    hard = np.exp(rng.normal(0, 0.3, CASES))
    boxes, readings = [], []
    for case, plane, r in np.ndindex(CASES, SLICES, 4):
        if r == 0:
            centre, half = rng.uniform(60, 140, 2), rng.uniform(15, 30, 2)
        if r == 0 and case >= FEW:
            continue
        drew = rng.random() >= 0.05
        readings.append((str(case), plane, f"r{r}", "boxed" if drew else "reviewed_empty"))
        edges = np.r_[centre - half, centre + half] + rng.normal(0, 3 * hard[case], 4)
        boxes += [(str(case), plane, f"r{r}", "organ", *edges)] if drew else []
    frame = pd.DataFrame(boxes, columns=["case", "slice", "rater", "label", *BOX])
    read = pd.DataFrame(readings, columns=["case", "slice", "rater", "state"])
    return Study.from_boxes(frame, readings=read, shape=(200, 200), single=["organ"])


def test_of_two_raters_alike_the_one_with_two_cases_is_known_less_well_than_with_eight():
    wider = []
    for seed in range(40):
        table = review_raters(match(study_of(seed)), resampling=Resampling(n=2)).raters
        table = table.set_index("rater")
        width = [
            table[f"{name}_high"] - table[f"{name}_low"] for name in ("agreement", "reliability")
        ]
        wider.append([one["r0"] > one["r1"] for one in width])

    assert (np.mean(wider, axis=0) >= 0.95).all()
