"""How well the risk of masks predicts their Dice, on the crowd study's released masks.

    DATA=../shared/data/btcv_crowd
    crowdqc risk configs/btcv.toml --out out/btcv \\
        --masks '${CROWDQC_DATA:-../../shared/data}/btcv_crowd/SAM-labels/label{case}.nii.gz' \\
        --masks '${CROWDQC_DATA:-../../shared/data}/btcv_crowd/MedSAM-labels/label{case}.nii.gz'
    python benchmarks/risk.py out/btcv/risk.csv $DATA/results/BTCV/slice_dice.csv

A mask is bad where its Dice is below 0.5. Intervals are those of 2,000 resamplings of cases.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from crowdqc.risk import cross_validate

LABELS = {"rkidney": "right_kidney", "lkidney": "left_kidney"}
BAD = 0.5
RESAMPLES = 2000
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def read_dice(path: str, model: str = "SAM-vit_h") -> pd.DataFrame:
    """The released Dice per slice, one row per slice and organ."""
    frame = pd.read_csv(path)
    frame = frame[frame["model"] == model]
    columns = [name for name in frame if name.endswith("_dice")]
    frame = frame.assign(case=frame["path"].str.extract(r"(\d+)", expand=False))
    long = frame.melt(["case", "slice_idx"], columns, "label", "dice").dropna(subset=["dice"])
    long["label"] = long["label"].str.removesuffix("_dice").replace(LABELS)
    return long.rename(columns={"slice_idx": "slice"})


def roc_area(bad: np.ndarray, risk: np.ndarray) -> float:
    """Area under the ROC curve: how often a bad mask is riskier than a good one."""
    ranks, n = rankdata(risk), int(bad.sum())
    return float((ranks[bad].sum() - n * (n + 1) / 2) / (n * (len(bad) - n)))


def average_precision(bad: np.ndarray, risk: np.ndarray) -> float:
    """Mean over the bad masks of the share of bad ones among all that are as risky."""
    hits = bad[np.argsort(-risk, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def gain(dice: np.ndarray, risk: np.ndarray, share: float) -> float:
    """What rejecting the riskiest share adds to the mean Dice of the rest."""
    kept = np.argsort(risk, kind="stable")[: len(dice) - round(share * len(dice))]
    return float(dice[kept].mean() - dice.mean())


def resampled(table: pd.DataFrame, column: str, rng: np.random.Generator) -> dict:
    """Intervals of all measures, by resampling cases."""
    groups = [group for _, group in table.groupby("case")]
    found = []
    for _ in range(RESAMPLES):
        part = pd.concat([groups[k] for k in rng.integers(len(groups), size=len(groups))])
        dice, risk = part["dice"].to_numpy(), part[column].to_numpy()
        bad = dice < BAD
        found.append((roc_area(bad, risk), average_precision(bad, risk), gain(dice, risk, 0.05)))
    return dict(
        zip(("auc", "ap", "gain"), np.quantile(found, [0.025, 0.975], axis=0).T, strict=True)
    )


def main() -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("risk")
    parser.add_argument("dice")
    parser.add_argument("--model", default="SAM-vit_h", help="whose Dice; that of the first masks")
    arguments = parser.parse_args()
    risk = pd.read_csv(arguments.risk, dtype={"case": str})
    table = risk.merge(read_dice(arguments.dice, arguments.model), on=["case", "slice", "label"])
    dice = table["dice"].to_numpy()
    bad = dice < BAD
    table["calibrated"] = cross_validate(table, dice)
    print(f"{len(table)} masks of {table['case'].nunique()} cases, {bad.sum()} bad")
    rng = np.random.default_rng(0)
    for column in ("risk", "calibrated"):
        score, interval = table[column].to_numpy(), resampled(table, column, rng)
        print(
            f"{column:11} AUC {roc_area(bad, score):.3f} ({_text(interval['auc'])})  "
            f"AP {average_precision(bad, score):.3f} ({_text(interval['ap'])})  "
            f"gain at 5 % {gain(dice, score, 0.05):+.4f} ({_text(interval['gain'])})"
        )
    for label, rows in table.groupby("label"):
        part = rows["dice"].to_numpy() < BAD
        print(f"  {label:13} AUC {roc_area(part, rows['risk'].to_numpy()):.3f}, {part.sum()} bad")
    lots = [gain(dice, rng.random(len(dice)), 0.05) for _ in range(10_000)]
    reached = sum(lot >= gain(dice, table["risk"].to_numpy(), 0.05) for lot in lots)
    print(f"rejecting 5 % at random gained as much in {reached} of 10000 draws")
    print("rejected   mean Dice of the rest   bad left   (by Dice itself)")
    for share in SHARES:
        kept = np.argsort(table["risk"].to_numpy(), kind="stable")
        kept = kept[: len(dice) - round(share * len(dice))]
        best = dice.mean() + gain(dice, -dice, share)
        print(f"{share:8.0%} {dice[kept].mean():19.4f} {bad[kept].sum():14} {best:14.4f}")


def _text(interval: np.ndarray) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


if __name__ == "__main__":
    main()
