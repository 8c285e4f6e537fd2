"""Statistics of two paired samples, on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap resamples of the pairs."""
LEVEL = 0.95
"""Coverage of the bootstrap interval."""
ALPHA, POWER = 0.05, 0.80
"""What `_smallest_detectable` asks for."""
DIGITS = 12
"""Decimals of a difference, as a share of the largest value; the rest is rounding of floats."""
NONZERO_MIN = 6
"""Differences that are not zero, below which no two-sided exact p can be under 0.05: with 5 the
smallest is 2 / 2^5 = 0.0625."""
SHAPIRO_MAX = 5000
"""Pairs above which scipy calls its own Shapiro-Wilk p inaccurate."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """What `compare_paired` measures; names and meaning as in the table `comparison`."""

    n: int
    mean_a: float
    ci_a: float
    mean_b: float
    ci_b: float
    difference: float
    low: float
    high: float
    test: str
    statistic: float
    p: float
    effect: float
    shapiro_p: float
    detectable: float
    why: str


def compare_paired(a: ArrayLike, b: ArrayLike, *, rng: np.random.Generator) -> Paired:
    """Compare two paired samples.

    Parameters
    ----------
    a, b : array_like, shape (N,)
        Values of the same N things; finite.
    rng : Generator
        For the bootstrap.

    Returns
    -------
    Paired
        ``ci_a``, ``ci_b``: half width of the paper's interval of a mean, ``1.96 SD / sqrt(N)``
        with the population SD. ``difference``: mean of a - b, with its bootstrap interval ``low,
        high`` (BCa [1]_, 95 %). ``statistic, p``: Wilcoxon's signed-rank test, two-sided; zero
        differences are left out, as Wilcoxon did (``zero_method="wilcox"``); exact where scipy
        can, else by the normal approximation with correction for ties. ``effect``: matched-pairs
        rank-biserial correlation in [-1, 1] [2]_, positive where a is larger. ``shapiro_p``:
        Shapiro-Wilk test of normality of the differences. ``detectable``: see
        `_smallest_detectable`. What cannot be had is nan, and ``why`` says why.

    Raises
    ------
    ValueError
        If `a` and `b` differ in length or hold a value that is not finite.

    References
    ----------
    .. [1] B. Efron, "Better Bootstrap Confidence Intervals", JASA 82(397), 1987.
       :doi:`10.1080/01621459.1987.10478410`
    .. [2] D. S. Kerby, "The Simple Difference Formula: An Approach to Teaching Nonparametric
       Correlation", Comprehensive Psychology 3, 2014. :doi:`10.2466/11.IT.3.1`

    Examples
    --------
    >>> a, b = [0.9, 0.8, 0.7, 0.9, 0.6, 0.8], [0.8, 0.6, 0.4, 0.5, 0.1, 0.2]
    >>> result = compare_paired(a, b, rng=np.random.default_rng(0))
    >>> round(result.difference, 3), result.p, result.effect
    (0.35, 0.03125, 1.0)
    """
    a, b = _as_values("a", a), _as_values("b", b)
    if len(a) != len(b):
        raise ValueError(f"'a' and 'b' must be of one length; got {len(a)} and {len(b)}.")
    difference = a - b
    low, high = bootstrap_interval(difference, rng=rng)
    rounded = _rounded(difference, a, b)
    statistic, p, why = _wilcoxon(rounded)
    return Paired(
        n=len(a),
        mean_a=_mean(a),
        ci_a=_half_width(a),
        mean_b=_mean(b),
        ci_b=_half_width(b),
        difference=_mean(difference),
        low=low,
        high=high,
        test="wilcoxon",
        statistic=statistic,
        p=p,
        effect=_rank_biserial(rounded),
        shapiro_p=_shapiro(difference),
        detectable=_smallest_detectable(difference),
        why=why,
    )


def _half_width(values: Values) -> float:
    """Half width of the paper's 95 % interval of a mean: 1.96 population SD / sqrt(N).

    nan for no value. It takes the mean as normal and the SD as known; with few cases it is too
    narrow, and the bootstrap interval of the difference is the one to read.
    """
    return float(1.96 * values.std() / np.sqrt(len(values))) if len(values) else np.nan


def bootstrap_interval(
    differences: Values, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """BCa bootstrap interval (95 %) of a mean of differences.

    nan, nan for fewer than two values; the value itself where all are the same.

    Parameters
    ----------
    differences : ndarray, shape (N,)
        Finite.
    rng : Generator
        Source of the draws.
    resamples : int
        Number of draws with replacement.
    """
    if len(differences) < 2:
        return np.nan, np.nan
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    result = scipy.stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=100,
        confidence_level=LEVEL,
        method="BCa",
        rng=rng,
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _rank_biserial(differences: Values) -> float:
    """Matched-pairs rank-biserial correlation: (W+ - W-) / (W+ + W-), zeros left out.

    In [-1, 1]; nan where every difference is zero.
    """
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return np.nan
    ranks = scipy.stats.rankdata(np.abs(nonzero))
    return float((np.sign(nonzero) * ranks).sum() / ranks.sum())


def _smallest_detectable(differences: Values) -> float:
    """Smallest mean difference that the test could have seen, in the unit of the values.

    That of a two-sided paired test at the 0.05 level with a power of 0.80, given the number of
    pairs and the SD of their differences. The power is the t test's with N * 3/pi pairs, the
    signed-rank test's asymptotic relative efficiency where differences are normal [1]_. nan for
    fewer than three pairs.

    References
    ----------
    .. [1] E. L. Lehmann, "Nonparametrics", 1975, chapter 4.
    """
    if len(differences) < 3:
        return np.nan
    from statsmodels.stats.power import TTestPower  # noqa: PLC0415

    solve = TTestPower().solve_power
    size = solve(nobs=len(differences) * 3 / np.pi, alpha=ALPHA, power=POWER)
    return float(np.squeeze(size) * differences.std(ddof=1))


def holm(p: Values) -> Values:
    """Holm's correction [1]_ of p values for their number; nan stay nan and are not counted.

    References
    ----------
    .. [1] S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
       Journal of Statistics 6(2), 1979.

    Examples
    --------
    >>> holm(np.array([0.01, np.nan, 0.04]))
    array([0.02,  nan, 0.04])
    """
    corrected = np.full(len(p), np.nan)
    there = ~np.isnan(p)
    if there.any():
        from statsmodels.stats.multitest import multipletests  # noqa: PLC0415

        corrected[there] = multipletests(p[there], method="holm")[1]
    return corrected


def _as_values(name: str, values: ArrayLike) -> Values:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"'{name}' must be finite values in one dimension; got {array!r}.")
    return array


def _rounded(differences: Values, a: Values, b: Values) -> Values:
    """Differences in the largest value, without what floats add: equal ones have equal ranks."""
    largest = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return np.round(differences / largest, DIGITS) if largest else differences


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else np.nan


def _wilcoxon(differences: Values) -> tuple[float, float, str]:
    """Statistic, p and, where they are nan, why."""
    nonzero = differences[differences != 0]
    if len(nonzero) < NONZERO_MIN:
        why = (
            f"{len(nonzero)} of {len(differences)} differences are not zero; with fewer than "
            f"{NONZERO_MIN} no p below 0.05 can come out"
        )
        return np.nan, np.nan, why
    result = scipy.stats.wilcoxon(nonzero)
    return float(result.statistic), float(result.pvalue), ""


def _shapiro(differences: Values) -> float:
    """Shapiro-Wilk p; nan for fewer than 3 pairs, more than scipy trusts, or all the same."""
    if not 3 <= len(differences) <= SHAPIRO_MAX or np.ptp(differences) == 0:
        return np.nan
    return float(scipy.stats.shapiro(differences).pvalue)
