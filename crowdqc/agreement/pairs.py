"""Two raters without a third: that they differ, on what, and whose hand is unsteady.

Of two who differ, nothing says who is right, so that neither is accused. One thing shows in the
boxes of each alone: an organ changes little from slice to slice, and of two hands that draw the
same organ, the one that jumps about more is the less steady one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from crowdqc.agreement.boxes import own_box
from crowdqc.agreement.continuity import runs_of, unsteadiness
from crowdqc.agreement.rater_data import EXAMPLES, FEWEST, Fault, RaterData
from crowdqc.agreement.ratios import Ratio, clustered_ratio
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.checks import check
from crowdqc.findings import Finding
from crowdqc.schema import BOX

UNSTEADY = 1.5
"""How many times as far as the other one's the boxes of a rater lie from their neighbours."""


BY_RULE = 0.1
"""Share of boxes on a line with those beside them from which a rater's are no hand's: copied along
the slices, or interpolated. The same few lie there by chance."""
ALIKE = 0.5
"""Least slope of the way of one rater's edges along the slices on that of the steadier one: where
it is less, the latter does not follow the organ."""
_LINE = 0.05
"""Distance from that line in px that is rounding; half a px where all draw on whole ones."""


class _Two(NamedTuple):
    """Two raters with nobody else, and the rows of the pairs that both were asked for."""

    a: int
    b: int
    rows: Ints


@check("rater", "raters-disagree", order=140)
def disagree(data: RaterData) -> list[Fault | Finding]:
    """Pairs of raters without a third, who differ; and who of the two is unsteady."""
    found: list[Fault | Finding] = []
    for two in _pairs_alone(data):
        on = _differences(data, two)
        if not on:
            continue
        names = data.people[two.a], data.people[two.b]
        text = (
            f"{names[0]} and {names[1]} disagree: {'; '.join(on)}. Nothing tells who of two is "
            "right: let a third read some of it, or compare with gold."
        )
        found.append(Finding(check="raters-disagree", message=text))
        found += _unsteady(data, two)
    return found


def _pairs_alone(data: RaterData) -> list[_Two]:
    pairs, alone = data.compared.pairs, data.n_others == 1
    rows = np.flatnonzero(alone[pairs.a] & alone[pairs.b])
    code = pairs.a[rows] * len(data.people) + pairs.b[rows]
    return [_Two(*divmod(int(one), len(data.people)), rows[code == one]) for one in np.unique(code)]


def _differences(data: RaterData, two: _Two) -> list[str]:
    """On what two raters differ by more than the limits, in words."""
    pairs, limits, rows = data.compared.pairs, data.limits, two.rows
    both = pairs.drew_a[rows] & pairs.drew_b[rows]
    drawn, objects = data.compared.drawn, pairs.object[rows]
    found = []
    for name, alone in ((two.a, ~pairs.drew_b[rows]), (two.b, ~pairs.drew_a[rows])):
        share = _ratio(data, alone, objects)
        if share.n[0] >= FEWEST and _low(data, share) > limits.miss:
            found.append(f"{data.people[name]} alone drew {share.value[0]:.0%} of what either drew")
    elsewhere = _ratio(data, pairs.iou[rows][both] < 0.5, objects[both])
    if elsewhere.n[0] >= FEWEST and _low(data, elsewhere) > limits.astray:
        found.append(f"{elsewhere.value[0]:.0%} of the boxes of both overlap by less than half")
    sides: list[Floats] = [
        np.log(_sides(drawn.boxes[own_box(drawn, objects[both], np.full(both.sum(), r))]))
        for r in (two.a, two.b)
    ]
    size = _ratio(data, np.mean(sides[1] - sides[0], axis=1), objects[both])
    if size.n[0] >= FEWEST and _low(data, size, np.sign(size.value[0])) > np.log1p(limits.size):
        larger = two.b if size.value[0] > 0 else two.a
        found.append(f"{data.people[larger]} draws {np.expm1(abs(size.value[0])):.0%} larger")
    return found


def _unsteady(data: RaterData, two: _Two) -> list[Fault]:
    """The one of two whose boxes jump about more on the same organ, if it is much more.

    Nobody is, where the steadier one's boxes were not drawn slice by slice, or follow another way:
    steadier than an organ is no hand that looks at it.
    """
    runs = runs_of(data.matched)
    by_rule = _on_a_line(runs, 0.5 if data.crowd.evidence.whole_pixels else _LINE)
    rough = unsteadiness(runs)
    shared = runs.assign(rough=rough).pivot_table(
        "rough", "object", "person", aggfunc="first", dropna=True
    )
    shared = shared.reindex(columns=[two.a, two.b]).dropna()
    objects = shared.index.to_numpy(np.int64)
    for r, rest in ((two.a, two.b), (two.b, two.a)):
        own, other = (shared[name].to_numpy(np.float64) for name in (r, rest))
        excess = _ratio(data, own - UNSTEADY * other, objects)
        if excess.n[0] < 2 * FEWEST or _low(data, excess) <= 0 or by_rule.get(rest, 0.0) > BY_RULE:
            continue
        if _slope(runs, r, on=rest) < ALIKE:
            continue
        value, limit = float(own.mean()), UNSTEADY * float(other.mean())
        if value < data.limits.spread_least:
            continue
        what = (
            f"has an unsteady hand: edges are {value:.1%} of the organ from where the slices "
            f"beside say, {other.mean():.1%} for the other reader"
        )
        worst = objects[np.argsort(-own, kind="stable")[:EXAMPLES]]
        places = data.compared.drawn.place[worst]
        return [Fault(r, "rater-scatters", what, value, limit, "share of size", places)]
    return []


def _on_a_line(runs: pd.DataFrame, reach: float) -> pd.Series:
    """Share of each rater's boxes between two others that lie on the line between these."""
    by_run = runs.groupby("run")
    beside = by_run[[*BOX, "slice"]].shift(1) + by_run[[*BOX, "slice"]].shift(-1)
    off = (runs[BOX] - beside[BOX] / 2).abs().max(axis=1)
    between = (beside["slice"] == 2 * runs["slice"]) & off.notna()
    return (off[between] <= reach).groupby(runs["person"][between]).mean()


def _slope(runs: pd.DataFrame, rater: int, *, on: int) -> float:
    """Slope of one rater's edges on another's, less the mean of each run, of what both drew."""
    both = runs[runs["person"].isin([rater, on])]
    both = both[both.groupby("object")["person"].transform("size") == 2].sort_values("object")
    away = both[BOX] - both.groupby("run")[BOX].transform("mean")
    own, other = (away[both["person"] == one].to_numpy() for one in (rater, on))
    way = float(np.square(other).sum())
    return float((own * other).sum()) / way if way > 0 else 0.0


def _ratio(data: RaterData, top: Floats | Bools, objects: Ints) -> Ratio:
    """Mean of values at some objects, as that of one rater, with its error between clusters."""
    place = data.compared.drawn.place[objects]
    return clustered_ratio(
        np.asarray(top, np.float64),
        np.ones(len(objects)),
        rater=np.zeros(len(objects), np.int64),
        cluster=data.places.rater_cluster[place],
        n_raters=1,
    )


def _low(data: RaterData, ratio: Ratio, sign: float = 1.0) -> float:
    """The bound of a value that is nearer to 0; nan where it is not known."""
    low, high = ratio.bounds(data.places.level)
    return float(low[0] if sign >= 0 else -high[0])


def _sides(boxes: Floats) -> Floats:
    return boxes[:, 2:] - boxes[:, :2]
