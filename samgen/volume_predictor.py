"""What a model that draws masks in three dimensions looks like to the rest of samgen.

It is given a volume and, of one object, the prompts of all its slices, and answers with
probabilities for the part of the volume round them. A model of pictures becomes one by
`samgen.slicewise`; what comes after the drawing (measures, overlaps, records, other machines) is
the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crowdqc.findings import InputError
from crowdqc.geometry import Boxes
from crowdqc.volumes import FileAxes
from samgen.predictor import SUPPORT, Model, Prompts
from samgen.regions import Region, region_of, shape_of, within
from samgen.slices import ObjectMask, measured
from samgen.uncertainty import summarise

Edges = NDArray[np.float64]
"""One number, in px, for each of ``x0, y0, x1, y1``."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume as its annotated pictures show it.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (planes, rows, columns)
        Grey values, windowed.
    spacing_mm : tuple of float
        Distance of planes, of rows and of columns.
    read : callable
        Gives the intensities as they are stored, float32 of the same shape. Called when they are
        first asked for.
    file_axes : tuple of (int, bool)
        Of each axis of the volume's file, the slowest first, as SimpleITK reads it: which axis of
        `pictures` follows it, and whether backwards.
    """

    pictures: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    read: Callable[[], NDArray[np.float32]]
    file_axes: FileAxes = ((0, False), (1, False), (2, False))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a picture."""
        _, rows, columns = self.pictures.shape
        return rows, columns

    @cached_property
    def intensities(self) -> NDArray[np.float32]:
        """Intensities (planes, rows, columns) as they are stored."""
        return self.read()

    def to_file_axes(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """An array (planes, rows, columns) along the axes of the file."""
        return np.flip(pictures.transpose([axis for axis, _ in self.file_axes]), self._flipped)

    def from_file_axes(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array along the axes of the file as one of (planes, rows, columns)."""
        order = np.argsort([axis for axis, _ in self.file_axes])
        return np.flip(array, self._flipped).transpose(order)

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(n for n, (_, backwards) in enumerate(self.file_axes) if backwards)


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectPrompts:
    """What a model is asked about one object of a volume.

    Parameters
    ----------
    label : str
        What it is.
    slices : tuple of int, length P
        Planes with prompts, increasing.
    prompts : tuple of Prompts, length P
        On each of them: the fused box, and all boxes to prompt with.
    spread : ndarray of float64, shape (P, 4)
        Standard deviation of each edge of the fused box in px; nan where it is not known.
    raters : tuple of ndarray, length P
        The raters' boxes on each, (R, 4).
    interpolated : ndarray of bool, shape (P,)
        Whether nobody drew the box: it lies between those that were drawn.
    empty : frozenset of int
        Planes that were read and on which nobody drew it.
    tracked : bool
        Whether it is one object on all its slices. A label with several objects on a slice is
        asked for box by box: which of them goes on as which is not known.
    again : callable
        Gives the prompts for another box on a slice, from its number, box and spread (4,).
    """

    label: str
    slices: tuple[int, ...]
    prompts: tuple[Prompts, ...]
    spread: NDArray[np.float64]
    raters: tuple[Boxes, ...]
    interpolated: NDArray[np.bool_]
    empty: frozenset[int]
    tracked: bool
    again: Callable[[int, Edges, Edges], Prompts]

    @property
    def boxes(self) -> Boxes:
        """The fused boxes, (P, 4)."""
        return np.array([one.box for one in self.prompts])

    @property
    def gaps(self) -> list[int]:
        """Planes between the first and the last without a prompt, that are not known empty."""
        between = set(range(self.slices[0], self.slices[-1])) - set(self.slices)
        return sorted(between - self.empty)


@dataclass(frozen=True, kw_only=True, eq=False)
class VolumePrediction:
    """Soft masks of one object.

    Parameters
    ----------
    slices : tuple of int, length P
        Planes: all that were asked for, and gaps that the model fills.
    region : tuple of slice
        The part of the pictures that is shown. What lies outside is background.
    probability : ndarray of float32, shape (K, P, rows, columns)
        From K drawings, which tell how sure the model is; one where it draws once.
    sizes : tuple of int, optional
        Number of drawings of each source of prompts; by default all are of one.
    measures : mapping
        Further columns of the table ``masks``, (P,).
    """

    slices: tuple[int, ...]
    region: Region
    probability: NDArray[np.float32]
    sizes: tuple[int, ...] | None = None
    measures: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)


Drawn = dict[int, ObjectMask]
"""Plane -> an object on it."""


@runtime_checkable
class VolumePredictor(Model, Protocol):
    """A model that draws an object on all its slices at once.

    Its class is registered as an entry point of the group ``crowdqc.predictors``; whoever derives
    from this one gets everything but `name`, `signature` and `predict`.
    """

    in_3d: ClassVar[bool] = True

    def predict(self, volume: Volume, prompts: ObjectPrompts) -> VolumePrediction:
        """Masks of one object of a volume.

        Parameters
        ----------
        volume : Volume
        prompts : ObjectPrompts

        Returns
        -------
        VolumePrediction
            It depends on this object only, not on what else was asked.
        """
        ...

    def draw(
        self, volume: Volume, objects: Sequence[ObjectPrompts], done: Callable[[int], None]
    ) -> Iterator[Drawn]:
        """What is kept of the masks of all objects of a volume.

        A model that gains by it shares work between objects.

        Parameters
        ----------
        volume : Volume
        objects : sequence of ObjectPrompts
        done : callable
            Called with the number of a slice when all its objects are drawn.

        Yields
        ------
        dict
            One for each object, in order.
        """
        last = {k: index for index, one in enumerate(objects) for k in one.slices}
        for index, one in enumerate(objects):
            yield _kept(self.predict(volume, one), one)
            for k in one.slices:
                if last[k] == index:
                    done(k)


def _kept(found: VolumePrediction, asked: ObjectPrompts) -> Drawn:
    """The masks of an object with their measures, slice by slice.

    Raises
    ------
    InputError
        If a slice that was asked for is missing, or arrays have other shapes than they must.
    """
    rows, columns = found.region
    shape = (len(found.slices), rows.stop - rows.start, columns.stop - columns.start)
    if found.probability.ndim != 4 or found.probability.shape[1:] != shape:
        raise InputError(
            f"'probability' must have the shape (K, {shape[0]}, {shape[1]}, {shape[2]}) of its "
            f"slices and region; got {found.probability.shape}."
        )
    missing = sorted(set(asked.slices) - set(found.slices))
    if missing:
        raise InputError(f"'slices' must hold all that were asked for; {missing} are missing.")
    own = dict(zip(asked.slices, asked.prompts, strict=True))
    drawn = {
        k: on_slice(
            found.probability[:, index],
            found.region,
            own.get(k),
            sizes=found.sizes,
            more={name: float(values[index]) for name, values in found.measures.items()},
        )
        for index, k in enumerate(found.slices)
        if k in own or (found.probability[:, index] > SUPPORT).any()
    }
    return dict(sorted(drawn.items()))


def on_slice(
    planes: NDArray[np.float32],
    region: Region,
    prompts: Prompts | None,
    *,
    sizes: tuple[int, ...] | None = None,
    more: Mapping[str, float],
) -> ObjectMask:
    """An object on one slice; without prompts, in a gap, the box round all drawings is its own.

    Parameters
    ----------
    planes : ndarray of float32, shape (K, rows, columns)
        Its drawings.
    region : tuple of slice
        The part of the picture that they show.
    prompts : Prompts or None
    sizes : tuple of int, optional
        As in `VolumePrediction`.
    more : mapping
        Further measures.
    """
    if prompts is None:
        most = planes.max(axis=0)
        rows, columns = region_of(most > 0.5) or region_of(most > SUPPORT) or (slice(1), slice(1))
        box = np.array([columns.start or 0, rows.start or 0, columns.stop, rows.stop], np.float64)
        box += np.tile([region[1].start, region[0].start], 2)
        prompts = Prompts(box, box[None], (1,))
    whole = prompts.region(region)
    shown = np.zeros((len(planes), *shape_of(whole)), np.float32)
    shown[:, *within(region, whole)] = planes
    summary = summarise(shown, sizes or (len(planes),), region=whole)
    return measured(prompts, summary).adding(**more)
