"""An organ on all its slices by grey values: expectation maximisation in three dimensions.

As in `samgen.tissues`, but all slices at once: histograms of a slice lean on those of the others,
and pixels on their neighbours on the slices beside. Three views of the organ are drawn: of any
tissues, of one tissue, and of the tissues that are found where the second lies. Each slice believes
them by how well they fit its box, and by how much better two histograms explain its pixels than
one does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, softmax

from samgen.histograms import (
    BINS,
    Floats,
    bell,
    odds_between,
    robust_moments,
    share_of,
    smooth_counts,
    strongest_excess,
)
from samgen.regions import Region
from samgen.settings import IntensitySettings, VolumeModelSettings
from samgen.tissues import Scene, box_fit, scene_of, tidy
from samgen.volume3d import runs_of

SHARPNESS = 4
"""How soon a pixel counts that lies in the box by more than a half: edges are well known here."""


class Organ(NamedTuple):
    """The slices of one organ on one grid; arrays are (P, rows, columns) where not said."""

    scenes: list[Scene]
    """Each slice, of which `total` counts what lies round its box."""
    bins: NDArray[np.intp]
    """Bin of each grey value, of slice p from p * BINS on."""
    prior: Floats
    inside: Floats
    seen: Floats
    """1 in the box and round it, 0 further away."""
    total: Floats
    """Histograms (P, BINS)."""
    runs: list[slice]
    """Parts of the slices without a gap."""
    reach: float
    """Standard deviation, in slices, of what neighbours say."""
    settings: IntensitySettings
    volume: VolumeModelSettings


def organ_of(
    grey: Floats,
    boxes: NDArray[np.float64],
    *,
    regions: list[Region],
    slices: NDArray[np.intp],
    spacing_mm: float,
    settings: IntensitySettings,
    volume: VolumeModelSettings,
) -> Organ:
    """What is looked at for an organ.

    Parameters
    ----------
    grey : ndarray of float32, shape (P, rows, columns)
        Smoothed pictures, 0 to 255.
    boxes : ndarray, shape (P, 4)
        ``x0, y0, x1, y1`` in px of `grey`.
    regions : list of Region
        The part of each picture with the box and its surroundings.
    slices : ndarray of int, shape (P,)
        Their numbers, increasing.
    spacing_mm : float
        Distance of slices.
    settings, volume : IntensitySettings, VolumeModelSettings
        Constants of the model.
    """
    whole = (slice(0, grey.shape[1]), slice(0, grey.shape[2]))
    scenes = [
        scene_of(plane, box, region=whole, settings=settings)
        for plane, box in zip(grey, boxes, strict=True)
    ]
    seen = np.zeros(grey.shape, np.float32)
    for plane, region in zip(seen, regions, strict=True):
        plane[region] = 1
    first = BINS * np.arange(len(scenes))[:, None, None]
    organ = Organ(
        scenes,
        np.stack([one.bins for one in scenes]) + first,
        np.float32(volume.shape_share) * np.stack([one.prior for one in scenes]),
        np.clip(SHARPNESS * (np.stack([one.inside for one in scenes]) - 0.5) + 0.5, 0, 1),
        seen,
        np.zeros(0, np.float32),
        runs_of(slices),
        min(1.0, volume.coupling_mm / spacing_mm),
        settings,
        volume,
    )
    return organ._replace(total=histograms(organ, seen))


class Sketch(NamedTuple):
    """What the views of an organ show; arrays are (P, rows, columns) where not said."""

    views: list[Floats]
    """Of any tissues, of one, and of those where the second lies."""
    fits: NDArray[np.float64]
    """How well each of them fits the boxes and explains the grey values, (views, P)."""
    belongs: Floats
    """All three together."""


def draw_organ(organ: Organ) -> Sketch:
    """Soft masks of an organ, before pieces and holes are looked at.

    Parameters
    ----------
    organ : Organ
        As of `organ_of`.
    """
    rounds = organ.settings.rounds
    start = expit(organ.prior) * organ.inside
    mixed = draw_again(organ, start, rounds)
    core = _of_one_tissue(organ, start)
    views = [mixed, core, draw_again(organ, core, rounds // 2)]
    fits = np.stack([_fit(organ, one) for one in views])
    fits[1:] += organ.volume.margin_share * organ.settings.fit_margin
    share = organ.volume.judged_together
    fits = share * fits.mean(axis=1, keepdims=True) + (1 - share) * fits
    weights = softmax(fits / organ.volume.fit_scale, axis=0).astype(np.float32)
    blended: Floats = sum(
        weight[:, None, None] * one for weight, one in zip(weights, views, strict=True)
    )
    return Sketch(views, fits, blended)


def draw_again(organ: Organ, belongs: Floats, rounds: int) -> Floats:
    """Soft masks of an organ of any tissues, from earlier ones.

    Parameters
    ----------
    organ : Organ
        As of `organ_of`.
    belongs : ndarray of float32, shape (P, rows, columns)
        The earlier ones.
    rounds : int
        Of expectation maximisation.
    """
    for _ in range(rounds):
        counts = histograms(organ, belongs)
        odds = odds_of(organ, smooth_counts(counts), organ.total - counts)
        belongs = _update(organ, belongs * organ.inside, odds)
    return belongs


def tidied(organ: Organ, belongs: Floats) -> Floats:
    """Soft masks without holes and needless pieces on any slice.

    Parameters
    ----------
    organ : Organ
        As of `organ_of`.
    belongs : ndarray of float32, shape (P, rows, columns)
        As of `draw_organ`.
    """
    planes = zip(belongs, organ.scenes, strict=True)
    return np.stack([tidy(plane, scene, organ.settings) for plane, scene in planes])


def _of_one_tissue(organ: Organ, start: Floats) -> Floats:
    """Probability of the organ if it is of one tissue, the same on all slices."""
    smallest, largest = organ.settings.core_spread
    box, around = (histograms(organ, part).sum(axis=0) for part in (start, 1 - organ.inside))
    centre, spread = strongest_excess(box, around), (smallest + largest) / 2
    belongs: Floats = start * np.tile(bell(centre, spread), len(organ.scenes))[organ.bins]
    for _ in range(organ.settings.rounds):
        counts = histograms(organ, belongs)
        centre, spread = robust_moments(counts.sum(axis=0), centre, spread)
        spread = min(max(spread, smallest), largest)
        tissue = np.broadcast_to(bell(centre, spread), counts.shape)
        belongs = _update(organ, belongs, odds_of(organ, tissue, organ.total - counts))
    return belongs


def histograms(organ: Organ, weight: Floats) -> Floats:
    """Histograms (P, BINS) of the grey values round the boxes.

    Parameters
    ----------
    organ : Organ
        As of `organ_of`.
    weight : ndarray of float32, shape (P, rows, columns)
        How much each pixel counts.
    """
    n = len(organ.scenes)
    counts = np.bincount(organ.bins.ravel(), (weight * organ.seen).ravel(), minlength=n * BINS)
    return counts.reshape(n, BINS).astype(np.float32)


def leaning(organ: Organ, counts: Floats) -> Floats:
    """Histograms (P, BINS), each with a part of that of all slices.

    Parameters
    ----------
    organ : Organ
        As of `organ_of`.
    counts : ndarray of float32, shape (P, BINS)
        As of `histograms`.
    """
    size = counts.sum(axis=1, keepdims=True)
    whole = counts.sum(axis=0) / max(float(counts.sum()), 1e-6)
    lent = np.float32(organ.volume.pooled * np.median(size))
    return (counts + lent * whole) / (size + lent + np.float32(1e-6))


def odds_of(organ: Organ, tissue: Floats, background: Floats) -> Floats:
    """Log odds of the organ at each grey value of each slice, (P * BINS,).

    Parameters
    ----------
    organ : Organ
        As of `organ_of`.
    tissue, background : ndarray of float32, shape (P, BINS)
        As of `histograms`.
    """
    around = leaning(organ, smooth_counts(background))
    limit = organ.volume.limit_share * organ.settings.evidence_limit
    return odds_between(leaning(organ, tissue), around, limit).ravel()


def _update(organ: Organ, belongs: Floats, odds: Floats) -> Floats:
    """One round: the shape, the grey value of each pixel, and what its neighbours say."""
    updated = odds.astype(np.float32)[organ.bins] + organ.prior
    for run in organ.runs:
        around = 2 * belongs[run] - 1
        for axis, sigma in enumerate((organ.reach, 1.0, 1.0)):
            radius = 2 if axis else 1
            around = ndimage.gaussian_filter1d(
                around, sigma, axis=axis, mode="nearest", radius=radius
            )
        updated[run] += np.float32(organ.settings.coupling) * around
    found: Floats = expit(updated) * organ.inside
    return found


def _fit(organ: Organ, belongs: Floats) -> Floats:
    """How well masks fit the boxes (IoU), and how much better two histograms are than one, (P,)."""
    planes = zip(belongs, organ.scenes, strict=True)
    boxes = np.array([box_fit(plane, scene, organ.settings) for plane, scene in planes])
    counts = histograms(organ, belongs)
    parts = [counts, organ.total - counts]
    one = share_of(leaning(organ, smooth_counts(organ.total)))
    gain = sum(
        (part * np.log(share_of(leaning(organ, smooth_counts(part))) / one)).sum(axis=1)
        for part in parts
    )
    fit: Floats = boxes + organ.volume.likelihood_share * gain / organ.total.sum(axis=1)
    return fit
