"""What an expert's decisions are worth, in the order of the queue and at random; prints Markdown.

    python benchmarks/review.py DATA > reports/review.md

DATA is the folder of the real data. The reviewer of ``crowd_boxes_gold`` is its gold standard:
asked for a fused box, it draws the gold box that lies there, or says that nothing is there. Boxes
that the whole crowd missed are never asked for. Everything is seeded.
"""

import argparse
from pathlib import Path

import numpy as np
from fusion_sets import counts, f1s
from scipy.optimize import linear_sum_assignment

from crowdqc.decisions.standing import BOX_COLUMNS, SETTLED
from crowdqc.fusion import fuse
from crowdqc.geometry import pairwise_iou
from crowdqc.matching import match
from tests.crowdqc.gold import BOX, gold_study

NUMBERS = (10, 25, 50, 100, 200)
DRAWS = 10
SAME = 0.3
"""IoU with a fused box from which a gold box is the object that is asked for."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    study, gold = gold_study(data)
    matched = match(study)
    crowd = Crowd(matched, gold)
    print(HEAD.format(n=len(crowd.free), images=len(study.cases), gold=len(gold)))
    curve_table(crowd)
    rest_table(crowd)


HEAD = """# What a reviewer's decisions are worth

Made by `python benchmarks/review.py ../shared/data > reports/review.md` on `crowd_boxes_gold`:
{images} photographs, {gold} gold boxes, {n} fused objects. The reviewer is the gold standard.
"""


class Crowd:
    """A crowd with a gold standard, and its fusion with any objects settled."""

    def __init__(self, matched, gold):
        self.matched, self.gold = matched, gold
        self.free = fuse(matched)
        self.answers = answers(self.free, gold)
        self.queue = np.argsort(-self.free["worth"].to_numpy(), kind="stable")

    def fused(self, rows):
        """The consensus with the objects of some rows settled by gold."""
        return fuse(self.matched, settled=self.answers.iloc[rows])

    def f1(self, found, cases=None):
        """F1@.5 of what is used."""
        cases = self.matched.study.cases if cases is None else cases
        found = found[found["state"] != "no_consensus"]
        return f1s(counts(found, self.gold, cases))[0]


def answers(consensus, gold):
    """What gold says of each fused object, as `crowdqc.decisions.settled_boxes` does."""
    table = consensus[["case", "slice", "label", *BOX]].copy()
    table["object"] = table.groupby(["case", "slice", "label"]).cumcount()
    table["real"] = False
    true = {case: of[BOX].to_numpy() for case, of in gold.groupby("case")}
    for case, rows in table.groupby("case").indices.items():
        if case not in true:
            continue
        overlap = pairwise_iou(table.iloc[rows][BOX], true[case])
        i, j = linear_sum_assignment(overlap, maximize=True)
        same = overlap[i, j] >= SAME
        index = table.index[rows[i[same]]]
        table.loc[index, "real"] = True
        table.loc[index, BOX] = true[case][j[same]]
    spread = {f"spread_{edge}": 0.0 for edge in BOX}
    return table.assign(**spread, state=SETTLED, decision="draw", reviewers="gold", time=np.nan)[
        BOX_COLUMNS
    ]


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


def rest_table(crowd):
    """Decisions on one half of the images; F1 of the other half, on which nobody decided."""
    print("\n## What is left: images on which nothing was decided\n")
    print("Decisions on a random half of the images, F1@.5 on the other half; mean of 10 halves.\n")
    print("| decisions | before | after | gain (standard error) | halves that gain / lose |")
    print("|---|---|---|---|---|")
    cases, rng = np.array(crowd.matched.study.cases), np.random.default_rng(1)
    halves = [rng.permutation(cases)[: len(cases) // 2] for _ in range(DRAWS)]
    where = crowd.free["case"].to_numpy()
    for number in (50, 100, 10_000):
        gains, befores = [], []
        for half in halves:
            rest = cases[~np.isin(cases, half)]
            rows = crowd.queue[np.isin(where[crowd.queue], half)][:number]
            befores.append(crowd.f1(crowd.free, rest))
            gains.append(crowd.f1(crowd.fused(rows), rest) - befores[-1])
        gains = np.array(gains)
        name = "all" if number == 10_000 else number
        print(
            f"| {name} | {np.mean(befores):.3f} | {np.mean(befores) + gains.mean():.3f} | "
            f"{gains.mean():+.4f} ({gains.std(ddof=1) / len(gains) ** 0.5:.4f}) | "
            f"{(gains > 0).sum()} / {(gains < 0).sum()} |"
        )


if __name__ == "__main__":
    main()
