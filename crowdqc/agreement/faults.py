"""Named faults of raters: what crosses a limit with its whole interval, and where to look.

A fault is named only when even the bound that holds for all raters together lies beyond the
limit, so that chance names hardly anyone.
"""

from __future__ import annotations

import numpy as np

from crowdqc.agreement.profile import straight
from crowdqc.agreement.rater_data import EXAMPLES, FEWEST, Fault, RaterData, middle, usual
from crowdqc.agreement.resample import clustered_ratio
from crowdqc.agreement.suspicion import fit_gain
from crowdqc.agreement.units import confusions
from crowdqc.arrays import Bools, Ints
from crowdqc.checks import check, registered

HIT = 0.5
"""IoU from which boxes show the same thing by convention."""
EDGE_FAULTS = {"rater-shifts", "boxes-too-large", "boxes-too-small", "rater-scatters"}
"""Faults of how edges lie."""


def find_faults(data: RaterData) -> list[Fault]:
    """All faults of all raters, by rater."""
    faults = [fault for one in registered("rater") for fault in one.find(data)]
    hopeless = {fault.rater for fault in faults if fault.fatal}
    # How edges lie says nothing of boxes that were not drawn by looking.
    faults = [f for f in faults if f.rater not in hopeless or f.check not in EDGE_FAULTS]
    return sorted(faults, key=lambda fault: fault.rater)


@check("rater", "labels-confused", "labels-swapped", order=60)
def labels_confused(data: RaterData) -> list[Fault]:
    """Raters who give labels that the others agree are others: of one label, or of all."""
    units, limit, n_labels = (
        data.compared.units,
        data.limits.confusion,
        len(data.labels),
    )
    rows, theirs = confusions(units)
    own, who = units.value[rows], units.rater[rows]
    at = data.box_place[units.box[rows]]
    wrong = own != theirs
    ratio = data.ratio(wrong, np.ones(len(rows)), rater=who, at=at)
    of_label = clustered_ratio(
        wrong.astype(np.float64),
        np.ones(len(rows)),
        rater=who * n_labels + theirs,
        cluster=data.places.rater_cluster[at],
        n_raters=len(data.people) * n_labels,
    )
    faults = []
    found = {
        *data.above(ratio, limit),
        *(k // n_labels for k in data.above(of_label, limit)),
    }
    for r in sorted(found):
        mine = who == r
        what, name = _confusion_words(own[mine], theirs[mine], data.labels)
        places = data.worst(r, who, at=at, badness=(mine & wrong).astype(float))
        value = float(np.nanmax(of_label.value.reshape(-1, n_labels)[r]))
        faults.append(Fault(r, name, what, value, limit, "share of a label's boxes", places))
    return faults


def _confusion_words(own: Ints, theirs: Ints, labels: tuple[str, ...]) -> tuple[str, str]:
    """What the most frequent confusion is called, and the name of the finding."""
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (theirs, own), 1)
    drawn = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, drawn, out=np.zeros_like(counts), where=drawn > 0)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    a, b = np.unravel_index(int(wrong.argmax()), wrong.shape)
    if share[b, a] >= 0.5 * share[a, b]:
        both = (counts[a, b] + counts[b, a]) / (drawn[a, 0] + drawn[b, 0])
        first, second = sorted((labels[a], labels[b]))
        return f"swaps {first} and {second} ({both:.0%} of their boxes)", "labels-swapped"
    return f"calls {labels[a]} {labels[b]} ({share[a, b]:.0%} of them)", "labels-confused"


@check("rater", "boxes-copied", order=40)
def copied(data: RaterData) -> list[Fault]:
    """Pairs of raters whose boxes are equal to the pixel."""
    pairs, people = data.compared.pairs, data.people
    both = pairs.drew_a & pairs.drew_b
    code = pairs.a[both] * len(people) + pairs.b[both]
    known, of = np.unique(code, return_inverse=True)
    same = (pairs.iou[both] > 1 - 1e-9).astype(np.float64)
    at = data.compared.drawn.place[pairs.object[both]]
    cluster = data.places.rater_cluster[at]
    ratio = clustered_ratio(
        same, np.ones(len(same)), rater=of.reshape(-1), cluster=cluster, n_raters=len(known)
    )
    limit = data.limits.copied + usual(ratio)
    faults = []
    for pair in data.above(ratio, limit):
        a, b = divmod(int(known[pair]), len(people))
        places = np.unique(at[(of.reshape(-1) == pair) & (same > 0)])[:EXAMPLES]
        value = float(ratio.value[pair])
        for r, other in ((a, b), (b, a)):
            what = f"has {value:.0%} of the boxes to the pixel as {people[other]} drew them"
            fault = Fault(r, "boxes-copied", what, value, limit, "share of boxes", places)
            faults.append(fault)
    return faults


@check("rater", "boxes-guessed", order=30)
def guessed(data: RaterData) -> list[Fault]:
    """Raters whose boxes fit other slices as well as their own: of other cases, or of the case."""
    label = data.places.label
    run = label * (int(data.places.case.max(initial=0)) + 1) + data.places.case
    faults: dict[int, Fault] = {}
    for group in (label, run):
        for fault in _guesses_within(data, group):
            faults.setdefault(fault.rater, fault)
    return list(faults.values())


def _guesses_within(data: RaterData, group: Ints) -> list[Fault]:
    items = data.compared.items
    drawn = data.compared.drawn
    rows, gain = fit_gain(items, drawn, straight(drawn, data.bias), group=group)
    at = data.item_place[rows]
    ratio = data.ratio(gain, np.ones(len(rows)), rater=items.rater[rows], at=at)
    agreed = data.ratio(
        np.nan_to_num(items.iou[rows]), np.ones(len(rows)), rater=items.rater[rows], at=at
    )
    if middle(ratio) < data.limits.guess and middle(agreed) >= HIT:
        return []  # nobody gains, and yet they agree: things lie still, but for the raters' noise
    _, high = ratio.bounds(data.places.level)
    limit = max(data.limits.guess, data.limits.guess_share * usual(ratio))
    return [
        Fault(
            r,
            "boxes-guessed",
            "draws boxes that fit other slices as well as their own",
            *(float(ratio.value[r]), limit, "IoU gained"),
            data.worst(r, items.rater[rows], at=at, badness=1.0 - gain),
            fatal=True,
        )
        for r in _rows((high < limit) & (ratio.n >= 2 * FEWEST))
    ]


@check("rater", "rater-shifts", order=110)
def shifted(data: RaterData) -> list[Fault]:
    """Raters whose boxes lie to one side of the others'."""
    faults = []
    limit = data.limits.shift
    sides = ((data.placed.shift_x, 0, ("left", "right")), (data.placed.shift_y, 1, ("up", "down")))
    for ratio, axis, (back, forth) in sides:
        low, high = ratio.bounds(data.places.level)
        for r in _rows(((low > limit) | (high < -limit)) & (ratio.n >= FEWEST)):
            value = float(ratio.value[r])
            way = forth if value > 0 else back
            px = abs(data.placed.shift[r, axis])
            what = f"draws {px:.1f} px too far {way} ({abs(value):.0%} of the object)"
            places = _typical(data, r)
            fault = Fault(r, "rater-shifts", what, value, limit, "share of size", places)
            faults.append(fault)
    return faults


@check("rater", "boxes-too-large", "boxes-too-small", order=120)
def wrong_size(data: RaterData) -> list[Fault]:
    """Raters whose boxes are larger or smaller than the others'."""
    limit, ratio = float(np.log1p(data.limits.size)), data.placed.size
    low, high = ratio.bounds(data.places.level)
    faults = []
    for r in _rows(((low > limit) | (high < -limit)) & (ratio.n >= FEWEST)):
        value = float(np.expm1(ratio.value[r]))
        word = "large" if value > 0 else "small"
        what = f"draws boxes {abs(value):.0%} too {word}"
        places = _typical(data, r)
        name = f"boxes-too-{word}"
        faults.append(Fault(r, name, what, value, data.limits.size, "share of size", places))
    return faults


@check("rater", "rater-scatters", order=130)
def scattered(data: RaterData) -> list[Fault]:
    """Raters whose edges scatter more than those of the median rater."""
    ratio, limits = data.placed.spread, data.limits
    median = float(np.nanmedian(ratio.value)) if np.isfinite(ratio.value).any() else np.nan
    limit = max(limits.spread_least, limits.spread * median)
    return [
        Fault(
            r,
            "rater-scatters",
            f"scatters edges by {ratio.value[r]:.1%} of the object ({median:.1%} is usual)",
            *(float(ratio.value[r]), limit, "share of size"),
            _typical(data, r),
        )
        for r in data.above(ratio, limit)
    ]


def _rows(chosen: Bools) -> list[int]:
    return [int(row) for row in np.flatnonzero(chosen)]


def _typical(data: RaterData, rater: int) -> Ints:
    """Places where the rater's boxes are worst."""
    items = data.compared.items
    badness = np.where(items.missed | items.extra, 0.0, 1.0 - items.iou)
    return data.worst(rater, items.rater, at=data.item_place, badness=badness)


@check("rater", "rater-drifts", order=150)
def drifts(data: RaterData) -> list[Fault]:
    """Raters who got worse from the first to the last slice that they read."""
    ratio, limit = data.drift, data.limits.drift
    _, high = ratio.bounds(data.places.level)
    return [
        Fault(
            r,
            "rater-drifts",
            f"loses {-ratio.value[r]:.2f} of IoU from the first to the last slice read",
            *(float(-ratio.value[r]), limit, "IoU"),
            _typical(data, r),
        )
        for r in _rows((high < -limit) & (ratio.n >= 2 * FEWEST))
    ]
