"""Crowds whose design differs: who reads what, how much there is, and raters who hardly look.

As in the checks, there are 8 cases of five organs, and raters are good unless it is said.
"""

from dataclasses import replace

import numpy as np
from further_crowds_parts import good, right, some_bad, spoilt, uneven
from scenarios import (
    BAD,
    EDGES,
    GOOD,
    PICTURE,
    PLACE,
    SIZES,
    Hand,
    case_number,
    crowd,
    names,
    organs,
    with_edges,
)

FIVE = dict.fromkeys(names(5), GOOD) | {"r4": BAD}

# --------------------------------------------------------------------------- who reads what


@right()
def sites_apart(rng):
    """Two sites share neither raters nor cases; one of the three raters of each is bad."""
    hands = dict.fromkeys(names(6), GOOD) | dict.fromkeys(("r2", "r5"), BAD)
    return _dealt(rng, hands, lambda i, case: i // 3 == case // 4, bad="r2 r5")


@right()
def one_reads_all(rng):
    """One reads all cases, eight others one case each: pairs that share one rater."""
    hands = dict.fromkeys(names(9), GOOD)
    return _dealt(rng, hands, lambda i, case: (i == 0) | (case == i - 1))


@right()
def chain_of_cases(rng):
    """Each case goes to three of eight raters, who share one case with the next; r4 is bad."""
    hands = dict.fromkeys(names(8), GOOD) | {"r4": BAD}
    return _dealt(rng, hands, lambda i, case: (case - i) % 8 < 3, bad="r4")


@right()
def few_slices_each(rng):
    """Each slice goes to four of 40 raters, of whom eight are bad: 24 slices for each."""
    truth, slices = organs(rng)
    hands, bad = some_bad(40, every=5)
    turn = [rng.choice(list(hands), 4, replace=False) for _ in range(len(slices))]
    reads = {rater: slices[[rater in four for four in turn]] for rater in hands}
    return crowd(rng, (truth, slices), hands, reads=reads, bad=bad)


@right(may="r4")
def reads_every_second_slice(rng):
    """One of five was asked for every second slice only, which could be files lost."""
    truth, slices = organs(rng)
    reads = dict.fromkeys(names(5), slices) | {"r4": slices[slices["slice"] % 2 == 0]}
    return crowd(rng, (truth, slices), dict.fromkeys(names(5), GOOD), reads=reads)


@right()
def arbiter_for_one_case(rng):
    """Two good raters; a third has read one case."""
    return _dealt(rng, dict.fromkeys(names(3), GOOD), lambda i, case: (i < 2) | (case == 0))


@right()
def two_who_share_a_fifth(rng):
    """Two good raters, each with a half of ten cases, and two cases that both read."""
    hands = dict.fromkeys(names(2), GOOD)
    return _dealt(rng, hands, lambda i, case: (case < 6) if i == 0 else (case > 3), n_cases=10)


@right(may="r0")
def one_alone(rng):
    """One good rater, and nobody else: nothing is known of how good."""
    return good(rng, 1)


@right(may="r0 r1 r2 r3 r4 r5")
def specialists(rng):
    """Three draw the liver and the spleen, three the rest, and all hand in every slice as read."""
    made = good(rng, 6)
    for i, rater in enumerate(names(6)):
        soft = made.boxes[rater]["label"].isin(["liver", "spleen"])
        made.boxes[rater] = made.boxes[rater][soft if i < 3 else ~soft]
    return made


def _dealt(rng, hands, reads, *, bad="", n_cases=8):
    """A crowd whose i-th rater reads the cases where `reads(i, case)` is true."""
    truth, slices = organs(rng, n_cases=n_cases)
    of = {r: slices[reads(i, case_number(slices))] for i, r in enumerate(hands)}
    return crowd(rng, (truth, slices), hands, reads=of, bad=bad)


# --------------------------------------------------------------------------- how much there is


@right()
def one_case(rng):
    """One volume, five raters; r4 is bad."""
    return crowd(rng, organs(rng, n_cases=1), FIVE, bad="r4")


@right()
def one_picture_a_case(rng):
    """Forty pictures that are no volumes, four raters; r3 is bad."""
    truth, slices = organs(rng, n_cases=40)
    middle = truth.groupby("case")["slice"].median().astype(int).rename("slice").reset_index()
    truth, slices = (frame.merge(middle) for frame in (truth, slices))
    hands = dict.fromkeys(names(4), GOOD) | {"r3": BAD}
    return crowd(rng, (truth, slices), hands, bad="r3")


@right()
def mostly_absent(rng):
    """Half of the organs are not there; r4 is bad."""
    return crowd(rng, organs(rng, absent=0.5), FIVE, bad="r4")


@right()
def rare_organ(rng):
    """The aorta is in one case only; r4 is bad."""
    truth, slices = organs(rng)
    truth = truth[(truth["label"] != "aorta") | (truth["case"] == "c03")]
    return crowd(rng, (truth, slices), FIVE, bad="r4")


@right()
def long_boxes(rng):
    """All boxes are five times as high as wide; r4 is bad."""
    truth, slices = organs(rng)
    narrow = truth[EDGES].to_numpy(float, copy=True)
    narrow[:, ::2] = PICTURE / 2 + (narrow[:, ::2] - PICTURE / 2) / 5
    return crowd(rng, (with_edges(truth, narrow), slices), FIVE, bad="r4")


@right()
def twelve_good(rng):
    """Twelve good raters."""
    return good(rng, 12)


@right(may="r4")
def all_nearly_perfect(rng):
    """Five who miss edges by a fifth of a px, but for r4: by a px."""
    hands = dict.fromkeys(names(5), Hand(sd=0.0, px=0.2, miss=0.01))
    return uneven(rng, hands | {"r4": Hand(sd=0.0, px=1.0, miss=0.01)})


@right(may="r0 r1 r2")
def three_bad(rng):
    """Three bad raters, and nobody else."""
    return uneven(rng, dict.fromkeys(names(3), BAD))


# --------------------------------------------------------------------------- who hardly look


@right(may="r4")
def tired_in_one_case(rng):
    """One of five is bad in one case of eight."""
    sd = lambda rows: np.where(case_number(rows) == 5, 0.15, 0.03)  # noqa: E731
    return uneven(rng, dict.fromkeys(names(5), GOOD) | {"r4": Hand(sd=sd)})


@right(may="r4")
def learns(rng):
    """One of five is bad in the first three cases, and good from then on."""
    sd = lambda rows: np.where(case_number(rows) < 3, 0.15, 0.03)  # noqa: E731
    return uneven(rng, dict.fromkeys(names(5), GOOD) | {"r4": Hand(sd=sd)})


@right()
def whole_pictures(rng):
    """One of five draws the whole picture round a fifth of the organs."""
    made = good(rng, 5, bad="r4")
    return spoilt(made, "r4", lambda boxes: _whole(rng, boxes))


def _whole(rng, boxes):
    some = rng.random(len(boxes)) < 0.2
    edges = np.where(some[:, None], [0, 0, PICTURE, PICTURE], boxes[EDGES])
    return with_edges(boxes, edges)


@right()
def clicks(rng):
    """One of five clicks: boxes of 3 px in the middle of organs."""
    made = good(rng, 5, bad="r4")
    return spoilt(made, "r4", lambda boxes: with_edges(boxes, _middles(boxes)))


def _middles(boxes):
    edges = boxes[EDGES].to_numpy(float)
    middle = (edges[:, :2] + edges[:, 2:]) / 2
    return np.hstack([middle - 1.5, middle + 1.5])


@right()
def one_template(rng):
    """One of five draws the same box of an organ wherever others may draw it."""
    made = good(rng, 5, bad="r4")
    return spoilt(made, "r4", lambda boxes: with_edges(boxes, _usual(boxes)))


def _usual(boxes):
    return boxes.groupby("label")[EDGES].transform("median").to_numpy(float)


@right()
def template_on_every_slice(rng):
    """One of five draws the same five boxes on every slice."""
    made = good(rng, 5, bad="r4")
    usual = made.truth.groupby("label", as_index=False)[EDGES].median().assign(object=-1)
    drawn = made.reads["r4"].merge(usual, how="cross")[[*PLACE, *EDGES]]
    known = made.truth[[*PLACE, "object"]]
    drawn = drawn.merge(known, on=PLACE, how="left").fillna({"object": -1})
    boxes = made.boxes | {"r4": drawn.astype({"object": int})}
    return replace(made, boxes=boxes)


@right()
def half_the_crowd_guesses(rng):
    """Three of six guess half of their boxes."""
    guesses = dict.fromkeys(("r3", "r4", "r5"), 0.5)
    hands = dict.fromkeys(names(6), GOOD)
    return crowd(rng, organs(rng), hands, guesses=guesses, bad="r3 r4 r5")


@right()
def quarter_size(rng):
    """Pictures of a quarter of the size, drawn to half a px; r4 is bad."""
    sizes = {organ: size / 4 for organ, size in SIZES.items()}
    small = Hand(sd=0.03, px=0.3)
    hands = dict.fromkeys(names(5), small) | {"r4": replace(BAD, px=0.5)}
    made = crowd(rng, organs(rng, sizes=sizes), hands, bad="r4")
    half = {rater: _on_half_pixels(boxes) for rater, boxes in made.boxes.items()}
    return replace(made, boxes=half)


def _on_half_pixels(boxes):
    return with_edges(boxes, np.round(boxes[EDGES].to_numpy(float) * 2) / 2)


SCENARIOS = {
    make.__name__: make
    for make in (
        *(sites_apart, one_reads_all, chain_of_cases, few_slices_each, reads_every_second_slice),
        *(arbiter_for_one_case, two_who_share_a_fifth, one_alone, specialists),
        *(one_case, one_picture_a_case, mostly_absent, rare_organ, long_boxes, twelve_good),
        *(all_nearly_perfect, three_bad, tired_in_one_case, learns, whole_pictures, clicks),
        *(one_template, template_on_every_slice, half_the_crowd_guesses, quarter_size),
    )
}
