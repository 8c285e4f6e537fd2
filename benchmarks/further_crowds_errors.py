"""Crowds whose errors are made in other ways than in the checks, by people, tools and bots.

Errors that go on from slice to slice, move whole boxes, follow contours, contrast or the order of
work. As in the checks there are 8 cases of five organs, and raters are good unless it is said.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from further_crowds_parts import copied, good, moved, nudged, right, spoilt, uneven
from scenarios import (
    EDGES,
    OBJECT,
    PLACE,
    SLICE,
    Crowd,
    Hand,
    case_number,
    draw,
    invented,
    names,
    organs,
    with_edges,
)

COPIED = "boxes-copied raters-dependent"
SHARE, PX = 0.03, 0.8  # what a good rater's edges scatter by: of the side, and px


def sides(boxes):
    """Width and height of each box, once for each edge, px."""
    edges = boxes[EDGES].to_numpy(float)
    return np.tile(edges[:, 2:] - edges[:, :2], 2)


def usual(objects):
    """The standard deviation of a good rater's edges, px."""
    return np.hypot(SHARE * sides(objects), PX)


def by_errors(rng, study, errors, *, bad="", miss=0.03, single=True) -> Crowd:
    """Raters whose edges lie off by ``errors[rater](objects)`` px, who miss and invent as usual."""
    truth, slices = study
    boxes = {}
    for rater, error in errors.items():
        drawn = moved(truth, error(truth))[rng.random(len(truth)) >= miss]
        low = np.minimum(drawn[EDGES[:2]], drawn[EDGES[2:]].to_numpy() - 2)
        drawn = with_edges(drawn, np.hstack([low, drawn[EDGES[2:]]]))
        more = invented(rng, truth, slices, 0.003) if single else drawn[:0]
        boxes[rater] = pd.concat([drawn[OBJECT], more], ignore_index=True)
    return Crowd(truth, boxes, dict.fromkeys(errors, slices), set(bad.split()), single)


def along_runs(rng, objects, keep):
    """Standard normal errors of four edges, each `keep` times that of the organ's slice before."""
    errors = rng.standard_normal((len(objects), 4))
    same = objects[["case", "label"]].eq(objects[["case", "label"]].shift()).all(axis=1).to_numpy()
    for i in np.flatnonzero(same):
        errors[i] = keep * errors[i - 1] + np.sqrt(1 - keep**2) * errors[i]
    return errors


def all_of(error, n=5):
    """The same kind of error for `n` raters."""
    return dict.fromkeys(names(n), error)


# --------------------------------------------------------------------------- how errors are made


@right()
def errors_go_on(rng):
    """Five good raters whose errors go on from slice to slice (correlation .9)."""
    return by_errors(rng, organs(rng), all_of(lambda o: usual(o) * along_runs(rng, o, 0.9)))


@right()
def whole_boxes_move(rng):
    """Five good raters who move and grow whole boxes, so that edges of a box err together."""

    def error(objects):
        move, grow = rng.standard_normal((2, len(objects), 2))
        return usual(objects) * np.hstack([move - 0.7 * grow, move + 0.7 * grow]) / 1.2

    return by_errors(rng, organs(rng), all_of(error))


@right()
def one_blurred_side(rng):
    """The right side of all organs is blurred: all five scatter five times as much there."""

    def error(objects):
        return usual(objects) * rng.standard_normal((len(objects), 4)) * [1, 1, 5, 1]

    return by_errors(rng, organs(rng), all_of(error))


@right()
def contrast(rng):
    """Contrast differs from organ to organ in each case; the errors of all five go with it."""
    truth, slices = organs(rng)
    run = truth.groupby(["case", "label"]).ngroup().to_numpy()
    blur = np.exp(rng.normal(0, 0.8, (run.max() + 1, 4)))[run]
    error = lambda o: usual(o) * blur * rng.standard_normal((len(o), 4))  # noqa: E731
    return by_errors(rng, (truth, slices), all_of(error))


@right()
def slips_of_the_mouse(rng):
    """Of each of five good raters one edge in fifty lies anywhere up to half a side off."""

    def error(objects):
        shape = len(objects), 4
        slip = (rng.random(shape) < 0.02) * rng.uniform(-0.5, 0.5, shape) * sides(objects)
        return usual(objects) * rng.standard_normal(shape) + slip

    return by_errors(rng, organs(rng), all_of(error))


@right()
def attention_varies(rng):
    """Five who draw all of a slice with more or with less care, each on other slices."""
    return by_errors(rng, organs(rng), all_of(lambda o: _careless(rng, o, ["case", "slice"])))


@right()
def careless_boxes(rng):
    """Five who draw single boxes with more or with less care, all edges of a box alike."""
    return by_errors(rng, organs(rng), all_of(lambda o: _careless(rng, o, PLACE)))


def _careless(rng, objects, unit):
    of = objects.groupby(unit).ngroup().to_numpy()
    care = np.exp(rng.normal(0, 0.8, of.max() + 1))[of]
    return usual(objects) * care[:, None] * rng.standard_normal((len(objects), 4))


@right()
def each_organ_anew(rng):
    """Five who take the borders of each organ anew in each case, 8 % of the side apart."""

    def error(objects):
        run = objects.groupby(["case", "label"]).ngroup().to_numpy()
        own = 0.08 * rng.standard_normal((run.max() + 1, 4))[run] * sides(objects)
        return own + usual(objects) * rng.standard_normal((len(objects), 4))

    return by_errors(rng, organs(rng), all_of(error))


@right()
def what_all_get_wrong(rng):
    """Half of the variance of five raters is common to them: their boxes do not show it."""
    truth, slices = organs(rng)
    common = usual(truth) * rng.standard_normal((len(truth), 4))

    def error(objects):
        own = usual(objects) * rng.standard_normal((len(objects), 4))
        return (common + own) / 2**0.5

    return by_errors(rng, (truth, slices), all_of(error))


@right()
def contours(rng):
    """Four good raters draw outlines by hand, in whole px; boxes are the bounds of the outlines."""
    turns = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    waves = np.stack([f(k * turns) for k in range(2, 8) for f in (np.cos, np.sin)])

    def outline(objects, wobble):
        half, middle = sides(objects)[:, :2] / 2, objects[EDGES].to_numpy(float)
        middle = (middle[:, :2] + middle[:, 2:]) / 2
        radius = 1 + wobble @ waves
        at = np.stack([np.cos(turns), np.sin(turns)], -1) * radius[..., None] * half[:, None]
        return np.hstack([middle + at.min(1), middle + at.max(1)])

    truth, slices = organs(rng)
    shape = rng.normal(0, 0.04, (len(truth), len(waves)))
    true = with_edges(truth, np.round(outline(truth, shape)))

    def error(objects):
        hand = shape + rng.normal(0, 0.015, shape.shape)
        return np.round(outline(truth, hand)) - objects[EDGES].to_numpy()

    return by_errors(rng, (true, slices), all_of(error, 4))


@right()
def drifts_within_cases(rng):
    """The boxes of r4 slide away along each organ, to a third of its width at the last slice."""
    made = good(rng, bad="r4")

    def slid(boxes):
        first = boxes.groupby(["case", "label"])["slice"].transform("min")
        last = boxes.groupby(["case", "label"])["slice"].transform("max")
        part = ((boxes["slice"] - first) / np.maximum(last - first, 1)).to_numpy()
        return moved(boxes, (part / 3)[:, None] * sides(boxes) * [1, 0, 1, 0])

    return spoilt(made, "r4", slid)


@right(may="r4")
def box_of_the_slice_before(rng):
    """Every second box of r4 is that of the slice before, moved a little: not much worse."""

    def kept(boxes):
        boxes = boxes.sort_values(["case", "label", "slice"])
        before = boxes.groupby(["case", "label"])[EDGES].shift().fillna(boxes[EDGES])
        later = (boxes["slice"] % 2 == 1).to_numpy()[:, None]
        return nudged(rng, with_edges(boxes, np.where(later, before, boxes[EDGES])), 0.3)

    return spoilt(good(rng), "r4", kept)


@right()
def all_learn(rng):
    """All five begin badly and get better from case to case, as novices do."""
    sd = lambda rows: 0.02 + 0.1 * np.exp(-case_number(rows) / 2)  # noqa: E731
    return uneven(rng, dict.fromkeys(names(5), Hand(sd=sd)))


@right(may="r0 r1 r2 r3 r4")
def each_has_bad_days(rng):
    """Each of five is bad in one or two cases of eight, each in others."""

    def hand(i):
        return Hand(sd=lambda rows: np.where(case_number(rows) % 5 == i, 0.15, 0.03))

    return uneven(rng, {rater: hand(i) for i, rater in enumerate(names(5))})


# --------------------------------------------------------------------------- tools


@right()
def all_on_four_px(rng):
    """The tool of all five puts edges on multiples of 4 px: equal boxes are no copies."""
    made = good(rng)
    boxes = {r: on_grid(b, 4) for r, b in made.boxes.items()}
    return replace(made, boxes=boxes)


@right(may="r4")
def mixed_tools(rng):
    """Five tools: half px, whole px, whole px without the last one, floats, multiples of 4 px."""
    made = good(rng)
    tools = [
        *(lambda b: on_grid(b, 0.5), lambda b: on_grid(b, 1)),
        *(lambda b: moved(on_grid(b, 1), [0, 0, -1, -1]), lambda b: b, lambda b: on_grid(b, 4)),
    ]
    for rater, tool in zip(names(5), tools, strict=True):
        made = spoilt(made, rater, tool)
    return made


def on_grid(boxes, px):
    edges = px * np.round(boxes[EDGES].to_numpy(float) / px)
    return with_edges(boxes, np.hstack([edges[:, :2], np.maximum(edges[:, 2:], edges[:, :2] + px)]))


@right(may="r4")
def a_model_among_them(rng):
    """r4 is a network: smooth and near, but lacks organs in some cases, or draws them elsewhere.

    What it does wrong should be told, but on the whole it is as good as the four good people.
    """
    made = good(rng)
    truth = made.truth
    near = moved(truth, 0.5 * usual(truth) * along_runs(rng, truth, 0.95))
    run = truth.groupby(["case", "label"]).ngroup().to_numpy()
    lot = rng.random(run.max() + 1)[run]
    elsewhere = moved(near, np.tile(rng.choice([-40, 40], (run.max() + 1, 2)), 2)[run])
    drawn = pd.concat([near[lot > 0.15], elsewhere[lot < 0.08]], ignore_index=True)
    return replace(made, boxes=made.boxes | {"r4": drawn[OBJECT]})


# --------------------------------------------------------------------------- copies and bots


@right(faults={"r3": COPIED, "r4": COPIED})
def copies_with_noise(rng):
    """Of five, r4 copies r3 and moves each edge by 2 px, more than a good hand errs by."""
    return copied(rng, good(rng, bad="r3 r4"), "r4", of="r3", px=2)


@right(faults=dict.fromkeys(("r3", "r4"), COPIED))
def copies_two_cases(rng):
    """Of five, r4 copies r3 in two of eight cases, each edge moved by .4 px."""
    return copied(rng, good(rng, bad="r3 r4"), "r4", of="r3", cases=("c02", "c05"))


@right(faults=dict.fromkeys(("r4", "r5", "r6"), COPIED))
def three_collude(rng):
    """Three of seven hand in the same wrong boxes, 1 px apart."""
    made = good(rng, 7, bad="r4 r5 r6")
    wrong = draw(rng, made.truth, Hand(sd=0.12, px=1, miss=0.1, push=0.1))[OBJECT]
    return replace(made, boxes=made.boxes | {r: nudged(rng, wrong, 1) for r in ("r4", "r5", "r6")})


@right(faults={"r4": COPIED})
def bot_takes_anyones(rng):
    """r4 draws nothing: on each slice it takes the boxes of another of four, moved by half a px."""
    made = good(rng, bad="r4")
    turn = made.reads["r4"].assign(whose=rng.choice(names(4), len(made.reads["r4"])))
    drawn = [made.boxes[r].merge(turn[turn["whose"] == r][SLICE]) for r in names(4)]
    return replace(made, boxes=made.boxes | {"r4": nudged(rng, pd.concat(drawn), 0.5)})


@right(faults={"r0": COPIED, "r4": COPIED})
def bot_spreads_boxes(rng):
    """r4 takes the boxes of one rater, and moves each edge by an eighth of the side."""
    made = good(rng, bad="r0 r4")
    theirs = made.boxes["r0"]
    off = 0.125 * sides(theirs) * rng.standard_normal((len(theirs), 4))
    return replace(made, boxes=made.boxes | {"r4": moved(theirs, off)})


SCENARIOS = {
    make.__name__: make
    for make in (
        *(errors_go_on, whole_boxes_move, one_blurred_side, contrast, slips_of_the_mouse, contours),
        *(attention_varies, careless_boxes, each_organ_anew, what_all_get_wrong),
        *(drifts_within_cases, box_of_the_slice_before, all_learn, each_has_bad_days),
        *(all_on_four_px, mixed_tools, a_model_among_them, copies_with_noise, copies_two_cases),
        *(three_collude, bot_takes_anyones, bot_spreads_boxes),
    )
}
