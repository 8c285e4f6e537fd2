"""How far the work has come: the command `status`, and the history that each run adds to."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from crowdqc.agreement.arrays import to_drawn
from crowdqc.agreement.boxes import leave_one_out
from crowdqc.assignments.history import (
    NAME,
    added,
    changes,
    read_history,
    snapshot,
    work_digests,
    write_history,
)
from crowdqc.assignments.progress import (
    PAIR,
    STATES,
    Work,
    by_day,
    by_rater,
    measure_progress,
    pace_of,
)
from crowdqc.config import Config
from crowdqc.findings import InputError
from crowdqc.matching import Matched
from crowdqc.stages.base import Result, Run
from crowdqc.stages.mask_sets import read_manifest
from crowdqc.stages.rounds import SHOWN as RETURNS_SHOWN
from crowdqc.stages.rounds import has_rounds
from crowdqc.stages.study import load_matched, load_owed, load_study
from crowdqc.text import count

By = Literal["rater", "case", "day", "change", "task"]
SHOWN = {
    "rater": [
        *("rater", "done", "partly", "not_opened", "overdue", "n_left"),
        *("seconds_per_slice", "agreement", "expected_end"),
    ],
    "case": ["rater", "case", "state", "n_owed", "n_left", "n_boxes", "due", "agreement"],
}
"""Columns that fit on a terminal."""
DATED = "SOURCE_DATE_EPOCH"
"""Environment variable with the seconds since 1970 that count as now, as reproducible builds do."""


def today_or(date: str | None) -> dt.date:
    """The date that was given, else today's.

    Raises
    ------
    InputError
        If it is no date.
    """
    try:
        if date is not None:
            return dt.date.fromisoformat(date)
        moment = os.environ.get(DATED)
        now = dt.datetime.now(dt.UTC)
        return (dt.datetime.fromtimestamp(int(moment), dt.UTC) if moment else now).date()
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(f"A date must be such as 2026-12-24; got '{date}'.") from error


def status(run: Run, *, by: By, today: dt.date, since: str | None) -> Result:
    """How far the work has come, by rater, by rater and case, or by day, or what has changed.

    Parameters
    ----------
    run : Run
        The study, checked.
    by : {"rater", "case", "day", "change", "task"}
        What is shown.
    today : date
        What is due before it is overdue.
    since : str, optional
        Date from which changes are shown; none given: that of the last but one in the history.
    """
    study, history = load_study(run), read_history(_history_file(run.config))
    if by == "task":
        return _tasks(run)
    if by == "change":
        table = _changes(history, since, seed=run.config.study.seed)
        shown = table[["rater", "what", "n_after", "before", "after", "difference", "p"]]
        return Result(table=table, shown=shown, summary=_dates(history))
    if by == "day":
        table = by_day(study)
        return Result(table=table, shown=table, summary=f"{count(len(table), 'row')}; dates: UTC.")
    progress = _progress_of(run, today=today)
    table = progress
    if by == "rater":
        table = by_rater(progress, pace_of(study, history, progress), today=today)
    shown = table[[name for name in SHOWN[by] if not _says_nothing(table[name])]]
    return Result(table=table, shown=shown, summary=_summary(progress, run.config))


def _progress_of(run: Run, *, today: dt.date) -> pd.DataFrame:
    """Table ``progress`` of a study that was checked."""
    agreement = _agreement_of_pairs(load_matched(run))
    return measure_progress(Work(load_study(run), load_owed(run), agreement), today=today)


def _agreement_of_pairs(matched: Matched) -> pd.Series:
    """Mean IoU with the median of all others, indexed by rater and case."""
    items = leave_one_out(to_drawn(matched))
    person = matched.asked.drop_duplicates("person").set_index("person")["rater"]
    frame = pd.DataFrame(
        {
            "rater": person.reindex(items.rater).to_numpy(),
            "case": matched.objects["case"].to_numpy()[items.object],
            "iou": items.iou,
        }
    )
    return frame.groupby(PAIR)["iou"].mean()


def _history_file(config: Config) -> Path:
    """The history of a study, beside its study file."""
    return config.file.parent / NAME


def record(run: Run, inputs: str) -> None:
    """Add what is known now to the history, where the inputs have changed since.

    Parameters
    ----------
    run : Run
        The study, judged.
    inputs : str
        Hash of all that the verdict was made from.
    """
    if run.elsewhere:
        return
    path = _history_file(run.config)
    history = read_history(path)
    if len(history) and history["inputs"].iloc[-1] == inputs:
        return
    today = today_or(None)
    manifest = read_manifest(run)
    verdicts = {str(one["rater"]): str(one["verdict"]) for one in manifest.raters}
    new = snapshot(
        _progress_of(run, today=today),
        {**verdicts, "": manifest.verdict.value},
        date=today,
        inputs=inputs,
        digests=work_digests(load_study(run)),
    )
    try:
        write_history(path, history, added(history, new))
    except InputError as error:
        run.say(f"No snapshot is kept: {error}")


def _tasks(run: Run) -> Result:
    if not has_rounds(run.config):
        raise InputError("There is one round only. crowdqc tasks makes packages for the next.")
    table = run.store.read("returns")
    summary = f"{count(int((table['n_back'] > 0).sum()), 'task')} of {len(table)} came back."
    return Result(table=table, shown=table[RETURNS_SHOWN], summary=summary)


def _changes(history: pd.DataFrame, since: str | None, *, seed: int) -> pd.DataFrame:
    dates = sorted(set(history["date"]))
    if since is None and len(dates) < 2:
        raise InputError(
            f"{NAME} holds {count(len(dates), 'date')}; changes need two. Each 'crowdqc run' of "
            "changed inputs adds one."
        )
    since = dates[-2] if since is None else today_or(since).isoformat()
    return changes(history, since=since, rng=np.random.default_rng(seed))


def _says_nothing(column: pd.Series) -> bool:
    return bool((column.isna() | column.eq("")).all())


def _dates(history: pd.DataFrame) -> str:
    dates = sorted(set(history["date"]))
    return f"{count(len(dates), 'date')} in {NAME}: {', '.join(dates[-5:])}."


def _summary(progress: pd.DataFrame, config: Config) -> str:
    counts = progress["state"].value_counts()
    states = ", ".join(f"{counts[name]:,} {name}" for name in STATES if name in counts)
    text = f"Rater x case: {states}; {count(int(progress['n_left'].sum()), 'slice')} left."
    if config.assignments.path is None:
        text += " Nothing is known to be owed: name a table in [assignments] path."
    return text
