"""Labels that a detector would learn from: F1 of fused boxes of photographs, thinned to few raters.

    python benchmarks/bu_bil.py ../shared/data --out out/bu_bil --parts photographs page

The pixels of crowd_boxes_gold were not released with its boxes, so no detector can be trained.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from draws import Units, signed, table
from fusion_sets import counts

import crowdqc
from crowdqc.agreement import assess_raters
from crowdqc.completeness import assess
from crowdqc.judge import judge_raters
from crowdqc.schema import Study, stands_in
from crowdqc.stages.gate import Measured, judge_measured
from tests.crowdqc.gold import gold_study

ASKED = (2, 3, 5, 9)
DRAWS = 5
METHODS = ("mean", "median", "edges")
COUNTS = ("right", "right75", "found")
RESAMPLES = 2000
POLICY = crowdqc.load_policy()
SIDES = {
    "default, gate on - off": (("edges", "on"), ("edges", "off")),
    "default - median, gate off": (("edges", "off"), ("median", "off")),
    "default - mean, gate off": (("edges", "off"), ("mean", "off")),
}


def thinned(study: Study, n: int, draw: int) -> Study:
    """The study with n of the raters of each image, at random; images with fewer keep all."""
    rng = np.random.default_rng([n, draw])
    order = study.readings.assign(key=rng.random(len(study.readings)))
    kept = order.sort_values("key").groupby("case").head(n).sort_index()
    key = ["case", "rater"]
    boxes = study.boxes[stands_in(kept, study.boxes, key)]
    return Study(study.name, study.labels, study.images, kept.drop(columns="key"), boxes)


def score(data: Path, n: int, draw: int) -> pd.DataFrame:
    """Right at IoU 0.5 and 0.75 and found boxes of each image, without and with the gate."""
    study, gold = gold_study(data)
    study = thinned(study, n, draw)
    matched = crowdqc.match(study)
    found = assess_raters(matched)
    complete, findings = assess(study)
    scored = pd.DataFrame({"case": study.cases, "raters": n, "draw": draw})
    for method in METHODS:
        measured = Measured(
            raters=judge_raters(found.raters, found.findings, POLICY),
            completeness=complete,
            consensus=crowdqc.fuse(matched, method=method),
            findings={"check": [], "agree": found.findings, "complete": findings},
            study=study,
        )
        judged = judge_measured(measured, POLICY)
        kept = judged.prompts[~judged.decision.withheld(judged.prompts)]
        for gate, boxes in (("off", judged.prompts), ("on", kept)):
            of = counts(boxes, gold, study.cases).astype(int)
            for column, values in zip(COUNTS, of.T, strict=False):
                scored[f"{column}_{method}_{gate}"] = values
            scored["true"] = of[:, 3]
    return scored


def run(data: Path, units: Units) -> None:
    for draw in range(DRAWS):
        for n in ASKED:
            units.get(f"photographs/{n}-{draw}", partial(score, data, n, draw))


def f1(of: pd.DataFrame, side: tuple[str, str], right: str = "right") -> np.ndarray:
    """F1 and 2,000 resamplings of it, of draws and, within all, of images: (2001,)."""
    method, gate = side
    names = [f"{right}_{method}_{gate}", f"found_{method}_{gate}", "true"]
    shape = of["draw"].nunique(), of["case"].nunique()
    hits, found, true = (
        of.sort_values(["draw", "case"])[name].to_numpy().reshape(shape) for name in names
    )
    rng = np.random.default_rng(0)
    draws = rng.multinomial(shape[0], [1 / shape[0]] * shape[0], RESAMPLES)
    images = rng.multinomial(shape[1], [1 / shape[1]] * shape[1], RESAMPLES)
    weights = [(np.ones((1, n)), it) for n, it in zip(shape, (draws, images), strict=True)]
    a, b = (np.concatenate(pair) for pair in weights)
    sums = [np.einsum("kd,dc,kc->k", a, it, b) for it in (hits, found, true)]
    return 2 * sums[0] / (sums[1] + sums[2])


def part(found: pd.DataFrame) -> str:
    """Both tables of the page."""
    if found.empty:
        return "Not run yet."
    return f"{table(by_raters(found))}\n\n{table(contrasts(found))}"


def by_raters(found: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for method, gate in itertools.product(METHODS, ("off", "on")):
        row = {"fusion": "default" if method == "edges" else method, "gate": gate}
        for n, of in found.groupby("raters"):
            low, high = (f1(of, (method, gate), right)[0] for right in COUNTS[:2])
            row[f"{n} raters: F1@0.5, F1@0.75"] = f"{low:.3f}, {high:.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def contrasts(found: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for title, (a, b) in SIDES.items():
        row = {"difference of F1@0.5": title}
        for n, of in found.groupby("raters"):
            change = f1(of, a) - f1(of, b)
            row[f"{n} raters"] = signed((change[0], *np.quantile(change[1:], [0.025, 0.975])))
        rows.append(row)
    return pd.DataFrame(rows)
