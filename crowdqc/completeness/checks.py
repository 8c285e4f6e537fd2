"""How runs are checked: what a check looks at, and what becomes of what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from crowdqc.arrays import Bools
from crowdqc.checks import declared, registered
from crowdqc.completeness.position import run_jumps
from crowdqc.completeness.runs import Runs
from crowdqc.completeness.settings import Orientation, Settings
from crowdqc.findings import Finding, Severity, to_cell

WRONG_LABEL = {"labels-swapped", "wrong-side"}
CONSEQUENCES = {"run-truncated", "run-short", "single-slice", "run-sparse", "box-contradicted"}
"""What follows from a wrong label: the run is held against that of another organ."""

Found = Iterator[tuple[Iterable[int], Finding]]
"""Rows of the runs that a finding is about, and the finding."""


@dataclass(frozen=True)
class RunData:
    """What checks of runs look at.

    Parameters
    ----------
    facts : DataFrame
        One row per run, as `crowdqc.completeness.assess` gathers it.
    runs : Runs
        What was drawn.
    settings : Settings
        What counts as complete.
    orientation : Orientation or None
        What is known of the patient's sides.
    """

    facts: pd.DataFrame
    runs: Runs
    settings: Settings
    orientation: Orientation | None

    @cached_property
    def jumped(self) -> Bools:
        """As `run_jumps`, looked for once."""
        return run_jumps(self.runs)


def list_findings(data: RunData) -> tuple[list[Finding], list[str]]:
    """Everything that is wrong with the runs.

    Parameters
    ----------
    data : RunData
        The runs, and what was measured of them.

    Returns
    -------
    findings : list of Finding
    faults : list of str
        For each run the names of the checks that found something, as a cell of a table.
    """
    own = declared("run")
    found = [
        (list(rows), replace(one, severity=own.get(one.check, one.severity)))
        for check in registered("run")
        for rows, one in check.find(data)
    ]
    swapped = {row for rows, finding in found if finding.check in WRONG_LABEL for row in rows}
    findings: list[Finding] = []
    faults: list[list[str]] = [[] for _ in range(len(data.facts))]
    for rows, finding in found:
        if finding.check in CONSEQUENCES and swapped.issuperset(rows):
            continue
        findings.append(finding)
        for row in rows:
            if finding.severity is not Severity.NOTE and finding.check not in faults[row]:
                faults[row].append(finding.check)
    return findings, [to_cell(names) for names in faults]


def run_finding(row: Any, check: str, text: str, **further: Any) -> Finding:
    """A finding about one run.

    Parameters
    ----------
    row : namedtuple
        Of a run: has `case`, `label` and `rater`.
    check : str
        One of ``checks.toml``.
    text : str
        The message.
    **further : object
        Further fields of the finding.
    """
    return Finding(
        check=check, message=text, case=row.case, label=row.label, rater=row.rater, **further
    )
