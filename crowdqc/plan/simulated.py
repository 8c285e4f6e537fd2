"""Boxes as the raters of a study might draw them, of objects that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd import Evidence
from crowdqc.plan.components import Components, marginal

_LEAST = 1e-3
"""Least width of a simulated box, as a share of the object's."""


def _seen(components: Components, objects: Floats) -> Floats:
    """Probability that each rater draws each object, (O, R), of which this is how visible it is."""
    return marginal(components.detection, np.array(components.visibility), objects).T


@dataclass(frozen=True)
class Drawn:
    """Simulated boxes (M objects, n raters): the real objects first, then what is invented."""

    truth: Floats
    boxes: Floats
    who: Ints
    drew: Bools
    per_case: int

    def first(self, n: int) -> tuple[Evidence, Floats, Ints]:
        """What the first n raters of each object drew, the truth, and the objects' numbers."""
        some = np.flatnonzero(self.drew[:, :n].any(axis=1))
        drew, who = self.drew[some, :n], self.who[some, :n]
        order = np.argsort(who, axis=1)
        drew, who = np.take_along_axis(drew, order, 1), np.take_along_axis(who, order, 1)
        boxes = np.take_along_axis(self.boxes[some, :n], order[..., None], 1)
        of, column = np.nonzero(drew)
        zero = np.zeros(len(some), np.int64)
        data = Evidence(
            boxes=boxes[of, column],
            object=of,
            rater=who[of, column],
            asked_object=np.repeat(np.arange(len(some)), n),
            asked_rater=who.ravel(),
            drew=drew.ravel(),
            place=np.arange(len(some)),
            label=zero,
            case=some // self.per_case,
            plane=zero,
            n_objects=len(some),
            n_raters=int(self.who.max()) + 1,
        )
        return data, self.truth, some


def draw(
    components: Components,
    n_raters: int,
    objects: int,
    *,
    rng: np.random.Generator,
    all_invent: bool = False,
) -> Drawn:
    """Boxes of `n_raters` raters on each object, and boxes of nothing.

    Parameters
    ----------
    components : Components
        What makes boxes differ.
    n_raters, objects : int
        Raters of an object, and objects.
    rng : Generator
        Draws raters and their errors.
    all_invent : bool
        Whether there are as many boxes of nothing as all raters together draw, none of them
        twice; else as many as one rater draws.
    """
    n_own, share = len(components.share), components.share
    more = rng.choice(n_own, max(n_raters - n_own, 0), p=share)
    pool = np.concatenate([np.arange(n_own), more])  # others like them, where there are too few
    chance = np.log(np.maximum(share[pool], 1e-12))
    inventors = n_raters if all_invent else 1
    false = rng.poisson(objects * inventors * float(share @ components.invented))
    who = np.argsort(-(chance + rng.gumbel(size=(objects + false, len(pool)))), axis=1)
    who = who[:, :n_raters]
    hard = rng.choice(components.difficulty, objects + false)[:, None, None]
    sd, size = components.sd[pool][who], components.size
    usual = np.maximum(sd, 1e-9) ** -2
    common = components.shared * usual.mean(axis=1, keepdims=True) ** -0.5 * hard
    error = components.bias[pool][who] + common * rng.standard_normal((objects + false, 1, 4))
    error = error + sd * hard * rng.standard_t(components.freedom, sd.shape)
    truth = np.tile(np.array([0.0, 0.0, 1.0, 1.0]) * size, (objects + false, 1))
    boxes = truth[:, None] + error * size
    high = np.maximum(boxes[..., 2:], boxes[..., :2] + _LEAST * size)
    drew = (
        rng.random(who.shape)
        < _seen(components, rng.standard_normal(len(who)))[np.arange(len(who))[:, None], pool[who]]
    )
    invented = np.maximum(components.invented[pool][who[objects:]], 1e-12)
    inventor = (invented / invented.sum(axis=1, keepdims=True)).cumsum(axis=1)
    drew[objects:] = False
    column = (inventor < rng.random((false, 1))).sum(axis=1)
    drew[objects + np.arange(false), np.minimum(column, n_raters - 1)] = True
    per_case = max(1, round(components.per_case))
    return Drawn(truth, np.concatenate([boxes[..., :2], high], axis=-1), who, drew, per_case)
