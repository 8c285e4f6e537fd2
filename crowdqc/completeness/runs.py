"""Runs: for each case, label and rater, which slices were drawn and which should have been.

A *run* is the boxed slices of one label of one case by one rater. Slices strictly between its
first and its last without a box are gaps; of a label of which there may be several, only
those between two boxes of one thing. How much should be there is said by the other raters,
where there are any, else by the other cases. A *unit* is what one pass through a case drew: a
rater's runs where several raters drew the same label, else all runs of the case.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.completeness.extent import expected_ends, reference_ends, spread_of_ends
from crowdqc.schema import BOX, ReadingState, Study, natural_order

RUN = ["case", "label", "rater"]
ORGAN = ["case", "label"]
_HULL = {"x0": "min", "y0": "min", "x1": "max", "y1": "max"}


@dataclass(frozen=True)
class Runs:
    """Every run that was asked for, and what was drawn of it.

    Parameters
    ----------
    study : Study
    table : DataFrame
        One row per run, in the order of the study: ``case, label, rater``, ``n_asked`` slices,
        of them ``n_read``, ``n_slices`` with a box, ``first``, ``last``.
    drawn : DataFrame
        One row per boxed slice of a run, ordered by run and slice: ``run`` (row of `table`),
        ``slice``, the hull of the boxes, ``n_boxes``.
    """

    study: Study
    table: pd.DataFrame
    drawn: pd.DataFrame

    @cached_property
    def starts(self) -> Ints:
        """Row of `drawn` where each run begins, and their number: shape (R + 1,)."""
        return np.searchsorted(self.drawn["run"].to_numpy(), np.arange(len(self.table) + 1))

    @cached_property
    def codes(self) -> tuple[Ints, Ints, Ints]:
        """Number of the case, of the label (as in the study) and of the unit of each run."""
        case = pd.factorize(self.table["case"])[0]
        label = pd.Index(self.study.labels).get_indexer(self.table["label"])
        several = self.table["n_slices"] > 0
        per_label = several.groupby([self.table[key] for key in ORGAN]).transform("sum")
        shared = (per_label > 1).groupby(case).transform("max")
        slot = np.where(shared, self.table["rater"], "")
        unit = pd.factorize(pd.MultiIndex.from_arrays([case, slot]))[0]
        return case.astype(np.int64), label.astype(np.int64), unit.astype(np.int64)

    @cached_property
    def volumes(self) -> pd.DataFrame:
        """First and last slice, spacing in mm and size in px of the case of each run."""
        images = self.study.images.groupby("case")
        volumes = images["slice"].agg(["min", "max"])
        volumes = volumes.join(images[["spacing_x", "spacing_y", "spacing_z", "width"]].first())
        return volumes.reindex(self.table["case"]).reset_index(drop=True)

    @cached_property
    def at_edge(self) -> Bools:
        """Whether a run reaches the first, and the last slice of the volume: shape (R, 2)."""
        table, volumes = self.table, self.volumes
        return np.column_stack([table["first"] <= volumes["min"], table["last"] >= volumes["max"]])

    @cached_property
    def of_things(self) -> Bools:
        """Whether a run is of a label of which there may be several, none of them an organ."""
        things: Bools = (~self.table["label"].isin(self.study.single)).to_numpy()
        return things

    @cached_property
    def length_mm(self) -> Floats:
        """From the first to the last slice, both included; nan where nothing was drawn."""
        n = self.table["last"] - self.table["first"] + 1
        return (n * self.volumes["spacing_z"]).to_numpy(dtype=np.float64)


def find_runs(study: Study) -> Runs:
    """The runs of a study."""
    drawn = _hulls(study.boxes)
    slices = drawn.groupby(RUN)["slice"]
    extent = {"n_slices": slices.size(), "first": slices.min(), "last": slices.max()}
    table = _asked(study).join(pd.DataFrame(extent)).reset_index()
    table["n_slices"] = table["n_slices"].fillna(0).astype(np.int64)
    table = _in_order(table, study).reset_index(drop=True)
    place = pd.MultiIndex.from_frame(table[RUN]).get_indexer(pd.MultiIndex.from_frame(drawn[RUN]))
    drawn = drawn.assign(run=place).sort_values(["run", "slice"], ignore_index=True)
    return Runs(study, table, drawn)


def _hulls(boxes: pd.DataFrame) -> pd.DataFrame:
    """One row per run and slice: the hull of its boxes, and how many they are."""
    key = [*RUN, "slice"]
    several = boxes.duplicated(key, keep=False)
    once = boxes.loc[~several, [*key, *BOX]].assign(n_boxes=1)
    if not several.any():
        return once
    groups = boxes[several].groupby(key)
    hulls = groups.agg(_HULL).assign(n_boxes=groups.size()).reset_index()
    return pd.concat([once, hulls], ignore_index=True)


def _asked(study: Study) -> pd.DataFrame:
    """Slices that each rater was asked for, and how many of them were read."""
    asked = study.asked()
    read = asked["state"] != ReadingState.OPENED.value
    groups = read.groupby([asked[key] for key in RUN])
    return pd.DataFrame({"n_asked": groups.size(), "n_read": groups.sum()})


def _in_order(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    ranks = {
        "case": natural_order(table["case"].unique()),
        "label": list(study.labels),
        "rater": natural_order(table["rater"].unique()),
    }
    codes = [pd.Categorical(table[key], categories=order).codes for key, order in ranks.items()]
    return table.iloc[np.lexsort(codes[::-1])]


def expected_by_raters(runs: Runs) -> pd.DataFrame:
    """What the other raters drew, for each run.

    Returns
    -------
    DataFrame
        For each run ``n_others`` who drew the label in the case, ``n_expected`` slices that at
        more than half of them drew, of those ``n_hit`` by this run, ``expected_first``,
        ``expected_last``.
    """
    table = runs.table[[*ORGAN, "n_slices"]].reset_index(names="run")
    raters = (table["n_slices"] > 0).groupby([table[key] for key in ORGAN]).transform("sum")
    n_others = raters - (table["n_slices"] > 0)
    drawn = runs.drawn[["run", "slice"]].merge(table[["run", *ORGAN]], on="run")
    votes = drawn.groupby([*ORGAN, "slice"]).size().rename("votes").reset_index()
    every = table.assign(n_others=n_others)[n_others > 0].merge(votes, on=ORGAN)
    every = every.merge(drawn[["run", "slice"]].assign(own=1), on=["run", "slice"], how="left")
    own = every["own"].fillna(0)
    wanted = every["votes"] - own > every["n_others"] / 2
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
        ``spread``, the robust standard deviation of such ends, in slices; ``length`` in mm, the
        median over the other cases.
    """
    case, label, _ = runs.codes
    thickness = runs.volumes["spacing_z"].to_numpy(dtype=np.float64)
    size = (int(case.max(initial=-1)) + 1, len(runs.study.labels))
    ends = np.full((*size, 2), np.nan)
    organs = ~runs.of_things
    for end, name in enumerate(("first", "last")):
        heights = ((runs.table[name] + end) * thickness)[organs]
        for place, value in heights.groupby([case[organs], label[organs]]).median().items():
            ends[(*place, end)] = value
    references = reference_ends(ends)
    found = expected_ends(references)[case, label] / thickness[:, None]
    low = np.maximum(np.rint(found[:, 0]), runs.volumes["min"])
    high = np.minimum(np.rint(found[:, 1]) - 1, runs.volumes["max"])
    known = low <= high
    return pd.DataFrame(
        {
            "low": np.where(known, low, np.nan),
            "high": np.where(known, high, np.nan),
            "spread": spread_of_ends(ends, references) / thickness,
            "length": usual_lengths(ends)[case, label],
        }
    )


def usual_lengths(ends: Floats, enough: int = 3) -> Floats:
    """Median length of each label over the other cases; nan where fewer than `enough` have it."""
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
