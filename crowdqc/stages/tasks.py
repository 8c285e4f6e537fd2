"""Work packages for raters: the command `tasks`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import InputError, from_cell
from crowdqc.formats.output import fit_names
from crowdqc.packages.plan import PackageSources, Wanted, plan_tasks
from crowdqc.packages.sent import folder_of_round, outstanding, sent_packages
from crowdqc.packages.write import Material, package_formats, write_package
from crowdqc.report.feedback import SheetData, feedback_sheet
from crowdqc.report.slice_files import VolumeSlices
from crowdqc.schema import empty, natural_order, stands_in
from crowdqc.stages.base import Result, Run
from crowdqc.stages.study import load_owed, load_study
from crowdqc.text import count, must_be_one_of
from crowdqc.writing import new_folder

PLACE = ["rater", "case", "slice", "label"]


@dataclass(frozen=True)
class Wishes:
    """What packages are to be like.

    Parameters
    ----------
    format : str
        Layout.
    wanted : Wanted
        How much is asked for.
    raters : sequence of str
        Only these; none given: all.
    due : str
        Date by which all is due; "" for none.
    again : bool
        Whether what was sent and has not come back is asked for again.
    """

    format: str
    wanted: Wanted
    raters: tuple[str, ...] = ()
    due: str = ""
    again: bool = False


def make_tasks(run: Run, wishes: Wishes) -> Result:
    """Make one package for each rater who has something to do.

    Parameters
    ----------
    run : Run
        The study, judged.
    wishes : Wishes

    Returns
    -------
    Result
        A row for each package.

    Raises
    ------
    InputError
        If the layout is none, or nothing is known of a rater that is named.
    """
    if wishes.format not in package_formats():
        raise InputError(must_be_one_of("layout", wishes.format, package_formats()))
    tasks = _tasks(run, wishes)
    config = run.config
    sent = sent_packages(config)
    n_out = 0
    if not wishes.again:
        waiting = outstanding(sent)
        out = stands_in(waiting, tasks, PLACE)
        n_out, tasks = int(out.sum()), tasks[~out]
    waiting = f" {count(n_out, 'task')} are with their raters already." if n_out else ""
    if tasks.empty:
        nothing = pd.DataFrame(columns=COLUMNS)
        return Result(table=nothing, shown=nothing, summary=f"There is nothing to do.{waiting}")
    number = max([1, len(config.annotations.rounds), *(one.task.round for one in sent)]) + 1
    folder = folder_of_round(config, number)
    with new_folder(folder) as temporary:
        rows = list(_write(run, tasks, wishes, number=number, folder=temporary))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Result(
        table=table,
        shown=table[["rater", "n_slices", "n_labels", "pictures"]],
        summary=f"Round {number}: {count(len(table), 'package')} in {folder}.{waiting}",
    )


COLUMNS = ["round", "rater", "folder", "n_slices", "n_labels", "pictures", "due"]


def _tasks(run: Run, wishes: Wishes) -> pd.DataFrame:
    sources = PackageSources(
        study=load_study(run),
        todo=run.store.read("todo"),
        consensus=run.store.read("consensus"),
        raters=run.store.read("raters"),
        owed=load_owed(run),
    )
    if wishes.raters:
        everybody = natural_order({*sources.study.raters, *sources.todo["rater"]})
        for name in wishes.raters:
            if name not in everybody:
                raise InputError(must_be_one_of("rater", name, everybody))
    tasks = plan_tasks(sources, wishes.wanted)
    return tasks[tasks["rater"].isin(wishes.raters)] if wishes.raters else tasks


def _write(
    run: Run, tasks: pd.DataFrame, wishes: Wishes, *, number: int, folder: Path
) -> Iterator[tuple[object, ...]]:
    study = load_study(run)
    images = dict(iter(study.images.groupby("case")))
    material = Material(
        study=study,
        consensus=run.store.read("consensus"),
        format=wishes.format,
        number=number,
        due=wishes.due,
        open_source=lambda case: VolumeSlices(run.store, run.config, images[case]),
        originals=original_pictures(run.config, study.images),
        sheet=_sheets(run, wishes.due),
    )
    names = fit_names(natural_order(tasks["rater"].unique()))
    with run.watch("Packages") as progress:
        for rater, name in names.items():
            mine = tasks[tasks["rater"] == rater]
            task = write_package(folder / name, mine, material)
            progress(1, len(names))
            where = f"{run.config.assignments.packages}/round{number}/{name}"
            sizes = (len(task.slices), len(mine))
            yield (number, rater, where, *sizes, task.pictures, task.due)


def _sheets(run: Run, due: str) -> Callable[[str, pd.DataFrame], tuple[str, list[dict[str, Any]]]]:
    """What makes the feedback sheet of a rater."""
    store, study = run.store, load_study(run)
    tables = {
        name: store.read(name) if store.has(name) else empty(name)
        for name in ("raters", "completeness", "consensus", "todo")
    }
    data = SheetData(
        study=study.name,
        labels=study.labels,
        raters=tables["raters"],
        completeness=tables["completeness"],
        boxes=study.boxes,
        consensus=tables["consensus"],
        images=study.images,
    )
    source = VolumeSlices(store, run.config, study.images)
    todo = tables["todo"]

    def sheet(rater: str, tasks: pd.DataFrame) -> tuple[str, list[dict[str, Any]]]:
        cells = todo.loc[todo["rater"] == rater, "why"]
        why = [check for cell in cells for check in from_cell(cell)]
        return feedback_sheet(data, rater, tasks=tasks, why=why, due=due, source=source)

    return sheet


def original_pictures(config: Config, images: pd.DataFrame) -> Mapping[tuple[str, int], Path]:
    """Pictures of the study that may be copied as they are.

    Parameters
    ----------
    config : Config
        Of the study file.
    images : DataFrame
        With ``path``, relative to the study file; empty where there is no picture.

    Returns
    -------
    mapping
        Case and slice -> a PNG file.
    """
    folder = config.file.parent
    some = images[images["path"].str.lower().str.endswith(".png")]
    return {(row.case, row.slice): folder / row.path for row in some.itertuples()}


__all__ = ["Wishes", "make_tasks"]
