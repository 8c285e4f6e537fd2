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

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from crowdqc.findings import InputError
from crowdqc.geometry import Boxes, as_boxes
from samgen.predictor import BoxPredictor, ModelRequest, Prediction, Prompts
from samgen.regions import Region, hull, region_of, shape_of, within
from samgen.settings import IntensitySettings
from samgen.uncertainty import Summary, summarise

Floats = NDArray[np.float32]

VERSION = 1
"""Raised whenever the same settings give other masks."""

_BINS = 128
_BIN_WIDTH = 2.0
"""Histograms have a bin for every second grey value."""
_LEVELS = np.arange(_BINS, dtype=np.float32) * np.float32(_BIN_WIDTH)
"""Grey value of each bin."""
_BLUR_BINS = 2.0
"""Standard deviation by which histograms are smoothed, in bins."""
_FLOOR = 0.02
"""Share of every histogram that is spread evenly: no grey value is impossible."""
_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
"""Immerkaer's mask: of a picture of noise, its result has the standard deviation of the noise."""


class IntensityPredictor(BoxPredictor):
    """The embedded model as a `samgen.predictor.BoxPredictor`.

    Parameters
    ----------
    settings : IntensitySettings, optional
        The same for every organ and modality.

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

    def __init__(self, settings: IntensitySettings | None = None) -> None:
        self.settings = settings or IntensitySettings()

    @classmethod
    def open(cls, request: ModelRequest) -> Self:
        """The model with its own settings; it has no weights."""
        if request.weights is not None:
            raise InputError(
                f"'model' must be 'intensity', which has no weights; got {request.model!r}."
            )
        return cls()

    @property
    def signature(self) -> str:
        """Version and settings: all that masks depend on."""
        return f"intensity {VERSION} {self.settings}"

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
            region = _region(box, encoded.shape, self.settings)
            mask[region] = segment(encoded, box, region=region, settings=self.settings)
        return Prediction(probability, np.full(len(boxes), np.nan))

    def summarise(self, encoded: Any, objects: Sequence[Prompts]) -> Iterator[Summary]:
        """What is kept of the masks of each object, looking at what lies round its boxes."""
        for prompts in objects:
            boxes = as_boxes("boxes", prompts.boxes)
            regions = [_region(box, encoded.shape, self.settings) for box in boxes]
            outer = hull(regions)
            probability = np.zeros((len(boxes), *shape_of(outer)), dtype=np.float32)
            for mask, box, region in zip(probability, boxes, regions, strict=True):
                drawn = segment(encoded, box, region=region, settings=self.settings)
                mask[within(region, outer)] = drawn
            yield summarise(probability, prompts.sizes, region=outer)


def noise_level(grey: Floats) -> float:
    """Standard deviation of the noise of a picture, in grey values.

    Robust against edges (median), and blind to what the window has made black or white.

    From 0, for `grey` of float32 (rows, columns); 0 where it is all black and white.

    Examples
    --------
    >>> noisy = np.random.default_rng(0).normal(100, 5, size=(200, 200)).astype(np.float32)
    >>> round(noise_level(noisy))
    5
    """
    response = np.abs(ndimage.convolve(grey, _LAPLACE, mode="nearest"))
    response = response[(grey > 0) & (grey < 255)]
    return 1.4826 * float(np.median(response)) if response.size else 0.0


def guided_filter(grey: Floats, *, radius: int, strength: float) -> Floats:
    """Smooth what varies less than `strength` and keep what varies more.

    The guided filter with the picture as its own guide.

    Parameters
    ----------
    grey : ndarray of float32, shape (rows, columns)
    radius : int
        Of the square window, in px.
    strength : float
        Standard deviation in grey values that is half smoothed away.

    Returns
    -------
    smooth : ndarray of float32, shape of `grey`
    """

    def mean(values: Any) -> Any:
        return ndimage.uniform_filter(values, 2 * radius + 1, mode="nearest")

    centre = mean(grey)
    variance = np.maximum(mean(grey * grey) - centre * centre, 0)
    keep = variance / (variance + np.float32(strength**2 + 1))
    smooth: Floats = mean(keep) * grey + mean((1 - keep) * centre)
    return smooth


class _Scene(NamedTuple):
    """One box and what lies round it; arrays have the shape of the region."""

    bins: NDArray[np.intp]
    """Bin of each grey value."""
    total: Floats
    """Histogram of all grey values, (bins,)."""
    prior: Floats
    """Log odds of the object, before anything is seen."""
    inside: Floats
    """Share of each pixel that lies in the box."""
    box: NDArray[np.float64]
    """The box, in px of the region."""


def segment(
    grey: Floats, box: NDArray[np.float64], *, region: Region, settings: IntensitySettings
) -> Floats:
    """Soft mask of one box, for a part of the picture.

    Parameters
    ----------
    grey : ndarray of float32, shape (rows, columns)
        Smoothed picture.
    box : ndarray, shape (4,)
        ``x0, y0, x1, y1`` in px of the picture.
    region : tuple of slice
        The part of the picture to look at.
    settings : IntensitySettings

    Returns
    -------
    probability : ndarray of float32, shape of the region
        Above 0.5 exactly where the final mask is.
    """
    scene = _scene(grey, box, region=region, settings=settings)
    core = _one_tissue(scene, settings)
    mixed = _any_tissue(scene, settings)
    better = _fit(core, scene, settings) - _fit(mixed, scene, settings) + settings.fit_margin
    weight = np.float32(expit(better / settings.fit_scale))
    return _tidy(weight * core + (1 - weight) * mixed, scene, settings)


def _region(
    box: NDArray[np.float64], shape: tuple[int, int], settings: IntensitySettings
) -> Region:
    side = box[2:] - box[:2]
    margin = np.maximum(settings.margin_px, settings.margin_share * side)
    low = np.maximum(np.floor(box[:2] - margin), 0).astype(int)
    high = np.minimum(np.ceil(box[2:] + margin), shape[::-1]).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _scene(
    grey: Floats, box: NDArray[np.float64], *, region: Region, settings: IntensitySettings
) -> _Scene:
    part = grey[region]
    local = box - np.tile([region[1].start, region[0].start], 2)
    (u, inside_x), (v, inside_y) = (
        _along(part.shape[1 - axis], float(local[axis]), float(local[axis + 2])) for axis in (0, 1)
    )
    power = settings.shape_power
    radius = (np.abs(u)[None, :] ** power + np.abs(v)[:, None] ** power) ** (1 / power)
    bins = np.clip(np.rint(part / _BIN_WIDTH), 0, _BINS - 1).astype(np.intp)
    prior = (settings.shape_weight * (1 - radius)).astype(np.float32)
    total = np.bincount(bins.ravel(), minlength=_BINS).astype(np.float32)
    return _Scene(bins, total, prior, np.outer(inside_y, inside_x).astype(np.float32), local)


def _along(n: int, low: float, high: float) -> tuple[Any, Any]:
    """Of n pixels in a row: where they are in the box (-1 to 1), and how much of each."""
    index = np.arange(n)
    position = (index + 0.5 - (low + high) / 2) / ((high - low) / 2)
    covered = np.clip(np.minimum(index + 1, high) - np.maximum(index, low), 0, 1)
    return position, covered


def _one_tissue(scene: _Scene, settings: IntensitySettings) -> Floats:
    """Probability of the object if it is of one tissue."""
    smallest, largest = settings.core_spread
    weight = expit(scene.prior) * scene.inside
    centre, spread = _excess(scene, weight), (smallest + largest) / 2
    belongs: Floats = weight * _bell(centre, spread)[scene.bins]
    for _ in range(settings.rounds):
        counts = _counts(scene, belongs)
        centre, spread = _robust_moments(counts, centre, spread)
        spread = min(max(spread, smallest), largest)
        odds = _odds(_bell(centre, spread), scene.total - counts, settings)
        belongs = _update(scene, belongs, odds=odds, coupling=settings.coupling)
    return belongs


def _any_tissue(scene: _Scene, settings: IntensitySettings) -> Floats:
    """Probability of the object if it may be of several tissues."""
    belongs: Floats = expit(scene.prior) * scene.inside
    for _ in range(settings.rounds):
        counts = _counts(scene, belongs)
        odds = _odds(_smooth(counts), scene.total - counts, settings)
        belongs = _update(scene, belongs, odds=odds, coupling=settings.coupling)
    return belongs


def _odds(tissue: Floats, background: Floats, settings: IntensitySettings) -> Floats:
    """Log odds of the object at each grey value, (bins,), for one pixel."""
    odds = np.log(_share(tissue) / _share(_smooth(background)))
    return np.clip(odds, -settings.evidence_limit, settings.evidence_limit)


def _update(scene: _Scene, belongs: Floats, *, odds: Floats, coupling: float) -> Floats:
    """One round: the shape, the grey value of each pixel, and what its neighbours say."""
    around = ndimage.gaussian_filter(2 * belongs - 1, 1.0, mode="nearest", radius=2)
    updated: Floats = expit(scene.prior + odds[scene.bins] + np.float32(coupling) * around)
    updated *= scene.inside
    return updated


def _counts(scene: _Scene, weight: Floats) -> Floats:
    """Histogram of the grey values, (bins,), each pixel counted with its weight."""
    counts = np.bincount(scene.bins.ravel(), weight.ravel(), minlength=_BINS)
    return counts.astype(np.float32)


def _smooth(counts: Floats) -> Floats:
    smooth: Floats = ndimage.gaussian_filter1d(counts, _BLUR_BINS, mode="nearest")
    return smooth


def _share(counts: Floats) -> Floats:
    """Histogram that sums up to 1, and a little everywhere."""
    return counts / max(float(counts.sum()), 1e-6) + _FLOOR / _BINS


def _excess(scene: _Scene, weight: Floats) -> float:
    """The grey value that is most in excess in the box over what lies round it."""
    box, around = (_smooth(_counts(scene, part)) for part in (weight, 1 - scene.inside))
    return float(np.argmax(_share(box) - _share(around))) * _BIN_WIDTH


def _robust_moments(counts: Floats, centre: float, spread: float) -> tuple[float, float]:
    """Mean and standard deviation, looking away from what is far (a bell of two spreads)."""
    near = counts * _bell(centre, 2 * spread)
    total = float(near.sum()) + 1e-6
    mean = float((near * _LEVELS).sum()) / total
    variance = float((near * (_LEVELS - mean) ** 2).sum()) / total
    # The bell narrows a normal distribution of the same centre: 1/s^2 = 1/a^2 + 1/(2a)^2.
    return mean, float(np.sqrt(1.25 * variance))


def _bell(centre: float, spread: float) -> Floats:
    """Normal density at the grey value of each bin, (bins,), but for a factor."""
    bell: Floats = np.exp(-0.5 * ((_LEVELS - np.float32(centre)) / np.float32(spread)) ** 2)
    return bell


def _fit(belongs: Floats, scene: _Scene, settings: IntensitySettings) -> float:
    """IoU of the box and the box round the mask."""
    mask = _pieces(belongs > 0.5, scene.box, settings)
    found = region_of(mask)
    return 0.0 if found is None else _overlap(_bounds(found), scene.box)


def _tidy(belongs: Floats, scene: _Scene, settings: IntensitySettings) -> Floats:
    """Probability whose mask at 0.5 has no holes and no needless pieces."""
    if not (belongs > 0.5).any():
        # Nothing stands out, as in a box of one pixel: the shape alone decides.
        return expit(scene.prior) * scene.inside
    mask = ndimage.binary_fill_holes(_pieces(belongs > 0.5, scene.box, settings))
    certainty = np.maximum(belongs, 1 - belongs)
    return np.where(mask, certainty, 1 - certainty)


def _pieces(
    mask: NDArray[np.bool_], box: NDArray[np.float64], settings: IntensitySettings
) -> NDArray[np.bool_]:
    """The largest piece, and those others with which the mask reaches more of the box."""
    labels, n = ndimage.label(mask)
    if n < 2:
        return mask
    sizes = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    extents = [_bounds(piece) for piece in ndimage.find_objects(labels)]
    kept = [order[0]]
    extent = extents[order[0]]
    for piece in order[1 : settings.pieces]:
        if sizes[piece] < settings.piece_share * sizes[order[0]]:
            break
        wider = _hull(extent, extents[piece])
        if _overlap(wider, box) > _overlap(extent, box) + settings.piece_gain:
            kept.append(piece)
            extent = wider
    return np.isin(labels, np.array(kept) + 1)


Extent = tuple[float, float, float, float]


def _bounds(piece: tuple[slice, slice]) -> Extent:
    rows, columns = piece
    return columns.start, rows.start, columns.stop, rows.stop


def _hull(a: Extent, b: Extent) -> Extent:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _overlap(a: Extent, b: Any) -> float:
    """IoU of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return float(shared / (area_a + area_b - shared))
