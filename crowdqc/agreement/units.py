"""Alpha for boxes: objects are units, and the value that a rater gives is the label drawn.

Boxes of one image that show the same thing, whatever their labels, are one unit. A rater who
was asked there and drew nothing gives the value "absent"; a rater who was not asked gives none.
Arrays are named by their letters: K given values, U units, L labels; the value L is "absent".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.agreement.alpha import nominal_alpha, nominal_sums, summed
from crowdqc.agreement.boxes import expand
from crowdqc.arrays import Floats, Ints


@dataclass(frozen=True)
class Units:
    """Values that raters gave to units.

    Parameters
    ----------
    unit, rater, value : ndarray of int, shape (K,)
        One row per rater and unit that the rater was asked for; `value` is the label's
        number, or `n_labels` for "absent".
    box : ndarray of int, shape (K,)
        Row of the box behind the value, -1 for "absent".
    image : ndarray of int, shape (U,)
        Image of each unit. An image without a box is one unit, absent for all.
    n_labels : int
        L.
    """

    unit: Ints
    rater: Ints
    value: Ints
    box: Ints
    image: Ints
    n_labels: int

    def sums(self) -> tuple[Floats, Floats]:
        """Totals (U, L + 1) and weighted equal pairs (U,), see `nominal_sums`."""
        return nominal_sums(
            self.unit, self.value, n_units=len(self.image), n_values=self.n_labels + 1
        )


@dataclass(frozen=True)
class LabelledBoxes:
    """Who drew which label where: one row per box (N), and one per question (Q)."""

    object: Ints
    rater: Ints
    label: Ints
    image: Ints
    asked_image: Ints
    asked_rater: Ints
    asked_label: Ints
    n_labels: int


def make_units(votes: LabelledBoxes) -> Units:
    """Units of boxes that were linked without regard to labels.

    A rater is asked for a unit that was asked for any of the labels drawn there.
    """
    n_objects = int(votes.object.max(initial=-1)) + 1
    image = np.zeros(n_objects, np.int64)
    image[votes.object] = votes.image
    kinds = _sorted_unique(votes.object * votes.n_labels + votes.label)
    unit_of, label_of = np.divmod(kinds, votes.n_labels)
    rows, who = expand(
        image[unit_of] * votes.n_labels + label_of,
        votes.asked_image * votes.n_labels + votes.asked_label,
        votes.asked_rater,
    )
    n_raters = int(max(votes.rater.max(initial=0), votes.asked_rater.max(initial=0))) + 1
    drawn = votes.object * n_raters + votes.rater
    pairs = _sorted_unique(np.concatenate([unit_of[rows] * n_raters + who, drawn]))
    value, box = np.full(len(pairs), votes.n_labels, np.int64), np.full(len(pairs), -1)
    at = np.searchsorted(pairs, drawn)
    value[at], box[at] = votes.label, np.arange(len(drawn))
    empty, nobody = _empty_images(votes, first=n_objects, n_raters=n_raters)
    everything = np.concatenate([pairs, nobody])
    return Units(
        unit=everything // n_raters,
        rater=everything % n_raters,
        value=np.concatenate([value, np.full(len(nobody), votes.n_labels, np.int64)]),
        box=np.concatenate([box, np.full(len(nobody), -1)]),
        image=np.concatenate([image, empty]),
        n_labels=votes.n_labels,
    )


def _empty_images(votes: LabelledBoxes, *, first: int, n_raters: int) -> tuple[Ints, Ints]:
    """Images that were asked for and hold no box, and unit and rater of each who was asked.

    Their units are numbered from `first`. Who was asked for a label that nobody else was
    asked for agrees with nobody.
    """
    n_images = int(max(votes.image.max(initial=-1), votes.asked_image.max(initial=-1))) + 1
    empty = np.zeros(n_images, bool)
    empty[votes.asked_image] = True
    empty[votes.image] = False
    unit = first + np.cumsum(empty) - 1
    key = votes.asked_image * votes.n_labels + votes.asked_label
    together = np.bincount(key, minlength=n_images * votes.n_labels)[key] > 1
    blank = empty[votes.asked_image] & together
    asked = unit[votes.asked_image[blank]] * n_raters + votes.asked_rater[blank]
    return np.flatnonzero(empty), _sorted_unique(asked)


def _sorted_unique(values: Ints) -> Ints:
    """Distinct values in order; numpy's own function hashes, which is slower here."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def image_alpha(units: Units, n_images: int) -> Floats:
    """Alpha for boxes of each image.

    1 where all raters gave one value throughout (a slice that all left empty, too); nan
    where no two raters were asked for the same.

    Parameters
    ----------
    units : Units
        What each rater called each unit.
    n_images : int
        Number I of the images.

    Returns
    -------
    ndarray, shape (I,)
        At most 1.

    References
    ----------
    .. [1] D. Tschirschwitz, V. Rodehorst, "KaLOS: a dataset-quality framework for
       inter-annotator agreement in object detection", 2026; the package ``kalos``.
    """
    totals, same = units.sums()
    by_image = summed(units.image, totals, n_images)
    alpha = nominal_alpha(by_image, summed(units.image, same, n_images))
    unanimous = (by_image > 0).sum(axis=-1) == 1
    return np.where(unanimous, 1.0, alpha)


def vitality(units: Units, n_raters: int) -> Floats:
    """By how much global alpha is higher with each rater than without.

    Below 0 for raters without whom the rest would agree better; nan where alpha is not
    defined with or without.

    Parameters
    ----------
    units : Units
        What each rater called each unit.
    n_raters : int
        Number R of the raters.

    Returns
    -------
    ndarray, shape (R,)
        In units of alpha.
    """
    totals, same = units.sums()
    m = totals.sum(axis=1)
    drop = np.zeros((n_raters, totals.shape[1]))
    lost = np.zeros(n_raters)
    unit, rater, value = units.unit, units.rater, units.value
    more = m[unit] > 2
    np.add.at(drop, (rater[more], value[more]), 1.0)
    left = np.square(totals).sum(axis=1)[unit] - 2 * totals[unit, value] + 1 - (m[unit] - 1)
    without = left[more] / (m[unit] - 2)[more]
    lost += np.bincount(rater[more], same[unit[more]] - without, n_raters)
    pair = m[unit] == 2  # one value that is left makes no pair
    np.add.at(drop, rater[pair], totals[unit[pair]])
    lost += np.bincount(rater[pair], same[unit[pair]], n_raters)
    everything = nominal_alpha(totals.sum(axis=0), same.sum())
    rest = nominal_alpha(totals.sum(axis=0) - drop, same.sum() - lost)
    return np.asarray(everything - rest)


def confusions(units: Units) -> tuple[Ints, Ints]:
    """Values that stand against a label on which the other raters agree.

    The others agree on the label that more than half of those who drew there gave, at least
    two of them.

    Returns
    -------
    rows : ndarray of int, shape (M,)
        Rows of `units` with a label, where the others agree on one.
    label : ndarray of int, shape (M,)
        The label that they agree on.
    """
    n = units.n_labels
    counts = np.bincount(
        units.unit * (n + 1) + units.value, minlength=len(units.image) * (n + 1)
    ).reshape(-1, n + 1)[:, :n]
    drawn = np.flatnonzero(units.value < n)
    others = counts[units.unit[drawn]]
    others[np.arange(len(drawn)), units.value[drawn]] -= 1
    best = others.argmax(axis=1)
    votes = others[np.arange(len(drawn)), best]
    agreed = (votes >= 2) & (2 * votes > others.sum(axis=1))
    return drawn[agreed], best[agreed]
