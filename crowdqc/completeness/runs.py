"""Runs: for each case, label and rater, which slices were drawn and which should have been.

A *run* is the boxed slices of one label of one case by one rater. Slices strictly between its
first and its last without a box are gaps; of a label of which there may be several, only
those between two boxes of one thing. How much should be there is known from the other raters,
where there are any, else by the other cases. A *unit* is what one pass through a case drew: a
rater's runs where several raters drew the same label, else all runs of the case.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.completeness.asked import dealt_slices, who_was_asked
from crowdqc.schema import BOX, ORGAN, RUN, Study, natural_order

SHOWN = "shown"
"""Source of a box that its rater did not draw, but was shown as done."""
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
        ``slice``, the hull of the boxes, ``n_boxes`` that the rater drew: 0 of a box that was shown
        as done.
    owed : DataFrame, optional
        ``case, slice, rater`` of what was assigned.
    """

    study: Study
    table: pd.DataFrame
    drawn: pd.DataFrame
    owed: pd.DataFrame | None = None

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
        if self.unit == "slices":
            volumes["spacing_z"] = 1.0
        return volumes.reindex(self.table["case"]).reset_index(drop=True)

    @cached_property
    def unit(self) -> str:
        """Unit of lengths along the slices: ``mm``, or ``slices`` where any distance is unknown."""
        return "mm" if self.study.images["spacing_z"].notna().all() else "slices"

    @cached_property
    def dealt(self) -> Bools:
        """Whether the rater of a run was dealt single slices of the case, shape (R,)."""
        return (
            dealt_slices(self.study, self.owed)
            .reindex(pd.MultiIndex.from_frame(self.table[["case", "rater"]]), fill_value=False)
            .to_numpy(bool)
        )

    @cached_property
    def read(self) -> pd.DataFrame:
        """``run, slice``: what was read of the runs whose raters were dealt single slices."""
        return self._dealt_of(self.study.readings)

    @cached_property
    def given(self) -> pd.DataFrame:
        """As `read`: what was given to them, by the assignments where there are some."""
        readings = self.study.readings
        if self.owed is None:
            return self.read
        others = readings[~readings["rater"].isin(self.owed["rater"].unique())]
        keys = ["case", "slice", "rater"]
        return self._dealt_of(pd.concat([others[keys], self.owed[keys]]))

    def _dealt_of(self, slices: pd.DataFrame) -> pd.DataFrame:
        mine = self.table.loc[self.dealt, ["case", "rater"]].reset_index(names="run")
        return mine.merge(slices, on=["case", "rater"])[["run", "slice"]]

    def was_given(self, run: Ints, slices: Ints) -> Bools:
        """Whether the rater of each run was given that slice; of a whole case, all are."""
        known = pd.MultiIndex.from_frame(self.given)
        inside = pd.MultiIndex.from_arrays([run, slices]).isin(known)
        given: Bools = ~self.dealt[run] | inside
        return given

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
    def length(self) -> Floats:
        """From the first to the last slice in `unit`, both included; nan without a box."""
        n = self.table["last"] - self.table["first"] + 1
        return (n * self.volumes["spacing_z"]).to_numpy(dtype=np.float64)


def find_runs(study: Study, owed: pd.DataFrame | None = None) -> Runs:
    """The runs of a study.

    Parameters
    ----------
    study : Study
        All that was read.
    owed : DataFrame, optional
        What was assigned; `None` without assignments.
    """
    drawn = _hulls(study.boxes)
    slices = drawn.groupby(RUN)["slice"]
    extent = {"n_slices": slices.size(), "first": slices.min(), "last": slices.max()}
    table = who_was_asked(study, owed).join(pd.DataFrame(extent)).reset_index()
    table["n_slices"] = table["n_slices"].fillna(0).astype(np.int64)
    table = _in_order(table, study).reset_index(drop=True)
    place = pd.MultiIndex.from_frame(table[RUN]).get_indexer(pd.MultiIndex.from_frame(drawn[RUN]))
    drawn = drawn.assign(run=place).sort_values(["run", "slice"], ignore_index=True)
    return Runs(study, table, drawn, owed)


def _hulls(boxes: pd.DataFrame) -> pd.DataFrame:
    """One row per run and slice: the hull of its boxes, and how many they are."""
    key = [*RUN, "slice"]
    several = boxes.duplicated(key, keep=False)
    boxes = boxes.assign(n_boxes=(boxes["source"] != SHOWN).astype(np.int64))
    once = boxes.loc[~several, [*key, *BOX, "n_boxes"]]
    if not several.any():
        return once
    groups = boxes[several].groupby(key)
    hulls = groups.agg({**_HULL, "n_boxes": "sum"}).reset_index()
    return pd.concat([once, hulls], ignore_index=True)


def _in_order(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    ranks = {
        "case": natural_order(table["case"].unique()),
        "label": list(study.labels),
        "rater": natural_order(table["rater"].unique()),
    }
    codes = [pd.Categorical(table[key], categories=order).codes for key, order in ranks.items()]
    return table.iloc[np.lexsort(codes[::-1])]
