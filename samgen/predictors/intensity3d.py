"""The embedded model in three dimensions: an organ's boxes and tissues over all its slices.

Three things are known of an organ that no slice says alone. Its edges go on from slice to slice
(`samgen.tracks`): a box that strays is one of many that say where it must be, and slices that
nobody drew lie between others. It is of the same tissues everywhere, and what a pixel is, its
neighbours on the slices beside are, too (`samgen.organs`).

The boxes are soft evidence. Along the likeliest course of the edges the organ is drawn as one, and
what the boxes leave open says how sure that is: along further courses it is drawn again from there.
Then a small learned model looks at what was drawn, pixel by pixel (`samgen.pixel_model`). Large
organs are drawn on a coarser grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.measure import block_reduce
from skimage.transform import resize

from crowdqc.arrays import Floats as Numbers
from crowdqc.geometry import Boxes
from samgen.histograms import Floats
from samgen.organs import Organ, Sketch, draw_again, draw_organ, organ_of, tidied
from samgen.pixel_features import Frame
from samgen.pixel_model import NOTHING_LEARNED, PixelModel, as_far_apart, embedded, learned
from samgen.predictors.intensity import Embedded
from samgen.prompts import prompt_rng
from samgen.regions import Region, hull, shape_of
from samgen.settings import IntensitySettings, VolumeModelSettings
from samgen.tissues import guided_filter, noise_level, region_with_margin
from samgen.tracks import LEAST, follow_edges
from samgen.volume3d import runs_of
from samgen.volume_predictor import ObjectPrompts, Volume, VolumePrediction, VolumePredictor

VERSION = 4
"""Raised whenever the same settings give other masks."""


class _Look(NamedTuple):
    """The slices of an organ as the model looks at them."""

    grey: Floats
    """Smoothed pictures of the region (P, rows, columns), on the grid that it is drawn on."""
    region: Region
    """The part of the pictures that is looked at."""
    step: int
    """Pixels of the picture along a side of the grid's cells."""

    def placed(self, boxes: Boxes) -> Boxes:
        """Boxes of the picture on the grid."""
        rows, columns = self.region
        return (boxes - np.tile([columns.start, rows.start], 2)) / self.step


class Draft(NamedTuple):
    """An object by its boxes and grey values alone."""

    slices: NDArray[np.intp]
    look: _Look
    frame: Frame
    """Its slices along the likeliest course of the edges."""
    sketch: Sketch
    drawings: Floats
    """Along all courses, without needless pieces and holes (K, P, rows, columns)."""

    def learned(self, pixels: PixelModel) -> Floats:
        """What a learned model makes of the drawings, of the same shape."""
        found = learned(self.frame, self.sketch, self.drawings, model=pixels)
        return as_far_apart(tidied(self.frame.organ, found), self.drawings)


class Intensity3DPredictor(Embedded, VolumePredictor):
    """The embedded model as a `samgen.volume_predictor.VolumePredictor`.

    Parameters
    ----------
    settings : IntensitySettings, optional
        Of the model of single slices.
    volume : VolumeModelSettings, optional
        The same for every organ and modality.
    labels : mapping, optional
        Label -> settings of its own, of the model of single slices.
    pixels : PixelModel, optional
        What was learned of pixels; by default that of the package, `NOTHING_LEARNED` for none.
    """

    name = "intensity3d"
    uses_gpu = False

    def __init__(
        self,
        settings: IntensitySettings | None = None,
        volume: VolumeModelSettings | None = None,
        labels: Mapping[str, IntensitySettings] | None = None,
        *,
        pixels: PixelModel | None = None,
    ) -> None:
        super().__init__(settings, labels)
        self.volume = volume or VolumeModelSettings()
        self.pixels = pixels or embedded()

    @property
    def signature(self) -> str:
        """Version and settings: all that masks depend on."""
        own = f" {sorted(self.labels.items())}" if self.labels else ""
        learned = self.pixels.digest[:12]
        return f"intensity3d {VERSION} {learned} {self.settings} {self.volume}{own}"

    def about(self, label: str) -> Intensity3DPredictor:
        """The model with the settings of a label."""
        if label not in self.labels:
            return self
        return Intensity3DPredictor(self.labels[label], self.volume, pixels=self.pixels)

    def predict(self, volume: Volume, prompts: ObjectPrompts) -> VolumePrediction:
        """Soft masks of an object on its slices and in its gaps."""
        return self.about(prompts.label)._drawing(volume, prompts)  # noqa: SLF001

    def _drawing(self, volume: Volume, prompts: ObjectPrompts) -> VolumePrediction:
        drawn = self.draft(volume, prompts)
        found = drawn.drawings if self.pixels is NOTHING_LEARNED else drawn.learned(self.pixels)
        shown = np.stack([[_enlarged(mask, drawn.look) for mask in stack] for stack in found])
        slices = tuple(drawn.slices.tolist())
        return VolumePrediction(slices=slices, region=drawn.look.region, probability=shown)

    def draft(self, volume: Volume, prompts: ObjectPrompts) -> Draft:
        """An object by its boxes and grey values alone.

        Parameters
        ----------
        volume : Volume
        prompts : ObjectPrompts
        """
        slices = np.array(sorted([*prompts.slices, *prompts.gaps]))
        courses, spread = self._courses(slices, prompts)
        courses = _within(courses, volume.shape)
        look = self._look(volume, slices, courses)
        first, *further = (
            self._organ(look, course, slices=slices, spacing_mm=volume.spacing_mm[0])
            for course in courses
        )
        sketch = draw_organ(first)
        again = [draw_again(one, sketch.belongs, self.volume.again) for one in further]
        drawings = [tidied(first, sketch.belongs), *map(tidied, further, again)]
        return Draft(slices, look, Frame(first, look.grey, spread), sketch, np.stack(drawings))

    def _courses(self, slices: NDArray[np.intp], prompts: ObjectPrompts) -> tuple[Numbers, Numbers]:
        """Boxes (K, P, 4) along which the object is drawn, and the spread (P,) of their edges."""
        n, own = self.volume.drawings, np.array(prompts.slices)
        drawn = ~prompts.interpolated
        if drawn.sum() >= LEAST:
            tracks = follow_edges(
                own[drawn].astype(np.float64),
                prompts.boxes[drawn],
                wanted=slices.astype(np.float64),
            )
            rng = prompt_rng(0, case="", slice=len(own), label=prompts.label)
            return tracks.draws(n, rng), tracks.spread
        given = np.stack([_some(one.boxes, n) for one in prompts.prompts])
        courses = [
            [_between(slices, own, given[:, k, edge]) for edge in range(4)] for k in range(n)
        ]
        return np.stack(courses).swapaxes(1, 2), np.full(len(slices), np.nan)

    def _look(self, volume: Volume, slices: NDArray[np.intp], courses: Numbers) -> _Look:
        """What is seen of the slices, round all courses (K, P, 4)."""
        rows, columns = hull(
            region_with_margin(box, volume.shape, self.settings) for box in courses.reshape(-1, 4)
        )
        sides = courses[0, :, 2:] - courses[0, :, :2]
        step = int(np.ceil(sides.max() / self.volume.side_max))
        planes, noise = [], []
        for k in slices:
            noise.append(noise_level(volume.pictures[k].astype(np.float32)))
            plane = volume.pictures[k, rows, columns].astype(np.float32)
            padding = [(0, -n % step) for n in plane.shape]
            planes.append(
                block_reduce(np.pad(plane, padding, mode="edge"), (step, step), np.mean)
                if step > 1
                else plane
            )
        grey = np.stack(planes)
        strength = self.settings.smooth_noise * float(np.median(noise)) / step
        smooth = np.empty_like(grey)
        for run in runs_of(slices):
            radius = (1, self.settings.smooth_radius_px, self.settings.smooth_radius_px)
            smooth[run] = guided_filter(grey[run], radius=radius, strength=strength)
        return _Look(smooth, (rows, columns), step)

    def _organ(
        self, look: _Look, course: Boxes, *, slices: NDArray[np.intp], spacing_mm: float
    ) -> Organ:
        """The organ along one course of its edges (P, 4)."""
        boxes = look.placed(course)
        _, rows, columns = look.grey.shape
        return organ_of(
            look.grey,
            boxes,
            regions=[region_with_margin(box, (rows, columns), self.settings) for box in boxes],
            slices=slices,
            spacing_mm=spacing_mm,
            settings=self.settings,
            volume=self.volume,
        )


def _some(boxes: Boxes, n: int) -> Boxes:
    """Boxes (n, 4) of some, evenly."""
    return boxes[np.linspace(0, len(boxes) - 1, n).astype(int)]


def _between(slices: NDArray[np.intp], own: NDArray[np.intp], edge: Numbers) -> Numbers:
    """An edge on slices, from where it is on its own ones."""
    return np.interp(slices, own, edge)


def _enlarged(mask: Floats, one: _Look) -> Floats:
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
