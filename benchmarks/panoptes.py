"""Boxes of the crowd through panoptes-aggregation, for benchmarks/fusion_quality.py to score.

    python benchmarks/panoptes.py DATA OUT.csv

DATA is the folder of the real data; every setting below is run on ``crowd_boxes_gold``. Needs an
environment of its own (``pip install panoptes-aggregation``), because it is pinned to older
NumPy and pandas than crowdqc. The exact average shape of a cluster takes minutes.
"""

import argparse
import itertools
from pathlib import Path

import pandas as pd
from panoptes_aggregation.reducers.shape_reducer_dbscan import shape_reducer_dbscan
from panoptes_aggregation.reducers.shape_reducer_hdbscan import shape_reducer_hdbscan

TOOL = "T0_toolIndex0"
SIDES = ["x", "y", "width", "height"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    boxes = pd.read_csv(arguments.data / "crowd_boxes_gold" / "boxes.csv", dtype={"item": str})
    boxes = boxes.rename(columns={"item": "case", "x0": "x", "y0": "y"})
    boxes["width"], boxes["height"] = boxes["x1"] - boxes["x"], boxes["y1"] - boxes["y"]
    cases = {case: extracts(of) for case, of in boxes.groupby("case")}
    parts = []
    for name, reduce in settings():
        for case, drawn in cases.items():
            parts.append(clusters(reduce(*drawn)).assign(case=case, setting=name))
        pd.concat(parts).to_csv(arguments.out, index=False)


def settings():
    """Name of each setting, and what it makes of (extracts, user ids)."""

    def run(reducer, **fixed):
        return lambda drawn, users: reducer(
            drawn, user_id=users, shape="rectangle", metric_type="IoU", **fixed
        )

    for eps, least in itertools.product((0.4, 0.5, 0.6, 0.7), (2, 3)):
        fixed = {"eps": eps, "min_samples": least, "estimate_average": True}
        yield f"dbscan eps {eps} min {least} medoid", run(shape_reducer_dbscan, **fixed)
    for least in (2, 3):
        fixed = {"min_cluster_size": least, "min_samples": 2, "estimate_average": True}
        yield f"hdbscan min {least} medoid", run(shape_reducer_hdbscan, **fixed)
    for eps, least in itertools.product((0.5, 0.6), (2, 3)):  # some 5 minutes each
        fixed = {"eps": eps, "min_samples": least, "estimate_average": False}
        yield f"dbscan eps {eps} min {least} average", run(shape_reducer_dbscan, **fixed)


def extracts(boxes):
    """What each rater drew on an image, as the extractor of panoptes-aggregation gives it."""
    raters = list(boxes.groupby("rater"))
    drawn = [
        {"frame0": {f"{TOOL}_{side}": of[side].tolist() for side in SIDES}} for _, of in raters
    ]
    return drawn, [rater for rater, _ in raters]


def clusters(found):
    """One row per cluster: box and how many boxes it has."""
    frame = found.get("frame0", {})
    columns = {side: frame.get(f"{TOOL}_clusters_{side}", []) for side in SIDES}
    table = pd.DataFrame(columns | {"count": frame.get(f"{TOOL}_clusters_count", [])})
    table["x1"], table["y1"] = table["x"] + table["width"], table["y"] + table["height"]
    return table.rename(columns={"x": "x0", "y": "y0"}).drop(columns=["width", "height"])


if __name__ == "__main__":
    main()
