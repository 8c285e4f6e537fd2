"""Five raters of one planted fault each, as a test plays them: pictures, boxes, what comes back.

The organs are ellipsoids in four cases of 12 slices. `stops` has opened two of four cases, `swaps`
takes one kidney for the other, `large` draws half as large again, `skips` leaves out every third
slice, and `copies` has what `stops` drew, to the pixel.
"""

import json

import numpy as np
from PIL import Image

LABELS = ("liver", "left_kidney", "right_kidney")
CASES, SLICES, SIZE = ("c1", "c2", "c3", "c4"), 12, 120
RATERS = ("steady", "stops", "swaps", "large", "skips", "copies")
STUDY = """[study]
name = "abdomen"
seed = 3
[labels]
0 = { name = "liver", value = 1 }
1 = { name = "left_kidney", value = 2, side = "left" }
2 = { name = "right_kidney", value = 3, side = "right" }
[annotations]
format = "yolo"
path = "boxes/{rater}/{case}-slice{slice}.txt"
[images]
path = "pictures/{case}-slice{slice}.png"
[assignments]
path = "assignments.csv"
[agree]
bootstrap = 200
"""


def truth(case, label, k):
    """The true box of an organ on a slice: x0, y0, x1, y1; `None` where there is none."""
    n = CASES.index(case)
    x, y, w, h, first, last = {
        "liver": (35 + n, 45, 34, 40, 1, 10),
        "left_kidney": (88, 70 + n, 16, 20, 2, 9),
        "right_kidney": (62, 95 - n, 14, 18, 3, 10),
    }[label]
    middle, half = (first + last) / 2, (last - first) / 2 + 0.8
    share = 1 - ((k - middle) / half) ** 2
    if not first <= k <= last or share <= 0:
        return None
    w, h = w * share**0.5, h * share**0.5
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def draw(rater, case, k, *, mended=False):
    """Lines of YOLO that a rater writes for a slice; `mended`: without the fault."""
    who = "stops" if rater == "copies" and not mended else rater
    rng = np.random.default_rng([len(who), sum(map(ord, who)), CASES.index(case), k, mended])
    lines = []
    for label in LABELS:
        box = truth(case, label, k)
        noise = rng.normal(0, 0.35, 4)
        if box is None:
            continue
        box = box + noise
        if rater == "large" and not mended:
            centre, half = (box[:2] + box[2:]) / 2, 0.75 * (box[2:] - box[:2])
            box = np.concatenate([centre - half, centre + half])
        name = label
        if rater == "swaps" and not mended and "kidney" in label:
            name = "left_kidney" if label == "right_kidney" else "right_kidney"
        lines.append((name, np.clip(box, 0, SIZE)))
    return lines


def yolo(lines, labels=LABELS):
    """As a YOLO file says it."""
    text = ""
    for label, (x0, y0, x1, y1) in lines:
        if label in labels:
            x, y, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
            numbers = " ".join(repr(float(v / SIZE)) for v in (x, y, w, h))
            text += f"{LABELS.index(label)} {numbers}\n"
    return text


def write_study(folder):
    """The first round: pictures, boxes, assignments and the study file."""
    (folder / "pictures").mkdir(parents=True)
    rows = ["rater,case,due"]
    for case in CASES:
        for k in range(SLICES):
            _picture(case, k).save(folder / "pictures" / f"{case}-slice{k:03d}.png")
        rows += [f"{rater},{case},2026-11-27" for rater in RATERS]
    for rater in RATERS:
        (folder / "boxes" / rater).mkdir(parents=True)
        cases = CASES[:2] if rater == "stops" else CASES
        for case in cases:
            for k in range(SLICES):
                skipped = rater == "skips" and k % 3 == 2
                if not skipped:
                    path = folder / "boxes" / rater / f"{case}-slice{k:03d}.txt"
                    path.write_text(yolo(draw(rater, case, k)), encoding="utf-8")
    (folder / "assignments.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return folder / "study.toml"


def _picture(case, k):
    pixels = np.full((SIZE, SIZE), 40, np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE]
    for label, grey in zip(LABELS, (150, 190, 200), strict=True):
        box = truth(case, label, k)
        if box is not None:
            centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
            inside = ((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 < 1
            pixels[inside] = grey
    return Image.fromarray(pixels)


def work_on(package):
    """Do what a YOLO package asks for, without the fault: only the slices and labels of it."""
    task = json.loads((package / "task.json").read_text(encoding="utf-8"))
    (package / "labels").mkdir(exist_ok=True)
    for one in task["slices"]:
        lines = draw(task["rater"], one["case"], one["slice"], mended=True)
        path = package / "labels" / one["image"].replace(".png", ".txt")
        path.write_text(yolo(lines, one["labels"]), encoding="utf-8")
    return task
