"""How sure a set of masks of one object is of itself.

From K soft masks of one object, each drawn from another box: maps, and numbers per object.
Entropies are in nats. 0/0 is nan everywhere.

References
----------
.. [1] G. Deng et al., "SAM-U: multi-box prompts triggered uncertainty estimation for reliable
   SAM in medical image", MICCAI workshops 2023. :arxiv:`2307.04973`
.. [2] G. Wang et al., "Aleatoric uncertainty estimation with test-time augmentation for medical
   image segmentation with convolutional neural networks", Neurocomputing 338, 2019.
   :doi:`10.1016/j.neucom.2019.01.103`
.. [3] N. Houlsby et al., "Bayesian active learning for classification and preference learning",
   2011 (mutual information as the entropy of the mean less the mean entropy).
   :arxiv:`1112.5745`
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from crowdqc.geometry import paired_iou

Map = NDArray[np.float64]

STABILITY_OFFSET = 1.0
"""Logits by which the threshold is moved up and down (segment_anything's default)."""


def binary_entropy(probability: ArrayLike) -> Map:
    """Entropy of a yes or no, ``-(p ln p + (1 - p) ln(1 - p))``, in nats.

    Parameters
    ----------
    probability : array_like
        In ``[0, 1]``.

    Returns
    -------
    entropy : ndarray, shape of `probability`
        In ``[0, ln 2]``.

    Examples
    --------
    >>> binary_entropy([0.0, 0.5, 1.0]).round(4)
    array([0.    , 0.6931, 0.    ])
    """
    p = np.asarray(probability, dtype=np.float64)
    entropy: Map = entr(p) + entr(1 - p)
    return entropy


def mutual_information(probability: ArrayLike) -> Map:
    """The part of the entropy that the choice of the box causes, in nats.

    The entropy of the mean less the mean of the entropies (source 3 of this module): 0 where all
    K masks agree, however unsure each of them is.

    Parameters
    ----------
    probability : array_like, shape (K, ...)
        Soft masks of one object.

    Returns
    -------
    information : ndarray, shape (...)
        In ``[0, ln 2]``.

    Examples
    --------
    >>> mutual_information([[0.0, 0.5], [1.0, 0.5]]).round(4)
    array([0.6931, 0.    ])
    """
    p = np.asarray(probability, dtype=np.float64)
    information = binary_entropy(p.mean(axis=0)) - binary_entropy(p).mean(axis=0)
    return np.maximum(information, 0.0)


def pairwise_dice(masks: ArrayLike) -> float:
    """Mean Dice of all pairs of K masks.

    Parameters
    ----------
    masks : array_like of bool, shape (K, ...)

    Returns
    -------
    float
        In ``[0, 1]``. Pairs of two empty masks do not count; nan where no pair does.

    Examples
    --------
    >>> pairwise_dice([[1, 1, 0], [0, 1, 1], [1, 1, 0]]) == (0.5 + 1 + 0.5) / 3
    True
    """
    flat = np.asarray(masks, dtype=bool).reshape(len(np.asarray(masks)), -1).astype(np.float32)
    # Counts of shared pixels of all pairs at once; exact up to 2**24 pixels.
    shared = (flat @ flat.T).astype(np.float64)
    first, second = np.triu_indices(len(flat), k=1)
    size = np.diag(shared)
    total = size[first] + size[second]
    counts = total > 0
    if not counts.any():
        return float("nan")
    return float((2 * shared[first, second][counts] / total[counts]).mean())


def expected_dice(probability: ArrayLike) -> float:
    """Dice that the mask at 0.5 would have, were its probabilities true.

    ``2 sum(p m) / (sum(m) + sum(p))`` with ``m = [p > 0.5]``: the expectations of numerator
    and denominator, so an approximation of the expected ratio.

    Parameters
    ----------
    probability : array_like
        Mean of the soft masks of one object.

    Returns
    -------
    float
        In ``[0, 1]``; nan where all probabilities are 0.

    Examples
    --------
    >>> expected_dice([0.0, 1.0, 1.0]), expected_dice([0.25, 0.75]) == 1.5 / 2
    (1.0, True)
    """
    p = np.asarray(probability, dtype=np.float64)
    mask = p > 0.5
    total = mask.sum() + p.sum()
    return float(2 * p[mask].sum() / total) if total > 0 else float("nan")


def stability(probability: ArrayLike, *, offset: float = STABILITY_OFFSET) -> float:
    """IoU of the masks at a threshold moved up and down, as segment_anything defines it.

    The number of pixels with a logit above `offset` by that above ``-offset``.

    Parameters
    ----------
    probability : array_like
        Soft mask, or mean of several.
    offset : float
        In logits.

    Returns
    -------
    float
        In ``[0, 1]``; nan where no pixel is above the lower threshold.

    Examples
    --------
    >>> stability([0.9, 0.8, 0.6, 0.1]) == 2 / 3
    True
    """
    p = np.asarray(probability)
    upper = 1 / (1 + np.exp(-offset))
    loose = int((p > 1 - upper).sum())
    return int((p > upper).sum()) / loose if loose else float("nan")


def box_iou(mask: NDArray[Any], box: ArrayLike) -> float:
    """IoU of the box that was asked for and the box round the mask that came.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
    box : array_like, shape (4,)
        ``x0, y0, x1, y1`` in px.

    Returns
    -------
    float
        In ``[0, 1]``; 0 for an empty mask.

    Examples
    --------
    >>> box_iou(np.array([[0, 0, 0], [0, 1, 1]], bool), [0, 0, 3, 2]) == 2 / 6
    True
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0.0
    tight = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return float(paired_iou([tight], [np.asarray(box, dtype=np.float64)])[0])
