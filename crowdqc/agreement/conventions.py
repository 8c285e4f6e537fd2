"""Two ways to draw that several raters each hold to: a difference, and nobody's fault."""

from __future__ import annotations

import numpy as np

from crowdqc.agreement.rater_data import FEWEST, RaterData
from crowdqc.agreement.ratios import Ratio
from crowdqc.arrays import Bools
from crowdqc.findings import Finding

_APART = 2.0
"""How many times further apart two groups lie than the raters within either."""


def beyond(data: RaterData, ratio: Ratio, limit: float) -> list[int]:
    """Raters of whom the whole interval lies beyond a limit, on either side.

    Parameters
    ----------
    data : RaterData
    ratio : Ratio
        A value of each rater that should be 0.
    limit : float
        The largest value, of either sign, that is no fault.

    Returns
    -------
    list of int
        Nobody who was held against one other rater only.
    """
    low, high = ratio.bounds(data.places.level)
    off = ((low > limit) | (high < -limit)) & (ratio.n >= FEWEST) & (data.n_others > 1)
    return [int(r) for r in np.flatnonzero(off)]


Sites = tuple[list[int], list[int], float]
"""Raters of the lower and of the upper group, and how far apart they are."""


def two_conventions(
    data: RaterData, ratio: Ratio, limit: float, *, among: Bools | None = None
) -> Sites | None:
    """Two groups of raters who each agree among themselves, and differ from one another.

    Parameters
    ----------
    data : RaterData
    ratio : Ratio
        A value of each rater, such as the logarithm of the size of the boxes.
    limit : float
        The least difference that matters.
    among : ndarray of bool, shape (R,), optional
        Raters who may hold to a convention; all, if not given.

    Returns
    -------
    tuple or None
        Raters of the lower and of the upper group, and how far apart they are. Each has two
        voices or more and at least a third of all; raters who are one voice count once.
    """
    enough = np.isfinite(ratio.value) & (ratio.n >= FEWEST) & (data.n_others > 1)
    known = np.flatnonzero(enough if among is None else enough & among)
    known = known[np.argsort(ratio.value[known], kind="stable")]
    value, group = ratio.value[known], data.crowd.group[known]
    for k in np.argsort(-np.diff(value), kind="stable")[:1]:
        low, high = known[: k + 1], known[k + 1 :]
        voices = [len(np.unique(side)) for side in (group[: k + 1], group[k + 1 :])]
        within = max(np.ptp(value[: k + 1]), np.ptp(value[k + 1 :]))
        gap = float(np.diff(value)[k])
        if min(voices) >= max(2, sum(voices) / 3) and gap > max(limit, _APART * within):
            return (
                low.tolist(),
                high.tolist(),
                float(np.median(value[k + 1 :]) - np.median(value[: k + 1])),
            )
    return None


def surely_apart(data: RaterData, ratio: Ratio, sites: Sites) -> bool:
    """Whether no interval of the lower group reaches one of the upper.

    Parameters
    ----------
    data : RaterData
        Says how sure intervals are.
    ratio : Ratio
        The value by which the groups differ.
    sites : tuple
        As from `two_conventions`.
    """
    low, high = ratio.bounds(data.places.level)
    return bool(high[sites[0]].max() < low[sites[1]].min())


def convention(data: RaterData, sites: Sites, *, lower: str, upper: str) -> Finding:
    """The finding about two groups, of which one does the `lower` and the other the `upper`.

    Parameters
    ----------
    data : RaterData
        Names the raters.
    sites : tuple
        The raters of the lower and of the upper group, and how far apart: a share of size.
    lower : str
        What the lower group does, for example "end earlier".
    upper : str
        What the upper group does.
    """
    first, second = (", ".join(data.people[r] for r in sorted(side)) for side in sites[:2])
    text = (
        f"Two conventions: the boxes of {first} {lower}, those of {second} {upper} "
        f"({sites[2]:.0%} apart), and within each group raters agree. Settle on one of them."
    )
    return Finding(
        check="conventions-differ",
        message=text,
        value=sites[2],
        unit="share of size",
    )
