"""A policy: rules as data, each with its reason, read from TOML, and how they are asked.

Raters are judged by it as soon as they are measured (`crowdqc.agreement`), all else by the gate.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pydantic
from numpy.typing import NDArray
from pydantic import Field

from crowdqc.config import Section, read_toml, validate
from crowdqc.findings import Finding, Reason, Severity, Verdict, Where
from crowdqc.judge.declared import COUNTED, FINDINGS, Scope, measures_of, severities
from crowdqc.text import must_be_one_of

VERDICT = {
    Severity.NOTE: Verdict.ACCEPT,
    Severity.REVIEW: Verdict.REVIEW,
    Severity.REJECT: Verdict.REJECT,
}
"""What a rule or a finding of each severity asks for."""

NOWHERE = Where()
"""The whole study."""

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class Rule(Section):
    """One rule: it fires for a unit of its scope where ``measure op limit`` holds."""

    scope: Scope
    """What is judged: a rater, a fused box, a slice, a mask, a label of a case, a case, or the
    whole study."""
    measure: str
    """Name of the number: a column of the scope's measures (`crowdqc.judge.measures`), or
    ``findings:CHECK``, how many findings of a check are about the unit (rater, label, case,
    study)."""
    op: Literal["<", "<=", ">", ">=", "==", "!="]
    """How the measure is held against the limit."""
    limit: float = Field(strict=False, allow_inf_nan=False)
    """The limit, in the unit of the measure."""
    severity: Severity = Field(strict=False)
    """What the rule asks for where it fires: note, review or reject."""
    because: str = Field(min_length=1)
    """The reason, for people."""
    needs: dict[str, Annotated[float, Field(strict=False, allow_inf_nan=False)]] = Field({})
    """Measures of the unit, and how large each must be for the rule to be asked: of a rater who
    drew three boxes some rules are better not asked."""

    @pydantic.model_validator(mode="after")
    def _declared(self) -> Rule:
        """A measure that nobody measures would ask for a review of everything."""
        known = measures_of(self.scope)
        for name in (self.measure, *self.needs):
            if self.scope in COUNTED and name.startswith(FINDINGS):
                _refuse_unknown_check(name.removeprefix(FINDINGS))
            elif name not in known:
                raise ValueError(must_be_one_of(f"a measure of a {self.scope}", name, known))
        return self

    @pydantic.model_validator(mode="after")
    def _monotone(self) -> Rule:
        """What is rejected more, or has more findings, may not be judged more mildly."""
        falls, counts = self.measure == "n_cases_kept", self.measure.startswith(FINDINGS)
        rising = counts or self.scope == "study"
        if rising and self.op not in (("<", "<=") if falls else (">", ">=")):
            raise ValueError(
                f"a rule on the {self.scope}'s {self.measure} must have op "
                f"{'< or <=' if falls else '> or >='}, or one "
                f"{'finding' if counts else 'rejection'} more could make the verdict milder; "
                f"got {self.op}"
            )
        return self

    @property
    def checks(self) -> list[str]:
        """Checks of which it asks how many findings there are."""
        names = (self.measure, *self.needs)
        return [name.removeprefix(FINDINGS) for name in names if name.startswith(FINDINGS)]

    def fires(self, value: Any) -> Any:
        """Whether the rule fires, for a number or an array of numbers; nan means nothing."""
        return _OPERATORS[self.op](value, self.limit)

    def lacking(self, measures: pd.DataFrame) -> NDArray[np.bool_]:
        """Units of which too little is known for the rule to be asked, shape (N,)."""
        lacking = np.zeros(len(measures), dtype=np.bool_)
        for name, least in self.needs.items():
            lacking |= ~(_measured(measures, name) >= least)
        return lacking

    @cached_property
    def _unit(self) -> str | None:
        """Unit of the measure; None for a number without one."""
        known = measures_of(self.scope).get(self.measure)
        unit = "findings" if known is None else known.unit
        return None if unit in ("", "1") else unit

    def reason(self, value: float, where: Where = NOWHERE) -> Reason:
        """Why the rule asks for something, at a value for which it fires or that is nan."""
        return Reason(
            measure=self.measure,
            value=None if math.isnan(value) else value,
            op=self.op,
            limit=self.limit,
            unit=self._unit,
            because=self.because,
            where=where,
        )


class Policy(Section):
    """What may be used: rules, and what a rejected label means for its case."""

    format_version: Literal[1] = 1
    """Version of this file's format."""
    exclude: Literal["case", "label"] = "case"
    """Whether a rejected label takes its whole case with it, or goes alone."""
    fail_on: Literal["reject", "review"] = "reject"
    """The mildest verdict of the whole study that the gate rejects (exit code 3)."""
    severities: dict[str, Annotated[Severity, Field(strict=False)]] = Field({})
    """How grave findings of a check are, where they are not what the check is declared to be."""
    rules: list[Rule] = Field(min_length=1)
    """All are asked, and the worst that fires decides."""

    @pydantic.field_validator("severities")
    @classmethod
    def _known(cls, value: dict[str, Severity]) -> dict[str, Severity]:
        for name in value:
            _refuse_unknown_check(name)
        return value

    def of(self, scope: Scope) -> list[Rule]:
        """Rules of one scope."""
        return [rule for rule in self.rules if rule.scope == scope]

    def weigh(self, findings: Iterable[Finding]) -> list[Finding]:
        """Findings, each as grave as the policy says."""
        return [
            replace(finding, severity=self.severities.get(finding.check, finding.severity))
            for finding in findings
        ]

    def says_no(self, verdict: Verdict) -> bool:
        """Whether the gate rejects a study with this verdict (exit code 3)."""
        return verdict.rank >= Verdict(self.fail_on).rank


def _refuse_unknown_check(name: str) -> None:
    known = severities()
    if name not in known:
        raise ValueError(must_be_one_of("a check", name, known))


def load_policy(path: Path | None = None) -> Policy:
    """Read a policy.

    Parameters
    ----------
    path : Path, optional
        A TOML file. None: the policy that crowdqc ships.

    Returns
    -------
    Policy
        Its rules; a rule on a measure that nobody measures is refused.

    Raises
    ------
    InputError
        If the file cannot be read or breaks a rule; every fault on a line of its own.

    Examples
    --------
    >>> import crowdqc
    >>> crowdqc.load_policy().fail_on
    'reject'
    """
    if path is not None:
        return validate(Policy, read_toml(path), path)
    shipped = resources.files("crowdqc") / "default_policy.toml"
    with resources.as_file(shipped) as file:
        return validate(Policy, read_toml(file), file)


@dataclass
class Judged:
    """What was decided about one unit, and why: the gravest reasons first."""

    verdict: Verdict = Verdict.ACCEPT
    reasons: list[Reason] = field(default_factory=list)
    where: Where = NOWHERE
    """The unit, for the reasons that rules give."""
    _n_grave: int = field(default=0, repr=False)
    _known: set[Reason] = field(default_factory=set, repr=False)

    def add(self, severity: Severity, reason: Reason) -> None:
        """Take one more reason into account."""
        verdict = VERDICT[severity]
        if verdict.rank > self.verdict.rank:
            self.verdict = verdict
        if verdict is Verdict.ACCEPT or reason in self._known:
            return
        self._known.add(reason)
        if verdict is Verdict.REJECT:
            self.reasons.insert(self._n_grave, reason)
            self._n_grave += 1
        else:
            self.reasons.append(reason)

    def ask(self, rule: Rule, value: float) -> None:
        """Take a rule into account that fires at a value, or whose value is nan: a review."""
        severity = Severity.REVIEW if math.isnan(value) else rule.severity
        self.add(severity, rule.reason(value, self.where))


def ask_all(
    rules: Iterable[Rule], measures: pd.DataFrame, place: Callable[[Any], Where]
) -> dict[Any, Judged]:
    """Ask rules of every unit.

    Parameters
    ----------
    rules : iterable of Rule
        Of one scope.
    measures : DataFrame
        A row for each unit, a column for each measure; one that is absent is not known.
    place : callable
        Unit (index of `measures`) -> what it is.

    Returns
    -------
    dict
        Unit -> what was decided.
    """
    judged = [Judged(where=place(unit)) for unit in measures.index]
    for rule, row, value in firing(rules, measures):
        judged[row].ask(rule, value)
    return dict(zip(measures.index, judged, strict=True))


def firing(rules: Iterable[Rule], measures: pd.DataFrame) -> Iterator[tuple[Rule, int, float]]:
    """Each rule with the rows for which it fires or is not known, and their values.

    Parameters
    ----------
    rules : iterable of Rule
        About one kind of unit.
    measures : DataFrame
        One row for each unit; a measure that it lacks is nan for all.

    Yields
    ------
    Rule
        One that fires, or whose measure is nan.
    int
        Row of `measures`, from 0.
    float
        What was measured there.
    """
    for rule in rules:
        values = _measured(measures, rule.measure)
        rows = (np.isnan(values) | rule.fires(values)) & ~rule.lacking(measures)
        for row in np.flatnonzero(rows).tolist():
            yield rule, row, float(values[row])


def _measured(measures: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A measure of all units; nan where it is not known."""
    if name not in measures:
        return np.full(len(measures), np.nan)
    return measures[name].to_numpy(np.float64)
