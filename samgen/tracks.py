"""Where the edges of a box go along an organ, from boxes that err, stray or are missing.

Each edge is a Gaussian process [1]_ along the slices, all four of one kernel: smooth (Matérn 3/2)
or rough (Matérn 1/2), whichever explains the boxes better. Boxes err by a share of the box that
is estimated with the kernel, and some by much more: a slice whose four edges lie far from where
its neighbours put them counts less (Student t [2]_). Between and beyond the boxes the process
says where the edges are, and how surely.

Slices are placed by the angle at which an ellipsoid of the organ's length has them, where its
edges are smooth up to the ends; in mm, they would turn at the ends without warning.

References
----------
.. [1] C. E. Rasmussen, C. K. I. Williams, "Gaussian processes for machine learning", MIT Press,
   2006, chapters 2 and 5.
.. [2] K. L. Lange, R. J. A. Little, J. M. G. Taylor, "Robust statistical modeling using the t
   distribution", JASA 84(408), 1989. :doi:`10.1080/01621459.1989.10478852`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crowdqc.arrays import Floats
from crowdqc.geometry import Boxes

LEAST = 5
"""Fewer slices than this say nothing of how an organ goes on."""
MOST = 64
"""The kernel is estimated on so many slices at most."""
FREEDOM = 3.0
"""Degrees of freedom of the errors."""
LEAST_SIDE_PX = 4.0
"""Errors are shares of the box's side, or of this where it is smaller."""
_ROUNDS = 8
_SHARES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.12)
"""Errors of an edge that are tried, as shares of the side."""
_HEIGHTS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""How far edges go, in sides."""
_LENGTHS = {True: (0.15, 0.3, 0.6, 1.2, 2.4), False: (0.6, 2.4, 10.0)}
"""Smooth or rough -> over what share of the organ."""
_TINY = 1e-7


@dataclass(frozen=True, kw_only=True)
class _Kernel:
    smooth: bool
    height: float
    length: float
    error: float

    def __call__(self, a: Floats, b: Floats) -> Floats:
        """Covariance of an edge at places a and b; a constant of one side is unknown."""
        far = np.abs(a[:, None] - b[None]) / self.length
        if self.smooth:
            far = np.sqrt(3) * far
            return 1 + self.height**2 * (1 + far) * np.exp(-far)
        shape: Floats = 1 + self.height**2 * np.exp(-far)
        return shape


@dataclass(frozen=True, eq=False)
class Tracks:
    """Edges of a box on Q slices.

    Parameters
    ----------
    mean : ndarray, shape (Q, 4)
        In px.
    root : ndarray, shape (Q, Q)
        Root of the covariance of an edge along the slices, in sides.
    side : ndarray, shape (4,)
        Side of the box that each edge bounds, in px.
    """

    mean: Boxes
    root: Floats
    side: Floats

    @property
    def spread(self) -> Floats:
        """Standard deviation of an edge on each slice, in sides, (Q,)."""
        spread: Floats = np.sqrt(np.square(self.root).sum(axis=1))
        return spread

    def draws(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Boxes (n, Q, 4): the mean, and pairs that lie as far on one side as on the other."""
        found = [self.mean]
        while len(found) < n:
            strays = self.root @ rng.normal(size=self.mean.shape) * self.side
            found += [self.mean + strays, self.mean - strays]
        return np.stack(found[:n])


def follow_edges(
    at: Floats, boxes: Boxes, *, wanted: Floats, trust: Floats | None = None
) -> Tracks:
    """Where the edges of an object are on some slices, from boxes on others or the same.

    Parameters
    ----------
    at : ndarray, shape (P,)
        Places of the slices with boxes, increasing; at least `LEAST`.
    boxes : ndarray, shape (P, 4)
        ``x0, y0, x1, y1`` in px.
    wanted : ndarray, shape (Q,)
        Places of the slices that are asked about, from the first of `at` to the last.
    trust : ndarray, shape (P,), optional
        Inverse of the variance of each box, relative to the others.

    Returns
    -------
    Tracks
    """
    side = np.maximum(np.tile(np.median(boxes[:, 2:] - boxes[:, :2], axis=0), 2), LEAST_SIDE_PX)
    middle = np.median(boxes / side, axis=0)
    values = boxes / side - middle
    angle, asked = _angles(at, at), _angles(wanted, at)
    given = np.ones(len(at)) if trust is None else trust
    kernel, weight = _fit(angle, values, given)
    inverse = np.linalg.inv(kernel(angle, angle) + np.diag(kernel.error**2 / weight))
    across = kernel(asked, angle)
    covariance = kernel(asked, asked) - across @ inverse @ across.T
    # Of Cholesky, not of eigenvectors, whose signs differ from machine to machine.
    root = np.linalg.cholesky((covariance + covariance.T) / 2 + _TINY * np.eye(len(asked)))
    mean: Boxes = (across @ inverse @ values + middle) * side
    return Tracks(mean, np.asarray(root, np.float64), side)


def _angles(places: Floats, at: Floats) -> Floats:
    """Places as shares of the half circle round an ellipsoid from the first of `at` to the last."""
    edge = np.diff(at).min() / 2
    share = (places - at[0] + edge) / (at[-1] - at[0] + 2 * edge)
    return np.arccos(1 - 2 * np.clip(share, 0, 1)) / np.pi


def _fit(angle: Floats, values: Floats, given: Floats) -> tuple[_Kernel, Floats]:
    """The kernel that explains the edges best, and how much each slice counts."""
    weight = given.copy()
    kernel = _best_kernel(angle, values, weight)
    for turn in range(_ROUNDS):
        if turn in {1, 3}:
            kernel = _best_kernel(angle, values, weight)
        noise = kernel.error**2 / weight
        inverse = np.linalg.inv(kernel(angle, angle) + np.diag(noise))
        left_out = 1 / np.diag(inverse)
        miss = inverse @ values * left_out[:, None]
        usual = left_out - noise + kernel.error**2 / given
        far = (miss**2 / usual[:, None]).sum(axis=1)
        weight = given * np.clip((FREEDOM + 4) / (FREEDOM + far), 1e-3, 1.5)
    return kernel, weight


def _best_kernel(angle: Floats, values: Floats, weight: Floats) -> _Kernel:
    """The kernel of the largest marginal likelihood, on a part of many slices."""
    part = np.unique(np.linspace(0, len(angle) - 1, min(len(angle), MOST)).astype(int))
    angle, values, weight = angle[part], values[part], weight[part]
    best, kept = -np.inf, _Kernel(smooth=True, height=1.0, length=1.0, error=0.1)
    span = float(np.ptp(angle))
    for smooth, lengths in _LENGTHS.items():
        for height, length in product(_HEIGHTS, lengths):
            tried = _Kernel(smooth=smooth, height=height, length=length * span, error=0.0)
            shape = tried(angle, angle)
            noise = np.multiply.outer(np.square(_SHARES), np.diag(1 / weight))
            lower = np.linalg.cholesky(shape + noise + _TINY * np.eye(len(angle)))
            fit = np.linalg.solve(lower, np.broadcast_to(values, (len(_SHARES), *values.shape)))
            logs = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
            likelihood = -0.5 * (fit**2).sum(axis=(1, 2)) - values.shape[1] * logs
            index = int(likelihood.argmax())
            if likelihood[index] > best:
                best = likelihood[index]
                kept = replace(tried, error=_SHARES[index])
    return kept
