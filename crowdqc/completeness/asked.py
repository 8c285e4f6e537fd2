"""Who was asked for what: whole cases or single slices, and labels that a case need not show."""

from __future__ import annotations

import pandas as pd

from crowdqc.schema import ReadingState, Study

RUN = ["case", "label", "rater"]
USUAL = 0.5
"""Share of the cases that show a label from which a case without it is worth a row."""
WHOLE = 0.9
"""Share of a case's slices from which a rater was given the whole case, whatever the others."""
DEALT = 0.5
"""Share of the slices of the cases below which a rater was dealt them, and lost none."""


def who_was_asked(study: Study) -> pd.DataFrame:
    """Slices that each rater was asked for, and how many of them were read.

    A label that a case does not show stands there only where it is usual, or where the rater
    drew nothing in a case that was merely opened: of a thousand labels a case shows ten.

    Parameters
    ----------
    study : Study

    Returns
    -------
    DataFrame
        ``n_asked, n_read``, indexed by case, label and rater.
    """
    readings = study.readings
    read = readings["state"] != ReadingState.OPENED.value
    groups = read.groupby([readings[key] for key in ("case", "rater", "labels")])
    asked = pd.DataFrame({"n_asked": groups.size(), "n_read": groups.sum()}).reset_index()
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
    told = rows["labels"] != ""
    wanted = ~told.to_numpy()
    wanted[told] = [
        label in labels.split(" ")
        for label, labels in rows.loc[told, ["label", "labels"]].itertuples(index=False)
    ]
    rows = rows[wanted].drop_duplicates([*RUN, "labels"])
    return rows.groupby(RUN)[["n_asked", "n_read"]].sum()


def usual_labels(study: Study) -> list[str]:
    """Labels that at least half of the cases that were read show, in the order of the study."""
    n_cases = study.readings["case"].nunique()
    shown = study.boxes.groupby("label")["case"].nunique()
    return [label for label in study.labels if shown.get(label, 0) >= USUAL * n_cases]


def dealt_slices(study: Study) -> pd.Series:
    """Whether a rater was given single slices of the cases, indexed by case and rater.

    Then a slice without a reading is nobody's fault; of a rater who was given a whole case, it was
    skipped, or its file lost. Who read less than half (`DEALT`) of the slices that anybody read, of
    all cases of the rater together, was dealt them, but in a case of which hardly one lacks.
    """
    readings = study.readings
    own = readings.groupby(["case", "rater"])["slice"].nunique()
    cases = readings.groupby("case")["slice"].nunique()
    every = pd.Series(cases.loc[own.index.get_level_values("case")].to_numpy(), own.index)
    of_rater = own.groupby("rater").sum() < DEALT * every.groupby("rater").sum()
    few = of_rater.loc[own.index.get_level_values("rater")].to_numpy()
    return (own < WHOLE * every) & few
