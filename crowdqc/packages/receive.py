"""Taking in what came back of a work package: only what was asked for, and nothing is lost.

What came back is kept beside the packages: the files as they are, and what they say as two tables,
which `crowdqc check` reads as a later round.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from crowdqc.config import Annotations, Assignments, Config, Label
from crowdqc.csv_files import to_csv
from crowdqc.files import Unreadable, read_bytes, sha256
from crowdqc.findings import Finding, InputError
from crowdqc.formats import Draft, read_with
from crowdqc.packages.sent import BOXES, POINTS, READINGS, Sent, folder_of_returns, sent_packages
from crowdqc.packages.task_file import NAME, TaskFile, read_task_file
from crowdqc.packages.write import LIST, PICTURES
from crowdqc.schema import IMAGE, ReadingState, Study, stands_in
from crowdqc.text import count
from crowdqc.writing import new_folder

FILES_BYTES_MAX = 1_000_000_000
"""Bytes of a file of annotations that is kept."""
SHOWN = 5
"""Slices that a message names."""
RECORD = "received.json"
Empty = Literal["infer", "nothing", "unread"]


@dataclass(frozen=True)
class Answer:
    """What came back of a package.

    Parameters
    ----------
    sent : Sent
        The package as it was sent.
    study : Study
        What was read of it.
    findings : list of Finding
        What was noticed.
    files : list of Path
        Files that were read.
    """

    sent: Sent
    study: Study
    findings: list[Finding]
    files: list[Path]

    @property
    def n_read(self) -> int:
        """Slices that were read."""
        return int((self.study.readings["state"] != ReadingState.OPENED.value).sum())


@dataclass(frozen=True)
class Terms:
    """On which terms something is taken in.

    Parameters
    ----------
    empty : {"infer", "nothing", "unread"}
        What a picture without a box means, where the format does not say it.
    unasked : bool
        Whether slices and labels that were not asked for are taken in as well.
    again : bool
        Whether a package may come back that has come back before.
    """

    empty: Empty
    unasked: bool = False
    again: bool = False


def read_answer(config: Config, folder: Path, terms: Terms) -> Answer:
    """Read what came back of a package.

    Parameters
    ----------
    config : Config
        The study file.
    folder : Path
        The folder that came back.
    terms : Terms

    Returns
    -------
    Answer

    Raises
    ------
    InputError
        If it is no package of this study, has come back before, was not worked on, or holds
        slices that were not asked for.
    """
    task = read_task_file(folder)
    sent = _sent(config, folder, task)
    if sent.returned and not terms.again:
        raise InputError(
            f"{folder}: this package has come back already ({_when(sent.returned[-1])}). --again "
            "takes it in once more: then the later one counts, and the earlier is kept."
        )
    path, files = _annotations_of(folder, task)
    if _unchanged(folder, files, task):
        raise InputError(
            f"{folder}: nothing was drawn or changed since it was sent. Where all of it is right "
            "as it was, no package needs to come back."
        )
    notes: list[Finding] = list(_pictures_changed(folder, task))

    def prepare(draft: Draft) -> tuple[Draft, pd.DataFrame]:
        draft = _with_names(draft, task, notes)
        return draft, _images(draft, task, folder, unasked=terms.unasked)

    study, findings = read_with(_config_of(config, folder, task, path=path, terms=terms), prepare)
    kept = _asked_for(study, task, terms, notes=notes)
    return Answer(sent, kept, [*findings, *notes], files)


def keep_answer(config: Config, answer: Answer, *, today: dt.date) -> Path:
    """Write what came back beside the packages.

    Parameters
    ----------
    config : Config
        Of the study file.
    answer : Answer
        Read and checked.
    today : date
        Goes into the record.

    Returns
    -------
    Path
        Its folder, which is new.
    """
    sent = answer.sent
    number = 1 + max((int(one.name) for one in sent.returned), default=0)
    folder = folder_of_returns(config, sent.task.round) / sent.folder.name / str(number)
    with new_folder(folder) as temporary:
        (temporary / "files").mkdir()
        for place, file in enumerate(answer.files):
            _copy(file, temporary / "files" / f"{place:04d}-{file.name}")
        _text(temporary / READINGS, to_csv(answer.study.readings))
        _text(temporary / BOXES, to_csv(answer.study.boxes))
        if len(answer.study.points):
            _text(temporary / POINTS, to_csv(answer.study.points))
        record = {"received": today.isoformat(), "n_read": answer.n_read}
        _text(temporary / RECORD, json.dumps(record, indent=1) + "\n")
    return folder


def _copy(file: Path, target: Path) -> None:
    try:
        target.write_bytes(read_bytes(file, FILES_BYTES_MAX))
    except Unreadable as error:
        raise InputError(f"{file}: {error}") from error


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _sent(config: Config, folder: Path, task: TaskFile) -> Sent:
    """The package as it was sent."""
    if task.study != config.study.name:
        raise InputError(
            f"{folder}: is a package of the study '{task.study}', not of '{config.study.name}'."
        )
    for one in sent_packages(config):
        if one.task.key == task.key:
            return one
    raise InputError(
        f"{folder}: is no package that was sent from here: no {NAME} below "
        f"[assignments] packages ({config.assignments.packages}) is the same. If the packages "
        "were moved, name their folder there."
    )


def _when(folder: Path) -> str:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return f"{folder.name}, on {record['received']}"
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name


def _annotations_of(folder: Path, task: TaskFile) -> tuple[str, list[Path]]:
    """Pattern of the annotations below a folder, and the files that it means."""
    expected = Path(str(task.annotations.get("path", "")))
    if "{" in expected.name:
        places = [folder / expected.parent, folder / "output" / "YOLO_darknet", folder / PICTURES]
        found = [(place, sorted(place.glob(f"*{expected.suffix}"))) for place in [*places, folder]]
        place, files = next(
            ((place, own) for place, some in found if (own := _boxes_in(some))), (places[0], [])
        )
        pattern = (place / expected.name).relative_to(folder).as_posix()
    else:
        known = {NAME, "tasks.json", "config.xml"}
        some = sorted(folder.glob(f"**/*{expected.suffix}"))
        files = [one for one in some if one.name not in known]
        own = [one for one in files if one.relative_to(folder) == expected]
        files = own if len(files) != 1 and own else files
        pattern = files[0].relative_to(folder).as_posix() if files else expected.as_posix()
    if not files:
        raise InputError(
            f"{folder}: holds no annotations. They are looked for as {expected.as_posix()}, as "
            f"{task.format} writes them."
        )
    if "{" not in expected.name and len(files) > 1:
        names = ", ".join(one.relative_to(folder).as_posix() for one in files[:SHOWN])
        raise InputError(f"{folder}: which file holds what came back? Leave one of: {names}.")
    return pattern, files


def _boxes_in(files: Iterable[Path]) -> list[Path]:
    lists = {"classes.txt", "class_list.txt"}
    return [one for one in files if one.name not in lists and one.is_file()]


def _unchanged(folder: Path, files: Sequence[Path], task: TaskFile) -> bool:
    names = {one.relative_to(folder).as_posix(): one for one in files}
    drawn = {name for name in task.files if name in names or name.startswith("labels/")}
    return names.keys() == drawn and all(
        sha256(path) == task.files[name] for name, path in names.items()
    )


def _pictures_changed(folder: Path, task: TaskFile) -> Iterator[Finding]:
    """Pictures that came back as others: then boxes may be in other pixels."""
    names = [f"{PICTURES}/{one.image}" for one in task.slices]
    there = [name for name in names if (folder / name).is_file()]
    changed = [name for name in there if sha256(folder / name) != task.files.get(name)]
    if changed:
        yield Finding(
            check="picture-changed",
            message=f"{count(len(changed), 'picture')} came back changed, the first {changed[0]}: "
            "if they were cropped or resized, the boxes are in other pixels.",
            value=float(len(changed)),
            unit="pictures",
        )


def _config_of(config: Config, folder: Path, task: TaskFile, *, path: str, terms: Terms) -> Config:
    """A study file that reads the package: its own labels, and one rater."""
    keys: dict[str, Any] = {"format": task.format, "path": path, "rater": task.rater}
    if task.annotations.get("image"):
        keys["image"] = task.annotations["image"]
    single = {label.name: label.single for label in config.labels.values()}
    labels = {
        str(key + (task.format == "coco")): Label(
            name=name, value=key + 1, single=single.get(name, True)
        )
        for key, name in enumerate(task.labels)
    }
    inner = config.model_copy(
        update={
            "annotations": Annotations(**keys, empty_file=terms.empty),
            "assignments": Assignments(),
            "labels": labels,
            "truth": None,
        }
    )
    inner._file = folder / NAME  # noqa: SLF001 - paths are relative to the folder
    return inner


def _stem(image: str) -> str:
    return image.rpartition("-slice")[0]


def _images(draft: Draft, task: TaskFile, folder: Path, *, unasked: bool) -> pd.DataFrame:
    """The table `images` of a package, with cases as its pictures name them.

    Raises
    ------
    InputError
        If there are slices that were not asked for, and these are not to be taken in.
    """
    rows = [(_stem(one.image), one.slice, one.height, one.width) for one in task.slices]
    images = pd.DataFrame(rows, columns=[*IMAGE, "height", "width"])
    others = draft.readings[~stands_in(images, draft.readings, IMAGE)]
    sizes = images[["height", "width"]].drop_duplicates()
    if len(others) and (not unasked or len(sizes) > 1):
        _refuse(others, folder)
    more = others[IMAGE].drop_duplicates().assign(**sizes.iloc[0].to_dict())
    images = pd.concat([images, more], ignore_index=True)
    return images.assign(spacing_x=np.nan, spacing_y=np.nan, spacing_z=np.nan, path="")


def _refuse(others: pd.DataFrame, folder: Path) -> None:
    shown = [f"{row.case}-slice{row.slice:04d}" for row in others.head(SHOWN).itertuples()]
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    raise InputError(
        f"{folder}: holds {count(len(others), 'slice')} that {LIST} does not ask for: "
        f"{', '.join(shown)}{more}. Give the pictures the names back that were sent, or say "
        "--unasked to take in what was not asked for."
    )


def _with_names(draft: Draft, task: TaskFile, notes: list[Finding]) -> Draft:
    """With the names that were sent, where a tool has put something before them."""
    asked = {(_stem(one.image), one.slice) for one in task.slices}
    names = {
        place: stem
        for place in dict.fromkeys(draft.readings[IMAGE].itertuples(index=False, name=None))
        if place not in asked and (stem := _meant(place, asked))
    }
    if names:
        (old, k), new = next(iter(names.items()))
        message = (
            f"{count(len(names), 'picture')} came back under another name, such as "
            f"'{old}-slice{k:04d}' for '{new}-slice{k:04d}'; they count as what was sent."
        )
        notes.append(Finding(check="file-renamed", message=message, value=float(len(names))))
    boxes, readings, points = (
        _renamed(one, names) for one in (draft.boxes, draft.readings, draft.points)
    )
    return dataclasses.replace(draft, boxes=boxes, readings=readings, points=points)


def _meant(place: tuple[str, int], asked: set[tuple[str, int]]) -> str:
    """The case that a name with something before it means; "" where that is not certain."""
    case, k = place
    found = [
        stem
        for stem, number in asked
        if number == k and re.fullmatch(rf".*[^0-9A-Za-z]{re.escape(stem)}", case, re.DOTALL)
    ]
    return found[0] if len(found) == 1 else ""


def _renamed(frame: pd.DataFrame, names: dict[tuple[str, int], str]) -> pd.DataFrame:
    if not names or frame.empty:
        return frame
    places = zip(frame["case"], frame["slice"], strict=True)
    return frame.assign(case=[names.get(place, place[0]) for place in places])


def _asked_for(study: Study, task: TaskFile, terms: Terms, *, notes: list[Finding]) -> Study:
    """What was asked for, under the names of the study, each reading of its labels."""
    asked = pd.DataFrame(
        [(_stem(one.image), one.slice, one.case, " ".join(one.labels)) for one in task.slices],
        columns=[*IMAGE, "name", "asked"],
    )
    labels = asked.assign(label=asked["asked"].str.split(" ")).explode("label")
    boxes, wanted = study.boxes, stands_in(labels, study.boxes, [*IMAGE, "label"])
    if not wanted.all() and not terms.unasked:
        others = boxes[~wanted]
        message = (
            f"{count(len(others), 'box')} of labels that were not asked for on their slice "
            f"({', '.join(sorted(set(others['label'])))}) left out; --unasked takes them in."
        )
        notes.append(Finding(check="label-not-asked", message=message, value=float(len(others))))
        boxes = boxes[wanted]
    return _named(study, boxes, asked, task=task)


def _named(study: Study, boxes: pd.DataFrame, asked: pd.DataFrame, *, task: TaskFile) -> Study:
    drawn = boxes.groupby(IMAGE)["label"].agg(lambda some: " ".join(dict.fromkeys(some)))
    places = pd.MultiIndex.from_frame(study.readings[IMAGE])
    requested = asked.set_index(IMAGE)["asked"].reindex(places).fillna("").to_numpy()
    mine = drawn.reindex(places).fillna("").to_numpy()
    labels = [
        " ".join(dict.fromkeys(f"{a} {b}".split())) for a, b in zip(requested, mine, strict=True)
    ]
    state = study.readings["state"].mask(
        (study.readings["state"] == ReadingState.BOXED.value) & (mine == ""),
        ReadingState.REVIEWED_EMPTY.value,
    )
    of_case = dict(zip(asked["case"], asked["name"], strict=True))
    tables = {
        "images": study.images,
        "readings": study.readings.assign(labels=labels, state=state, rater=task.rater),
        "boxes": boxes.assign(rater=task.rater),
        "points": study.points.assign(rater=task.rater),
    }
    named = {
        key: table.assign(case=table["case"].map(lambda one: of_case.get(one, one)))
        for key, table in tables.items()
    }
    return Study(study.name, study.labels, **named, single=study.single)
