"""Risk of each object, and what one more rater would be worth.

The expected error of an object is one minus the expected IoU with the truth: all of it where
the decision on its existence is wrong, and what its uncertain edges cost where it is right.
"""

from __future__ import annotations

from math import comb

import numpy as np
import pandas as pd
import scipy

from crowdqc.arrays import Floats
from crowdqc.crowd import Crowd, fit, size_of
from crowdqc.matching import Matched

ABSOLUTE = (2 / np.pi) ** 0.5
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
    now, then = forecast(crowd, 1)[0]
    frame = matched.objects[["object", "case", "slice", "label"]].assign(
        n_raters=crowd.evidence.n_boxes,
        n_asked=crowd.evidence.n_asked,
        score=crowd.exists,
        expected_error=now,
        value=now - then,
    )
    return frame.sort_values(["value", "object"], ascending=[False, True], ignore_index=True)


def forecast(crowd: Crowd, ahead: int, *, below: float | None = None) -> tuple[Floats, Floats]:
    """Expected error of each object after more average raters, and the boxes that one draws.

    Parameters
    ----------
    crowd : Crowd
        What is known now.
    ahead : int
        Largest number of further raters.
    below : float, optional
        The error is 1 where the IoU is smaller than this, or there is nothing, and else 0. None: it
        is 1 - IoU.

    Returns
    -------
    after : ndarray, shape (ahead + 1, O)
        After 0, 1, ... more raters; never rises.
    boxes : ndarray, shape (O,)
        Boxes that one more rater is expected to draw of each object.
    """
    read = crowd.evidence.asked_rater
    real, false = (
        float(of[read].mean()) if len(read) else np.nan for of in (crowd.detection, crowd.invention)
    )
    spreads = [_spread(crowd, more) for more in range(ahead + 1)]
    edges = [_mean(one) if below is None else chance_below(one, below) for one in spreads]
    after = np.zeros((ahead + 1, len(crowd.exists)))
    for k in range(ahead + 1):
        for j in range(k + 1):
            seen, invented = (comb(k, j) * p**j * (1 - p) ** (k - j) for p in (real, false))
            chance = crowd.exists * seen + (1 - crowd.exists) * invented
            exists = crowd.exists * seen / np.maximum(chance, 1e-300)
            after[k] += chance * expected_error(exists, edges[j])
    return np.minimum.accumulate(after, axis=0), crowd.exists * real + (1 - crowd.exists) * false


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


def chance_below(spread: Floats, below: float) -> Floats:
    """Probability that the IoU of boxes with the true ones is below a limit.

    The sum of what the edges are off is taken to be normal; it is a little skew, so that a
    probability may be off by .04.

    Parameters
    ----------
    spread : ndarray, shape (O, 4)
        Of each edge, as a share of the object's size.
    below : float
        An IoU, 0 to 1.

    Returns
    -------
    ndarray, shape (O,)
        In [0, 1].
    """
    sd = np.sqrt((1 - ABSOLUTE**2) * (spread**2).sum(axis=1))
    chance: Floats = scipy.stats.norm.sf(
        (1 - below - _mean(spread, most=np.inf)) / np.maximum(sd, 1e-12)
    )
    return chance


def _mean(spread: Floats, most: float = 1.0) -> Floats:
    """Expected 1 - IoU for edges of a relative spread, (O,)."""
    error: Floats = np.minimum(ABSOLUTE * spread.sum(axis=1), most)
    return error


def _spread(crowd: Crowd, more: int) -> Floats:
    """Relative spread of the edges of each object, drawn by so many more average raters, (O, 4).

    Of the variance of an edge, what all raters share grows with the voices.
    """
    size = size_of(crowd.box)
    of = crowd.evidence.rater
    average = np.sqrt(np.mean(crowd.sd[of] ** 2, axis=0)) if len(of) else np.full(4, np.nan)
    rater = average * crowd.difficulty[:, None]
    voices = np.bincount(crowd.evidence.object, crowd.voice, len(size))[:, None]
    now = (crowd.spread / size) ** 2
    own = now / (1 + crowd.shared**2 * voices)
    then = (1 + crowd.shared**2 * (voices + more)) / (1 / own + more / rater**2)
    return np.sqrt(np.minimum(then, now))
