"""One slice: masks of its objects from their prompts, and one label for each pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samgen.predictor import SUPPORT, BoxPredictor, Prompts
from samgen.regions import Region, common, region_round, shape_of, within
from samgen.uncertainty import (
    Summary,
    binary_entropy,
    box_iou,
    expected_dice,
    pairwise_dice,
    stability,
)

NO_CONTRAST = "no_contrast"
"""Measure of an object that was not drawn, because grey values do not show it."""
RING_PX, RING_SHARE = 2, 0.1
"""Width of what is looked at round a box: px, and a share of its longer side."""


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """One object as drawn from its prompts.

    Parameters
    ----------
    region : tuple of slice
        The part of the picture that holds the prompts and the mask.
    mean : ndarray of float, shape of the region
        Mean probability over the prompts.
    measures : dict
        Columns of the table ``masks`` by name.
    """

    region: Region
    mean: NDArray[np.floating[Any]]
    measures: dict[str, float]

    def adding(self, **measures: float) -> ObjectMask:
        """The same with more measures."""
        return ObjectMask(self.region, self.mean, {**self.measures, **measures})


def draw_objects(
    predictor: BoxPredictor, encoded: Any, objects: Sequence[Prompts]
) -> Iterator[ObjectMask]:
    """Soft masks from all prompts of each object, their mean, and how well they agree.

    Parameters
    ----------
    predictor : BoxPredictor
        The model.
    encoded : object
        The picture, as the model encoded it.
    objects : sequence of Prompts
        All objects of the picture.

    Yields
    ------
    ObjectMask
        One for each object, in order. Of its measures, `entropy` and the three kinds of
        mutual information are means over the box round all prompts. `mutual_information` is the
        sum of its parts between raters and within raters, which are nan where all prompts have
        one source box.
    """
    answers = predictor.summarise(encoded, objects)
    for prompts, summary in zip(objects, answers, strict=True):
        yield measured(prompts, summary)


def measured(prompts: Prompts, summary: Summary) -> ObjectMask:
    """An object with its measures, from what is kept of its masks.

    Parameters
    ----------
    prompts : Prompts
        Boxes of one object.
    summary : Summary
        Of its masks.
    """
    region = summary.region
    around = within(prompts.region(), region)
    likely = summary.mean > SUPPORT
    likely[around] = True
    mean = np.where(likely, summary.mean, 0)
    between, within_sources = (float(part[around].mean()) for part in summary.information())
    several = summary.n_sources > 1
    corner = np.tile([region[1].start, region[0].start], 2)
    measures = {
        "predicted_iou": float(summary.predicted_iou.mean()),
        "stability": stability(mean),
        "entropy": float(binary_entropy(mean[around]).mean()),
        "mutual_information": between + within_sources if several else within_sources,
        "pairwise_dice": pairwise_dice(summary.shared),
        "expected_dice": expected_dice(mean),
        "box_iou": box_iou(mean > 0.5, prompts.box - corner),
        "mutual_information_between_raters": between if several else float("nan"),
        "mutual_information_within_raters": within_sources if several else float("nan"),
    }
    return ObjectMask(region, mean, measures)


def has_contrast(picture: NDArray[np.uint8], box: NDArray[np.float64]) -> bool:
    """Whether grey values say anything of what a box holds.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns)
        Grey values, windowed.
    box : ndarray, shape (4,)
        ``x0, y0, x1, y1`` in px, within the picture.

    Returns
    -------
    bool
        Whether the box has more than one grey value; or has one, which most of the pixels round it
        have not: then its object fills it.
    """
    rows, columns = region_round(box[None])
    inner = picture[rows, columns]
    if inner.size and inner.min() != inner.max():
        return True
    margin = RING_PX + int(RING_SHARE * max(inner.shape))
    outer = picture[
        max(rows.start - margin, 0) : rows.stop + margin,
        max(columns.start - margin, 0) : columns.stop + margin,
    ]
    others = int((outer != inner.flat[0]).sum()) if inner.size else 0
    return others > (outer.size - inner.size) / 2


def without_contrast(prompts: Prompts) -> ObjectMask:
    """No mask, for an object that the grey values do not show."""
    region = prompts.region()
    nothing = np.zeros(shape_of(region))
    n = len(prompts.boxes)
    summary = Summary(
        region, nothing, nothing, nothing, np.zeros((n, n)), np.full(n, np.nan), len(prompts.sizes)
    )
    return measured(prompts, summary).adding(**{NO_CONTRAST: True})


def mask_dice(a: ObjectMask, b: ObjectMask) -> float:
    """Dice of the masks at 0.5 of two drawings of one object.

    Parameters
    ----------
    a : ObjectMask
        A drawing.
    b : ObjectMask
        Another, on the same picture.

    Returns
    -------
    float
        0 to 1; nan where both are empty.
    """
    shared = common(a.region, b.region)
    one, other = ((item.mean > 0.5)[within(shared, item.region)] for item in (a, b))
    total = int((a.mean > 0.5).sum()) + int((b.mean > 0.5).sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")


def resolve(
    objects: Sequence[ObjectMask], shape: tuple[int, int], *, last_wins: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Give each pixel to one object, and say how sure the least sure one is.

    Parameters
    ----------
    objects : sequence of ObjectMask
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
