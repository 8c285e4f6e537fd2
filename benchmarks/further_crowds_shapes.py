"""Studies of other shapes: what is drawn in them, and who is asked for what after whom.

As in the checks there are 8 cases of five organs, and raters are good unless it is said.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from further_crowds_errors import all_of, by_errors, on_grid, usual
from further_crowds_parts import good, relabelled, right, spoilt, uneven
from scenarios import (
    BAD,
    EDGES,
    GOOD,
    OBJECT,
    PLACE,
    SIZES,
    SLICE,
    Hand,
    case_number,
    crowd,
    names,
    organs,
    with_edges,
)

FIVE = dict.fromkeys(names(5), GOOD) | {"r4": BAD}

# --------------------------------------------------------------------------- what is drawn


@right(may="r0 r1 r2 r3 r4")
def majority_skips_ends(rng):
    """Three of five leave out the first and last two slices of each organ, which two draw.

    Something may be said of all of them; the two who draw the ends are not rejected.
    """
    made = good(rng)
    ends = _ends(made.truth, 2)
    for rater in ("r0", "r1", "r2"):
        made = spoilt(made, rater, lambda boxes: boxes[~boxes["object"].isin(ends)])
    return made


def _ends(truth, n):
    rank = truth.groupby(["case", "label"])["slice"].rank()
    back = truth.groupby(["case", "label"])["slice"].rank(ascending=False)
    return truth.loc[(rank <= n) | (back <= n), "object"]


@right(may="r0 r1 r2 r3 r4")
def every_second_slice(rng):
    """Three of five draw the even slices only, two the odd ones: all see half of what is there."""
    made = good(rng)
    for i, rater in enumerate(names(5)):
        made = spoilt(made, rater, lambda boxes, odd=i > 2: boxes[boxes["slice"] % 2 == odd])
    return made


@right(faults={"r4": "labels-swapped labels-confused cases-astray wrong-side"})
def swaps_midway(rng):
    """In the upper half of three cases r4 takes one kidney for the other."""

    def swapped(boxes):
        upper = boxes["slice"] >= 15
        other = relabelled(boxes, {"rk": "lk", "lk": "rk"})
        return pd.concat([boxes[~upper], other[upper]])

    return spoilt(good(rng, bad="r4"), "r4", swapped, cases=("c01", "c03", "c06"))


@right()
def takes_one_kidney_for_the_other(rng):
    """r4 gives three kidneys in ten the label of the other one."""

    def confused(boxes):
        other = boxes["label"].replace({"rk": "lk", "lk": "rk"})
        label = np.where(rng.random(len(boxes)) < 0.3, other, boxes["label"])
        return boxes.assign(label=label).drop_duplicates(PLACE)

    return spoilt(good(rng, bad="r4"), "r4", confused)


@right()
def thin_vessels(rng):
    """Organs of 4 to 8 px, drawn to half a px; r4 is bad."""
    sizes = {organ: 5 + i for i, organ in enumerate(SIZES)}
    hands = dict.fromkeys(names(5), Hand(px=0.4)) | {"r4": Hand(sd=0.12, px=1, miss=0.2)}
    made = crowd(rng, organs(rng, sizes=sizes), hands, bad="r4")
    return replace(made, boxes={r: on_grid(b, 0.5) for r, b in made.boxes.items()})


@right()
def cut_off_by_the_border(rng):
    """Organs of twice and thrice the size reach over the border of the picture; r4 is bad."""
    truth, slices = organs(rng, sizes={organ: 110 + 1.2 * size for organ, size in SIZES.items()})
    truth = with_edges(truth, truth[EDGES].to_numpy(float))
    return crowd(rng, (truth, slices), FIVE, bad="r4")


@right()
def rows_of_teeth(rng):
    """Forty pictures of eight touching things; r4 draws one box round two of them at times."""
    rows = []
    for p in range(40):
        x, y = rng.uniform(20, 40), rng.uniform(80, 170)
        for width in rng.uniform(18, 26, 8):
            top, high = y + rng.normal(0, 2), rng.uniform(28, 40)
            rows.append((f"i{p:03d}", 0, "tooth", x, top, x + width, top + high, len(rows)))
            x += width
    truth = pd.DataFrame(rows, columns=OBJECT)
    error = lambda o: usual(o) * rng.standard_normal((len(o), 4))  # noqa: E731
    study = truth, truth[SLICE].drop_duplicates()
    made = by_errors(rng, study, all_of(error), bad="r4", single=False)

    def merged(boxes):
        even = boxes["object"] % 2 == 0
        partner = boxes.set_index("object").reindex(boxes["object"] + 1)
        both = (even & (rng.random(len(boxes)) < 0.3)).to_numpy() & partner["x1"].notna().to_numpy()
        gone = boxes["object"].isin(boxes.loc[both, "object"] + 1).to_numpy()
        x1 = np.where(both, partner["x1"], boxes["x1"])
        return boxes.assign(x1=x1)[~gone]

    return spoilt(made, "r4", merged)


@right(may="r2")
def invents_of_three(rng):
    """Three raters, one of whom invents a box in seven: still an F1 of .93."""
    hands = dict.fromkeys(names(3), GOOD)
    return crowd(rng, organs(rng), hands, invents={"r2": 0.1})


@right()
def invents_much_of_three(rng):
    """Three raters, one of whom invents two boxes in five."""
    hands = dict.fromkeys(names(3), GOOD)
    return crowd(rng, organs(rng), hands, bad="r2", invents={"r2": 0.4})


# --------------------------------------------------------------------------- who is asked for what


@right()
def pairs_of_six(rng):
    """Each slice goes to two of six raters, dealt at random; r5 is bad."""
    return _dealt_slices(rng, dict.fromkeys(names(6), GOOD) | {"r5": BAD}, 2, bad="r5")


@right(may=" ".join(names(60)))
def three_objects_each(rng):
    """Sixty raters who read one to three slices each; every fifth is bad, which hardly shows.

    What one slice says of somebody is little: nobody is rejected, and few are sent to review.
    """
    truth, slices = organs(rng, n_cases=2)
    held = truth[SLICE].drop_duplicates()
    hands = {r: BAD if i % 5 == 4 else GOOD for i, r in enumerate(names(60))}
    reads = {
        r: held.sample(int(rng.integers(1, 4)), random_state=int(rng.integers(1e9))) for r in hands
    }
    return crowd(rng, (truth, slices), hands, reads=reads)


def _dealt_slices(rng, hands, n, *, bad=""):
    truth, slices = organs(rng)
    turn = [rng.choice(list(hands), n, replace=False) for _ in range(len(slices))]
    reads = {rater: slices[[rater in some for some in turn]] for rater in hands}
    return crowd(rng, (truth, slices), hands, reads=reads, bad=bad)


@right()
def asked_where_two_differ(rng):
    """r2 is good and reads only slices where r0 (good) and r1 (bad) differ."""
    made = uneven(rng, {"r0": GOOD, "r1": BAD, "r2": GOOD}, bad="r1")
    one, two = (made.boxes[r].query("object >= 0") for r in ("r0", "r1"))
    both = one.merge(two, on=[*PLACE, "object"], how="outer", suffixes=("", "_b"))
    apart = np.abs(both[EDGES].to_numpy() - both[[f"{e}_b" for e in EDGES]].to_numpy())
    differ = both[~(apart.max(1) < 0.35 * (both["x1"] - both["x0"]))][SLICE].drop_duplicates()
    mine = made.boxes["r2"].merge(differ)
    return replace(made, boxes=made.boxes | {"r2": mine}, reads=made.reads | {"r2": differ})


@right()
def expert_for_twelve_slices(rng):
    """Two raters, one of them bad, and an expert who has read twelve slices."""
    truth, slices = organs(rng)
    held = truth[SLICE].drop_duplicates().sample(12, random_state=int(rng.integers(1e9)))
    hands = {"r0": GOOD, "r1": BAD, "r2": Hand(sd=0.01, px=0.4, miss=0.01)}
    reads = dict.fromkeys(hands, slices) | {"r2": held}
    return crowd(rng, (truth, slices), hands, reads=reads, bad="r1")


@right()
def six_slices(rng):
    """One case of six slices and three good raters."""
    return _six(rng, dict.fromkeys(names(3), GOOD))


@right()
def six_slices_one_bad(rng):
    """One case of six slices, four raters; r3 is bad."""
    return _six(rng, dict.fromkeys(names(4), GOOD) | {"r3": BAD}, bad="r3")


def _six(rng, hands, *, bad=""):
    truth, slices = organs(rng, n_cases=1)
    middle = truth.groupby("slice").size().rolling(6).sum().idxmax()
    of = lambda frame: frame[frame["slice"].between(middle - 5, middle)]  # noqa: E731
    return crowd(rng, (of(truth), of(slices)), hands, bad=bad)


@right()
def raters_come_and_go(rng):
    """Each of eight raters stays for four of ten cases, which have two to four each; r5 is bad."""
    truth, slices = organs(rng, n_cases=10)
    start = [-2, -1, 0, 2, 3, 4, 6, 7]
    reads = {
        r: slices[np.isin(case_number(slices), range(s, s + 4))]
        for r, s in zip(names(8), start, strict=True)
    }
    hands = dict.fromkeys(names(8), GOOD) | {"r5": BAD}
    return crowd(rng, (truth, slices), hands, reads=reads, bad="r5")


@right()
def sites_see_parts(rng):
    """Three sites of three raters read a third of the slices each, and one case together."""
    truth, slices = organs(rng, n_cases=9)
    third = slices["slice"] // 10
    reads = {
        r: slices[(third == i // 3) | (slices["case"] == "c00")] for i, r in enumerate(names(9))
    }
    hands = dict.fromkeys(names(9), GOOD) | {"r4": BAD}
    return crowd(rng, (truth, slices), hands, reads=reads, bad="r4")


SCENARIOS = {
    make.__name__: make
    for make in (
        *(majority_skips_ends, every_second_slice, swaps_midway, takes_one_kidney_for_the_other),
        *(thin_vessels, cut_off_by_the_border, rows_of_teeth),
        *(invents_of_three, invents_much_of_three, pairs_of_six, three_objects_each),
        *(asked_where_two_differ, expert_for_twelve_slices, six_slices, six_slices_one_bad),
        *(raters_come_and_go, sites_see_parts),
    )
}
