"""The worklist: who has to look at what again."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from crowdqc.completeness.slices import from_ranges
from crowdqc.findings import Finding, Severity
from crowdqc.schema import natural_order

TASKS = {
    "case-unread": "read",
    "organ-missing": "draw",
    "slice-lost": "read",
    "organ-gap": "draw",
    "run-truncated": "extend",
    "single-slice": "extend",
    "run-short": "extend",
    "run-sparse": "extend",
    "double-box": "remove",
    "box-jump": "check",
    "labels-swapped": "relabel",
    "wrong-side": "relabel",
}
"""Check -> what its remedy is."""
COLUMNS = ["rater", "case", "label", "task", "slices", "n_slices", "why"]


def todo(completeness: pd.DataFrame, findings: Iterable[Finding]) -> pd.DataFrame:
    """What each rater has to do again.

    Parameters
    ----------
    completeness : DataFrame
        Table ``completeness``, as from `crowdqc.completeness.assess`.
    findings : iterable of Finding
        Those of `assess`.

    Returns
    -------
    DataFrame
        One row per task, by rater, the worst first, then by case: ``rater, case, label`` (several
        by ", "; those of the rater where a whole case was not read), ``task`` (read, draw,
        extend, remove, check, relabel), ``slices`` as ``"40-43 74"`` ("" where they are not
        known), ``n_slices`` (0 where they are not known), ``why``, the name of the check. What a
        finding says twice of one run (too short, truncated, a single slice) is one row.

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
    rows: dict[tuple[object, ...], list[object]] = {}
    for finding in named:
        key = (str(finding.rater), str(finding.case))
        whole = {"slice-lost": lost, "case-unread": asked}.get(finding.check, {})
        label = finding.label or ", ".join(whole.get(key, []))
        task = TASKS[finding.check]
        # Redrawing the slices where a run should go on is one task, however often it is said.
        place = (*key, label, task, "" if task == "extend" else finding.check)
        row = rows.setdefault(place, [*key, label, task, "", 0, "", -finding.severity.rank])
        slices = from_ranges(finding.slices or "")
        if len(slices) > int(str(row[5])):
            row[4], row[5] = finding.slices, len(slices)
        row[6] = f"{row[6]}, {finding.check}".removeprefix(", ")
    table = pd.DataFrame(list(rows.values()), columns=[*COLUMNS, "rank"])
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
