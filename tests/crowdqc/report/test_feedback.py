import base64
import re

import numpy as np
import pandas as pd
import pytest

from crowdqc.report.feedback import CHANGE, SheetData, feedback_sheet
from crowdqc.schema import BOX, empty

JARGON = ["IoU", "kappa", "consensus", "rater", "Krippendorff", "F1", "median", "expected error"]


def data(name="ann", labels=("liver", "spleen"), n_cases=3, long="c"):
    rows, fused = [], []
    for c in range(n_cases):
        for k in range(4):
            for n, label in enumerate(labels):
                place = (f"{long}{c}", k, label)
                rows.append((*place, name, 10 + 30 * n + k, 10, 30 + 30 * n, 40))
                rows.append((*place, "secret-other", 11 + 30 * n, 10, 30 + 30 * n, 40))
                fused.append((*place, 11 + 30 * n, 10, 30 + 30 * n, 40))
    boxes = pd.DataFrame(rows, columns=["case", "slice", "label", "rater", *BOX])
    consensus = pd.DataFrame(fused, columns=["case", "slice", "label", *BOX])
    images = boxes[["case", "slice"]].drop_duplicates().assign(
        height=100, width=100, spacing_x=np.nan, spacing_y=np.nan
    )  # fmt: skip
    raters = pd.DataFrame(
        {"rater": [name, "secret-other"], "miss_rate": [0.02, 0.9], "extra_rate": [0.0, 0.9],
         "faults": ['["boxes-too-large"]', '["boxes-copied"]']}
    )  # fmt: skip
    runs = empty("completeness")
    return SheetData("Study of <livers>", labels, raters, runs, boxes, consensus, images)


def tasks(labels=("liver",), case="c0", n=5):
    rows = [(case, k, label, "draw") for k in range(n) for label in labels]
    return pd.DataFrame(rows, columns=["case", "slice", "label", "task"])


class Pixels:
    """Slices of noise: the largest that a picture can be."""

    def grey(self, _, k):
        return np.random.default_rng(k).integers(0, 256, (100, 100)).astype(np.uint8)


def text_of(html):
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", body)


def test_a_sheet_says_what_is_good_what_to_change_and_shows_four_pictures():
    html, shown = feedback_sheet(data(), "ann", tasks=tasks(), why=["organ-gap"], source=Pixels())

    text = text_of(html)
    assert "9 of 10 organs have your box" in text
    assert "all boxes are round an organ" in text
    assert CHANGE["boxes-too-large"] in text
    assert CHANGE["organ-gap"] in text
    assert CHANGE["boxes-copied"] not in text
    assert html.count("<svg") == 4
    assert len(shown) == len({(one["case"], one["label"]) for one in shown}) == 4
    assert "5 pictures: draw what is missing" in text


def test_no_other_name_no_jargon_and_no_markup_of_others_is_in_it():
    html, _ = feedback_sheet(data(), "ann", tasks=tasks(), source=Pixels())

    assert "secret-other" not in html
    assert "<livers>" not in html
    for word in JARGON:
        assert word.lower() not in text_of(html).lower()


def test_there_is_always_something_good_and_something_to_do():
    html, shown = feedback_sheet(data(), "new", tasks=tasks())

    assert "Thank you for taking part" in html
    assert "Nothing in particular" in html
    assert shown == []


LONG = "a-name-that-is-as-long-as-names-may-be-" * 2


@pytest.mark.parametrize("worst", [False, True], ids=["usual", "longest"])
def test_it_prints_on_one_page_of_a4_and_nothing_is_cut_off(page, tmp_path, worst):
    name, case = (LONG, LONG) if worst else ("ann", "c")
    why = sorted(CHANGE, key=lambda one: -len(CHANGE[one])) if worst else ["organ-gap"]
    html, _ = feedback_sheet(
        data(name, long=case), name, tasks=tasks(case=f"{case}0"), why=why, due="2026-12-24",
        source=Pixels(),
    )  # fmt: skip
    file = tmp_path / "feedback.html"
    file.write_text(html, encoding="utf-8")
    page.open(file)
    page.call("Emulation.setEmulatedMedia", media="print")

    pdf = base64.b64decode(page.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    size = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
    assert [round(float(v)) for v in size.groups()] == [595, 842]
    hidden = page.run(
        "[...document.querySelectorAll('main, .pictures, .grid')]"
        ".filter(e => e.scrollHeight > e.clientHeight + 1).length"
    )
    picture = page.run("document.querySelector('svg').getBoundingClientRect().height")
    assert hidden == 0
    assert picture > 100
