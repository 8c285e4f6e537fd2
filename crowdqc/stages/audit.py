"""The stage `audit`: what an expert should grade, and how many bad masks are left at most."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from crowdqc.audit import Plan, begin, bounds, extend, missing, with_grades
from crowdqc.findings import InputError
from crowdqc.stages.audited import (
    accepted_masks,
    mask_fingerprint,
    mask_grades,
    read_audit,
    write_audit,
)
from crowdqc.stages.base import Result, Run
from crowdqc.stages.gate import judge
from crowdqc.stages.mask_sets import RISK
from crowdqc.text import count

_PLACE = ["case", "slice", "label"]


@dataclass(frozen=True)
class Request:
    """What is asked of an audit.

    Parameters
    ----------
    limit, confidence : float
        Of the bound that is wanted.
    below : float
        A mask with a smaller Dice is bad.
    """

    limit: float
    confidence: float
    below: float


def audit(run: Run, request: Request, *, masks: bool) -> Result:
    """List what is to be graded next, and bound what is left.

    Parameters
    ----------
    run : Run
    request : Request
    masks : bool
        Whether the masks are those of the boxes as they are now.

    Raises
    ------
    InputError
        If there is no mask to audit.
    """
    table, plan, why = _audit(run, request, masks=masks)
    table = with_grades(table, mask_grades(run, below=request.below))
    table, plan = extend(table, plan)
    found = bounds(table, plan)
    files = write_audit(run, table, plan)
    shown = found[["part", "name", "n", "n_graded", "n_drawn", "n_bad", "bad_share_high"]]
    return Result(
        table=found, shown=shown, summary=f"{why}{_summary(table, plan, found)}", files=files
    )


def _audit(run: Run, request: Request, *, masks: bool) -> tuple[pd.DataFrame, Plan, str]:
    """The audit that there is, or a new one, and why it is new."""
    if not run.store.path(RISK).is_file():
        raise InputError(
            f"{run.config.file}: there are no masks to audit; run crowdqc masks, or crowdqc risk "
            "--masks PATTERN for masks made elsewhere."
        )
    risk = run.store.read("risk")
    inputs = mask_fingerprint(run, risk)
    stored = read_audit(run)
    why = ""
    if stored is not None and stored[1].inputs == inputs:
        table, plan = stored
        plan = replace(plan, limit=request.limit, confidence=request.confidence)
        return table, replace(plan, bad_below=request.below), why
    if stored is not None:
        why = "The masks have changed, so the audit begins anew. "
    accepted = accepted_masks(risk, judge(run, masks=masks).decision)
    if accepted.empty:
        raise InputError(f"{run.config.file}: no mask is accepted, so there is none to audit.")
    seed = run.config.study.seed
    plan = Plan("mask", request.below, request.limit, request.confidence, seed, inputs=inputs)
    return begin(accepted[[*_PLACE, "risk"]].assign(object=0, unit="mask")), plan, why


def _summary(table: pd.DataFrame, plan: Plan, found: pd.DataFrame) -> str:
    whole = found.iloc[0]
    waiting = int(((table["role"] != "") & ~table["graded"]).sum())
    share, n = whole["bad_share_high"], count(int(whole["n"]), plan.unit)
    known = (
        f"At most {share:.1%} of {n} left are bad (Dice below {plan.bad_below:g}, or graded so), "
        f"with confidence {plan.confidence:g}."
        if whole["n_drawn"]
        else f"Nothing is known yet of how many of {n} are bad."
    )
    if share <= plan.limit:
        return f"{known} That is what was wanted ({plan.limit:.1%})."
    more = missing(table, plan)
    return (
        f"{known} For {plan.limit:.1%} about {count(more, 'grading')} are missing; "
        f"{count(waiting, plan.unit)} {'is' if waiting == 1 else 'are'} listed in audit.csv."
    )
