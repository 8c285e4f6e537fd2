"""Whether spreads, reliability and existence hold at the level they state; prints Markdown.

    python benchmarks/calibration.py [--seeds 40] [--data FOLDER]

Simulated crowds err independently (tests/crowdqc/crowds.py, with other hands); with ``--data``
the sets with gold are measured as well, each of which had a part in the prior of the shared error.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from fusion_sets import bil

from crowdqc.crowd import fit
from crowdqc.geometry import paired_iou, pairwise_iou
from crowdqc.matching import match
from crowdqc.schema import BOX
from tests.crowdqc.crowds import crowd_study

CROWDS = {
    "five alike": {"sd": [2.0] * 5, "miss": 0.05},
    "three of five scatter": {"sd": [2, 2, 7, 7, 7], "miss": [0.05, 0.05, 0.2, 0.2, 0.2]},
    "four biased apart": {"sd": [3.0] * 4, "bias": [3, -3, 1, -1], "miss": 0.1},
    "many inventions": {"sd": [2.0] * 5, "miss": 0.1, "extra": [0.05, 0.1, 0.1, 0.2, 0.4]},
    "three": {"sd": [2, 3, 4], "miss": 0.1, "extra": 0.05},
    "seven": {"sd": [2, 2, 3, 3, 4, 5, 8], "miss": 0.1, "extra": 0.1},
}
DECILES = np.linspace(0, 1, 11)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    print("| crowd | edges within 1.96 spread | raters within the interval |\n|---|---|---|")
    scores, real, pooled = [], [], []
    for name, hands in CROWDS.items():
        rows = [simulated(seed, hands) for seed in range(arguments.seeds)]
        edges, raters = (np.concatenate([row[k] for row in rows]) for k in (0, 1))
        pooled.append((edges, raters))
        scores += [row[2] for row in rows]
        real += [row[3] for row in rows]
        print(f"| {name} | {edges.mean():.3f} | {raters.mean():.3f} |")
    edges, raters = (np.concatenate([row[k] for row in pooled]) for k in (0, 1))
    print(f"| all | {edges.mean():.3f} | {raters.mean():.3f} |\n")
    existence(np.concatenate(scores), np.concatenate(real))
    if arguments.data:
        for name, study, gold in bil(arguments.data):
            print(f"\nbu_bil set {name}: {covered(study, gold):.3f} of gold edges")


def simulated(seed, hands):
    """Edges and raters that hold, and score and existence of objects, of one crowd."""
    study, truth = crowd_study(seed, things=80, single=False, **hands)
    matched = match(study)
    crowd = fit(matched)
    true = truth[matched.objects["slice"]]
    overlap = paired_iou(crowd.box, true)
    shared = (crowd.evidence.n_boxes > 1) & (overlap > 0.3)
    near = np.abs(crowd.box - true)[shared] <= 1.96 * crowd.spread[shared]
    holds = []
    for rater, low, high in zip(
        crowd.raters, crowd.reliability_low, crowd.reliability_high, strict=True
    ):
        mine = study.boxes[study.boxes["rater"] == rater]
        right = (paired_iou(mine[BOX].to_numpy(), truth[mine["slice"]]) >= 0.5).sum()
        holds.append(low <= 2 * right / (len(mine) + len(truth)) <= high)
    return near.ravel(), np.array(holds), crowd.exists, overlap > 0.3


def existence(score, real):
    """Share of real objects by decile of their score."""
    frame = pd.DataFrame({"score": score, "real": real})
    table = frame.groupby(pd.cut(frame["score"], DECILES, include_lowest=True), observed=True)
    print("| score | mean | real | n |\n|---|---|---|---|")
    for decile, rows in table:
        print(
            f"| {decile} | {rows['score'].mean():.2f} | {rows['real'].mean():.2f} | {len(rows)} |"
        )


def covered(study, gold):
    """Share of gold edges within 1.96 spread, of objects that overlap gold."""
    matched = match(study)
    crowd = fit(matched)
    true = gold.loc[matched.objects["case"], BOX].to_numpy()
    same = np.diag(pairwise_iou(crowd.box, true)) >= 0.5
    same &= crowd.evidence.n_boxes > 1
    return (np.abs(crowd.box - true)[same] <= 1.96 * crowd.spread[same]).mean()


if __name__ == "__main__":
    main()
