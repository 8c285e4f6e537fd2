"""What faults of raters are looked for in, and what a fault is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.agreement.arrays import Compared
from crowdqc.agreement.resample import Ratio, clustered_ratio
from crowdqc.agreement.units import confusions
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.config import RaterLimits

FEWEST = 5
"""Boxes that a fault must show in: fewer are an accident."""
EXAMPLES = 3


@dataclass(frozen=True)
class Fault:
    """One fault of one rater.

    Parameters
    ----------
    rater : int
        Number of the rater.
    check : str
        Name of the finding.
    what : str
        A clause for people, without a subject: "misses 32 % of ...".
    value, limit : float
        What was found, and the limit.
    unit : str
        Of both.
    places : ndarray of int
        Places (slice and label) that show it, the worst first.
    fatal : bool
        Whether it makes the rater fail.
    """

    rater: int
    check: str
    what: str
    value: float
    limit: float
    unit: str
    places: Ints
    fatal: bool = False


@dataclass(frozen=True)
class RaterData:
    """What faults are looked for in.

    Parameters
    ----------
    compared : Compared
        Boxes held against those of the others.
    place_case, place_plane, place_label, place_image, place_area, place_cluster : ndarray, (P,)
        Of each place: case, slice, label and image as numbers, area of the image in px^2,
        cluster.
    labels, people : tuple of str
        Names.
    limits : RaterLimits
        Where faults begin.
    level : float
        Coverage of the bounds, for all raters together.
    bias : ndarray, shape (R, 4)
        Bias of each rater's edges as a share of the object's size.
    """

    compared: Compared
    place_case: Ints
    place_plane: Ints
    place_label: Ints
    place_image: Ints
    place_area: Floats
    place_cluster: Ints
    labels: tuple[str, ...]
    people: tuple[str, ...]
    limits: RaterLimits
    level: float
    bias: Floats

    @property
    def item_place(self) -> Ints:
        """Place of each item."""
        return self.compared.drawn.place[self.compared.items.object]

    @property
    def box_place(self) -> Ints:
        """Place of each box."""
        return self.compared.drawn.place[self.compared.drawn.object]

    def ratio(self, top: Floats | Bools, bottom: Floats | Bools, *, rater: Ints, at: Ints) -> Ratio:
        """Ratio of each rater, of items at the given places."""
        return clustered_ratio(
            np.asarray(top, np.float64),
            np.asarray(bottom, np.float64),
            rater=rater,
            cluster=self.place_cluster[at],
            n_raters=len(self.people),
        )

    def above(self, ratio: Ratio, limit: float) -> list[int]:
        """Raters of whom even the lower bound is above the limit."""
        low, _ = ratio.bounds(self.level)
        return [int(r) for r in np.flatnonzero((low > limit) & (ratio.n >= FEWEST))]

    def worst(self, rater: int, who: Ints, *, at: Ints, badness: Floats) -> Ints:
        """Places of the rater's worst rows: those of greatest `badness`, which is above 0."""
        mine = np.flatnonzero((who == rater) & (badness > 0))
        order = mine[np.argsort(-badness[mine], kind="stable")]
        places = at[order]
        _, first = np.unique(places, return_index=True)
        return places[np.sort(first)[:EXAMPLES]]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A fault that is a share of a rater's rows (items or boxes), named where it is too large.

    Parameters
    ----------
    check, what, unit, fatal
        As of a `Fault`; `what` has a place for the share.
    rater, at : ndarray of int, shape (N,)
        Rater and place of each row.
    shown : ndarray of bool, shape (N,)
        Rows that show it.
    asked : ndarray of bool, shape (N,)
        Rows that could.
    limit : float
        Largest share that is none.
    above_usual : bool
        Whether the limit is for what a rater has more than the median one.
    """

    check: str
    what: str
    rater: Ints
    at: Ints
    shown: Bools
    asked: Bools
    limit: float
    above_usual: bool = False
    unit: str = "share of boxes"
    fatal: bool = False

    def faults(self, data: RaterData) -> list[Fault]:
        """Raters whose share is above the limit, and where it shows."""
        ratio = data.ratio(self.shown, self.asked, rater=self.rater, at=self.at)
        limit = self.limit + (usual(ratio) if self.above_usual else 0.0)
        badness = self.shown.astype(np.float64)
        return [
            Fault(
                r,
                self.check,
                self.what.format(ratio.value[r]),
                *(ratio.value[r], limit, self.unit),
                data.worst(r, self.rater, at=self.at, badness=badness),
                fatal=self.fatal,
            )
            for r in data.above(ratio, limit)
        ]


def usual(ratio: Ratio) -> float:
    """Value of the median rater; of one or two raters, none."""
    return middle(ratio) if np.isfinite(ratio.value).sum() > 2 else 0.0


def middle(ratio: Ratio) -> float:
    """Value of the median rater, also of few; nan where there is none."""
    known = ratio.value[np.isfinite(ratio.value)]
    return float(np.median(known)) if len(known) else np.nan


def confused_boxes(data: RaterData) -> tuple[Ints, Ints]:
    """Boxes with another label than the others agree on, and that label's number."""
    units = data.compared.units
    rows, label = confusions(units)
    wrong = units.value[rows] != label
    return units.box[rows[wrong]], label[wrong]
