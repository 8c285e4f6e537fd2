"""Studies of organs that simulated raters drew, each rater with known faults."""

import dataclasses

import numpy as np
import pandas as pd

from crowdqc.agreement import Resampling, review_raters
from crowdqc.config import FaultyRater
from crowdqc.judge import judge_raters
from crowdqc.matching import match
from crowdqc.schema import Study
from crowdqc.simulate import Drawing, draw

LABELS = ("spleen", "right_kidney", "left_kidney", "liver", "aorta")
BOX = ["x0", "y0", "x1", "y1"]
SIZE = (256, 256)
NONE = Resampling(n=0)
"""No intervals from resampling: what is tested does not depend on them."""
GOOD = {f"good{k}": {"noise": 1.5} for k in range(4)}
"""Raters without a fault."""
_CENTRE = np.array([[200, 120], [80, 170], [176, 170], [85, 110], [128, 160]])
_HALF = np.array([[25, 30], [16, 18], [16, 18], [55, 50], [9, 9]])


def true_organs(rng, slices):
    """Organs as ellipsoids that sway a little: smooth edges along the slices."""
    planes, labels, boxes = [], [], []
    for label in range(len(LABELS)):
        length = rng.integers(int(0.6 * slices), slices - 1)
        first = rng.integers(0, slices - length)
        z = np.arange(length)
        across = np.sqrt(1 - ((z - (length - 1) / 2) / (length / 2 + 0.5)) ** 2)
        sway = rng.normal(0, 3, 2) * np.linspace(-1, 1, length)[:, None]
        centre = _CENTRE[label] + rng.normal(0, 6, 2) + sway
        half = _HALF[label] * rng.uniform(0.85, 1.15) * np.clip(across, 0.35, 1)[:, None]
        planes.append(first + z)
        labels.append(np.full(length, label))
        boxes.append(np.hstack([centre - half, centre + half]))
    return Drawing(
        np.concatenate(planes), np.concatenate(labels), np.concatenate(boxes), np.ones(slices, bool)
    )


def organ_study(faults, *, seed=0, cases=6, slices=24, alter=None, **fields):
    """A study of `cases` cases: `faults` maps raters to what they do wrong.

    `alter` maps a rater to a function of (boxes of that rater, boxes of all, rng) that returns
    the rater's boxes changed, for faults that `crowdqc.simulate` does not know.
    """
    rng = np.random.default_rng(seed)
    boxes, readings, images = [], [], []
    for c in range(cases):
        true = true_organs(rng, slices)
        images.append(pd.DataFrame({"case": f"{c:04d}", "slice": range(slices)}))
        for rater, wrong in faults.items():
            drawn = draw(true, FaultyRater(**wrong), names=LABELS, size=SIZE, rng=rng.spawn(1)[0])
            frame = pd.DataFrame(drawn.boxes, columns=BOX).assign(
                case=f"{c:04d}", slice=drawn.planes, rater=rater
            )
            boxes.append(frame.assign(label=np.array(LABELS, dtype=object)[drawn.labels]))
            read = pd.DataFrame({"case": f"{c:04d}", "slice": np.flatnonzero(drawn.read)})
            readings.append(read.assign(rater=rater, state="boxed", labels=""))
    table = pd.concat(boxes, ignore_index=True)
    for rater, change in (alter or {}).items():
        mine = table["rater"] == rater
        changed = change(table[mine].copy(), table, rng)
        table = pd.concat([table[~mine], changed], ignore_index=True)
    spacing = {"spacing_x": 0.8, "spacing_y": 0.8, "spacing_z": 3.0}
    return Study(
        "organs",
        LABELS,
        pd.concat(images).assign(height=SIZE[0], width=SIZE[1], **spacing),
        pd.concat(readings),
        table.assign(box=range(len(table))),
        single=frozenset(LABELS),
        **fields,
    )


def review(faults, **fields):
    """Scorecards of a small study of organs."""
    given = {"cases": 6, "slices": 16, **fields}
    return judged(review_raters(match(organ_study(faults, **given)), resampling=NONE))


def judged(found, policy=None):
    """What was learnt of the raters, with verdicts."""
    raters = judge_raters(found.raters, found.findings, policy)
    return dataclasses.replace(found, raters=raters)


def copy_of(other):
    """A rater who copies all boxes of `other`."""

    def change(mine, everything, rng):
        theirs = everything[everything["rater"] == other]
        return theirs.assign(rater=mine["rater"].iloc[0])

    return change


def slices_of(other, share, *, px=0.0):
    """A rater who hands in, on a share of the slices, the boxes of `other`, moved by `px`."""

    def change(mine, everything, rng):
        slices = everything[["case", "slice"]].drop_duplicates()
        taken = pd.MultiIndex.from_frame(slices[rng.random(len(slices)) < share])
        theirs = everything[everything["rater"] == other].assign(rater=mine["rater"].iloc[0])
        own, copied = (
            pd.MultiIndex.from_frame(of[["case", "slice"]]).isin(taken) for of in (mine, theirs)
        )
        theirs = theirs[copied]
        moved = theirs[BOX] + rng.normal(0, px, (len(theirs), 4))
        return pd.concat([mine[~own], theirs.assign(**moved)])

    return change


def some(share, change):
    """`change` applied to a share of the rater's boxes only."""

    def part(mine, everything, rng):
        chosen = rng.random(len(mine)) < share
        return pd.concat([mine[~chosen], change(mine[chosen].copy(), everything, rng)])

    return part


def whole_image(mine, everything, rng):
    return mine.assign(x0=0.0, y0=0.0, x1=float(SIZE[1]), y1=float(SIZE[0]))


def constant(mine, everything, rng):
    """The first box of each label, drawn everywhere."""
    first = mine.groupby("label")[BOX].transform("first")
    return mine.assign(**{edge: first[edge] for edge in BOX})


def guessed(mine, everything, rng):
    """Boxes anywhere in the body."""
    low = rng.uniform(40, 160, (len(mine), 2))
    high = low + rng.uniform(20, 60, (len(mine), 2))
    return mine.assign(x0=low[:, 0], y0=low[:, 1], x1=high[:, 0], y1=high[:, 1])


def shuffled(*keys):
    """Boxes of the rater's other slices with the same `keys`: drawn without looking."""

    def change(mine, everything, rng):
        mixed = mine.copy()
        for rows in mine.groupby(list(keys)).indices.values():
            mixed.iloc[rows, mixed.columns.get_indexer(BOX)] = (
                mine[BOX].iloc[rng.permutation(rows)].to_numpy()
            )
        return mixed

    return change


def swapped(share, first="right_kidney", second="left_kidney"):
    """Two labels taken for each other on a share of the slices."""
    other = {first: second, second: first}

    def change(mine, everything, rng):
        slices = mine["case"] + "/" + mine["slice"].astype(str)
        chosen = [name for name in slices.unique() if rng.random() < share]
        called = mine["label"].replace(other)
        return mine.assign(label=mine["label"].where(~slices.isin(chosen), called))

    return change


def tired(px):
    """Boxes that are larger and larger, by `px` at each edge on the last slice read."""

    def change(mine, everything, rng):
        order = mine["case"].astype(int) * 1000 + mine["slice"]
        late = order.rank(method="dense").to_numpy()
        sign = np.array([-1.0, -1.0, 1.0, 1.0])
        worse = mine[BOX].to_numpy() + (late / late.max())[:, None] * px * sign
        return mine.assign(**dict(zip(BOX, worse.T, strict=True)))

    return change
