"""A policy: rules as data, each with its reason, read from TOML, and how they are asked.

Raters are judged by it as soon as they are measured (`crowdqc.agreement`), all else by the gate.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pydantic
from pydantic import Field

from crowdqc.config import Section, read_toml, validate
from crowdqc.findings import Reason, Severity, Verdict, Where

VERDICT = {
    Severity.NOTE: Verdict.ACCEPT,
    Severity.REVIEW: Verdict.REVIEW,
    Severity.REJECT: Verdict.REJECT,
}
"""What a rule or a finding of each severity asks for."""

NOWHERE = Where()
"""The whole study."""

Scope = Literal["rater", "box", "slice", "mask", "label", "case", "study"]
"""What can be judged, in the order in which it is."""

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
    """Name of the number, a column of the scope's measures (`crowdqc.judge.measures`)."""
    op: Literal["<", "<=", ">", ">=", "==", "!="]
    """How the measure is held against the limit."""
    limit: float = Field(strict=False, allow_inf_nan=False)
    """The limit, in the unit of the measure."""
    severity: Severity = Field(strict=False)
    """What the rule asks for where it fires: note, review or reject."""
    because: str = Field(min_length=1)
    """The reason, for people."""

    @pydantic.model_validator(mode="after")
    def _monotone(self) -> Rule:
        """What is rejected more may not be judged more mildly."""
        falls = self.measure == "n_cases_kept"
        if self.scope == "study" and self.op not in (("<", "<=") if falls else (">", ">=")):
            raise ValueError(
                f"a rule on the study's {self.measure} must have op "
                f"{'< or <=' if falls else '> or >='}, or one rejection more could make the "
                f"verdict milder; got {self.op}"
            )
        return self

    def fires(self, value: Any) -> Any:
        """Whether the rule fires, for a number or an array of numbers that are not nan."""
        return _OPERATORS[self.op](value, self.limit)

    def reason(self, value: float, where: Where = NOWHERE) -> Reason:
        """Why the rule asks for something, at a value for which it fires or that is nan."""
        return Reason(
            measure=self.measure,
            value=None if math.isnan(value) else value,
            op=self.op,
            limit=self.limit,
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
    """The mildest verdict of the whole study with which the gate says no (exit code 3)."""
    rules: list[Rule] = Field(min_length=1)
    """All are asked, and the worst that fires decides."""

    def of(self, scope: Scope) -> list[Rule]:
        """Rules of one scope."""
        return [rule for rule in self.rules if rule.scope == scope]

    def says_no(self, verdict: Verdict) -> bool:
        """Whether the gate says no to a study with this verdict."""
        return verdict.rank >= Verdict(self.fail_on).rank


def load_policy(path: Path | None = None) -> Policy:
    """Read a policy; `None` gives the one that crowdqc ships.

    Raises
    ------
    InputError
        If the file cannot be read or breaks a rule; every fault on a line of its own.
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
        """Ask a rule of a value; nan asks for a review."""
        if np.isnan(value):
            self.add(Severity.REVIEW, rule.reason(value, self.where))
        elif rule.fires(value):
            self.add(rule.severity, rule.reason(value, self.where))


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
    judged: dict[Any, Judged] = {unit: Judged(where=place(unit)) for unit in measures.index}
    for rule in rules:
        values = measures.get(rule.measure, pd.Series(np.nan, index=measures.index))
        for unit, value in values.items():
            judged[unit].ask(rule, float(value))
    return judged
