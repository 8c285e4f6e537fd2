"""The stage `agree`: measure agreement, and score each rater."""

from __future__ import annotations

import pandas as pd

from crowdqc.findings import Verdict, Where, read_reasons
from crowdqc.formats import read_gold
from crowdqc.judge import judge_raters
from crowdqc.judge.text import shortened
from crowdqc.stages.base import Result, Run
from crowdqc.stages.images import known_images
from crowdqc.stages.settled import load_settled
from crowdqc.stages.shown import load_shown
from crowdqc.stages.study import calibrates, load_matched, policy_of, write_findings
from crowdqc.text import count

RATERS_SHOWN = [
    "rater",
    "n_boxes",
    "agreement",
    "reliability",
    "miss_rate",
    "extra_rate",
    "verdict",
]

REASONS_MAX = 8
"""Raters whose reasons are shown on a terminal; all are in raters.csv."""


def agree(run: Run) -> Result:
    """Measure agreement, and score each rater."""
    from crowdqc.agreement import Resampling, assess_raters
    from crowdqc.fusion import in_force

    config = run.config
    section = config.agree
    gold, bad = read_gold(config, known_images(config))
    result = assess_raters(
        load_matched(run),
        gold=gold,
        calibrate=calibrates(config),
        settled=in_force(load_settled(run)),
        shown=load_shown(config),
        iou=section.iou,
        limits=section.limits,
        resampling=Resampling(n=section.bootstrap, level=section.level, seed=config.study.seed),
    )
    findings = write_findings(run, "agree", [*bad, *result.findings])
    raters = judge_raters(result.raters, findings, policy_of(config))
    run.store.write("measurements", result.measurements)
    run.store.write("raters", raters)
    return Result(
        table=raters,
        shown=raters[RATERS_SHOWN],
        summary=_summary(raters),
        files=["measurements.csv", "raters.csv", "agree.findings.jsonl"],
        findings=findings,
    )


def _summary(raters: pd.DataFrame) -> str:
    """How many raters are rejected, and why each of those who are not accepted is not."""
    n = int((raters["verdict"] == Verdict.REJECT.value).sum())
    lines = [
        f"  {row.rater}: {row.verdict}; {_why(row.rater, row.reasons)}"
        for verdict in (Verdict.REJECT, Verdict.REVIEW)
        for row in raters[raters["verdict"] == verdict.value].itertuples()
    ]
    more = [f"  and {len(lines) - REASONS_MAX} more"] if len(lines) > REASONS_MAX else []
    head = f"{n:,} of {count(len(raters), 'rater')} rejected."
    return "\n".join([head, *lines[:REASONS_MAX], *more])


def _why(rater: str, cell: str) -> str:
    """The reasons in a few words: named faults first, which say what to do about it."""
    reasons = sorted(read_reasons(cell), key=lambda reason: reason.op is not None)
    return shortened(reasons, Where(rater=rater))
