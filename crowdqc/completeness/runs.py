"""What is missing: for each case, label and rater, which slices were drawn and which were not.

A *run* is the boxed slices of one label of one case by one rater. Slices strictly between its
first and its last without a box are gaps; where the other raters drew well beyond an end, the run
is truncated there. How much should be there is said by the other raters, where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.findings import Finding, Severity
from crowdqc.schema import ReadingState, Study, conform, natural_order

_RUN = ["case", "label", "rater"]
_ORGAN = ["case", "label"]


@dataclass(frozen=True)
class Settings:
    """When a run counts as truncated, or as not complete.

    Parameters
    ----------
    beyond : int
        Slices that the others must have drawn beyond an end: one more or less is a matter of
        taste, where an organ fades out.
    coverage : float
        Least share of the expected slices that a complete run has.
    """

    beyond: int = 2
    coverage: float = 0.9


def assess(study: Study, settings: Settings | None = None) -> tuple[pd.DataFrame, list[Finding]]:
    """Which runs are complete.

    Parameters
    ----------
    study : Study
        A reading that was only opened counts as asked, not as read.
    settings : Settings, optional
        None: the defaults.

    Returns
    -------
    completeness : DataFrame
        Table ``completeness``: one row for each case, label and rater who was asked for it.
        `coverage` is the share of the expected slices that has a box: those that at least
        half of the other raters who drew the label there drew, or, without others, those
        from the first to the last own box; nan where nothing is expected.
    findings : list of Finding
        One for each run that is not complete; it says what to redraw.
    """
    settings = settings or Settings()
    drawn = study.boxes[["slice", *_RUN]].drop_duplicates()
    runs = _asked(study).join(_extent(drawn))
    expected = _expected(drawn, runs)
    table = runs.join(expected).reset_index()
    counts = ["n_slices", "n_others", "n_expected", "n_hit"]
    table[counts] = table[counts].fillna(0).astype(np.int64)
    table["gap_slices"] = _gap_slices(table, drawn)
    table["n_gaps"] = [len(gaps.split()) for gaps in table["gap_slices"]]
    table["truncated"] = _truncated(table, settings)
    table["coverage"] = _coverage(table)
    table["state"] = _states(table, study, settings)
    table["reasons"] = [_reasons(row) for row in table.itertuples()]
    table = conform("completeness", _in_order(table, study))
    findings = [_finding(row) for row in table.itertuples() if row.state != "complete"]
    return table.iloc[:, : list(table.columns).index("reasons") + 1], findings


def _asked(study: Study) -> pd.DataFrame:
    """Slices that each rater read, of those that the rater was asked for."""
    asked = study.asked()
    read = asked["state"] != ReadingState.OPENED.value
    groups = read.groupby([asked[key] for key in _RUN])
    return pd.DataFrame({"n_asked": groups.size(), "n_read": groups.sum()})


def _extent(drawn: pd.DataFrame) -> pd.DataFrame:
    slices = drawn.groupby(_RUN)["slice"]
    return pd.DataFrame({"n_slices": slices.size(), "first": slices.min(), "last": slices.max()})


def _expected(drawn: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """What the others drew, for each run: how many slices, their ends, how many it has too."""
    raters = drawn.drop_duplicates(_RUN).groupby(_ORGAN).size().rename("n_raters")
    votes = drawn.groupby([*_ORGAN, "slice"]).size().rename("votes").reset_index()
    every = runs.reset_index()[[*_RUN, "n_slices"]].merge(raters, on=_ORGAN).merge(votes, on=_ORGAN)
    every = every.merge(drawn.assign(own=1), on=[*_RUN, "slice"], how="left")
    own = every["own"].fillna(0)
    n_others = every["n_raters"] - every["n_slices"].notna()
    wanted = (n_others > 0) & (every["votes"] - own >= n_others / 2)
    every = every.assign(n_others=n_others, wanted=wanted, hit=wanted & (own > 0))
    groups = every.groupby(_RUN)
    ends = every[wanted].groupby(_RUN)["slice"]
    return pd.DataFrame(
        {
            "n_others": groups["n_others"].first(),
            "n_expected": groups["wanted"].sum(),
            "n_hit": groups["hit"].sum(),
            "expected_first": ends.min(),
            "expected_last": ends.max(),
        }
    )


def _gap_slices(table: pd.DataFrame, drawn: pd.DataFrame) -> list[str]:
    """Slices between the first and the last box of each run that have none."""
    ordered = drawn.sort_values([*_RUN, "slice"])
    before = ordered.groupby(_RUN)["slice"].shift()
    steps = ordered[(ordered["slice"] - before) > 1].assign(before=before)
    gaps: dict[tuple[str, ...], list[str]] = {}
    for row in steps.itertuples():
        missing = [str(k) for k in range(int(row.before) + 1, row.slice)]
        gaps.setdefault((row.case, row.label, row.rater), []).extend(missing)
    keys = zip(*(table[key] for key in _RUN), strict=True)
    return [" ".join(gaps.get(key, [])) for key in keys]


def _truncated(table: pd.DataFrame, settings: Settings) -> NDArray[np.object_]:
    low = table["first"] - table["expected_first"] >= settings.beyond
    high = table["expected_last"] - table["last"] >= settings.beyond
    return np.select([low & high, low, high], ["both", "low", "high"], default="").astype(object)


def _coverage(table: pd.DataFrame) -> NDArray[np.float64]:
    alone = table["n_slices"] / (table["last"] - table["first"] + 1)
    others = table["n_hit"] / table["n_expected"].where(table["n_expected"] > 0)
    return np.where(table["n_others"] > 0, others, alone)


def _states(table: pd.DataFrame, study: Study, settings: Settings) -> NDArray[np.object_]:
    nothing = table["n_slices"] == 0
    flawed = (table["n_gaps"] > 0) | (table["truncated"] != "")
    flawed |= table["coverage"] < settings.coverage
    absent = nothing & ~table["label"].isin(study.single)
    unread = nothing & (table["n_read"] == 0) & ~_worked_on(table)
    choices = [unread, absent & (table["n_expected"] == 0), nothing, flawed]
    names = ["unread", "complete", "missing", "partial"]
    return np.select(choices, names, default="complete").astype(object)


def _worked_on(table: pd.DataFrame) -> pd.Series:
    """Whether somebody drew in the case, of a label that only one rater was asked for.

    Where each label has its own rater, all of them worked in the same files: files with the
    boxes of the others in them were looked at, so a label without boxes is missing.
    """
    alone = table.groupby(_ORGAN)["rater"].transform("size") == 1
    case_drawn = table.groupby("case")["n_slices"].transform("sum") > 0
    return alone & case_drawn


def _reasons(row: Any) -> str:
    if row.state == "unread":
        return f"{row.n_asked} slices were opened and nothing was drawn in the case"
    if row.state == "missing":
        return "others drew it here" if row.n_expected else "nobody drew it in this case"
    if not row.n_slices:
        return "nothing was drawn"
    reasons = []
    if row.n_gaps:
        reasons.append(f"no box on {row.n_gaps} slices inside the run")
    if row.truncated:
        start, end = int(row.expected_first), int(row.expected_last)
        reasons.append(f"others drew slices {start} to {end}, here {row.first:g} to {row.last:g}")
    who = "half of the others drew" if row.n_others else "lie between its ends"
    return "; ".join([*reasons, f"expected: the slices that {who}"])


def _in_order(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    ranks = {
        "case": natural_order(table["case"].unique()),
        "label": list(study.labels),
        "rater": natural_order(table["rater"].unique()),
    }
    codes = [pd.Categorical(table[key], categories=order).codes for key, order in ranks.items()]
    return table.iloc[np.lexsort(codes[::-1])]


def _finding(row: Any) -> Finding:
    severity = Severity.REJECT if row.state in {"missing", "unread"} else Severity.REVIEW
    redraw = f" Redraw slices {row.gap_slices}." if row.gap_slices else ""
    place = f"Case {row.case}, {row.label}, rater {row.rater}"
    return Finding(
        check=f"organ-{row.state}",
        severity=severity,
        message=f"{place}: {row.state}; {row.reasons}.{redraw}",
        case=row.case,
        label=row.label,
        rater=row.rater,
        value=None if np.isnan(row.coverage) else float(row.coverage),
        unit="coverage",
    )
