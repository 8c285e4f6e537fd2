"""The embedded model: masks from boxes by grey values alone, without weights, in milliseconds.

It knows three things. The box is *tight*: its object touches all four sides, and nothing of it
lies outside [1]_. The object is likely where an ellipse in the box would be, though not by much.
And its grey values differ from those round the box, which are background for certain [2]_.

For each box, expectation maximisation alternates between histograms of object and background
and the probability of each pixel, which its neighbours share in (mean field [3]_). It is done
twice. Once the object is of one tissue, as most organs are: the grey value that the box has most
in excess over its surroundings, and its spread, robustly. And once it may be of any tissues that
are rarer outside the ellipse than within. The second finds more, and too much where the box holds
more than its object: it is believed only where it fits the box better by a margin.
At the end holes are filled, and of the pieces the largest stays, with those others that are
needed to reach all sides of the box: a liver may fall into two.

Pictures are smoothed first by a guided filter [4]_ whose strength is the noise measured in the
picture [5]_: liver and muscle differ by less than the noise of one pixel.

References
----------
.. [1] V. Lempitsky, P. Kohli, C. Rother, T. Sharp, "Image segmentation with a bounding box
   prior", ICCV 2009. :doi:`10.1109/ICCV.2009.5459262`
.. [2] C. Rother, V. Kolmogorov, A. Blake, "GrabCut: interactive foreground extraction using
   iterated graph cuts", ACM Transactions on Graphics 23(3), 2004.
   :doi:`10.1145/1015706.1015720`
.. [3] G. Celeux, F. Forbes, N. Peyrard, "EM procedures using mean field-like approximations for
   Markov model-based image segmentation", Pattern Recognition 36(1), 2003.
   :doi:`10.1016/S0031-3203(02)00027-4`
.. [4] K. He, J. Sun, X. Tang, "Guided image filtering", IEEE TPAMI 35(6), 2013.
   :doi:`10.1109/TPAMI.2012.213`
.. [5] J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding
   64(2), 1996. :doi:`10.1006/cviu.1996.0060`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crowdqc.findings import InputError
from crowdqc.geometry import Boxes, as_boxes
from samgen.cards import read_constants
from samgen.histograms import Floats
from samgen.predictor import BoxPredictor, ModelRequest, Prediction, Prompts
from samgen.regions import hull, shape_of, within
from samgen.settings import LEARNED, IntensitySettings
from samgen.tissues import guided_filter, noise_level, region_with_margin, segment
from samgen.uncertainty import Summary, summarise

VERSION = 1
"""Raised whenever the same settings give other masks."""


class Embedded:
    """Models of grey values alone: settings of labels are all that they can learn.

    Parameters
    ----------
    settings : IntensitySettings, optional
        Of labels that have none of their own.
    labels : mapping, optional
        Label -> settings of its own.
    """

    name: str

    def __init__(
        self,
        settings: IntensitySettings | None = None,
        labels: Mapping[str, IntensitySettings] | None = None,
    ) -> None:
        self.settings = settings or IntensitySettings()
        self.labels = dict(labels or {})

    @classmethod
    def open(cls, request: ModelRequest) -> Self:
        """The model with its own settings; it has no weights."""
        if request.weights is not None:
            raise InputError(
                f"'model' must be {cls.name!r}, which has no weights; got {request.model!r}."
            )
        opened = cls(labels=settings_of(request))
        if request.adapted is not None:
            opened.name = request.adapted.path.stem
        return opened


class IntensityPredictor(Embedded, BoxPredictor):
    """The embedded model as a `samgen.predictor.BoxPredictor`.

    Parameters
    ----------
    settings : IntensitySettings, optional
        The same for every organ and modality.
    labels : mapping, optional
        Label -> settings of its own.

    Examples
    --------
    >>> picture = np.full((40, 40), 20, np.uint8)
    >>> picture[10:20, 15:30] = 200
    >>> model = IntensityPredictor()
    >>> boxes = np.array([[15.0, 10.0, 30.0, 20.0]])
    >>> mask = model.predict(model.encode(picture), boxes).probability[0] > 0.5
    >>> bool((mask == (picture == 200)).all())
    True
    """

    name = "intensity"
    uses_gpu = False

    @property
    def signature(self) -> str:
        """Version and settings: all that masks depend on."""
        own = f" {sorted(self.labels.items())}" if self.labels else ""
        return f"intensity {VERSION} {self.settings}{own}"

    def about(self, label: str) -> IntensityPredictor:
        """The model with the settings of a label."""
        return IntensityPredictor(self.labels[label]) if label in self.labels else self

    def encode(self, picture: NDArray[np.uint8]) -> Floats:
        """Smooth the picture, (rows, columns)."""
        if picture.ndim != 2 or picture.dtype != np.uint8:
            raise ValueError(
                f"'picture' must be uint8 of shape (rows, columns); got {picture.dtype} "
                f"{picture.shape}."
            )
        grey = picture.astype(np.float32)
        strength = self.settings.smooth_noise * noise_level(grey)
        return guided_filter(grey, radius=self.settings.smooth_radius_px, strength=strength)

    def predict(self, encoded: Any, boxes: Boxes) -> Prediction:
        """Soft masks (K, rows, columns) of boxes (K, 4); the predicted IoU is nan."""
        boxes = as_boxes("boxes", boxes)
        probability = np.zeros((len(boxes), *encoded.shape), dtype=np.float32)
        for mask, box in zip(probability, boxes, strict=True):
            region = region_with_margin(box, encoded.shape, self.settings)
            mask[region] = segment(encoded, box, region=region, settings=self.settings)
        return Prediction(probability, np.full(len(boxes), np.nan))

    def summarise(self, encoded: Any, objects: Sequence[Prompts]) -> Iterator[Summary]:
        """What is kept of the masks of each object, looking at what lies round its boxes."""
        for prompts in objects:
            boxes, settings = as_boxes("boxes", prompts.boxes), self.about(prompts.label).settings
            regions = [region_with_margin(box, encoded.shape, settings) for box in boxes]
            outer = hull(regions)
            probability = np.zeros((len(boxes), *shape_of(outer)), dtype=np.float32)
            for mask, box, region in zip(probability, boxes, regions, strict=True):
                drawn = segment(encoded, box, region=region, settings=settings)
                mask[within(region, outer)] = drawn
            yield summarise(probability, prompts.sizes, region=outer)


def settings_of(request: ModelRequest) -> dict[str, IntensitySettings]:
    """Settings of labels, from the file of an adapted model; none of the model itself.

    Raises
    ------
    InputError
        If the file holds something else, or a constant that is none of `LEARNED`.
    """
    if request.adapted is None:
        return {}
    path = request.adapted.path
    found = read_constants(path)
    unknown = sorted({name for one in found.values() for name in one} - set(LEARNED))
    if unknown:
        raise InputError(
            f"{path}: constants must be some of {', '.join(LEARNED)}; got {', '.join(unknown)}."
        )
    return {label: IntensitySettings().having(one) for label, one in found.items()}
