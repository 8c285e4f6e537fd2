"""What is lost by stopping early: raters are revealed one by one, where `next_raters` asks for one.

    python benchmarks/stopping.py [--data FOLDER] [--set NAME] [--seeds N] [--gain G]

Each image begins with two raters in a random order of its raters. After each batch the study is
matched and fitted anew, and one more rater of each image that is asked for is revealed, until none
is asked for or no rater is left. F1 at IoU 0.5 is against gold, or where there is none against the
fusion of all raters; `random` reveals as many raters of random images. Table in reports/data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from plan import BOX, PLACE, part
from scipy.optimize import linear_sum_assignment

from crowdqc.config import load_config
from crowdqc.formats import read_study
from crowdqc.fusion import Stopping, fuse, stopping
from crowdqc.geometry import pairwise_iou
from crowdqc.judge import USABLE
from crowdqc.matching import match

ROOT = Path(__file__).parents[1]
DATA = ROOT / "reports" / "data"
IMAGE = ["case", "slice"]
FIRST = 2


def read(name: str, data: Path):
    """A study, and its gold boxes; of a study without gold the fusion of all raters."""
    study = read_study(load_config(ROOT / "configs" / f"{name}.toml"))[0]
    if name != "crowd_boxes_gold":
        return study, None
    gold = pd.read_csv(data / name / "gold.csv", dtype={"item": str}).rename(
        columns={"item": "case"}
    )
    return study, gold.assign(slice=0, label="object")[[*PLACE, *BOX]]


def order_of(study, seed: int) -> pd.DataFrame:
    """Readings with the random place of each among those of its image, from 1."""
    at = np.random.default_rng(seed).random(len(study.readings))
    readings = study.readings.assign(at=at)
    return readings.assign(order=readings.groupby(IMAGE)["at"].rank().astype(int))


def revealed(study, order: pd.DataFrame, n: pd.Series):
    """The study of the first n raters of each image."""
    kept = (order["order"] <= n.loc[order["image"]].to_numpy()).to_numpy()
    rows = order.loc[kept, [*IMAGE, "rater"]].assign(kept=1)
    mine = study.boxes[[*IMAGE, "rater"]].merge(rows, how="left")["kept"].notna()
    return part(study, mine.to_numpy(), kept)


def outcome(study, truth: pd.DataFrame) -> dict[str, float]:
    """F1 of the fused boxes, and their expected and real error."""
    fused = fuse(match(study))
    fused = fused[fused["state"].isin(USABLE)].reset_index(drop=True)
    best = np.zeros(len(fused))
    true = dict(list(truth.groupby(PLACE)))
    for key, rows in fused.groupby(PLACE):
        if key in true:
            overlap = pairwise_iou(rows[BOX].to_numpy(float), true[key][BOX].to_numpy(float))
            i, j = linear_sum_assignment(-overlap)
            best[rows.index[i]] = overlap[i, j]
    hits = int((best >= 0.5).sum())
    known = fused["expected_error"].notna().to_numpy()
    return {
        "f1": 2 * hits / (len(fused) + len(truth)),
        "expected": float(fused["expected_error"].mean()),
        "met": float(1 - best[known].mean()),
        "boxes": len(study.boxes),
    }


def run(name: str, data: Path, *, seed: int, rule: Stopping) -> list[tuple]:
    study, gold = read(name, data)
    if gold is None:
        gold = fuse(match(study))
        gold = gold.loc[gold["state"].isin(USABLE), [*PLACE, *BOX]]
    order = order_of(study, seed)
    order["image"] = order[IMAGE].apply(tuple, axis=1)
    most = order.groupby("image").size()
    n = np.minimum(most, FIRST)
    rows = []
    for batch in range(40):
        now = revealed(study, order, n)
        found = stopping(match(now), rule)
        asks = found.groupby(IMAGE)["state"].agg(lambda s: (s == "ask").any())
        wanted = asks.reindex(pd.MultiIndex.from_tuples(n.index), fill_value=True).to_numpy()
        wanted = wanted & (n < most).to_numpy()
        print(
            f"  batch {batch}: {len(now.boxes)} boxes, {int(wanted.sum())} images ask; "
            f"{found['state'].value_counts().to_dict()}",
            flush=True,
        )
        if not wanted.any():
            break
        n = n + wanted
    whole = outcome(study, gold)
    for way, shown in (
        ("all", study),
        ("stopped", now),
        ("random", at_random(study, order, len(now.boxes), seed=seed)),
    ):
        result = whole if way == "all" else outcome(shown, gold)
        share = result["boxes"] / whole["boxes"]
        rows.append(
            (name, seed, rule.gain, way, share, result["f1"], result["expected"], result["met"])
        )
        print(
            "{} seed {} gain {} {:8} boxes {:.3f} F1 {:.4f} expected {:.3f} met {:.3f}".format(
                *rows[-1]
            ),
            flush=True,
        )
    return rows


def at_random(study, order: pd.DataFrame, n_boxes: int, *, seed: int):
    """About as many boxes, by revealing raters of random images."""
    rng = np.random.default_rng(seed + 1)
    later = order[order["order"] > FIRST]
    names = later["image"].to_numpy()[rng.permutation(len(later))]
    low, high = 0, len(names)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high)
            if len(_first(study, order, names[:middle]).boxes) < n_boxes
            else (low, middle)
        )
    return _first(study, order, names[:high])


def _first(study, order: pd.DataFrame, asked):
    n = order.groupby("image").size().clip(upper=FIRST)
    return revealed(study, order, n.add(pd.Series(asked).value_counts(), fill_value=0))


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--set", default="crowd_boxes_gold")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--gain", type=float, default=Stopping().gain)
    asked = parser.parse_args()
    rows = []
    for seed in range(asked.seeds):
        rows += run(asked.set, asked.data, seed=seed, rule=Stopping(gain=asked.gain))
    names = ["set", "seed", "gain", "way", "boxes", "f1", "expected", "met"]
    table = pd.DataFrame(rows, columns=names)
    print(table.groupby("way", sort=False)[["boxes", "f1", "expected", "met"]].mean().round(4))
    DATA.mkdir(exist_ok=True)
    table.round(5).to_csv(DATA / f"stopping_{asked.set}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
