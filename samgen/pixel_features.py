"""What a learned model looks at, of each pixel round an organ's boxes.

Nothing here depends on what organ it is, on its size or on the unit of grey values: where a pixel
lies in its box and along the organ, how its grey value compares with the core of the boxes and
with what lies round them, and what a first drawing says of it and of its surroundings, on its slice
and on those beside. Rows and columns, and left and right, are treated alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from samgen.histograms import BINS, Floats, share_of, smooth_counts
from samgen.organs import Organ, Sketch, histograms, leaning, odds_of

MARGIN_PX, MARGIN_SHARE = 1.5, 0.08
"""Pixels so far outside the box may belong to the organ: in px, and as a share of its side."""
SPREAD = 0.05
"""Standard deviation of an edge in sides, where it is not known."""
LIMIT = 3.0
"""Largest log odds of a grey value."""
CORE = 0.35
"""What lies so deep in the boxes is the organ, to begin with; 1 is the centre, 0 the edge."""
REACH_SHARES = (0.15, 0.35)
"""Sides of the squares over which is averaged, as shares of the box's."""
_POWER = 2.2


@dataclass(frozen=True, eq=False)
class Frame:
    """The slices of an organ, and which of their pixels are looked at.

    Parameters
    ----------
    organ : Organ
        Along the likeliest course of its edges.
    grey : ndarray of float32, shape (P, rows, columns)
        Smoothed pictures.
    spread : ndarray, shape (P,)
        Standard deviation of the edges in sides; nan where it is not known.
    """

    organ: Organ
    grey: Floats
    spread: NDArray[np.float64]

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """Boxes (P, 4)."""
        return np.stack([scene.box for scene in self.organ.scenes])

    @cached_property
    def width(self) -> Floats:
        """Of the boxes, (P,)."""
        return np.maximum(self.box[:, 2] - self.box[:, 0], 1).astype(np.float32)

    @cached_property
    def height(self) -> Floats:
        """Of the boxes, (P,)."""
        return np.maximum(self.box[:, 3] - self.box[:, 1], 1).astype(np.float32)

    def _depth(self, axis: int) -> Floats:
        """Distance (P, n) to the nearer one of two edges, in px; below 0 outside."""
        centre = np.arange(self.grey.shape[2 - axis], dtype=np.float32) + 0.5
        low, high = self.box[:, axis, None], self.box[:, axis + 2, None]
        return np.minimum(centre - low, high - centre).astype(np.float32)

    @cached_property
    def across(self) -> Floats:
        """Distance (P, columns) to the left or right edge."""
        return self._depth(0)

    @cached_property
    def down(self) -> Floats:
        """Distance (P, rows) to the upper or lower edge."""
        return self._depth(1)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Pixels that are looked at, (P, rows, columns)."""
        columns, rows = (
            depth > -(MARGIN_PX + MARGIN_SHARE * side)[:, None]
            for depth, side in ((self.across, self.width), (self.down, self.height))
        )
        return rows[:, :, None] & columns[:, None, :]

    @cached_property
    def index(self) -> NDArray[np.intp]:
        """Flat places of those pixels, (N,)."""
        return np.flatnonzero(self.seen)

    @cached_property
    def plane(self) -> NDArray[np.intp]:
        """Slice of each, (N,)."""
        return self.index // (self.grey.shape[1] * self.grey.shape[2])

    def of(self, volume: Floats) -> Floats:
        """Values (N,) of an array (P, rows, columns)."""
        return np.broadcast_to(volume, self.seen.shape).ravel()[self.index]

    def of_lines(self, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
        """The same of arrays (P, rows) and (P, columns)."""
        return self.of(rows[:, :, None]), self.of(columns[:, None, :])

    def of_slices(self, values: ArrayLike) -> Floats:
        """The same of an array (P,) or of a number."""
        each = np.broadcast_to(np.asarray(values, np.float32), len(self.grey))
        return each[self.plane]

    @cached_property
    def centrality(self) -> Floats:
        """1 in the middle of the box, 0 where an ellipse in it ends, at least -1."""
        u, v = 1 - 2 * self.across / self.width[:, None], 1 - 2 * self.down / self.height[:, None]
        power = np.float32(_POWER)
        radius = (np.abs(u)[:, None, :] ** power + np.abs(v)[:, :, None] ** power) ** (1 / power)
        return np.maximum(1 - radius, -1)

    def beside(self, volume: Floats, step: int) -> Floats:
        """Mean of the slices so many above and below; at the ends of a run the last ones."""
        found = np.empty_like(volume)
        for run in self.organ.runs:
            part = volume[run]
            own = np.arange(len(part))
            low, high = (np.clip(own + n, 0, len(part) - 1) for n in (-step, step))
            found[run] = (part[low] + part[high]) / 2
        return found


Named = dict[str, Floats]
"""Feature -> its values, (N,)."""


def features_of(frame: Frame, sketch: Sketch, drawings: Floats) -> Named:
    """All features of the pixels that are looked at.

    Parameters
    ----------
    frame : Frame
    sketch : Sketch
        The first drawing along the likeliest course.
    drawings : ndarray of float32, shape (K, P, rows, columns)
        Soft masks along all courses, without needless pieces and holes.
    """
    return {
        **_places(frame),
        **_sizes(frame),
        **_grey(frame),
        **_tissues(frame, drawings[0]),
        **_surroundings(frame, drawings[0]),
        **_lines(frame, drawings[0]),
        **_views(frame, sketch, drawings),
    }


def log_odds(probability: Floats) -> Floats:
    """Log odds, within about 7.

    Parameters
    ----------
    probability : ndarray of float32
    """
    clipped = np.clip(probability, 1e-3, 1 - 1e-3)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds


def _places(frame: Frame) -> Named:
    """Where pixels lie in the box."""
    across, down = frame.of_lines(frame.down, frame.across)[::-1]
    width, height = frame.of_slices(frame.width), frame.of_slices(frame.height)
    u, v = np.abs(1 - 2 * across / width), np.abs(1 - 2 * down / height)
    spread = _spread(frame)
    nearer = np.minimum(
        across / frame.of_slices(spread * frame.width + 0.3),
        down / frame.of_slices(spread * frame.height + 0.3),
    )
    central = frame.of(frame.centrality)
    beside = {
        f"centrality beside {n}": frame.of(frame.beside(frame.centrality, n)) - central
        for n in (1, 3)
    }
    return {
        "larger offset": np.maximum(u, v),
        "smaller offset": np.minimum(u, v),
        "centrality": central,
        "edge px": np.tanh(np.minimum(across, down) / 2),
        "edge spreads": np.tanh(nearer / 3),
        **beside,
    }


def _spread(frame: Frame) -> NDArray[np.float64]:
    return np.where(np.isnan(frame.spread), SPREAD, frame.spread)


def _sizes(frame: Frame) -> Named:
    """Where the slice lies along the organ, and how large boxes are."""
    n = len(frame.grey)
    number = np.arange(n)
    end = np.minimum(number, n - 1 - number) + 0.5
    side = np.sqrt(frame.width * frame.height)
    found = {
        "along": 2 * end / n,
        "end": np.tanh(end / 3),
        "size": side / side.max(),
        "side": np.log2(side) / 4,
        "typical side": np.log2(np.median(side)) / 4,
        "slices": np.log2(n) / 4,
        "spread": np.log(_spread(frame).mean() + 0.005),
        "aspect": np.abs(np.log2(frame.width / frame.height)),
    }
    return {name: frame.of_slices(values) for name, values in found.items()}


def _between(counts: Floats, around: Floats) -> Floats:
    """Log odds at each grey value of histograms (..., BINS)."""
    odds = np.log(share_of(smooth_counts(counts)) / share_of(smooth_counts(around)))
    return np.clip(odds, -LIMIT, LIMIT).astype(np.float32)


def _apart(counts: Floats, around: Floats) -> float:
    """How far two histograms are apart: 0 equal, 1 nothing shared."""
    shares = share_of(smooth_counts(counts)) - share_of(smooth_counts(around))
    return 0.5 * float(np.abs(shares).sum())


def _on_slice(volume: Floats, sigma: float) -> Floats:
    """Blurred on each slice."""
    radius = int(np.ceil(2 * sigma))
    for axis in (1, 2):
        volume = ndimage.gaussian_filter1d(volume, sigma, axis=axis, mode="nearest", radius=radius)
    return volume


def _grey(frame: Frame) -> Named:
    """Grey values against those in the core of the boxes and round them."""
    organ, n = frame.organ, len(frame.grey)
    core = histograms(organ, (frame.centrality > CORE).astype(np.float32))
    ring = histograms(organ, 1 - organ.inside)
    odds = np.tile(_between(core.sum(axis=0), ring.sum(axis=0)), n)[organ.bins]
    own = np.log(share_of(leaning(organ, smooth_counts(core))))
    own -= np.log(share_of(leaning(organ, smooth_counts(ring))))
    low, middle, high = _quantiles(core.sum(axis=0), (0.25, 0.5, 0.75))
    unit = max(high - low, 4.0)
    offset = np.clip((frame.of(frame.grey) - middle) / unit, -4, 4)
    (outer,) = _quantiles(ring.sum(axis=0), (0.5,))
    size, inward = _slopes(frame, brighter=middle > outer)
    return {
        "first odds": frame.of(odds),
        "first odds of slice": frame.of(np.clip(own, -LIMIT, LIMIT).ravel()[organ.bins]),
        "first odds, blurred": frame.of(_on_slice(odds, 1.5)),
        "grey": offset,
        "grey away": np.abs(offset),
        "slope": np.log1p(frame.of(size) / (unit / 8)),
        "slope inward": np.clip(frame.of(inward) / (unit / 8), -4, 4),
        "first contrast": frame.of_slices(_apart(core.sum(axis=0), ring.sum(axis=0))),
    }


def _quantiles(counts: Floats, shares: tuple[float, ...]) -> list[float]:
    """Grey values below which these shares of a histogram lie."""
    below = np.cumsum(counts) / max(float(counts.sum()), 1e-6)
    return np.interp(shares, below, 256 / BINS * np.arange(BINS)).tolist()


def _slopes(frame: Frame, *, brighter: bool) -> tuple[Floats, Floats]:
    """How steep grey values are, and how steep towards the centre of a brighter or darker organ."""
    steep = [
        np.gradient(frame.grey, axis=axis)
        if frame.grey.shape[axis] > 1
        else np.zeros_like(frame.grey)
        for axis in (1, 2)
    ]
    down, across = (
        ndimage.gaussian_filter1d(one, 1.0, axis=3 - axis, mode="nearest", radius=2)
        for axis, one in zip((1, 2), steep, strict=True)
    )
    middle = (frame.box[:, :2] + frame.box[:, 2:]) / 2
    rows, columns = (np.arange(n) + 0.5 for n in frame.grey.shape[1:])
    y = (rows - middle[:, 1:]).astype(np.float32)[:, :, None]
    x = (columns - middle[:, :1]).astype(np.float32)[:, None, :]
    inward = -(down * y + across * x) / (np.sqrt(x * x + y * y) + np.float32(1e-3))
    return np.sqrt(down * down + across * across), inward if brighter else -inward


def _square(volume: Floats, frame: Frame, share: float) -> Floats:
    """Mean over a square of a share of the typical box."""
    side = float(np.median(np.sqrt(frame.width * frame.height)))
    size = max(3 if share < 0.2 else 5, round(share * side) | 1)
    return ndimage.uniform_filter(volume, (1, size, size), mode="nearest")


def _tissues(frame: Frame, belongs: Floats) -> Named:
    """How well grey values fit those of a first drawing."""
    organ = frame.organ
    counts = histograms(organ, belongs)
    around = organ.total - counts
    odds = odds_of(organ, smooth_counts(counts), around).astype(np.float32)[organ.bins]
    pooled = np.tile(_between(counts.sum(axis=0), around.sum(axis=0)), len(frame.grey))
    blurred = _on_slice(odds, 1.0)
    return {
        "odds": frame.of(odds),
        "odds of all slices": frame.of(pooled[organ.bins]),
        "odds, blurred": frame.of(blurred),
        "odds beside": frame.of(frame.beside(blurred, 1)),
        "odds around": frame.of(_square(odds, frame, REACH_SHARES[0])),
        "contrast": frame.of_slices(_apart(counts.sum(axis=0), around.sum(axis=0))),
    }


def _surroundings(frame: Frame, belongs: Floats) -> Named:
    """What a first drawing says of the pixels round each."""
    mask = 2 * belongs - 1
    near, around = _on_slice(mask, 1.0), _square(mask, frame, REACH_SHARES[0])
    return {
        "drawn near": frame.of(near),
        "drawn nearby": frame.of(_on_slice(mask, 2.5)),
        "drawn around": frame.of(around),
        "drawn far around": frame.of(_square(mask, frame, REACH_SHARES[1])),
        "drawn beside": frame.of(frame.beside(mask, 1)),
        "drawn beside 2": frame.of(frame.beside(near, 2)),
        "drawn beside 4": frame.of(frame.beside(near, 4)),
        "drawn around beside": frame.of(frame.beside(around, 1)),
    }


def _lines(frame: Frame, belongs: Floats) -> Named:
    """What a first drawing says of the row and the column of each pixel, and of its slice."""
    most = frame.of_lines(belongs.max(axis=2), belongs.max(axis=1))
    shares = frame.of_lines(
        belongs.sum(axis=2) / frame.width[:, None], belongs.sum(axis=1) / frame.height[:, None]
    )
    area = frame.width * frame.height
    return {
        "lesser line reached": np.minimum(*most),
        "better line reached": np.maximum(*most),
        "lesser line filled": np.minimum(*shares),
        "better line filled": np.maximum(*shares),
        "filled": frame.of_slices(belongs.sum(axis=(1, 2)) / area),
        "organ filled": frame.of_slices(belongs.sum() / area.sum()),
    }


def _views(frame: Frame, sketch: Sketch, drawings: Floats) -> Named:
    """What the views and the drawings say of each pixel."""
    views = {
        "any tissues": sketch.views[0],
        "one tissue": sketch.views[1],
        "where one tissue lies": sketch.views[2],
        "all views": sketch.belongs,
        "first drawing": drawings[0],
        "all drawings": drawings.mean(axis=0),
    }
    found = {name: log_odds(frame.of(view)) / np.float32(4) for name, view in views.items()}
    found["any tissues fit better"] = frame.of_slices(sketch.fits[0] - sketch.fits[1])
    found["best fit"] = frame.of_slices(sketch.fits.max(axis=0))
    return found
