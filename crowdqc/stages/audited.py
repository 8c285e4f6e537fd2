"""The audits in the folder of results, of masks and of boxes, and what they say of those accepted.

Both have their rows in one table, and their plans in one file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools
from crowdqc.audit import (
    Plan,
    bounds,
    missing,
    plans_from_json,
    plans_to_json,
    with_grades,
)
from crowdqc.decisions import decisions_file
from crowdqc.files import Unreadable, read_text, sha256
from crowdqc.findings import InputError
from crowdqc.judge import Now, make_certificate
from crowdqc.judge.certificate import CHANGED
from crowdqc.schema import stands_in
from crowdqc.stages.base import Run

AUDIT = "audit.csv"
PLAN = "audit.json"
NEEDS = {"mask": ("risk",), "box": ("fuse",)}
"""Stage whose results are audited."""
_PLAN_BYTES = 100_000
_KEY = ["case", "slice", "label", "object"]


@dataclass(frozen=True)
class Audited:
    """What is audited, as it is now.

    Parameters
    ----------
    unit : {"mask", "box"}
    accepted : DataFrame
        Units that are accepted: ``case, slice, label, object, risk``; of boxes their edges, too.
    inputs : str
        Hash of what is audited.
    grades : callable
        Table ``audit``, limit -> what experts found: its key, ``bad, reviewers``.
    known : callable
        Table ``audit``, `accepted` -> whether the audit knows each unit as it is, (N,).
    mended : DataFrame, optional
        Keys of those that are as an expert drew them, and so are good whatever they were before.
    lapses : str
        Why the certificate lapses where a unit is not known; empty: such units count as bad.
    """

    unit: str
    accepted: pd.DataFrame
    inputs: str
    grades: Callable[[pd.DataFrame, float], pd.DataFrame]
    known: Callable[[pd.DataFrame, pd.DataFrame], Bools]
    mended: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_KEY))
    lapses: str = ""

    def standing(self, table: pd.DataFrame) -> tuple[Bools, Bools]:
        """Whether the audit knows each accepted unit, and whether it was found bad, (N,)."""
        mended = stands_in(self.mended, self.accepted, _KEY)
        known = self.known(table, self.accepted) | mended
        bad = stands_in(table[table["bad"] == 1], self.accepted, _KEY)
        return known, bad & known & ~mended

    def n_unknown(self, table: pd.DataFrame) -> int:
        """Accepted units that the audit does not know as they are, and that count as bad."""
        return 0 if self.lapses else int((~self.standing(table)[0]).sum())


def audited_unit(run: Run, *, boxes: bool | None, restart: bool) -> str:
    """What is to be audited: as asked, else that of which there is an audit, else masks.

    Parameters
    ----------
    run : Run
        An opened study.
    boxes : bool or None
        Whether boxes were asked for, or masks; None: nothing was said.
    restart : bool
        Whether the audit of it is forgotten first.
    """
    if boxes is None:
        try:
            unit = next(iter(read_plans(run)), "mask")
        except InputError:
            if not restart:
                raise
            unit = "mask"
    else:
        unit = "box" if boxes else "mask"
    if restart:
        forget_audit(run, unit)
    return unit


def read_audit(run: Run, unit: str) -> tuple[pd.DataFrame, Plan] | None:
    """The audit of a unit as it was last written; None where there is none.

    Parameters
    ----------
    run : Run
        An opened study.
    unit : {"mask", "box"}
        What is audited.

    Raises
    ------
    InputError
        If a file of it cannot be read, or one of the two is gone.
    """
    plan = read_plans(run).get(unit)
    return None if plan is None else (_rows(run, [unit]), plan)


def _rows(run: Run, units: Collection[str]) -> pd.DataFrame:
    """Rows of the table ``audit``, of some units."""
    table = run.store.read("audit")
    return table[table["unit"].isin(units)].reset_index(drop=True)


def read_plans(run: Run) -> dict[str, Plan]:
    """Unit -> plan of its audit, of those that there are, masks first; raises as `read_audit`."""
    path = run.store.path(PLAN)
    if not path.is_file():
        return {}
    if run.store.edited("audit"):
        raise InputError(
            f"{path.parent}: {AUDIT} and {PLAN} are not what crowdqc audit wrote, and a bound can "
            "rest on nothing else. Put them back, or run crowdqc audit --restart."
        )
    try:
        return plans_from_json(read_text(path, _PLAN_BYTES, below=run.store.folder))
    except (Unreadable, ValueError) as error:
        raise InputError(f"{path}: {error}. Run crowdqc audit --restart.") from error


def write_audit(run: Run, table: pd.DataFrame, plan: Plan) -> list[str]:
    """Write an audit, beside that of the other unit if there is one; the names of its files.

    Parameters
    ----------
    run : Run
        An opened study.
    table : DataFrame
        The table ``audit``.
    plan : Plan
        What was asked of the audit.
    """
    others = {name: one for name, one in read_plans(run).items() if name != plan.unit}
    tables = [table, *([_rows(run, others)] if others else [])]
    _write(run, tables, {**others, plan.unit: plan})
    return [AUDIT, PLAN]


def _write(run: Run, tables: Sequence[pd.DataFrame], plans: Mapping[str, Plan]) -> None:
    """Write the rows of all audits, those to be graded first, and their plans."""
    rows = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    later = (rows["role"].fillna("") == "") * 2 + rows["graded"].astype(int)
    run.store.write("audit", rows.iloc[np.argsort(later.to_numpy(), kind="stable")])
    run.store.write_text(PLAN, plans_to_json(plans))
    needs = sorted({need for unit in plans for need in NEEDS[unit]})
    run.store.set_stamp("audit", "", [AUDIT, PLAN], needs=needs)


def forget_audit(run: Run, unit: str) -> None:
    """Forget the plan of an audit; what experts graded stays in decisions.csv.

    Parameters
    ----------
    run : Run
        An opened study.
    unit : {"mask", "box"}
        What is audited. Where the files cannot be read the other audit is forgotten, too.
    """
    run.store.claim()
    try:
        plans = read_plans(run)
    except InputError:
        plans = {}
    if plans.pop(unit, None) is not None and plans:
        _write(run, [_rows(run, plans)], plans)
    elif not plans:
        run.store.path(PLAN).unlink(missing_ok=True)


def certificate(run: Run, audited: Audited) -> dict[str, Any] | None:
    """What the audit of a unit says of what is accepted now; None where there was none of it.

    Parameters
    ----------
    run : Run
        An opened study.
    audited : Audited
        What is accepted now.

    Returns
    -------
    dict or None
        As the manifest holds it.
    """
    found = read_audit(run, audited.unit)
    if found is None:
        return None
    table, plan = found
    table = with_grades(table, audited.grades(table, plan.bad_below))
    known, kept = audited.standing(table)
    lapsed = "" if known.all() else audited.lapses
    state = Now(
        n_accepted=len(known),
        n_kept=int(kept.sum()),
        n_unknown=audited.n_unknown(table),
        lapsed=CHANGED if audited.inputs != plan.inputs else lapsed,
        n_missing=missing(table, plan),
        hashes=_hashes(run, plan),
    )
    return make_certificate(table, plan, bounds(table, plan), now=state)


def _hashes(run: Run, plan: Plan) -> Mapping[str, str]:
    """Of what a certificate rests on."""
    hashes = {"masks" if plan.unit == "mask" else "boxes": plan.inputs}
    files = [run.store.path(AUDIT), decisions_file(run.config)]
    return hashes | {path.name: sha256(path) for path in files if path.is_file()}
