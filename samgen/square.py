"""Pictures whose pixels are no squares, as models see them: stretched until they are.

Coronal and sagittal slices, and some scans, have pixels of several mm by less than one. Models
learned from pictures of square pixels, in which a kidney is not flat. The picture is stretched to
squares of the smaller side for the model, the prompts with it, and masks are averaged back.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize, resize_local_mean

from crowdqc.geometry import Boxes
from samgen.predictor import BoxPredictor, Prediction, Prompts
from samgen.settings import Noise

RATIO = 1.1
"""Pixels are squares where one side is at most so many times the other."""
SIDE_MAX_PX = 4096
"""No picture is stretched beyond this; SAM itself sees 1024 px."""


@dataclass(frozen=True)
class Stretched:
    """A picture as the model encoded it, and the rows and columns that it had before and has."""

    encoded: Any
    shape: tuple[int, int]
    size: tuple[int, int]


class SquarePixels(BoxPredictor):
    """A model that is shown square pixels.

    Parameters
    ----------
    model : BoxPredictor
        The model itself.
    width_mm, height_mm : float
        Size of a pixel of the pictures.
    """

    def __init__(self, model: BoxPredictor, *, width_mm: float, height_mm: float) -> None:
        self._model = model
        side = min(width_mm, height_mm)
        self._stretch = height_mm / side, width_mm / side

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._model.name

    @property
    def signature(self) -> str:
        """Text that changes whenever masks may."""
        return f"{self._model.signature} square {self._stretch}"

    @property
    def last_wins(self) -> bool:
        """As the model."""
        return self._model.last_wins

    @property
    def noise(self) -> Noise:
        """As the model."""
        return self._model.noise

    def about(self, label: str) -> Self:
        """As the model."""
        other = copy(self)
        vars(other)["_model"] = self._model.about(label)
        return other

    def encode(self, picture: NDArray[np.uint8]) -> Stretched:
        """Encode the stretched picture."""
        rows, columns = (
            int(np.clip(round(n * stretch), 1, max(n, SIDE_MAX_PX)))
            for n, stretch in zip(picture.shape, self._stretch, strict=True)
        )
        large = resize(picture, (rows, columns), order=1, mode="edge", preserve_range=True)
        pixels = np.rint(large).astype(np.uint8)
        height, width = picture.shape
        return Stretched(self._model.encode(pixels), (height, width), (rows, columns))

    def predict(self, encoded: Stretched, boxes: Boxes) -> Prediction:
        """Masks of the stretched boxes, averaged over the pixels of the picture."""
        scale = _scale(encoded)
        return _shrunk(self._model.predict(encoded.encoded, boxes * np.tile(scale, 2)), encoded)

    def predict_object(self, encoded: Stretched, prompts: Prompts) -> Prediction:
        """Likewise, with the points of an object."""
        scale = _scale(encoded)
        stretched = replace(
            prompts,
            box=prompts.box * np.tile(scale, 2),
            boxes=prompts.boxes * np.tile(scale, 2),
            points=prompts.points * [*scale, 1.0],
            scribbles=tuple(line * [*scale, 1.0] for line in prompts.scribbles),
        )
        return _shrunk(self._model.predict_object(encoded.encoded, stretched), encoded)


def _scale(encoded: Stretched) -> NDArray[np.float64]:
    """How much wider and higher the model sees the picture."""
    scale: NDArray[np.float64] = np.array(encoded.size[::-1]) / np.array(encoded.shape[::-1])
    return scale


def _shrunk(found: Prediction, encoded: Stretched) -> Prediction:
    """Masks of the stretched picture as masks of the picture."""
    probability = [
        resize_local_mean(one, encoded.shape, preserve_range=True) for one in found.probability
    ]
    return Prediction(np.stack(probability).astype(np.float32), found.predicted_iou)


def square_pixels(model: BoxPredictor, *, width_mm: float, height_mm: float) -> BoxPredictor:
    """The model itself where pixels are squares, else one that is shown squares.

    Parameters
    ----------
    model : BoxPredictor
        Takes pictures of any shape.
    width_mm : float
        Of a pixel.
    height_mm : float
        Of a pixel.
    """
    ratio = max(width_mm, height_mm) / min(width_mm, height_mm)
    if ratio <= RATIO:
        return model
    return SquarePixels(model, width_mm=width_mm, height_mm=height_mm)
