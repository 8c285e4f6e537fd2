"""Each rater against a consensus of the others that one bad rater among them does not move.

The median of two boxes lies halfway between a right and a wrong one. Where three raters read, that
blames the two who are right for the third, so that scores of raters rest on the model of the crowd:
each box of the others counts by the weight that it has in the consensus, boxes of the rater's own
group (who copy from each other, or collude) count nothing, and an object is there as far as the
others say so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crowdqc.agreement.boxes import DrawnBoxes, Items, own_box
from crowdqc.arrays import Floats, Ints, numbered
from crowdqc.crowd import Crowd
from crowdqc.geometry import Boxes, paired_iou

_LEAST = 1e-6
"""Least weight of a box: the only one of the others stands for them, however bad."""


class Others(NamedTuple):
    """Who else there was for each item: outside of the rater's own group.

    Parameters
    ----------
    asked, drew : ndarray of int, shape (K,)
        Others who were asked for the object, and who drew it.
    """

    asked: Ints
    drew: Ints


def robust_items(drawn: DrawnBoxes, boxes: Boxes, crowd: Crowd) -> tuple[Items, Others]:
    """Each rater against the model's consensus of the others.

    Parameters
    ----------
    drawn : DrawnBoxes
        Who drew what.
    boxes : ndarray, shape (N, 4)
        The boxes, freed of the bias of their raters: else one who draws too large would make
        the others look small.
    crowd : Crowd
        The model, fitted to the same study.

    Returns
    -------
    items : Items
        Of every rater and object for which somebody outside of the rater's group was asked, where
        the rater or the others drew it. An object is there if the others make that likelier than
        not.
    others : Others
        Of each item.
    """
    data = crowd.evidence
    objects, raters = data.asked_object, data.asked_rater
    own, group = own_box(drawn, objects, raters), crowd.group
    code = (objects, group[raters])
    asked = _without(np.ones((len(objects), 1)), code, code)[:, 0]
    weight = np.maximum(np.nan_to_num(crowd.weight, nan=1.0), _LEAST)[:, None]
    parts = np.hstack([weight * boxes, weight, np.ones_like(weight)])
    rest = _without(parts, (drawn.object, group[drawn.rater]), code)
    drew = np.rint(rest[:, 5]).astype(np.int64)
    exists = (crowd.wanted >= 0.5) & (drew > 0)
    keep = np.flatnonzero((asked > 0.5) & ((own >= 0) | exists))
    objects, raters, own, exists = objects[keep], raters[keep], own[keep], exists[keep]
    middle = rest[keep, :4] / np.maximum(rest[keep, 4:5], 1e-300)
    reference = np.where(exists[:, None], middle, np.nan)
    both = (own >= 0) & exists
    iou = np.zeros(len(keep))
    iou[both] = paired_iou(drawn.boxes[own[both]], reference[both])
    missed, extra = (own < 0) & exists, (own >= 0) & ~exists
    items = Items(objects, raters, own, iou, missed=missed, extra=extra, others=reference)
    return items, Others(np.rint(asked[keep]).astype(np.int64), drew[keep])


def _without(values: Floats, rows: tuple[Ints, Ints], wanted: tuple[Ints, Ints]) -> Floats:
    """Sums of `values` (N, M) over each object, less those of one group of it, for each wanted."""
    (of, group), (objects, groups) = rows, wanted
    n = int(max(of.max(initial=0), objects.max(initial=0))) + 1
    span = int(max(group.max(initial=0), groups.max(initial=0))) + 1
    codes, at = numbered(of * span + group)
    key = objects * span + groups
    row = np.minimum(np.searchsorted(codes, key), max(len(codes) - 1, 0))
    known = codes[row] == key if len(codes) else np.zeros(len(key), bool)
    rest = np.empty((len(objects), values.shape[1]))
    for column, value in enumerate(values.T):
        total = np.bincount(of, value, n)[objects]
        mine = np.bincount(at, value, len(codes)) if len(codes) else np.zeros(1)
        rest[:, column] = total - np.where(known, mine[row], 0.0)
    return rest
