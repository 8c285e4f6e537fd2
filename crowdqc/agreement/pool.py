"""Measures pooled over parts of a study, with bootstrap intervals: rows of ``measurements``.

Every measure here is a function of sums over items, so a resample of clusters needs no second
look at the items.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.agreement.alpha import alpha_interval, nominal_alpha, summed
from crowdqc.agreement.arrays import number_of_places
from crowdqc.agreement.resample import (
    Resampling,
    Statistic,
    blocks,
    case_weights,
    clusters,
    ratio,
    statistic_interval,
)
from crowdqc.arrays import Floats, Ints, numbered
from crowdqc.matching import Matched
from crowdqc.text import ALONE

EMPTY = "nobody drew anything on the slices that two raters read"
"""Why it is undefined where there is nothing to agree on."""
_CELLS = 2**22


@dataclass(frozen=True)
class Places:
    """Numbers of cases, labels and raters, and the cluster of each place of a study.

    Parameters
    ----------
    names : dict of str to ndarray
        Names behind the numbers, by key column: case, label, rater, other.
    case, plane, label, image, cluster : ndarray of int, shape (P,)
        Of each place that was asked for or holds boxes.
    rater_cluster : ndarray of int, shape (P,)
        Clusters of one rater's items: blocks of slices where a rater has one case only.
    unit : str
        What a cluster is: "cases", or "blocks of 10 slices".
    weights : ndarray, shape (B, C)
        How often each cluster occurs in each resample.
    level : float
        Coverage of intervals.
    together : bool
        Whether any place was asked for by two raters.
    """

    names: dict[str, NDArray[np.object_]]
    case: Ints
    plane: Ints
    label: Ints
    image: Ints
    cluster: Ints
    rater_cluster: Ints
    unit: str
    weights: Floats
    level: float
    together: bool = False

    @property
    def by_case(self) -> bool:
        """Whether clusters are cases: then one case alone has no interval."""
        return self.unit == "cases"

    @property
    def alone(self) -> str:
        """Why agreement is undefined where there is no pair to compare."""
        return EMPTY if self.together else ALONE


def number_places(matched: Matched, resampling: Resampling) -> Places:
    """Places of a matched study as numbers; their clusters, and resamples of these.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.
    resampling : Resampling
        Number of resamples, seed and level.
    """
    cases, labels = matched.study.cases, list(matched.study.labels)
    number = number_of_places(matched)
    case, plane = number.case, number.plane
    cluster, unit = clusters(case, plane)
    people = np.array(matched.people, dtype=object)
    return Places(
        names={
            "case": np.array(cases, dtype=object),
            "label": np.array(labels, dtype=object),
            "rater": people,
            "other": people,
        },
        case=case,
        plane=plane,
        label=number.label,
        image=number.image,
        cluster=cluster,
        rater_cluster=blocks(case, plane) if matched.study.rater_scope == "case" else cluster,
        unit=unit,
        weights=case_weights(
            int(cluster.max(initial=-1)) + 1,
            n_resamples=resampling.n,
            rng=np.random.default_rng(resampling.seed),
        ),
        level=resampling.level,
        together=bool(np.bincount(matched.asked["place"], minlength=1).max() > 1),
    )


@dataclass(frozen=True)
class Summands:
    """What each item adds to the sums of a statistic, and where it belongs.

    `place` is the place of each item; `parts` are its summands, for a ratio those above and
    below the line; `codes` holds the numbers of further keys, by column.
    """

    place: Ints
    parts: tuple[Floats, ...]
    codes: dict[str, Ints] = field(default_factory=dict)
    statistic: Statistic = ratio

    def key(self, name: str, places: Places) -> Ints:
        """Number of each item in a key column."""
        if name in self.codes:
            return self.codes[name]
        of: Ints = getattr(places, name)[self.place]
        return of

    def range(self, unit: str) -> tuple[float, float]:
        """Least and greatest value that there can be."""
        if unit == "1":
            return (0.0 if self.statistic is ratio else -1.0), 1.0
        distances = self.statistic is ratio and all((part >= 0).all() for part in self.parts)
        return (0.0 if distances else -np.inf), np.inf


def pool(
    summands: Summands, keys: list[str], places: Places, *, measure: str, unit: str = "1"
) -> pd.DataFrame:
    """One row for each group of some keys: statistic of the group's sums, n, and its interval.

    Parameters
    ----------
    summands : Summands
        Parts of the statistic at each place.
    keys : list of str
        Some of ``case``, ``label``, ``rater``, ``other``; empty for the whole study.
    places : Places
        Clusters and resamples.
    measure : str
        Name for the column ``measure``.
    unit : str
        ``"1"`` for what ends at 1: intervals are cut there, and those of distances at 0.

    Returns
    -------
    DataFrame
        No row for a group without a summand; no interval in a case where cases are clusters.
    """
    codes = [summands.key(key, places) for key in keys]
    sizes = [len(places.names[key]) for key in keys]
    group = np.zeros(len(summands.place), np.int64)
    for code, size in zip(codes, sizes, strict=True):
        group = group * size + code
    known, of = numbered(group)
    value = summands.statistic(*(np.bincount(of, part, len(known)) for part in summands.parts))
    number: dict[str, Ints] = {}
    for key, size in zip(keys[::-1], sizes[::-1], strict=True):
        number[key] = known % size
        known = known // size
    if "case" in keys and places.by_case:
        low = high = np.full(len(value), np.nan)
    else:
        alike = None
        if "rater" in keys:  # raters are alike, for a label where there are labels
            alike = number.get("label", np.zeros(len(value), np.int64))
        low, high = _intervals(
            summands, of, places, n_groups=len(value), alike=alike, bounded=unit == "1"
        )
        least, most = summands.range(unit)
        low, high = np.clip(low, least, most), np.clip(high, least, most)
    return pd.DataFrame(
        {
            "measure": measure,
            **{key: places.names[key][code] for key, code in number.items()},
            "value": value,
            "low": low,
            "high": high,
            "n": np.bincount(of, minlength=len(value)),
            "unit": unit,
        },
        index=range(len(value)),
    )


def undefined(measure: str, keys: list[str], places: Places) -> pd.DataFrame:
    """Rows for all groups of some keys that say that nobody can be compared.

    Parameters
    ----------
    measure : str
        Name for the column ``measure``.
    keys : list of str
        As of `pool`.
    places : Places
        Say why.
    """
    index = pd.DataFrame(index=[0])
    if keys:
        names = [places.names[key] for key in keys]
        index = pd.MultiIndex.from_product(names, names=keys).to_frame(index=False)
    return index.assign(measure=measure, value=np.nan, n=0, unit="1", why=places.alone)


def _intervals(
    summands: Summands,
    of: Ints,
    places: Places,
    *,
    n_groups: int,
    alike: Ints | None,
    bounded: bool,
) -> tuple[Floats, Floats]:
    """Intervals of groups, a block of groups at a time to bound memory."""
    low, high = np.full(n_groups, np.nan), np.full(n_groups, np.nan)
    n_clusters = places.weights.shape[1]
    if len(places.weights) == 0:
        return low, high
    step = max(1, _CELLS // max(n_clusters, 1))
    order = np.argsort(of, kind="stable")
    cuts = np.searchsorted(of[order], range(0, n_groups + step, step))
    for block in range(len(cuts) - 1):
        rows = order[cuts[block] : cuts[block + 1]]
        first = block * step
        width = min(step, n_groups - first)
        cell = places.cluster[summands.place[rows]] * width + of[rows] - first
        sums = [
            summed(cell, part[rows], n_clusters * width).reshape(n_clusters, width)
            for part in summands.parts
        ]
        columns = slice(first, first + width)
        low[columns], high[columns] = statistic_interval(
            summands.statistic,
            sums,
            places.weights,
            level=places.level,
            alike=None if alike is None else alike[columns],
            bounded=bounded,
        )
    return low, high


def alpha_of(
    totals: Floats, same: Floats, cluster: Ints, *, places: Places
) -> tuple[float, float, float]:
    """Nominal alpha of units, with its interval over clusters.

    Parameters
    ----------
    totals, same : ndarray, shapes (U, V) and (U,)
        As from `nominal_sums`.
    cluster : ndarray of int, shape (U,)
        Cluster of each unit.
    places : Places
        Level; and no resample means that no interval is wanted.

    Returns
    -------
    value, low, high : float
        As of `alpha_interval`; clusters in which no unit has two values are none.
    """
    units = totals.sum(axis=1)
    paired = np.flatnonzero(units > 0)
    present, of = np.unique(cluster[paired], return_inverse=True)
    parts = [summed(of, part[paired], len(present)) for part in (totals, same)]
    sums = [part.sum(axis=0) for part in parts]
    value = float(nominal_alpha(*sums))
    if not len(places.weights) or len(present) < 2:
        return value, np.nan, np.nan
    without = nominal_alpha(*(whole - part for whole, part in zip(sums, parts, strict=True)))
    raters = float(units[paired].mean())
    low, high = alpha_interval(value, without, places.level, raters=raters)
    return value, low, high
