"""Feedback for one rater on one sheet of A4: what went well, what to change, and four pictures.

It is written for the rater: plain words, no measure, and nobody else's name.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from crowdqc.findings import from_cell
from crowdqc.geometry import paired_iou
from crowdqc.report.pictures import DrawnBox, SliceSource
from crowdqc.report.pixels import PixelLayer, canvas, crop, layer
from crowdqc.report.render import asset, environment
from crowdqc.report.text import listing, readable
from crowdqc.schema import BOX, PLACE
from crowdqc.text import count, plural

MAX_PICTURES = 4
MAX_POINTS = 4
"""Things to change at most: nobody changes more at once."""
GOOD = 0.9
"""Share from which something counts as done well."""

CHANGE = {
    "labels-swapped": "Two organs have changed names. Before you draw, look at which side of the "
    "picture, and of the body, the organ lies on.",
    "labels-confused": "Some boxes are round the right thing and carry the name of another organ. "
    "Check the name before you save.",
    "wrong-side": "An organ was drawn on the wrong side of the body. Left in the picture may be "
    "right in the patient.",
    "rater-misses": "Some organs have no box although they can be seen. On each picture, go "
    "through the list of organs one by one.",
    "case-unread": "Some cases have not been opened yet. Please read them from the first slice to "
    "the last.",
    "slices-unread": "Some slices were left out. Please open every slice that you were given.",
    "slice-lost": "Whole slices were skipped in between. Move on one slice at a time.",
    "organ-missing": "An organ was not drawn in a case although it is there.",
    "organ-gap": "Some organs stop on one slice and go on after it. Fill in the slices between.",
    **dict.fromkeys(
        ["run-truncated", "run-short", "single-slice"],
        "Some organs stop too early. Follow each one until it cannot be seen any more.",
    ),
    "run-sparse": "Many slices of an organ have no box. Draw it on each slice on which you see it.",
    "boxes-too-large": "Your boxes are larger than the organ. Pull each side in until it touches "
    "the edge of the organ.",
    "boxes-too-small": "Your boxes cut off a part of the organ. Push each side out until the whole "
    "organ is inside.",
    "rater-shifts": "Your boxes lie to one side of the organ. Check that there is as much room on "
    "the left as on the right, and above as below: none.",
    "rater-scatters": "Your boxes are sometimes too wide and sometimes too narrow. Zoom in, and "
    "place each side on the edge of the organ.",
    "boxes-astray": "Some boxes lie where the organ is not. If you are not sure what you see, go a "
    "few slices back and follow the organ from there.",
    "cases-astray": "In some cases all boxes of an organ lie elsewhere, or have another organ's "
    "name. Check that the right picture was open, and which side is left in it.",
    "rater-adds": "Some boxes are round something else. Draw only the organs of the list.",
    "slices-offset": "Your slices are counted from another number than those of the others. Say "
    "which tool you used.",
    "boxes-doubled": "Many organs have two boxes on one slice. Keep the better one.",
    "double-box": "Some organs have two boxes on one slice. Keep the better one.",
    "box-jump": "Some boxes lie far from those on the slices before and after. Look at them again.",
    "box-contradicted": "Some boxes lie elsewhere than on the slices around. Look at them again.",
    "boxes-repeated": "Many boxes were left as they were on the slice before. Adjust the box on "
    "each slice: organs change from one to the next.",
    "boxes-copied": "Many boxes are the same, to the point, as another person's. Please draw each "
    "box yourself, from the picture: only then do we learn how sure we can be.",
    "boxes-constant": "The same box stands in several cases. Please draw each one from the "
    "picture.",
    "boxes-guessed": "Boxes do not follow the organ from slice to slice. Please draw each box from "
    "the picture.",
    "boxes-whole-image": "Some boxes are round the whole picture. Draw the box round the organ.",
    "rater-drifts": "Your first boxes were better than your last ones. Take a break now and then.",
    "rater-too-fast": "Take a little more time for each picture.",
}
"""Check -> what to change, in the words of somebody who draws; the gravest first."""


@dataclass(frozen=True)
class Example:
    """One picture of a sheet: the rater's boxes and those that most people drew."""

    title: str
    view: tuple[float, float, float, float]
    own: tuple[DrawnBox, ...]
    fused: tuple[DrawnBox, ...]
    image: PixelLayer | None

    @property
    def alt(self) -> str:
        """The picture in words."""
        boxes = f"{count(len(self.own), 'box')} of yours" if self.own else "no box of yours"
        return f"{self.title}: {boxes}, and the box where most people drew it."


@dataclass(frozen=True)
class SheetData:
    """What a sheet is made from.

    Parameters
    ----------
    study : str
        Name of the study.
    labels : sequence of str
        Labels of the study.
    raters, completeness : DataFrame
        Tables of that name, or empty ones.
    boxes, consensus, images : DataFrame
        Tables of that name.
    """

    study: str
    labels: Sequence[str]
    raters: pd.DataFrame
    completeness: pd.DataFrame
    boxes: pd.DataFrame
    consensus: pd.DataFrame
    images: pd.DataFrame


def feedback_sheet(
    data: SheetData,
    rater: str,
    *,
    tasks: pd.DataFrame,
    why: Sequence[str] = (),
    due: str = "",
    source: SliceSource | None = None,
) -> tuple[str, list[dict[str, Any]]]:
    """The sheet of one rater.

    Parameters
    ----------
    data : SheetData
    rater : str
        Whose sheet it is.
    tasks : DataFrame
        ``case, slice, label, task`` of what is asked.
    why : sequence of str
        Checks that ask for it.
    due : str
        Date by which it is due; "" for none.
    source : SliceSource, optional
        Gives pixels; without it boxes stand on a plain canvas.

    Returns
    -------
    html : str
        One page, with everything in it.
    shown : list of dict
        ``case, slice, label`` of each picture: of these the rater has seen where most people drew.
    """
    places = _worst_places(data, rater)
    mine = dataclasses.replace(data, boxes=data.boxes[data.boxes["rater"] == rater])
    examples = [_example(mine, place, source) for place in places]
    row = data.raters[data.raters["rater"] == rater]
    faults = [*(from_cell(row["faults"].iloc[0]) if len(row) else []), *why]
    html = (
        environment()
        .get_template("feedback.html.jinja")
        .render(
            study=data.study,
            rater=rater,
            due=due,
            good=list(_good(data, rater))[:MAX_POINTS],
            change=_change(faults),
            asked=_asked(tasks),
            examples=examples,
            style=asset("feedback.css"),
            pixels=any(one.image and one.image.uri for one in examples),
        )
    )
    return html, [dict(zip(PLACE, place, strict=True)) for place in places]


def _change(faults: Sequence[str]) -> list[str]:
    """What to change, the gravest first, each once."""
    texts = [text for check, text in CHANGE.items() if check in set(faults)]
    return list(dict.fromkeys(texts))[:MAX_POINTS]


def _good(data: SheetData, rater: str) -> Iterator[str]:
    """What went well; there is always something."""
    own = data.boxes[data.boxes["rater"] == rater]
    row = next(data.raters[data.raters["rater"] == rater].itertuples(), None)
    if row is not None and row.miss_rate <= 1 - GOOD:
        yield f"You find what is there: {_of_ten(1 - row.miss_rate)} organs have your box."
    if row is not None and row.extra_rate <= 1 - GOOD and len(own):
        yield f"What you draw is there: {_of_ten(1 - row.extra_rate)} boxes are round an organ."
    best = _best_label(data, own)
    if best:
        yield f"Your boxes round the {readable(best).lower()} fit best. Draw the others like them."
    runs = data.completeness[data.completeness["rater"] == rater]
    whole = int((runs["state"] == "complete").sum()) if len(runs) else 0
    if whole:
        yield f"You followed {count(whole, 'organ')} from beginning to end without a gap."
    if not own.empty:
        cases = count(own["case"].nunique(), "case")
        yield f"You have drawn {count(len(own), 'box')} in {cases}. Thank you."
    else:
        yield "Thank you for taking part."


def _of_ten(share: float) -> str:
    """A share as people say it."""
    n = math.floor(share * 10 + 0.5)
    return "all" if n >= 10 and share > 0.995 else f"{min(n, 9)} of 10"


def _best_label(data: SheetData, own: pd.DataFrame) -> str:
    """The label whose boxes fit best, of several."""
    overlaps = _overlaps(data, own)
    by_label = overlaps.groupby("label")["iou"].mean()
    return str(by_label.idxmax()) if len(by_label) > 1 else ""


def _overlaps(data: SheetData, own: pd.DataFrame) -> pd.DataFrame:
    """Each box of a rater with the fused one of its place: ``case, slice, label, iou``."""
    fused = data.consensus.dropna(subset=BOX)[[*PLACE, *BOX]]
    both = own[[*PLACE, *BOX]].merge(fused, on=PLACE, suffixes=("", "_fused"))
    there = both[[f"{edge}_fused" for edge in BOX]].to_numpy()
    return both[PLACE].assign(iou=paired_iou(both[BOX].to_numpy(), there))


def _worst_places(data: SheetData, rater: str) -> list[tuple[str, int, str]]:
    """Where the rater's box differs most, of cases and labels that differ."""
    own = data.boxes[data.boxes["rater"] == rater]
    found = _overlaps(data, own).groupby(PLACE, as_index=False)["iou"].max()
    found = found.sort_values(["iou", *PLACE], kind="stable").drop_duplicates(["case", "label"])
    left = [(str(a), int(b), str(c)) for a, b, c in found[PLACE].itertuples(index=False)]
    chosen: list[tuple[str, int, str]] = []
    while left and len(chosen) < MAX_PICTURES:
        seen = Counter(part for case, _, label in chosen for part in (("c", case), ("l", label)))
        chosen.append(min(left, key=lambda one: seen["c", one[0]] + seen["l", one[2]]))
        left.remove(chosen[-1])
    return chosen


def _example(data: SheetData, place: tuple[str, int, str], source: SliceSource | None) -> Example:
    case, k, label = place
    own, fused = (
        table[(table["case"] == case) & (table["slice"] == k) & (table["label"] == label)]
        for table in (data.boxes, data.consensus.dropna(subset=BOX))
    )
    image = data.images[(data.images["case"] == case) & (data.images["slice"] == k)]
    tall = 1.0
    if len(image) and image["spacing_x"].iloc[0] > 0:
        ratio = image["spacing_y"].iloc[0] / image["spacing_x"].iloc[0]
        tall = ratio if 0.05 < ratio < 20 else 1.0
    view = crop(pd.concat([own[BOX], fused[BOX]]).to_numpy(), tall)
    grey = source.grey(case, k) if source else None
    size = (int(image["height"].iloc[0]), int(image["width"].iloc[0])) if len(image) else (0, 0)
    return Example(
        title=f"Case {case}, slice {k}, {readable(label).lower()}",
        view=view,
        own=tuple(map(_box, own[BOX].itertuples(index=False))),
        fused=tuple(map(_box, fused[BOX].itertuples(index=False))),
        image=layer(grey, view) if grey is not None else canvas(size),
    )


def _box(row: Any) -> DrawnBox:
    x0, y0, x1, y1 = (round(float(value), 1) for value in row)
    return DrawnBox("", 0, False, False, x0, y0, round(x1 - x0, 1), round(y1 - y0, 1))  # noqa: FBT003


VERBS = {
    "read": "read and draw", "draw": "draw what is missing", "redraw": "draw again",
    "extend": "follow the organ further", "relabel": "check the name",
    "remove": "remove one of two boxes", "check": "look at the box again",
}  # fmt: skip
"""Task -> what is to be done."""


def _asked(tasks: pd.DataFrame) -> list[str]:
    """What is in the package, in a few lines."""
    slices = tasks.drop_duplicates(["case", "slice", "task"]).groupby("task", sort=False).size()
    lines = [
        f"{count(int(n), 'picture')}: {VERBS.get(str(task), str(task))}"
        for task, n in slices.items()
    ]
    cases = tasks["case"].unique()
    shown = listing([str(case) for case in cases[:4]])
    more = f" and {len(cases) - 4} more" if len(cases) > 4 else ""
    noun = plural("case") if len(cases) > 1 else "case"
    return [*lines, f"in {noun} {shown}{more}"]
