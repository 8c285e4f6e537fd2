"""Fused boxes as units of an audit: what an expert's box says of one, and which have moved since.

What experts decide moves other fused boxes a little, as raters are judged by it. A bound holds for
the boxes as they were when the audit began, so a unit is graded against that box, and `MARGIN`
more is asked of it: 1 - IoU is a metric, so a box that has moved by less than that since, and is
wrong now, was graded as wrong (Kosub 2019).

References
----------
.. [1] S. Kosub, "A note on the triangle inequality for the Jaccard distance", Pattern Recognition
   Letters 120 (2019) 36-38. :doi:`10.1016/j.patrec.2018.12.007`
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools
from crowdqc.audit.table import KEY
from crowdqc.geometry import known_iou
from crowdqc.schema import BOX

BAD = "bad"
"""Grade of a box that is wrong."""
MARGIN = 0.03
"""How far, in 1 - IoU, a box may move and still be the one that was graded."""


def box_grades(
    table: pd.DataFrame,
    decided: pd.DataFrame,
    graded: pd.DataFrame | None = None,
    *,
    below: float,
) -> pd.DataFrame:
    """Whether fused boxes are wrong, by what experts decided of their objects.

    Parameters
    ----------
    table : DataFrame
        Table ``audit`` of boxes, with ``x0, y0, x1, y1`` as they were when the audit began.
    decided : DataFrame
        ``case, slice, label, object, real, x0, y0, x1, y1, conflict, reviewers``; no two rows of
        the same object.
    graded : DataFrame, optional
        ``case, slice, label, object, grade, x0, y0, x1, y1, reviewers``: what experts said of the
        boxes that they were shown (nan: those of `table`); no two rows of the same object.
    below : float
        A box whose IoU with the expert's is smaller is wrong, and so is one less than `MARGIN`
        better, one of nothing, and one that experts decided differently.

    Returns
    -------
    DataFrame
        ``case, slice, label, object, bad, reviewers`` of the units that were decided or graded;
        where they differ the worse counts. A box that was graded counts as bad where the one that
        was shown differs from it by more than `MARGIN`.
    """
    found = [_by_their_box(table, decided, below=below)]
    if graded is not None and len(graded):
        found.append(_by_grade(table, graded))
    both = pd.concat(found, ignore_index=True)
    who = both.groupby(KEY, sort=False)["reviewers"].agg(", ".join)
    return both.groupby(KEY, sort=False)["bad"].max().to_frame().join(who).reset_index()


def _by_grade(table: pd.DataFrame, graded: pd.DataFrame) -> pd.DataFrame:
    both = table[[*KEY, *BOX]].merge(graded, on=KEY, suffixes=("", "_shown"))
    shown = both[[f"{edge}_shown" for edge in BOX]].to_numpy(np.float64)
    said = np.isfinite(shown).any(axis=1)
    moved = said & ~(1 - known_iou(both[BOX].to_numpy(np.float64), shown) <= MARGIN)
    bad = (both["grade"] == BAD).to_numpy() | moved
    return both[[*KEY, "reviewers"]].assign(bad=bad.astype(np.float64))


def _by_their_box(table: pd.DataFrame, decided: pd.DataFrame, *, below: float) -> pd.DataFrame:
    both = table[[*KEY, *BOX]].merge(decided, on=KEY, suffixes=("", "_true"))
    true = both[[f"{edge}_true" for edge in BOX]].to_numpy(np.float64)
    real = both["real"].to_numpy(np.bool_)
    near = real & (known_iou(both[BOX].to_numpy(np.float64), true) >= below + MARGIN)
    bad = ~near | both["conflict"].to_numpy(np.bool_)
    return both[[*KEY, "reviewers"]].assign(bad=bad.astype(np.float64))


def same_boxes(table: pd.DataFrame, now: pd.DataFrame) -> Bools:
    """Whether boxes are those that an audit knows, moved by `MARGIN` at most.

    Parameters
    ----------
    table : DataFrame
        As of `box_grades`.
    now : DataFrame
        ``case, slice, label, object, x0, y0, x1, y1``.

    Returns
    -------
    ndarray of bool, shape (len(now),)
        In the order of `now`.
    """
    both = now[[*KEY, *BOX]].merge(table[[*KEY, *BOX]], on=KEY, how="left", suffixes=("", "_then"))
    then = both[[f"{edge}_then" for edge in BOX]].to_numpy(np.float64)
    same: Bools = 1 - known_iou(both[BOX].to_numpy(np.float64), then) <= MARGIN
    return same
