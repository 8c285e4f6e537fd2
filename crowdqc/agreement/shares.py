"""Faults that are a share of a rater's rows too large: boxes missed, added, repeated and so on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crowdqc.agreement.rater_data import Fault, RaterData, confused_boxes, usual
from crowdqc.agreement.suspicion import recurring, repeated, whole_image
from crowdqc.arrays import Bools, Ints
from crowdqc.checks import Check

ELSEWHERE = 0.1
"""IoU below which a box does not show what the others drew."""


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
class Share:
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
    above_usual : bool
        Whether the limit is for what a rater has more than the median one.
    fatal : bool
        Whether the fault makes the rater fail.
    """

    name: str
    what: str
    limit: str
    rows: Callable[[RaterData], Rows]
    unit: str = "share of boxes"
    above_usual: bool = False
    fatal: bool = False

    def __call__(self, data: RaterData) -> list[Fault]:
        """Raters whose share is above the limit with its whole interval, and where it shows."""
        rows = self.rows(data)
        ratio = data.ratio(rows.shown, rows.asked, rater=rows.rater, at=rows.place)
        limit = getattr(data.limits, self.limit) + (usual(ratio) if self.above_usual else 0.0)
        badness = rows.shown.astype(np.float64)
        return [
            Fault(
                r,
                self.name,
                self.what.format(ratio.value[r]),
                *(ratio.value[r], limit, self.unit),
                data.worst(r, rows.rater, at=rows.place, badness=badness),
                fatal=self.fatal,
            )
            for r in data.above(ratio, limit)
        ]


def _missed(data: RaterData) -> Rows:
    items = data.compared.items
    return Rows(items.rater, data.item_place, items.missed, ~items.extra)


def _added(data: RaterData) -> Rows:
    items = data.compared.items
    added = items.extra & ~np.isin(items.box, confused_boxes(data)[0])
    return Rows(items.rater, data.item_place, added, ~items.missed)


def _astray(data: RaterData) -> Rows:
    """Boxes that lie elsewhere than the others', of an organ that all drew."""
    items = data.compared.items
    both = (items.box >= 0) & ~items.extra
    confused = np.isin(items.box, confused_boxes(data)[0])
    return Rows(items.rater, data.item_place, both & (items.iou < ELSEWHERE) & ~confused, both)


def _repeated(data: RaterData) -> Rows:
    """Boxes that are left as they were on the slice before."""
    drawn, at, places = data.compared.drawn, data.box_place, data.places
    run = drawn.rater * (int(places.case.max(initial=0)) + 1) + places.case[at]
    run = run * len(data.labels) + places.label[at]
    asked, same = repeated(drawn.boxes, run, places.plane[at])
    return Rows(drawn.rater, at, same, asked)


def _recurring(data: RaterData) -> Rows:
    """Boxes of which the very same stands in several cases."""
    drawn, at = data.compared.drawn, data.box_place
    again = recurring(drawn.boxes, drawn.rater, data.places.case[at])
    return Rows(drawn.rater, at, again, np.ones_like(again))


def _whole_image(data: RaterData) -> Rows:
    items, at = data.compared.items, data.item_place
    drew, whole = whole_image(items, data.compared.drawn.boxes, data.place_area[at])
    return Rows(items.rater, at, whole, drew)


def _check(share: Share, order: int) -> Check:
    return Check(of="rater", find=share, findings={share.name: None}, order=order)


CONSTANT = _check(
    Share(
        name="boxes-constant",
        what="draws {:.0%} of the boxes to the pixel alike in several cases",
        limit="repeated",
        rows=_recurring,
        above_usual=True,
        fatal=True,
    ),
    order=10,
)
WHOLE_IMAGE = _check(
    Share(
        name="boxes-whole-image",
        what="draws {:.0%} of the boxes round the whole image",
        limit="whole_image",
        rows=_whole_image,
        fatal=True,
    ),
    order=20,
)
REPEATED = _check(
    Share(
        name="boxes-repeated",
        what="leaves {:.0%} of the boxes as they were on the slice before",
        limit="repeated",
        rows=_repeated,
        above_usual=True,
    ),
    order=50,
)
MISSES = _check(
    Share(
        name="rater-misses",
        what="misses {:.0%} of what the others drew",
        limit="miss",
        rows=_missed,
        unit="share of objects",
    ),
    order=70,
)
ADDS = _check(
    Share(
        name="rater-adds",
        what="draws {:.0%} of the boxes where the others drew nothing",
        limit="extra",
        rows=_added,
    ),
    order=80,
)
ASTRAY = _check(
    Share(
        name="boxes-astray",
        what="draws {:.0%} of the boxes elsewhere than the others",
        limit="astray",
        rows=_astray,
    ),
    order=90,
)
