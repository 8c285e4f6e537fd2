"""Whether masks from boxes that continuity calls into question are worse, on the crowd study.

    crowdqc agree configs/btcv.toml --out out/btcv
    python -m benchmarks.continuity out/btcv/agree.findings.jsonl $DATA/results/BTCV/slice_dice.csv

A mask is bad where its Dice is below 0.5, as in `benchmarks/risk.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import mannwhitneyu

from benchmarks.risk import BAD, read_dice
from crowdqc.findings import parse_findings

CHECKS = ("edge-jump", "edge-outlier")


def main() -> None:
    """Print Dice and bad masks among the boxes that were named, and among the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("findings", type=Path)
    parser.add_argument("slice_dice")
    options = parser.parse_args()
    findings = [
        f for f in parse_findings(options.findings.read_text(encoding="utf-8")) if f.check in CHECKS
    ]
    named = pd.MultiIndex.from_tuples([(f.case, f.slice, f.label) for f in findings]).unique()
    dice = read_dice(options.slice_dice).set_index(["case", "slice", "label"])["dice"]
    inside = dice.index.isin(named)
    print(f"{len(findings)} findings on {len(named)} boxes, {inside.sum()} of them scored")
    for what, group in (("named", dice[inside]), ("others", dice[~inside])):
        bad = int((group < BAD).sum())
        print(f"{what}: {len(group)} masks, mean Dice {group.mean():.3f}, {bad} bad")
    print(f"Mann-Whitney p = {mannwhitneyu(dice[inside], dice[~inside]).pvalue:.1g}")


if __name__ == "__main__":
    main()
