"""Ratios of sums for each rater, with bounds that hold for all raters together.

What errors are measured between are the clusters of `crowdqc.agreement.resample`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from crowdqc.agreement.resample import PRIOR_DF
from crowdqc.arrays import Floats, Ints, numbered


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums for each of R raters, and how far it may be trusted.

    Parameters
    ----------
    value, error : ndarray, shape (R,)
        The ratio and its standard error; nan where its denominator is 0, and the error also
        where no rater of the study has two clusters.
    df : ndarray, shape (R,)
        Degrees of freedom of the error.
    n : ndarray, shape (R,)
        Number of items.
    """

    value: Floats
    error: Floats
    df: Floats
    n: Floats

    def bounds(self, level: float, *, share: int | None = None) -> tuple[Floats, Floats]:
        """Two-sided bounds of coverage `level`, for `share` raters together (None: all)."""
        known = np.isfinite(self.value)
        many = max(int(known.sum()) if share is None else share, 1)
        reach = np.full(self.value.shape, np.nan)
        estimated = known & np.isfinite(self.error) & (self.df > 0)
        reach[estimated] = (
            scipy.stats.t.ppf(1 - (1 - level) / 2 / many, self.df[estimated])
            * self.error[estimated]
        )
        return self.value - reach, self.value + reach


def clustered_ratio(
    top: Floats, bottom: Floats, *, rater: Ints, cluster: Ints, n_raters: int
) -> Ratio:
    """Ratio of the sums of `top` and `bottom` for each rater, with errors between clusters.

    The variance of a rater's clusters, where it has few, is drawn towards that of all raters,
    which counts as `PRIOR_DF` degrees of freedom.

    Parameters
    ----------
    top, bottom : ndarray, shape (K,)
        Summands of each item; `bottom` is not negative, and an item where either is nan is
        left out. A cluster in which all of `bottom` is 0 says nothing.
    rater, cluster : ndarray of int, shape (K,)
        Rater and cluster of each item.
    n_raters : int
        R.

    References
    ----------
    .. [1] W. G. Cochran, "Sampling Techniques", 3rd edition, 1977, equation 6.13.
    .. [2] G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential
       expression", Stat. Appl. Genet. Mol. Biol. 3(1), 2004. :doi:`10.2202/1544-6115.1027`
    """
    good = np.isfinite(top) & np.isfinite(bottom)
    top, bottom, rater, cluster = top[good], bottom[good], rater[good], cluster[good]
    span = int(cluster.max(initial=0)) + 1
    cells, of = numbered(rater * span + cluster)
    above, below = (np.bincount(of, w, len(cells)) for w in (top, bottom))
    counted = below > 0
    who, above, below = (cells // span)[counted], above[counted], below[counted]
    total = np.bincount(who, below, n_raters)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.bincount(who, above, n_raters) / total
        miss = np.bincount(who, (above - value[who] * below) ** 2, n_raters)
        count = np.bincount(who, minlength=n_raters).astype(np.float64)
        df = np.maximum(count - 1, 0)
        own = miss * count / np.maximum(df, 1) / total  # per unit of the denominator
    n_items = np.bincount(rater[bottom > 0], minlength=n_raters).astype(np.float64)
    if not df.any():
        return Ratio(value, np.full(n_raters, np.nan), df, n_items)
    usual = np.nansum(own * df) / df.sum()
    lent = min(PRIOR_DF, df.sum())
    spread = (np.nan_to_num(own) * df + usual * lent) / (df + lent)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(total > 0, np.sqrt(spread / total), np.nan)
    return Ratio(value, error, df + lent, n_items)
