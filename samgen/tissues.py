"""An object in a box by grey values: expectation maximisation, and what is made of its outcome.

Kernels of the embedded models; `samgen.predictors.intensity` says how they are put together, and
has the references.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from samgen.histograms import (
    BIN_WIDTH,
    BINS,
    Floats,
    bell,
    odds_between,
    robust_moments,
    smooth_counts,
    strongest_excess,
)
from samgen.regions import Region, region_of
from samgen.settings import IntensitySettings

_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
"""Immerkaer's mask: of a picture of noise, its result has the standard deviation of the noise."""


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


def guided_filter(grey: Floats, *, radius: int | tuple[int, ...], strength: float) -> Floats:
    """Smooth what varies less than `strength` and keep what varies more.

    The guided filter with the picture as its own guide.

    Parameters
    ----------
    grey : ndarray of float32, shape (rows, columns) or (planes, rows, columns)
    radius : int or tuple of int
        Of the window along all axes, or each, in px.
    strength : float
        Standard deviation in grey values that is half smoothed away.

    Returns
    -------
    smooth : ndarray of float32, shape of `grey`
    """
    sides = tuple(2 * n + 1 for n in ((radius,) if isinstance(radius, int) else radius))

    def mean(values: Any) -> Any:
        return ndimage.uniform_filter(values, sides if len(sides) > 1 else sides[0], mode="nearest")

    centre = mean(grey)
    variance = np.maximum(mean(grey * grey) - centre * centre, 0)
    keep = variance / (variance + np.float32(strength**2 + 1))
    smooth: Floats = mean(keep) * grey + mean((1 - keep) * centre)
    return smooth


class Scene(NamedTuple):
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
    scene = scene_of(grey, box, region=region, settings=settings)
    views = two_views(scene, settings)
    return blend(views, scene, views.better, settings=settings)


class Views(NamedTuple):
    """An object as one of one tissue, and as one of any."""

    core: Floats
    mixed: Floats
    better: float
    """IoU by which the box fits the first better."""


def two_views(scene: Scene, settings: IntensitySettings) -> Views:
    """The object in a box, of one tissue and of any.

    Parameters
    ----------
    scene : Scene
        A box and what lies round it.
    settings : IntensitySettings
        Constants of the model.
    """
    core, mixed = _of_one_tissue(scene, settings), _of_any_tissue(scene, settings)
    return Views(core, mixed, box_fit(core, scene, settings) - box_fit(mixed, scene, settings))


def blend(views: Views, scene: Scene, better: float, *, settings: IntensitySettings) -> Floats:
    """What both views make of an object, with no holes and no needless pieces.

    Parameters
    ----------
    views : Views
        As of `two_views`.
    scene : Scene
        The same.
    better : float
        By how much the first view fits the box better; 0 to trust both alike, but for a margin.
    settings : IntensitySettings
        Constants of the model.

    Returns
    -------
    ndarray of float32
        Probabilities, of the shape of the scene.
    """
    weight = np.float32(expit((better + settings.fit_margin) / settings.fit_scale))
    return tidy(weight * views.core + (1 - weight) * views.mixed, scene, settings)


def region_with_margin(
    box: NDArray[np.float64], shape: tuple[int, int], settings: IntensitySettings
) -> Region:
    """The part of a picture that is looked at for a box.

    Parameters
    ----------
    box : ndarray, shape (4,)
        ``x0, y0, x1, y1`` in px.
    shape : tuple of int
        Rows and columns of the picture.
    settings : IntensitySettings
        Say how wide the margin is.
    """
    side = box[2:] - box[:2]
    margin = np.maximum(settings.margin_px, settings.margin_share * side)
    low = np.maximum(np.floor(box[:2] - margin), 0).astype(int)
    high = np.minimum(np.ceil(box[2:] + margin), shape[::-1]).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def scene_of(
    grey: Floats, box: NDArray[np.float64], *, region: Region, settings: IntensitySettings
) -> Scene:
    """A box and what lies round it in a region.

    Parameters
    ----------
    grey : ndarray, shape (rows, columns)
        A picture, 0 to 255.
    box : ndarray, shape (4,)
        ``x0, y0, x1, y1`` in px of `grey`.
    region : Region
        As of `region_with_margin`.
    settings : IntensitySettings
        Constants of the model.
    """
    part = grey[region]
    local = box - np.tile([region[1].start, region[0].start], 2)
    (u, inside_x), (v, inside_y) = (
        _along(part.shape[1 - axis], float(local[axis]), float(local[axis + 2])) for axis in (0, 1)
    )
    power = settings.shape_power
    radius = (np.abs(u)[None, :] ** power + np.abs(v)[:, None] ** power) ** (1 / power)
    bins = np.clip(np.rint(part / BIN_WIDTH), 0, BINS - 1).astype(np.intp)
    prior = (settings.shape_weight * (1 - radius)).astype(np.float32)
    total = np.bincount(bins.ravel(), minlength=BINS).astype(np.float32)
    return Scene(bins, total, prior, np.outer(inside_y, inside_x).astype(np.float32), local)


def _along(n: int, low: float, high: float) -> tuple[Any, Any]:
    """Of n pixels in a row: where they are in the box (-1 to 1), and how much of each."""
    index = np.arange(n)
    position = (index + 0.5 - (low + high) / 2) / ((high - low) / 2)
    covered = np.clip(np.minimum(index + 1, high) - np.maximum(index, low), 0, 1)
    return position, covered


def _of_one_tissue(scene: Scene, settings: IntensitySettings) -> Floats:
    """Probability of the object if it is of one tissue."""
    smallest, largest = settings.core_spread
    weight = expit(scene.prior) * scene.inside
    centre, spread = _excess(scene, weight), (smallest + largest) / 2
    belongs: Floats = weight * bell(centre, spread)[scene.bins]
    for _ in range(settings.rounds):
        counts = _counts(scene, belongs)
        centre, spread = robust_moments(counts, centre, spread)
        spread = min(max(spread, smallest), largest)
        odds = _odds(bell(centre, spread), scene.total - counts, settings)
        belongs = _update(scene, belongs, odds=odds, coupling=settings.coupling)
    return belongs


def _of_any_tissue(scene: Scene, settings: IntensitySettings) -> Floats:
    """Probability of the object if it may be of several tissues."""
    belongs: Floats = expit(scene.prior) * scene.inside
    for _ in range(settings.rounds):
        counts = _counts(scene, belongs)
        odds = _odds(smooth_counts(counts), scene.total - counts, settings)
        belongs = _update(scene, belongs, odds=odds, coupling=settings.coupling)
    return belongs


def _odds(tissue: Floats, background: Floats, settings: IntensitySettings) -> Floats:
    """Log odds of the object at each grey value, (bins,), for one pixel."""
    return odds_between(tissue, smooth_counts(background), settings.evidence_limit)


def _update(scene: Scene, belongs: Floats, *, odds: Floats, coupling: float) -> Floats:
    """One round: the shape, the grey value of each pixel, and what its neighbours say."""
    around = ndimage.gaussian_filter(2 * belongs - 1, 1.0, mode="nearest", radius=2)
    updated: Floats = expit(scene.prior + odds[scene.bins] + np.float32(coupling) * around)
    updated *= scene.inside
    return updated


def _counts(scene: Scene, weight: Floats) -> Floats:
    """Histogram of the grey values, (bins,), each pixel counted with its weight."""
    counts = np.bincount(scene.bins.ravel(), weight.ravel(), minlength=BINS)
    return counts.astype(np.float32)


def _excess(scene: Scene, weight: Floats) -> float:
    """The grey value that is most in excess in the box over what lies round it."""
    return strongest_excess(_counts(scene, weight), _counts(scene, 1 - scene.inside))


def box_fit(belongs: Floats, scene: Scene, settings: IntensitySettings) -> float:
    """IoU of the box and the box round the mask.

    Parameters
    ----------
    belongs : ndarray of float32
        Probabilities, of the shape of the scene.
    scene : Scene
        A box and what lies round it.
    settings : IntensitySettings
        Constants of the model.
    """
    mask = _pieces(belongs > 0.5, scene.box, settings)
    found = region_of(mask)
    return 0.0 if found is None else _overlap(_bounds(found), scene.box)


def tidy(belongs: Floats, scene: Scene, settings: IntensitySettings) -> Floats:
    """Probability whose mask at 0.5 has no holes and no needless pieces.

    Parameters
    ----------
    belongs : ndarray of float32
        Probabilities, of the shape of the scene.
    scene : Scene
        A box and what lies round it.
    settings : IntensitySettings
        Constants of the model.
    """
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
