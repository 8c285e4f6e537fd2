"""Crowds in which a file, a tool or an upload is wrong, and the person drew well.

As in the checks, there are 8 cases of five organs. Of five raters r4 drew like the others; what
was handed in for r4 is wrong in all cases or in three of eight. Unless something else is said, r4
should be named, so that somebody looks, the four others should not, and the fused boxes should lie
as if r4 had not been.
"""

import numpy as np
from further_crowds_parts import SOME, good, relabelled, right, spoilt
from scenarios import EDGES, PICTURE, PLACE, with_edges

DEPTH = 30  # slices of a case
PLACED = (
    "cases-astray boxes-astray boxes-guessed rater-shifts rater-scatters wrong-side labels-swapped"
)


@right(faults={"r4": PLACED})
def mirrored(rng):
    """Left and right are swapped in all cases of r4: boxes lie on the other side, labels stay."""
    return spoilt(good(rng, bad="r4"), "r4", _mirrored)


@right(faults={"r4": PLACED})
def mirrored_in_some(rng):
    """The same in three of eight cases, as where these were read from files of another order."""
    return spoilt(good(rng, bad="r4"), "r4", _mirrored, cases=SOME)


def _mirrored(boxes):
    return boxes.assign(x0=PICTURE - boxes["x1"], x1=PICTURE - boxes["x0"])


@right(faults={"r4": PLACED})
def transposed(rng):
    """Rows and columns of r4's boxes are swapped."""
    swapped = dict(zip(EDGES, ["y0", "x0", "y1", "x1"], strict=True))
    return spoilt(
        good(rng, bad="r4"), "r4", lambda b: b.assign(**{e: b[o] for e, o in swapped.items()})
    )


@right(faults={"r4": f"{PLACED} boxes-too-large"})
def half_scale(rng):
    """The tool of r4 showed pictures of half the size, and its pixels were handed in."""
    return spoilt(good(rng, bad="r4"), "r4", _halved)


@right(faults={"r4": f"{PLACED} boxes-too-large"})
def half_scale_in_some(rng):
    """The same in three of eight cases."""
    return spoilt(good(rng, bad="r4"), "r4", _halved, cases=SOME)


def _halved(boxes):
    return with_edges(boxes, boxes[EDGES].to_numpy(float) / 2)


@right(faults={"r4": "cases-astray labels-swapped labels-confused wrong-side"})
def kidneys_swapped(rng):
    """The kidneys of r4 have each other's label in all cases."""
    return spoilt(good(rng, bad="r4"), "r4", _kidneys_swapped)


@right(faults={"r4": "cases-astray labels-swapped labels-confused wrong-side"})
def kidneys_swapped_in_some(rng):
    """The same in three of eight cases."""
    return spoilt(good(rng, bad="r4"), "r4", _kidneys_swapped, cases=SOME)


def _kidneys_swapped(boxes):
    return relabelled(boxes, {"rk": "lk", "lk": "rk"})


@right(faults={"r4": f"{PLACED} labels-confused rater-misses organ-missing"})
def neighbour_in_some(rng):
    """In three of eight cases r4 calls the left kidney spleen, and draws no spleen."""

    def neighbour(boxes):
        return relabelled(boxes[boxes["label"] != "spleen"], {"lk": "spleen"})

    return spoilt(good(rng, bad="r4"), "r4", neighbour, cases=SOME)


@right(faults={"r4": f"{PLACED} boxes-copied box-contradicted run-truncated"})
def previous_case(rng):
    """For one case the boxes of the case before were handed in again."""
    made = good(rng, bad="r4")
    before = made.boxes["r4"].query("case == 'c02'").assign(case="c03", object=-1)
    return spoilt(made, "r4", lambda _: before, cases=("c03",))


@right(faults={"r4": "rater-misses rater-adds run-truncated slice-lost"})
def two_slices_off(rng):
    """All boxes of r4 lie two slices too high."""
    return spoilt(good(rng, bad="r4"), "r4", lambda boxes: _raised(boxes, 2))


@right(may="r4")
def counts_from_one(rng):
    """In three of eight cases the slices of r4 are counted from 1, the others' from 0.

    One slice shows at the ends of organs only; nothing is wrong if r4 is not named.
    """
    return spoilt(good(rng), "r4", lambda boxes: _raised(boxes, 1), cases=SOME)


def _raised(boxes, n):
    raised = boxes.assign(slice=np.minimum(boxes["slice"] + n, DEPTH - 1))
    return raised.drop_duplicates(PLACE)


@right(faults={"r4": f"{PLACED} rater-misses rater-adds run-truncated organ-missing"})
def slices_reversed(rng):
    """In three of eight cases the slices of r4 are counted from the other end."""
    made = good(rng, bad="r4")
    return spoilt(made, "r4", lambda b: b.assign(slice=DEPTH - 1 - b["slice"]), cases=SOME)


@right(may="r3 r4", never="boxes-copied")
def tool_of_eight_px(rng):
    """The tool of r3 and r4 puts edges on multiples of 8 px.

    Equal edges are the tool's: nobody copied. On organs of 14 px such boxes are poor, which may be
    said of the two; they should not be rejected.
    """
    made = good(rng)
    for rater in ("r3", "r4"):
        made = spoilt(made, rater, _on_grid)
    return made


def _on_grid(boxes):
    edges = 8 * (boxes[EDGES].to_numpy(float) / 8).round()
    return with_edges(boxes, np.hstack([edges[:, :2], np.maximum(edges[:, 2:], edges[:, :2] + 8)]))


@right(may="r4")
def file_of_one_case_lost(rng):
    """One file of r4 is empty: all slices of a case count as read, and nothing is drawn there.

    Somebody should be told to look; r4 is no bad rater.
    """
    return spoilt(good(rng), "r4", lambda boxes: boxes[:0], cases=("c05",))


SCENARIOS = {
    make.__name__: make
    for make in (
        *(mirrored, mirrored_in_some, transposed, half_scale, half_scale_in_some),
        *(kidneys_swapped, kidneys_swapped_in_some, neighbour_in_some, previous_case),
        *(two_slices_off, counts_from_one, slices_reversed, tool_of_eight_px),
        file_of_one_case_lost,
    )
}
