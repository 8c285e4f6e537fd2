"""What comes back of work packages: the command `receive`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from crowdqc.config import Config
from crowdqc.packages.receive import Terms, keep_answer, read_answer
from crowdqc.packages.sent import asked_of
from crowdqc.schema import ReadingState, stands_in
from crowdqc.stages.base import Result
from crowdqc.text import count


def receive(config: Config, folder: Path, terms: Terms, *, today: dt.date) -> Result:
    """Take in what came back of a package.

    Parameters
    ----------
    config : Config
        The study file.
    folder : Path
        The folder that came back.
    terms : Terms
        On which terms.
    today : date
        When it came back.

    Returns
    -------
    Result
        For each task, how many places were asked for and how many came back.
    """
    answer = read_answer(config, folder, terms)
    place = keep_answer(config, answer, today=today)
    asked = asked_of([answer.sent])
    read = answer.study.readings
    read = read[read["state"] != ReadingState.OPENED.value]
    asked["back"] = stands_in(read, asked, ["case", "slice", "rater"])
    table = asked.groupby("task", sort=False).agg(n_asked=("back", "size"), n_back=("back", "sum"))
    table = table.reset_index().assign(rater=answer.sent.task.rater, round=answer.sent.task.round)
    table = table[["round", "rater", "task", "n_asked", "n_back"]]
    n = len(answer.sent.task.slices)
    silent = int((answer.study.readings["state"] == ReadingState.OPENED.value).sum())
    hint = (
        f"\n  {count(silent, 'slice')} came back empty and count as not read; if they were looked "
        "at, and nothing is there: --again --empty nothing."
    )
    findings = [f"\n  {one.severity.value}: {one.message}" for one in answer.findings]
    summary = (
        f"{answer.n_read} of {count(n, 'slice')} of {answer.sent.task.rater} came back, kept in "
        f"{place}.{''.join(findings)}{hint if silent else ''}"
    )
    return Result(table=pd.DataFrame(table), shown=table, summary=summary)
