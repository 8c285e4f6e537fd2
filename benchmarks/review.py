"""What an expert's decisions are worth, in the order of the queue and at random; prints Markdown.

    python benchmarks/review.py DATA > reports/review.md

DATA is the folder of the real data. The reviewer is the gold standard: asked for a fused box, it
draws the gold box that lies there, or says that nothing is there. Boxes that the whole crowd missed
are never asked for. Everything is seeded.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from fusion_sets import bil, counts, f1s
from scipy.optimize import linear_sum_assignment

from crowdqc.decisions.standing import BOX_COLUMNS, SETTLED
from crowdqc.fusion import fuse
from crowdqc.geometry import paired_iou, pairwise_iou
from crowdqc.matching import match
from crowdqc.review.queue import make_queue
from tests.crowdqc.crowds import crowd_study
from tests.crowdqc.gold import BOX, gold_study

PLACE = ["case", "slice", "label"]
NUMBERS = (10, 25, 50, 100, 200)
DRAWS = 10
SAME = 0.3
"""IoU with a fused box from which a gold box is the object that is asked for."""
CROWDS = {
    "five alike": {"sd": [2] * 5},
    "three of five scatter": {"sd": [2, 2, 7, 7, 7], "miss": [0.05, 0.05, 0.2, 0.2, 0.2]},
    "five, all draw too large": {"sd": [2] * 5, "bias": 4},
    "two, one scatters": {"sd": [2, 8], "miss": [0.02, 0.1]},
    "two, one draws too large": {"sd": [2, 2], "bias": [0, 8]},
    "two, one invents": {"sd": [2, 2], "miss": [0.02, 0.3], "extra": [0.4, 0], "single": False},
}
"""Hands of simulated raters, as of `tests.crowdqc.crowds.crowd_study`: 200 objects, 3 seeds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    study, gold = gold_study(data)
    crowd = Crowd(study, gold.assign(slice=0, label="thing"))
    print(HEAD.format(n=len(crowd.free), images=len(study.cases), gold=len(gold)))
    curve_table(crowd)
    print(REST)
    rest_row("photographs", [crowd])
    for number in (100, 200):
        rest_row("photographs", [crowd], number=number)
    rest_row("photographs, all of the other half", [crowd], number=10_000)
    for name, own, truth in bil(data):
        rest_row(
            f"BU-BIL, set {name}", [Crowd(own, truth.reset_index().assign(slice=0, label="cell"))]
        )
    for name, hands in CROWDS.items():
        rest_row(f"simulated: {name}", [simulated(seed, hands) for seed in range(3)], draws=4)


HEAD = """# What a reviewer's decisions are worth

Made by `python benchmarks/review.py ../shared/data > reports/review.md` on `crowd_boxes_gold`:
{images} photographs, {gold} gold boxes, {n} fused objects. The reviewer is the gold standard.
"""
REST = """
## What is left: images on which nothing was decided

Decisions on a random half of the images, in the order of the queue; figures of the other half, on
which nobody decided: F1 at IoU .5 and .75, mean IoU of the boxes of what is there, and Brier score
of the probability that an object exists. Before, and the change with its standard error over draws.

| crowd | decisions | F1@.5 | change | F1@.75 | change | IoU | change | Brier | change |
|---|---|---|---|---|---|---|---|---|---|"""


class Crowd:
    """A crowd with a gold standard (`PLACE` and `BOX`), and its fusion with objects settled."""

    def __init__(self, study, gold):
        self.matched, self.gold = match(study), gold
        self.free = fuse(self.matched)
        self.true = true_boxes(self.free, gold)
        self.real = np.isfinite(self.true[:, 0])
        units = self.free["case"] if self.free["case"].nunique() > 4 else self.free["slice"]
        self.unit = units.to_numpy()
        self.queue = self._queue()

    def _queue(self):
        """Rows of the consensus in the order in which they are asked for."""
        queue = make_queue({"consensus": self.free})
        numbered = self.free[PLACE].assign(row=np.arange(len(self.free)))
        numbered["object"] = numbered.groupby(PLACE).cumcount()
        return queue.merge(numbered, on=[*PLACE, "object"], how="left")["row"].to_numpy()

    def fused(self, rows):
        """The consensus with the objects of some rows settled by gold."""
        table = self.free[PLACE].assign(
            state=SETTLED, decision="draw", reviewers="gold", time=np.nan
        )
        table["object"] = table.groupby(PLACE).cumcount()
        table["real"] = self.real
        table[BOX] = np.where(self.real[:, None], self.true, self.free[BOX])
        table[[f"spread_{edge}" for edge in BOX]] = 0.0
        return fuse(self.matched, settled=table[BOX_COLUMNS].iloc[rows])

    def f1(self, found):
        """F1@.5 of all that is used."""
        found = found[found["state"] != "no_consensus"]
        return f1s(counts(found, self.gold, self.matched.study.cases))[0]

    def scores(self, found, units):
        """F1@.5, F1@.75, IoU and Brier score on some units (cases, or slices of few cases)."""
        here = np.isin(self.unit, units)
        used = here & (found["state"] != "no_consensus").to_numpy()
        boxes, there = found[BOX].to_numpy(), here & self.real
        overlap = np.zeros(len(found))
        overlap[there] = paired_iou(boxes[there], self.true[there])
        column = "case" if self.free["case"].nunique() > 4 else "slice"
        n = used.sum() + self.gold[column].isin(units).sum()
        right = [2 * (overlap[used] >= least).sum() / n for least in (0.5, 0.75)]
        brier = np.mean((found["score"].to_numpy()[here] - self.real[here]) ** 2)
        return np.array([*right, overlap[there].mean(), brier])


def true_boxes(consensus, gold):
    """Gold box of each fused object, nan where there is none, (O, 4)."""
    found = np.full((len(consensus), 4), np.nan)
    true = {place: of[BOX].to_numpy() for place, of in gold.groupby(PLACE)}
    boxes = consensus[BOX].to_numpy()
    for place, rows in consensus.groupby(PLACE).indices.items():
        if place in true:
            overlap = pairwise_iou(boxes[rows], true[place])
            i, j = linear_sum_assignment(overlap, maximize=True)
            same = overlap[i, j] >= SAME
            found[rows[i[same]]] = true[place][j[same]]
    return found


def simulated(seed, hands):
    study, truth = crowd_study(seed, things=200, **hands)
    gold = pd.DataFrame(truth, columns=BOX).assign(case="c", slice=range(len(truth)), label="organ")
    return Crowd(study, gold)


def curve_table(crowd):
    before = crowd.f1(crowd.free)
    rng = np.random.default_rng(0)
    n = len(crowd.free)
    print("\n## F1@.5 of all images against the number of decisions\n")
    print(f"Without a decision: {before:.3f}.\n")
    print(
        "| decisions | order of the queue | gain | at random (mean, range of 10) | gain | ratio |"
    )
    print("|---|---|---|---|---|---|")
    for number in NUMBERS:
        best = crowd.f1(crowd.fused(crowd.queue[:number]))
        some = [crowd.f1(crowd.fused(rng.permutation(n)[:number])) for _ in range(DRAWS)]
        up, usual = best - before, np.mean(some) - before
        print(
            f"| {number} | {best:.3f} | {up:+.3f} | {np.mean(some):.3f} "
            f"({min(some):.3f} to {max(some):.3f}) | {usual:+.3f} | {up / usual:.1f} |"
        )


def rest_row(name, crowds, *, number=50, draws=DRAWS):
    """Decisions on one half of the images; scores of the other half, on which nobody decided."""
    before, after = [], []
    for crowd in crowds:
        units, rng = np.unique(crowd.unit), np.random.default_rng(1)
        for _ in range(draws):
            half = rng.permutation(units)[: len(units) // 2]
            rest = np.setdiff1d(units, half)
            rows = crowd.queue[np.isin(crowd.unit[crowd.queue], half)][:number]
            before.append(crowd.scores(crowd.free, rest))
            after.append(crowd.scores(crowd.fused(rows), rest))
    before, change = np.array(before), np.array(after) - np.array(before)
    error = change.std(axis=0, ddof=1) / len(change) ** 0.5
    columns = zip(before.mean(axis=0), change.mean(axis=0), error, strict=True)
    cells = [f"{old:.3f} | {up:+.4f} ({wide:.4f})" for old, up, wide in columns]
    shown = "all" if number == 10_000 else number
    print(f"| {name} | {shown} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
