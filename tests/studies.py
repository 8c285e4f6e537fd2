"""Small studies that tests write: a study file, and what raters drew, as YOLO or as a table."""

import itertools

import pandas as pd

from crowdqc.schema import BOX

TINY = """
[study]
name = "tiny"
[labels]
0 = { name = "spleen", value = 1 }
1 = { name = "liver", value = 2 }
[annotations]
format = "yolo"
path = "boxes/{rater}/{case}-{slice}.txt"
size = [100, 100]
"""
"""Two organs on pictures of 100 x 100 px."""

COLUMNS = ["case", "slice", "rater", "label", *BOX]
TABLE = """
[study]
name = "small"
[labels]
1 = { name = "liver", value = 1 }
[annotations]
format = "table"
path = "boxes.csv"
columns = { case = "case", slice = "slice", rater = "rater", label = "label", x0 = "x0", \
y0 = "y0", x1 = "x1", y1 = "y1" }
"""
"""One organ in a table of boxes, as `write_boxes` writes it; the size of pictures is not given."""
VOLUMES = """[images]
path = "{case}.nii.gz"
picture = "identity"
window = { level = 100, width = 200 }
"""


def write_study(folder, *, raters, slices, lines, cases=("1",), text=TINY):
    """Write a study; `lines` says what a file holds, of its rater, case and slice."""
    for rater, case, k in itertools.product(raters, cases, range(slices)):
        path = folder / "boxes" / rater / f"{case}-{k}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines(rater, case, k), encoding="utf-8")
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"


def write_boxes(folder, rows, text=TABLE):
    """Write a study of a table; a row is ``case, slice, rater, label, x0, y0, x1, y1``."""
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "boxes.csv", index=False)
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"
