"""Tables as the stages before the gate write them, small."""

import numpy as np
import pandas as pd

from crowdqc.findings import Where, to_cell
from crowdqc.judge import (
    Policy,
    box_measures,
    case_measures,
    decide,
    label_measures,
    make_manifest,
    rater_measures,
    rater_runs,
)
from crowdqc.judge.text import sentences
from crowdqc.schema import conform

RATERS = pd.DataFrame(
    {
        "rater": ["a", "b"],
        "agreement_low": [0.8, 0.7],
        "reliability_high": [0.95, 0.9],
        "behind": [-0.05, 0.0],
        "n_compared": [100, 100],
        "n_others": [2, 2],
        "agreement_high_simultaneous": [0.9, 0.8],
        "agreement_best": [0.85, 0.75],
        "agreement_best_low": [0.8, 0.7],
        "labels_swapped": [0.0, 0.0],
    }
)


def consensus(rows):
    """Fused boxes from (case, slice, label, state)."""
    frame = pd.DataFrame(rows, columns=["case", "slice", "label", "state"])
    return conform(
        "consensus",
        frame.assign(
            x0=0.0, y0=0.0, x1=10.0, y1=20.0, support=2, n_raters=3, score=0.9,
            expected_error=0.1,
            spread_x0=1.0,
            spread_y0=2.0, spread_x1=3.0, spread_y1=0.5, method="median",
        ),
    )  # fmt: skip


def completeness(rows):
    """Runs from (case, label, rater, state, n_slices, coverage, truncated, faults)."""
    names = ["case", "label", "rater", "state", "n_slices", "coverage", "truncated", "faults"]
    frame = pd.DataFrame(rows, columns=names)
    frame = frame.assign(n_gaps=0, gap_slices="")
    frame["faults"] = [to_cell(names.split()) for names in frame["faults"]]
    frame["slices_expected"] = frame["n_slices"].clip(lower=1)
    return conform("completeness", frame)


def whole(cases=("1", "2"), labels=("liver", "spleen"), n=5):
    """A study in which everything is fine: consensus and completeness."""
    boxes = [(case, k, label, "agreed") for case in cases for label in labels for k in range(n)]
    runs = [
        (case, label, rater, "complete", n, 1.0, "", "")
        for case in cases
        for label in labels
        for rater in ("a", "b")
    ]
    return consensus(boxes), completeness(runs)


def measures(boxes, runs, raters=RATERS):
    labels = label_measures(boxes, runs)
    known = rater_measures(raters).join(rater_runs(runs))
    boxes = box_measures(boxes[boxes["state"] == "agreed"])
    return {"rater": known, "label": labels, "case": case_measures(labels), "box": boxes}


def told(reasons, **unit):
    """Reasons as sentences about a unit."""
    return sentences(reasons, Where(**unit))


def policy(*rules, **keys):
    """A policy from (scope, measure, op, limit, severity)."""
    names = ("scope", "measure", "op", "limit", "severity")
    written = [{**dict(zip(names, rule, strict=True)), "because": "so"} for rule in rules]
    return Policy.model_validate({"rules": written, **keys})


SHORT = policy(("label", "n_slices", "<", 3, "reject"), ("box", "spread", ">", 20, "reject"))


def bad_study():
    """A study with a run that is too short, a box of which raters differ, and one unscored."""
    boxes, runs = whole()
    gone = (boxes["case"] == "2") & (boxes["label"] == "spleen") & (boxes["slice"] > 0)
    boxes = boxes[~gone].reset_index(drop=True)
    boxes.loc[1, "spread_x0"] = 99.0
    boxes.loc[2, "score"] = np.nan
    return boxes, runs


def manifest(made=SHORT, tables=None, findings=(), **further):
    """What the gate writes of a study, by default the bad one."""
    boxes, runs = tables or bad_study()
    found = measures(boxes, runs) | {"box": box_measures(boxes)}
    decision = decide(made, found, findings)
    options = {"study": "organs", "policy": made, "created_from": {"a.csv": "0" * 64}}
    return make_manifest(decision, boxes, **{**options, **further})
