"""Dealing cases to raters: the command `assign`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.assignments.blocks import deal, describe, join
from crowdqc.assignments.table import assignments_file, read_assignments, write_assignments
from crowdqc.config import Config
from crowdqc.files import read_settings
from crowdqc.findings import InputError
from crowdqc.schema import natural_order
from crowdqc.stages.base import Result
from crowdqc.stages.images import known_images
from crowdqc.text import count


def assign(config: Config) -> Result:
    """Deal the cases of a study to its raters, and write the table of assignments.

    Raises
    ------
    InputError
        If raters, cases or the table are not named, or the table is there already.
    """
    section = config.assignments
    path = _named_table(config)
    if not section.raters:
        raise InputError(f"{config.file}: name everybody who takes part: [assignments] raters.")
    cases = section.cases or _cases_of_images(config)
    for what, names in (("raters", section.raters), ("cases", cases)):
        if len(set(names)) < len(names):
            raise InputError(f"{config.file}: [assignments] {what} must differ; got {names}.")
    rng = np.random.default_rng(config.study.seed)
    design = deal(len(cases), len(section.raters), section.raters_per_case, rng=rng)
    rows = [(section.raters[r], cases[c]) for r, c in np.argwhere(design.reads.T)]
    write_assignments(path, _table(rows, section.due))
    shared = pd.DataFrame(design.shared, columns=section.raters)
    table = pd.DataFrame({"rater": section.raters, "n_cases": np.diag(design.shared)})
    return Result(
        table=table.join(shared),
        shown=table,
        summary=f"{count(len(rows), 'assignment')} of {count(len(cases), 'case')} in {path}.\n"
        f"{describe(design, section.raters)}",
    )


def add_rater(config: Config, rater: str, *, n_cases: int, due: dt.date | None) -> Result:
    """Add a rater who joins late, on cases that others read.

    Parameters
    ----------
    config : Config
        The study file, with a table of assignments.
    rater : str
        Name of the rater.
    n_cases : int
        How many cases.
    due : date, optional
        When they are due; none given: that of the study file.

    Returns
    -------
    Result
        How many cases the rater shares with each other one.
    """
    path, table = _named_table(config), read_assignments(config)
    if table is None or table.empty:
        raise InputError(f"{path}: holds no assignment yet; deal out first: crowdqc assign.")
    if rater in set(table["rater"]):
        raise InputError(f"{path}: rater '{rater}' is in it already; add rows by hand.")
    if config.assignments.raters and rater not in config.assignments.raters:
        raise InputError(f"{config.file}: add '{rater}' to [assignments] raters first.")
    reads = pd.crosstab(table["case"], table["rater"]) > 0
    reads = reads.loc[natural_order(reads.index)]
    chosen = join(reads.to_numpy(), n_cases, rng=np.random.default_rng(config.study.seed))
    rows = [(rater, case) for case in reads.index[chosen]]
    more = _table(rows, due or config.assignments.due)
    write_assignments(path, more, after=read_settings(path))
    both = reads.loc[more["case"]].sum()
    shared = pd.DataFrame({"rater": both.index, "shared_cases": both.to_numpy()})
    least = f"{both.min()} to {both.max()} of them with each other rater"
    return Result(
        table=shared, shown=shared, summary=f"{rater} reads {count(len(rows), 'case')}, {least}."
    )


def _named_table(config: Config) -> Path:
    path = assignments_file(config)
    if path is None:
        raise InputError(
            f'{config.file}: name the table first: [assignments] path = "assignments.csv".'
        )
    return path


def _cases_of_images(config: Config) -> list[str]:
    images = known_images(config)
    if images is None:
        raise InputError(
            f"{config.file}: the cases must be given by [images] path, or by "
            "[assignments] cases; give one of them."
        )
    return natural_order(images["case"].unique())


def _table(rows: list[tuple[str, str]], due: dt.date | None) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["rater", "case"])
    date = "" if due is None else due.isoformat()
    return table.assign(label="", slices="", due=date, round=1)


__all__ = ["add_rater", "assign"]
