"""Masks of one case: its prompts and its volume in, labels, uncertainty and a record out.

Three files are written, each atomically: the labels, the uncertainty, and last a record of what
they were made from (`samgen.records`). A case whose record fits is up to date.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.findings import InputError
from crowdqc.fusion.interpolate import METHOD as INTERPOLATED
from crowdqc.fusion.members import COLUMN as MEMBERS
from crowdqc.schema import BOX
from crowdqc.volumes import (
    Geometry,
    from_pictures,
    hash_volume,
    read_volume,
    to_grey,
    to_pictures,
    write_labels,
    write_map,
)
from samgen.predictor import BoxPredictor, Prompts
from samgen.prompts import make_prompts, prompt_rng
from samgen.records import Rows, read_record, signature_of, write_record
from samgen.refine import Edges, Redraw, refine
from samgen.settings import MaskSettings
from samgen.slices import (
    NO_CONTRAST,
    ObjectMask,
    draw_objects,
    has_contrast,
    mask_dice,
    resolve,
    without_contrast,
)
from samgen.square import square_pixels
from samgen.volume3d import z_dice

OUTSIDE_PX = 1.0
"""A box that leaves its picture by more than this is of another picture."""

Pictures = NDArray[np.uint8]
"""Grey pictures of all slices, shape (planes, rows, columns)."""

_Slice = tuple[int, pd.DataFrame, list[ObjectMask]]
"""Number of a slice, its prompts, and the objects that were drawn of them."""

_SPREAD = [f"spread_{edge}" for edge in BOX]


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

    def on_pixels(self, *, width_mm: float, height_mm: float) -> Task:
        """The task on pictures with pixels of this size."""
        if not self.settings.square_pixels:
            return self
        show = partial(square_pixels, width_mm=width_mm, height_mm=height_mm)
        return replace(
            self, predictor=show(self.predictor), second=self.second and show(self.second)
        )


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

    def is_current(self, out: Path) -> bool:
        """Whether its masks are in `out`, and made from what it has now."""
        return read_record(out / f"{self.name}.json", self._signature()) is not None

    def rows(self, out: Path, drawn: Callable[[str], None]) -> tuple[Rows, bool]:
        """Rows of the table, from the record or by drawing, and whether they are new.

        `drawn` is called with the name of the case for each slice that was drawn.
        """
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

    def read(self) -> tuple[Pictures, Geometry]:
        """Its pictures, and the geometry of its volume."""
        settings = self.task.settings
        volume, geometry = read_volume(self.image, plane=settings.plane)
        pictures = to_pictures(to_grey(volume, settings.window), settings.picture)
        self._refuse_outside(pictures.shape)
        return pictures, geometry

    def by_slice(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """Slices with prompts, and their prompts."""
        yield from self.prompts.groupby("slice")

    def _draw(
        self, drawn: Callable[[str], None]
    ) -> tuple[Rows, NDArray[np.uint16], NDArray[np.float32]]:
        """Rows, label volume and uncertainty volume."""
        pictures, geometry = self.read()
        width, height, spacing = geometry.picture_spacing(self.task.settings.picture)
        job = replace(self, task=self.task.on_pixels(width_mm=width, height_mm=height))
        slices = job._slices(pictures, drawn)  # noqa: SLF001 - its own
        if self.task.settings.volume.any:
            slices = job._refined(list(slices), pictures, spacing_mm=spacing)  # noqa: SLF001
        labels = np.zeros(pictures.shape, dtype=np.uint16)
        uncertainty = np.zeros(pictures.shape, dtype=np.float32)
        rows: Rows = []
        for k, on_slice, objects in slices:
            owner, uncertainty[k] = resolve(
                objects, pictures.shape[1:], last_wins=self.task.predictor.last_wins
            )
            values = [self.task.labels[label] for label in on_slice["label"]]
            labels[k] = np.array([*values, 0], dtype=np.uint16)[owner]
            areas = np.bincount(owner[owner >= 0], minlength=len(objects))
            rows += self._slice_rows(on_slice, objects, areas)
        self._add_z_dice(rows, labels)
        picture = self.task.settings.picture
        return rows, from_pictures(labels, picture), from_pictures(uncertainty, picture)

    def _slices(self, pictures: Pictures, drawn: Callable[[str], None]) -> Iterator[_Slice]:
        """Each slice with prompts, and its objects in their order."""
        for k, on_slice in self.by_slice():
            prompts = list(self.prompts_on(pictures.shape[1:], on_slice))
            shown = [has_contrast(pictures[k], one.box) for one in prompts]
            asked = list(itertools.compress(prompts, shown))
            found = iter(self._objects(pictures[k], asked) if asked else ())
            objects = [
                next(found) if seen else without_contrast(one)
                for one, seen in zip(prompts, shown, strict=True)
            ]
            yield int(k), on_slice, objects
            drawn(self.name)

    def _refined(
        self, slices: list[_Slice], pictures: Pictures, *, spacing_mm: float
    ) -> Iterator[_Slice]:
        """The slices with what `samgen.refine` makes of each label that is one object."""
        settings = self.task.settings
        for label in self.task.labels:
            places = [
                (part, row)
                for part, (_, on_slice, _) in enumerate(slices)
                for row in np.flatnonzero(on_slice["label"] == label)
                if NO_CONTRAST not in slices[part][2][row].measures
            ]
            numbers = [slices[part][0] for part, _ in places]
            if not places or len(set(numbers)) < len(numbers):
                continue  # which of several objects goes on as which is not known
            found = refine(
                numbers,
                [slices[part][2][row] for part, row in places],
                spacing_mm=spacing_mm,
                settings=settings.volume,
                redraw=self._redraw(pictures, label),
            )
            for (part, row), item in zip(places, found, strict=True):
                slices[part][2][row] = item
        yield from slices

    def _redraw(self, pictures: Pictures, label: str) -> Redraw:
        """What draws a label on a slice from another box than its own."""
        settings = self.task.settings

        def again(k: int, box: Edges, spread: Edges) -> ObjectMask:
            prompts = make_prompts(
                box,
                spread=spread,
                shape=(pictures.shape[1], pictures.shape[2]),
                rng=prompt_rng(settings.seed, case=self.name, slice=k, label=f"{label}#again"),
                settings=settings.prompts,
                noise=self.task.predictor.noise,
            )
            return next(self._objects(pictures[k], [prompts]))

        return again

    def _objects(
        self, picture: NDArray[np.uint8], prompts: Sequence[Prompts]
    ) -> Iterator[ObjectMask]:
        first, second = self.task.predictor, self.task.second
        drawn = draw_objects(first, first.encode(picture), prompts)
        if second is None:
            yield from drawn
            return
        others = draw_objects(second, second.encode(picture), prompts)
        for one, other in zip(drawn, others, strict=True):
            yield one.adding(model_dice=mask_dice(one, other))

    def prompts_on(self, shape: tuple[int, ...], on_slice: pd.DataFrame) -> Iterator[Prompts]:
        """What the model is asked about each object on a slice of this shape."""
        settings = self.task.settings
        nth = on_slice.groupby("label").cumcount()
        for row, n in zip(on_slice.to_dict("records"), nth, strict=True):
            # Objects of one label on one slice must not stray in step.
            label = f"{row['label']}#{n}" if n else row["label"]
            rng = prompt_rng(settings.seed, case=self.name, slice=row["slice"], label=label)
            yield make_prompts(
                [row[edge] for edge in BOX],
                raters=row.get(MEMBERS, ()),
                spread=[row[edge] for edge in _SPREAD],
                shape=(shape[0], shape[1]),
                rng=rng,
                settings=settings.prompts,
                noise=self.task.predictor.noise,
            )

    def _slice_rows(
        self, on_slice: pd.DataFrame, objects: list[ObjectMask], areas: NDArray[np.intp]
    ) -> Iterator[dict[str, Any]]:
        for row, item, area in zip(on_slice.to_dict("records"), objects, areas, strict=True):
            yield {
                "case": self.name,
                "slice": int(row["slice"]),
                "label": row["label"],
                "model": self.task.predictor.name,
                "n_prompts": self.task.settings.prompts.n_prompts,
                "area_px": int(area),
                "reprompted": False,
                "removed_px": 0,
                "filled_px": 0,
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
        boxes = self.prompts[BOX].to_numpy()
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
