"""Intraclass correlation of measurements: how much of their variance is due to the subjects."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from crowdqc.arrays import Floats

_ROUNDING = 1e-13
"""Share of the sum of all squares below which a sum of squares is rounding."""
Form = Literal["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"]


class Correlation(NamedTuple):
    """An intraclass correlation and its interval."""

    value: float
    low: float
    high: float


def icc(data: ArrayLike, form: Form = "2,1", *, level: float = 0.95) -> Correlation:
    """Intraclass correlation in the six forms of Shrout and Fleiss.

    Parameters
    ----------
    data : array_like, shape (N, K)
        Measurement of each of N subjects by each of K raters, none missing.
    form : {"1,1", "2,1", "3,1", "1,k", "2,k", "3,k"}
        ``1``: each subject has raters of its own; ``2``: raters are a sample, and their
        biases count as disagreement; ``3``: these raters only, biases do not count.
        ``1`` or ``k`` behind the comma: of one rater, or of the mean of all K.
    level : float
        Coverage of the interval, in (0, 1).

    Returns
    -------
    value, low, high : float
        At most 1; negative where subjects differ less than measurements of one subject. nan
        where there are fewer than 2 subjects or raters, or nothing varies.

    Raises
    ------
    ValueError
        If `data` is not (N, K) or holds nan, or `form` is unknown.

    References
    ----------
    .. [1] P. E. Shrout, J. L. Fleiss, "Intraclass correlations: uses in assessing rater
       reliability", Psychological Bulletin 86(2), 1979. :doi:`10.1037/0033-2909.86.2.420`
    .. [2] K. O. McGraw, S. P. Wong, "Forming inferences about some intraclass correlation
       coefficients", Psychological Methods 1(1), 1996. :doi:`10.1037/1082-989X.1.1.30`

    Examples
    --------
    The six targets and four judges of Shrout and Fleiss, table 2.

    >>> data = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> round(icc(data, "2,1").value, 2)
    0.29
    """
    array = np.asarray(data, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError(f"'data' must have shape (N, K) and no gaps; got shape {array.shape}.")
    if form not in {"1,1", "2,1", "3,1", "1,k", "2,k", "3,k"}:
        raise ValueError(f"'form' must be one of 1,1 2,1 3,1 1,k 2,k 3,k; got {form!r}.")
    if min(array.shape) < 2 or np.ptp(array) == 0:
        return Correlation(np.nan, np.nan, np.nan)
    kernel = {"1": _one_way, "2": _two_way_random, "3": _two_way_mixed}[form[0]]
    single = Correlation(*map(float, kernel(array, tail=(1 - level) / 2)))
    if form.endswith("k"):
        return Correlation(*(_of_mean(value, array.shape[1]) for value in single))
    return single


def _of_mean(value: float, k: int) -> float:
    """Spearman and Brown: correlation of the mean of `k` raters from that of one."""
    part = 1 + (k - 1) * value
    return k * value / part if part > 0 else np.nan


def _squares(array: Floats) -> tuple[float, float, float]:
    """Mean squares between subjects, between raters, and of what is left."""
    n, k = array.shape
    grand = array.mean()
    rows = k * np.sum((array.mean(axis=1) - grand) ** 2)
    columns = n * np.sum((array.mean(axis=0) - grand) ** 2)
    rest = np.sum((array - grand) ** 2) - rows - columns
    least = _ROUNDING * float(np.square(array).sum())
    rows, columns, rest = (value if value > least else 0.0 for value in (rows, columns, rest))
    return rows / (n - 1), columns / (k - 1), rest / ((n - 1) * (k - 1))


def _from_f(ratio: float, k: int) -> float:
    return (ratio - 1) / (ratio + k - 1)


def _one_way(array: Floats, *, tail: float) -> Correlation:
    n, k = array.shape
    between, raters, rest = _squares(array)
    within = (raters * (k - 1) + rest * (n - 1) * (k - 1)) / (n * (k - 1))
    return _by_f(between, within, n - 1, df=n * (k - 1), k=k, tail=tail)


def _two_way_mixed(array: Floats, *, tail: float) -> Correlation:
    n, k = array.shape
    between, _, rest = _squares(array)
    return _by_f(between, rest, n - 1, df=(n - 1) * (k - 1), k=k, tail=tail)


def _by_f(
    between: float, error: float, df_between: int, *, df: int, k: int, tail: float
) -> Correlation:
    """Correlation and interval from the F ratio of two mean squares."""
    if error == 0:
        return Correlation(*[1.0 if between > 0 else np.nan] * 3)
    ratio = between / error
    low = ratio / scipy.stats.f.ppf(1 - tail, df_between, df)
    high = ratio * scipy.stats.f.ppf(1 - tail, df, df_between)
    return Correlation(_from_f(ratio, k), _from_f(low, k), _from_f(high, k))


def _two_way_random(array: Floats, *, tail: float) -> Correlation:
    n, k = array.shape
    between, raters, rest = _squares(array)
    spread = k * raters + (k * n - k - n) * rest
    value = (between - rest) / (between + (k - 1) * rest + k * (raters - rest) / n)
    if rest == 0:
        return Correlation(value, np.nan, np.nan)
    bias = k * value * raters / rest
    signal = n * (1 + (k - 1) * value) - k * value
    top = (k - 1) * (n - 1) * (bias + signal) ** 2
    df = top / ((n - 1) * bias**2 + signal**2)
    f_low, f_high = scipy.stats.f.ppf(1 - tail, n - 1, df), scipy.stats.f.ppf(1 - tail, df, n - 1)
    low = n * (between - f_low * rest) / (f_low * spread + n * between)
    high = n * (f_high * between - rest) / (spread + n * f_high * between)
    return Correlation(value, low, high)
