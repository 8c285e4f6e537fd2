"""When to stop asking raters: what more of them are worth, place by place, and when it is enough.

Raters are asked for a place (a label on a slice), draw all that they see there, and are paid by the
box. After k more average raters an object was drawn by j of them, which changes the probability
that it exists, and each of the j narrows its edges; `forecast` averages its expected error over j.
What a place gains a box is the steepest step of the concave hull of its gains over k, so that a
place where only two more raters together would decide something is not given up.

References
----------
.. [1] S. Branson, G. Van Horn, P. Perona, "Lean crowdsourcing: combining humans and machines in an
   online system", CVPR 2017. :doi:`10.1109/CVPR.2017.647`
.. [2] P. Frazier, W. Powell, S. Dayanik, "The knowledge-gradient policy for correlated normal
   beliefs", INFORMS Journal on Computing 21 (2009) 599-613. :doi:`10.1287/ijoc.1080.0314`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from crowdqc.arrays import Floats, Ints
from crowdqc.crowd import Crowd, fit, size_of
from crowdqc.fusion.ask import ABSOLUTE, forecast
from crowdqc.matching import Matched

PLACE = ["case", "slice", "label"]
ASK, STOP, EXPERT = "ask", "stop", "expert"
"""One more rater is worth it; it is good enough; it is not, and more raters would not help."""


@dataclass(frozen=True)
class Stopping:
    """When asking stops.

    Parameters
    ----------
    gain : float
        Fall of the expected error, summed over the objects of a place, from which a box is worth
        asking for.
    error : float
        Expected error, 1 - IoU, above which an object that gains no more is sent to an expert.
    ahead : int
        Largest number of further raters that is looked at.
    level : float
        Coverage of the bound of an object's error.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    gain: float = 0.02
    error: float = 0.3
    ahead: int = 6
    level: float = 0.95

    def __post_init__(self) -> None:
        if not (self.gain > 0 and 0 < self.error < 1 and self.ahead >= 1 and 0 < self.level < 1):
            raise ValueError(f"'gain', 'error', 'ahead' or 'level' is out of range: {self}.")


def stopping(matched: Matched, rule: Stopping | None = None) -> pd.DataFrame:
    """What to do with each object after a batch of readings.

    Parameters
    ----------
    matched : Matched
        A matched study.
    rule : Stopping, optional
        None: the defaults.

    Returns
    -------
    DataFrame
        ``object, case, slice, label, n_raters, n_asked, score, expected_error``; ``error_high``, a
        bound that the error of its box, 1 - IoU, keeps with the probability of the rule;
        ``error_left``, the expected error that further raters would take away; ``gain``, what its
        place gains a box; ``state`` (`ASK`, `STOP`, `EXPERT`). Sorted by falling `gain`, then by
        place and object; nan, and `ASK`, where no object was drawn by two raters.
    """
    rule = rule or Stopping()
    crowd = fit(matched)
    after, boxes = forecast(crowd, rule.ahead)
    place = matched.objects["place"].to_numpy(dtype=np.int64)
    steps = _steps(after, boxes, place)
    best = steps.drop_duplicates("place").set_index("place")["gain"].reindex(place).to_numpy()
    done = np.nan_to_num(best, nan=np.inf) < rule.gain
    frame = matched.objects[["object", *PLACE]].assign(
        n_raters=crowd.evidence.n_boxes,
        n_asked=crowd.evidence.n_asked,
        score=crowd.exists,
        expected_error=after[0],
        error_high=error_bound(crowd, rule.level),
        error_left=after[0] - after.min(axis=0),
        gain=best,
        state=np.where(done, np.where(after[0] > rule.error, EXPERT, STOP), ASK),
    )
    keys = [*PLACE, "object"]
    return frame.sort_values(["gain", *keys], ascending=[False, *[True] * 4], ignore_index=True)


def budget(matched: Matched, *, most: float, ahead: int = 6) -> pd.DataFrame:
    """What a number of further boxes is best spent on, and what the study gains by it.

    Parameters
    ----------
    matched : Matched
        A matched study.
    most : float
        Boxes that may be asked for.
    ahead : int
        Largest number of further raters of a place.

    Returns
    -------
    DataFrame
        A row for each step, the best first: ``case, slice, label``, ``n_more`` (raters that are
        asked for the place in this step), ``n_boxes`` (that were asked for by then, expected),
        ``expected_error`` (of an object of the study by then) and ``gain`` (a box). The first row,
        without a place, is the study as it is.
    """
    after, boxes = forecast(fit(matched), ahead)
    place = matched.objects["place"].to_numpy(dtype=np.int64)
    steps = _steps(after, boxes, place)
    asked = steps["boxes"].cumsum()
    steps, asked = steps[asked <= most], asked[asked <= most]
    names = matched.objects.drop_duplicates("place").set_index("place")[PLACE]
    n = max(len(matched.objects), 1)
    start = pd.DataFrame({"n_more": [0], "n_boxes": [0.0], "expected_error": [after[0].mean()]})
    rows = names.loc[steps["place"]].reset_index(drop=True)
    rows = rows.assign(
        n_more=steps["n_more"].to_numpy(),
        n_boxes=asked.to_numpy(),
        expected_error=after[0].mean() - (steps["gain"] * steps["boxes"]).cumsum().to_numpy() / n,
        gain=steps["gain"].to_numpy(),
    )
    return pd.concat([start, rows], ignore_index=True)[list(rows)]


def error_bound(crowd: Crowd, level: float) -> Floats:
    """What the error of each box, 1 - IoU, is below with a probability of `level`, (O,).

    1 where the object may not exist, or lie elsewhere, with more than the rest.
    """
    size = size_of(crowd.box)
    spread = crowd.spread / size
    real = crowd.exists * crowd.located
    tail = np.clip((1 - level - (1 - real)) / np.maximum(real, 1e-9), 0, 1)
    mean = ABSOLUTE * spread.sum(axis=1)
    sd = np.sqrt((1 - ABSOLUTE**2) * (spread**2).sum(axis=1))
    high = np.minimum(mean + norm.isf(np.maximum(tail, 1e-6)) * sd, 1.0)
    return np.where(tail > 0, high, np.where(np.isfinite(spread).all(axis=1), 1.0, np.nan))


def _steps(after: Floats, boxes: Floats, place: Ints) -> pd.DataFrame:
    """Steps of the concave hulls of what places gain, the best first.

    ``place, n_more`` (raters of the step), ``boxes`` (of the step) and ``gain`` (a box).
    """
    n = int(place.max(initial=-1)) + 1
    total = np.stack([np.bincount(place, one, n) for one in after])
    cost = np.bincount(place, boxes, n)
    there = np.flatnonzero(np.bincount(place, minlength=n))
    at = np.zeros(len(there), dtype=np.int64)
    rows = []
    while len(there):
        gained = total[at, there] - total[:, there]
        more = np.arange(len(total))[:, None] - at
        slope = np.where(more > 0, gained / np.maximum(more * cost[there], 1e-9), -np.inf)
        best = slope.argmax(axis=0)
        gain = slope[best, np.arange(len(there))]
        n_more = best - at
        rows.append(np.stack([there, n_more, n_more * cost[there], gain]))
        left = best < len(total) - 1
        there, at = there[left], best[left]
    found = np.concatenate(rows, axis=1) if rows else np.zeros((4, 0))
    steps = pd.DataFrame(found.T, columns=["place", "n_more", "boxes", "gain"])
    steps = steps.astype({"place": np.int64, "n_more": np.int64})
    return steps.sort_values("gain", ascending=False, kind="stable", ignore_index=True)
