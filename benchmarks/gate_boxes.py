"""What the default gate withholds of small boxes: hippocampi with two careless raters of five.

    python benchmarks/gate_boxes.py ../shared/data

The crowds of `benchmarks/hippocampus.py`, two and three raters a case, with the default fusion. A
fused box is wrong where its IoU with the tight box round the expert's mask is below 0.5; F1 is of
all boxes that may be used, at that IoU, without the gate and with it.
"""

import sys
from pathlib import Path

import numpy as np
from hippocampus import MAIN
from hippocampus_crowd import Dose, Hippocampi, fuse_and_judge
from volume3d import boxes_of

import crowdqc
from crowdqc.geometry import paired_iou
from crowdqc.schema import BOX

DRAWS = 3
NOWHERE = np.zeros(4)


def main():
    data = Hippocampi(Path(sys.argv[1]))
    truth = true_boxes(data)
    print(
        "| faults | raters a case | draw | F1 | with the gate | wrong, withheld | right, withheld |"
    )
    print("|---" * 7 + "|")
    for faults, careless, per_case in MAIN:
        for draw in range(DRAWS):
            study = data.draw(Dose(faults, careless, per_case, draw))
            row = judged(study, truth)
            print(f"| {faults} | {per_case} | {draw} | " + " | ".join(row) + " |", flush=True)


def true_boxes(data):
    """Case, slice and label -> tight box."""
    found = {}
    for case, stack in data.true.items():
        for label, value in data.config.label_values.items():
            own = boxes_of(stack == value, "tight", np.random.default_rng(0))
            found |= {(case, k, label): box for k, box in own.items()}
    return found


def judged(study, truth):
    _, judgement = fuse_and_judge(study, crowdqc.match(study), method="edges")
    boxes = judgement.prompts
    kept = np.asarray(judgement.decision.usable(boxes))
    places = zip(boxes["case"], boxes["slice"], boxes["label"], strict=True)
    true = np.array([truth.get(place, NOWHERE) for place in places], float)
    right = paired_iou(boxes[BOX].to_numpy(float), true) >= 0.5
    cases = set(study.cases)
    n = sum(case in cases for case, *_ in truth)
    before = 2 * right.sum() / (len(boxes) + n)
    after = 2 * (right & kept).sum() / (kept.sum() + n)
    withheld = [f"{mine.sum()}, {(mine & ~kept).sum()}" for mine in (~right, right)]
    return [f"{before:.4f}", f"{after - before:+.4f}", *withheld]


if __name__ == "__main__":
    main()
