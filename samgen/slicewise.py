"""A model of pictures as one of volumes: slice by slice, and then what slices say of each other.

Each picture is encoded once, for all objects on it. Between slices comes what `samgen.refine` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from samgen.predictor import BoxPredictor, Prompts
from samgen.refine import refine
from samgen.settings import MaskSettings
from samgen.slices import ObjectMask, draw_objects, mask_dice
from samgen.square import square_pixels
from samgen.volume_predictor import Drawn, ObjectPrompts, Volume


class SliceWise:
    """What draws the objects of a volume with a model of pictures.

    Parameters
    ----------
    model : BoxPredictor
        The model.
    settings : MaskSettings
        Whether it is shown square pixels, and what is done between slices.
    second : BoxPredictor, optional
        Another model, which draws the same objects from the same prompts: the measure
        `model_dice` is the Dice of both masks as drawn, before anything is done between slices.
    """

    def __init__(
        self, model: BoxPredictor, *, settings: MaskSettings, second: BoxPredictor | None = None
    ) -> None:
        self._models = [model] if second is None else [model, second]
        self._settings = settings

    def draw(
        self, volume: Volume, objects: Sequence[ObjectPrompts], done: Callable[[int], None]
    ) -> Iterator[Drawn]:
        """As `samgen.volume_predictor.VolumePredictor.draw`."""
        ask = partial(_on_picture, self._shown(volume), volume)
        drawn: list[Drawn] = [{} for _ in objects]
        for k in sorted({k for one in objects for k in one.slices}):
            here = [index for index, one in enumerate(objects) if k in one.slices]
            asked = [objects[i].prompts[objects[i].slices.index(k)] for i in here]
            for index, item in zip(here, ask(k, prompts=asked), strict=True):
                drawn[index][k] = item
            done(k)
        between = self._settings.volume
        for one, items in zip(objects, drawn, strict=True):
            if not (one.tracked and between.any):
                yield items
                continue
            found = refine(
                one.slices,
                [items[k] for k in one.slices],
                spacing_mm=volume.spacing_mm[0],
                settings=between,
                redraw=partial(_again, ask, one),
            )
            yield dict(zip(one.slices, found, strict=True))

    def _shown(self, volume: Volume) -> list[BoxPredictor]:
        """The models as they see pictures of this volume."""
        if not self._settings.square_pixels:
            return self._models
        _, height, width = volume.spacing_mm
        return [square_pixels(one, width_mm=width, height_mm=height) for one in self._models]


def _on_picture(
    models: Sequence[BoxPredictor], volume: Volume, k: int, *, prompts: Sequence[Prompts]
) -> Iterator[ObjectMask]:
    """The objects on a slice, by the first of one or two models."""
    picture = volume.pictures[k]
    drawn, *others = (draw_objects(one, one.encode(picture), prompts) for one in models)
    if not others:
        yield from drawn
        return
    for one, other in zip(drawn, others[0], strict=True):
        yield one.adding(model_dice=mask_dice(one, other))


def _again(ask: Callable[..., Iterator[ObjectMask]], one: ObjectPrompts, *place: Any) -> ObjectMask:
    """An object on a slice from another box: `place` is the slice, the box and its spread."""
    return next(ask(place[0], prompts=[one.again(*place)]))
