"""What a model that draws masks from boxes looks like to the rest of samgen.

A picture is encoded once, and any number of boxes is then asked of it: that is where the time
goes with SAM, whose encoder takes a hundred times as long as its decoder. Only NumPy arrays
pass through this door, so that whoever uses a model needs to know neither it nor torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crowdqc.geometry import Boxes


@dataclass(frozen=True, eq=False)
class Prediction:
    """Soft masks of some boxes on one picture.

    Parameters
    ----------
    probability : ndarray of float32, shape (K, rows, columns)
        Probability of each pixel to belong to the object in box k. Models that think in
        logits apply the sigmoid *after* resizing to the picture, as SAM does.
    predicted_iou : ndarray of float64, shape (K,)
        How good the model thinks each mask is; nan from a model that has no opinion, or
        whose opinion was not trained (MedSAM).
    """

    probability: NDArray[np.float32]
    predicted_iou: NDArray[np.float64]


@runtime_checkable
class BoxPredictor(Protocol):
    """A model that draws masks from boxes."""

    @property
    def name(self) -> str:
        """Name of the model, as in the column ``model`` of the table ``masks``."""
        ...

    @property
    def signature(self) -> str:
        """Text that changes whenever masks may: settings, weights, version of the code."""
        ...

    @property
    def last_wins(self) -> bool:
        """Whether overlaps go to the last object in order; else to the most probable one."""
        ...

    def encode(self, picture: NDArray[np.uint8]) -> Any:
        """Do once what is the same for all boxes on a picture.

        Parameters
        ----------
        picture : ndarray of uint8, shape (rows, columns)
            Grey values, windowed.

        Returns
        -------
        object
            For `predict` of the same model only. It must not be changed by it.
        """
        ...

    def predict(self, encoded: Any, boxes: Boxes) -> Prediction:
        """Masks of some boxes on an encoded picture.

        Parameters
        ----------
        encoded : object
            From `encode`.
        boxes : ndarray of float64, shape (K, 4)
            ``x0, y0, x1, y1`` in px of the picture, within it; not rounded.

        Returns
        -------
        Prediction
            Each mask depends on its own box only, not on the others of the call.
        """
        ...


class LazyPredictor:
    """A model that is loaded where and when it is first asked for anything.

    It travels to another machine as the way to load it, not as its weights.

    Parameters
    ----------
    load : callable
        Gives the `BoxPredictor` that this one stands for.
    """

    def __init__(self, load: Callable[[], BoxPredictor]) -> None:
        self._load = load
        self._model: BoxPredictor | None = None

    def __reduce__(self) -> tuple[type[LazyPredictor], tuple[Callable[[], BoxPredictor]]]:
        return LazyPredictor, (self._load,)

    def __getattr__(self, name: str) -> Any:
        if self._model is None:
            self._model = self._load()
        return getattr(self._model, name)
