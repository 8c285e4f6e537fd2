"""What a matched study says, as arrays: who drew what, and who could have."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd.grid import COARSE, tool_grid
from crowdqc.geometry import Boxes
from crowdqc.matching import Matched

_WHOLE = 0.01
"""Distance from a whole px, in px, that is rounding: YOLO files have six decimals."""
SAME = 0.3
"""IoU with a box that is known (gold, decided, or shown as done) from which an object is the one
that it shows."""


@dataclass(frozen=True)
class Evidence:
    """Boxes of objects, and the raters who were asked for each object.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        Boxes ``x0, y0, x1, y1`` in px.
    object, rater : ndarray of int64, shape (N,)
        What each box shows and who drew it; at most one box of a rater in an object.
    asked_object, asked_rater : ndarray of int64, shape (A,)
        Who was asked for which object, sorted by object; all who drew a box among them.
    drew : ndarray of bool, shape (A,)
        Whether that rater drew that object.
    place, label, case, plane : ndarray of int64, shape (O,)
        Image and label together, label, case and slice that the object belongs to.
    n_objects, n_raters : int
        Objects and raters are numbered from 0.
    gold : ndarray, shape (O, 4)
        True box of an object, where it is known; nan elsewhere, and by default everywhere.
    real : ndarray, shape (O,)
        1 for an object that is known to exist, 0 for one known not to, nan for the others.
    settled : ndarray, shape (O, 4)
        True box of an object that a reviewer decided on; nan elsewhere.
    decided : ndarray, shape (O,)
        1 for an object that a reviewer calls real, 0 for one that is not, nan for the others. These
        are no sample of all objects but those in doubt: by them raters are judged, and what is
        learned from them is learned given what was drawn, see `crowdqc.crowd.decided`.
    spared_object, spared_rater : ndarray of int64, shape (S,)
        Raters who read the place of an object but were shown it as done, and so not asked: they
        would have met it, had nobody drawn it before.
    single : ndarray of bool, shape (O,)
        Whether a slice holds the object's label once at most; by default nowhere.
    """

    boxes: Boxes
    object: Ints
    rater: Ints
    asked_object: Ints
    asked_rater: Ints
    drew: Bools
    place: Ints
    label: Ints
    case: Ints
    plane: Ints
    n_objects: int
    n_raters: int
    gold: Floats = field(default_factory=lambda: np.zeros((0, 4)))
    real: Floats = field(default_factory=lambda: np.zeros(0))
    settled: Floats = field(default_factory=lambda: np.zeros((0, 4)))
    decided: Floats = field(default_factory=lambda: np.zeros(0))
    spared_object: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    spared_rater: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    single: Bools = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        if len(self.decided) != self.n_objects:
            object.__setattr__(self, "settled", np.full((self.n_objects, 4), np.nan))
            object.__setattr__(self, "decided", np.full(self.n_objects, np.nan))
        if len(self.real) != self.n_objects:
            object.__setattr__(self, "gold", np.full((self.n_objects, 4), np.nan))
            object.__setattr__(self, "real", np.full(self.n_objects, np.nan))
        if len(self.single) != self.n_objects:
            object.__setattr__(self, "single", np.zeros(self.n_objects, bool))

    @property
    def whole_pixels(self) -> bool:
        """Whether boxes are drawn on whole px: all but one edge in a hundred, and no `grid`."""
        near = np.abs(self.boxes - np.round(self.boxes)) <= _WHOLE
        return bool(near.size and near.mean() >= 0.99 and not self.grid)

    @cached_property
    def grid(self) -> float:
        """Distance in px of the lines on which nearly all edges lie, from 2 on; 0 for none."""
        step = tool_grid(self.boxes)
        return step if step >= COARSE else 0.0

    @property
    def same_line(self) -> float:
        """Variance of the distance of two edges that were rounded to the same line, in px^2."""
        return (self.grid or float(self.whole_pixels)) ** 2 / 6

    @property
    def n_boxes(self) -> Ints:
        """Number of raters who drew each object, shape (O,)."""
        return np.bincount(self.object, minlength=self.n_objects)

    @property
    def n_asked(self) -> Ints:
        """Number of raters who were asked for each object, shape (O,)."""
        return np.bincount(self.asked_object, minlength=self.n_objects)


def evidence(matched: Matched) -> Evidence:
    """`matched` as arrays; raters are ``matched.people``.

    A rater who drew an object counts as asked for it, whatever the readings say.
    """
    boxes, objects, asked = matched.boxes, matched.objects, matched.asked
    n_raters = len(matched.people)
    drawn = boxes["object"].to_numpy() * n_raters + boxes["person"].to_numpy()
    order = np.lexsort((asked["person"], asked["place"]))
    place = objects["place"].to_numpy(dtype=np.int64)
    count = np.bincount(asked["place"], minlength=place.max(initial=-1) + 1)
    first = (np.cumsum(count) - count)[place]
    count = count[place]
    of = np.repeat(objects["object"].to_numpy(dtype=np.int64), count)
    row = np.arange(len(of)) - np.repeat(np.cumsum(count) - count - first, count)
    pairs = of * n_raters + asked["person"].to_numpy()[order][row]
    drew = np.isin(pairs, drawn)
    if drew.sum() < len(drawn):
        pairs = np.union1d(pairs, drawn)
        drew = np.isin(pairs, drawn)
    return Evidence(
        boxes=boxes[["x0", "y0", "x1", "y1"]].to_numpy(),
        object=boxes["object"].to_numpy(),
        rater=boxes["person"].to_numpy(),
        asked_object=pairs // n_raters,
        asked_rater=pairs % n_raters,
        drew=drew,
        place=place,
        label=matched.places["label_number"].to_numpy(dtype=np.int64)[place],
        case=matched.places["case_number"].to_numpy(dtype=np.int64)[place],
        plane=objects["slice"].to_numpy(dtype=np.int64),
        n_objects=len(objects),
        n_raters=n_raters,
        single=objects["label"].isin(matched.study.single).to_numpy(),
    )
