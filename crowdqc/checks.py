"""Checks of raters and of runs: what crowdqc brings and what other packages add, found alike.

A check is an entry point of the group ``crowdqc.checks``. It looks at everything that was measured
of the raters (`crowdqc.agreement.rater_data.RaterData`) or of the runs
(`crowdqc.completeness.checks.RunData`), and may add measures of its own, which stand as columns in
``raters.csv`` or ``completeness.csv``, where rules of a policy and the report find them. How grave
a finding is, a check does not decide: `crowdqc.judge` does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from crowdqc.arrays import Floats
from crowdqc.findings import InputError, Severity
from crowdqc.plugins import load, names

Scope = Literal["rater", "run"]


@dataclass(frozen=True)
class Measure:
    """A number that a check adds to a table.

    Parameters
    ----------
    name : str
        Name of the column.
    unit : str
        Its unit; "1" for shares and other numbers without one.
    about : str
        What it says, for the report.
    """

    name: str
    unit: str
    about: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check, which may make findings of several names.

    Parameters
    ----------
    of : {"rater", "run"}
        What is checked.
    find : callable
        Takes `RaterData` and gives faults (`crowdqc.agreement.rater_data.Fault`), or takes
        `RunData` and gives pairs of the rows of the runs and the finding about them.
    findings : mapping of str to Severity or None
        Names of the findings, and how grave each is unless a policy says otherwise. None: as
        `crowdqc.judge` says, which knows the checks that crowdqc brings.
    measures : tuple of Measure
        What `measure` gives.
    measure : callable, optional
        Takes the same data; gives name of a measure -> values, one for each rater or run.
    order : int
        Checks are asked in this order, then by name.
    """

    of: Scope
    find: Callable[[Any], Iterable[Any]]
    findings: Mapping[str, Severity | None]
    measures: tuple[Measure, ...] = ()
    measure: Callable[[Any], Mapping[str, Floats]] | None = None
    order: int = field(default=1000)


def check(of: Scope, *findings: str, order: int) -> Callable[[Callable[[Any], Any]], Check]:
    """Make a function one of the checks that crowdqc brings: a decorator.

    Parameters
    ----------
    of : str
        What is checked: ``"rater"`` or ``"run"``.
    *findings : str
        Checks of ``checks.toml`` that it may find.
    order : int
        Its place among the checks of its kind; findings stand in this order.
    """

    def made(find: Callable[[Any], Any]) -> Check:
        return Check(of=of, find=find, findings=dict.fromkeys(findings), order=order)

    return made


def registered(of: Scope) -> list[Check]:
    """All checks of raters, or of runs, in the order in which they are asked.

    Parameters
    ----------
    of : {"rater", "run"}

    Returns
    -------
    list of Check

    Raises
    ------
    InputError
        If an entry point of the group is no `Check`.
    """
    found = []
    for name in names("crowdqc.checks"):
        one = load("crowdqc.checks", name)
        if not isinstance(one, Check):
            raise InputError(
                f"'{name}' of 'crowdqc.checks' must be a crowdqc.checks.Check; got {one!r}. "
                "Mend or uninstall the package that registers it."
            )
        if one.of == of:
            found.append((one.order, name, one))
    return [one for _, _, one in sorted(found, key=lambda entry: entry[:2])]


def measured(of: Scope, data: Any, *, n: int, taken: Collection[str]) -> dict[str, Floats]:
    """Values of the measures that checks add, by name of the column.

    Parameters
    ----------
    of : str
        As of `check`.
    data : object
        What such checks are given.
    n : int
        Number of raters or runs.
    taken : collection of str
        Columns that the table has already.

    Returns
    -------
    dict
        Measure -> its values, shape (N,) for N raters or runs.

    Raises
    ------
    InputError
        If a measure has the name of a column, or other than `n` values.
    """
    columns: dict[str, Floats] = {}
    for one in registered(of):
        for name, values in (one.measure(data) if one.measure else {}).items():
            if name in taken or name in columns:
                problem = "has the name of a column that is there already"
            elif np.shape(values) != (n,):
                problem = f"must be an array of shape ({n},); got {np.shape(values)}"
            else:
                columns[name] = values
                continue
            where = f"{one.find.__module__}.{getattr(one.find, '__qualname__', '')}"
            raise InputError(f"the measure '{name}' of the check {where} {problem}.")
    return columns


def declared(of: Scope) -> dict[str, Severity]:
    """How grave findings are by the word of their own checks, where these have one."""
    return {
        name: severity
        for one in registered(of)
        for name, severity in one.findings.items()
        if severity is not None
    }
