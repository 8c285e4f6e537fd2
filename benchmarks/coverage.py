"""Whether 95 % intervals of agreement hold the value of all cases, by number of cases; Markdown.

    python benchmarks/coverage.py [--studies 300] [--cases 3 5 8 15 30]

Studies of four raters who share cases of different hardness (the logarithm of the raters' spread
has a standard deviation of 0.5 between cases). The value that is to be held is that of 1,500 cases.
"""

import argparse

import numpy as np
import pandas as pd

from crowdqc.agreement import measure_agreement
from crowdqc.agreement.resample import Resampling
from crowdqc.matching import match
from crowdqc.schema import Study

MEASURES = ["mean_iou", "f1", "alpha_box"]
COLUMNS = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
SLICES, RATERS = 8, 4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--cases", type=int, nargs="+", default=[3, 5, 8, 15, 30])
    asked = parser.parse_args()
    true = measured(simulated(0, 1500), n=0)["value"]
    print("| cases | " + " | ".join(true.index) + " |")
    print("|---" * (1 + len(true)) + "|")
    for n_cases in asked.cases:
        share = coverage(n_cases, asked.studies, true=true)
        print(f"| {n_cases} | " + " | ".join(f"{value:.3f}" for value in share) + " |", flush=True)


def coverage(n_cases, studies, *, true):
    """Share of the studies whose intervals hold the true values, by measure."""
    held = []
    for seed in range(studies):
        found = measured(simulated(10_000 * n_cases + seed, n_cases), n=400, seed=seed)
        held.append((found["low"] <= true) & (true <= found["high"]))
    return pd.concat(held, axis=1).mean(axis=1)


def simulated(seed, n_cases):
    """What four raters draw round one thing on each of eight slices of a case."""
    rng = np.random.default_rng(seed)
    n = n_cases * SLICES
    case, plane = np.divmod(np.arange(n), SLICES)
    hard = np.exp(rng.normal(0, 0.5, n_cases))[case]
    centre, half = rng.uniform(60, 140, (n, 2)), rng.uniform(15, 30, (n, 2))
    truth = np.hstack([centre - half, centre + half])
    boxes = truth + rng.normal(0, 1, (RATERS, n, 4)) * (3 * hard)[:, None]
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2] + 2)
    drew = rng.random((RATERS, n)) >= np.minimum(0.08 * hard, 0.5)
    rater, row = np.nonzero(drew)
    drawn = pd.DataFrame(boxes[rater, row], columns=COLUMNS[4:])
    drawn = drawn.assign(case=case[row].astype(str), slice=plane[row], label="organ")
    drawn = drawn.assign(rater=np.array([f"r{r}" for r in rater], object))
    every, at = np.divmod(np.arange(RATERS * n), n)
    read = pd.DataFrame({"case": case[at].astype(str), "slice": plane[at]})
    read = read.assign(rater=np.array([f"r{r}" for r in every], object))
    read = read.assign(state=np.where(drew.ravel(), "boxed", "reviewed_empty"))
    return Study.from_boxes(drawn[COLUMNS], readings=read, shape=(200, 200), single=["organ"])


def measured(study, *, n, seed=0):
    """Value and interval of the measures of the whole study, by measure."""
    table = measure_agreement(match(study), resampling=Resampling(n=n, seed=seed))
    whole = (table[["case", "label", "rater"]] == "").all(axis=1)
    return table[whole].set_index("measure").loc[MEASURES, ["value", "low", "high"]]


if __name__ == "__main__":
    main()
