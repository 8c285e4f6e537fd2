"""How likely a fused box is wrong: nothing is there, or the box lies badly.

Three things count here that move no box. A hand's error in px grows more slowly than the object, so
that small objects are drawn worse, for their size, than large ones of the same label (which spreads
know, too). Boxes of nothing that met by chance agree less than boxes of one thing. And where nobody
knows whether raters share an error, either may be true.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
from scipy.stats import norm, qmc

from crowdqc.arrays import Floats, Ints
from crowdqc.crowd.edges import Edges, size_of
from crowdqc.crowd.evidence import Evidence
from crowdqc.crowd.existence import Existence
from crowdqc.crowd.student import log_student
from crowdqc.crowd.sums import sums, total

WRONG = 0.5
"""IoU with the truth below which a fused box is wrong."""
_POWERS = np.linspace(0.0, 0.6, 7)
_PARTS = np.array([0.0, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0])
"""Tried: by which power of size errors lag behind it; from which size on, as a share of the usual
one, an error in px that does not depend on size is the larger part."""
_USUAL = 0.3
"""Prior of both: standard deviation of the power, mean of the part."""
_SAMPLE = 10_000
"""About so many boxes tell both."""
_CHANCE, _FREEDOM = 0.3, 8.0
"""How far boxes lie apart, as a share of size, that met by chance: boxes which overlap one of them
by the IoU of the matching, 0.3, have edges with a standard deviation of 0.43 from it, and so of 0.3
each; and the degrees of freedom of that."""
_TRIED = 2.0 ** np.arange(8)
"""Degrees of freedom that are tried of how much objects differ in how far their boxes lie apart."""
_LEAST = 1e-6
"""What disagreement says is at most this unlikely: the model of hands is not exact."""
_STEPS = 5
_NEGLIGIBLE = 0.12
"""Sum of the edges' spreads, as shares of size, below which the chance of a bad box is 0."""
_ERRORS = norm.ppf(qmc.Sobol(4, rng=0).random(256))
"""Errors of the four edges, in standard deviations."""
_BLOCK = 2**12


def chance_wrong(
    data: Evidence,
    edges: Edges,
    existence: Existence,
    *,
    located: Floats,
    spreads: Iterable[Floats],
) -> Floats:
    """Probability that the IoU of each fused box with the truth is below `WRONG`.

    Parameters
    ----------
    data : Evidence
        Boxes of R raters, joined to O objects.
    edges : Edges
        Where objects are.
    existence : Existence
        Which objects exist.
    located : ndarray, shape (O,)
        Probability that an object which exists is where its box is.
    spreads : iterable of ndarray, shape (O, 4)
        Standard deviations of the fused edges in px, in each of the readings that count alike.

    Returns
    -------
    ndarray, shape (O,)
        In [0, 1]; nan where spreads are.
    """
    off = [chance_off(edges.box, spread, whole=data.whole_pixels) for spread in spreads]
    exists = agreed_existence(data, edges, existence)
    wrong: Floats = 1 - exists * located * (1 - np.mean(off, axis=0))
    return wrong


def by_size(data: Evidence, edges: Edges) -> Edges:
    """The same edges; what raters err by grows as slowly with the size of objects as it does.

    Parameters
    ----------
    data : Evidence
        Boxes of R raters, joined to O objects.
    edges : Edges
        With spreads that are a share of size.
    """
    factor = np.sqrt(size_factors(data, edges, edges.scale))
    each = factor[data.object]
    return dataclasses.replace(
        edges,
        spread=edges.spread * factor,
        scale=edges.scale * each,
        error_without=edges.error_without * each,
    )


def size_factors(data: Evidence, edges: Edges, scale: Floats) -> Floats:
    """Factor of the variance of edges by the size of their object, (O, 4).

    Of two objects of one label, r times the usual size of all boxes, it is proportional to
    ``r^(-2 p) (1 + (c / r)^2)``, and 1 in the mean of a label. The most likely p and c are those
    of the distances of boxes from what the others drew.

    Parameters
    ----------
    data : Evidence
        As of `chance_wrong`.
    edges : Edges
        As of `chance_wrong`.
    scale : ndarray, shape (N, 4)
        Spread of each box, as a share of size, as far as something but size explains it.

    Returns
    -------
    ndarray, shape (O, 4)
        1 where no object was drawn by two raters.
    """
    size = size_of(edges.box)
    rows = np.flatnonzero(np.isfinite(edges.without).all(axis=1) & (edges.astray < 0.5))
    if not len(rows):
        return np.ones_like(size)
    rows = rows[:: max(1, len(rows) // _SAMPLE)]
    of, voice, square = (
        data.object[rows],
        edges.voice[rows],
        _distances(data, edges, scale, rows=rows),
    )
    relative, label = size / np.median(size[np.unique(of)]), data.label
    found = []
    for shape in itertools.product(_POWERS, _PARTS):
        factor = _factor(relative[of], shape)
        factor /= _means(factor, label[of], voice)[label[of], None]
        fit = voice @ (log_student(square / factor, edges.freedom) - np.log(factor) / 2).sum(axis=1)
        found.append((fit - (shape[0] / _USUAL) ** 2 / 2 - shape[1] / _USUAL, shape))
    shape = max(found)[1]
    mean = _means(_factor(relative[of], shape), label[of], voice, n=int(label.max()) + 1)
    return _factor(relative, shape) / mean[label, None]


def _means(factor: Floats, label: Ints, voice: Floats, *, n: int = 0) -> Floats:
    """Mean factor of each label, over edges and voices; that of all where nothing is known."""
    factor = factor.mean(axis=1)
    weight, known = np.bincount(label, voice, n), np.bincount(label, voice * factor, n)
    return np.where(weight > 0, known / np.maximum(weight, 1e-300), voice @ factor / voice.sum())


def _factor(relative: Floats, shape: tuple[float, float]) -> Floats:
    power, part = shape
    factor: Floats = relative ** (-2 * power) * (1 + (part / relative) ** 2)
    return factor


def _distances(data: Evidence, edges: Edges, scale: Floats, *, rows: Ints) -> Floats:
    """Squared distances of boxes from what the others drew, over their variances, (N, 4)."""
    size = size_of(edges.box)[data.object[rows]]
    off = data.boxes[rows] - edges.without[rows] - edges.bias[data.rater[rows]] * size
    square: Floats = off**2 / ((scale[rows] * size) ** 2 + edges.error_without[rows] ** 2)
    return square


def agreed_existence(data: Evidence, edges: Edges, existence: Existence) -> Floats:
    """Probability that objects exist, given how far their boxes lie apart, too, (O,).

    Raters who slip apart from one another may meet where an object could be; their boxes lie
    apart as chance has it. Boxes of a temptation agree like those of a real object, and so do those
    of a real object, unless all of them but one are astray. Agreement raises no probability, as it
    is what the model expects.

    Parameters
    ----------
    data : Evidence
        As of `chance_wrong`.
    edges : Edges
        As of `chance_wrong`.
    existence : Existence
        What votes alone say.

    Returns
    -------
    ndarray, shape (O,)
    """
    exists, slip = existence.probability, existence.slip
    near = edges.astray < 0.5
    few = total(data.object, near.astype(np.float64), data.n_objects) < 2
    # Of two boxes that lie apart none is left out: that they do is what counts here.
    rows = np.flatnonzero((near | few[data.object]) & np.isfinite(edges.scale).all(axis=1))
    own = edges.scale / edges.difficulty[data.object][:, None]
    own = (own * np.sqrt(size_factors(data, edges, own))[data.object])[rows]
    one_thing = _contrasts(data, edges, rows, scale=own)
    apart = _contrasts(data, edges, rows, scale=np.maximum(own, _CHANCE))
    chance = _log_contrasts(*apart, freedom=_FREEDOM)
    least = np.maximum(_all_but_one(data, edges, rows), _LEAST)
    real = exists
    for _ in range(_STEPS):
        each = [_log_contrasts(*one_thing, freedom=freedom) for freedom in _TRIED]
        best = each[int(np.argmax([real @ fit for fit in each]))]
        ratio = np.maximum(np.exp(np.minimum(best - chance, 0.0)), least)
        against = (1 - exists) * ((1 - slip) * ratio + slip)
        real = exists * ratio / np.maximum(exists * ratio + against, 1e-300)
    return real


def _all_but_one(data: Evidence, edges: Edges, rows: Ints) -> Floats:
    """Probability that all of these boxes of an object but one lie elsewhere, (O,)."""
    of, rate = data.object[rows], edges.rate[data.rater[rows]]
    every = total(of, np.log(rate), data.n_objects)
    chance: Floats = np.minimum(np.exp(every) * total(of, 1 / rate, data.n_objects), 1.0)
    return chance


def _contrasts(
    data: Evidence, edges: Edges, rows: Ints, *, scale: Floats
) -> tuple[Floats, Floats, Floats]:
    """How boxes of each object lie to one another, wherever the object is, each (O,).

    Their squared distances from their mean, over their variances; the log of the unit of volume
    that this is measured in; and the voices.
    """
    of, n, voice = data.object[rows], data.n_objects, edges.voice[rows]
    place = (data.boxes[rows] - edges.box[of]) / size_of(edges.box)[of]
    place -= edges.bias[data.rater[rows]]
    weight = voice[:, None] / scale**2
    whole = sums(of, weight, n)
    mean = sums(of, weight * place, n) / np.maximum(whole, 1e-300)
    square = total(of, (weight * (place - mean[of]) ** 2).sum(axis=1), n)
    unit = total(of, voice * np.log(scale).sum(axis=1), n)
    unit += np.log(np.where(whole > 0, whole, 1.0)).sum(axis=1) / 2
    return square, unit, total(of, voice, n)


def _log_contrasts(square: Floats, unit: Floats, voices: Floats, *, freedom: float) -> Floats:
    """Log density of how boxes lie to one another, Student together, (O,); 0 of one voice."""
    n = 4 * np.maximum(voices - 1, 0)
    return np.where(n > 1e-6, log_student(square, freedom, n=n) - unit, 0.0)


def chance_off(box: Floats, spread: Floats, *, whole: bool = False) -> Floats:
    """Probability that a box with normal errors overlaps the truth by less than `WRONG`.

    Parameters
    ----------
    box, spread : ndarray, shape (O, 4)
        Boxes in px, and the standard deviation of each edge.
    whole : bool
        Whether the truth lies on whole px, and the box will.

    Returns
    -------
    ndarray, shape (O,)
        In [0, 1], to about 0.01; nan where `spread` is.
    """
    chance = np.where(np.isfinite(spread).all(axis=1), 0.0, np.nan)
    doubtful = np.flatnonzero((spread / size_of(box)).sum(axis=1) > _NEGLIGIBLE)
    for start in range(0, len(doubtful), _BLOCK):
        rows = doubtful[start : start + _BLOCK]
        mine, true = box[rows][:, None], box[rows][:, None] + spread[rows][:, None] * _ERRORS
        if whole:
            mine, true = np.floor(mine + 0.5), np.floor(true + 0.5)
        side, other = (np.maximum(one[..., 2:] - one[..., :2], 0) for one in (true, mine))
        both = np.minimum(true, mine)[..., 2:] - np.maximum(true, mine)[..., :2]
        both = np.maximum(both, 0).prod(axis=2)
        chance[rows] = (both < WRONG * (other.prod(axis=2) + side.prod(axis=2) - both)).mean(axis=1)
    return chance
