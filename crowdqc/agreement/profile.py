"""What each rater does: agreement, misses, extras, and how edges lie. Arrays only.

Arrays are named by their letters: K items (a rater and an object), R raters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.agreement.boxes import DrawnBoxes, Items, median_without
from crowdqc.agreement.ratios import Ratio, clustered_ratio
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.geometry import Boxes

CLIP = 0.5
"""Share of the object's size at which an edge's distance is cut: a box elsewhere is no shift."""
_LEAST = 0.1
"""Smallest size of a rater's boxes, as a share of the object's, that is undone."""
_SD = 1.4826
"""Standard deviation of a normal value, over its median absolute deviation."""


@dataclass(frozen=True)
class Grouping:
    """Where items belong: the cluster of each item, and how many raters there are."""

    cluster: Ints
    n_raters: int

    def ratio(
        self, top: Floats, bottom: Floats, rater: Ints, *, rows: Bools | None = None
    ) -> Ratio:
        """`clustered_ratio` of the given rows."""
        use = np.ones(len(rater), bool) if rows is None else rows
        return clustered_ratio(
            np.asarray(top, np.float64)[use],
            np.asarray(bottom, np.float64)[use],
            rater=rater[use],
            cluster=self.cluster[use],
            n_raters=self.n_raters,
        )


@dataclass(frozen=True)
class Placement:
    """How each rater places edges, against the others; of boxes that show the same object.

    Parameters
    ----------
    shift_x, shift_y : Ratio
        Mean displacement as a share of the object's width and height.
    size : Ratio
        Mean of the natural logarithm of the boxes' size (root of the area) over the others'.
    spread : Ratio
        Standard deviation of an edge as a share of the object's size, without the bias.
    bias : ndarray, shape (R, 4)
        Median displacement of each edge in px, positive to the right and down.
    shift : ndarray, shape (R, 2)
        Median displacement of the centre in px.
    size_ratio : ndarray, shape (R,)
        Median ratio of sizes.
    scatter : ndarray, shape (R, 4)
        Robust standard deviation of each edge in px.
    rows, rater : ndarray of int, shape (M,)
        Items that this rests on, and their raters.
    free : ndarray, shape (M, 4)
        Displacement of each of their edges as a share of the object's size, without the bias.
    group : Grouping
        Clusters of these items.
    """

    shift_x: Ratio
    shift_y: Ratio
    size: Ratio
    spread: Ratio
    bias: Floats
    shift: Floats
    size_ratio: Floats
    scatter: Floats
    rows: Ints
    free: Floats
    group: Grouping
    rater: Ints

    def of_labels(self, values: Floats, label: Ints, n_labels: int) -> list[Ratio]:
        """Mean of `values` (M,) of each rater at each label; `label` is that of each item."""
        n_raters = self.group.n_raters
        whole = clustered_ratio(
            values,
            np.ones(len(self.rows)),
            rater=self.rater + n_raters * label[self.rows],
            cluster=self.group.cluster,
            n_raters=n_raters * n_labels,
        )
        columns = (whole.value, whole.error, whole.df, whole.n)
        parts = zip(*(values.reshape(n_labels, n_raters) for values in columns), strict=True)
        return [Ratio(*part) for part in parts]

    def steady(self, label: Ints, n_labels: int) -> Floats:
        """`free`, less the rater's own median displacement at the label, (M, 4)."""
        own = self.rater + self.group.n_raters * label[self.rows]
        at_label: Floats = self.free - _medians(self.free, own, self.group.n_raters * n_labels)[own]
        return at_label


def placement(drawn: DrawnBoxes, items: Items, group: Grouping, *, rows: Ints) -> Placement:
    """How raters place edges.

    Parameters
    ----------
    drawn : DrawnBoxes
        The boxes.
    items : Items
        Each rater against the others, whose boxes are freed of bias: else one biased rater would
        make the others look biased the other way.
    group : Grouping
        Clusters of the items.
    rows : ndarray of int
        Items in which the rater and the others drew the same thing.

    Returns
    -------
    Placement
        nan for a rater without such items.
    """
    rater, own, others = items.rater[rows], items.box[rows], items.others[rows]
    kept = Grouping(group.cluster[rows], group.n_raters)
    away = drawn.boxes[own] - others
    size = others[:, 2:] - others[:, :2]
    sides = size + away[:, 2:] - away[:, :2]
    share = np.clip(away / np.hstack([size, size]), -CLIP, CLIP)
    log_size = np.log(np.maximum(sides / size, 1e-6)).mean(axis=1)
    middle = (away[:, :2] + away[:, 2:]) / 2
    one = np.ones(len(rater))
    medians = _medians(np.column_stack([middle, log_size]), rater, group.n_raters)
    typical = _medians(away, rater, group.n_raters)
    usual = _medians(share, rater, group.n_raters)
    free = share - usual[rater]
    return Placement(
        shift_x=kept.ratio((share[:, 0] + share[:, 2]) / 2, one, rater),
        shift_y=kept.ratio((share[:, 1] + share[:, 3]) / 2, one, rater),
        size=kept.ratio(np.clip(log_size, -CLIP, CLIP), one, rater),
        spread=kept.ratio(scatter_of(free), one, rater),
        bias=typical,
        shift=medians[:, :2],
        size_ratio=np.exp(medians[:, 2]),
        scatter=_SD * _medians(np.abs(away - typical[rater]), rater, group.n_raters),
        rows=rows,
        free=free,
        group=kept,
        rater=rater,
    )


def straight(drawn: DrawnBoxes, bias: Floats) -> Boxes:
    """Boxes freed of the bias of their raters.

    Parameters
    ----------
    drawn : DrawnBoxes
        N boxes of R raters.
    bias : ndarray, shape (R, 4)
        How far each rater's edges lie from the true ones, as a share of the object's size.

    Returns
    -------
    ndarray, shape (N, 4)
        In px.
    """
    mine = bias[drawn.rater]
    drawn_sides = drawn.boxes[:, 2:] - drawn.boxes[:, :2]
    sides = drawn_sides / np.maximum(1 + mine[:, 2:] - mine[:, :2], _LEAST)
    freed: Boxes = drawn.boxes - mine * np.hstack([sides, sides])
    return freed


def scatter_of(away: Floats) -> Floats:
    """Standard deviation of the edges of each box, if errors are normal, (K,).

    Parameters
    ----------
    away : ndarray, shape (K, 4)
        How far edges lie off.
    """
    scatter: Floats = np.abs(away).mean(axis=1) * np.sqrt(np.pi / 2)
    return scatter


def _medians(values: Floats, rater: Ints, n_raters: int) -> Floats:
    """Median of the columns of `values` (K, M) over the rows of each rater, (R, M)."""
    order = np.argsort(rater, kind="stable")
    cuts = np.searchsorted(rater[order], np.arange(n_raters + 1))
    medians = np.full((n_raters, values.shape[1]), np.nan)
    for r in np.flatnonzero(np.diff(cuts)):
        medians[r] = np.median(values[order[cuts[r] : cuts[r + 1]]], axis=0)
    return medians


def drift(items: Items, moment: Floats, group: Grouping) -> Ratio:
    """Change of a rater's IoU from the first to the last slice read, beside the other raters.

    Parameters
    ----------
    items : Items
        Each rater against the others.
    moment : ndarray, shape (K,)
        When the slice was read, from 0 (first) to 1 (last of that rater).
    group : Grouping
        Clusters of the items.

    Returns
    -------
    Ratio
        Slope of the IoU, less the median IoU of the other raters on the same object, over
        `moment`; nan for a rater without others to compare.
    """
    count = np.bincount(items.object, minlength=1)[items.object]
    beside = count > 1
    rows = np.flatnonzero(beside)
    usual = median_without(items.iou[:, None], items.object, items.object[rows], own=rows)
    better = np.zeros(len(items.iou))
    better[rows] = items.iou[rows] - usual[:, 0]
    when = _centred(moment, items.rater, beside, n_raters=group.n_raters)
    gain = _centred(better, items.rater, beside, n_raters=group.n_raters)
    return group.ratio(when * gain, np.square(when), items.rater, rows=beside)


def _centred(values: Floats, rater: Ints, rows: Bools, *, n_raters: int) -> Floats:
    """`values` less the mean of each rater's over the given rows."""
    count = np.bincount(rater[rows], minlength=n_raters)
    mean = np.bincount(rater[rows], values[rows], n_raters) / np.maximum(count, 1)
    return values - mean[rater]
