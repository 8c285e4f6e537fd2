"""Masks of a whole study: consensus boxes and volumes in, label and uncertainty volumes out.

One case is done at a time, and three files of it are written, each atomically: the labels, the
uncertainty, and last a record of what they were made from (`samgen.records`). A run that was
cut short goes on after the last case whose record fits, and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.engine import LOCAL, Engine, LocalEngine
from crowdqc.findings import InputError
from crowdqc.fusion.interpolate import METHOD as INTERPOLATED
from crowdqc.fusion.members import COLUMN as MEMBERS
from crowdqc.schema import conform, empty, natural_order
from crowdqc.volumes import from_pictures, hash_volume, write_labels, write_map
from samgen.images import read_pictures
from samgen.predictor import BoxPredictor, Prompts
from samgen.prompts import make_prompts, prompt_rng
from samgen.records import Rows, read_record, signature_of, write_record
from samgen.settings import MaskSettings
from samgen.slices import Drawn, draw_objects, mask_dice, resolve
from samgen.volume3d import z_dice

OUTSIDE_PX = 1.0
"""A box that leaves its picture by more than this is of another picture."""

Progress = Callable[[int, int], None]

_BOX = ["x0", "y0", "x1", "y1"]
_SPREAD = [f"spread_{edge}" for edge in _BOX]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is the same for all cases of a study.

    Parameters
    ----------
    labels : Mapping
        Label -> value in the masks, 1 to 65535.
    predictor : BoxPredictor
        The model.
    settings : MaskSettings
        Pictures, prompts and seed.
    second : BoxPredictor, optional
        Another model, which draws the same objects from the same prompts: the column
        `model_dice` is the Dice of the two masks of an object, before overlaps are resolved.
    """

    labels: Mapping[str, int]
    predictor: BoxPredictor
    settings: MaskSettings = field(default_factory=MaskSettings)
    second: BoxPredictor | None = None


def generate_masks(
    prompts: pd.DataFrame,
    task: Task,
    *,
    images: Mapping[str, Path],
    out: Path,
    engine: Engine = LOCAL,
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Draw the masks of all cases.

    Parameters
    ----------
    prompts : DataFrame
        Rows of the table ``consensus``. Rows without a box, and those in the state
        ``no_consensus``, are no prompts. The raters' own boxes are in the column that
        `crowdqc.fusion.members.with_members` adds.
    task : Task
        Labels, model and settings.
    images : Mapping
        Case -> NIfTI volume.
    out : Path
        Folder; gets ``<case>.nii.gz`` (labels, uint8 or uint16, 0 is background),
        ``<case>.uncertainty.nii.gz`` (float32, nats: on each voxel the largest entropy of
        a label's mean probability) and ``<case>.json``, in the geometry of the volume.
    engine : Engine
        Where the cases are drawn. Other machines than this one load the model for themselves: give
        it as a `samgen.predictor.LazyPredictor`.
    say : callable, optional
        Told a line for each case when it is done.
    progress : callable, optional
        Told how many slices were drawn since it was told last, and how many there are to draw in
        all; slices of cases that turn out to be up to date do not count.

    Returns
    -------
    DataFrame
        The table ``masks``: a row for each object, ordered by case, slice and label.
        `area_px` is what is left after overlaps, which go to the object with the highest
        mean probability; of equals, to the one whose label comes first in ``task.labels``.

    Raises
    ------
    InputError
        If a case has no volume, a slice or box lies outside it, or a label is not known.
    """
    work = cases_of(prompts, task, images=images)
    tracker = _Tracker({one.name: one.slices for one in work}, progress or _silent)

    def report(case: str, done: tuple[Rows, bool]) -> None:
        rows, new = done
        tracker.case_done(case, new=new)
        (say or _silent)(f"{case}: {len(rows)} masks{'' if new else ' are up to date'}")

    # Workers elsewhere cannot tell of each slice.
    drawn = tracker.slice_done if isinstance(engine, LocalEngine) else _silent
    hire = partial(_Worker, task, out.absolute(), drawn)
    done = engine.run(hire, {one.name: one.order() for one in work}, done=report)
    tables = [conform("masks", pd.DataFrame(rows)) for rows, _ in done]
    return pd.concat(tables, ignore_index=True) if tables else empty("masks")


@dataclass(frozen=True)
class _Order:
    """A case to draw: its name, its prompts in order, its volume."""

    case: str
    prompts: pd.DataFrame
    image: Path


@dataclass(frozen=True)
class _Worker:
    """Draws one case after the other with the model of `task`, into `out`."""

    task: Task
    out: Path
    drawn: Callable[[str], None]
    """Told the name of a case for each slice that was drawn."""

    def __call__(self, order: _Order) -> tuple[Rows, bool]:
        """Rows of the table, and whether they are new."""
        case = Case(order.case, order.prompts, order.image, self.task)
        return case.rows(self.out, self.drawn)


def cases_of(prompts: pd.DataFrame, task: Task, *, images: Mapping[str, Path]) -> list[Case]:
    """The cases that `generate_masks` would draw; it says what is refused."""
    usable = _usable(prompts, task.labels)
    _refuse_missing(usable, images)
    names = natural_order(usable["case"].unique())
    return [Case(name, usable[usable["case"] == name], images[name], task) for name in names]


class _Tracker:
    """Counts slices, whether it is told of each of them or of whole cases only.

    Parameters
    ----------
    slices : dict
        Case -> number of its slices.
    progress : callable
        As in `generate_masks`.
    """

    def __init__(self, slices: dict[str, int], progress: Progress) -> None:
        self._left = dict(slices)
        self._total = sum(slices.values())
        self._progress = progress

    def slice_done(self, case: str) -> None:
        """A slice of a case was drawn."""
        self._left[case] -= 1
        self._tell(1)

    def case_done(self, case: str, *, new: bool) -> None:
        """The rest of a case was drawn, or it was up to date."""
        rest, self._left[case] = self._left[case], 0
        if not new:
            self._total -= rest
        self._tell(rest if new else 0)

    def _tell(self, drawn: int) -> None:
        self._progress(drawn, self._total)


@dataclass(frozen=True)
class Case:
    """One case: its prompts in order, its volume, and how to draw."""

    name: str
    prompts: pd.DataFrame
    image: Path
    task: Task

    @property
    def slices(self) -> int:
        """Number of slices with prompts."""
        return int(self.prompts["slice"].nunique())

    def order(self) -> _Order:
        """What a worker needs to know of it."""
        return _Order(self.name, self.prompts, self.image.absolute())

    def is_current(self, out: Path) -> bool:
        """Whether its masks are in `out`, and made from what it has now."""
        return read_record(out / f"{self.name}.json", self._signature()) is not None

    def rows(self, out: Path, drawn: Callable[[str], None]) -> tuple[Rows, bool]:
        """Rows of the table, from the record or by drawing, and whether they were drawn."""
        record, signature = out / f"{self.name}.json", self._signature()
        rows = read_record(record, signature)
        if rows is not None:
            return rows, False
        rows, labels, uncertainty = self._draw(drawn)
        files = [f"{self.name}.nii.gz", f"{self.name}.uncertainty.nii.gz"]
        record.unlink(missing_ok=True)
        plane = self.task.settings.plane
        write_labels(out / files[0], labels, like=self.image, plane=plane)
        write_map(out / files[1], uncertainty, like=self.image, plane=plane)
        write_record(record, signature, files=files, rows=rows)
        return rows, True

    def _signature(self) -> str:
        task = self.task
        return signature_of(
            prompts=self.prompts.to_csv(index=False),
            image=hash_volume(self.image),
            labels=dict(task.labels),
            model=task.predictor.signature,
            second=task.second and task.second.signature,
            settings=str(task.settings),
        )

    def pictures(self) -> NDArray[np.uint8]:
        """Grey pictures of all its slices, (planes, rows, columns)."""
        settings = self.task.settings
        pictures, _ = read_pictures(
            self.image, plane=settings.plane, picture=settings.picture, window=settings.window
        )
        self._refuse_outside(pictures.shape)
        return pictures

    def by_slice(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """Slices with prompts, and their prompts."""
        yield from self.prompts.groupby("slice")

    def _draw(
        self, drawn: Callable[[str], None]
    ) -> tuple[Rows, NDArray[np.uint16], NDArray[np.float32]]:
        """Rows, label volume and uncertainty volume."""
        pictures = self.pictures()
        labels = np.zeros(pictures.shape, dtype=np.uint16)
        uncertainty = np.zeros(pictures.shape, dtype=np.float32)
        rows: Rows = []
        for k, on_slice in self.by_slice():
            objects = list(self._objects(pictures[k], on_slice))
            owner, uncertainty[k] = resolve(
                objects, pictures.shape[1:], last_wins=self.task.predictor.last_wins
            )
            values = [self.task.labels[label] for label in on_slice["label"]]
            labels[k] = np.array([*values, 0], dtype=np.uint16)[owner]
            areas = np.bincount(owner[owner >= 0], minlength=len(objects))
            rows += self._slice_rows(on_slice, objects, areas)
            drawn(self.name)
        self._add_z_dice(rows, labels)
        picture = self.task.settings.picture
        return rows, from_pictures(labels, picture), from_pictures(uncertainty, picture)

    def _objects(self, picture: NDArray[np.uint8], on_slice: pd.DataFrame) -> Iterator[Drawn]:
        prompts = list(self.ask(picture.shape, on_slice))
        first, second = self.task.predictor, self.task.second
        drawn = draw_objects(first, first.encode(picture), prompts)
        if second is None:
            yield from drawn
            return
        others = draw_objects(second, second.encode(picture), prompts)
        for one, other in zip(drawn, others, strict=True):
            yield one.adding(model_dice=mask_dice(one, other))

    def ask(self, shape: tuple[int, ...], on_slice: pd.DataFrame) -> Iterator[Prompts]:
        """What the model is asked about each object on a slice of this shape."""
        settings = self.task.settings
        nth = on_slice.groupby("label").cumcount()
        for row, n in zip(on_slice.to_dict("records"), nth, strict=True):
            # Objects of one label on one slice must not stray in step.
            label = f"{row['label']}#{n}" if n else row["label"]
            rng = prompt_rng(settings.seed, case=self.name, slice=row["slice"], label=label)
            yield make_prompts(
                [row[edge] for edge in _BOX],
                raters=row.get(MEMBERS, ()),
                spread=[row[edge] for edge in _SPREAD],
                shape=(shape[0], shape[1]),
                rng=rng,
                settings=settings.prompts,
                noise=self.task.predictor.noise,
            )

    def _slice_rows(
        self, on_slice: pd.DataFrame, objects: list[Drawn], areas: NDArray[np.intp]
    ) -> Iterator[dict[str, Any]]:
        for row, item, area in zip(on_slice.to_dict("records"), objects, areas, strict=True):
            yield {
                "case": self.name,
                "slice": int(row["slice"]),
                "label": row["label"],
                "model": self.task.predictor.name,
                "n_prompts": self.task.settings.prompts.n_prompts,
                "area_px": int(area),
                **item.measures,
                "interpolated": row["method"] == INTERPOLATED,
            }

    def _add_z_dice(self, rows: Rows, labels: NDArray[np.uint16]) -> None:
        names = {row["label"] for row in rows}
        dice = {name: z_dice(labels == self.task.labels[name]) for name in names}
        for row in rows:
            row["z_dice"] = float(dice[row["label"]][row["slice"]])

    def _refuse_outside(self, shape: tuple[int, int, int]) -> None:
        planes, height, width = shape
        boxes = self.prompts[_BOX].to_numpy()
        limit = np.array([width, height, width, height]) + OUTSIDE_PX
        bad = ((boxes < -OUTSIDE_PX) | (boxes > limit)).any(axis=1)
        bad |= ~self.prompts["slice"].between(0, planes - 1).to_numpy()
        if bad.any():
            row = self.prompts.iloc[int(bad.argmax())]
            box = boxes[bad.argmax()].round(2).tolist()
            raise InputError(
                f"{self.image}: has {planes} slices of {height} rows and {width} columns "
                f"(plane = '{self.task.settings.plane}', picture = "
                f"'{self.task.settings.picture}'), but the box of {row['label']} on "
                f"slice {row['slice']} is {box}; {int(bad.sum())} boxes of the case lie outside. "
                "Is it the volume that was annotated, and [images] plane and picture?"
            )


def _usable(prompts: pd.DataFrame, labels: Mapping[str, int]) -> pd.DataFrame:
    """The rows that are prompts, in the order of case, slice, label and position."""
    table = conform("consensus", prompts)
    table = table[(table["state"] != "no_consensus") & table[_BOX].notna().all(axis=1)]
    unknown = sorted(set(table["label"]) - set(labels))
    if unknown:
        raise InputError(f"Prompts carry labels that the study does not have: {unknown}.")
    rank = {label: index for index, label in enumerate(labels)}
    table = table.assign(_rank=table["label"].map(rank))
    return table.sort_values(["case", "slice", "_rank", *_BOX], ignore_index=True).drop(
        columns="_rank"
    )


def _refuse_missing(prompts: pd.DataFrame, images: Mapping[str, Path]) -> None:
    missing = natural_order(set(prompts["case"]) - set(images))
    if missing:
        raise InputError(
            f"[images] path: there is no volume for {len(missing)} of the cases with boxes, "
            f"first '{missing[0]}'. Masks are drawn on the images: mend the path, or leave "
            "the cases out."
        )
    for case in prompts["case"].unique():
        if Path(case).name != case:
            raise InputError(f"Case '{case}' cannot name a file: it must not hold a '/'.")


def _silent(*_: object) -> None:
    """Say nothing."""
