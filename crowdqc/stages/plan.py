"""Planning a study from the raters of this one, or of a pilot; no stage of the pipeline."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.findings import InputError
from crowdqc.fusion import ConsensusRule, budget
from crowdqc.plan import UNKNOWN, estimate_components, plan_raters, plan_slices, raters_needed
from crowdqc.stages.base import Result, Run
from crowdqc.stages.pipeline import PIPELINE
from crowdqc.stages.shown import load_shown
from crowdqc.stages.study import load_matched
from crowdqc.text import count

CURVE = 24
"""Length of the longest bar of the curve, in characters."""
WORTH = 0.01
"""Fall of the sum of expected errors, by a box, below which the curve of a budget is flat."""
UNSURE = 0.1
"""Width of the interval of what is found from which an expert is needed to know it."""
SHOWN = ["n_raters", "iou", "found", "found_low", "found_high", "score", "gain"]
"""Columns of a plan that a terminal shows."""
POINTS = 12
"""Points of the curve of a budget that a terminal shows."""


def plan_study(run: Run, *, iou: float, largest: int, slices: bool) -> Result:
    """What consensus of 1, 2, ... raters is worth, or how many slices a rater must read.

    Parameters
    ----------
    run : Run
        An opened study.
    iou : float
        Wanted IoU with the truth, 0 to 1.
    largest : int
        Most raters that are looked at.
    slices : bool
        Ask for slices instead of raters.

    Raises
    ------
    InputError
        If no object was drawn by two raters.
    """
    PIPELINE.ensure("check", run)
    components = estimate_components(load_matched(run))
    if slices:
        table = plan_slices(components, level=run.config.agree.level)
        text = "Cases and slices that a rater must read for an interval of each width."
        return Result(table=table, shown=table, summary=text)
    section = run.config.fuse
    table = plan_raters(
        components,
        rng=np.random.default_rng(run.config.study.seed),
        largest=largest,
        method=section.method,
        rule=ConsensusRule(section.quorum, section.min_raters, section.probability),
    )
    run.store.write("plan", table)
    needed = raters_needed(table, iou)
    curve = ["#" * round(CURVE * value) for value in table["iou"].fillna(0.0)]
    found = count(needed, "rater") if needed else f"more than {count(largest, 'rater')}"
    return Result(
        table=table,
        shown=table[SHOWN].assign(curve=curve),
        summary=f"A mean IoU of {iou:g} with the truth needs {found} per slice. "
        f"{_condition(table, needed or largest)}",
        files=["plan.csv"],
    )


def plan_budget(run: Run, *, boxes: int, error: float) -> Result:
    """What a number of further boxes is best spent on, and what the study gains by it.

    Parameters
    ----------
    run : Run
        An opened study.
    boxes : int
        Most boxes that are asked for.
    error : float
        Wanted mean error, 1 - IoU.

    Raises
    ------
    InputError
        If no object was drawn by two raters.
    """
    PIPELINE.ensure("check", run)
    table = budget(load_matched(run), most=boxes, shown=load_shown(run.config))
    if not table["expected_error"].notna().all():
        raise InputError(f"{run.config.file}: {UNKNOWN}")
    run.store.write("budget", table)
    points = np.searchsorted(table["n_boxes"], np.linspace(0, table["n_boxes"].iloc[-1], POINTS))
    shown = table.iloc[np.unique(points)][["n_boxes", "expected_error", "gain"]]
    bars = ["#" * round(CURVE * value) for value in shown["expected_error"]]
    return Result(
        table=table,
        shown=shown.round({"n_boxes": 0}).assign(curve=bars),
        summary=f"{_flat(table)} {_reached(table, error)} What to ask for: budget.csv.",
        files=["budget.csv"],
    )


def _condition(table: pd.DataFrame, n_raters: int) -> str:
    """How far the foretold `found` is known for a number of raters, as sentences."""
    low, high = table.set_index("n_raters").loc[n_raters, ["found_low", "found_high"]]
    known = (
        f"With {count(n_raters, 'rater')} {low:.0%} to {high:.0%} of what is there will be found: "
        "objects that nobody sees are in no box."
    )
    if high - low <= UNSURE:
        return known
    return (
        f"{known} Whether what few raters drew is hard to see or is nothing, the boxes do not tell "
        "here. An expert's reading of a few slices does."
    )


def _flat(table: pd.DataFrame) -> str:
    """Where the curve flattens, as a sentence."""
    worth = table[table["gain"].fillna(np.inf) >= WORTH]
    now, then = table["expected_error"].iloc[0], worth["expected_error"].iloc[-1]
    spent = count(round(worth["n_boxes"].iloc[-1]), "box")
    rest = "a further one" if len(worth) < len(table) else "each of them"
    less = "less" if len(worth) < len(table) else "more"
    return (
        f"The expected error (1 - IoU) of an object is {now:.3f}; {spent} more bring it to "
        f"{then:.3f}, and {rest} lowers the sum by {WORTH:g} or {less}."
    )


def _reached(table: pd.DataFrame, error: float) -> str:
    """How many boxes the wanted error needs, as a sentence."""
    reached = table.loc[table["expected_error"] <= error, "n_boxes"]
    if not len(reached):
        return f"They do not bring it to {error:g}."
    return f"{error:g} needs {count(round(reached.iloc[0]), 'box')}."
