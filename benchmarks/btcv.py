"""The numbers that README gives of the crowd study, from results of crowdqc, into reports/data.

    export CROWDQC_DATA=../shared/data; LABELS=$CROWDQC_DATA/btcv_crowd
    SAM="$LABELS/SAM-labels/label{case}.nii.gz"; MEDSAM="$LABELS/MedSAM-labels/label{case}.nii.gz"
    crowdqc complete configs/btcv.toml --out out/btcv
    crowdqc risk configs/btcv.toml --out out/btcv --masks "$SAM" --masks "$MEDSAM"
    crowdqc risk configs/btcv.toml --out out/btcv_medsam --masks "$MEDSAM" --masks "$SAM"
    python benchmarks/btcv.py $CROWDQC_DATA out/btcv out/btcv_medsam

Intervals are those of 2,000 resamplings of cases.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
from risk import BAD, LABELS, RESAMPLES, read_dice, resampled, roc_area

ROOT = Path(__file__).parents[1]


def volume_dice(results: Path) -> pd.DataFrame:
    """Released Dice of SAM's masks of whole volumes: a row for each case and label."""
    frame = pd.read_csv(results / "volume_dice.csv")
    frame = frame[frame["model"] == "SAM-vit_h"]
    columns = [name for name in frame if name.endswith("_dice")]
    frame = frame.assign(case=frame["path"].str.extract(r"(\d+)", expand=False))
    long = frame.melt("case", columns, "label", "dice")
    return long.assign(label=long["label"].str.removesuffix("_dice").replace(LABELS))


def completeness(folder: Path, results: Path) -> dict[str, float]:
    paper = tomllib.loads((ROOT / "reports" / "paper" / "paper.toml").read_text(encoding="utf-8"))
    complete = next(part["complete"] for part in nested(paper) if "complete" in part)
    runs = pd.read_csv(folder / "completeness.csv", dtype={"case": str})
    own = runs[runs["case"].isin(complete)]
    holes = own.groupby("case")["n_gaps"].sum()
    scored = own.merge(volume_dice(results), on=["case", "label"])
    low, high = resampled_r(scored)
    return {
        "volumes_complete": len(complete),
        "volumes_without_gap": int((holes == 0).sum()),
        "gap_slices": int(runs["n_gaps"].sum()),
        "runs": len(scored),
        "coverage_dice_r": correlation(scored),
        "coverage_dice_r_low": low,
        "coverage_dice_r_high": high,
    }


def nested(part):
    """A dict and all dicts within it."""
    if isinstance(part, dict):
        yield part
    if isinstance(part, dict | list):
        for one in part.values() if isinstance(part, dict) else part:
            yield from nested(one)


def correlation(scored: pd.DataFrame) -> float:
    return float(np.corrcoef(scored["coverage"], scored["dice"])[0, 1])


def resampled_r(scored: pd.DataFrame) -> np.ndarray:
    rng, groups = np.random.default_rng(0), [of for _, of in scored.groupby("case")]
    found = [
        correlation(pd.concat([groups[k] for k in rng.integers(len(groups), size=len(groups))]))
        for _ in range(RESAMPLES)
    ]
    return np.quantile(found, [0.025, 0.975])


def risk(folder: Path, results: Path, *, model: str, name: str) -> dict[str, float]:
    """How well the risk of the masks of a model ranks them."""
    table = pd.read_csv(folder / "risk.csv", dtype={"case": str})
    dice = read_dice(str(results / "slice_dice.csv"), model)
    table = table.merge(dice, on=["case", "slice", "label"])
    bad = (table["dice"] < BAD).to_numpy()
    low, high = resampled(table, "risk", np.random.default_rng(0))["auc"]
    worst = table[bad].groupby("case").size().sort_values()
    return {
        f"{name}_masks": len(table),
        f"{name}_bad": int(bad.sum()),
        f"{name}_bad_in_two_cases": int(worst.iloc[-2:].sum()),
        f"{name}_auc": roc_area(bad, table["risk"].to_numpy()),
        f"{name}_auc_low": low,
        f"{name}_auc_high": high,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("sam", type=Path, help="results with the risk of SAM's masks")
    parser.add_argument("medsam", type=Path, help="results with the risk of MedSAM's masks")
    given = parser.parse_args()
    results = given.data / "btcv_crowd" / "results" / "BTCV"
    found = completeness(given.sam, results)
    found |= risk(given.sam, results, model="SAM-vit_h", name="sam")
    found |= risk(given.medsam, results, model="MedSAM-vit_b", name="medsam")
    table = pd.DataFrame(found.items(), columns=["number", "value"])
    path = ROOT / "reports" / "data" / "btcv.csv"
    table.to_csv(path, index=False, float_format="%.4f", lineterminator="\n")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
