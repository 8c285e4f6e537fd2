"""Where the true edges are: each rater's bias and spread per edge, and how hard each object is.

Rater r draws edge e of object o, of label l, at ``truth + size * (bias_re + noise)``, where `size`
is the object's width for x edges and its height for y edges, and the noise has a Student
distribution of scale ``sd_rle * difficulty_o``, or the box lies elsewhere altogether. The spread of
a rater for a label is held towards what the rater and the label are apart; the freedom of the
noise is estimated. Raters of one group share a voice, see `crowdqc.crowd.dependence`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Floats
from crowdqc.crowd.dependence import Dependence


@dataclass(frozen=True)
class EdgeSettings:
    """Settings of the model.

    Parameters
    ----------
    freedom : float, optional
        Degrees of freedom of the Student noise; few mean heavy tails. None: estimated.
    rater_boxes, cell_boxes : float
        How many boxes the prior on a rater's spread is worth, and that on its spread for a label.
    bias_boxes : float
        How many boxes the prior on a rater's bias (none) is worth.
    object_boxes : float, optional
        How many boxes the prior on an object's difficulty is worth. None: estimated, from how much
        objects differ.
    astray : float
        Share of boxes that lie elsewhere, beforehand; worth `astray_boxes` boxes of a rater.
    steps : int
        Steps of EM.
    """

    freedom: float | None = None
    rater_boxes: float = 5.0
    cell_boxes: float = 10.0
    bias_boxes: float = 10.0
    object_boxes: float | None = None
    astray: float = 0.01
    astray_boxes: float = 10.0
    steps: int = 20


@dataclass(frozen=True)
class Edges:
    """True edges, and how raters draw them.

    Parameters
    ----------
    box : ndarray, shape (O, 4)
        Estimated true box in px.
    spread : ndarray, shape (O, 4)
        Standard deviation of where the true edge lies, in px, as far as raters err apart from
        one another; nan where no object of the study was drawn by two raters.
    without, error_without : ndarray, shape (N, 4)
        The box of a drawn box's object, estimated without it and without what raters drew who
        depend on its rater, and the standard deviation of that; nan where there is nothing else.
    weight : ndarray, shape (N,)
        Share that each drawn box has in the box of its object, mean over edges.
    astray : ndarray, shape (N,)
        Probability that a drawn box lies elsewhere.
    scale, trust : ndarray, shape (N, 4)
        Spread of the rater of each box for its label and object, as a share of size; and how far
        each edge is trusted, from almost 0 to a little over 1.
    rate : ndarray, shape (R,)
        Share of boxes of each rater that lie elsewhere.
    difficulty : ndarray, shape (O,)
        Factor of the raters' spread on this object; 1 where it was drawn once.
    bias, sd : ndarray, shape (R, 4)
        Of each rater and edge, as a share of the object's width (x) or height (y); nan where
        no object of the study was drawn by two raters.
    sd_label : ndarray, shape (R, L)
        Spread of each rater for each label, the quadratic mean over edges.
    freedom : float
        Degrees of freedom of the noise.
    voice : ndarray, shape (N,)
        What each box counts among those of its object.
    dependence : Dependence
        Raters who share their errors.
    """

    box: Floats
    spread: Floats
    without: Floats
    error_without: Floats
    weight: Floats
    astray: Floats
    scale: Floats
    trust: Floats
    rate: Floats
    difficulty: Floats
    bias: Floats
    sd: Floats
    sd_label: Floats
    freedom: float
    voice: Floats
    dependence: Dependence


def size_of(box: Floats) -> Floats:
    """Width for x edges and height for y edges, (O, 4), never nothing."""
    size = np.maximum(box[:, 2:] - box[:, :2], 1e-6)
    return np.hstack([size, size])
