"""The stage `audit`: what an expert should grade, and how many bad ones are left at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from crowdqc.audit import (
    Plan,
    begin,
    bounds,
    extend,
    joint_confidence,
    missing,
    with_grades,
)
from crowdqc.findings import InputError
from crowdqc.stages.audit_units import audited_boxes, audited_masks
from crowdqc.stages.audited import Audited, read_audit, read_plans, write_audit
from crowdqc.stages.base import Result, Run
from crowdqc.stages.gate import judge
from crowdqc.stages.mask_sets import RISK
from crowdqc.text import count, plural


@dataclass(frozen=True)
class Request:
    """What is asked of an audit.

    Parameters
    ----------
    limit, confidence : float
        Of the bound that is wanted.
    below : float
        A mask with a smaller Dice, or a box with a smaller IoU, is bad.
    unit : {"mask", "box"}
        What is audited.
    """

    limit: float
    confidence: float
    below: float
    unit: str = "mask"


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
        If there is nothing to audit.
    """
    stored = read_audit(run, request.unit)
    audited = _audited(run, request.unit, masks=masks)
    continued = _continued(stored, request, audited)
    table, plan = continued or _begun(run, request, audited)
    anew = f"The {plural(plan.unit)} have changed, so the audit begins anew. "
    why = anew if stored is not None and continued is None else ""
    table = with_grades(table, audited.grades(table, request.below))
    table, plan = extend(table, plan)
    files = write_audit(run, table, plan)
    found = bounds(table, plan)
    shown = found[["part", "name", "n", "n_graded", "n_drawn", "n_bad", "bad_share_high"]]
    summary = f"{why}{_summary(table, plan, found, n_unknown=audited.n_unknown(table))}"
    summary += _kept(audited, table) + _beside(read_plans(run), plan)
    return Result(table=found, shown=shown, summary=summary, files=files)


def _audited(run: Run, unit: str, *, masks: bool) -> Audited:
    if unit == "mask" and not run.store.path(RISK).is_file():
        raise InputError(
            f"{run.config.file}: there are no masks to audit; run crowdqc masks, or crowdqc risk "
            "--masks PATTERN for masks made elsewhere. --boxes audits the fused boxes."
        )
    decision = judge(run, masks=masks).decision
    if unit == "box":
        return audited_boxes(run, decision)
    return audited_masks(run, run.store.read("risk"), decision)


def _continued(
    stored: tuple[pd.DataFrame, Plan] | None, request: Request, audited: Audited
) -> tuple[pd.DataFrame, Plan] | None:
    """The audit that there is, with what is asked now; None where there is none of these units."""
    if stored is None or stored[1].inputs != audited.inputs:
        return None
    plan = replace(stored[1], limit=request.limit, confidence=request.confidence)
    return stored[0], replace(plan, bad_below=request.below)


def _begun(run: Run, request: Request, audited: Audited) -> tuple[pd.DataFrame, Plan]:
    if audited.accepted.empty:
        raise InputError(
            f"{run.config.file}: no {request.unit} is accepted, so there is none to audit."
        )
    asked = (request.below, request.limit, request.confidence)
    plan = Plan(request.unit, *asked, run.config.study.seed, inputs=audited.inputs)
    return begin(audited.accepted.assign(unit=request.unit)), plan


def _kept(audited: Audited, table: pd.DataFrame) -> str:
    """That units found bad are accepted all the same, where there are any."""
    kept = int(audited.standing(table)[1].sum())
    if not kept:
        return ""
    return (
        f" {count(kept, audited.unit)} found bad {'is' if kept == 1 else 'are'} still accepted, as "
        "no rule of the policy (graded_bad) rejects them; the certificate of the gate counts them."
    )


def _beside(plans: Mapping[str, Plan], own: Plan) -> str:
    """That there is another audit, and with which confidence both bounds hold."""
    for plan in plans.values():
        if plan.unit != own.unit:
            units, both = plural(plan.unit), joint_confidence(plans.values())
            return (
                f" An audit of {units} is under way, too (crowdqc audit STUDY --{units}); both "
                f"bounds hold together with confidence {both:g}."
            )
    return ""


_BAD = {"mask": "Dice below {}, or graded so", "box": "IoU below {}, or there is nothing"}


def _summary(table: pd.DataFrame, plan: Plan, found: pd.DataFrame, *, n_unknown: int) -> str:
    whole, n = found.iloc[0], int(found["n"].iloc[0])
    waiting = int(((table["role"] != "") & ~table["graded"]).sum())
    share = min((whole["bad_high"] + n_unknown) / n, 1.0) if n else 0.0
    units, unit = count(n, plan.unit), count(waiting, plan.unit)
    moved = f" {count(n_unknown, plan.unit)} moved or new since then count as bad."
    known = (
        f"At most {share:.1%} of {units} left are bad ({_BAD[plan.unit].format(plan.bad_below)}), "
        f"with confidence {plan.confidence:g}.{moved if n_unknown else ''}"
        if whole["n_drawn"]
        else f"Nothing is known yet of how many of {units} are bad."
    )
    if share <= plan.limit:
        return f"{known} That is what was wanted ({plan.limit:.1%})."
    more = count(missing(table, plan), "grading")
    return (
        f"{known} For {plan.limit:.1%} about {more} are missing; "
        f"{unit} {'is' if waiting == 1 else 'are'} listed in audit.csv."
    )
