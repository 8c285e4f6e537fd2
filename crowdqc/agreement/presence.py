"""Agreement on whether a label is on a slice: alpha, AC1, Fleiss and, of pairs of raters, Cohen.

Units are places: a slice and a label, for which two raters or more were asked. Every measure is
a function of sums over places (`crowdqc.agreement.pool`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.alpha import nominal_alpha, nominal_sums
from crowdqc.agreement.boxes import DrawnBoxes
from crowdqc.agreement.pool import Places, Summands, pool, undefined
from crowdqc.arrays import Floats, Ints, pairs_within

SAME = "all raters always gave the same answer"
UNEQUAL = "slices were read by different numbers of raters"


def presence(drawn: DrawnBoxes, keys: list[str], places: Places) -> pd.DataFrame:
    """Alpha, AC1 and Fleiss' kappa of each group of some keys with a place of two raters.

    Parameters
    ----------
    drawn : DrawnBoxes
        What was asked where, and what was drawn.
    keys : list of str
        As of `crowdqc.agreement.pool.pool`.
    places : Places
        Clusters and resamples.

    Returns
    -------
    DataFrame
        nan, and why, where all gave the same answer; Fleiss also where numbers of raters differ.
    """
    totals, same = nominal_sums(
        drawn.asked_place, _there(drawn), n_units=len(places.case), n_values=2
    )
    m = totals.sum(axis=1)
    place = np.flatnonzero(m)
    totals, same, m = totals[place], same[place], m[place]
    agreed = (same / m, totals[:, 0] / m, totals[:, 1] / m, np.ones(len(place)))
    alpha, ac1, fleiss = (
        pool(Summands(place, parts, statistic=statistic), keys, places, measure=name)
        for name, parts, statistic in (
            ("alpha_presence", (totals[:, 0], totals[:, 1], same), _alpha),
            ("ac1_presence", agreed, _gwet),
            ("fleiss_presence", (*agreed, m, m * m), _fleiss),
        )
    )
    alpha["why"] = np.where(alpha["value"].isna(), SAME, "")
    fleiss["why"] = np.where(alpha["value"].isna(), SAME, UNEQUAL)
    fleiss.loc[fleiss["value"].notna(), "why"] = ""
    fleiss.loc[fleiss["value"].isna(), ["low", "high"]] = np.nan
    return pd.concat([alpha, ac1, fleiss], ignore_index=True)


def presence_of_all(drawn: DrawnBoxes, keys: list[str], places: Places) -> pd.DataFrame:
    """As `presence`, with rows that say why for the groups that have no such place.

    Parameters
    ----------
    drawn : DrawnBoxes
        As of `presence`.
    keys : list of str
        As of `presence`.
    places : Places
        As of `presence`.
    """
    rows = presence(drawn, keys, places)
    every = [undefined(name, keys, places) for name in _MEASURES]
    names = ["measure", *keys]
    return pd.concat([rows, *every], ignore_index=True).drop_duplicates(names)


def pair_kappas(drawn: DrawnBoxes, places: Places) -> pd.DataFrame:
    """Cohen's kappa of each two raters who were asked for the same places.

    Parameters
    ----------
    drawn : DrawnBoxes
        What was asked where, and what was drawn.
    places : Places
        Clusters and resamples.

    Returns
    -------
    DataFrame
        nan, and why, for a pair who always gave the same answer.
    """
    place, rater, there = drawn.asked_place, drawn.asked_rater, _there(drawn)
    a, b = pairs_within(place)
    later = rater[a] > rater[b]
    a, b = np.where(later, b, a), np.where(later, a, b)
    yes, too = there[a] == 1, there[b] == 1
    parts = tuple(x.astype(np.float64) for x in (yes & too, yes & ~too, ~yes & too, ~yes & ~too))
    codes = {"rater": rater[a], "other": rater[b]}
    summands = Summands(place[a], parts, codes, statistic=_cohen)
    rows = pool(summands, ["rater", "other"], places, measure="pair_kappa")
    return rows.assign(
        why=np.where(rows["value"].isna(), "both raters always gave the same answer", "")
    )


def _there(drawn: DrawnBoxes) -> Ints:
    """Whether the rater drew on the place, 0 or 1, for each question."""
    boxes = drawn.place[drawn.object] * drawn.n_raters + drawn.rater
    asked = drawn.asked_place * drawn.n_raters + drawn.asked_rater
    return np.isin(asked, boxes).astype(np.int64)


_MEASURES = ("alpha_presence", "ac1_presence", "fleiss_presence")


def _alpha(absent: Floats, present: Floats, same: Floats) -> Floats:
    return nominal_alpha(np.stack([absent, present], axis=-1), same)


def _gwet(*sums: Floats) -> Floats:
    agree, absent, present, n = sums
    return _corrected(agree, 2 * absent * present / np.maximum(n, 1), n)


def _fleiss(*sums: Floats) -> Floats:
    """Fleiss' kappa; nan where not all places have as many raters."""
    agree, absent, present, n, m, squares = sums
    kappa = _corrected(agree, (absent**2 + present**2) / np.maximum(n, 1), n)
    return np.where(n * squares - m**2 > 0.5, np.nan, kappa)


def _cohen(*sums: Floats) -> Floats:
    """Cohen's kappa of a table of two by two; nan where both gave one value throughout."""
    both, first, second, neither = sums
    n = both + first + second + neither
    present = (both + first) * (both + second)
    absent = (neither + first) * (neither + second)
    return _corrected(both + neither, (present + absent) / np.maximum(n, 1), n)


def _corrected(agree: Floats, chance: Floats, n: Floats) -> Floats:
    """(agreement - chance) / (n - chance), nan where chance alone is certain to agree."""
    top, bottom = agree - chance, n - chance
    corrected: Floats = np.divide(
        top, bottom, out=np.full(np.shape(n), np.nan), where=bottom > 1e-9 * np.maximum(n, 1)
    )
    return corrected
