"""The stage `rounds`: what came back, and whether it is better than before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.assignments import read_assignments
from crowdqc.assignments.owed import owed_readings
from crowdqc.config import Config
from crowdqc.packages.returns import Rounds, measure_returns
from crowdqc.packages.sent import asked_of, sent_packages
from crowdqc.packages.task_file import NAME
from crowdqc.stages.base import Result, Run
from crowdqc.stages.study import load_matched, load_study
from crowdqc.text import count

SHOWN = ["round", "rater", "task", "n_asked", "n_back", "before", "after", "outcome"]
_PLACE = ["round", "rater", "case", "slice", "label"]


def has_rounds(config: Config) -> bool:
    """Whether more than one round is known of a study."""
    return bool(config.annotations.rounds) or bool(sent_packages(config))


def task_files(config: Config) -> list[Path]:
    """Files that say what was asked for."""
    return [one.folder / NAME for one in sent_packages(config)]


def rounds(run: Run) -> Result:
    """Hold what came back of each round against what was there before."""
    sent = sent_packages(run.config)
    shown = [
        (one.task.round, one.task.rater, place["case"], place["slice"], place["label"])
        for one in sent
        for place in one.task.shown
    ]
    asked = pd.concat([asked_of(sent), _assigned(run)], ignore_index=True)
    matched = load_matched(run)
    table = measure_returns(
        Rounds(
            matched,
            run.store.read("superseded"),
            asked,
            pd.DataFrame(shown, columns=_PLACE).astype({"round": "int64", "slice": "int64"}),
        ),
        rng=np.random.default_rng(run.config.study.seed),
    )
    run.store.write("returns", table)
    better = int((table["outcome"] == "better").sum())
    back = int((table["n_back"] > 0).sum())
    summary = (
        f"{count(len(table), 'task')} (round x rater x kind); {back} came back, {better} better "
        "than before."
    )
    return Result(table=table, shown=table[SHOWN], summary=summary, files=["returns.csv"])


def _assigned(run: Run) -> pd.DataFrame:
    """What the table of assignments asks for in later rounds, as `asked_of`."""
    assignments, study = read_assignments(run.config), load_study(run)
    columns = [*_PLACE, "task"]
    if assignments is None or (assignments["round"] < 2).all():
        return pd.DataFrame(columns=columns)
    later = assignments[assignments["round"] > 1]
    owed = owed_readings(later, study.images)
    owed = owed.assign(label=[text.split() or list(study.labels) for text in owed["labels"]])
    return owed.explode("label").assign(task="assigned")[columns]
