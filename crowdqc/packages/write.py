"""A work package as a folder: pictures, what is drawn already, the task file, and the feedback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.csv_files import to_csv
from crowdqc.files import sha256
from crowdqc.formats.base import formats, load_format
from crowdqc.formats.output import Output, Written
from crowdqc.packages.pictures import WantedPicture, write_pictures
from crowdqc.packages.task_file import NAME, AskedSlice, TaskFile
from crowdqc.report.slice_files import VolumeSlices
from crowdqc.schema import BOX, PLACE, READING, Study, conform, stands_in
from crowdqc.text import for_spreadsheets

SHEET, LIST, PICTURES = "feedback.html", "slices.csv", "images"
FILLED = ("own", "fused")
"""What may be drawn already."""

Sheet = Callable[[str, pd.DataFrame], tuple[str, list[dict[str, Any]]]]
"""From a rater and what is asked to the feedback sheet and the places that it shows."""


@dataclass(frozen=True)
class Material:
    """What packages of one round are made from.

    Parameters
    ----------
    study : Study
        What was read.
    consensus : DataFrame
        Table ``consensus``, for what is prefilled with fused boxes.
    format : str
        Layout: a format that can make packages.
    number : int
        Number of the round.
    due : str
        Date by which all is due; "" for none.
    open_source : callable
        Opens what shows the slices of a case.
    originals : mapping
        Case and slice -> picture of the study.
    sheet : callable
        Makes the feedback sheet of a rater.
    """

    study: Study
    consensus: pd.DataFrame
    format: str
    number: int
    due: str
    open_source: Callable[[str], VolumeSlices]
    originals: Mapping[tuple[str, int], Path]
    sheet: Sheet


def package_formats() -> list[str]:
    """Formats in whose layout packages can be made."""
    return [name for name, one in formats().items() if one.package]


def write_package(folder: Path, tasks: pd.DataFrame, material: Material) -> TaskFile:
    """Write the package of one rater.

    Parameters
    ----------
    folder : Path
        Where to; it must not be there yet.
    tasks : DataFrame
        As from `crowdqc.packages.plan.plan_tasks`, of that rater.
    material : Material

    Returns
    -------
    TaskFile
        What ``task.json`` says. Two packages of the same material are alike, byte by byte.
    """
    rater = str(tasks["rater"].iloc[0])
    (folder / PICTURES).mkdir(parents=True)
    output = _output(_asked_study(tasks, material.study, material.consensus), material.format)
    readings = list(output.readings())
    format_ = load_format(material.format)
    keys = format_.package(output, folder) if format_.package else {}
    back = {new: case for case, new in output.cases.items()}
    wanted = [_wanted(one, back[one.case], folder) for one in readings]
    n_canvases = write_pictures(
        wanted, open_source=material.open_source, originals=material.originals
    )
    slices = _slices(readings, back, tasks)
    _write_list(slices, folder)
    html, shown = material.sheet(rater, tasks)
    (folder / SHEET).write_text(html, encoding="utf-8", newline="")
    task = TaskFile(
        study=material.study.name,
        round=material.number,
        rater=rater,
        format=material.format,
        labels=material.study.labels,
        due=material.due,
        pictures="canvas" if n_canvases else "images",
        slices=tuple(slices),
        shown=tuple(shown),
        annotations=keys,
        files={
            path.relative_to(folder).as_posix(): sha256(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    )
    (folder / NAME).write_text(task.to_json(), encoding="utf-8", newline="")
    return task


def _asked_study(tasks: pd.DataFrame, study: Study, consensus: pd.DataFrame) -> Study:
    """The slices that are asked for, with the boxes that are drawn already.

    Parameters
    ----------
    tasks : DataFrame
        Of one rater.
    study : Study
        What was read.
    consensus : DataFrame
        Table ``consensus``.

    Returns
    -------
    Study
        A reading for each slice, "boxed" where something is drawn, else "opened".
    """
    images = study.images[stands_in(tasks, study.images, ["case", "slice"])]
    prefilled = {kind: tasks.loc[tasks["prefill"] == kind, [*READING, "label"]] for kind in FILLED}
    own = study.boxes[stands_in(prefilled["own"], study.boxes, [*READING, "label"])]
    fused = consensus.dropna(subset=BOX).merge(prefilled["fused"], on=PLACE)
    boxes = pd.concat([own[[*READING, "label", *BOX]], fused[[*READING, "label", *BOX]]])
    boxes = boxes.assign(box=np.arange(len(boxes)))
    places = tasks[READING].drop_duplicates()
    drawn = stands_in(boxes, places, READING)
    readings = places.assign(labels="", state=np.where(drawn, "boxed", "opened"))
    return Study(
        study.name,
        study.labels,
        images,
        readings,
        conform("boxes", boxes),
        single=study.single,
    )


def _output(study: Study, format: str) -> Output:
    """Ready to be written; nothing is lost, as the task file says what the format cannot."""
    found = load_format(format)
    return Output(
        study,
        format,
        empty_files=found.one_file_per_slice,
        says_opened=True,
        says_size=found.says_size,
        pictures=True,
    )


def _wanted(one: Written, case: str, folder: Path) -> WantedPicture:
    path = folder / PICTURES / f"{one.image}.png"
    return WantedPicture(case, one.slice, one.height, one.width, path)


def _slices(
    readings: list[Written], back: Mapping[str, str], tasks: pd.DataFrame
) -> list[AskedSlice]:
    of_slice = dict(iter(tasks.groupby(["case", "slice"])))
    found = []
    for one in readings:
        case, rows = back[one.case], of_slice[back[one.case], one.slice]
        found.append(
            AskedSlice(
                case=case,
                slice=one.slice,
                image=f"{one.image}.png",
                labels=tuple(rows["label"]),
                tasks=tuple(rows["task"]),
                prefill=tuple(rows["prefill"]),
                height=one.height,
                width=one.width,
            )
        )
    return found


def _write_list(slices: list[AskedSlice], folder: Path) -> None:
    """The slices as a table for people, whose cells are no formulas."""
    rows = [
        {"picture": one.image, "case": one.case, "slice": one.slice, "organ": label, "to_do": task}
        for one in slices
        for label, task in zip(one.labels, one.tasks, strict=True)
    ]
    text = to_csv(for_spreadsheets(pd.DataFrame(rows)))
    (folder / LIST).write_text(text, encoding="utf-8", newline="")
