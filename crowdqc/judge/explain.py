"""Why a unit got its verdict, and what changed between two gatings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.findings import Finding, InputError, Where
from crowdqc.judge.decide import Decision, study_measures
from crowdqc.judge.manifest import Manifest
from crowdqc.judge.policy import Judged, Policy, Rule
from crowdqc.judge.text import message, sentence, sentences

COLUMNS = ["unit", "asked", "value", "limit", "result", "because"]
_SUMS = {"study", "case"}
"""Scopes that are judged by what was decided about others, too, which no rule says."""


def explain(
    unit: str,
    policy: Policy,
    *,
    measures: Mapping[str, pd.DataFrame],
    findings: Iterable[Finding],
    decision: Decision,
) -> pd.DataFrame:
    """Everything that was asked of a unit, whether it fired or not.

    Parameters
    ----------
    unit : str
        ``"study"``, ``"rater:NAME"``, ``"CASE"`` (with all its labels) or ``"CASE/LABEL"``.
    policy : Policy
        As `crowdqc.judge.decide` got it.
    measures : mapping of str to DataFrame
        The same.
    findings : iterable of Finding
        The same.
    decision : Decision
        What it made of them.

    Returns
    -------
    DataFrame
        One row per rule and finding: ``unit, asked`` (``measure op limit``, or the name of the
        check), ``value``, ``limit``, ``result`` (passed, note, review, reject, not asked, or not
        known, which asks for a review), ``because``, where there is a reason; last for each unit
        its ``verdict``.

    Raises
    ------
    InputError
        If there is no such unit.
    """
    findings = list(findings)
    rows: list[tuple[Any, ...]] = []
    for scope, key, name, judged in _units(unit, decision):
        if scope == "study":
            values = study_measures(decision, measures)
        else:
            values = dict(measures[scope].loc[key])
        rows += [(name, *_asked(rule, values, judged.where)) for rule in policy.of(scope)]
        rows += [
            (name, f.check, f.value, f.limit, f.severity.value, _finding_text(f, judged.where))
            for f in findings
            if _is_about(f, judged.where)
        ]
        because = sentences(judged.reasons, judged.where) if scope in _SUMS else []
        rows.append((name, "verdict", None, None, judged.verdict.value, "; ".join(because)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _units(unit: str, decision: Decision) -> Iterator[tuple[Any, Any, str, Judged]]:
    """Scope, key, name and verdict of what a unit comprises."""
    case, _, label = unit.partition("/")
    rater = unit.removeprefix("rater:")
    if unit == "study":
        yield "study", None, "study", decision.study
    elif unit.startswith("rater:") and rater in decision.raters:
        yield "rater", rater, unit, decision.raters[rater]
    elif (case, label) in decision.labels:
        yield "label", (case, label), unit, decision.labels[case, label]
    elif unit in decision.cases:
        yield "case", unit, unit, decision.cases[unit]
        for key, judged in decision.labels.items():
            if key[0] == unit:
                yield "label", key, "/".join(key), judged
    else:
        known = [*decision.cases][:3] + [f"rater:{name}" for name in [*decision.raters][:2]]
        raise InputError(
            f"'{unit}' is no unit that was judged; name a case (CASE), a label of a case "
            f"(CASE/LABEL), a rater (rater:NAME) or 'study', for example {', '.join(known)}."
        )


def _asked(rule: Rule, values: Mapping[str, float], unit: Where) -> tuple[Any, ...]:
    """What a rule asked, and what came of it: a reason only where it is one."""
    value = float(values.get(rule.measure, np.nan))
    lacking = [name for name, least in rule.needs.items() if not values.get(name, 0) >= least]
    result, because = "passed", ""
    if lacking:
        least = ", ".join(f"{name} is below {rule.needs[name]:g}" for name in lacking)
        result, because = "not asked", least
    elif np.isnan(value) or rule.fires(value):
        result = "not known" if np.isnan(value) else rule.severity.value
        because = sentence(rule.reason(value, unit), unit, numbers=False)
    return f"{rule.measure} {rule.op} {rule.limit:g}", value, rule.limit, result, because


def _finding_text(finding: Finding, unit: Where) -> str:
    """What was found, and the places that show it."""
    return message(finding, unit) if finding.examples else sentence(finding.reason, unit)


def _is_about(finding: Finding, unit: Where) -> bool:
    """Whether a finding counts for a unit: one that names a case for it, whoever drew it."""
    where = (finding.case, finding.label, None) if finding.case else (None, None, finding.rater)
    return where == (unit.case, unit.label, unit.rater)


def changes(old: Manifest, new: Manifest) -> pd.DataFrame:
    """What two gatings of a study decided differently.

    Parameters
    ----------
    old, new : Manifest
        The earlier and the later gating.

    Returns
    -------
    DataFrame
        ``kind`` (study, rater, case, label, input, rule, prompts), ``name``, ``before``,
        ``after`` ("" where it was not there), ``reasons`` of the new verdict. Only what differs.

    Raises
    ------
    InputError
        If the manifests are of two studies.
    """
    if old.study != new.study:
        raise InputError(
            f"The manifests are of two studies, '{old.study}' and '{new.study}'; give one of "
            f"'{new.study}'."
        )
    before, after = _facts(old), _facts(new)
    rows = []
    for key in dict.fromkeys([*before, *after]):
        was, why = before.get(key, ("", ""))[0], after.get(key, ("", ""))[1]
        now = after.get(key, ("", ""))[0]
        if was != now:
            rows.append((*key, was, now, why))
    return pd.DataFrame(rows, columns=["kind", "name", "before", "after", "reasons"])


def _facts(manifest: Manifest) -> dict[tuple[str, str], tuple[str, str]]:
    """(kind, name) -> what was decided, and why."""
    facts = {
        (one.kind, one.name): (one.verdict, "; ".join(sentences(one.reasons, one.unit)))
        for one in manifest.entries()
    }
    facts["prompts", "boxes that may be used"] = (str(len(manifest.prompts)), "")
    for name, digest in manifest.created_from.items():
        facts["input", name] = (digest[:12], "")
    for rule in manifest.policy["rules"]:
        text = f"{rule['scope']}: {rule['measure']} {rule['op']} {rule['limit']:g}"
        facts["rule", text] = (rule["severity"], rule["because"])
    return facts
