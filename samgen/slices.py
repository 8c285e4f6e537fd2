"""One slice: masks of its objects from their prompts, and one label for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.geometry import Boxes
from samgen.predictor import BoxPredictor
from samgen.uncertainty import (
    binary_entropy,
    box_iou,
    expected_dice,
    mutual_information,
    pairwise_dice,
    stability,
)

Region = tuple[slice, slice]

_SUPPORT = 0.01
"""Below this probability, a pixel outside the prompts is not looked at."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """One object as drawn from its prompts.

    Parameters
    ----------
    region : tuple of slice
        The part of the picture that holds the prompts and the mask.
    mean : ndarray of float64, shape of the region
        Mean probability over the prompts.
    measures : dict
        Columns of the table ``masks`` by name.
    """

    region: Region
    mean: NDArray[np.float64]
    measures: dict[str, float]


def draw_object(predictor: BoxPredictor, encoded: Any, boxes: Boxes) -> Drawn:
    """Soft masks from all prompts of one object, their mean, and how well they agree.

    Parameters
    ----------
    predictor : BoxPredictor
        The model.
    encoded : object
        The picture, as the model encoded it.
    boxes : ndarray, shape (K, 4)
        The prompts; the first is the box that was asked for.

    Returns
    -------
    Drawn
        `entropy` and `mutual_information` are means over the box round all prompts.
    """
    prediction = predictor.predict(encoded, boxes)
    around = _around(boxes)
    region = _region(prediction.probability, around)
    probability = prediction.probability[:, *region].astype(np.float64)
    mean = probability.mean(axis=0)
    inner = tuple(
        slice(a.start - r.start, a.stop - r.start) for a, r in zip(around, region, strict=True)
    )
    corner = np.tile([region[1].start, region[0].start], 2)
    measures = {
        "predicted_iou": float(prediction.predicted_iou.mean()),
        "stability": stability(mean),
        "entropy": float(binary_entropy(mean[inner]).mean()),
        "mutual_information": float(mutual_information(probability[:, *inner]).mean()),
        "pairwise_dice": pairwise_dice(probability > 0.5),
        "expected_dice": expected_dice(mean),
        "box_iou": box_iou(mean > 0.5, boxes[0] - corner),
    }
    return Drawn(region, mean, measures)


def resolve(
    objects: Sequence[Drawn], shape: tuple[int, int], *, last_wins: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Give each pixel to one object, and say how sure the least sure one is.

    Parameters
    ----------
    objects : sequence of Drawn
        Of one picture.
    shape : tuple of int
        Rows and columns of the picture.
    last_wins : bool
        Whether overlaps go to the last object above 0.5, as in the study that crowdqc grew
        out of, instead of to the most probable.

    Returns
    -------
    owner : ndarray of int, shape (rows, columns)
        Index of the object whose mean probability is highest among those above 0.5, the
        first of equals; -1 where there is none.
    entropy : ndarray of float32, shape (rows, columns)
        Largest entropy of the mean probability of an object, in nats.
    """
    owner = np.full(shape, -1, dtype=np.intp)
    best = np.full(shape, 0.5)
    entropy = np.zeros(shape, dtype=np.float32)
    for index, item in enumerate(objects):
        wins = item.mean > best[item.region]
        owner[item.region][wins] = index
        if not last_wins:
            best[item.region][wins] = item.mean[wins]
        part = entropy[item.region]
        np.maximum(part, binary_entropy(item.mean).astype(np.float32), out=part)
    return owner, entropy


def _around(boxes: Boxes) -> Region:
    """The pixels that any of the boxes touches."""
    low = np.floor(boxes[:, :2].min(axis=0)).astype(int)
    high = np.ceil(boxes[:, 2:].max(axis=0)).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _region(probability: NDArray[np.float32], around: Region) -> Region:
    """The smallest part of the picture with `around` and all that is not sure background."""
    support = probability.max(axis=0) > _SUPPORT
    support[around] = True
    rows, columns = np.flatnonzero(support.any(axis=1)), np.flatnonzero(support.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
