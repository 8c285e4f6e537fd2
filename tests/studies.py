"""Small studies that tests write: a study file, and what raters drew in YOLO's format."""

import itertools

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


def write_study(folder, *, raters, slices, lines, cases=("1",), text=TINY):
    """Write a study; `lines` says what a file holds, of its rater, case and slice."""
    for rater, case, k in itertools.product(raters, cases, range(slices)):
        path = folder / "boxes" / rater / f"{case}-{k}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines(rater, case, k), encoding="utf-8")
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"
