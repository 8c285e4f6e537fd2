"""Fused boxes as reviewers settled them: nothing of the raters or of the model moves these."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from crowdqc.crowd import object_rows
from crowdqc.decisions.standing import BOX_COLUMNS, SETTLED
from crowdqc.fusion.methods import Fused
from crowdqc.matching import Matched
from crowdqc.schema import BOX, INTERPOLATED, PLACE, SPREAD, stands_in

REVIEW = "review"
"""Mark of a settled row in the column ``method``."""


def in_force(settled: pd.DataFrame | None) -> pd.DataFrame:
    """The rows of `crowdqc.decisions.settled_boxes` that count; none of `None`."""
    if settled is None:
        return pd.DataFrame(columns=BOX_COLUMNS)
    return settled[settled["state"] == SETTLED].reset_index(drop=True)


def obeying(fused: Fused, matched: Matched, settled: pd.DataFrame) -> Fused:
    """Fused boxes with those, and the existence, of settled objects.

    Parameters
    ----------
    fused : Fused
        Of all objects of the study.
    matched : Matched
        A study whose boxes are joined to objects.
    settled : DataFrame
        One row for each object that was decided on; may be empty.
    """
    if not len(settled):
        return fused
    rows, real = object_rows(matched, settled), settled["real"].to_numpy(bool)
    drawn, boxed = rows >= 0, rows[(rows >= 0) & real]
    box, spread, score = fused.box.copy(), fused.spread.copy(), fused.score.copy()
    box[boxed] = settled.loc[drawn & real, BOX].to_numpy(np.float64)
    spread[boxed] = settled.loc[drawn & real, SPREAD].to_numpy(np.float64)
    score[rows[drawn]] = real[drawn]
    error, wrong = (None if of is None else of.copy() for of in (fused.error, fused.wrong))
    for doubt in (error, wrong):
        if doubt is not None:
            doubt[rows[drawn]] = 1.0 - real[drawn]
    return dataclasses.replace(fused, box=box, spread=spread, score=score, error=error, wrong=wrong)


def with_decided(frame: pd.DataFrame, matched: Matched, settled: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``consensus`` with the state that reviewers gave them, and objects they added.

    Parameters
    ----------
    frame : DataFrame
        Rows of ``consensus``, in the order of the objects.
    matched : Matched
        As of `obeying`.
    settled : DataFrame
        As of `obeying`.
    """
    if not len(settled):
        return frame
    rows, real = object_rows(matched, settled), settled["real"].to_numpy(bool)
    state = np.where(real, "agreed", "no_consensus")
    score = frame["score"].to_numpy(copy=True)
    score[rows[rows >= 0]] = real[rows >= 0]
    decided = frame.assign(score=score)
    decided.loc[decided.index[rows[rows >= 0]], "state"] = state[rows >= 0]
    decided.loc[decided.index[rows[rows >= 0]], "method"] = REVIEW
    decided.loc[decided.index[rows[rows >= 0]], ["worth", "depends"]] = 0.0
    added = settled.loc[(rows < 0) & real, [*PLACE, *BOX, *SPREAD]]
    if not len(added):
        return decided
    added = added.assign(support=0, raters="", score=1.0, method=REVIEW, state="agreed")
    asked = matched.asked.groupby(PLACE)["person"].nunique()
    asked = asked.reindex(pd.MultiIndex.from_frame(added[PLACE]), fill_value=0)
    sure = dict.fromkeys(("expected_error", "wrong", "worth", "depends"), 0.0)
    added = added.assign(n_raters=asked.to_numpy(), **sure)
    return pd.concat([decided, added], ignore_index=True)


def without_refused(consensus: pd.DataFrame, settled: pd.DataFrame) -> pd.DataFrame:
    """Without boxes interpolated where a reviewer found nothing.

    Parameters
    ----------
    consensus : DataFrame
        With interpolated rows.
    settled : DataFrame
        As of `obeying`.
    """
    real = settled["real"].to_numpy(bool)
    nothing = stands_in(settled[~real], consensus, PLACE)
    kept = ~(nothing & (consensus["method"] == INTERPOLATED).to_numpy())
    return consensus[kept].reset_index(drop=True)
