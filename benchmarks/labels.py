"""Many labels: how time and memory grow with the boxes that two raters drew.

    python benchmarks/labels.py                        # 1,203 labels, 200 images
    python benchmarks/labels.py --boxes 11 --boxes 44  # so many on each image by each rater

The study is made in a temporary folder. Each stage is a process of its own: CPU seconds (user and
system) and peak memory are the kernel's count for that process.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from scale import measured

STAGES = ("check", "agree", "complete")
HEADER = "case,rater,label,x0,y0,x1,y1\n"
STUDY = """[study]
name = "many-labels"
[limits]
labels = 2000
[labels]
{labels}
[annotations]
format = "table"
path = "boxes.csv"
size = [64, 64]
columns = {{ {columns} }}
"""


def make_study(folder, n_labels, *, n_images, n_boxes):
    """Boxes that all lie in one place, which is the worst for linking them."""
    random.seed(0)
    rows = []
    for image in range(n_images):
        for label in random.sample(range(n_labels), n_boxes):
            right = random.randrange(30, 50)
            rows += [f"c{image},{rater},L{label},10,10,{right},40\n" for rater in "ab"]
    (folder / "boxes.csv").write_text(HEADER + "".join(rows))
    labels = "\n".join(f'L{k} = {{ name = "L{k}", value = {k + 1} }}' for k in range(n_labels))
    columns = ", ".join(f'{name} = "{name}"' for name in HEADER.strip().split(","))
    (folder / "study.toml").write_text(STUDY.format(labels=labels, columns=columns))
    return folder / "study.toml", len(rows)


def main():
    """Print a row for each number of boxes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=1203)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--boxes", type=int, action="append", help="on each image by each rater")
    words = parser.parse_args()
    print("| boxes | " + " | ".join(f"`{stage}`: CPU s, GiB" for stage in STAGES) + " |")
    print("|---" * (1 + len(STAGES)) + "|")
    for n_boxes in words.boxes or [11, 44]:
        with tempfile.TemporaryDirectory() as folder:
            file, n_rows = make_study(
                Path(folder), words.labels, n_images=words.images, n_boxes=n_boxes
            )
            command = [sys.executable, "-m", "crowdqc"]
            found = [measured([*command, stage, str(file), "--quiet"]) for stage in STAGES]
        print(
            f"| {n_rows:,} | " + " | ".join(f"{cpu:.1f}, {gib:.2f}" for _, cpu, gib in found), "|"
        )


if __name__ == "__main__":
    main()
