"""The packages of a study that were sent, and what of them came back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crowdqc.config import Config
from crowdqc.csv_files import read_csv
from crowdqc.findings import InputError
from crowdqc.formats import Round
from crowdqc.packages.task_file import NAME, TaskFile, read_task_file
from crowdqc.schema import TABLES, SchemaError, Study, conform, empty

READINGS, BOXES, POINTS = "readings.csv", "boxes.csv", "points.csv"
_ROUND = re.compile(r"round\d{1,4}")


@dataclass(frozen=True)
class Sent:
    """A package that was sent: its folder, its task file, and what came back of it."""

    folder: Path
    task: TaskFile
    returned: tuple[Path, ...]
    """Folders of what came back, the oldest first."""


def _packages_folder(config: Config) -> Path:
    """Where the packages of a study are."""
    return config.resolve(config.assignments.packages)


def folder_of_round(config: Config, number: int) -> Path:
    """Where the packages of a round are.

    Parameters
    ----------
    config : Config
        Of the study file.
    number : int
        Of the round, from 1.

    Returns
    -------
    Path
        It need not exist.
    """
    return _packages_folder(config) / f"round{number}"


def folder_of_returns(config: Config, number: int) -> Path:
    """Where what came back of a round is: for each package a folder with 1, 2 and so on.

    Parameters
    ----------
    config : Config
        Of the study file.
    number : int
        Of the round, from 1.

    Returns
    -------
    Path
        It need not exist.
    """
    return _packages_folder(config) / f"round{number}-returned"


def sent_packages(config: Config) -> list[Sent]:
    """All packages of a study, by round and rater.

    Raises
    ------
    InputError
        If a task file was changed, or is of another study.
    """
    root = _packages_folder(config)
    if not root.is_dir():
        return []
    found = []
    for place in sorted(root.iterdir(), key=lambda path: (len(path.name), path.name)):
        if not _ROUND.fullmatch(place.name) or place.is_symlink():
            continue
        for folder in sorted(place.iterdir()):
            if (folder / NAME).is_file() and not folder.is_symlink():
                returns = root / f"{place.name}-returned" / folder.name
                found.append(Sent(folder, _own(folder, config), tuple(_numbered(returns))))
    return found


def _own(folder: Path, config: Config) -> TaskFile:
    task = read_task_file(folder)
    if task.study != config.study.name:
        raise InputError(
            f"{folder}: is a package of the study '{task.study}', not of '{config.study.name}'. "
            "Move it elsewhere, or name another folder in [assignments] packages."
        )
    return task


def _numbered(folder: Path) -> list[Path]:
    """Folders 1, 2 and so on, in this order."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    found = [one for one in folder.iterdir() if one.name.isdecimal() and not one.is_symlink()]
    return sorted(found, key=lambda one: int(one.name))


def returned_rounds(config: Config, study: Study) -> list[Round]:
    """What came back of all packages, as rounds of a study, in their order.

    Parameters
    ----------
    config : Config
        The study file.
    study : Study
        The first round.
    """
    found = []
    for one in sent_packages(config):
        for folder in one.returned:
            readings, boxes = (
                _table(folder / name, table)
                for name, table in ((READINGS, "readings"), (BOXES, "boxes"))
            )
            file = folder / POINTS
            points = _table(file, "points") if file.exists() else empty("points")
            images = pd.DataFrame(
                [(s.case, s.slice, s.height, s.width) for s in one.task.slices],
                columns=["case", "slice", "height", "width"],
            )
            images = pd.concat([study.images, images]).drop_duplicates(["case", "slice"])
            images = images.fillna({"path": ""})
            try:
                back = dataclasses.replace(
                    study, images=images, readings=readings, boxes=boxes, points=points
                )
            except SchemaError as error:
                raise InputError(f"{folder}: does not fit the study: {error}") from error
            found.append(Round(one.task.round, back))
    return sorted(found, key=lambda one: one.number)


def returned_files(config: Config) -> list[Path]:
    """Files that `returned_rounds` reads."""
    return [
        folder / name
        for one in sent_packages(config)
        for folder in one.returned
        for name in (READINGS, BOXES, POINTS)
        if name != POINTS or (folder / name).exists()
    ]


def _table(path: Path, table: str) -> pd.DataFrame:
    if path.is_symlink():
        raise InputError(f"{path}: is a symbolic link, which is not followed here.")
    text = [column.name for column in TABLES[table] if column.kind == "text"]
    try:
        return conform(table, read_csv(path, text=text))
    except SchemaError as error:
        raise InputError(f"{path}: is not the table '{table}' ({error}).") from error


def asked_of(sent: Sequence[Sent]) -> pd.DataFrame:
    """What packages ask for: ``round, rater, case, slice, label, task, due, returned``."""
    rows = [
        (
            one.task.round,
            one.task.rater,
            asked.case,
            asked.slice,
            label,
            task,
            one.task.due,
            bool(one.returned),
        )
        for one in sent
        for asked in one.task.slices
        for label, task in zip(asked.labels, asked.tasks, strict=True)
    ]
    columns = ["round", "rater", "case", "slice", "label", "task", "due", "returned"]
    return pd.DataFrame(rows, columns=columns).astype({"slice": "int64"})


def outstanding(sent: Sequence[Sent]) -> pd.DataFrame:
    """What was sent and has not come back, as `asked_of`."""
    asked = asked_of(sent)
    return asked[~asked["returned"].astype(bool)]
