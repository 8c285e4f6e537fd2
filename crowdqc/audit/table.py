"""The table ``audit``: what is audited, what is to be graded in which order, and the bounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.audit.choose import Design, draw_order, gradings_missing, next_round
from crowdqc.audit.expect import Units
from crowdqc.audit.left import Left, Sample, bad_left
from crowdqc.audit.size import Goal

KEY = ["case", "slice", "label", "object"]
UNITS = ("mask", "box")
"""What is audited, in the order in which audits are listed."""
RISKY, RANDOM = "risky", "random"
"""Roles of a unit on the list: it is probably bad; it was drawn."""
STRATA = ((0.0, 0.01), (0.01, 0.05), (0.05, 0.2), (0.2, 1.01))
"""Risks by which bounds are given."""
STRICTER = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Risks above which units would be left out, for the bounds under a stricter limit."""
BELOW = "risk below"
PARTS = ["part", "name", "n", "n_graded", "n_drawn", "n_bad", "bad_high", "bad_share_high"]


@dataclass(frozen=True)
class Plan:
    """What an audit is to show and how, apart from its table.

    Parameters
    ----------
    unit : {"mask", "box"}
    bad_below : float
        A unit with a smaller Dice (mask) or IoU (box) is bad.
    limit, confidence : float
        As of `Goal`.
    seed : int
        Of the order of draws.
    planned : int
        Random draws that were planned; 0 before they begin.
    rounds : int
        Rounds that were listed.
    inputs : str
        Hash of what is audited.
    """

    unit: str
    bad_below: float
    limit: float
    confidence: float
    seed: int
    planned: int = 0
    rounds: int = 0
    inputs: str = ""

    @property
    def goal(self) -> Goal:
        """What is to be shown."""
        return Goal(self.limit, self.confidence)

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Plan:
        """The plan that a record of `plans_to_json` holds.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            plan = cls(**dict(record))
            Goal(plan.limit, plan.confidence)  # refuses numbers out of range
        except (TypeError, ValueError) as error:
            raise ValueError(f"is not the plan of an audit ({error})") from error
        kinds = {"seed": int, "planned": int, "rounds": int, "unit": str, "inputs": str}
        for name, kind in kinds.items():
            if type(getattr(plan, name)) is not kind:
                raise ValueError(f"is not the plan of an audit ({name} is not {kind.__name__})")
        if plan.unit not in UNITS:
            raise ValueError(f"is not the plan of an audit (unit is not {' or '.join(UNITS)})")
        return plan


def plans_to_json(plans: Mapping[str, Plan]) -> str:
    """The plans of the audits that there are as JSON text.

    Parameters
    ----------
    plans : mapping of str to Plan
        By their units.
    """
    return json.dumps([asdict(plans[unit]) for unit in UNITS if unit in plans], indent=1) + "\n"


def plans_from_json(text: str) -> dict[str, Plan]:
    """Inverse of `plans_to_json`; reads a single plan without a list, too, as it once was written.

    Parameters
    ----------
    text : str
        JSON.

    Raises
    ------
    ValueError
        If it holds something else.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not the plan of an audit ({error})") from error
    records = found if isinstance(found, list) and found else [found]
    plans = {plan.unit: plan for plan in map(Plan.of_record, records)}
    return {unit: plans[unit] for unit in UNITS if unit in plans}


def joint_confidence(plans: Iterable[Plan]) -> float:
    """Confidence with which the bounds of several audits hold together, whatever they share.

    Parameters
    ----------
    plans : iterable of Plan
        One or more.

    Examples
    --------
    >>> joint_confidence([Plan("mask", 0.5, 0.05, 0.95, 0), Plan("box", 0.5, 0.05, 0.98, 0)])
    0.93
    """
    return round(max(1 - sum(plan.goal.alpha for plan in plans), 0.0), 9)


def begin(units: pd.DataFrame) -> pd.DataFrame:
    """The table ``audit`` of units of which none is listed yet.

    Parameters
    ----------
    units : DataFrame
        ``case, slice, label, object, risk``; no two rows with the same key.

    Returns
    -------
    DataFrame
        A row for each.
    """
    return units.assign(
        role="", round=0, draw=np.nan, framed=False, graded=False, bad=np.nan, reviewers=""
    )


def with_grades(table: pd.DataFrame, grades: pd.DataFrame) -> pd.DataFrame:
    """The table with what experts found.

    Parameters
    ----------
    table : DataFrame
        Table ``audit``.
    grades : DataFrame
        ``case, slice, label, object, bad, reviewers``; grades of other units are left out.

    Returns
    -------
    DataFrame
        The same rows.
    """
    found = table[KEY].merge(grades, on=KEY, how="left")
    bad = found["bad"].astype(float).to_numpy()
    return table.assign(
        bad=bad, graded=np.isfinite(bad), reviewers=found["reviewers"].fillna("").to_numpy()
    )


def extend(table: pd.DataFrame, plan: Plan) -> tuple[pd.DataFrame, Plan]:
    """The table with what is to be graded next, and the plan as it is then.

    Parameters
    ----------
    table : DataFrame
        Table ``audit`` with all grades that are known.
    plan : Plan
        Its plan.

    Returns
    -------
    table : DataFrame
        Units that are to be graded come first, in the order in which they are to be.
    plan : Plan
        As it is then.
    """
    order = _order(table, plan)
    found = next_round(_units(table), _design(table, plan, order))
    new = np.concatenate([found.risky, found.random])
    table = table.assign(framed=found.frame)
    rows = table.index[new]
    table.loc[rows, "role"] = [RISKY] * len(found.risky) + [RANDOM] * len(found.random)
    table.loc[rows, "round"] = plan.rounds + 1
    drawn = table["role"] == RANDOM
    table["draw"] = np.where(drawn, _rank(order, table["framed"].to_numpy()), np.nan)
    rounds = plan.rounds + bool(len(new))
    return _sorted(table, order=new), replace(plan, planned=found.planned, rounds=rounds)


def missing(table: pd.DataFrame, plan: Plan) -> int:
    """About how many units are left to grade until the goal is reached.

    Parameters
    ----------
    table : DataFrame
        Table ``audit`` with grades.
    plan : Plan
        Its plan.

    Returns
    -------
    int
        Those that wait on the list, or what is expected to be needed, where that is more.
    """
    listed = (table["role"] != "").to_numpy()
    waiting = int((listed & ~table["graded"].to_numpy()).sum())
    design = _design(table, plan, np.zeros(len(table), dtype=np.int64))
    return max(waiting, sum(gradings_missing(_units(table), design)))


def bounds(table: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Upper bounds of what is left, of all units and of parts of them.

    Parameters
    ----------
    table : DataFrame
        Table ``audit`` with grades.
    plan : Plan
        Its plan.

    Returns
    -------
    DataFrame
        ``part`` (all, label, risk, or "risk below": what it would be under a stricter limit),
        ``name``, ``n`` (units left, those found bad taken out), ``n_graded``, ``n_drawn`` (random
        draws that count), ``n_bad`` (found), ``bad_high`` (upper bound of the bad ones left) and
        ``bad_share_high``. Each bound holds with the confidence of the plan by itself.
    """
    sample = Sample(
        table["bad"].to_numpy(dtype=np.float64),
        _order(table, plan),
        table["framed"].to_numpy(dtype=np.bool_),
        plan.planned,
    )
    rows = []
    for part, name, inside in _parts(table):
        left = bad_left(sample, inside, alpha=plan.goal.alpha)
        rows.append(_row(part, name, left))
    return pd.DataFrame(rows, columns=PARTS)


def risk_limit(found: pd.DataFrame, plan: Plan) -> float:
    """Largest limit of the risk below which the goal is reached.

    Parameters
    ----------
    found : DataFrame
        As from `bounds`.
    plan : Plan
        Its plan.

    Returns
    -------
    float
        nan where it is reached below none; 1 where it is reached for all units. Limits are asked
        one after the other from the strictest on, up to the first that fails, so that the one found
        holds with the confidence of the plan, however many were asked.

    References
    ----------
    .. [1] A. N. Angelopoulos et al., "Learn then test: calibrating predictive algorithms to achieve
       risk control", Annals of Applied Statistics 19 (2025), fixed-sequence testing.
       :doi:`10.1214/24-AOAS1998`
    """
    asked = found[found["part"] == BELOW]
    limit = float("nan")
    for name, share in [*zip(asked["name"], asked["bad_share_high"], strict=True), ("1", None)]:
        if (found["bad_share_high"].iloc[0] if share is None else share) > plan.limit:
            return limit
        limit = float(name)
    return limit


def _row(part: str, name: str, left: Left) -> tuple[object, ...]:
    numbers = (left.n, left.n_graded, left.n_drawn, left.n_bad, left.bad_high)
    return (part, name, *numbers, left.share)


def fingerprint(units: pd.DataFrame, *more: str) -> str:
    """Hash of what is audited.

    Parameters
    ----------
    units : DataFrame
        ``case, slice, label, object``.
    *more : str
        What else it depends on.

    Returns
    -------
    str
        SHA-256 in hex, the same in whatever order the units are.
    """
    digest = hashlib.sha256()
    for values in units[KEY].sort_values(KEY).itertuples(index=False):
        digest.update(("\0".join(map(str, values)) + "\n").encode())
    digest.update("\0".join(more).encode())
    return digest.hexdigest()


def _parts(table: pd.DataFrame) -> Iterator[tuple[str, str, Bools]]:
    yield "all", "", np.ones(len(table), dtype=np.bool_)
    labels, risk = table["label"].to_numpy(), table["risk"].to_numpy()
    for label in sorted(table["label"].unique()):
        yield "label", str(label), labels == label
    for low, high in STRATA:
        inside = (risk >= low) & (risk < high)
        if inside.any():
            yield "risk", f"{low:g} to {min(high, 1):g}", inside
    for limit in STRICTER:
        if (risk >= limit).any() and (risk < limit).any():
            yield BELOW, f"{limit:g}", risk < limit


def _order(table: pd.DataFrame, plan: Plan) -> Ints:
    keys = ("\0".join(map(str, row)) for row in table[KEY].itertuples(index=False))
    return draw_order(keys, plan.seed)


def _units(table: pd.DataFrame) -> Units:
    return Units(
        risk=table["risk"].to_numpy(dtype=np.float64),
        run=table.groupby(["case", "label", "object"], sort=False)
        .ngroup()
        .to_numpy(dtype=np.int64),
        slice=table["slice"].to_numpy(dtype=np.int64),
        bad=table["bad"].to_numpy(dtype=np.float64),
    )


def _design(table: pd.DataFrame, plan: Plan, order: Ints) -> Design:
    return Design(
        goal=plan.goal,
        order=order,
        frame=table["framed"].to_numpy(dtype=np.bool_),
        listed=(table["role"] != "").to_numpy(),
        planned=plan.planned,
    )


def _rank(order: Ints, framed: Bools) -> Floats:
    """Place in the order of draws among the units of the frame, from 1."""
    place = np.zeros(len(order))
    rows = np.flatnonzero(framed)
    place[rows[np.argsort(order[rows])]] = np.arange(1, len(rows) + 1)
    return place


def _sorted(table: pd.DataFrame, order: Ints) -> pd.DataFrame:
    """What is to be graded first, in order; then what was graded, then what is not listed."""
    place = np.zeros(len(table))
    place[order] = np.arange(len(order))
    listed = table["role"] != ""
    state = np.where(listed & ~table["graded"], 0, np.where(listed, 1, 2))
    keys = pd.DataFrame({"state": state, "round": table["round"], "draw": table["draw"].fillna(0)})
    rows = keys.assign(place=place).sort_values(["state", "round", "draw", "place"], kind="stable")
    return table.loc[rows.index].reset_index(drop=True)
