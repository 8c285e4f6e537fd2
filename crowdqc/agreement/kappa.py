"""Chance-corrected agreement on categories by other formulas: Cohen, Fleiss, Gwet.

Arrays are named by their letters: R raters, U units, V distinct values.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from crowdqc.agreement.alpha import as_ratings, value_counts
from crowdqc.arrays import Floats


def cohen_kappa(
    a: ArrayLike, b: ArrayLike, *, weights: Literal["linear", "quadratic"] | None = None
) -> float:
    """Cohen's kappa of two raters, computed by statsmodels.

    Parameters
    ----------
    a, b : array_like, shape (U,)
        Value that each rater gave to each unit; units with a nan are left out.
    weights : {None, "linear", "quadratic"}
        None: values are equal or not. Else disagreement grows with the distance of the
        values' ranks, or with its square.

    Returns
    -------
    kappa : float
        At most 1; nan where both raters gave one value throughout, or no unit has both.

    Raises
    ------
    ValueError
        If `a` and `b` do not have one length.

    References
    ----------
    .. [1] J. Cohen, "A coefficient of agreement for nominal scales", Educational and
       Psychological Measurement 20(1), 1960. :doi:`10.1177/001316446002000104`

    Examples
    --------
    >>> cohen_kappa([0, 0, 1, 1], [0, 0, 1, 0])
    0.5
    """
    from statsmodels.stats.inter_rater import cohens_kappa  # noqa: PLC0415

    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"'a' and 'b' must have one value per unit; got {first.shape} and {second.shape}."
        )
    both = ~np.isnan(first) & ~np.isnan(second)
    values, codes = np.unique([first[both], second[both]], return_inverse=True)
    if len(values) < 2:
        return float("nan")
    table = np.zeros((len(values), len(values)))
    np.add.at(table, tuple(codes.reshape(2, -1)), 1)
    return float(cohens_kappa(table, wt=weights, return_results=False))


def fleiss_kappa(data: ArrayLike) -> float:
    """Fleiss' kappa of raters who all valued all units, computed by statsmodels.

    Parameters
    ----------
    data : array_like, shape (R, U)
        Value that each rater gave to each unit; nan where a rater did not value a unit.
        Raters may be different people in each unit, but must be as many.

    Returns
    -------
    kappa : float
        At most 1; nan where all values are the same or there is no unit.

    Raises
    ------
    ValueError
        If units have different numbers of values, or fewer than two.

    References
    ----------
    .. [1] J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological
       Bulletin 76(5), 1971. :doi:`10.1037/h0031619`

    Examples
    --------
    >>> round(fleiss_kappa([[0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 0]]), 3)
    0.625
    """
    from statsmodels.stats.inter_rater import fleiss_kappa as kappa  # noqa: PLC0415

    counts = _counts(as_ratings(data))
    per_unit = np.unique(counts.sum(axis=1))
    if len(per_unit) > 1 or (len(per_unit) and per_unit[0] < 2):
        raise ValueError(
            "'data' must have as many values in each unit, two or more; got "
            f"{per_unit.min():g} to {per_unit.max():g}. Krippendorff's alpha needs no such thing."
        )
    if counts.shape[1] < 2:
        return float("nan")
    return float(kappa(counts, method="fleiss"))


def gwet_ac1(data: ArrayLike) -> float:
    """Gwet's AC1: agreement that stays meaningful where one value is much more common.

    Parameters
    ----------
    data : array_like, shape (R, U)
        Value that each rater gave to each unit; nan where a rater did not value a unit.

    Returns
    -------
    ac1 : float
        At most 1; 1 where all values are the same; nan where no unit has two values.

    References
    ----------
    .. [1] K. L. Gwet, "Computing inter-rater reliability and its variance in the presence of
       high agreement", British Journal of Mathematical and Statistical Psychology 61(1),
       2008, equations 4 and 13. :doi:`10.1348/000711006X126600`

    Examples
    --------
    >>> round(gwet_ac1([[1, 1, 1, 1, 2], [1, 1, 1, 2, 2]]), 3)
    0.655
    """
    counts = _counts(as_ratings(data))
    m = counts.sum(axis=1)
    pairs = counts[m >= 2]
    if not len(pairs):
        return float("nan")
    if counts.shape[1] < 2:
        return 1.0
    return float(_ac1_of_counts(pairs, np.mean(counts / m[:, None], axis=0)))


def _ac1_of_counts(pairs: Floats, share: Floats) -> Floats:
    """AC1 from the counts (U, V) of units with two values or more, and the share of values (V,)."""
    m = pairs.sum(axis=1)
    observed = np.mean((np.square(pairs).sum(axis=1) - m) / (m * (m - 1)))
    chance = np.sum(share * (1 - share)) / (len(share) - 1)
    ac1: Floats = (observed - chance) / (1 - chance)
    return ac1


def _counts(array: Floats) -> Floats:
    """How often each value was given to each unit, (U, V); units without a value are left out."""
    counts = value_counts(array)[1]
    return counts[counts.sum(axis=1) > 0]
