"""Boxes of other methods on the crowd with gold, as counts per image; each at its best there."""

import importlib.util

import numpy as np
import pandas as pd
from fusion_sets import counts, f1s
from van_horn import van_horn

from crowdqc.geometry import pairwise_iou
from tests.crowdqc.gold import BOX

QUORUMS = (0.0, 0.2, 0.25, 0.34)


def peers(study, gold, panoptes=None):
    """Name of each peer with its best setting -> counts per image.

    `panoptes` is what benchmarks/panoptes.py wrote. Best is the setting (and the share of the
    raters asked who must have drawn an object, two at least) with the greatest sum of both F1.
    """
    found = {"greedy median": greedy(study), "Van Horn & Branson (model)": lean(study)}
    if importlib.util.find_spec("ensemble_boxes"):
        found["ensemble-boxes WBF"] = ensemble(study)
    if panoptes:
        table = pd.read_csv(panoptes, dtype={"case": str})
        found["panoptes-aggregation"] = dict(iter(table.groupby("setting")))
    asked = study.readings.groupby("case")["rater"].nunique()
    return dict(
        best(name, tries, asked=asked, study=study, gold=gold) for name, tries in found.items()
    )


def best(name, tries, *, asked, study, gold):
    scored = {}
    for setting, frame in tries.items():
        share = frame["count"] / frame["case"].map(asked)
        for quorum in QUORUMS:
            kept = frame[(frame["count"] > 1.99) & (share >= quorum - 1e-9)]
            scored[f"{setting}, quorum {quorum}"] = counts(kept, gold, study.cases)
    setting = max(scored, key=lambda key: f1s(scored[key]).sum())
    return f"{name}: {setting}", scored[setting]


def as_frame(rows):
    return pd.DataFrame(rows, columns=["case", "count", *BOX])


def ensemble(study):
    """Every rater a model of equal weight."""
    from ensemble_boxes import weighted_boxes_fusion

    found = {}
    for iou in (0.3, 0.4, 0.55):
        rows = []
        for case, of in study.boxes.groupby("case"):
            models = [(frame[BOX] / 4000).to_numpy().tolist() for _, frame in of.groupby("rater")]
            ones = [[1.0] * len(model) for model in models]
            fused, score, _ = weighted_boxes_fusion(models, ones, ones, iou_thr=iou)
            votes = score * len(models)  # its score is the share of the models that drew
            rows += [(case, n, *box) for n, box in zip(votes, fused * 4000, strict=True)]
        found[f"IoU {iou}"] = as_frame(rows)
    return found


def greedy(study):
    """Each box joins the group whose median it overlaps best, without another of its rater."""
    found = {}
    for iou in (0.3, 0.4, 0.5):
        rows = []
        for case, of in study.boxes.groupby("case"):
            groups = []
            for box, rater in zip(of[BOX].to_numpy(), of["rater"], strict=True):
                overlaps = [
                    0.0 if rater in who else pairwise_iou([box], [np.median(boxes, axis=0)])[0, 0]
                    for boxes, who in groups
                ]
                if overlaps and max(overlaps) >= iou:
                    boxes, who = groups[int(np.argmax(overlaps))]
                else:
                    groups.append(([], []))
                    boxes, who = groups[-1]
                boxes.append(box)
                who.append(rater)
            rows += [(case, len(who), *np.median(boxes, axis=0)) for boxes, who in groups]
        found[f"IoU {iou}"] = as_frame(rows)
    return found


def lean(study):
    """The model of Van Horn and Branson; it decides by itself what exists."""
    names = sorted(study.readings["rater"].unique())
    number = {name: k for k, name in enumerate(names)}
    asked = study.readings["rater"].map(number).groupby(study.readings["case"]).unique()
    cases = list(study.boxes.groupby("case"))
    images = [
        (of[BOX].to_numpy(), of["rater"].map(number).to_numpy(), asked[case]) for case, of in cases
    ]
    found = {}
    for name, refine in (("a drawn box", False), ("refined", True)):
        rows = []
        fused = van_horn(images, len(names), refine=refine)
        for (case, _), (boxes, size) in zip(cases, fused, strict=True):
            rows += [(case, n, *box) for n, box in zip(size, boxes, strict=True)]
        found[name] = as_frame(rows)
    return found
