"""Verdicts on raters: what a policy makes of their scorecards and of the faults that were found.

`agree` asks as soon as raters are measured; the gate asks again, and knows completeness, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from crowdqc.findings import Finding, Reason, Where, dump_reasons
from crowdqc.judge.policy import Judged, Policy, Rule, ask_all, load_policy
from crowdqc.text import ALONE

IDLE = "every file was only opened: nothing says that a slice was read"
NOTHING = "nobody who read the same slices drew anything there: there is nothing to compare"
FROM_RUNS = ("coverage", "coverage_high", "n_expected", "single_rater_share")
"""Measures of raters that completeness knows: the gate alone asks rules on these."""


def judge_raters(
    raters: pd.DataFrame,
    findings: Iterable[Finding],
    policy: Policy | None = None,
) -> pd.DataFrame:
    """Scorecards with ``verdict`` and ``reasons``.

    Parameters
    ----------
    raters : DataFrame
        Table ``raters``.
    findings : iterable of Finding
        What was found: each fault of a rater counts, whatever the policy.
    policy : Policy, optional
        Whose rules about raters are asked, but for those on coverage or on numbers of findings,
        which the gate asks. None: the one that crowdqc ships.

    Returns
    -------
    DataFrame
        Table ``raters``. Where no slice was read by two raters for the same label, `reasons`
        says so, and a policy that asks for agreement gives the verdict "review".
    """
    table = raters.set_index("rater")
    rules = (policy or load_policy()).of("rater")
    rules = [rule for rule in rules if rule.measure not in FROM_RUNS and not rule.checks]
    judged = decide_raters(rules, table, findings).values()
    return table.assign(
        verdict=[one.verdict.value for one in judged],
        reasons=[dump_reasons(one.reasons) for one in judged],
    ).reset_index()


def decide_raters(
    rules: Iterable[Rule], measures: pd.DataFrame, findings: Iterable[Finding]
) -> dict[str, Judged]:
    """What is decided about each rater.

    Parameters
    ----------
    rules : iterable of Rule
        Those about raters.
    measures : DataFrame
        A row for each rater, by name.
    findings : iterable of Finding
        Those that name a rater and no case count.

    Returns
    -------
    dict of str to Judged
        By rater, in the order of `measures`.
    """
    judged: dict[str, Judged] = ask_all(rules, measures, lambda name: Where(rater=name))
    for finding in findings:
        if finding.case is None and finding.rater in judged:
            judged[finding.rater].add(finding.severity, finding.reason)
    for rater, row in measures.iterrows():
        _say_why_unknown(judged[rater], row)
    return judged


def _say_why_unknown(judged: Judged, row: pd.Series) -> None:
    """Where nothing is known of a rater's agreement: give the cause, not the rules in vain."""
    if row.get("n_slices") == 0:
        cause = Reason(measure="n_slices", value=0.0, because=IDLE, where=judged.where)
        judged.reasons = [cause]
    elif math.isnan(row.get("agreement", 0.0)):
        because = NOTHING if row.get("n_others", 0) > 0 else ALONE
        cause = Reason(measure="agreement", because=because, where=judged.where)
        judged.reasons = [cause, *(reason for reason in judged.reasons if not reason.unknown)]
