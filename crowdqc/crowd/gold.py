"""What gold boxes say of the objects of a study, and how they calibrate the estimates for the rest.

Gold knows what no crowd can: an error that all raters share. Of five images with gold the mean
error of the fused edges, and how much wider than promised their errors are, carry over to the
others: the latter as a conformal quantile, which needs no model of the errors.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from crowdqc.arrays import Floats, Ints
from crowdqc.crowd.edges import Edges, size_of
from crowdqc.crowd.evidence import SAME, Evidence
from crowdqc.crowd.medians import median_boxes
from crowdqc.geometry import pairwise_iou
from crowdqc.matching import Matched
from crowdqc.schema import BOX

_PRIOR_OBJECTS, _PRIOR_IMAGES = 4.0, 1.0
"""How many gold objects "no common error" is worth, and how many images the prior width."""
_LEVEL = 0.95


def with_gold(data: Evidence, matched: Matched, gold: pd.DataFrame) -> Evidence:
    """The evidence with the gold box of each object, and whether the object exists.

    Parameters
    ----------
    data : Evidence
        Of `matched`.
    matched : Matched
        The study.
    gold : DataFrame
        ``case, slice, label, x0, y0, x1, y1``. A case that has some is known throughout: what
        raters drew there and gold has not does not exist.

    Returns
    -------
    Evidence
        The same, with what gold knows.
    """
    place = ["case", "slice", "label"]
    known = matched.objects["case"].isin(gold["case"].unique()).to_numpy()
    box = np.full((data.n_objects, 4), np.nan)
    median = median_boxes(data.boxes, data.object, data.n_objects)
    true = {key: of[BOX].to_numpy(np.float64) for key, of in gold.groupby(place)}
    for key, rows in matched.objects[known].groupby(place).indices.items():
        objects = np.flatnonzero(known)[rows]
        if key in true:
            overlap = pairwise_iou(median[objects], true[key])
            i, j = linear_sum_assignment(-overlap)
            same = overlap[i, j] >= SAME
            box[objects[i[same]]] = true[key][j[same]]
    real = np.where(known, np.isfinite(box[:, 0]).astype(np.float64), np.nan)
    return dataclasses.replace(data, gold=box, real=real)


def with_settled(data: Evidence, matched: Matched, settled: pd.DataFrame) -> Evidence:
    """The evidence with what reviewers decided of single objects.

    Parameters
    ----------
    data : Evidence
        Of `matched`.
    matched : Matched
        The study.
    settled : DataFrame
        ``case, slice, label, object`` (its number at that place), ``real, x0, y0, x1, y1``.

    Returns
    -------
    Evidence
        The same, in which these objects exist where their box is, or do not exist.
    """
    rows = object_rows(matched, settled)
    known = rows >= 0
    rows, settled = rows[known], settled[known]
    is_real = settled["real"].to_numpy(bool)
    box, decided = data.settled.copy(), data.decided.copy()
    box[rows[is_real]] = settled.loc[is_real, BOX].to_numpy(np.float64)
    decided[rows] = is_real
    return dataclasses.replace(data, settled=box, decided=decided)


def object_rows(matched: Matched, settled: pd.DataFrame) -> Ints:
    """Where objects that are named by their place and number stand in ``matched.objects``.

    Parameters
    ----------
    matched : Matched
        The study.
    settled : DataFrame
        ``case, slice, label, object``.

    Returns
    -------
    ndarray of int64, shape (len(settled),)
        Row of each; -1 of one that nobody drew.
    """
    place = ["case", "slice", "label"]
    objects = matched.objects[place].assign(row=np.arange(len(matched.objects)))
    objects["object"] = objects.groupby(place).cumcount()
    found = settled[[*place, "object"]].merge(objects, on=[*place, "object"], how="left")["row"]
    return found.fillna(-1).to_numpy(np.int64)


def calibrated(data: Evidence, edges: Edges, spread: Floats) -> tuple[Edges, Floats]:
    """Edges without the error that gold shows in all of them, and spreads as wide as it asks.

    Parameters
    ----------
    data : Evidence
        With gold boxes.
    edges : Edges
        As fitted.
    spread : ndarray, shape (O, 4)
        As the prior has it, in px.

    Returns
    -------
    edges : Edges
    spread : ndarray, shape (O, 4)

    References
    ----------
    .. [1] J. Lei et al., "Distribution-free predictive inference for regression", JASA 113(523),
       2018. :doi:`10.1080/01621459.2017.1307116`
    """
    rows = np.flatnonzero(np.isfinite(data.gold).all(axis=1) & np.isfinite(spread).all(axis=1))
    if not len(rows):
        return edges, spread
    size = size_of(edges.box)
    error = (edges.box[rows] - data.gold[rows]) / size[rows]
    common = np.clip(error, -0.5, 0.5).sum(axis=0) / (len(rows) + _PRIOR_OBJECTS)
    box = edges.box - common * size
    edges = dataclasses.replace(
        edges, box=box, without=edges.without - common * size[data.object], bias=edges.bias + common
    )
    away = np.sort((np.abs(box[rows] - data.gold[rows]) / spread[rows]).ravel())
    last = min(int(np.ceil(_LEVEL * (len(away) + 1))), len(away)) - 1
    images = len(np.unique(np.stack([data.case[rows], data.plane[rows]]), axis=1).T)
    wider = (away[last] / 1.96) ** (images / (images + _PRIOR_IMAGES))
    return edges, spread * max(wider, 0.1)
