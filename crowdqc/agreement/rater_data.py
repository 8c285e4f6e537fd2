"""What checks of raters look at, and what a fault is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from crowdqc.agreement.arrays import Compared
from crowdqc.agreement.pool import Places
from crowdqc.agreement.profile import Grouping, Placement, drift, placement
from crowdqc.agreement.resample import Ratio, clustered_ratio
from crowdqc.agreement.units import confusions
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.config import RaterLimits
from crowdqc.crowd import Crowd
from crowdqc.matching import Matched

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
    def place_area(self) -> Floats:
        """Area of the image of each place in px^2."""
        images = self.matched.study.images.set_index(["case", "slice"])
        area = (images["height"] * images["width"]).astype(np.float64)
        case = self.places.names["case"][self.places.case]
        key = pd.MultiIndex.from_arrays([case, self.places.plane])
        return area.reindex(key).to_numpy(np.float64)

    @cached_property
    def item_clusters(self) -> Grouping:
        """Clusters of the items."""
        return Grouping(self.places.rater_cluster[self.item_place], len(self.people))

    @cached_property
    def placed(self) -> Placement:
        """How raters place the edges of what the others drew, too, and called the same."""
        items = self.compared.items
        confused = np.isin(items.box, confused_boxes(self)[0])
        return placement(
            self.compared.drawn,
            items,
            self.item_clusters,
            rows=np.flatnonzero((items.iou > 0) & ~confused),
            bias=self.bias,
        )

    @cached_property
    def drift(self) -> Ratio:
        """Change of each rater's IoU from the first to the last slice read."""
        return drift(self.compared.items, self._moments(), self.item_clusters)

    def _moments(self) -> Floats:
        """When each item's slice was read: 0 for a rater's first slice, 1 for the last.

        In the order of the readings' column `time` where there is one, else of their rows.
        """
        asked, items, image = self.matched.asked, self.compared.items, self.places.image
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
            cluster=self.places.rater_cluster[at],
            n_raters=len(self.people),
        )

    def above(self, ratio: Ratio, limit: float) -> list[int]:
        """Raters of whom even the lower bound is above the limit."""
        low, _ = ratio.bounds(self.places.level)
        return [int(r) for r in np.flatnonzero((low > limit) & (ratio.n >= FEWEST))]

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
