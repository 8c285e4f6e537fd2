"""Masks of one case: its prompts and its volume in, labels, uncertainty and a record out.

Three files are written, each atomically: the labels, the uncertainty, and last a record of what
they were made from (`samgen.records`). A case whose record fits is up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, repeat
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.findings import InputError
from crowdqc.schema import BOX, INTERPOLATED
from crowdqc.volumes import (
    file_axes,
    from_pictures,
    hash_volume,
    read_volume,
    to_grey,
    to_pictures,
    write_labels,
    write_map,
)
from samgen.objects import Asking, Empty, objects_of
from samgen.predictor import BoxPredictor
from samgen.records import Rows, read_record, signature_of, write_record
from samgen.refine import refine
from samgen.settings import MaskSettings
from samgen.slices import ObjectMask, has_contrast, mask_dice, resolve, without_contrast
from samgen.slicewise import SliceWise
from samgen.volume3d import z_dice
from samgen.volume_predictor import Drawn, ObjectPrompts, Volume, VolumePredictor

OUTSIDE_PX = 1.0
"""A box that leaves its picture by more than this is of another picture."""


class _Mask(NamedTuple):
    """An object on a slice."""

    slice: int
    label: str
    item: ObjectMask
    interpolated: bool
    """Whether nobody drew it there."""
    n_prompts: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is the same for all cases of a study.

    Parameters
    ----------
    labels : Mapping
        Label -> value in the masks, 1 to 65535.
    predictor : BoxPredictor or VolumePredictor
        The model.
    settings : MaskSettings
        Pictures, prompts and seed.
    second : BoxPredictor or VolumePredictor, optional
        Another model, which draws the same objects from the same prompts: the column
        `model_dice` is the Dice of the two masks of an object, before overlaps are resolved;
        between models of pictures also before anything is done between slices.
    empty : Mapping, optional
        Case -> label -> slices that were read and on which nobody drew it: gaps that models of
        volumes do not fill.
    """

    labels: Mapping[str, int]
    predictor: BoxPredictor | VolumePredictor
    settings: MaskSettings = field(default_factory=MaskSettings)
    second: BoxPredictor | VolumePredictor | None = None
    empty: Mapping[str, Empty] = field(default_factory=dict)

    def draw(
        self, volume: Volume, objects: Sequence[ObjectPrompts], done: Callable[[int], None]
    ) -> Iterator[Drawn]:
        """The objects of a volume; `done` is called with each slice that is drawn."""
        first, second = self.predictor, self.second
        if not (first.in_3d or (second is not None and second.in_3d)):
            yield from self._as_volume(first, second).draw(volume, objects, done)
            return
        drawn = self._as_volume(first).draw(volume, objects, done)
        others: Iterable[Drawn] = (
            repeat({})
            if second is None
            else self._as_volume(second).draw(volume, objects, lambda _: None)
        )
        for one, items, other in zip(objects, drawn, others, strict=False):
            clean = self._cleaned(one, items, volume) if first.in_3d else items
            yield {
                k: item.adding(model_dice=mask_dice(item, other[k])) if k in other else item
                for k, item in clean.items()
            }

    def _as_volume(self, model: Any, second: Any = None) -> VolumePredictor | SliceWise:
        """A model as one of volumes."""
        if model.in_3d:
            return cast("VolumePredictor", model)
        return SliceWise(model, settings=self.settings, second=second)

    def _cleaned(self, one: ObjectPrompts, items: Drawn, volume: Volume) -> Drawn:
        """An object without islands and holes, where these are removed."""
        steps = replace(self.settings.volume, reprompt=False, smooth_mm=0.0)
        if not (one.tracked and steps.any):
            return items
        found = refine(
            list(items), list(items.values()), spacing_mm=volume.spacing_mm[0], settings=steps
        )
        return dict(zip(items, found, strict=True))


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
        rows, labels, uncertainty = self.draw(drawn)
        files = [f"{self.name}.nii.gz", f"{self.name}.uncertainty.nii.gz"]
        record.unlink(missing_ok=True)
        plane, resample = self.task.settings.plane, self.task.settings.resample
        write_labels(out / files[0], labels, like=self.image, plane=plane, resample=resample)
        write_map(out / files[1], uncertainty, like=self.image, plane=plane, resample=resample)
        write_record(record, signature, files=files, rows=rows)
        return rows, True

    def _signature(self) -> str:
        task = self.task
        known = {label: sorted(slices) for label, slices in self._empty.items()}
        return signature_of(
            prompts=self.prompts.to_csv(index=False),
            image=hash_volume(self.image),
            labels=dict(task.labels),
            model=task.predictor.signature,
            second=task.second and task.second.signature,
            settings=str(task.settings),
            **({"empty": known} if task.predictor.in_3d and known else {}),
        )

    def read(self) -> Volume:
        """Its volume, as annotated pictures show it."""
        settings = self.task.settings
        values, geometry = read_volume(self.image, plane=settings.plane, resample=settings.resample)
        pictures = to_pictures(to_grey(values, settings.window), settings.picture)
        self._refuse_outside(pictures.shape)
        width, height, spacing = geometry.picture_spacing(settings.picture)
        axes = file_axes(
            self.image,
            plane=settings.plane,
            picture=settings.picture,
            resample=settings.resample,
        )
        return Volume(pictures, (spacing, height, width), self._intensities, axes)

    def _intensities(self) -> NDArray[np.float32]:
        settings = self.task.settings
        values, _ = read_volume(self.image, plane=settings.plane, resample=settings.resample)
        return to_pictures(values, settings.picture)

    @property
    def _empty(self) -> Empty:
        return self.task.empty.get(self.name, {})

    def by_slice(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """Slices with prompts, and their prompts."""
        yield from self.prompts.groupby("slice")

    def asking(self, volume: Volume) -> Asking:
        """How prompts are made on its pictures."""
        return Asking(
            case=self.name,
            shape=volume.shape,
            settings=self.task.settings,
            noise=self.task.predictor.noise,
        )

    def draw(
        self, drawn: Callable[[str], None]
    ) -> tuple[Rows, NDArray[np.uint16], NDArray[np.float32]]:
        """Rows of the table, label volume and uncertainty volume; `drawn` as in `rows`."""
        volume = self.read()
        labels = np.zeros(volume.pictures.shape, dtype=np.uint16)
        uncertainty = np.zeros(volume.pictures.shape, dtype=np.float32)
        rows: Rows = []
        masks = self._masks(volume, lambda _: drawn(self.name))
        for k, group in groupby(masks, key=lambda one: one.slice):
            on_slice = list(group)
            owner, uncertainty[k] = resolve(
                [one.item for one in on_slice],
                volume.shape,
                last_wins=self.task.predictor.last_wins,
            )
            values = [self.task.labels[one.label] for one in on_slice]
            labels[k] = np.array([*values, 0], dtype=np.uint16)[owner]
            areas = np.bincount(owner[owner >= 0], minlength=len(on_slice))
            rows += map(self._row, on_slice, areas.tolist())
        self._add_z_dice(rows, labels)
        picture = self.task.settings.picture
        return rows, from_pictures(labels, picture), from_pictures(uncertainty, picture)

    def _masks(self, volume: Volume, done: Callable[[int], None]) -> list[_Mask]:
        """Every object on every slice, in the order of slices, labels and boxes."""
        table = self.prompts.reset_index(drop=True)
        asking = self.asking(volume)
        prompts = list(asking.prompts_of(table))
        shown = [
            has_contrast(volume.pictures[k], one.box)
            for k, one in zip(table["slice"], prompts, strict=True)
        ]
        objects = objects_of(table[shown], prompts, asking, empty=self._empty)
        answers = self.task.draw(volume, [one for _, one in objects], done)
        found: dict[int, ObjectMask] = {}
        filled: list[_Mask] = []
        for (rows, one), items in zip(objects, answers, strict=True):
            row_on = dict(zip(one.slices, rows, strict=True))
            found |= {row_on[k]: item for k, item in items.items() if k in row_on}
            filled += [
                _Mask(k, one.label, item, interpolated=True, n_prompts=0)
                for k, item in items.items()
                if k not in row_on
            ]
        asked = [
            _Mask(
                slice=k,
                label=label,
                item=found.get(row) or without_contrast(prompts[row]),
                interpolated=method == INTERPOLATED,
                n_prompts=self.task.settings.prompts.n_prompts,
            )
            for row, k, label, method in table[["slice", "label", "method"]].itertuples()
        ]
        rank = {label: n for n, label in enumerate(self.task.labels)}
        return sorted(asked + filled, key=lambda one: (one.slice, rank[one.label]))

    def _row(self, mask: _Mask, area: int) -> dict[str, Any]:
        """A row of the table ``masks``."""
        return {
            "case": self.name,
            "slice": int(mask.slice),
            "label": mask.label,
            "model": self.task.predictor.name,
            "n_prompts": mask.n_prompts,
            "area_px": area,
            "reprompted": False,
            "removed_px": 0,
            "filled_px": 0,
            **mask.item.measures,
            "interpolated": mask.interpolated,
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
