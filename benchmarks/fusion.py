"""Time of fusion against its peers, in one run.

    python benchmarks/fusion.py [--boxes 1000000]

Needs SimpleITK and ensemble-boxes (``pip install simpleitk ensemble-boxes``); a peer that is
not installed is left out, with a word. Everything runs in one process. Of SimpleITK, which
uses all cores, the number of threads is printed.
"""

import argparse
import importlib
import time

import numpy as np
import pandas as pd

from crowdqc.fusion import fuse, staple_boxes
from crowdqc.matching import match, match_boxes
from crowdqc.schema import Study

BOX = ["x0", "y0", "x1", "y1"]
SIZE = 512
RATERS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boxes", type=int, default=1_000_000, help="boxes of the large study")
    arguments = parser.parse_args()
    for title, rows in (
        ("STAPLE: 100 slices of 512x512, 5 raters", compare_staple()),
        ("Weighted boxes fusion on the same boxes", compare_wbf(100_000)),
        (f"A study of {arguments.boxes:,} boxes", time_study(arguments.boxes)),
    ):
        print(f"\n{title}")
        for name, value in rows:
            print(f"  {name:<56}{value}")


def compare_staple() -> list[tuple[str, str]]:
    rng = np.random.default_rng(0)
    planes = 100
    corner = rng.integers(100, 250, (planes, 1, 2)) + rng.integers(-6, 7, (planes, RATERS, 2))
    side = rng.integers(60, 160, (planes, 1, 2)) + rng.integers(-6, 7, (planes, RATERS, 2))
    boxes = np.concatenate([corner, corner + side], axis=2).reshape(-1, 4).astype(float)
    plane, rater = np.divmod(np.arange(len(boxes)), RATERS)
    shape = (planes, SIZE, SIZE)
    ours, found = timed(lambda: staple_boxes(boxes, rater=rater, plane=plane, shape=shape), 20)
    rows = [("crowdqc.fusion.staple_boxes", f"{ours * 1e3:.2f} ms (median of 20)")]
    itk = optional("SimpleITK")
    if itk is None:
        return [*rows, ("SimpleITK", "not installed")]
    masks = np.zeros((RATERS, *shape), np.uint8)
    for (x0, y0, x1, y1), z, r in zip(boxes.astype(int), plane, rater, strict=True):
        masks[r, z, y0:y1, x0:x1] = 1
    images = [itk.GetImageFromArray(mask) for mask in masks]
    peer = itk.STAPLEImageFilter()
    peer.SetForegroundValue(1)
    theirs, posterior = timed(lambda: itk.GetArrayFromImage(peer.Execute(images)), 1)
    away = max(np.abs(found.probability(z) - posterior[z]).max() for z in range(planes))
    threads = itk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    return [
        *rows,
        (f"SimpleITK.STAPLE ({threads} threads)", f"{theirs:.2f} s"),
        ("ratio", f"{theirs / ours:,.0f}"),
        ("largest difference of the posterior", f"{away:.1e}"),
    ]


def compare_wbf(n_boxes: int) -> list[tuple[str, str]]:
    study = large_study(n_boxes)
    ours, _ = timed(lambda: fuse(match(study), method="wbf"), 3)
    rows = [("match + fuse(method='wbf')", f"{ours:.2f} s")]
    peer = optional("ensemble_boxes")
    if peer is None:
        return [*rows, ("ensemble-boxes", "not installed")]
    slices = study.boxes.groupby(["case", "slice"], sort=False)
    calls = []
    for _, of in slices:
        raters = [frame for _, frame in of.groupby("rater")]
        labels = [frame["label"].map(ord).tolist() for frame in raters]
        ones = [np.ones(len(frame)).tolist() for frame in raters]
        calls.append(([(frame[BOX] / SIZE).to_numpy().tolist() for frame in raters], ones, labels))
    fusion = peer.weighted_boxes_fusion
    theirs, _ = timed(lambda: [fusion(b, s, c, iou_thr=0.3) for b, s, c in calls], 1)
    return [
        *rows,
        ("ensemble_boxes.weighted_boxes_fusion, slice by slice", f"{theirs:.2f} s"),
        ("ratio", f"{theirs / ours:.1f}"),
    ]


def time_study(n_boxes: int) -> list[tuple[str, str]]:
    study = large_study(n_boxes)
    once, matched = timed(lambda: match(study), 1)
    rows = [("match, one object per label and slice", f"{once:.1f} s")]
    boxes = study.boxes
    image = boxes.groupby(["case", "slice"], sort=False).ngroup()
    overlap, _ = timed(
        lambda: match_boxes(
            boxes[BOX], image=image, rater=boxes["rater"], label=boxes["label"], iou=0.3
        ),
        1,
    )
    rows.append(("match_boxes, by overlap (labels that repeat)", f"{overlap:.1f} s"))
    for method in ("median", "mean", "majority", "wbf", "simple", "staple", "edges"):
        seconds, found = timed(lambda method=method: fuse(matched, method=method), 1)
        rows.append((f"match + fuse(method='{method}')", f"{once + seconds:.1f} s"))
    return [*rows, ("objects", f"{len(found):,}")]


def large_study(n_boxes: int) -> Study:
    """Five raters draw five organs on every slice of cases with 100 slices."""
    rng = np.random.default_rng(0)
    n = n_boxes // RATERS
    half = rng.uniform(10, 30, (n, 2))
    centre = rng.uniform(100, 400, (n, 2))
    truth = np.repeat(np.hstack([centre - half, centre + half]), RATERS, axis=0)
    noise = np.tile([1.0, 1.5, 2.0, 2.5, 6.0], n)[:, None] * rng.normal(size=(n * RATERS, 4))
    organ, rater = np.divmod(np.arange(n * RATERS), RATERS)
    place = organ // 5
    boxes = pd.DataFrame(truth + noise.clip(-9, 9), columns=BOX).assign(
        box=np.arange(n * RATERS),
        case=(place // 100).astype(str),
        slice=place % 100,
        rater=np.array([f"r{k}" for k in range(RATERS)])[rater],
        label=np.array(list("abcde"))[organ % 5],
    )
    images = boxes[["case", "slice"]].drop_duplicates().assign(height=SIZE, width=SIZE)
    readings = boxes[["case", "slice", "rater"]].drop_duplicates().assign(state="boxed")
    labels = tuple("abcde")
    return Study("large", labels, images, readings, boxes, single=frozenset(labels))


def timed(call, times):
    """Median time of `times` calls in seconds, and the last result."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), result


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    main()
