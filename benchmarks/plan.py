"""What `plan` foretells, and what `fuse` gives of as many real raters; prints Markdown.

    python benchmarks/plan.py DATA [--draws 5]

DATA is the folder of real data. Each set is thinned to n raters of those who read an image, drawn
anew for each draw, and fused as shipped. The truth is gold, but for LIDC the fusion of all readers.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from fusion_sets import bil, lidc
from scipy.optimize import linear_sum_assignment

from crowdqc import fuse, match
from crowdqc.config import load_config
from crowdqc.formats import read_study
from crowdqc.geometry import pairwise_iou
from crowdqc.plan import estimate_components, plan_raters
from crowdqc.schema import BOX, Study

PLACE = ["case", "slice"]
RATERS = (1, 2, 3, 5)
USABLE = ["agreed", "single"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    asked = parser.parse_args()
    print("| set | raters | IoU foretold | IoU | found foretold | found | score foretold | score |")
    print("|---" * 8 + "|")
    for name, study, truth in sets(asked.data):
        components = estimate_components(match(study))
        plan = plan_raters(components, rng=np.random.default_rng(0), largest=max(RATERS))
        plan = plan.set_index("n_raters")
        most = study.readings.groupby(PLACE).size().max()
        for n in (n for n in RATERS if n < most):
            rows = [thinned(study, truth, n, seed=seed) for seed in range(asked.draws)]
            real = np.mean(rows, axis=0)
            told = plan.loc[n, ["iou", "found", "score"]]
            cells = [f"{value:.3f}" for pair in zip(told, real, strict=True) for value in pair]
            print(f"| {name} | {n} | " + " | ".join(cells) + " |", flush=True)


def sets(data):
    """Name, study, and the true boxes of the slices that were read."""
    config = load_config(Path(__file__).parents[1] / "configs" / "crowd_boxes_gold.toml")
    gold = pd.read_csv(data / "crowd_boxes_gold" / "gold.csv", dtype={"item": str})
    gold = gold.rename(columns={"item": "case"}).assign(slice=0)
    yield "photographs", read_study(config)[0], gold[[*PLACE, *BOX]]
    for name, study, boxes in bil(data):
        truth = boxes.reset_index().assign(slice=0)
        yield f"BU-BIL {name}", study, truth[[*PLACE, *BOX]]
    study = lidc(data)
    kept = study.cases[::4]
    study = part(study, study.boxes["case"].isin(kept), study.readings["case"].isin(kept))
    fused = fuse(match(study))
    yield "LIDC", study, fused.loc[fused["state"] == "agreed", [*PLACE, *BOX]]


def part(study, boxes, readings):
    """Some boxes and readings of a study."""
    readings = study.readings[readings]
    images = study.images.merge(readings[PLACE].drop_duplicates(), on=PLACE)
    return Study(
        study.name,
        study.labels,
        images,
        readings,
        study.boxes[boxes],
        rater_scope=study.rater_scope,
        single=study.single,
    )


def thinned(study, truth, n, *, seed):
    """Mean IoU, share found and score of the fusion of n raters an image."""
    rng = np.random.default_rng(seed)
    read = study.readings
    order = read.assign(at=rng.random(len(read))).groupby(PLACE)["at"].rank()
    kept = read.loc[order <= n, [*PLACE, "rater"]]
    mine = study.boxes[[*PLACE, "rater"]].merge(kept.assign(kept=1), how="left")["kept"].notna()
    few = part(study, mine.to_numpy(), (order <= n).to_numpy())
    fused = fuse(match(few))
    fused = fused[fused["state"].isin(USABLE)]
    found = dict(list(fused.groupby(PLACE)))
    none = fused[:0]
    overlap = [best(rows, found.get(key, none)) for key, rows in truth.groupby(PLACE)]
    overlap = np.concatenate(overlap)
    hit = overlap >= 0.3
    return overlap[hit].mean(), hit.mean(), overlap[hit].sum() / len(overlap)


def best(true, fused):
    """IoU of each true box with the fused box that is matched to it, 0 without one."""
    overlap = np.zeros(len(true))
    if len(fused):
        table = pairwise_iou(true[BOX].to_numpy(float), fused[BOX].to_numpy(float))
        rows, columns = linear_sum_assignment(-table)
        overlap[rows] = table[rows, columns]
    return overlap


if __name__ == "__main__":
    main()
