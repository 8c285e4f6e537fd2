"""The verdict: a pure function of measures, findings and a policy.

A verdict is the worst that any rule or finding about its unit asks for, so one finding more never
makes it milder, and what is shown or filtered afterwards cannot change it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.findings import Finding, Severity, Verdict
from crowdqc.gate.policy import Policy, Rule

VERDICT = {
    Severity.NOTE: Verdict.ACCEPT,
    Severity.REVIEW: Verdict.REVIEW,
    Severity.REJECT: Verdict.REJECT,
}


@dataclass
class Judged:
    """What was decided about one unit, and why."""

    verdict: Verdict = Verdict.ACCEPT
    reasons: list[str] = field(default_factory=list)

    def add(self, severity: Severity, reason: str) -> None:
        """Take one more reason into account."""
        verdict = VERDICT[severity]
        if verdict.rank > self.verdict.rank:
            self.verdict = verdict
        if verdict is not Verdict.ACCEPT and reason not in self.reasons:
            self.reasons.append(reason)


@dataclass(frozen=True)
class Decision:
    """Verdicts of a whole study.

    Parameters
    ----------
    raters : dict of str to Judged
    labels : dict of (case, label) to Judged
    cases : dict of str to Judged
    """

    raters: dict[str, Judged]
    labels: dict[tuple[str, str], Judged]
    cases: dict[str, Judged]

    @property
    def verdict(self) -> Verdict:
        """Of the study: the worst of its cases; rejected raters can be left out: review."""
        cases = [judged.verdict for judged in self.cases.values()]
        raters = [
            min(judged.verdict, Verdict.REVIEW, key=lambda verdict: verdict.rank)
            for judged in self.raters.values()
        ]
        return max([*cases, *raters], key=lambda verdict: verdict.rank, default=Verdict.REVIEW)

    def usable(self, case: str, label: str) -> bool:
        """Whether the boxes of a label of a case may be used."""
        judged = self.labels.get((case, label), Judged(Verdict.REJECT))
        return Verdict.REJECT not in (judged.verdict, self.cases[case].verdict)


def decide(
    policy: Policy, measures: Mapping[str, pd.DataFrame], findings: Iterable[Finding] = ()
) -> Decision:
    """Judge raters, labels of cases, and cases.

    Parameters
    ----------
    policy : Policy
    measures : mapping of str to DataFrame
        For the scopes ``rater``, ``label`` and ``case``: a row for each unit that is judged,
        as from `crowdqc.gate.measures`.
    findings : iterable of Finding
        One that names a case counts for it, or for its label where it names one. One that
        names a rater asks for a review at most: what is left of the others' boxes is judged
        by the measures.

    Returns
    -------
    Decision
    """
    judged = {scope: _apply(policy.rules, scope, frame) for scope, frame in measures.items()}
    raters, labels, cases = (judged[scope] for scope in ("rater", "label", "case"))
    for finding in findings:
        _count(finding, labels=labels, cases=cases)
    for (case, label), one in labels.items():
        _pass_up(one, cases[case], label=label, exclude=policy.exclude)
    return Decision(raters, labels, cases)


def _apply(rules: list[Rule], scope: str, frame: pd.DataFrame) -> dict[Any, Judged]:
    judged: dict[Any, Judged] = {unit: Judged() for unit in frame.index}
    for rule in [rule for rule in rules if rule.scope == scope]:
        values = frame.get(rule.measure, pd.Series(np.nan, index=frame.index))
        for unit, value in values.items():
            if np.isnan(value):
                reason = f"{rule.measure} is not known, so it could not be judged"
                judged[unit].add(Severity.REVIEW, reason)
            elif rule.fires(float(value)):
                reason = f"{rule.measure} {value:.3g} {rule.op} {rule.limit:g}: {rule.because}"
                judged[unit].add(rule.severity, reason)
    return judged


def _count(finding: Finding, *, labels: dict[Any, Judged], cases: dict[Any, Judged]) -> None:
    if finding.case not in cases:
        return
    unit = labels.get((finding.case, finding.label), cases[finding.case])
    severity = finding.severity
    if finding.rater is not None and severity is Severity.REJECT:
        severity = Severity.REVIEW
    unit.add(severity, finding.message)


def _pass_up(label_judged: Judged, case: Judged, *, label: str, exclude: str) -> None:
    """What a label's verdict means for its case."""
    if label_judged.verdict is Verdict.REJECT and exclude == "case":
        case.add(Severity.REJECT, f"{label}: {label_judged.reasons[0]}")
    elif label_judged.verdict is not Verdict.ACCEPT:
        case.add(Severity.REVIEW, f"{label}: {label_judged.reasons[0]}")


def by_case(decision: Decision) -> dict[str, dict[str, Judged]]:
    """Labels of each case, in the order of the decision."""
    labels: dict[str, dict[str, Judged]] = defaultdict(dict)
    for (case, label), judged in decision.labels.items():
        labels[case][label] = judged
    return labels
