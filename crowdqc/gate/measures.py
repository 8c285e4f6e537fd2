"""The numbers that a policy may ask about: one table for each scope, from the stages' tables."""

from __future__ import annotations

import pandas as pd

USABLE = ["agreed", "single"]
"""States of a fused box that may be used."""
_ORGAN = ["case", "label"]


def rater_measures(raters: pd.DataFrame, completeness: pd.DataFrame) -> pd.DataFrame:
    """Measures of each rater, indexed by rater.

    Every number of the table ``raters``, and ``coverage``: the mean share of the expected
    slices over the runs of the rater; nan where nothing was expected of anyone.
    """
    numbers = raters.set_index("rater").select_dtypes("number")
    coverage = completeness.groupby("rater")["coverage"].mean()
    return numbers.assign(coverage=coverage.reindex(numbers.index))


def label_measures(consensus: pd.DataFrame, completeness: pd.DataFrame) -> pd.DataFrame:
    """Measures of each label of each case that was asked for, indexed by case and label.

    ``n_slices`` with a usable box, ``n_gaps`` between the first and the last of them without
    one, ``gap_share`` of that range (0 without a box), ``agreed_share`` of the drawn objects
    that is usable (nan where nothing was drawn).
    """
    index = pd.MultiIndex.from_frame(completeness[_ORGAN].drop_duplicates())
    usable = consensus[consensus["state"].isin(USABLE)]
    slices = usable.drop_duplicates([*_ORGAN, "slice"]).groupby(_ORGAN)["slice"]
    n_slices = slices.size().reindex(index, fill_value=0)
    extent = (slices.max() - slices.min() + 1).reindex(index, fill_value=0)
    drawn = consensus.groupby(_ORGAN).size().reindex(index)
    n_usable = usable.groupby(_ORGAN).size().reindex(index, fill_value=0)
    return pd.DataFrame(
        {
            "n_slices": n_slices,
            "n_gaps": extent - n_slices,
            "gap_share": (extent - n_slices) / extent.clip(lower=1),
            "agreed_share": n_usable / drawn,
        }
    )


def case_measures(labels: pd.DataFrame) -> pd.DataFrame:
    """Measures of each case, indexed by case: sums and means of those of its labels.

    ``n_slices``, ``n_gaps``, ``n_absent`` labels without a usable box.
    """
    groups = labels.groupby("case", sort=False)
    absent = (labels["n_slices"] == 0).groupby("case", sort=False).sum()
    return pd.DataFrame(
        {"n_slices": groups["n_slices"].sum(), "n_gaps": groups["n_gaps"].sum(), "n_absent": absent}
    )
