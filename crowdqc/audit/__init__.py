"""How many bad masks or boxes are left, from what an expert grades, and what to grade for it."""

from crowdqc.audit.bound import Spending, upper_bound
from crowdqc.audit.boxes import MARGIN, box_grades, same_boxes
from crowdqc.audit.left import Left, Sample, bad_left
from crowdqc.audit.size import Goal, draws_needed
from crowdqc.audit.table import (
    UNITS,
    Plan,
    begin,
    bounds,
    extend,
    fingerprint,
    joint_confidence,
    missing,
    plans_from_json,
    plans_to_json,
    risk_limit,
    with_grades,
)

__all__ = [
    "MARGIN",
    "UNITS",
    "Goal",
    "Left",
    "Plan",
    "Sample",
    "Spending",
    "bad_left",
    "begin",
    "bounds",
    "box_grades",
    "draws_needed",
    "extend",
    "fingerprint",
    "joint_confidence",
    "missing",
    "plans_from_json",
    "plans_to_json",
    "risk_limit",
    "same_boxes",
    "upper_bound",
    "with_grades",
]
