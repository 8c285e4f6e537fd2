"""Whether the risk is a probability, and whether intervals of the Dice hold, on masks with a Dice.

    python benchmarks/risk_scale.py NAME RISK.csv DICE.csv

RISK.csv is what `crowdqc risk` wrote, DICE.csv has case, slice, label, dice (or is slice_dice.csv
of the crowd study, or a scores.csv of `crowdqc evaluate`). Tables are written into reports/data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from audit import BAD, read_scores

from crowdqc.risk import STATED, Scale, dice_interval, fit_scale

DATA = Path(__file__).parents[1] / "reports" / "data"
DRAWS = 200
WIDTHS = ("width", "constant", "central", "shortest")


def error(chance: np.ndarray, bad: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean chance less the share of bad ones, over ten bins."""
    place = np.minimum((chance * bins).astype(int), bins - 1)
    parts = [place == k for k in range(bins) if (place == k).any()]
    return float(sum(abs(chance[one].mean() - bad[one].mean()) * one.mean() for one in parts))


def calibration(table: pd.DataFrame, rng: np.random.Generator) -> list[tuple]:
    free = table["risk_free"].to_numpy()
    bad = (table["dice"] < BAD).to_numpy(dtype=float)
    own = fit_scale(free, bad, prior=Scale(0.0, 1.0), doubt=Scale(50.0, 50.0))
    print(
        f"fitted to all: intercept {own.intercept:.2f}, slope {own.slope:.2f}; bad {bad.mean():.3f}"
    )
    rows = [("rank", 0, error(free, bad), np.nan, np.nan)]
    rows.append(("stated scale", 0, error(STATED.probability(free), bad), np.nan, np.nan))
    for n in (30, 100, 300):
        found = []
        for _ in range(DRAWS):
            graded = np.zeros(len(bad), bool)
            graded[rng.choice(len(bad), n, replace=False)] = True
            scale = fit_scale(free[graded], bad[graded])
            found.append(error(scale.probability(free[~graded]), bad[~graded]))
        below = float((np.array(found) < 0.05).mean())
        rows.append(("graded at random", n, np.median(found), np.quantile(found, 0.95), below))
    return rows


def intervals(table: pd.DataFrame, rng: np.random.Generator) -> list[tuple]:
    """Coverage over left-out cases, and width beside one interval for all masks."""
    cases = table["case"].unique()
    rows = []
    for gold in (2, 5, 10):
        found = [held(table, rng.permutation(cases)[:gold]) for _ in range(20)]
        mean, sd = np.mean(found, axis=0), np.std(found, axis=0)
        rows.append((f"{gold} cases scored", *mean, sd[0]))
    if len(cases) <= 12:
        parts = [outcome(table, [c for c in cases if c != one]) for one in cases]
        whole = pd.concat(parts)
        rows.append(
            ("each case by the others", *summary(whole), whole.groupby("case")["in"].mean().std())
        )
    return rows


def held(table: pd.DataFrame, gold) -> tuple[float, ...]:
    return summary(outcome(table, gold))


def outcome(table: pd.DataFrame, gold) -> pd.DataFrame:
    """Whether the interval of each mask of the other cases (or the one left) holds."""
    scored = table["case"].isin(gold).to_numpy()
    low, high = dice_interval(table, np.where(scored, table["dice"], np.nan))
    one = np.quantile(table["dice"][scored], [0.05, 0.95])
    dice = table["dice"].to_numpy()
    found = table[["case", "label"]].assign(
        width=high - low,
        constant=one[1] - one[0],
        held=(dice >= one[0]) & (dice <= one[1]),
        dice=dice,
    )
    found["in"] = (dice >= low) & (dice <= high)
    return found[~scored]


def summary(found: pd.DataFrame) -> tuple[float, ...]:
    """Coverage, that of the worst label, width, widths of constants, and coverage of the first."""
    covered, ordered = found["in"].mean(), np.sort(found["dice"].to_numpy())
    tail = (1 - covered) / 2
    central = np.quantile(ordered, 1 - tail) - np.quantile(ordered, tail)
    n = max(int(np.ceil(covered * len(ordered))), 1)
    shortest = (ordered[n - 1 :] - ordered[: len(ordered) - n + 1]).min()
    worst = found.groupby("label")["in"].mean().min()
    return covered, worst, found["width"].mean(), found["constant"].mean(), central, shortest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("name", "risk", "dice"):
        parser.add_argument(name)
    given = parser.parse_args()
    table = read_scores(given.risk, given.dice)
    print(f"{given.name}: {len(table)} masks of {table['case'].nunique()} cases")
    rng = np.random.default_rng(0)
    first = pd.DataFrame(
        calibration(table, rng), columns=["risk", "n", "ece", "ece_95", "below_05"]
    )
    second = pd.DataFrame(
        intervals(table, rng),
        columns=[
            "scored",
            "coverage",
            "worst_label",
            "width",
            "constant",
            "central",
            "shortest",
            "sd",
        ],
    )
    DATA.mkdir(exist_ok=True)
    for kind, found in (("ece", first), ("dice_interval", second)):
        print(found.round(3).to_string(index=False))
        name = f"risk_{kind}_{given.name}.csv"
        found.round(4).to_csv(DATA / name, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
