"""Whether spreads, reliability and existence hold at the level they state; prints Markdown.

    python benchmarks/calibration.py [--seeds 40] [--data FOLDER]

Simulated crowds err independently (tests/crowdqc/crowds.py, with other hands); with ``--data``
the sets with gold are measured as well, each with the shared error that the others ask for.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from fusion_sets import bil
from PIL import Image
from scipy.optimize import linear_sum_assignment

from crowdqc.config import load_config
from crowdqc.crowd import fit, shared
from crowdqc.formats import read_study
from crowdqc.geometry import paired_iou, pairwise_iou
from crowdqc.matching import match
from crowdqc.schema import BOX, Study
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
        left_out(dict(sets(arguments.data)))


def simulated(seed, hands):
    """Edges and raters that hold, and score and existence of objects, of one crowd."""
    study, truth = crowd_study(seed, things=80, single=False, **hands)
    matched = match(study)
    crowd = fit(matched)
    true = truth[matched.objects["slice"]]
    overlap = paired_iou(crowd.box, true)
    several = (crowd.evidence.n_boxes > 1) & (overlap > 0.3)
    near = np.abs(crowd.box - true)[several] <= 1.96 * crowd.spread[several]
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


def sets(data):
    """The sets with gold: name, matched study, and gold boxes by case."""
    for name, study, gold in bil(data):
        yield f"BU-BIL {name}", (match(study), [gold])
    yield "BU-BIL 1, from masks", masks(data / "bu_bil_masks" / "set1")
    gold = pd.read_csv(data / "crowd_boxes_gold" / "gold.csv", dtype={"item": str})
    config = load_config(Path(__file__).parents[1] / "configs" / "crowd_boxes_gold.toml")
    study = read_study(config)[0]
    yield "photographs", (match(study), [gold.set_index("item")[BOX]])


def masks(folder):
    """Boxes round the masks of crowd workers and experts, one object an image."""

    def box(path):
        rows, columns = np.nonzero(np.asarray(Image.open(path)) > 0)
        return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1

    drawn, gold = [], []
    for path in sorted((folder / "gold").glob("*.png")):
        gold.append(pd.DataFrame([box(path)], columns=BOX, index=[path.stem]))
        drawn += [
            (path.stem, 0, one.stem.rpartition("_")[2], "cell", *box(one))
            for one in sorted((folder / "crowd").glob(f"{path.stem}_w*.png"))
            if np.asarray(Image.open(one)).any()
        ]
    frame = pd.DataFrame(drawn, columns=["case", "slice", "rater", "label", *BOX])
    return match(Study.from_boxes(frame)), gold


def left_out(known):
    """Coverage of each set with the shared error that the others ask for."""
    wanted = {name: asked_for(*one) for name, one in known.items()}
    print("\n| set with gold | as shipped | size that .95 asks for | with the mean of the others |")
    print("|---|---|---|---|")
    for name, one in known.items():
        others = np.mean([size for other, size in wanted.items() if other != name])
        print(
            f"| {name} | {covered(*one, size=shared.SHARED):.3f} | {wanted[name]:.2f} | "
            f"{covered(*one, size=others):.3f} |"
        )


def asked_for(matched, gold):
    """Shared error, over a rater's own, with which 95 % of the gold edges are covered."""
    low, high = 0.0, 4.0
    for _ in range(10):
        middle = (low + high) / 2
        enough = covered(matched, gold, size=middle) >= 0.95
        low, high = (low, middle) if enough else (middle, high)
    return high


def covered(matched, gold, *, size):
    """Share of gold edges within 1.96 spread, of objects that two drew and gold has at IoU 0.5."""
    before, shared.SHARED = shared.SHARED, size
    try:
        crowd = fit(matched)
    finally:
        shared.SHARED = before
    boxes = pd.concat(gold)
    of = {case: rows[BOX].to_numpy(float) for case, rows in boxes.groupby(boxes.index)}
    near = []
    for case, rows in matched.objects.groupby("case").indices.items():
        objects = rows[crowd.evidence.n_boxes[rows] > 1]
        if case not in of or not len(objects):
            continue
        i, j = linear_sum_assignment(-(overlap := pairwise_iou(crowd.box[objects], of[case])))
        same = overlap[i, j] >= 0.5
        away = np.abs(crowd.box[objects[i[same]]] - of[case][j[same]])
        near.append(away <= 1.96 * crowd.spread[objects[i[same]]])
    return np.concatenate(near).mean()


if __name__ == "__main__":
    main()
