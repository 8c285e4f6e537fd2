"""Who was asked for what: whole cases or single slices, and labels that a case need not show."""

from __future__ import annotations

import pandas as pd

from crowdqc.schema import READING, RUN, ReadingState, Study

COUNTS = ["n_asked", "n_opened", "n_read"]
USUAL = 0.5
"""Share of the cases that show a label from which a case without it is worth a row."""
WHOLE = 0.9
"""Share of a case's slices from which a rater was given the whole case, whatever the others."""
DEALT = 0.5
"""Share of the slices of the cases below which a rater was dealt them, and lost none."""


def who_was_asked(study: Study, owed: pd.DataFrame | None = None) -> pd.DataFrame:
    """Slices that each rater was asked for, and how many of them were opened and read.

    Who has assignments was asked for these, whether there is an annotation or not; all others were
    asked for what they have annotations of. A label that a case does not show stands there only
    where it is usual, or where the rater drew nothing in a case that was merely opened: of a
    thousand labels a case shows ten.

    Parameters
    ----------
    study : Study
    owed : DataFrame, optional
        ``case, slice, rater, labels`` of what was assigned.

    Returns
    -------
    DataFrame
        ``n_asked, n_opened, n_read``, indexed by case, label and rater.
    """
    readings = _questions(study, owed)
    groups = readings.groupby(["case", "rater", "labels"])
    asked = groups.agg(
        n_asked=("slice", "size"), n_opened=("opened", "sum"), n_read=("read", "sum")
    ).reset_index()
    drawn = study.boxes[["case", "label"]].drop_duplicates()
    every = pd.DataFrame({"label": study.labels})
    usual = every[every["label"].isin(usual_labels(study))]
    worked = asked.groupby(["case", "rater"])["n_read"].transform("sum") > 0
    parts = [
        asked.merge(drawn, on="case"),
        asked.merge(usual, how="cross"),
        asked[~worked].merge(every, how="cross"),
    ]
    rows = pd.concat(parts, ignore_index=True)
    named = rows["labels"] != ""
    wanted = ~named.to_numpy()
    wanted[named] = [
        label in labels.split(" ")
        for label, labels in rows.loc[named, ["label", "labels"]].itertuples(index=False)
    ]
    rows = rows[wanted].drop_duplicates([*RUN, "labels"])
    counts = rows.groupby(RUN)[COUNTS].sum()
    return counts if owed is None else _with_drawn(counts, study)


def _questions(study: Study, owed: pd.DataFrame | None) -> pd.DataFrame:
    """``case, slice, rater, labels, opened, read`` of all that was asked for."""
    readings = study.readings[[*READING, "labels"]].assign(
        opened=True, read=study.readings["state"] != ReadingState.OPENED.value
    )
    if owed is None:
        return readings
    others = readings[~readings["rater"].isin(owed["rater"].unique())]
    found = owed[[*READING, "labels"]].merge(
        readings.drop(columns="labels"), on=READING, how="left"
    )
    found[["opened", "read"]] = found[["opened", "read"]].eq(True)  # noqa: FBT003 - nan is not
    return pd.concat([others, found], ignore_index=True)


def _with_drawn(counts: pd.DataFrame, study: Study) -> pd.DataFrame:
    """`counts` with a row for each run that somebody drew without having been asked for it."""
    drawn = study.boxes.drop_duplicates([*RUN, "slice"]).groupby(RUN).size()
    more = drawn[~drawn.index.isin(counts.index)]
    return pd.concat([counts, pd.DataFrame(dict.fromkeys(COUNTS, more))])


def usual_labels(study: Study) -> list[str]:
    """Labels that at least half of the cases that were read show, in the order of the study."""
    n_cases = study.readings["case"].nunique()
    shown = study.boxes.groupby("label")["case"].nunique()
    return [label for label in study.labels if shown.get(label, 0) >= USUAL * n_cases]


def dealt_slices(study: Study, owed: pd.DataFrame | None = None) -> pd.Series:
    """Whether a rater was given single slices of the cases, indexed by case and rater.

    Then a slice without a reading is nobody's fault; of a rater who was given a whole case, it was
    skipped, or its file lost. Assignments say it. Without them, who read less than half (`DEALT`)
    of the slices that anybody read, of all cases of the rater together, was dealt them, but in a
    case of which hardly one lacks.

    Parameters
    ----------
    study : Study
        Its readings are used.
    owed : DataFrame, optional
        What was assigned; `None` without assignments.
    """
    readings = study.readings
    if owed is not None:
        readings = readings[~readings["rater"].isin(owed["rater"].unique())]
    own = readings.groupby(["case", "rater"])["slice"].nunique()
    cases = study.readings.groupby("case")["slice"].nunique()
    every = pd.Series(cases.loc[own.index.get_level_values("case")].to_numpy(), own.index)
    of_rater = own.groupby("rater").sum() < DEALT * every.groupby("rater").sum()
    few = of_rater.loc[own.index.get_level_values("rater")].to_numpy()
    dealt = (own < WHOLE * every) & few
    return dealt if owed is None else pd.concat([dealt, _assigned_slices(study, owed)])


def _assigned_slices(study: Study, owed: pd.DataFrame) -> pd.Series:
    """Whether assignments are of single slices of a case."""
    own = owed.groupby(["case", "rater"])["slice"].nunique()
    size = study.images.groupby("case").size()
    return own < WHOLE * size.reindex(own.index.get_level_values("case")).fillna(0).to_numpy()
