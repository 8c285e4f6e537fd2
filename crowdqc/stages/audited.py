"""The audit in the folder of results, and what experts have graded of it since."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from crowdqc.audit import Plan, bounds, fingerprint, missing, with_grades
from crowdqc.decisions import decisions_file, mask_inputs, read_decisions, settled_masks
from crowdqc.decisions.standing import CHANGED
from crowdqc.files import Unreadable, read_text, sha256
from crowdqc.findings import InputError
from crowdqc.judge import Decision, Now, make_certificate
from crowdqc.risk.calibration import BAD_DICE
from crowdqc.stages.base import Run
from crowdqc.stages.mask_sets import mask_files
from crowdqc.volumes import read_labels, to_pictures

AUDIT = "audit.csv"
PLAN = "audit.json"
BAD = "bad"
_PLACE = ["case", "slice", "label"]
_PLAN_BYTES = 100_000
_SHAPE = ["area_mm2", "box_iou", "box_fill", "z_dice"]


def read_audit(run: Run) -> tuple[pd.DataFrame, Plan] | None:
    """The audit as it was last written; None where there is none.

    Raises
    ------
    InputError
        If a file of it cannot be read, or one of the two is gone.
    """
    path = run.store.path(PLAN)
    if not path.is_file():
        return None
    if run.store.edited("audit"):
        raise InputError(
            f"{path.parent}: {AUDIT} and {PLAN} are not what crowdqc audit wrote, and a bound can "
            "rest on nothing else. Put them back, or run crowdqc audit --restart."
        )
    try:
        plan = Plan.from_json(read_text(path, _PLAN_BYTES, below=run.store.folder))
    except (Unreadable, ValueError) as error:
        raise InputError(f"{path}: {error}. Run crowdqc audit --restart.") from error
    return run.store.read("audit"), plan


def write_audit(run: Run, table: pd.DataFrame, plan: Plan) -> list[str]:
    """Write an audit; the names of its files."""
    run.store.write("audit", table)
    run.store.write_text(PLAN, plan.to_json())
    run.store.set_stamp("audit", "", [AUDIT, PLAN], needs=("risk",))
    return [AUDIT, PLAN]


def forget_audit(run: Run) -> None:
    """Forget the plan of an audit; what experts graded stays in decisions.csv."""
    run.store.claim()
    run.store.path(PLAN).unlink(missing_ok=True)


def mask_grades(run: Run, *, below: float) -> pd.DataFrame:
    """What experts found of each mask as it is: its key, ``bad, reviewers, dice``.

    Parameters
    ----------
    run : Run
    below : float
        A mask with a smaller Dice is bad, and so is one that was graded as bad.
    """
    decisions = read_decisions(run.config)
    settled = settled_masks(decisions, _hash_of_masks(run))
    settled = settled[settled["state"] != CHANGED]
    bad = (settled["dice"] < below) | (settled["grade"] == BAD)
    return settled[[*_PLACE, "reviewers", "dice"]].assign(object=0, bad=bad.astype(float))


def with_grade(run: Run, risk: pd.DataFrame) -> pd.DataFrame:
    """The table ``risk`` with ``graded_bad``: 1 where an expert found a mask bad, else 0."""
    decided = decisions_file(run.config)
    if not decided.is_file():
        return risk.assign(graded_bad=0.0)
    grades = mask_grades(run, below=BAD_DICE)
    found = risk[_PLACE].merge(grades, on=_PLACE, how="left")["bad"].fillna(0.0)
    return risk.assign(graded_bad=found.to_numpy())


def mask_fingerprint(run: Run, units: pd.DataFrame) -> str:
    """Hash of the masks that are audited: of their files, else of what was measured of them."""
    units = units.assign(object=0)
    files = mask_files(run, "filtered") if run.store.has("masks") else {}
    if files:
        return fingerprint(units, *(f"{case} {sha256(files[case])}" for case in sorted(files)))
    shape = units[[name for name in _SHAPE if name in units]]
    return fingerprint(units, shape.to_csv(index=False, float_format="%.6g"))


def accepted_masks(risk: pd.DataFrame, decision: Decision) -> pd.DataFrame:
    """The masks of the table ``risk`` that nothing rejects."""
    rejected = decision.fine.get("mask")
    own = risk.set_index(pd.Index([f"mask {k}" for k in range(len(risk))]))
    usable = decision.usable(own)
    if rejected is not None:
        bad = rejected.loc[rejected["verdict"] == "reject", _PLACE]
        usable &= ~pd.MultiIndex.from_frame(risk[_PLACE]).isin(pd.MultiIndex.from_frame(bad))
    return risk[usable]


def certificate(run: Run, units: pd.DataFrame, decision: Decision) -> dict[str, Any] | None:
    """What an audit says of the masks that are accepted now; None where there was no audit.

    Parameters
    ----------
    run : Run
    units : DataFrame
        All masks that were judged: table ``risk``.
    decision : Decision
        What was decided of them.
    """
    found = read_audit(run)
    if found is None:
        return None
    table, plan = found
    table = with_grades(table, mask_grades(run, below=plan.bad_below))
    now = accepted_masks(units, decision)
    known = now[_PLACE].merge(table, on=_PLACE)
    hashes = {"masks": plan.inputs, AUDIT: sha256(run.store.path(AUDIT))}
    decided = decisions_file(run.config)
    if decided.is_file():
        hashes[decided.name] = sha256(decided)
    state = Now(
        n_accepted=len(now),
        n_kept=int((known["bad"] == 1).sum()),
        n_new=len(now) - len(known),
        changed=mask_fingerprint(run, units) != plan.inputs,
        n_missing=missing(table, plan),
        hashes=hashes,
    )
    return make_certificate(table, plan, bounds(table, plan), now=state)


def _hash_of_masks(run: Run) -> Callable[[tuple[str, int, str]], str]:
    config = run.config
    files = mask_files(run, "filtered") if run.store.has("masks") else {}
    values = {label.name: label.value for label in config.labels.values()}

    @functools.lru_cache(maxsize=4)
    def pictures(case: str) -> NDArray[Any]:
        labels, _ = read_labels(files[case], plane=config.images.plane)
        return to_pictures(labels, config.images.picture)

    def hash_of(place: tuple[str, int, str]) -> str:
        case, k, label = place
        if case not in files or label not in values or k >= len(pictures(case)):
            return ""
        return mask_inputs(pictures(case)[k] == values[label])

    return hash_of
