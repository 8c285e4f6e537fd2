"""The embedded model in three dimensions: an organ's boxes and tissues over all its slices.

Three things are known of an organ that no slice says alone. Its edges go on from slice to slice
(`samgen.tracks`): a box that strays is one of many that say where it must be, and slices that
nobody drew lie between others. It is of the same tissues everywhere: whether of one or of several
is judged on all slices together. And its surface goes on, in mm.

The boxes are soft evidence. From what they leave open several courses of the edges are drawn, and
along each of them the model of single slices (`samgen.predictors.intensity`) draws the organ; its
probability is their mean, and how much they differ says how sure it is. Large organs are drawn on
a coarser grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from skimage.measure import block_reduce
from skimage.transform import resize

from crowdqc.arrays import Floats as Numbers
from crowdqc.findings import InputError
from crowdqc.geometry import Boxes
from samgen.predictor import ModelRequest
from samgen.predictors.intensity import settings_of
from samgen.prompts import prompt_rng
from samgen.refine import LENGTH_SHARE
from samgen.regions import Region, hull, shape_of, within
from samgen.settings import IntensitySettings, VolumeModelSettings
from samgen.tissues import (
    Floats,
    blend,
    guided_filter,
    noise_level,
    region_with_margin,
    scene_of,
    two_views,
)
from samgen.tracks import LEAST, follow_edges
from samgen.volume3d import runs_of, smooth_slices
from samgen.volume_predictor import ObjectPrompts, Volume, VolumePrediction, VolumePredictor

VERSION = 1
"""Raised whenever the same settings give other masks."""


class _Slice(NamedTuple):
    """A slice as the model looks at it."""

    grey: Floats
    """Smoothed picture of the region, on the grid that it is drawn on."""
    region: Region
    """The part of the picture that is looked at."""
    step: int
    """Pixels of the picture along a side of the grid's cells."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        rows, columns = self.grey.shape
        return rows, columns


class Intensity3DPredictor(VolumePredictor):
    """The embedded model as a `samgen.volume_predictor.VolumePredictor`.

    Parameters
    ----------
    settings : IntensitySettings, optional
        Of the model of single slices.
    volume : VolumeModelSettings, optional
        The same for every organ and modality.
    labels : mapping, optional
        Label -> settings of its own, of the model of single slices.
    """

    name = "intensity3d"
    uses_gpu = False

    def __init__(
        self,
        settings: IntensitySettings | None = None,
        volume: VolumeModelSettings | None = None,
        labels: Mapping[str, IntensitySettings] | None = None,
    ) -> None:
        self.settings = settings or IntensitySettings()
        self.volume = volume or VolumeModelSettings()
        self.labels = dict(labels or {})

    @classmethod
    def open(cls, request: ModelRequest) -> Self:
        """The model with its own settings; it has no weights."""
        if request.weights is not None:
            raise InputError(
                f"'model' must be 'intensity3d', which has no weights; got {request.model!r}."
            )
        opened = cls(labels=settings_of(request))
        if request.adapted is not None:
            opened.name = request.adapted.path.stem
        return opened

    @property
    def signature(self) -> str:
        """Version and settings: all that masks depend on."""
        own = f" {sorted(self.labels.items())}" if self.labels else ""
        return f"intensity3d {VERSION} {self.settings} {self.volume}{own}"

    def about(self, label: str) -> Intensity3DPredictor:
        """The model with the settings of a label."""
        if label not in self.labels:
            return self
        return Intensity3DPredictor(self.labels[label], self.volume)

    def predict(self, volume: Volume, prompts: ObjectPrompts) -> VolumePrediction:
        """Soft masks of an object on its slices and in its gaps."""
        return self.about(prompts.label)._drawing(volume, prompts)  # noqa: SLF001

    def _drawing(self, volume: Volume, prompts: ObjectPrompts) -> VolumePrediction:
        slices = np.array(sorted([*prompts.slices, *prompts.gaps]))
        courses = _within(self._courses(slices, prompts), volume.shape)
        seen = [
            self._look(volume, k, boxes)
            for k, boxes in zip(slices, courses.swapaxes(0, 1), strict=True)
        ]
        region = hull(one.region for one in seen)
        drawn = np.zeros((len(courses), len(slices), *shape_of(region)), np.float32)
        for course, stack in zip(courses, drawn, strict=True):
            for plane, one, mask in zip(stack, seen, self._drawn(seen, course), strict=True):
                plane[within(one.region, region)] = mask
            for run in runs_of(slices):
                length_mm = (run.stop - run.start) * volume.spacing_mm[0]
                stack[run] = smooth_slices(
                    stack[run],
                    spacing_mm=volume.spacing_mm[0],
                    sigma_mm=min(self.volume.smooth_mm, LENGTH_SHARE * length_mm),
                )
        return VolumePrediction(slices=tuple(slices.tolist()), region=region, probability=drawn)

    def _courses(self, slices: NDArray[np.intp], prompts: ObjectPrompts) -> Numbers:
        """Boxes (K, P, 4) along which the object is drawn."""
        n, own = self.volume.drawings, np.array(prompts.slices)
        drawn = ~prompts.interpolated
        if drawn.sum() >= LEAST:
            tracks = follow_edges(
                own[drawn].astype(np.float64),
                prompts.boxes[drawn],
                wanted=slices.astype(np.float64),
            )
            return tracks.draws(n, prompt_rng(0, case="", slice=len(own), label=prompts.label))
        given = np.stack([_some(one.boxes, n) for one in prompts.prompts])
        return np.stack(
            [[_between(slices, own, given[:, k, edge]) for edge in range(4)] for k in range(n)]
        ).swapaxes(1, 2)

    def _look(self, volume: Volume, k: int, boxes: Boxes) -> _Slice:
        """A slice round some boxes on it."""
        rows, columns = hull(region_with_margin(box, volume.shape, self.settings) for box in boxes)
        sides = boxes[:, 2:] - boxes[:, :2]
        step = int(np.ceil(np.median(sides.max(axis=1)) / self.volume.side_max))
        # Whole cells, as far as the picture goes.
        rows, columns = (
            slice(part.start, min(part.start + -(-(part.stop - part.start) // step) * step, most))
            for part, most in zip((rows, columns), volume.shape, strict=True)
        )
        grey = volume.pictures[k].astype(np.float32)
        strength = self.settings.smooth_noise * noise_level(grey)
        smooth = guided_filter(
            grey[rows, columns], radius=self.settings.smooth_radius_px, strength=strength
        )
        if step > 1:
            padding = [(0, -n % step) for n in smooth.shape]
            smooth = block_reduce(np.pad(smooth, padding, mode="edge"), (step, step), np.mean)
        return _Slice(smooth, (rows, columns), step)

    def _drawn(self, seen: list[_Slice], course: Boxes) -> list[Floats]:
        """The object along one course of its edges, in the regions of the slices."""
        scenes = []
        for one, box in zip(seen, course, strict=True):
            corner = np.tile([one.region[1].start, one.region[0].start], 2)
            local = (box - corner) / one.step
            region = region_with_margin(local, one.grey.shape, self.settings)
            scenes.append(
                (region, scene_of(one.grey, local, region=region, settings=self.settings))
            )
        views = [two_views(scene, self.settings) for _, scene in scenes]
        share = self.volume.judged_together
        usual = float(np.mean([one.better for one in views]))
        masks = []
        for one, (region, scene), view in zip(seen, scenes, views, strict=True):
            better = share * usual + (1 - share) * view.better
            mask = np.zeros(one.grey.shape, np.float32)
            mask[region] = blend(view, scene, better, settings=self.settings)
            masks.append(_enlarged(mask, one))
        return masks


def _some(boxes: Boxes, n: int) -> Boxes:
    """Boxes (n, 4) of some, evenly."""
    return boxes[np.linspace(0, len(boxes) - 1, n).astype(int)]


def _between(slices: NDArray[np.intp], own: NDArray[np.intp], edge: Numbers) -> Numbers:
    """An edge on slices, from where it is on its own ones."""
    return np.interp(slices, own, edge)


def _enlarged(mask: Floats, one: _Slice) -> Floats:
    """A mask on the grid as one of the pixels of its region."""
    if one.step == 1:
        return mask
    rows, columns = (n * one.step for n in mask.shape)
    large = resize(mask, (rows, columns), order=1, mode="edge", anti_aliasing=False)
    height, width = shape_of(one.region)
    return large[:height, :width]


def _within(boxes: Numbers, shape: tuple[int, int]) -> Numbers:
    """Boxes (K, P, 4) of at least a pixel, within the picture."""
    rows, columns = shape
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = np.maximum(boxes[..., 2:] - boxes[..., :2], 1) / 2
    limit = np.array([columns, rows])
    low = np.clip(middle - half, 0, limit - 1)
    high = np.clip(middle + half, low + 1, limit)
    return np.concatenate([low, high], axis=-1)
