"""Named faults of raters: what crosses a limit with its whole interval, and where to look.

A fault is named only when even the bound that holds for all raters together lies beyond the
limit, so that chance names hardly anyone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crowdqc.agreement.profile import Grouping, Placement, straight
from crowdqc.agreement.rater_data import (
    EXAMPLES,
    FEWEST,
    Fault,
    RaterData,
    Share,
    confused_boxes,
    middle,
    usual,
)
from crowdqc.agreement.resample import Ratio, clustered_ratio
from crowdqc.agreement.suspicion import fit_gain, recurring, repeated, whole_image
from crowdqc.agreement.units import confusions
from crowdqc.arrays import Bools, Ints

ELSEWHERE = 0.1
"""IoU below which a box does not show what the others drew."""
HIT = 0.5
"""IoU from which boxes show the same thing by convention."""


def find_faults(data: RaterData, placed: Placement) -> list[Fault]:
    """All faults of all raters, by rater."""
    faults: list[Fault] = []
    for check in _CHECKS:
        faults += check(data)
    hopeless = {fault.rater for fault in faults if fault.fatal}
    # How edges lie says nothing of boxes that were not drawn by looking.
    faults += [fault for fault in _placed(data, placed) if fault.rater not in hopeless]
    return sorted(faults, key=lambda fault: fault.rater)


def _misses(data: RaterData) -> list[Fault]:
    items = data.compared.items
    return Share(
        check="rater-misses",
        what="misses {:.0%} of what the others drew",
        rater=items.rater,
        at=data.item_place,
        shown=items.missed,
        asked=~items.extra,
        limit=data.limits.miss,
        unit="share of objects",
    ).faults(data)


def _adds(data: RaterData) -> list[Fault]:
    items = data.compared.items
    return Share(
        check="rater-adds",
        what="draws {:.0%} of the boxes where the others drew nothing",
        rater=items.rater,
        at=data.item_place,
        shown=items.extra & ~np.isin(items.box, confused_boxes(data)[0]),
        asked=~items.missed,
        limit=data.limits.extra,
    ).faults(data)


def _strays(data: RaterData) -> list[Fault]:
    """Raters whose boxes lie elsewhere than the others', of an organ that all drew."""
    items = data.compared.items
    both = (items.box >= 0) & ~items.extra
    confused = np.isin(items.box, confused_boxes(data)[0])
    return Share(
        check="boxes-astray",
        what="draws {:.0%} of the boxes elsewhere than the others",
        rater=items.rater,
        at=data.item_place,
        shown=both & (items.iou < ELSEWHERE) & ~confused,
        asked=both,
        limit=data.limits.astray,
    ).faults(data)


def _confuses(data: RaterData) -> list[Fault]:
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
        cluster=data.place_cluster[at],
        n_raters=len(data.people) * n_labels,
    )
    faults = []
    found = {
        *data.above(ratio, limit),
        *(k // n_labels for k in data.above(of_label, limit)),
    }
    for r in sorted(found):
        mine = who == r
        what, check = _confusion_words(own[mine], theirs[mine], data.labels)
        places = data.worst(r, who, at=at, badness=(mine & wrong).astype(float))
        value = float(np.nanmax(of_label.value.reshape(-1, n_labels)[r]))
        faults.append(Fault(r, check, what, value, limit, "share of a label's boxes", places))
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


def _repeats(data: RaterData) -> list[Fault]:
    """Raters who leave a box as it is from slice to slice."""
    drawn, at = data.compared.drawn, data.box_place
    n_labels = len(data.labels)
    run = drawn.rater * (int(data.place_case.max(initial=0)) + 1) + data.place_case[at]
    run = run * n_labels + data.place_label[at]
    asked, same = repeated(drawn.boxes, run, data.place_plane[at])
    return Share(
        check="boxes-repeated",
        what="leaves {:.0%} of the boxes as they were on the slice before",
        rater=drawn.rater,
        at=at,
        shown=same,
        asked=asked,
        limit=data.limits.repeated,
        above_usual=True,
    ).faults(data)


def _recurs(data: RaterData) -> list[Fault]:
    """Raters whose very same box stands in several cases."""
    drawn, at = data.compared.drawn, data.box_place
    again = recurring(drawn.boxes, drawn.rater, data.place_case[at])
    return Share(
        check="boxes-constant",
        what="draws {:.0%} of the boxes to the pixel alike in several cases",
        rater=drawn.rater,
        at=at,
        shown=again,
        asked=np.ones_like(again),
        limit=data.limits.repeated,
        above_usual=True,
        fatal=True,
    ).faults(data)


def _copies(data: RaterData) -> list[Fault]:
    """Pairs of raters whose boxes are equal to the pixel."""
    pairs, people = data.compared.pairs, data.people
    both = pairs.drew_a & pairs.drew_b
    code = pairs.a[both] * len(people) + pairs.b[both]
    known, of = np.unique(code, return_inverse=True)
    same = (pairs.iou[both] > 1 - 1e-9).astype(np.float64)
    at = data.compared.drawn.place[pairs.object[both]]
    cluster = data.place_cluster[at]
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


def _boxes_everything(data: RaterData) -> list[Fault]:
    items, at = data.compared.items, data.item_place
    drew, whole = whole_image(items, data.compared.drawn.boxes, data.place_area[at])
    return Share(
        check="boxes-whole-image",
        what="draws {:.0%} of the boxes round the whole image",
        rater=items.rater,
        at=at,
        shown=whole,
        asked=drew,
        limit=data.limits.whole_image,
        fatal=True,
    ).faults(data)


def _guesses(data: RaterData) -> list[Fault]:
    """Raters whose boxes fit other slices as well as their own: of other cases, or of the case."""
    label = data.place_label
    run = label * (int(data.place_case.max(initial=0)) + 1) + data.place_case
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
    _, high = ratio.bounds(data.level)
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


def _placed(data: RaterData, placed: Placement) -> list[Fault]:
    """Raters whose edges lie elsewhere than the others', or scatter."""
    return [
        *_shifts(data, placed),
        *_sizes(data, placed),
        *_scatters(data, placed),
    ]


def _shifts(data: RaterData, placed: Placement) -> list[Fault]:
    faults = []
    limit = data.limits.shift
    sides = ((placed.shift_x, 0, ("left", "right")), (placed.shift_y, 1, ("up", "down")))
    for ratio, axis, (back, forth) in sides:
        low, high = ratio.bounds(data.level)
        for r in _rows(((low > limit) | (high < -limit)) & (ratio.n >= FEWEST)):
            value = float(ratio.value[r])
            way = forth if value > 0 else back
            px = abs(placed.shift[r, axis])
            what = f"draws {px:.1f} px too far {way} ({abs(value):.0%} of the object)"
            places = _typical(data, r)
            fault = Fault(r, "rater-shifts", what, value, limit, "share of size", places)
            faults.append(fault)
    return faults


def _sizes(data: RaterData, placed: Placement) -> list[Fault]:
    limit, ratio = float(np.log1p(data.limits.size)), placed.size
    low, high = ratio.bounds(data.level)
    faults = []
    for r in _rows(((low > limit) | (high < -limit)) & (ratio.n >= FEWEST)):
        value = float(np.expm1(ratio.value[r]))
        word = "large" if value > 0 else "small"
        what = f"draws boxes {abs(value):.0%} too {word}"
        places = _typical(data, r)
        check = f"boxes-too-{word}"
        faults.append(Fault(r, check, what, value, data.limits.size, "share of size", places))
    return faults


def _scatters(data: RaterData, placed: Placement) -> list[Fault]:
    ratio, limits = placed.spread, data.limits
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


def drifts(data: RaterData, ratio: Ratio) -> list[Fault]:
    """Raters who got worse from the first to the last slice that they read."""
    limit = data.limits.drift
    _, high = ratio.bounds(data.level)
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


def item_clusters(data: RaterData) -> Grouping:
    """Clusters of the items."""
    return Grouping(data.place_cluster[data.item_place], len(data.people))


_CHECKS: tuple[Callable[[RaterData], list[Fault]], ...] = (
    _recurs,
    _boxes_everything,
    _guesses,
    _copies,
    _repeats,
    _confuses,
    _misses,
    _adds,
    _strays,
)
