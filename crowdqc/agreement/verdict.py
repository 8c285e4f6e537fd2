"""Verdicts of raters: what a policy makes of their scorecards, and of the faults that were named.

The gate asks the same rules of the same numbers, and counts the same findings, so that it never
says anything else of a rater than ``raters.csv`` does.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from crowdqc.agreement.pool import ALONE
from crowdqc.agreement.rater_data import Fault
from crowdqc.findings import Severity, Verdict
from crowdqc.policy import Judged, Policy, ask_all

WORDS = {Verdict.ACCEPT: "pass", Verdict.REVIEW: "watch", Verdict.REJECT: "fail"}
"""What a verdict on a rater is called."""
IDLE = "every file was only opened: nothing says that a slice was read"
FROM_RUNS = ("coverage", "single_rater_share")
"""Measures of raters that completeness knows: where it was not asked, nor are rules on these."""


def severity(fault: Fault) -> Severity:
    """What a fault asks for, whatever the policy."""
    return Severity.REJECT if fault.fatal else Severity.REVIEW


def with_verdicts(table: pd.DataFrame, faults: list[Fault], policy: Policy) -> pd.DataFrame:
    """Scorecards with ``faults``, ``labels_swapped``, ``verdict`` and ``reasons``.

    Parameters
    ----------
    table : DataFrame
        The scorecards: a row for each rater, in the order of their numbers, and behind these
        rows of raters who only opened files (`n_slices` 0).
    faults : list of Fault
        Each counts for its rater, whatever the policy.
    policy : Policy
        Its rules about raters are asked.
    """
    named = [sorted({f.check for f in faults if f.rater == r}) for r in range(len(table))]
    table = table.assign(
        faults=[" ".join(checks) for checks in named],
        labels_swapped=[float("labels-swapped" in checks) for checks in named],
    )
    rules = [r for r in policy.of("rater") if r.measure in table or r.measure not in FROM_RUNS]
    judged = list(ask_all(rules, table).values())
    for fault in faults:
        judged[fault.rater].add(severity(fault), fault.what)
    unknown = {rule.unknown() for rule in rules}
    rows = zip(table.itertuples(), judged, strict=True)
    reasons = [_reasons(row, one, unknown) for row, one in rows]
    return table.assign(
        verdict=[WORDS[one.verdict] for one in judged], reasons=["; ".join(r) for r in reasons]
    )


def _reasons(row: Any, judged: Judged, unknown: set[str]) -> list[str]:
    """Reasons of a verdict; where nothing is known of the rater's agreement, why that is."""
    if row.n_slices == 0:
        return [IDLE]
    if pd.notna(row.agreement):
        return judged.reasons
    return [ALONE, *(reason for reason in judged.reasons if reason not in unknown)]
