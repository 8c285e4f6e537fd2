"""Planning a study from the raters of this one, or of a pilot; no stage of the pipeline."""

from __future__ import annotations

import numpy as np

from crowdqc.fusion import ConsensusRule
from crowdqc.plan import estimate_components, plan_raters, plan_slices, raters_needed
from crowdqc.stages.base import Result, Run
from crowdqc.stages.pipeline import PIPELINE
from crowdqc.stages.study import load_matched
from crowdqc.text import count

CURVE = 24
"""Length of the longest bar of the curve, in characters."""


def plan_study(run: Run, *, iou: float, largest: int, slices: bool) -> Result:
    """What consensus of 1, 2, ... raters is worth, or how many slices a rater must read.

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
        shown=table.assign(curve=curve),
        summary=f"A mean IoU of {iou:g} with the truth needs {found} per slice.",
        files=["plan.csv"],
    )
