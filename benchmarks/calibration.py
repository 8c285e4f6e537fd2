"""Whether spreads, reliability and existence hold at the level they state; prints Markdown.

    python benchmarks/calibration.py [--seeds 40] [--data FOLDER] [--scenarios FILE [NAME ...]]

Simulated crowds err independently (tests/crowdqc/crowds.py, with other hands). ``--scenarios`` adds
crowds of another make: FILE is a Python module with ``SCENARIOS``, functions by name that make of
a random generator an object with `truth`, `boxes` and `reads` by rater, `bad` and `single`. With
``--data`` the sets with gold are measured as well, each with the shared error that the others ask
for.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from fusion_sets import bil
from PIL import Image
from scipy.optimize import linear_sum_assignment

from crowdqc.config import load_config
from crowdqc.crowd import fit, shared
from crowdqc.formats import read_study
from crowdqc.geometry import pairwise_iou
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
    parser.add_argument("--scenarios", nargs="+", metavar=("FILE", "NAME"))
    arguments = parser.parse_args()
    makers = {
        name: lambda seed, hands=hands: simulated(seed, hands) for name, hands in CROWDS.items()
    }
    if arguments.scenarios:
        makers |= scenarios(*arguments.scenarios)
    print("| crowd | edges within 1.96 spread | raters within the interval |\n|---|---|---|")
    pooled = []
    for name, make in makers.items():
        rows = [measured(*make(seed)) for seed in range(arguments.seeds)]
        pooled += rows
        print_row(name, rows)
    print_row("all", pooled)
    print()
    existence(*(np.concatenate([row[k] for row in pooled]) for k in (2, 3)))
    if arguments.data:
        left_out(dict(sets(arguments.data)))


def print_row(name, rows):
    edges, raters = (np.concatenate([row[k] for row in rows]) for k in (0, 1))
    print(f"| {name} | {edges.mean():.3f} | {raters.mean():.3f} |", flush=True)


def simulated(seed, hands):
    """Study, true boxes with their places, and what each rater was asked for."""
    study, truth = crowd_study(seed, things=80, single=False, **hands)
    frame = pd.DataFrame(truth, columns=BOX).assign(case="c", slice=range(80), label="organ")
    return study, frame, dict.fromkeys(study.readings["rater"].unique(), frame)


def scenarios(file, *names):
    """Makers of the crowds of a module, by name."""
    sys.path.insert(0, str(Path(file).parent))
    spec = importlib.util.spec_from_file_location("scenarios", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scenarios"] = module
    spec.loader.exec_module(module)

    def make(name, seed):
        made = module.SCENARIOS[name](np.random.default_rng([seed, sum(name.encode())]))
        return study_of(made)

    chosen = names or module.SCENARIOS
    return {name: lambda seed, name=name: make(name, seed) for name in chosen}


def study_of(made):
    """Study, true boxes of slices that somebody read, and those of the slices of each rater."""
    place = ["case", "slice"]
    boxes = pd.concat([of.assign(rater=rater) for rater, of in made.boxes.items()])
    boxes = boxes[(boxes["x1"] > boxes["x0"]) & (boxes["y1"] > boxes["y0"])]
    boxes = boxes[[*place, "rater", "label", *BOX]].reset_index(drop=True)
    read = pd.concat([of[place].assign(rater=rater) for rater, of in made.reads.items()])
    drew = pd.MultiIndex.from_frame(read).isin(pd.MultiIndex.from_frame(boxes[[*place, "rater"]]))
    read = read.assign(state=np.where(drew, "boxed", "reviewed_empty")).drop_duplicates()
    labels = sorted(set(made.truth["label"]) | set(boxes["label"]))
    single = labels if made.single else []
    shape = tuple(int(np.ceil(boxes[BOX].to_numpy().max())) + 1 for _ in range(2))
    study = Study.from_boxes(boxes, readings=read, shape=shape, labels=labels, single=single)
    asked = {
        rater: made.truth.merge(of[place].drop_duplicates(), on=place)
        for rater, of in made.reads.items()
    }
    seen = made.truth.merge(read[place].drop_duplicates(), on=place)
    return study, seen, asked


def measured(study, truth, asked):
    """Edges and raters that hold; score and existence of objects that two were asked for."""
    matched = match(study)
    crowd = fit(matched)
    objects = matched.objects[["case", "slice", "label"]].assign(
        **dict(zip(BOX, crowd.box.T, strict=True))
    )
    row, overlap = nearest(objects, truth)
    real = overlap >= 0.3
    several = (crowd.evidence.n_boxes > 1) & real & np.isfinite(crowd.spread[:, 0])
    away = np.abs(crowd.box[several] - truth[BOX].to_numpy(float)[row[several]])
    holds = []
    for rater, low, high in zip(
        crowd.raters, crowd.reliability_low, crowd.reliability_high, strict=True
    ):
        mine = study.boxes[study.boxes["rater"] == rater].reset_index(drop=True)
        right = (nearest(mine, asked[rater])[1] >= 0.5).sum()
        if np.isfinite(low):
            holds.append(low <= 2 * right / max(len(mine) + len(asked[rater]), 1) <= high)
    known = crowd.evidence.n_asked > 1
    score = (crowd.exists * crowd.located)[known]
    return (away <= 1.96 * crowd.spread[several]).ravel(), np.array(holds), score, real[known]


def nearest(boxes, truth):
    """True box of each box, one to one in each place, and the IoU; 0 where there is none."""
    place = ["case", "slice", "label"]
    row, overlap = np.zeros(len(boxes), np.int64), np.zeros(len(boxes))
    true = truth.groupby(place).indices
    drawn, wanted = (frame[BOX].to_numpy(float) for frame in (boxes, truth))
    for key, mine in boxes.groupby(place).indices.items():
        if key in true:
            iou = pairwise_iou(drawn[mine], wanted[true[key]])
            i, j = linear_sum_assignment(-iou)
            row[mine[i]], overlap[mine[i]] = true[key][j], iou[i, j]
    return row, overlap


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
