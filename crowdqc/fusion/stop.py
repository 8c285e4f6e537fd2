"""When to stop asking raters: what more of them are worth, object by object.

A rater who reads a place (a label on a slice) after others need not draw what is settled: it is
shown as done. After k more average raters an object was drawn by j of them, which changes the
probability that it exists, and each of the j narrows its edges; `forecast` averages the chance of a
wrong box over j. What an object gains a box is the steepest step of the concave hull of its gains
over k, so that one which only two more raters together would decide is not given up. Objects that
nobody has drawn yet are foretold as species are: a further rater finds about as many as a rater has
drawn alone.

References
----------
.. [1] S. Branson, G. Van Horn, P. Perona, "Lean crowdsourcing: combining humans and machines in an
   online system", CVPR 2017. :doi:`10.1109/CVPR.2017.647`
.. [2] P. Frazier, W. Powell, S. Dayanik, "The knowledge-gradient policy for correlated normal
   beliefs", INFORMS Journal on Computing 21 (2009) 599-613. :doi:`10.1287/ijoc.1080.0314`
.. [3] I. J. Good, "The population frequencies of species and the estimation of population
   parameters", Biometrika 40 (1953) 237-264. :doi:`10.1093/biomet/40.3-4.237`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from crowdqc.arrays import Floats
from crowdqc.crowd import Crowd, evidence, fit_evidence, size_of, without_shown
from crowdqc.fusion.ask import ABSOLUTE, forecast
from crowdqc.matching import Matched
from crowdqc.schema import BOX

PLACE = ["case", "slice", "label"]
ASK, STOP, EXPERT = "ask", "stop", "expert"
"""One more rater is worth it; it is good enough; it is not, and more raters would not help."""
HALF = 0.5
"""Objects that are taken to have been drawn by one rater alone, besides those that were: few
readings without one are no sign that there is nothing left."""


@dataclass(frozen=True)
class Stopping:
    """When asking stops.

    Parameters
    ----------
    gain : float
        Fall of the probability that the box of an object is wrong from which a further box of it is
        worth asking for.
    new : float
        Objects that nobody has drawn yet which a further rater must be expected to find for a place
        to be read again, where no object of it is asked for.
    wrong : float
        Probability of a wrong box above which an object that gains no more is sent to an expert.
    below : float
        A box is wrong whose IoU with the truth is below, or that shows nothing; and so is to leave
        out a real object.
    ahead : int
        Largest number of further raters that is looked at.
    level : float
        Coverage of the bound of an object's error.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    gain: float = 0.006
    new: float = 0.05
    wrong: float = 0.3
    below: float = 0.5
    ahead: int = 6
    level: float = 0.95

    def __post_init__(self) -> None:
        positive = self.gain > 0 and self.new >= 0 and self.ahead >= 1
        if not (positive and all(0 < one < 1 for one in (self.wrong, self.below, self.level))):
            raise ValueError(f"a value is out of range: {self}.")


def stopping(
    matched: Matched, rule: Stopping | None = None, *, shown: pd.DataFrame | None = None
) -> pd.DataFrame:
    """What to do with each object after a batch of readings.

    Parameters
    ----------
    matched : Matched
        A matched study.
    rule : Stopping, optional
        None: the defaults.
    shown : DataFrame, optional
        Boxes that raters were shown as done, as of `crowdqc.crowd.without_shown`.

    Returns
    -------
    DataFrame
        ``object, case, slice, label, x0, y0, x1, y1, n_raters, n_asked, score, expected_error``
        (1 - IoU, of the better decision); ``error_high``, a bound that the error of its box keeps
        with the probability of the rule; ``wrong``, the probability that the decision or the box is
        wrong; ``wrong_left``, what further raters would take away of it; ``gain``, what a box does;
        ``state`` (`ASK`, `STOP`, `EXPERT`); ``new``, how many objects a further rater is expected
        to find at its place; ``read``, whether the place is to be read again. Sorted by falling
        `gain`, then by object; nan, and `ASK`, where no object was drawn by two.
    """
    rule = rule or Stopping()
    crowd = _fitted(matched, shown)
    after, boxes = forecast(crowd, rule.ahead, below=rule.below)
    steps = _steps(after, boxes).drop_duplicates("row").set_index("row")
    gain = steps["gain"].reindex(range(len(boxes))).to_numpy()
    asked = np.nan_to_num(gain, nan=np.inf) >= rule.gain
    done = np.where(after[0] > rule.wrong, EXPERT, STOP)
    drawn, n_asked = crowd.evidence.n_boxes, matched.objects["n_asked"].to_numpy()
    alone = matched.objects[PLACE].assign(alone=drawn == 1, n=n_asked, ask=asked)
    place = alone.groupby(PLACE)
    new = ((place["alone"].transform("sum") + HALF) / place["n"].transform("max")).to_numpy()
    frame = matched.objects[["object", *PLACE]].assign(
        **dict(zip(BOX, crowd.box.T, strict=True)),
        n_raters=drawn,
        n_asked=crowd.evidence.n_asked,
        score=crowd.exists,
        expected_error=forecast(crowd, 0)[0][0],
        error_high=_error_bound(crowd, rule.level),
        wrong=after[0],
        wrong_left=after[0] - after.min(axis=0),
        gain=gain,
        state=np.where(asked, ASK, done),
        new=new,
        read=(new >= rule.new) | place["ask"].transform("any").to_numpy(),
    )
    return frame.sort_values(["gain", "object"], ascending=[False, True], ignore_index=True)


def budget(
    matched: Matched, *, most: float, ahead: int = 6, shown: pd.DataFrame | None = None
) -> pd.DataFrame:
    """What a number of further boxes is best spent on, and what the study gains by it.

    Parameters
    ----------
    matched : Matched
        A matched study.
    most : float
        Boxes that may be asked for.
    ahead : int
        Largest number of further raters of an object.
    shown : DataFrame, optional
        As of `stopping`.

    Returns
    -------
    DataFrame
        A row for each step, the best first: ``object, case, slice, label``, ``n_more`` (raters that
        are asked for it in this step), ``n_boxes`` (that were asked for by then, expected),
        ``expected_error`` (of an object of the study by then) and ``gain`` (a box). The first row,
        without an object, is the study as it is.
    """
    after, boxes = forecast(_fitted(matched, shown), ahead)
    steps = _steps(after, boxes)
    asked = steps["boxes"].cumsum()
    steps, asked = steps[asked <= most], asked[asked <= most]
    now, n = after[0].mean(), max(len(boxes), 1)
    rows = matched.objects.iloc[steps["row"].to_numpy()][["object", *PLACE]].assign(
        n_more=steps["n_more"].to_numpy(),
        n_boxes=asked.to_numpy(),
        expected_error=now - (steps["gain"] * steps["boxes"]).cumsum().to_numpy() / n,
        gain=steps["gain"].to_numpy(),
    )
    start = pd.DataFrame({"n_more": [0], "n_boxes": [0.0], "expected_error": [now]})
    return pd.concat([start, rows], ignore_index=True)[list(rows)]


def _fitted(matched: Matched, shown: pd.DataFrame | None) -> Crowd:
    data = evidence(matched)
    if shown is not None and len(shown):
        data = without_shown(data, matched, shown)
    return fit_evidence(data, raters=matched.people)


def _error_bound(crowd: Crowd, level: float) -> Floats:
    """What the error of each box, 1 - IoU, is below with a probability of `level`, (O,).

    1 where the object may not exist, or lie elsewhere, with more than the rest.
    """
    size = size_of(crowd.box)
    spread = crowd.spread / size
    real = crowd.exists * crowd.located
    tail = np.clip((1 - level - (1 - real)) / np.maximum(real, 1e-9), 0, 1)
    mean = ABSOLUTE * spread.sum(axis=1)
    sd = np.sqrt((1 - ABSOLUTE**2) * (spread**2).sum(axis=1))
    high = np.minimum(mean + scipy.stats.norm.isf(np.maximum(tail, 1e-6)) * sd, 1.0)
    return np.where(tail > 0, high, np.where(np.isfinite(spread).all(axis=1), 1.0, np.nan))


def _steps(after: Floats, boxes: Floats) -> pd.DataFrame:
    """Steps of the concave hulls of what objects gain, the best first.

    ``row`` (of the object), ``n_more`` (raters of the step), ``boxes`` (of the step) and ``gain``
    (a box).
    """
    there = np.arange(len(boxes))
    at = np.zeros(len(there), dtype=np.int64)
    rows = []
    while len(there):
        gained = after[at, there] - after[:, there]
        more = np.arange(len(after))[:, None] - at
        slope = np.where(more > 0, gained / np.maximum(more * boxes[there], 1e-9), -np.inf)
        best = slope.argmax(axis=0)
        gain = slope[best, np.arange(len(there))]
        n_more = best - at
        rows.append(np.stack([there, n_more, n_more * boxes[there], gain]))
        left = best < len(after) - 1
        there, at = there[left], best[left]
    found = np.concatenate(rows, axis=1) if rows else np.zeros((4, 0))
    steps = pd.DataFrame(found.T, columns=["row", "n_more", "boxes", "gain"])
    steps = steps.astype({"row": np.int64, "n_more": np.int64})
    return steps.sort_values("gain", ascending=False, kind="stable", ignore_index=True)
