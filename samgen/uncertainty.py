"""How sure a set of masks of one object is of itself.

From K soft masks of one object, each drawn from another box: maps, and numbers per object. The
K boxes are made from one or more *source boxes*, the boxes of raters among them, each with some
jitter; so the uncertainty has a part between source boxes and a part within them [4]_.
Entropies are in nats. 0/0 is nan everywhere.

All that the numbers need of K masks is in a `Summary`: four maps and a table of counts.
`reduce_masks` makes them from arrays of NumPy or torch, on the device where the masks are.

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
.. [4] E. Germani, K. Nyangoh-Timoh, P. Jannin, J. S. H. Baxter, "Disentangling prompt dependence
   to evaluate segmentation reliability in gynecological MRI", 2026 (ambiguity between users and
   sensitivity to one user's prompt go together little, and both go with poor masks).
   :arxiv:`2603.13369`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr as scipy_entr

from crowdqc.geometry import paired_iou
from samgen.regions import Region, region_of

Map = NDArray[np.floating[Any]]

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
    entropy: Map = scipy_entr(p) + scipy_entr(1 - p)
    return entropy


def reduce_masks(
    probability: Any, sizes: Sequence[int], *, entr: Callable[[Any], Any] = scipy_entr
) -> tuple[Any, Any, Any, Any]:
    """What a `Summary` keeps of K soft masks, computed where they are.

    Parameters
    ----------
    probability : array or Tensor, shape (K, rows, columns)
        Soft masks of one object, those of one source next to each other.
    sizes : sequence of int
        Number of masks of each source; they sum up to K.
    entr : callable
        ``-x ln x``, 0 at 0, for arrays of this kind: `scipy.special.entr` or
        ``torch.special.entr``.

    Returns
    -------
    mean : array, shape (rows, columns)
        Mean probability.
    source_entropy : array, shape (rows, columns)
        Mean over sources, weighted by their number of masks, of the entropy of their mean.
    prompt_entropy : array, shape (rows, columns)
        Mean entropy of a mask.
    shared : array, shape (K, K)
        Number of pixels that both of two masks hold (above 0.5).

    Raises
    ------
    ValueError
        If `sizes` do not sum up to K, or one is not positive.
    """
    total = len(probability)
    if sum(sizes) != total or min(sizes, default=0) < 1:
        raise ValueError(
            f"'sizes' must be positive and sum up to the {total} masks; got {list(sizes)}."
        )

    def entropy(p: Any) -> Any:
        return entr(p) + entr(1 - p)

    ends = np.cumsum(sizes).tolist()
    means = [probability[b - n : b].mean(0) for b, n in zip(ends, sizes, strict=True)]
    # Divided last, so that rounding never gives a mean above 1, of which there is no entropy.
    mean = sum(one * n for one, n in zip(means, sizes, strict=True)) / total
    sources = sum(entropy(one) * n for one, n in zip(means, sizes, strict=True)) / total
    hard = (probability.reshape(total, -1) > 0.5) * 1.0
    return mean, sources, entropy(probability).mean(0), hard @ hard.T


@dataclass(frozen=True, eq=False)
class Summary:
    """What is kept of K soft masks of one object; `reduce_masks` says what the arrays are.

    Parameters
    ----------
    region : tuple of slice
        The part of the picture that the maps show. What lies outside is background.
    mean, source_entropy, prompt_entropy : ndarray, shape of the region
    shared : ndarray, shape (K, K)
    predicted_iou : ndarray of float64, shape (K,)
        How good the model thinks each mask is; nan where it has no trained opinion.
    n_sources : int
        Number of source boxes.
    """

    region: Region
    mean: Map
    source_entropy: Map
    prompt_entropy: Map
    shared: NDArray[np.float64]
    predicted_iou: NDArray[np.float64]
    n_sources: int

    def information(self) -> tuple[Map, Map]:
        """Mutual information of mask and prompt, in nats: between sources, and within them.

        Between: the entropy of the mean less the mean over sources of the entropy of their own
        mean. Within: that less the mean entropy of a mask. The two sum up to the entropy of the
        mean less the mean of the entropies, which is 0 where all K masks agree, however unsure
        each of them is (references 3 and 4 of this module).

        Returns
        -------
        between, within : ndarray, shape of the region
            In ``[0, ln 2]``. Of one source, the first is 0.

        Examples
        --------
        >>> masks = np.array([[0.0, 0.5, 0.2], [1.0, 0.5, 0.2]])[:, None]
        >>> one, two = summarise(masks, [2]), summarise(masks, [1, 1])
        >>> one.information()[1].round(4), two.information()[0].round(4)
        (array([[0.6931, 0.    , 0.    ]]), array([[0.6931, 0.    , 0.    ]]))
        """
        between = binary_entropy(self.mean) - self.source_entropy
        within = self.source_entropy - self.prompt_entropy
        return np.maximum(between, 0.0), np.maximum(within, 0.0)


def summarise(
    probability: NDArray[Any],
    sizes: Sequence[int],
    *,
    region: Region | None = None,
    predicted_iou: NDArray[np.float64] | None = None,
) -> Summary:
    """Summary of K soft masks that are arrays of NumPy.

    Parameters
    ----------
    probability : ndarray, shape (K, rows, columns)
    sizes : sequence of int
        As in `reduce_masks`.
    region : tuple of slice, optional
        Where the masks lie; by default they are of the whole picture.
    predicted_iou : ndarray, shape (K,), optional
        By default nan.
    """
    whole = slice(0, probability.shape[1]), slice(0, probability.shape[2])
    unknown = np.full(len(probability), np.nan)
    return Summary(
        whole if region is None else region,
        *reduce_masks(probability, sizes),
        unknown if predicted_iou is None else predicted_iou,
        len(sizes),
    )


def pairwise_dice(shared: ArrayLike) -> float:
    """Mean Dice of all pairs of K masks.

    Parameters
    ----------
    shared : array_like, shape (K, K)
        Number of pixels that two masks share; on the diagonal, their own.

    Returns
    -------
    float
        In ``[0, 1]``. Pairs of two empty masks do not count; nan where no pair does.

    Examples
    --------
    >>> masks = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0]])
    >>> pairwise_dice(masks @ masks.T) == (0.5 + 1 + 0.5) / 3
    True
    """
    counts = np.asarray(shared, dtype=np.float64)
    first, second = np.triu_indices(len(counts), k=1)
    size = np.diag(counts)
    total = size[first] + size[second]
    known = total > 0
    if not known.any():
        return float("nan")
    return float((2 * counts[first, second][known] / total[known]).mean())


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
    found = region_of(mask)
    if found is None:
        return 0.0
    rows, columns = found
    tight = [columns.start, rows.start, columns.stop, rows.stop]
    return float(paired_iou([tight], [np.asarray(box, dtype=np.float64)])[0])
