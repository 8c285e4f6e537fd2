"""What checks of raters look at, and what a fault is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import coo_array

from crowdqc.agreement.arrays import Compared
from crowdqc.agreement.boxes import Items
from crowdqc.agreement.pool import Places
from crowdqc.agreement.profile import Grouping, Placement, drift, placement, straight
from crowdqc.agreement.ratios import Ratio, clustered_ratio
from crowdqc.agreement.reference import Others, robust_items
from crowdqc.agreement.units import confusions
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.config import RaterLimits
from crowdqc.crowd import Crowd
from crowdqc.crowd.grid import tool_grid
from crowdqc.matching import Matched

FEWEST = 5
"""Boxes that a fault must show in: fewer are an accident."""
ENOUGH = 20
"""Comparisons needed before a rater may be rejected for them."""
ELSEWHERE = 0.1
"""IoU below which a box does not show what the others drew."""
EXAMPLES = 5


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
    """What checks of raters look at.

    Parameters
    ----------
    matched : Matched
        The study with its boxes matched.
    compared : Compared
        Boxes held against those of the others.
    places : Places
        Case, slice, label, image and cluster of each place, and the level of intervals.
    limits : RaterLimits
        Where faults begin.
    crowd : Crowd
        The model of the raters and of what they drew.
    """

    matched: Matched
    compared: Compared
    places: Places
    limits: RaterLimits
    crowd: Crowd

    @property
    def people(self) -> tuple[str, ...]:
        """Names of the raters, by number."""
        return self.matched.people

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, by number."""
        return self.matched.study.labels

    @cached_property
    def bias(self) -> Floats:
        """Bias of each rater's edges as a share of the object's size, (R, 4)."""
        return np.nan_to_num(self.crowd.bias)

    @cached_property
    def steps(self) -> Floats:
        """Distance in px of the lines on which each rater's edges lie, (R,); 0 for no grid."""
        drawn = self.compared.drawn
        return np.array(
            [tool_grid(drawn.boxes[drawn.rater == r]) for r in range(len(self.people))], np.float64
        )

    @cached_property
    def place_area(self) -> Floats:
        """Area of the image of each place in px^2."""
        images = self.matched.study.images.set_index(["case", "slice"])
        area = (images["height"] * images["width"]).astype(np.float64)
        case = self.places.names["case"][self.places.case]
        key = pd.MultiIndex.from_arrays([case, self.places.plane])
        return area.reindex(key).to_numpy(np.float64)

    @cached_property
    def _held(self) -> tuple[Items, Others]:
        drawn = self.compared.drawn
        return robust_items(drawn, straight(drawn, self.bias), self.crowd)

    @property
    def items(self) -> Items:
        """Each rater against a consensus of the others that one bad rater does not move."""
        return self._held[0]

    @property
    def others(self) -> Others:
        """Who else there was for each item."""
        return self._held[1]

    @cached_property
    def moved(self) -> Bools:
        """Items of an organ that the rater drew elsewhere: a box too many, and one too few."""
        items, place = self.items, self.item_place
        single = np.array([label in self.matched.study.single for label in self.labels], bool)
        key = place * len(self.people) + items.rater
        both = np.intersect1d(key[items.missed], key[items.extra])
        moved: Bools = np.isin(key, both) & (items.missed | items.extra)
        return moved & single[self.places.label[place]]

    @cached_property
    def n_others(self) -> Ints:
        """How many other voices read what each rater read, (R,)."""
        asked, group = self.matched.asked, self.crowd.group
        place, person = (asked[name].to_numpy(np.int64) for name in ("place", "person"))
        read = coo_array(
            (np.ones(len(place)), (place, person)), (len(self.places.case), len(group))
        )
        together = (read.T @ read).tocoo()
        voices = coo_array(
            (np.ones(together.nnz), (together.row, group[together.col])), (len(group), len(group))
        ).tocsr()
        voiced: Bools = voices.toarray() > 0
        return voiced.sum(axis=1) - voiced[np.arange(len(group)), group]

    @cached_property
    def n_compared(self) -> Ints:
        """How many objects each rater was held against the others on, (R,)."""
        return np.bincount(self.items.rater, minlength=len(self.people))

    @cached_property
    def item_clusters(self) -> Grouping:
        """Clusters of the items."""
        return Grouping(self.places.rater_cluster[self.item_place], len(self.people))

    @cached_property
    def placed(self) -> Placement:
        """How raters place the edges of what the others drew, too, and called the same."""
        confused = np.isin(self.items.box, confused_boxes(self)[0])
        rows = np.flatnonzero((self.items.iou > ELSEWHERE) & ~confused)
        return placement(self.compared.drawn, self.items, self.item_clusters, rows=rows)

    @cached_property
    def drift(self) -> Ratio:
        """Change of each rater's IoU from the first to the last slice read."""
        return drift(self.items, self._moments(), self.item_clusters)

    def _moments(self) -> Floats:
        """When each item's slice was read: 0 for a rater's first slice, 1 for the last.

        In the order of the readings' column `time` where there is one, else of their rows.
        """
        asked, items, image = self.matched.asked, self.items, self.places.image
        if not len(asked):
            return np.zeros(0)
        asked_image = image[asked["place"].to_numpy(np.int64)]
        span = int(asked_image.max()) + 1
        reading, first = np.unique(
            asked["person"].to_numpy(np.int64) * span + asked_image, return_index=True
        )
        who = reading // span
        order = np.lexsort((self._times(asked.iloc[first], first), who))
        rank = np.arange(len(who)) - np.searchsorted(who[order], who[order])
        count = np.bincount(who, minlength=len(self.people))[who[order]]
        moment = np.empty(len(who))
        moment[order] = rank / np.maximum(count - 1, 1)
        wanted = items.rater * span + image[self.item_place]
        at = np.minimum(np.searchsorted(reading, wanted), len(reading) - 1)
        return np.where(reading[at] == wanted, moment[at], np.nan)

    def _times(self, rows: pd.DataFrame, otherwise: Ints) -> Floats:
        """Column `time` of the readings of some rows of `asked`, else `otherwise`."""
        readings = self.matched.study.readings
        if "time" not in readings.columns:
            return otherwise.astype(np.float64)
        key = ["case", "slice", "rater"]
        return rows.merge(readings[[*key, "time"]], on=key, how="left")["time"].to_numpy(np.float64)

    @property
    def item_place(self) -> Ints:
        """Place of each item."""
        return self.compared.drawn.place[self.items.object]

    @property
    def item_label(self) -> Ints:
        """Label of each item."""
        return self.places.label[self.item_place]

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
            cluster=self.places.rater_cluster[at],
            n_raters=len(self.people),
        )

    def above(self, ratio: Ratio, limit: float, *, fewest: int = FEWEST) -> list[int]:
        """Raters of whom even the lower bound is above the limit."""
        low, _ = ratio.bounds(self.places.level)
        return [int(r) for r in np.flatnonzero((low > limit) & (ratio.n >= fewest))]

    def worst(self, rater: int, who: Ints, *, at: Ints, badness: Floats) -> Ints:
        """Places of the rater's worst rows: those of greatest `badness`, which is above 0."""
        mine = np.flatnonzero((who == rater) & (badness > 0))
        order = mine[np.argsort(-badness[mine], kind="stable")]
        places = at[order]
        _, first = np.unique(places, return_index=True)
        return places[np.sort(first)[:EXAMPLES]]


def usual(ratio: Ratio) -> float:
    """Value of the median rater; of one or two raters, none."""
    return middle(ratio) if np.isfinite(ratio.value).sum() > 2 else 0.0


def reached(values: Floats) -> float:
    """What the better third of the raters, or two of them, stay below: what can be done here.

    Where most raters are bad the median is bad, too; and of one rater who is better than all
    others, none of these is bad.

    Examples
    --------
    >>> reached(np.array([0.2, 0.03, 0.2, 0.04, 0.2]))
    0.04
    """
    known = np.sort(values[np.isfinite(values)])
    return (
        float(known[min(max(1, (len(known) - 1) // 3), len(known) - 1)]) if len(known) else np.nan
    )


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
