"""The certificate of an audit: how many bad masks or boxes are left at most, and how that is known.

It is a record in the manifest. It has lapsed where what was audited has changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from crowdqc.audit import Plan

CHANGED = "changed"
NEW = "new"
"""Why a certificate has lapsed: what was audited has changed since; there are masks it does not
know."""
METHOD = "random draws without replacement, exact sequential bound"


@dataclass(frozen=True)
class Now:
    """What has become of what was audited.

    Parameters
    ----------
    n_accepted : int
        Units that are accepted now.
    n_kept : int
        Of these, units that were found bad all the same: no rule rejects them.
    n_unknown : int
        Of these, units that the audit does not know as they are, and that count as bad.
    lapsed : str
        Why the certificate has lapsed, else empty.
    n_missing : int
        About how many gradings are missing.
    hashes : mapping of str to str
        Of what the certificate rests on.
    """

    n_accepted: int
    n_kept: int
    n_unknown: int
    lapsed: str
    n_missing: int
    hashes: Mapping[str, str]


def make_certificate(
    table: pd.DataFrame, plan: Plan, bounds: pd.DataFrame, *, now: Now
) -> dict[str, Any]:
    """The certificate of an audit.

    Parameters
    ----------
    table : DataFrame
        Table ``audit``, with grades.
    plan : Plan
        Its plan.
    bounds : DataFrame
        As from `crowdqc.audit.bounds`.
    now : Now
        What is accepted now.

    Returns
    -------
    dict
        JSON values. ``bad_share_high`` is the upper bound of the share of bad units among those
        accepted; null where the certificate has ``lapsed``, which says why.
    """
    from crowdqc.audit import risk_limit  # noqa: PLC0415 - and SciPy, only where there is an audit

    whole = bounds.iloc[0]
    lapsed = now.lapsed
    bad_high = int(whole["bad_high"]) + now.n_kept + now.n_unknown
    share = min(bad_high / now.n_accepted, 1.0) if now.n_accepted else 0.0
    reached = not lapsed and share <= plan.limit
    below = risk_limit(bounds, plan)
    graders = {name for cell in table["reviewers"] for name in cell.split(", ") if name}
    asked = {name: getattr(plan, name) for name in ("unit", "bad_below", "limit", "confidence")}
    design = {"n": len(table), "frame": int(table["framed"].sum()), "planned": plan.planned}
    return {
        **asked,
        "reached": reached,
        "lapsed": lapsed,
        "bad_share_high": None if lapsed else share,
        "bad_high": bad_high,
        **{name: int(whole[name]) for name in ("n_graded", "n_drawn", "n_bad")},
        "n_accepted": now.n_accepted,
        "n_bad_accepted": now.n_kept,
        "n_unknown": now.n_unknown,
        "n_missing": 0 if reached else now.n_missing,
        "risk_limit": None if math.isnan(below) or lapsed else below,
        "design": {"method": METHOD, **design, "rounds": plan.rounds},
        "seed": plan.seed,
        "graders": sorted(graders),
        "parts": bounds.iloc[1:][["part", "name", "n", "bad_high", "bad_share_high"]].to_dict(
            "records"
        ),
        "hashes": dict(now.hashes),
    }
