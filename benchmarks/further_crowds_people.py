"""Crowds whose people differ: copiers, conventions, habits, experts, and few or many of them.

As in the checks, there are 8 cases of five organs, and raters are good unless it is said.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from further_crowds_parts import (
    at_ends,
    copied,
    good,
    moved,
    nudged,
    right,
    some_bad,
    spoilt,
    uneven,
)
from scenarios import (
    BAD,
    EDGES,
    GOOD,
    OBJECT,
    PLACE,
    SIZES,
    Hand,
    case_number,
    crowd,
    draw,
    n_many,
    names,
    organs,
    rounded,
    with_edges,
)

COPIED = "boxes-copied raters-dependent"

# --------------------------------------------------------------------------- copies


@right(faults=dict.fromkeys(("r4", "r5", "r6"), COPIED))
def copies_of_copies(rng):
    """Of seven, r5 copies r4 and r6 copies r5: a group of three, of one voice."""
    made = copied(rng, good(rng, 7, bad="r4 r5 r6"), "r5", of="r4", px=0.5)
    return copied(rng, made, "r6", of="r5", px=0.5)


@right(faults={"r4": COPIED})
def copy_of_the_worst(rng):
    """Of five, r3 is bad and r4 copies r3: both are named, and the three others win."""
    hands = dict.fromkeys(names(5), GOOD) | {"r3": BAD}
    return copied(rng, uneven(rng, hands, bad="r3 r4"), "r4", of="r3", px=0.6)


@right(faults=dict.fromkeys(("r3", "r4", "r5", "r6"), COPIED))
def two_copying_pairs(rng):
    """Of seven, r5 copies r3 and r6 copies r4: two groups, not one."""
    made = copied(rng, good(rng, 7, bad="r3 r4 r5 r6"), "r5", of="r3")
    return copied(rng, made, "r6", of="r4")


@right(faults=dict.fromkeys(("r3", "r4"), COPIED))
def copies_half_of_the_cases(rng):
    """Of five, r4 copies r3 in four of eight cases."""
    cases = ("c00", "c01", "c02", "c03")
    return copied(rng, good(rng, bad="r3 r4"), "r4", of="r3", cases=cases)


@right(faults=dict.fromkeys(("r2", "r3", "r4"), COPIED))
def accept_the_model(rng):
    """A model proposes boxes 6 % too far right; r2, r3 and r4 of five hand these in as they are.

    Nobody copied from another, but there is one voice among the three, and it is the model's.
    """
    made = good(rng, bad="r2 r3 r4")
    proposed = draw(rng, made.truth, Hand(push=0.06, miss=0.08))
    return replace(made, boxes=made.boxes | dict.fromkeys(("r2", "r3", "r4"), proposed[OBJECT]))


# --------------------------------------------------------------------------- conventions


@right()
def two_sites(rng):
    """Three draw 6 % too tightly and three 6 % too loosely: two conventions, nobody's fault."""
    tight, loose = Hand(scale=0.94), Hand(scale=1.06)
    return uneven(rng, dict.fromkeys(names(6), loose) | dict.fromkeys(names(3), tight))


@right(may="r0 r1 r2 r3 r4 r5", never="rater-scatters")
def convention_at_one_organ(rng):
    """Three of six take the liver 20 % further right: who is right cannot be told.

    That the sides differ may be said of either, but nobody scatters and nobody is rejected.
    """
    made = good(rng, 6)
    for rater in ("r3", "r4", "r5"):
        made = spoilt(made, rater, _wider_liver)
    return made


def _wider_liver(boxes):
    far = np.where(boxes["label"] == "liver", 0.2 * (boxes["x1"] - boxes["x0"]), 0)
    return moved(boxes, np.outer(far, [0, 0, 1, 0]))


@right(may="r0 r1 r2 r3 r4 r5")
def two_who_push_alike(rng):
    """Two of six draw 8 % too far right and down, each alone: a minority's convention.

    It should be said of the two, or as a convention of the study; the four are not wrong.
    """
    hands = dict.fromkeys(names(6), GOOD) | dict.fromkeys(("r4", "r5"), Hand(push=0.08))
    return uneven(rng, hands)


@right()
def one_very_good(rng):
    """Four fair raters and an expert: the fused box comes near the expert's, nobody is named."""
    hands = dict.fromkeys(names(5), Hand(sd=0.08, px=1.5, miss=0.08))
    return uneven(rng, hands | {"r0": Hand(0.01, 0.4, 0.01)})


@right(may="r0 r1 r2 r3")
def two_two_one(rng):
    """Two push 8 % to one side, two to the other, all four scatter; r4 is very good.

    The four may be named for what they do; r4 is not, and the fused box lies no worse than the
    median, which is r4's more often than not.
    """
    left, up = Hand(sd=0.06, push=-0.08), Hand(sd=0.06, push=0.08)
    hands = {"r0": left, "r1": left, "r2": up, "r3": up, "r4": Hand(0.01, 0.4, 0.01)}
    return uneven(rng, hands)


# --------------------------------------------------------------------------- habits


@right()
def interpolates(rng):
    """One of five draws every third slice and lets the tool fill in: smooth, and right."""
    return spoilt(good(rng), "r4", _interpolated)


def _interpolated(boxes):
    """Boxes of each organ on the line between every third of them, without inventions."""
    drawn, filled = boxes[boxes["object"] >= 0].sort_values(PLACE), []
    for _, run in drawn.groupby(["case", "label"]):
        at, keep = run["slice"].to_numpy(), np.arange(len(run)) % 3 == 0
        keep[-1] = True
        edges = [np.interp(at, at[keep], run.loc[keep, edge].to_numpy()) for edge in EDGES]
        filled.append(with_edges(run, np.stack(edges, 1)))
    return pd.concat(filled, ignore_index=True)


@right(faults={"r4": "boxes-repeated"})
def repeats_a_box(rng):
    """One of five leaves each box where it is for four slices."""

    def left_lying(boxes):
        run = [boxes["case"], boxes["label"], boxes["slice"] // 4]
        boxes = boxes.sort_values(["case", "label", "slice"])
        return boxes.assign(**{e: boxes.groupby(run)[e].transform("first") for e in EDGES})

    return spoilt(good(rng, bad="r4"), "r4", left_lying)


@right(faults={"r3": "double-box boxes-doubled"})
def draws_twice(rng):
    """One of four draws 15 % of the organs a second time, some pixels aside."""

    def doubled(boxes):
        again = boxes[rng.random(len(boxes)) < 0.15]
        return pd.concat([boxes, nudged(rng, again, 6)])

    return spoilt(good(rng, 4, bad="r3"), "r3", doubled)


@right(faults={"r4": "rater-misses run-truncated organ-missing"})
def stops_halfway(rng):
    """One of five draws in the first half of each volume only, and hands in all of it as read."""
    return spoilt(good(rng, bad="r4"), "r4", lambda boxes: boxes[boxes["slice"] < 15])


@right(faults={"r4": "boxes-too-large rater-scatters rater-shifts"})
def too_large_at_ends(rng):
    """One of five draws the two first and two last boxes of each organ 60 % too large."""

    def grown(boxes):
        side = np.tile(boxes[EDGES[2:]].to_numpy() - boxes[EDGES[:2]].to_numpy(), 2)
        return moved(boxes, at_ends(boxes, 2)[:, None] * side * [-0.3, -0.3, 0.3, 0.3])

    return spoilt(good(rng, bad="r4"), "r4", grown)


@right(faults={"r4": "label-never-drawn label-unused organ-missing rater-misses"})
def draws_two_organs(rng):
    """One of five draws the liver and the spleen only."""
    some = ("liver", "spleen")
    return spoilt(good(rng, bad="r4"), "r4", lambda boxes: boxes[boxes["label"].isin(some)])


@right()
def sees_small_ends(rng):
    """One of five sees the small ends of organs that the four others miss more often than not."""
    small = Hand(miss=lambda rows: np.where(rows["x1"] - rows["x0"] < 22, 0.55, 0.02))
    return uneven(rng, dict.fromkeys(names(4), small) | {"r4": Hand(miss=0.01)})


# --------------------------------------------------------------------------- few and many


@right()
def joins_late(rng):
    """A fifth good rater has read one case."""
    truth, slices = organs(rng)
    reads = dict.fromkeys(names(4), slices) | {"r4": slices[slices["case"] == "c07"]}
    return crowd(rng, (truth, slices), dict.fromkeys(names(5), GOOD), reads=reads)


@right()
def two_good(rng):
    """Two good raters, and no third."""
    return good(rng, 2)


@right()
def guesser_of_three(rng):
    """One of three guesses every box."""
    hands = dict.fromkeys(names(3), GOOD)
    return crowd(rng, organs(rng), hands, bad="r2", guesses={"r2": 1.0})


@right()
def four_bad_of_seven(rng):
    """Four of seven scatter and miss; the three others are right."""
    hands = dict.fromkeys(names(7), BAD) | dict.fromkeys(names(3), GOOD)
    return uneven(rng, hands, bad="r3 r4 r5 r6")


@right()
def one_to_six_by_case(rng):
    """Case c00 is read by one rater, c01 by two, and so on to six; r5 is bad."""
    truth, slices = organs(rng, n_cases=18)
    wanted, reads = case_number(slices) % 6 + 1, {}
    for i, rater in enumerate(names(6)):
        turn = (i - case_number(slices)) % 6  # not always the same rater alone
        reads[rater] = slices[turn < wanted]
    hands = dict.fromkeys(names(6), GOOD) | {"r5": BAD}
    return crowd(rng, (truth, slices), hands, reads=reads, bad="r5")


@right()
def two_of_many_a_slice(rng):
    """Each slice goes to two of 25 raters, five of whom are bad."""
    truth, slices = organs(rng, n_cases=12)
    hands, bad = some_bad(25, every=5)
    drawn = [rng.choice(list(hands), 2, replace=False) for _ in range(len(slices))]
    reads = {rater: slices[[rater in pair for pair in drawn]] for rater in hands}
    return crowd(rng, (truth, slices), hands, reads=reads, bad=bad)


@right()
def three_of_many_a_case(rng):
    """Each of 20 cases goes to three of 12 raters, three of whom are bad."""
    truth, slices = organs(rng, n_cases=20)
    hands, bad = some_bad(12, every=4)
    drawn = {c: rng.choice(list(hands), 3, replace=False) for c in slices["case"].unique()}
    reads = {r: slices[[r in drawn[case] for case in slices["case"]]] for r in hands}
    return crowd(rng, (truth, slices), hands, reads=reads, bad=bad)


# --------------------------------------------------------------------------- hard images


@right()
def hard_cases(rng):
    """All four raters scatter four times as much in two of the cases, which are hard."""
    sd = lambda rows: np.where(case_number(rows) < 2, 0.12, 0.03)  # noqa: E731
    return uneven(rng, dict.fromkeys(names(4), Hand(sd=sd)))


@right()
def small_organs(rng):
    """Organs of a quarter of the size, drawn on whole pixels."""
    sizes = {organ: size / 4 for organ, size in SIZES.items()}
    hands = dict.fromkeys(names(5), Hand(sd=0.03, px=0.6, miss=0.05))
    return rounded(crowd(rng, organs(rng, sizes=sizes), hands))


@right()
def many_things_three_raters(rng):
    """Pictures of many things, and three good raters."""
    return replace(n_many(rng).without("r3", "r4", "r5"), bad=set())


@right()
def many_things_sharp_eye(rng):
    """Pictures of many things, four good raters, and one who sees nearly all of them."""
    made = n_many(rng).without("r4", "r5")
    sharp = draw(rng, made.truth, Hand(sd=0.05, px=1, miss=0.02))[OBJECT]
    boxes, reads = made.boxes | {"r9": sharp}, made.reads | {"r9": made.reads["r0"]}
    return replace(made, boxes=boxes, reads=reads, bad=set())


SCENARIOS = {
    make.__name__: make
    for make in (
        *(copies_of_copies, copy_of_the_worst, two_copying_pairs, copies_half_of_the_cases),
        *(accept_the_model, two_sites, convention_at_one_organ, two_who_push_alike),
        *(one_very_good, two_two_one, interpolates, repeats_a_box, draws_twice, stops_halfway),
        *(too_large_at_ends, draws_two_organs, sees_small_ends, joins_late, two_good),
        *(guesser_of_three, four_bad_of_seven, one_to_six_by_case, two_of_many_a_slice),
        *(three_of_many_a_case, hard_cases, small_organs, many_things_three_raters),
        many_things_sharp_eye,
    )
}
