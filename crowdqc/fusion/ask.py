"""Risk of each object, and what one more rater would be worth.

The expected error of an object is one minus the expected IoU with the truth: all of it where
the decision on its existence is wrong, and what its uncertain edges cost where it is right.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.arrays import Floats
from crowdqc.crowd import Crowd, fit
from crowdqc.matching import Matched

_ABSOLUTE = (2 / np.pi) ** 0.5
"""Mean absolute value of a normal value, over its standard deviation."""


def ask(matched: Matched) -> pd.DataFrame:
    """The objects of a study, those first where one more rater is worth most.

    Parameters
    ----------
    matched : Matched
        A matched study.

    Returns
    -------
    DataFrame
        ``object, case, slice, label, n_raters, n_asked, score, expected_error, value``,
        sorted by falling `value`, then by `object`. `expected_error` is in [0, 1]; `value`
        is by how much an average rater more is expected to lower it, never below 0. Both
        are nan where no object of the study was drawn by two raters: nothing is known then.

    Notes
    -----
    To first order an edge that is off by d px costs ``|d| / width`` (or height) of IoU. One
    more rater adds the precision of an average one to every edge, if it draws the object, and
    a vote on its existence; the error after the vote is averaged over both of its answers.

    References
    ----------
    .. [1] S. Branson, G. Van Horn, P. Perona, "Lean crowdsourcing: combining humans and
       machines in an online system", CVPR 2017, section 3.3. :doi:`10.1109/CVPR.2017.647`

    Examples
    --------
    >>> import crowdqc
    >>> matched = crowdqc.match(crowdqc.Study.from_boxes(crowdqc.example_boxes()))
    >>> table = crowdqc.next_raters(matched)
    >>> bool(table["value"].is_monotonic_decreasing)
    True
    """
    crowd = fit(matched)
    size = np.maximum(crowd.box[:, 2:] - crowd.box[:, :2], 1e-6)
    size = np.hstack([size, size])
    now = _edge_error(crowd.spread / size)
    rater = _average_sd(crowd) * crowd.difficulty[:, None]
    voices = np.bincount(crowd.evidence.object, crowd.voice, len(size))[:, None]
    common = 1 + crowd.shared**2 * voices  # of the variance, what all raters share included
    own = (crowd.spread / size) ** 2 / common
    more = 1 / (1 / own + rater**-2) * (common + crowd.shared**2)
    then = _edge_error(np.minimum(np.sqrt(more), crowd.spread / size))
    error = expected_error(crowd.exists, now)
    after = _after(crowd, now=now, then=then)
    frame = matched.objects[["object", "case", "slice", "label"]].assign(
        n_raters=crowd.evidence.n_boxes,
        n_asked=crowd.evidence.n_asked,
        score=crowd.exists,
        expected_error=error,
        value=np.maximum(error - after, 0.0),
    )
    return frame.sort_values(["value", "object"], ascending=[False, True], ignore_index=True)


def expected_error(exists: Floats, edges: Floats) -> Floats:
    """Expected 1 - IoU of the better decision, for objects that exist with a probability.

    Parameters
    ----------
    exists : ndarray, shape (O,)
        Probability that the object exists, in [0, 1].
    edges : ndarray, shape (O,)
        Expected 1 - IoU of its box, if it exists, in [0, 1].

    Returns
    -------
    error : ndarray, shape (O,)
        In [0, 1]. Keeping it costs ``1 - exists`` and the edges; leaving it out, `exists`.

    Examples
    --------
    >>> expected_error(np.array([0.9, 0.5, 0.1]), np.array([0.1, 0.1, 0.1])).round(2)
    array([0.19, 0.5 , 0.1 ])
    """
    return np.minimum(1 - exists + exists * edges, exists)


def _edge_error(spread: Floats) -> Floats:
    """Expected 1 - IoU for edges of a relative spread, (O,)."""
    return np.minimum(_ABSOLUTE * spread.sum(axis=1), 1.0)


def _average_sd(crowd: Crowd) -> Floats:
    """Spread of an average box, (4,): raters count with their boxes."""
    of = crowd.evidence.rater
    if not len(of):
        return np.full(4, np.nan)
    spread: Floats = np.sqrt(np.mean(crowd.sd[of] ** 2, axis=0))
    return spread


def _after(crowd: Crowd, *, now: Floats, then: Floats) -> Floats:
    """Expected error after one more average rater was asked, (O,)."""
    read = crowd.evidence.asked_rater
    if not len(now):
        return now
    draws_real, draws_false = crowd.detection[read].mean(), crowd.invention[read].mean()
    total = np.zeros(len(now))
    for real, false, edges in (
        (draws_real, draws_false, then),
        (1 - draws_real, 1 - draws_false, now),
    ):
        chance = crowd.exists * real + (1 - crowd.exists) * false
        total += chance * expected_error(crowd.exists * real / chance, edges)
    return total
