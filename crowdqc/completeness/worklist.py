"""The worklist: who has to look at what again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from crowdqc.completeness.slices import from_ranges, to_ranges
from crowdqc.findings import Finding, Severity, to_cell
from crowdqc.schema import natural_order

TASKS = {
    "case-unread": "read",
    "slices-unread": "read",
    "organ-missing": "draw",
    "slice-lost": "read",
    "organ-gap": "draw",
    "run-truncated": "extend",
    "single-slice": "extend",
    "run-short": "extend",
    "run-sparse": "extend",
    "double-box": "remove",
    "box-jump": "check",
    "box-contradicted": "check",
    "box-withheld": "check",
    "labels-swapped": "relabel",
    "wrong-side": "relabel",
}
"""Check -> what its remedy is."""
ONCE = {"extend", "check", "relabel"}
"""Tasks that are the same however many findings say so: their slices are put together."""
ALL = "all"
"""What stands for the slices where a task is about the whole case."""
COLUMNS = ["rater", "case", "label", "task", "slices", "n_slices", "why"]


def todo(completeness: pd.DataFrame, findings: Iterable[Finding]) -> pd.DataFrame:
    """What each rater has to do again.

    Parameters
    ----------
    completeness : DataFrame
        Table ``completeness``, as from `crowdqc.completeness.assess`.
    findings : iterable of Finding
        Those of `assess`, and of boxes that the gate withholds.

    Returns
    -------
    DataFrame
        One row per task, by rater, the worst first, then by case: ``rater, case, label`` (several
        by ", "; those of the rater where a whole case was not read), ``task`` (read, draw,
        extend, remove, check, relabel), ``slices`` as ``"40-43 74"`` (``"all"`` where it is about
        all slices of the case), ``n_slices`` (0 then), ``why``, a JSON list of the names
        of the checks. What several findings say of one run (too short, truncated, a single slice)
        is one row.

    Examples
    --------
    >>> import crowdqc
    >>> study = crowdqc.Study.from_boxes(crowdqc.example_boxes())
    >>> crowdqc.work_list(*crowdqc.assess_completeness(study))[["rater", "task"]].values.tolist()
    [['cem', 'draw']]
    """
    named = [finding for finding in findings if _is_task(finding)]
    lost = _labels_with("lost_slices", completeness)
    asked = _labels_with("label", completeness)
    rows: dict[tuple[object, ...], list[Any]] = {}
    for finding in named:
        key = (str(finding.rater), str(finding.case))
        whole = {"slice-lost": lost, "case-unread": asked}.get(finding.check, {})
        label = finding.label or ", ".join(whole.get(key, []))
        task = TASKS[finding.check]
        place = (*key, label, task, "" if task in ONCE else finding.check)
        row = rows.setdefault(place, [*key, label, task, set(), [], -finding.severity.rank])
        row[4].update(from_ranges(finding.slices or ""))
        row[5].append(finding.check)
    table = pd.DataFrame(
        [
            [*row[:4], to_ranges(row[4]) or ALL, len(row[4]), to_cell(row[5]), row[6]]
            for row in rows.values()
        ],
        columns=[*COLUMNS, "rank"],
    )
    return _in_order(table)[COLUMNS]


def _is_task(finding: Finding) -> bool:
    known = finding.rater is not None and finding.case is not None
    return known and finding.check in TASKS and finding.severity is not Severity.NOTE


def _labels_with(column: str, completeness: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    """(rater, case) -> the labels whose run has something in a column."""
    if column not in completeness:
        return {}
    some = completeness[completeness[column] != ""]
    groups = some.groupby(["rater", "case"], sort=False)["label"]
    return {key: labels.tolist() for key, labels in groups}


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    for name in ("rater", "case"):
        order = natural_order(table[name].unique())
        table[f"{name}_at"] = table[name].map({value: n for n, value in enumerate(order)})
    return table.sort_values(["rater_at", "rank", "case_at"], kind="stable", ignore_index=True)
