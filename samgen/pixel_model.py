"""A small learned model of the pixels of an organ, whose numbers are part of the package.

One hidden layer on the features of `samgen.pixel_features`. What it learned from, with licences,
stands in its file, ``pixel_model.json``; ``benchmarks/pixel_model.py`` writes it anew.

How far an organ reaches is checked by its boxes, which are tight: log odds are shifted until the
masks fill them best.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from samgen.histograms import Floats
from samgen.organs import Sketch
from samgen.pixel_features import Frame, Named, features_of, log_odds

FILE = "pixel_model.json"
OFFSETS = np.linspace(-2.5, 2.5, 21)
"""Log odds that are tried as the border of an organ."""
ARRAYS = ("mean", "scale", "hidden", "bias", "out")
NUMBERS = ("limit", "base", "share", "border_penalty")
"""Fields of the file, beside ``features``."""
KNOWN_PX = 20
"""Where edges were followed along slices, larger boxes tell more: of twice the side, half the gain
is enough. A single box errs by a share of its side, however large."""
LEAST_APART, ROUNDS = 0.01, 6
"""Probability by which drawings differ, and rounds to find masks of a given mean."""
TOGETHER = 1 << 16
"""Pixels whose log odds are computed in one go."""
NEVER = np.float32(-7)
"""Log odds of what is not looked at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelModel:
    """What was learned.

    Parameters
    ----------
    features : tuple of str, length F
        Names of what it looks at, in order.
    mean, scale : ndarray of float32, shape (F,)
        Features are taken as differences from the mean, in scales,
    limit : float
        of which none counts for more than so many.
    hidden, bias, out : ndarray of float32, shapes (F, H), (H,), (H,)
        Weights of the hidden units and of the outcome,
    base : float
        and of nothing.
    share : float
        Of the model in log odds; the rest is that of the drawings that it sees.
    border_penalty : float
        IoU with the boxes that a shift of the border by log odds of 1 must gain; less where large
        boxes are well known.
    digest : str
        SHA-256 of the file.
    """

    features: tuple[str, ...]
    mean: Floats
    scale: Floats
    limit: float
    hidden: Floats
    bias: Floats
    out: Floats
    base: float
    share: float
    border_penalty: float
    digest: str = ""

    def __post_init__(self) -> None:
        n, units = self.hidden.shape
        arrays = (self.mean, self.scale, self.hidden, self.bias, self.out)
        shapes = [one.shape for one in arrays]
        if len(self.features) != n or shapes != [(n,), (n,), (n, units), (units,), (units,)]:
            raise ValueError(f"{FILE}: arrays of {shapes} do not fit {len(self.features)} features")
        numbers = (*arrays, *(getattr(self, name) for name in NUMBERS))
        if not all(np.isfinite(one).all() for one in numbers) or not (self.scale > 0).all():
            raise ValueError(f"{FILE}: numbers must be finite, and scales above 0")

    @classmethod
    def of(cls, found: Mapping[str, Any], digest: str = "") -> PixelModel:
        """A model from what its file holds.

        Raises
        ------
        ValueError
            If arrays do not fit each other, or numbers are not finite.
        """
        arrays: dict[str, Any] = {name: np.array(found[name], np.float32) for name in ARRAYS}
        numbers: dict[str, Any] = {name: float(found[name]) for name in NUMBERS}
        return cls(features=tuple(found["features"]), digest=digest, **arrays, **numbers)

    def odds(self, named: Named) -> Floats:
        """Log odds (N,) of pixels with these features; the same with any number of threads."""
        n = len(named[self.features[0]])
        parts = [slice(start, start + TOGETHER) for start in range(0, n, TOGETHER)]
        found = [self._odds_of(np.stack([named[f][part] for f in self.features])) for part in parts]
        return np.concatenate([np.zeros(0, np.float32), *found])

    def _odds_of(self, values: Floats) -> Floats:
        """Log odds of features (F, N), rounded: the last digits of products are the machine's."""
        scaled = np.clip(
            (values - self.mean[:, None]) / self.scale[:, None], -self.limit, self.limit
        )
        units = self.hidden.T.astype(np.float64) @ scaled + self.bias[:, None]
        odds = self.out.astype(np.float64) @ np.maximum(units, 0) + self.base
        return np.round(odds, 4).astype(np.float32)


@cache
def embedded() -> PixelModel:
    """The model of the package."""
    text = (resources.files("samgen") / FILE).read_bytes()
    return PixelModel.of(json.loads(text), hashlib.sha256(text).hexdigest())


_NONE = np.zeros(0, np.float32)
NOTHING_LEARNED = PixelModel(
    features=(),
    mean=_NONE,
    scale=_NONE,
    limit=1.0,
    hidden=np.zeros((0, 0), np.float32),
    bias=_NONE,
    out=_NONE,
    base=0.0,
    share=0.0,
    border_penalty=0.0,
    digest="none",
)
"""Leaves drawings as they are."""


def learned(frame: Frame, sketch: Sketch, drawings: Floats, *, model: PixelModel) -> Floats:
    """Soft mask (P, rows, columns) by the model, before pieces and holes are looked at.

    Parameters
    ----------
    frame : Frame
        The organ along the likeliest course of its edges.
    sketch : Sketch
        Its first drawing.
    drawings : ndarray of float32, shape (K, P, rows, columns)
        Along all courses, without needless pieces and holes.
    model : PixelModel
    """
    found = np.full(frame.seen.shape, NEVER)
    own = model.odds(features_of(frame, sketch, drawings))
    usual = log_odds(frame.of(drawings.mean(axis=0)))
    found.ravel()[frame.index] = model.share * own + (1 - model.share) * usual
    penalty = model.border_penalty * doubt(frame)
    mask: Floats = expit(found - np.float32(best_offset(found, frame.box, penalty)))
    return mask


def doubt(frame: Frame) -> float:
    """Share of the penalty that holds for boxes of this size, known as well as these.

    Parameters
    ----------
    frame : Frame
    """
    side = float(np.median(np.sqrt(frame.width * frame.height)))
    return 1.0 if np.isnan(frame.spread).any() else min(1.0, KNOWN_PX / side)


def as_far_apart(mask: Floats, drawings: Floats) -> Floats:
    """Soft masks (K, P, rows, columns) whose mean is another, as far apart as drawings are.

    Parameters
    ----------
    mask : ndarray of float32, shape (P, rows, columns)
        Their mean, nearly.
    drawings : ndarray of float32, shape (K, P, rows, columns)
        Their log odds differ as those of the result do.
    """
    found = np.repeat(mask[None], len(drawings), axis=0)
    differs = np.ptp(drawings, axis=0) > LEAST_APART
    apart, wanted = log_odds(drawings[:, differs]), log_odds(mask[differs])
    for _ in range(ROUNDS):
        apart += wanted - log_odds(expit(apart).mean(axis=0))
    found[:, differs] = expit(apart)
    return found


def best_offset(odds: Floats, boxes: NDArray[np.float64], border_penalty: float) -> float:
    """Log odds above which the masks of an organ fill its boxes best.

    Parameters
    ----------
    odds : ndarray of float32, shape (P, rows, columns)
        Log odds.
    boxes : ndarray, shape (P, 4)
        ``x0, y0, x1, y1`` in px.
    border_penalty : float
        IoU that a log odds of 1 must gain over one of 0; twice as far, four times as much.
    """
    rows, columns = odds.max(axis=2), odds.max(axis=1)
    gains = [_fit(rows > at, columns > at, boxes) - border_penalty * at**2 for at in OFFSETS]
    return float(OFFSETS[ndimage.gaussian_filter1d(gains, 1.0, mode="nearest").argmax()])


def _fit(rows: NDArray[np.bool_], columns: NDArray[np.bool_], boxes: NDArray[np.float64]) -> float:
    """Mean IoU of boxes (P, 4) and those round marked rows and columns."""
    (x0, x1), (y0, y1) = _ends(columns), _ends(rows)
    width = np.minimum(x1, boxes[:, 2]) - np.maximum(x0, boxes[:, 0])
    height = np.minimum(y1, boxes[:, 3]) - np.maximum(y0, boxes[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return float(np.mean(shared / ((x1 - x0) * (y1 - y0) + area - shared + 1e-6)))


def _ends(marked: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where marks (P, n) begin and end; both 0 where there are none."""
    n, some = marked.shape[1], marked.any(axis=1)
    return marked.argmax(axis=1) * some, (n - marked[:, ::-1].argmax(axis=1)) * some
