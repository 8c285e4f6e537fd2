"""What `plan` foretells, and what `fuse` gives of as many real raters; prints Markdown.

    python benchmarks/plan.py DATA [--draws 3] [--sets photographs ...]

DATA is the folder of real data. Each set is thinned to n raters of those who read an image, drawn
anew for each draw, and fused as shipped. The plan is made from the whole set, and for photographs
from pilots of a few raters an image. The truth is gold, but for LIDC the fusion of all readers.
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
PILOTS = {"photographs": (2, 3, 5)}
USABLE = ["agreed", "single"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--sets", nargs="*", help="part of the names of some sets")
    asked = parser.parse_args()
    names = ["set", "pilot", "raters", "IoU foretold", "IoU", "found foretold", "at least"]
    names += ["at most", "found", "plans that hold it"]
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for name, study, truth in sets(asked.data):
        if asked.sets and not any(part in name for part in asked.sets):
            continue
        most = study.readings.groupby(PLACE).size().max()
        counts = [n for n in RATERS if n < most]
        real = {
            n: np.mean([thinned(study, truth, n, seed=k) for k in range(asked.draws)], axis=0)
            for n in counts
        }
        for pilot in PILOTS.get(name, ()):
            few = [of_raters(study, pilot, seed=100 + k) for k in range(asked.draws)]
            show(name, f"{pilot} an image", studies=few, real=real)
        show(name, "all", studies=[study], real=real)


def show(name, pilot, *, studies, real):
    """A row for each number of raters: means of plans, and how many hold the truth."""
    plans = []
    for study in studies:
        components = estimate_components(match(study))
        rng = np.random.default_rng(0)
        plan = plan_raters(components, rng=rng, largest=max(real), objects=1000)
        plans.append(plan.set_index("n_raters"))
    for n, (iou, found, _) in real.items():
        told = pd.concat([plan.loc[[n]] for plan in plans])
        held = told["found_low"].le(found) & told["found_high"].ge(found)
        mean = told[["iou", "found", "found_low", "found_high"]].mean()
        cells = [mean["iou"], iou, *mean[["found", "found_low", "found_high"]], found]
        cells = " | ".join(f"{value:.3f}" for value in cells)
        print(f"| {name} | {pilot} | {n} | {cells} | {held.sum()} of {len(held)} |", flush=True)


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


def of_raters(study, n, *, seed):
    """The study with n of the raters of each image."""
    rng = np.random.default_rng(seed)
    read = study.readings
    order = read.assign(at=rng.random(len(read))).groupby(PLACE)["at"].rank()
    kept = read.loc[order <= n, [*PLACE, "rater"]]
    mine = study.boxes[[*PLACE, "rater"]].merge(kept.assign(kept=1), how="left")["kept"].notna()
    return part(study, mine.to_numpy(), (order <= n).to_numpy())


def thinned(study, truth, n, *, seed):
    """Mean IoU, share found and score of the fusion of n raters an image."""
    fused = fuse(match(of_raters(study, n, seed=seed)))
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
