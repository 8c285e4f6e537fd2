"""Whether the bound of an audit holds, and how many gradings it needs.

    python benchmarks/audit.py validity                                 # 2,000 runs a design
    python benchmarks/audit.py boxes                                    # the same of fused boxes
    python benchmarks/audit.py sharpness NAME RISK.csv DICE.csv [--rejected SHARE]   # real masks
    python benchmarks/audit.py sharpness NAME RISK.csv DICE.csv --limits 0.02 0.07   # these anew

RISK.csv is what `crowdqc risk` wrote, DICE.csv has case, slice, label, dice (for the crowd study:
results/BTCV/slice_dice.csv as it was released). Tables are written into reports/data.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from risk import read_dice
from scipy.stats import hypergeom

from crowdqc.audit import MARGIN, Goal, Sample, Spending, bad_left
from crowdqc.audit.bound import not_rejected
from crowdqc.audit.choose import Design, draw_order, next_round
from crowdqc.audit.expect import Units, probabilities
from crowdqc.risk import STATED

DATA = Path(__file__).parents[1] / "reports" / "data"
RUNS, MOST = 2000, 116
"""Runs of a design, and failures that an exact bound at 5 % stays under with probability .95."""
BAD = 0.5
ORDERS = 500
"""Random orders in which masks are drawn, for what is needed."""
LIMITS = (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1)

# N, share of bad units, how risk ranks them, riskiest graded first, planned draws, draws made, part
DESIGNS = {
    "rare, good risk": (1000, 0.01, "good", 50, 80, 160, 1.0),
    "rare, risk says nothing": (1000, 0.01, "none", 50, 80, 160, 1.0),
    "rare, risk ranks the wrong way": (1000, 0.01, "wrong", 50, 80, 160, 1.0),
    "5 %, good risk": (1000, 0.05, "good", 80, 120, 240, 1.0),
    "5 %, risk ranks the wrong way": (1000, 0.05, "wrong", 80, 120, 240, 1.0),
    "frequent, good risk": (600, 0.25, "good", 60, 60, 200, 1.0),
    "frequent, risk ranks the wrong way": (600, 0.25, "wrong", 60, 60, 200, 1.0),
    "small part of 40": (800, 0.08, "good", 40, 100, 300, 0.05),
    "small part of 40, wrong risk": (800, 0.08, "wrong", 40, 100, 300, 0.05),
    "drawn far beyond the plan": (500, 0.05, "good", 20, 30, 400, 1.0),
    "stopped long before the plan": (800, 0.06, "none", 0, 400, 80, 1.0),
}


def validity(args: argparse.Namespace) -> None:
    """How often the bound is ever, at any look, below what is left."""
    rows = []
    for number, (name, design) in enumerate(DESIGNS.items()):
        rng, begun = np.random.default_rng([args.seed, number]), time.time()
        failed = sum(fails(rng, *design) for _ in range(RUNS))
        rows.append((name, *design, RUNS, failed, failed <= MOST))
        print(f"{name:40} {failed:4} of {RUNS} fail ({time.time() - begun:.0f} s)", flush=True)
    names = ["design", "n", "bad", "risk", "first", "planned", "drawn", "part"]
    write("audit_validity.csv", rows, [*names, "runs", "failed", "holds"])


def fails(rng, n, *design) -> bool:
    """One run: whether any look rejects the true number of bad ones; the bound then misses it."""
    share, ranks, first, planned, drawn, part = design
    truth = rng.permutation(n) < round(share * n)
    score = {"good": 1.5 * truth, "none": 0.0, "wrong": -1.5 * truth}[ranks] + rng.normal(size=n)
    frame = np.ones(n, bool)
    frame[np.argsort(-score)[:first]] = False
    order = np.empty(n, np.int64)
    order[rng.permutation(n)] = np.arange(n)
    place = np.full(n, n)
    place[np.flatnonzero(frame)[np.argsort(order[frame])]] = np.arange(frame.sum())
    rows = np.flatnonzero(frame & (rng.random(n) < part))
    rows = rows[np.argsort(place[rows])]
    seen = truth[rows[place[rows] < drawn]]
    spending = Spending(max(1, round(planned * len(rows) / frame.sum())), 0.05)
    true = np.array([truth[rows].sum()])
    return not len(not_rejected(seen, true, population=len(rows), spending=spending))


BOX_DESIGNS = {
    "boxes, good risk": (160, 0.1, "good"),
    "boxes, risk ranks the wrong way": (160, 0.1, "wrong"),
    "boxes, frequent": (120, 0.25, "none"),
}
LOOKS = 8
"""Rounds of an audit of boxes."""


def boxes(args: argparse.Namespace) -> None:
    """How often the bound of an audit of boxes, run as a user does, is below what is left."""
    with ProcessPoolExecutor(len(BOX_DESIGNS)) as pool:
        failed = list(pool.map(count_box_fails, BOX_DESIGNS, [args.seed] * len(BOX_DESIGNS)))
    rows = [
        (name, *design, RUNS, n, n <= MOST)
        for (name, design), n in zip(BOX_DESIGNS.items(), failed, strict=True)
    ]
    names = ["design", "n", "bad", "risk", "runs", "failed", "holds"]
    write("audit_validity_boxes.csv", rows, names)


def count_box_fails(name: str, seed: int) -> int:
    rng = np.random.default_rng([seed, list(BOX_DESIGNS).index(name), 7])
    failed = 0
    for run in range(1, RUNS + 1):
        failed += box_fails(rng, *BOX_DESIGNS[name])
        if run % 100 == 0:
            print(f"{name:40} {failed:4} of {run} fail", flush=True)
    return failed


def box_fails(rng, *design) -> bool:
    """One run: whether the bound is ever below what is left, boxes moving against the audit.

    Who knows the truth moves every box that was not graded, and is nearly wrong, as far as the
    audit allows for, so that it is wrong: not less than that many are left.
    """
    n, share, ranks = design
    bad = rng.permutation(n) < round(share * n)
    iou = np.where(bad, rng.uniform(0.1, 0.5, n), rng.uniform(0.5, 1.0, n))
    score = {"good": 1.5, "none": 0.0, "wrong": -1.5}[ranks] * bad + rng.normal(size=n)
    graded_bad, risk = (iou < 0.5 + MARGIN).astype(float), 0.1 / (1 + np.exp(-score))
    grades, listed = np.full(n, np.nan), np.zeros(n, bool)
    design = Design(Goal(0.15, 0.95), rng.permutation(n), np.zeros(n, bool), listed, 0)
    for _ in range(LOOKS):
        found = next_round(Units(risk, np.arange(n), np.zeros(n, np.int64), grades), design)
        listed = design.listed.copy()
        listed[np.concatenate([found.risky, found.random])] = True
        design = replace(design, listed=listed, frame=found.frame, planned=found.planned)
        grades = np.where(listed, graded_bad, np.nan)
        sample = Sample(grades, design.order, design.frame, design.planned)
        high = bad_left(sample, np.ones(n, bool), alpha=0.05).bad_high
        if high < graded_bad[~listed].sum():
            return True
    return False


def sharpness(args: argparse.Namespace) -> None:
    """Gradings until a bound is reached, on masks whose Dice is known."""
    masks = read_masks(args.risk, args.dice, args.rejected)
    n, bad = len(masks), int((masks["dice"] < BAD).sum())
    print(f"{args.name}: {n} masks, {bad} bad ({bad / n:.2%}), {args.rejected:.0%} rejected before")
    rows = []
    for limit in args.limits:
        goal = Goal(limit, 0.95)
        ways = {
            "random": masks.assign(risk=0.02),
            "audit": masks,
            "audit, wrong risk": masks.assign(
                risk=STATED.probability(1 - masks["risk_free"].to_numpy())
            ),
        }
        rows.append((limit, "exact", *exact(n, bad, limit), 0, 0))
        for way, table in ways.items():
            first, needed = gradings(table, goal, rng=np.random.default_rng(args.seed))
            quantiles = np.quantile(needed, [0.5, 0.8])
            rows.append((limit, way, *quantiles.round().astype(int), round(needed.mean()), first))
        betting = betting_needs(masks, goal, rng=np.random.default_rng(args.seed))
        rows.append((limit, "betting", *np.quantile(betting, [0.5, 0.8]).round().astype(int), 0, 0))
        first, needed = with_foresight(masks, goal)
        rows.append((limit, "foresight", 0, needed, 0, first))
        for row in rows[-6:]:
            print(
                "{:.0%} {:20} median {:5} 80 % {:5} mean {:5} first {:4}".format(*row), flush=True
            )
    names = ["limit", "way", "median", "quantile_80", "mean", "riskiest_first"]
    path = DATA / f"audit_{args.name}.csv"
    if path.exists():  # limits that were not asked for now stay
        old = pd.read_csv(path)
        rows += old[~old["limit"].isin(args.limits)][names].itertuples(index=False, name=None)
    write(path.name, sorted(rows, key=lambda row: row[0]), names)


def read_masks(risk: str, dice: str, rejected: float) -> pd.DataFrame:
    """Masks of which the Dice is known, without the riskiest."""
    table = read_scores(risk, dice)
    kept = np.argsort(-table["risk_free"].to_numpy(), kind="stable")
    return table.iloc[np.sort(kept[round(rejected * len(table)) :])].reset_index(drop=True)


def read_scores(risk: str, dice: str) -> pd.DataFrame:
    """Masks of which the Dice is known, their risk a probability, and as a rank before that."""
    table = pd.read_csv(risk, dtype={"case": str})
    scores = pd.read_csv(dice, dtype={"case": str})
    if "model" in scores:
        scores = read_dice(dice)
    elif "set" in scores:
        scores = scores[(scores["set"] == "filtered") & scores["slice"].notna()]
    scores = scores[["case", "slice", "label", "dice"]].dropna()
    return table.merge(scores, on=["case", "slice", "label"])


def exact(n: int, bad: int, limit: float) -> tuple[int, int]:
    """Random draws, counted beforehand, that reach the exact bound with probability .5 and .8.

    All n where more is bad: bad ones are not taken out.
    """
    if bad > limit * n:
        return n, n
    found = []
    for power in (0.5, 0.8):
        allowed = int(limit * n + 1e-9) + 1
        for size in range(1, n):
            most = -1
            while hypergeom.cdf(most + 1, n, allowed, size) <= 0.05:
                most += 1
            if most >= 0 and hypergeom.cdf(most, n, bad, size) >= power:
                found.append(size)
                break
    return found[0], found[1]


def gradings(masks: pd.DataFrame, goal: Goal, *, rng) -> tuple[int, np.ndarray]:
    """Masks graded before random draws begin, and in all until the bound is reached (runs,)."""
    truth = (masks["dice"] < BAD).to_numpy(dtype=float)
    frame, planned = riskiest_first(masks, truth, goal)
    rows = np.flatnonzero(frame)
    found = int(truth[~frame].sum())
    most = min(len(rows), 1000)
    bad = int(truth[rows].sum())
    limits = np.array(
        [
            rejection_limits(
                int(goal.limit * (len(truth) - found - x) + 1e-9) + x + 1,
                len(rows),
                Spending(planned, goal.alpha).by(np.arange(1, most + 1)),
            )
            for x in range(bad + 1)
        ]
    )
    needed = []
    for _ in range(ORDERS):
        counts = np.cumsum(truth[rng.permutation(rows)][:most]).astype(int)
        crossed = counts[None] <= limits
        first = np.where(crossed.any(axis=1), crossed.argmax(axis=1), most)
        reached = np.arange(most) >= first[counts]
        needed.append((~frame).sum() + (reached.argmax() + 1 if reached.any() else most))
    return int((~frame).sum()), np.array(needed)


def riskiest_first(masks: pd.DataFrame, truth: np.ndarray, goal: Goal) -> tuple[np.ndarray, int]:
    """Grade as the audit asks until random draws begin: what they are made from, how many."""
    n = len(masks)
    run = masks.groupby(["case", "label"], sort=False).ngroup().to_numpy()
    bad, listed = np.full(n, np.nan), np.zeros(n, bool)
    while True:
        units = Units(masks["risk"].to_numpy(), run, masks["slice"].to_numpy(), bad)
        design = Design(goal, draw_order(map(str, range(n)), 0), np.zeros(n, bool), listed, 0)
        found = next_round(units, design)
        if found.planned:
            return found.frame, found.planned
        bad[found.risky] = truth[found.risky]
        listed[found.risky] = True


def with_foresight(masks: pd.DataFrame, goal: Goal) -> tuple[int, int]:
    """Riskiest graded first, and gradings in all, if it were known how many bad ones are left.

    One mask at a time is graded as the audit ranks them, up to the best moment to stop; then as
    many random draws as a single look needs with a probability of .8, bad ones taken out.
    """
    n, truth = len(masks), (masks["dice"] < BAD).to_numpy(dtype=float)
    run = masks.groupby(["case", "label"], sort=False).ngroup().to_numpy()
    grades, best = np.full(n, np.nan), (n, 0)
    for k in range(161):
        found, left = int(np.nansum(grades)), np.isnan(grades)
        if k % 5 == 0:
            allowed = int(goal.limit * (n - found) + 1e-9) + 1
            best = min(best, (k + single_look(left.sum(), int(truth[left].sum()), allowed), k))
        chance = probabilities(
            Units(masks["risk"].to_numpy(), run, masks["slice"].to_numpy(), grades)
        )
        one = int(np.argmax(np.where(left, chance, -1)))
        grades[one] = truth[one]
    return best[1], best[0]


def single_look(n: int, bad: int, allowed: int) -> int:
    """Random draws that reject `allowed` bad ones of n with a probability of .8."""
    for size in range(1, n):
        most = int(hypergeom.ppf(0.05, n, allowed, size))
        most -= hypergeom.cdf(most, n, allowed, size) > 0.05
        if most >= 0 and hypergeom.cdf(most, n, bad, size) >= 0.8:
            return size
    return n


def rejection_limits(bad: int, frame: int, spent: np.ndarray) -> np.ndarray:
    """Most bad draws with which "`bad` of the frame are bad" is rejected, -1 for none, (n,).

    Another implementation of `crowdqc.audit.bound`, of one hypothesis and all paths.
    """
    reach = np.zeros(min(bad, len(spent)) + 2)
    reach[0], used, limits = 1.0, 0.0, np.full(len(spent), -1)
    states = np.arange(len(reach))
    for step in range(len(spent)):
        moved = reach * np.clip((bad - states) / (frame - step), 0, 1)
        reach = reach - moved
        reach[1:] += moved[:-1]
        crossing = np.searchsorted(used + np.cumsum(reach), spent[step], side="right")
        if crossing:
            limits[step] = crossing - 1
            used += reach[:crossing].sum()
            reach[:crossing] = 0
    return limits


def betting_needs(masks: pd.DataFrame, goal: Goal, *, rng) -> np.ndarray:
    """The same by a test martingale on random draws alone: a bet on the share found so far."""
    truth = (masks["dice"] < BAD).to_numpy()
    n, needed = len(truth), []
    for _ in range(200):
        x = rng.permutation(truth)[:1000]
        before, steps = np.cumsum(x) - x, np.arange(len(x))
        after = before + x
        allowed = (goal.limit * (n - after)).astype(int) + after + 1
        reached = len(x)
        for total in np.unique(allowed):
            null = np.clip((total - before) / (n - steps), 1e-12, 1 - 1e-12)
            bet = np.minimum((before + 1) / (steps + 1 / (goal.limit / 2)), null)
            wealth = np.cumsum(np.where(x, np.log(bet / null), np.log((1 - bet) / (1 - null))))
            hit = np.maximum.accumulate(wealth) >= np.log(1 / goal.alpha)
            now = np.flatnonzero(hit & (allowed <= total))
            reached = min(reached, now[0] + 1) if len(now) else reached
        needed.append(reached)
    return np.array(needed)


def write(name: str, rows: list, columns: list[str]) -> None:
    DATA.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(DATA / name, index=False, lineterminator="\n")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    kinds = parser.add_subparsers(required=True)
    kinds.add_parser("validity").set_defaults(run=validity)
    kinds.add_parser("boxes").set_defaults(run=boxes)
    sharp = kinds.add_parser("sharpness")
    for name in ("name", "risk", "dice"):
        sharp.add_argument(name)
    sharp.add_argument(
        "--rejected", type=float, default=0.05, help="share of the riskiest left out"
    )
    sharp.add_argument("--limits", type=float, nargs="+", default=LIMITS)
    sharp.set_defaults(run=sharpness)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    sys.exit(main())
