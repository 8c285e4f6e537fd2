"""What a run should hold: by the other raters of the case, else by the other cases."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.arrays import Floats
from crowdqc.completeness.extent import expected_ends, reference_ends, spread_of_ends
from crowdqc.completeness.runs import Runs
from crowdqc.schema import ORGAN


def expected_by_raters(runs: Runs) -> pd.DataFrame:
    """What the other raters drew, for each run.

    Returns
    -------
    DataFrame
        For each run ``n_others`` who drew the label in the case, or were dealt slices of it that
        show it; ``n_expected`` slices that more than half of the others drew who read them, of
        those ``n_hit`` by this run, ``expected_first``, ``expected_last``.
    """
    table = runs.table[[*ORGAN, "n_slices"]].reset_index(names="run")
    organ = [table[key] for key in ORGAN]
    drawers = (table["n_slices"] > 0) & ~runs.dealt
    readers = ((runs.table["n_read"] > 0) | drawers) & ~runs.dealt
    n_drawers, n_readers = (of.groupby(organ).transform("sum") - of for of in (drawers, readers))
    drawn = runs.drawn[["run", "slice"]].merge(table[["run", *ORGAN]], on="run")
    votes = drawn.groupby([*ORGAN, "slice"]).size().rename("votes").reset_index()
    dealt = runs.read.merge(table[["run", *ORGAN]], on="run")
    votes = votes.merge(
        dealt.groupby([*ORGAN, "slice"]).size().rename("dealt").reset_index(), "left"
    )
    every = table.assign(n_readers=n_readers).merge(votes, on=ORGAN)
    run, slices = (every[name].to_numpy(np.int64) for name in ("run", "slice"))
    every = every[runs.was_given(run, slices)]
    every = every.merge(drawn[["run", "slice"]].assign(own=1), on=["run", "slice"], how="left")
    own = every["own"].fillna(0)
    also = every["dealt"].fillna(0) - runs.dealt[every["run"]]
    wanted = every["votes"] - own > (every["n_readers"] + also) / 2
    also = also.groupby(every["run"]).max().reindex(table.index).fillna(0)
    n_others = (n_drawers + also).astype(np.int64)
    ends = every[wanted].groupby("run")["slice"]
    expected = pd.DataFrame(
        {
            "n_expected": wanted.groupby(every["run"]).sum(),
            "n_hit": (wanted & (own > 0)).groupby(every["run"]).sum(),
            "expected_first": ends.min(),
            "expected_last": ends.max(),
        }
    ).reindex(table.index)
    counts = ["n_expected", "n_hit"]
    expected[counts] = expected[counts].fillna(0).astype(np.int64)
    return expected.assign(n_others=n_others)


def expected_by_cases(runs: Runs) -> pd.DataFrame:
    """Where the other cases say that each run begins and ends.

    Returns
    -------
    DataFrame
        ``low``, ``high`` in slices, cut to the volume, nan where the other cases cannot say, as
        they cannot of things that may lie anywhere;
        ``spread``, the robust standard deviation of such ends, in slices; ``length``, the
        median over the other cases, in the unit of the runs.
    """
    case, label, _ = runs.codes
    thickness = runs.volumes["spacing_z"].to_numpy(dtype=np.float64)
    size = (int(case.max(initial=-1)) + 1, len(runs.study.labels))
    ends = np.full((*size, 2), np.nan)
    organs = ~runs.of_things & ~runs.dealt
    for end, name in enumerate(("first", "last")):
        heights = ((runs.table[name] + end) * thickness)[organs]
        for place, value in heights.groupby([case[organs], label[organs]]).median().items():
            ends[(*place, end)] = value
    shared = np.flatnonzero(np.isfinite(ends[..., 0]).sum(axis=0) > 1)
    references = reference_ends(ends[:, shared])
    found = np.full(ends.shape, np.nan)
    found[:, shared] = expected_ends(references)
    own = found[case, label] / thickness[:, None]
    low = np.maximum(np.rint(own[:, 0]), runs.volumes["min"])
    high = np.minimum(np.rint(own[:, 1]) - 1, runs.volumes["max"])
    known = (low <= high) & ~runs.dealt
    return pd.DataFrame(
        {
            "low": np.where(known, low, np.nan),
            "high": np.where(known, high, np.nan),
            "spread": spread_of_ends(ends[:, shared], references) / thickness,
            "length": np.where(runs.dealt, np.nan, usual_lengths(ends)[case, label]),
        }
    )


def usual_lengths(ends: Floats, enough: int = 3) -> Floats:
    """Median length of each label over the other cases.

    Parameters
    ----------
    ends : ndarray, shape (N, L, 2)
        First and last end of L labels in N cases; nan where a case has none.
    enough : int
        Least number of other cases.

    Returns
    -------
    ndarray, shape (N, L)
        In the unit of `ends`; nan where fewer than `enough` others have the label.
    """
    lengths = ends[..., 1] - ends[..., 0]
    result = np.full(lengths.shape, np.nan)
    for label in range(lengths.shape[1]):
        finite = np.isfinite(lengths[:, label])
        values = np.sort(lengths[finite, label])
        n = len(values)
        if n == 0:
            continue
        own = np.searchsorted(values, lengths[:, label])
        left = n - finite
        # The median of the others: one's own value is stepped over.
        low, high = (left - 1) // 2, left // 2
        low, high = (at + (finite & (at >= own)) for at in (low, high))
        median = (values[np.clip(low, 0, n - 1)] + values[np.clip(high, 0, n - 1)]) / 2
        result[:, label] = np.where(left >= enough, median, np.nan)
    return result
