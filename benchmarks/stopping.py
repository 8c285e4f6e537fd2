"""What is lost by stopping early: raters are revealed one by one, object by object.

    python benchmarks/stopping.py [--data FOLDER] [--set NAME] [--seeds N] [--gain G] [--new N]

Each image begins with two raters, in a random order of its raters. After each batch the study is
matched and fitted anew. One more rater of each place that is to be read again is revealed, but for
the boxes of objects of which no more are asked: the rater sees them as done. F1 at IoU 0.5 is
against gold, or where there is none against the fusion of all raters. `first` is the first so many
raters of each image, for about as many boxes. Table in reports/data.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from plan import part
from scipy.optimize import linear_sum_assignment

from crowdqc.config import load_config
from crowdqc.formats import read_study
from crowdqc.fusion import Stopping, fuse, stopping
from crowdqc.geometry import pairwise_iou
from crowdqc.judge import USABLE
from crowdqc.matching import match
from crowdqc.schema import BOX, Study

ROOT = Path(__file__).parents[1]
DATA = ROOT / "reports" / "data"
IMAGE, PLACE = ["case", "slice"], ["case", "slice", "label"]
FIRST = 2
SAME = 0.4
"""IoU with an object that is done from which a rater's box is one of it, and is not asked for."""


@dataclass
class Crowd:
    """A whole study, the order of raters of each image, and what was revealed."""

    study: Study
    order: pd.Series
    drawn_at: np.ndarray
    shown: pd.DataFrame
    kept: np.ndarray
    read: np.ndarray

    @classmethod
    def begin(cls, study: Study, seed: int) -> Crowd:
        at = pd.Series(np.random.default_rng(seed).random(len(study.readings)))
        order = study.readings.reset_index(drop=True).assign(at=at)
        order = order.groupby(IMAGE)["at"].rank().astype(int)
        readings = study.readings[[*IMAGE, "rater"]].assign(order=order.to_numpy())
        drawn = study.boxes[[*IMAGE, "rater"]].merge(readings, how="left")["order"].to_numpy()
        nothing = pd.DataFrame(columns=[*PLACE, "rater", *BOX])
        return cls(study, order, drawn, nothing, np.array(drawn <= FIRST), np.array(order <= FIRST))

    def now(self) -> Study:
        """The study as it is."""
        return part(self.study, self.kept, self.read)

    def reveal(self, batch: int, places: pd.DataFrame, done: pd.DataFrame) -> bool:
        """Whether a rater of any of some images is revealed, who sees some boxes as done."""
        readings = self.study.readings.reset_index(drop=True)
        wanted = readings[IMAGE].merge(places.assign(open=1), how="left")["open"].notna()
        new = ((self.order == batch) & wanted).to_numpy()
        who = readings.loc[new, [*IMAGE, "rater"]]
        shown = who.merge(done[[*PLACE, *BOX]], on=IMAGE)[[*PLACE, "rater", *BOX]]
        self.shown = shown if self.shown.empty else pd.concat([self.shown, shown])
        self.read = self.read | new
        mine = self.study.boxes.reset_index(drop=True).merge(who.assign(new=1), how="left")
        mine = mine[mine["new"].notna()]
        known = dict(list(shown.groupby([*PLACE, "rater"])))
        for key, rows in mine.groupby([*PLACE, "rater"]):
            self.kept[rows.index[free(rows, known.get(key))]] = True
        return bool(new.any())


def free(rows: pd.DataFrame, done: pd.DataFrame | None) -> np.ndarray:
    """Boxes of a rater that are not those of an object that is done."""
    asked = np.ones(len(rows), bool)
    if done is not None:
        overlap = pairwise_iou(rows[BOX].to_numpy(float), done[BOX].to_numpy(float))
        i, j = linear_sum_assignment(-overlap)
        asked[i[overlap[i, j] >= SAME]] = False
    return asked


def read(name: str, data: Path) -> tuple[Study, pd.DataFrame]:
    """A study, and its gold boxes; of a study without gold the fusion of all raters."""
    study = read_study(load_config(ROOT / "configs" / f"{name}.toml"))[0]
    if name != "crowd_boxes_gold":
        return study, usable(fuse(match(study)))[[*PLACE, *BOX]]
    gold = pd.read_csv(data / name / "gold.csv", dtype={"item": str})
    gold = gold.rename(columns={"item": "case"}).assign(slice=0, label="object")
    return study, gold[[*PLACE, *BOX]]


def usable(fused: pd.DataFrame) -> pd.DataFrame:
    return fused[fused["state"].isin(USABLE)].reset_index(drop=True)


def outcome(fused: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """F1 of the fused boxes, and their expected and real error."""
    best = np.zeros(len(fused))
    true = dict(list(truth.groupby(PLACE)))
    for key, rows in fused.groupby(PLACE):
        if key in true:
            overlap = pairwise_iou(rows[BOX].to_numpy(float), true[key][BOX].to_numpy(float))
            i, j = linear_sum_assignment(-overlap)
            best[rows.index[i]] = overlap[i, j]
    f1 = 2 * int((best >= 0.5).sum()) / (len(fused) + len(truth))
    known = fused["expected_error"].notna().to_numpy()
    return {
        "f1": f1,
        "expected": float(fused["expected_error"].mean()),
        "met": float(1 - best[known].mean()),
    }


def bound_holds(found: pd.DataFrame, fused: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Share of the usable boxes whose error is below its bound."""
    rows = found.sort_values("object").reset_index(drop=True)
    rows = rows[(fused["state"].isin(USABLE)).to_numpy()]
    met = []
    true = dict(list(truth.groupby(PLACE)))
    for key, group in rows.groupby(PLACE):
        best = np.zeros(len(group))
        if key in true:
            overlap = pairwise_iou(group[BOX].to_numpy(float), true[key][BOX].to_numpy(float))
            i, j = linear_sum_assignment(-overlap)
            best[i] = overlap[i, j]
        met += list(1 - best <= group["error_high"].to_numpy() + 1e-9)
    return float(np.mean(met))


def run(name: str, data: Path, *, seed: int, rule: Stopping) -> list[tuple]:
    study, gold = read(name, data)
    crowd = Crowd.begin(study, seed)
    for batch in range(FIRST + 1, int(crowd.order.max()) + 2):
        now = match(crowd.now())
        found = stopping(now, rule, shown=crowd.shown)
        drawn = now.objects[IMAGE].drop_duplicates()
        empty = study.readings[IMAGE].drop_duplicates().merge(drawn, how="left", indicator=True)
        empty = empty.loc[empty["_merge"] == "left_only", IMAGE]  # nobody drew anything yet
        places = pd.concat([found.loc[found["read"], IMAGE].drop_duplicates(), empty])
        states = found["state"].value_counts().to_dict()
        print(f"  {int(crowd.kept.sum())} boxes, {len(places)} images: {states}", flush=True)
        if not crowd.reveal(batch, places, found[found["state"] != "ask"]):
            break
    n, total = int(crowd.kept.sum()), len(study.boxes)
    early = min(
        range(1, int(crowd.order.max()) + 1), key=lambda k: abs((crowd.drawn_at <= k).sum() - n)
    )
    few = part(study, crowd.drawn_at <= early, (crowd.order <= early).to_numpy())
    fused = fuse(now, shown=crowd.shown)
    ways = {
        "all": (total, usable(fuse(match(study)))),
        "stopped": (n, usable(fused)),
        "first": (len(few.boxes), usable(fuse(match(few)))),
    }
    rows = []
    for way, (boxes, table) in ways.items():
        held = bound_holds(found, fused, gold) if way == "stopped" else np.nan
        rows.append(
            (
                name,
                seed,
                rule.gain,
                rule.new,
                way,
                boxes / total,
                *outcome(table, gold).values(),
                held,
            )
        )
        print(
            "{} {} {} {} {:8} boxes {:.3f} F1 {:.4f} expected {:.3f} met {:.3f} held {:.3f}".format(
                *rows[-1]
            ),
            flush=True,
        )
    return rows


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--set", default="crowd_boxes_gold")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--gain", type=float, default=Stopping().gain)
    parser.add_argument("--new", type=float, default=Stopping().new)
    asked = parser.parse_args()
    rows = []
    names = ["set", "seed", "gain", "new", "way", "boxes", "f1", "expected", "met", "bound_holds"]
    DATA.mkdir(exist_ok=True)
    for seed in asked.seeds:
        rows += run(asked.set, asked.data, seed=seed, rule=Stopping(asked.gain, asked.new))
        table = pd.DataFrame(rows, columns=names).round(5)
        table.to_csv(DATA / f"stopping_{asked.set}.csv", index=False, lineterminator="\n")
    print(table.groupby("way", sort=False)[["boxes", "f1", "expected", "met"]].mean().round(4))


if __name__ == "__main__":
    main()
