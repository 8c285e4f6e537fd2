"""Crowds to judge fusion on, real and simulated, and how they are scored."""

import dataclasses
import functools

import numpy as np
import pandas as pd

from crowdqc.config import Simulate
from crowdqc.schema import Study
from crowdqc.simulate import make_abdomen, simulate_study, true_drawing
from crowdqc.simulate.abdomen import LABELS
from tests.crowdqc.gold import BOX, hits

PLACE = ["case", "slice", "label"]
RESAMPLES = 1000


def counts(found, gold, cases):
    """Right at 0.5, right at 0.75, found and true, for each image."""
    found = {case: of[BOX].to_numpy() for case, of in found.groupby("case")}
    gold = {case: of[BOX].to_numpy() for case, of in gold.groupby("case")}
    none = np.zeros((0, 4))
    rows = []
    for case in cases:
        mine, true = found.get(case, none), gold.get(case, none)
        rows.append((hits(mine, true, 0.5), hits(mine, true, 0.75), len(mine), len(true)))
    return np.array(rows, dtype=float)


def f1s(table):
    """F1 at 0.5 and at 0.75, pooled over the second last axis (images)."""
    total = table.sum(axis=-2)
    return 2 * total[..., :2] / (total[..., 2] + total[..., 3])[..., None]


def interval(values):
    """Mean over the first axis, and its bootstrap interval."""
    values = np.asarray(values)
    pick = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    return values.mean(axis=0), *np.quantile(values[pick].mean(axis=1), [0.025, 0.975], axis=0)


def bil(data):
    """Both sets of BU-BIL: name, study, gold box of each image."""
    table = pd.read_csv(data / "bu_bil" / "crowd_boxes.csv", dtype={"image": str, "dataset": str})
    table = table.rename(columns={"image": "case"})
    for name, of in table.groupby("dataset"):
        gold = of[of["rater"].str.startswith("gold")].set_index("case")[BOX]
        boxes = of[~of["rater"].str.startswith("gold")].assign(slice=0, label="cell")
        boxes = boxes[(boxes["x1"] > boxes["x0"]) & (boxes["y1"] > boxes["y0"])]
        study = Study(
            f"set {name}",
            ("cell",),
            boxes.drop_duplicates("case")[["case", "slice", "width", "height"]],
            boxes[["case", "slice", "rater"]].assign(state="boxed"),
            boxes.assign(box=range(len(boxes))),
            rater_scope="case",
            single=frozenset({"cell"}),
        )
        yield name, study, gold


def lidc(data):
    table = pd.read_csv(data / "lidc" / "reader_boxes.csv.gz")
    boxes = pd.DataFrame(
        {
            "case": table["scan_id"].astype(str),
            "slice": table["slice_index"],
            "rater": table["reader_session"].astype(str),
            "label": "nodule",
        }
    )
    boxes[BOX] = table[BOX].astype(float)
    boxes["box"] = range(len(boxes))
    places = boxes[["case", "slice"]].drop_duplicates()
    readings = places.merge(pd.DataFrame({"rater": list("0123")}), how="cross")
    images = places.assign(height=512, width=512)
    return Study(
        "lidc", ("nodule",), images, readings.assign(state="boxed"), boxes, rater_scope="case"
    )


def pedestrians(data):
    table = pd.read_csv(data / "mturk_pedestrians" / "worker_boxes.csv.gz")
    table = table.rename(columns={"worker": "rater"}).assign(
        case=lambda t: t["image_id"].astype(str)
    )
    readings = table[["case", "rater"]].drop_duplicates().assign(slice=0, state="boxed")
    boxes = table[(table["x1"] > table["x0"]) & (table["y1"] > table["y0"])]
    boxes = boxes.assign(slice=0, label="person", box=range(len(boxes)))
    images = readings[["case", "slice"]].drop_duplicates().assign(height=720, width=1280)
    return Study("pedestrians", ("person",), images, readings, boxes)


def leave_out(rows, fold):
    """Evidence without one box of every object with three or more, that box, and the object."""
    order = np.lexsort((rows.rater, rows.object))
    rank = np.empty(len(order), dtype=np.int64)
    count = rows.n_boxes
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    usable = count[rows.object] >= 3
    held = np.flatnonzero(usable & (rank == fold % count[rows.object]))
    held = held[np.argsort(rows.object[held])]
    objects = rows.object[held]
    number = np.full(rows.n_objects, -1)
    number[objects] = np.arange(len(objects))
    kept = np.setdiff1d(np.flatnonzero(usable), held)
    out = rows.asked_object * rows.n_raters + rows.asked_rater
    left = np.isin(out, rows.object[held] * rows.n_raters + rows.rater[held])
    asked = (number[rows.asked_object] >= 0) & ~left
    rest = dataclasses.replace(
        rows,
        boxes=rows.boxes[kept],
        object=number[rows.object[kept]],
        rater=rows.rater[kept],
        asked_object=number[rows.asked_object[asked]],
        asked_rater=rows.asked_rater[asked],
        drew=rows.drew[asked],
        place=rows.place[objects],
        label=rows.label[objects],
        case=rows.case[objects],
        plane=rows.plane[objects],
        n_objects=len(objects),
    )
    return rest, held, objects


CARELESS = {
    "spread 8 px": {"noise": 8.0},
    "spread 4 px": {"noise": 4.0},
    "30 % too large": {"noise": 2.0, "scale": 1.3},
    "8 px to the right": {"noise": 2.0, "shift": (8.0, 0.0)},
    "spread 8 px, misses 4 in 10": {"noise": 8.0, "miss": 0.4},
    "one box for 5 slices": {"hold": 5},
}


@functools.cache
def abdomens(seed):
    """Two abdomens: case, mask, true boxes of every label and slice."""
    found = []
    for case in ("a", "b"):
        rng = np.random.default_rng([seed, ord(case)])
        mask = make_abdomen(rng, shape=(24, 192, 192), spacing=(1.75, 1.75, 5.0)).mask
        drawn = true_drawing(mask, LABELS)
        labels = np.array(list(LABELS), dtype=object)[drawn.labels]
        frame = pd.DataFrame(drawn.boxes, columns=BOX)
        found.append((case, mask, frame.assign(case=case, slice=drawn.planes, label=labels)))
    return found


def organs(careless, seed):
    """Two abdomens, drawn by four fair raters and one careless one: study, true boxes."""
    cases = [(case, mask) for case, mask, _ in abdomens(seed)]
    raters = {
        f"r{k}": {"noise": noise, "miss": 0.02} for k, noise in enumerate((1.2, 1.5, 1.8, 1.5))
    }
    raters["careless"] = {"miss": 0.02} | careless
    simulate = Simulate(raters=raters)
    study = simulate_study(cases, name="organs", labels=LABELS, simulate=simulate, seed=seed)
    true = pd.concat([boxes for _, _, boxes in abdomens(seed)])
    return study, true.set_index(PLACE)[BOX]
