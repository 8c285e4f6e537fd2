"""Faults that are a share of a rater's rows too large: boxes missed, added, repeated and so on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy

from crowdqc.agreement.rater_data import (
    ELSEWHERE,
    ENOUGH,
    FEWEST,
    Fault,
    RaterData,
    confused_boxes,
    reached,
    usual,
)
from crowdqc.agreement.ratios import Ratio
from crowdqc.agreement.resample import PRIOR_DF
from crowdqc.agreement.suspicion import recurring, repeated, whole_image
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.checks import Check


class Rows(NamedTuple):
    """Rows (boxes, or items) of which a share is taken.

    Parameters
    ----------
    rater, place : ndarray of int, shape (N,)
        Who and where.
    shown, asked : ndarray of bool, shape (N,)
        Rows that show the fault, and rows that could.
    """

    rater: Ints
    place: Ints
    shown: Bools
    asked: Bools


@dataclass(frozen=True, kw_only=True)
class ShareCheck:
    """How a fault that is a share of a rater's rows is found.

    Parameters
    ----------
    name : str
        Name of the finding.
    what : str
        A clause for people, with a place for the share.
    limit : str
        Field of `RaterLimits` with the largest share that is no fault.
    rows : callable
        Takes `RaterData` and gives `Rows`.
    unit : str
        Of the share.
    above : callable, optional
        Takes the ratio and gives what is added to the limit: what is usual, or can be done.
    fatal : bool
        Whether the fault rejects the rater: then at least `ENOUGH` rows must show it.
    alone : bool
        Whether the boxes of the rater alone show it, so that nobody need judge between two raters.
    also : callable, optional
        Takes `RaterData` and gives the raters (R,) that may be named.
    """

    name: str
    what: str
    limit: str
    rows: Callable[[RaterData], Rows]
    unit: str = "share of boxes"
    above: Callable[[Ratio], float] | None = None
    fatal: bool = False
    alone: bool = False
    also: Callable[[RaterData], Bools] | None = None

    def __call__(self, data: RaterData) -> list[Fault]:
        """Raters whose share is above the limit with its whole interval, and where it shows."""
        rows = self.rows(data)
        ratio = data.ratio(rows.shown, rows.asked, rater=rows.rater, at=rows.place)
        limit = getattr(data.limits, self.limit) + (self.above(ratio) if self.above else 0.0)
        badness = rows.shown.astype(np.float64)
        fewest = ENOUGH if self.fatal else FEWEST
        low = _lower_share(ratio, data.places.level)
        named = np.flatnonzero((low > limit) & (ratio.n >= fewest)).tolist()
        judged = np.ones(len(data.people), bool) if self.alone else data.n_others > 1
        judged &= self.also(data) if self.also else True
        return [
            Fault(
                r,
                self.name,
                self.what.format(ratio.value[r]),
                *(ratio.value[r], limit, self.unit),
                data.worst(r, rows.rater, at=rows.place, badness=badness),
                fatal=self.fatal,
            )
            for r in named
            if judged[r]
        ]


def _lower_share(ratio: Ratio, level: float) -> Floats:
    """Lower bounds of shares that hold for all raters together.

    Between cases where there are five or more; of fewer, whose spread says nothing, also
    Wilson's, by the number of rows.
    """
    low, _ = ratio.bounds(level)
    few = ratio.df < 2 * PRIOR_DF
    z = float(
        scipy.stats.norm.ppf(1 - (1 - level) / 2 / max(int(np.isfinite(ratio.value).sum()), 1))
    )
    p, n = ratio.value, np.maximum(ratio.n, 1)
    reach = z * np.sqrt(np.clip(p * (1 - p), 0, None) / n + z**2 / (4 * n**2))
    wilson = (p + z**2 / (2 * n) - reach) / (1 + z**2 / n)
    return np.where(few, np.fmax(low, wilson), low)


def _missed(data: RaterData) -> Rows:
    items = data.items
    return Rows(items.rater, data.item_place, items.missed & ~data.moved, ~items.extra)


def _best(ratio: Ratio) -> float:
    """What the better raters miss or add: some things are hard to see, or tempting, for all."""
    return np.nan_to_num(reached(ratio.value))


def _added(data: RaterData) -> Rows:
    items = data.items
    added = items.extra & ~data.moved & ~np.isin(items.box, confused_boxes(data)[0])
    return Rows(items.rater, data.item_place, added, ~items.missed)


def _false(data: RaterData) -> Bools:
    """Raters of whom the model, too, says that too much of what they draw shows nothing."""
    best = np.nan_to_num(reached(data.crowd.false_rate))
    false: Bools = np.nan_to_num(data.crowd.false_low) > data.limits.extra + best
    return false


def _astray(data: RaterData) -> Rows:
    """Boxes that lie elsewhere than the others', of an organ that all drew."""
    items = data.items
    both = (items.box >= 0) & (~items.extra | data.moved)
    confused = np.isin(items.box, confused_boxes(data)[0])
    return Rows(items.rater, data.item_place, both & (items.iou < ELSEWHERE) & ~confused, both)


def _repeated(data: RaterData) -> Rows:
    """Boxes that are left as they were on the slice before."""
    drawn, at, places = data.compared.drawn, data.box_place, data.places
    run = drawn.rater * (int(places.case.max(initial=0)) + 1) + places.case[at]
    run = run * len(data.labels) + places.label[at]
    asked, same = repeated(drawn.boxes, run, places.plane[at])
    return Rows(drawn.rater, at, same, asked)


def _doubled(data: RaterData) -> Rows:
    """Boxes beyond the first one of an organ of which a slice has one."""
    rater, at = data.compared.drawn.rater, data.box_place
    once = np.isin(np.array(data.labels), list(data.matched.study.single))[data.places.label[at]]
    first = np.unique(at * len(data.people) + rater, return_index=True)[1]
    again = np.ones(len(at), bool)
    again[first] = False
    return Rows(rater, at, again & once, once)


def _recurring(data: RaterData) -> Rows:
    """Boxes of which the very same stands in several cases."""
    drawn, at = data.compared.drawn, data.box_place
    again = recurring(drawn.boxes, drawn.rater, data.places.case[at])
    return Rows(drawn.rater, at, again, np.ones_like(again))


def _whole_image(data: RaterData) -> Rows:
    items, at = data.items, data.item_place
    drew, whole = whole_image(items, data.compared.drawn.boxes, data.place_area[at])
    return Rows(items.rater, at, whole, drew)


def _check(name: str, *, order: int, **keys: Any) -> Check:
    return Check(of="rater", find=ShareCheck(name=name, **keys), findings={name: None}, order=order)


CONSTANT = _check(
    "boxes-constant",
    order=10,
    alone=True,
    what="draws {:.0%} of the boxes to the pixel alike in several cases",
    limit="repeated",
    rows=_recurring,
    above=usual,
    fatal=True,
)
WHOLE_IMAGE = _check(
    "boxes-whole-image",
    order=20,
    what="draws {:.0%} of the boxes round the whole image",
    limit="whole_image",
    rows=_whole_image,
    fatal=True,
)
REPEATED = _check(
    "boxes-repeated",
    order=50,
    alone=True,
    what="leaves {:.0%} of the boxes as they were on the slice before",
    limit="repeated",
    rows=_repeated,
    above=usual,
)
DOUBLED = _check(
    "boxes-doubled",
    order=55,
    alone=True,
    what="draws {:.0%} of the boxes round an organ that has one there already, and is there once",
    limit="doubled",
    rows=_doubled,
)
MISSES = _check(
    "rater-misses",
    order=70,
    what="misses {:.0%} of what the others drew",
    limit="miss",
    above=_best,
    rows=_missed,
    unit="share of objects",
)
ADDS = _check(
    "rater-adds",
    order=80,
    what="draws {:.0%} of the boxes where the others drew nothing: either careful or "
    "inventing, look at these",
    limit="extra",
    rows=_added,
    above=_best,
    also=_false,
)
ASTRAY = _check(
    "boxes-astray",
    order=90,
    what="draws {:.0%} of the boxes elsewhere than the others",
    limit="astray",
    rows=_astray,
)
