"""Named faults of raters: what crosses a limit with its whole interval, and where to look.

A fault is named only when even the bound that holds for all raters together lies beyond the
limit, so that chance names hardly anyone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from crowdqc.agreement.boxes import own_box
from crowdqc.agreement.conventions import beyond, convention, surely_apart, two_conventions
from crowdqc.agreement.dependent import copied_in_part, dependent, draw_on_grid
from crowdqc.agreement.grids import equal_by_chance, on_grid
from crowdqc.agreement.profile import straight
from crowdqc.agreement.rater_data import (
    ENOUGH,
    EXAMPLES,
    FEWEST,
    Fault,
    RaterData,
    middle,
    usual,
)
from crowdqc.agreement.ratios import Ratio, clustered_ratio
from crowdqc.agreement.scatter import EDGES, by_label, label_offsets, overall, scatters
from crowdqc.agreement.suspicion import fit_gain
from crowdqc.agreement.units import confusions
from crowdqc.arrays import Bools, Ints, numbered
from crowdqc.checks import check, registered
from crowdqc.crowd.grid import tool_grid
from crowdqc.findings import Finding

HIT = 0.5
"""IoU from which boxes show the same thing by convention."""
EDGE_FAULTS = {"rater-shifts", "boxes-too-large", "boxes-too-small", "rater-scatters"}
"""Faults of how edges lie."""


def find_faults(data: RaterData) -> tuple[list[Fault], list[Finding]]:
    """What all checks of raters find.

    Parameters
    ----------
    data : RaterData
        What was measured of the raters.

    Returns
    -------
    faults : list of Fault
        By rater.
    noticed : list of Finding
        What is nobody's fault, such as two conventions.
    """
    found = [one for check in registered("rater") for one in check.find(data)]
    faults = [one for one in found if isinstance(one, Fault)]
    hopeless = {fault.rater for fault in faults if fault.fatal}
    # How edges lie says nothing of boxes that were not drawn by looking.
    faults = [f for f in faults if f.rater not in hopeless or f.check not in EDGE_FAULTS]
    # Boxes that are displaced, of another size or of another case scatter: one cause, one fault.
    causes = {*(EDGE_FAULTS - {"rater-scatters"}), "cases-astray"}
    displaced = {f.rater for f in faults if f.check in causes}
    faults = [f for f in faults if f.check != "rater-scatters" or f.rater not in displaced]
    noticed = [one for one in found if isinstance(one, Finding)]
    return sorted(faults, key=lambda fault: fault.rater), noticed


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


@check("rater", "boxes-copied", "raters-dependent", "edges-on-grid", order=40)
def copied(data: RaterData) -> list[Fault | Finding]:
    """Raters whose boxes are equal to the pixel, or who err alike beyond what chance allows."""
    pairs, people = data.compared.pairs, data.people
    rows = np.flatnonzero(pairs.drew_a & pairs.drew_b)
    known, of = numbered(pairs.a[rows] * len(people) + pairs.b[rows])
    same = pairs.iou[rows] > 1 - 1e-9
    at = data.compared.drawn.place[pairs.object[rows]]
    cluster = data.places.rater_cluster[at]

    def shares(equal: Bools) -> Ratio:
        one = np.ones(len(rows))
        return clustered_ratio(
            equal.astype(np.float64), one, rater=of, cluster=cluster, n_raters=len(known)
        )

    ratio = shares(same)
    faults: list[Fault] = []
    usually = usual(ratio)
    for pair in data.above(ratio, data.limits.copied + usually):
        limit = data.limits.copied + max(
            usually, _equal_by_tool(data, rows, mine=of == pair, shares=shares)
        )
        if pair not in data.above(ratio, limit):
            continue
        a, b = divmod(int(known[pair]), len(people))
        places = np.unique(at[(of == pair) & same])[:EXAMPLES]
        value = float(ratio.value[pair])
        for r, other in ((a, b), (b, a)):
            what = f"has {value:.0%} of the boxes to the pixel as {people[other]} drew them"
            fault = Fault(r, "boxes-copied", what, value, limit, "share of boxes", places)
            faults.append(fault)
    faults += dependent(data, {fault.rater for fault in faults})
    faults += copied_in_part(data, {fault.rater for fault in faults})
    return [*faults, *draw_on_grid(data)]


def _equal_by_tool(
    data: RaterData, rows: Ints, *, mine: Bools, shares: Callable[[Bools], Ratio]
) -> float:
    """Share of boxes that a pair's tool makes equal: as of other hands on the grid of its edges.

    `rows` are pairs of boxes, `mine` those of the pair, and `shares` gives the share of each pair
    of raters whose boxes are equal. Where there is no third rater the pair's own edges tell.
    """
    pairs, drawn = data.compared.pairs, data.compared.drawn
    first, second = (
        drawn.boxes[own_box(drawn, pairs.object[rows], who[rows])] for who in (pairs.a, pairs.b)
    )
    step = tool_grid(np.concatenate([first[mine], second[mine]]))
    if not step:
        return 0.0
    equal = on_grid(first, step) == on_grid(second, step)
    alone = len(data.people) < 3
    return equal_by_chance(equal[mine]) if alone else usual(shares(equal.all(axis=1)))


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
    items = data.items
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
        for r in _rows((high < limit) & (ratio.n >= ENOUGH) & (data.n_others > 1))
    ]


@check("rater", "rater-shifts", "conventions-differ", order=110)
def shifted(data: RaterData) -> list[Fault | Finding]:
    """Raters whose boxes lie to one side of the others'."""
    found: list[Fault | Finding] = []
    limit, placed = data.limits.shift, data.placed
    sides = ((placed.shift_x, 0, ("left", "right")), (placed.shift_y, 1, ("up", "down")))
    for ratio, axis, (back, forth) in sides:
        sites = two_conventions(data, ratio, limit)
        if sites:
            found.append(
                convention(data, sites, lower=f"lie further {back}", upper=f"further {forth}")
            )
            continue
        for r in beyond(data, ratio, limit):
            value = float(ratio.value[r])
            way = forth if value > 0 else back
            px = abs(placed.shift[r, axis])
            what = f"draws {px:.1f} px too far {way} ({abs(value):.0%} of the object)"
            places = _typical(data, r)
            found.append(Fault(r, "rater-shifts", what, value, limit, "share of size", places))
    shifting = np.isin(
        np.arange(len(data.people)), [f.rater for f in found if isinstance(f, Fault)]
    )
    return found + _shifted_at_labels(data, shifting | scatters(data, overall(data)))


def _shifted_at_labels(data: RaterData, elsewhere: Bools) -> list[Fault | Finding]:
    """Raters who place an edge of one label elsewhere than the others, always by as much.

    But for those whose boxes lie `elsewhere` at all labels.
    """
    found: list[Fault | Finding] = []
    for label, (about, steady) in enumerate(by_label(data)):
        unsteady = scatters(data, steady) | elsewhere
        off = scatters(data, about) & ~unsteady
        if off.any():
            found += _label_shifts(data, off, label, steady=~unsteady)
    return found


def _label_shifts(
    data: RaterData, off: Bools, label: int, *, steady: Bools
) -> list[Fault | Finding]:
    """What of raters who are `off` at a label is a convention, and the faults of the others."""
    found: list[Fault | Finding] = []
    offsets = label_offsets(data, label)
    sided: set[int] = set()
    for edge, ratio in offsets.items():
        sites = two_conventions(data, ratio, data.limits.shift, among=steady)
        if sites and off[[*sites[0], *sites[1]]].any() and surely_apart(data, ratio, sites):
            back, forth = EDGES[edge]
            does = f"have the {edge} edge of {data.labels[label]} further"
            found.append(convention(data, sites, lower=f"{does} {back}", upper=f"further {forth}"))
            sided.update(*sites[:2])
    return found + [
        _label_shift(data, r, label=label, offsets=offsets) for r in _rows(off) if r not in sided
    ]


def _label_shift(data: RaterData, rater: int, *, label: int, offsets: Mapping[str, Ratio]) -> Fault:
    """The fault of a rater who misplaces an edge of a label: the edge that is farthest off."""
    values = {edge: float(ratio.value[rater]) for edge, ratio in offsets.items()}
    edge = max(values, key=lambda name: abs(values[name]))
    value, way = values[edge], EDGES[edge][int(values[edge] > 0)]
    name, limit = data.labels[label], data.limits.shift
    what = f"draws the {edge} edge of {name} {abs(value):.0%} of its size too far {way}"
    places = _typical(data, rater, label)
    return Fault(rater, "rater-shifts", what, value, limit, "share of size", places)


@check("rater", "boxes-too-large", "boxes-too-small", order=120)
def wrong_size(data: RaterData) -> list[Fault | Finding]:
    """Raters whose boxes are larger or smaller than the others'."""
    limit, ratio = float(np.log1p(data.limits.size)), data.placed.size
    sites = two_conventions(data, ratio, limit)
    if sites:
        return [convention(data, sites, lower="are tight", upper="are loose")]
    faults: list[Fault | Finding] = []
    for r in beyond(data, ratio, limit):
        value = float(np.expm1(ratio.value[r]))
        word = "large" if value > 0 else "small"
        what = f"draws boxes {abs(value):.0%} too {word}"
        places = _typical(data, r)
        name = f"boxes-too-{word}"
        faults.append(Fault(r, name, what, value, data.limits.size, "share of size", places))
    return faults


@check("rater", "rater-scatters", order=130)
def scattered(data: RaterData) -> list[Fault]:
    """Raters whose edges scatter more than those of the median rater: of all labels, or of one."""
    faults: dict[int, Fault] = {}
    for kind in [overall(data), *(steady for _, steady in by_label(data))]:
        what = "the object" if kind.label is None else data.labels[kind.label]
        for r in _rows(scatters(data, kind)):
            value = float(kind.model[r])
            text = f"scatters edges by {value:.1%} of {what} ({kind.best:.1%} can be done)"
            places, limit = _typical(data, r, kind.label), kind.limit(data.limits)
            fault = Fault(r, "rater-scatters", text, value, limit, "share of size", places)
            faults.setdefault(r, fault)
    return list(faults.values())


def _rows(chosen: Bools) -> list[int]:
    return [int(row) for row in np.flatnonzero(chosen)]


def _typical(data: RaterData, rater: int, label: int | None = None) -> Ints:
    """Places where the rater's boxes are worst: of all labels, or of one."""
    items = data.items
    other = items.missed | items.extra
    if label is not None:
        other = other | (data.item_label != label)
    badness = np.where(other, 0.0, 1.0 - items.iou)
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
        for r in _rows((high < -limit) & (ratio.n >= 2 * FEWEST) & (data.n_others > 1))
    ]
