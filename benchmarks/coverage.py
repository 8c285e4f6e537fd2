"""Whether 95 % intervals of agreement hold the value of all cases, by number of cases; Markdown.

    python benchmarks/coverage.py [--studies 300] [--cases 3 5 8 15 30] [--alpha [NAME ...]]

Studies of four raters who share cases of different hardness (the logarithm of the raters' spread
has a standard deviation of 0.5 between cases). The value that is to be held is that of 1,500 cases.
With ``--alpha``, that of alpha for boxes alone, in populations of other kinds and in studies of
``configs``: cases are drawn from all of them, 1,500 times.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.agreement import measure_agreement
from crowdqc.agreement.alpha import alpha_interval, nominal_alpha, summed
from crowdqc.agreement.arrays import compare
from crowdqc.agreement.pool import number_places
from crowdqc.agreement.resample import Resampling
from crowdqc.config import load_config
from crowdqc.formats import read_study
from crowdqc.matching import match
from crowdqc.schema import Study

MEASURES = ["mean_iou", "f1", "alpha_box"]
COLUMNS = ["case", "slice", "rater", "label", "x0", "y0", "x1", "y1"]
SLICES, RATERS = 8, 4
KINDS = {
    "as above": {},
    "all alike": {"hard": 0.0},
    "log SD 1": {"hard": 1.0},
    "a quarter missed": {"miss": 0.25, "px": 1.0},
    "steady hands": {"px": 1.0},
    "2 % missed": {"miss": 0.02, "px": 1.0},
    "unsteady hands": {"px": 5.0},
    "two raters": {"raters": 2},
    "thirty slices": {"slices": 30},
    "five raters, twenty slices": {"raters": 5, "slices": 20},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--cases", type=int, nargs="+", default=[3, 5, 8, 15, 30])
    parser.add_argument("--alpha", nargs="*", metavar="NAME")
    asked = parser.parse_args()
    if asked.alpha is None:
        all_measures(asked.cases, asked.studies)
    else:
        populations(asked.cases, asked.alpha)


def all_measures(numbers, studies):
    """Table of the coverage of all measures, by number of cases."""
    true = measured(simulated(0, 1500), n=0)["value"]
    print("| cases | " + " | ".join(true.index) + " |")
    print("|---" * (1 + len(true)) + "|")
    for n_cases in numbers:
        share = coverage(n_cases, studies, true=true)
        print(f"| {n_cases} | " + " | ".join(f"{value:.3f}" for value in share) + " |", flush=True)


def coverage(n_cases, studies, *, true):
    """Share of the studies whose intervals hold the true values, by measure."""
    held = []
    for seed in range(studies):
        found = measured(simulated(10_000 * n_cases + seed, n_cases), n=400, seed=seed)
        held.append((found["low"] <= true) & (true <= found["high"]))
    return pd.concat(held, axis=1).mean(axis=1)


def populations(numbers, names):
    """Coverage of alpha in simulated and real populations, by number of cases."""
    print("| cases drawn from | alpha | " + " | ".join(map(str, numbers)) + " |")
    print("|---" * (2 + len(numbers)) + "|")
    configs = Path(__file__).parents[1] / "configs"
    studies = {name: simulated(0, 2000, **kind) for name, kind in KINDS.items()}
    studies |= {name: read_study(load_config(configs / f"{name}.toml"))[0] for name in names}
    for name, study in studies.items():
        sums = case_sums(study)
        true = float(nominal_alpha(*(part.sum(axis=0) for part in sums[:2])))
        rng = np.random.default_rng(0)
        draws = [rng.integers(0, len(sums[0]), (1500, n)) for n in numbers]
        held = [np.nanmean([holds(sums, rows, true) for rows in drawn]) for drawn in draws]
        print(f"| {name} | {true:.2f} | " + " | ".join(f"{h:.3f}" for h in held) + " |", flush=True)


def case_sums(study):
    """What the units of each case add to alpha: totals (C, V), equal pairs (C,), units (C,)."""
    matched = match(study)
    units, places = compare(matched, iou=0.5).units, number_places(matched, Resampling(n=1))
    of_image = np.zeros(places.image.max() + 1, np.int64)
    of_image[places.image] = places.case
    totals, same = units.sums()
    parts = (totals, same, (totals.sum(axis=1) > 0).astype(float))
    found = [summed(of_image[units.image], part, places.case.max() + 1) for part in parts]
    return [part[found[2] > 0] for part in found]


def holds(sums, rows, true):
    """Whether the interval of some cases holds the true alpha; nan where theirs is undefined."""
    totals, same, count = (part[rows] for part in sums)
    value = float(nominal_alpha(totals.sum(axis=0), same.sum()))
    without = nominal_alpha(totals.sum(axis=0) - totals, same.sum() - same)
    raters = totals.sum() / count.sum()
    low, high = alpha_interval(value, np.asarray(without), 0.95, raters=raters)
    return low <= true <= high if np.isfinite(value) else np.nan


def simulated(seed, n_cases, *, hard=0.5, miss=0.08, px=3.0, raters=RATERS, slices=SLICES):
    """What raters draw round one thing on each slice of a case."""
    rng = np.random.default_rng(seed)
    n = n_cases * slices
    case, plane = np.divmod(np.arange(n), slices)
    hard = np.exp(rng.normal(0, hard, n_cases))[case]
    centre, half = rng.uniform(60, 140, (n, 2)), rng.uniform(15, 30, (n, 2))
    truth = np.hstack([centre - half, centre + half])
    boxes = truth + rng.normal(0, 1, (raters, n, 4)) * (px * hard)[:, None]
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2] + 2)
    drew = rng.random((raters, n)) >= np.minimum(miss * hard, 0.5)
    rater, row = np.nonzero(drew)
    drawn = pd.DataFrame(boxes[rater, row], columns=COLUMNS[4:])
    drawn = drawn.assign(case=case[row].astype(str), slice=plane[row], label="organ")
    drawn = drawn.assign(rater=np.array([f"r{r}" for r in rater], object))
    every, at = np.divmod(np.arange(raters * n), n)
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
