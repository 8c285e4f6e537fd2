"""What was known on earlier dates: ``history.csv`` beside the study file, which only grows.

A snapshot has a row for the study (no rater), one for each rater (no case), and one for each rater
and case of which something is new. So each of them is as its last row says, on every date.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from crowdqc.assignments.progress import PAIR
from crowdqc.compare.paired import compare_paired
from crowdqc.csv_files import read_csv, to_csv
from crowdqc.findings import InputError
from crowdqc.schema import BOX, TABLES, SchemaError, Study, conform, empty
from crowdqc.writing import atomic

NAME = "history.csv"
_TEXT = [column.name for column in TABLES["history"] if column.kind == "text"]
_FIGURES = ["n_owed", "n_left", "n_read", "n_boxes"]


def read_history(path: Path) -> pd.DataFrame:
    """The history of a study; without rows where there is none.

    Raises
    ------
    InputError
        If the file is no history.
    """
    if path.is_symlink():
        raise InputError(f"{path}: is a symbolic link, which is not followed. Remove it.")
    if not path.exists():
        return empty("history")
    table = read_csv(path, text=_TEXT)
    try:
        table = conform("history", table)
        table["date"].map(dt.date.fromisoformat)
    except (SchemaError, ValueError) as error:
        raise InputError(
            f"{path}: is not a history of crowdqc ({error}). Rename it, and a new one is begun."
        ) from error
    return table


def work_digests(study: Study) -> pd.Series:
    """What tells one state of a rater's boxes in a case from another, indexed by rater and case."""
    rows = pd.util.hash_pandas_object(study.boxes[["slice", "label", *BOX]], index=False)
    sums = rows.groupby([study.boxes[key] for key in PAIR]).sum()
    return sums.map("{:016x}".format)


def snapshot(
    progress: pd.DataFrame,
    verdicts: dict[str, str],
    *,
    date: dt.date,
    inputs: str,
    digests: pd.Series,
) -> pd.DataFrame:
    """What is known now, as rows of the table ``history``.

    Parameters
    ----------
    progress : DataFrame
        Table ``progress``.
    verdicts : dict of str to str
        Rater -> verdict; "" -> that of the study.
    date : date
        Today.
    inputs : str
        Hash of what all was made from.
    digests : Series
        As from `work_digests`.
    """
    pairs = progress.set_index(PAIR)
    pairs = pairs.assign(work=digests.reindex(pairs.index).fillna("")).reset_index()
    groups = progress.groupby("rater", sort=False)
    raters = groups[_FIGURES].sum().join(groups["agreement"].mean()).reset_index()
    raters["verdict"] = raters["rater"].map(lambda name: verdicts.get(name, ""))
    whole = progress[_FIGURES].sum().to_frame().T
    whole = whole.assign(agreement=progress["agreement"].mean(), verdict=verdicts.get("", ""))
    rows = pd.concat([whole, raters, pairs], ignore_index=True)
    for name in ("rater", "case", "verdict", "work"):
        rows[name] = rows[name].fillna("")
    rows = rows.assign(date=date.isoformat(), inputs=inputs)
    return conform("history", rows)[[column.name for column in TABLES["history"]]]


def added(history: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Rows of a snapshot that say something new; none where it is of the same inputs as the last.

    Parameters
    ----------
    history, new : DataFrame
        Table ``history``, and as from `snapshot`.
    """
    if len(history) and history["inputs"].iloc[-1] == new["inputs"].iloc[0]:
        return new.iloc[:0]
    same = [*PAIR, *_FIGURES, "work", "agreement"]
    last = latest(history)[same].round({"agreement": 9})
    known = new[same].round({"agreement": 9}).merge(last, on=same, how="left", indicator=True)
    old = (known["_merge"] == "both").to_numpy() & (new["case"] != "").to_numpy()
    return new[~old]


def write_history(path: Path, history: pd.DataFrame, more: pd.DataFrame) -> None:
    """Write a history with further rows; those that are there stay as they are.

    Parameters
    ----------
    path : Path
        Replaced as a whole, by a rename.
    history : DataFrame
        Rows that stand in the file.
    more : DataFrame
        Rows to add, with the same columns.
    """
    with atomic(path) as temporary:
        text = to_csv(pd.concat([history, more], ignore_index=True))
        temporary.write_text(text, encoding="utf-8", newline="")


def latest(history: pd.DataFrame, until: str = "9999-12-31") -> pd.DataFrame:
    """The last row of the study, of each rater and of each pair, up to a date.

    Parameters
    ----------
    history : DataFrame
        With columns ``date`` and those of `PAIR`, in order of time.
    until : str
        Last day that counts, as ``YYYY-MM-DD``.

    Returns
    -------
    DataFrame
        At most one row for each `PAIR`; empty before the first date.
    """
    return history[history["date"] <= until].drop_duplicates(PAIR, keep="last")


def changes(history: pd.DataFrame, *, since: str, rng: np.random.Generator) -> pd.DataFrame:
    """What has changed in each rater's agreement since a date, as tests on the cases.

    Parameters
    ----------
    history : DataFrame
        Table ``history``.
    since : str
        A date: what was known on it is held against what is known now.
    rng : Generator
        For bootstrap intervals.

    Returns
    -------
    DataFrame
        ``rater, what, n_before, n_after, before, after, difference, low, high, p, test``. What is
        "new cases": those begun since, against those of before (Mann-Whitney); "redrawn cases":
        the same cases before and after (Wilcoxon). p is nan where cases are too few for a test.
    """
    columns = ["rater", "what", "n_before", "n_after", "before", "after", "difference"]
    columns += ["low", "high", "p", "test"]
    before, after = (
        table[(table["case"] != "") & table["agreement"].notna()].set_index(PAIR)
        for table in (latest(history, since), latest(history))
    )
    rows = []
    for rater in dict.fromkeys(after.index.get_level_values("rater")):
        now, then = (
            after.loc[rater],
            before.loc[rater] if rater in before.index else before.iloc[:0],
        )
        new = now[~now.index.isin(then.index)]["agreement"]
        rows.append((rater, "new cases", *_unpaired(then["agreement"], new, rng)))
        both = now.index.intersection(then.index)
        redrawn = both[(now.loc[both, "work"] != then.loc[both, "work"]).to_numpy()]
        values = (frame.loc[redrawn, "agreement"] for frame in (then, now))
        rows.append((rater, "redrawn cases", *_paired(*values, rng=rng)))
    table = pd.DataFrame(rows, columns=columns)
    return table[(table["n_before"] > 0) & (table["n_after"] > 0)].reset_index(drop=True)


def _unpaired(a: pd.Series, b: pd.Series, rng: np.random.Generator) -> tuple[object, ...]:
    nothing = (np.nan,) * 4
    head = (len(a), len(b), a.mean(), b.mean())
    if len(a) < 3 or len(b) < 3:
        return (*head, b.mean() - a.mean(), *nothing[:3], "")
    found = scipy.stats.bootstrap(
        (b.to_numpy(), a.to_numpy()),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        method="basic",
        n_resamples=2000,
        rng=rng,
    ).confidence_interval
    p = scipy.stats.mannwhitneyu(b, a).pvalue
    return (*head, b.mean() - a.mean(), found.low, found.high, p, "mann-whitney")


def _paired(a: pd.Series, b: pd.Series, *, rng: np.random.Generator) -> tuple[object, ...]:
    if a.empty:
        return (0, 0, *(np.nan,) * 6, "")
    found = compare_paired(b.to_numpy(), a.to_numpy(), rng=rng)
    head = (len(a), len(b), found.mean_b, found.mean_a, found.difference)
    return (*head, found.low, found.high, found.p, found.test)
