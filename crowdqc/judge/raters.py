"""Verdicts of raters: what a policy makes of their scorecards, and of the faults that were named.

The gate asks the same rules of the same numbers, and counts the same findings, so that it never
says anything else of a rater than ``raters.csv`` does.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from crowdqc.agreement import Review
from crowdqc.agreement.pool import ALONE
from crowdqc.agreement.rater_data import Fault
from crowdqc.findings import Severity, Verdict
from crowdqc.judge.policy import Judged, Policy, ask_all, load_policy

WORDS = {Verdict.ACCEPT: "pass", Verdict.REVIEW: "watch", Verdict.REJECT: "fail"}
"""What a verdict on a rater is called."""
IDLE = "every file was only opened: nothing says that a slice was read"
FROM_RUNS = ("coverage", "single_rater_share")
"""Measures of raters that completeness knows: where it was not asked, nor are rules on these."""


def severity(fault: Fault) -> Severity:
    """What a fault asks for, whatever the policy."""
    return Severity.REJECT if fault.fatal else Severity.REVIEW


def judge_raters(
    found: Review, policy: Policy | None = None, *, runs: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Scorecards with ``verdict`` and ``reasons``.

    Parameters
    ----------
    found : Review
        Scorecards of the raters, and their faults: each fault counts, whatever the policy.
    policy : Policy, optional
        Whose rules about raters are asked. None: the one that crowdqc ships.
    runs : DataFrame, optional
        What completeness says of each rater, indexed by rater, as from `rater_runs`; without it,
        rules on these measures are not asked.

    Returns
    -------
    DataFrame
        Table ``raters``. Where no slice was read by two raters for the same label, `reasons`
        says so, and a policy that asks for agreement gives the verdict "watch".
    """
    table = found.raters.set_index("rater")
    if runs is not None:
        table = table.join(runs)
    rules = (policy or load_policy()).of("rater")
    rules = [rule for rule in rules if rule.measure in table or rule.measure not in FROM_RUNS]
    judged = ask_all(rules, table)
    for rater, faults in found.faults.items():
        for fault in faults:
            judged[rater].add(severity(fault), fault.what)
    unknown = {rule.unknown() for rule in rules}
    rows = zip(table.itertuples(), judged.values(), strict=True)
    reasons = [_reasons(row, one, unknown) for row, one in rows]
    return table.assign(
        verdict=[WORDS[one.verdict] for one in judged.values()],
        reasons=["; ".join(r) for r in reasons],
    ).reset_index()


def _reasons(row: Any, judged: Judged, unknown: set[str]) -> list[str]:
    """Reasons of a verdict; where nothing is known of the rater's agreement, why that is."""
    if row.n_slices == 0:
        return [IDLE]
    if pd.notna(row.agreement):
        return judged.reasons
    return [ALONE, *(reason for reason in judged.reasons if reason not in unknown)]
