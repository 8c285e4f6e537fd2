"""What a consensus of so many raters is worth, and how much a rater must read."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from crowdqc.arrays import Floats
from crowdqc.fusion import ConsensusRule, Method, decide, load_method
from crowdqc.geometry import paired_iou
from crowdqc.plan.components import Components, Reading, marginal
from crowdqc.plan.simulated import draw

_SAME = 0.3
"""IoU with the fused box from which a drawn one supports it."""
_STUDY = 500
"""Objects of a simulated study: of several small ones the mean does not jump where all objects
with the same votes are just believed in, or just not."""
_PANEL = 9
"""Raters who together should see what can be seen: as much as they miss in the worst reading may
be there of a kind that nobody draws. Of the photographs with gold, nine raters drew 88 %; by that
reading, 94 %."""
_LEVEL = 0.95
COLUMNS = ["n_raters", "iou", "iou_worst", "found", "found_low", "found_high"]
COLUMNS += ["score", "score_low", "score_high", "gain"]
"""Of `plan_raters`."""


class _Fusion(NamedTuple):
    """What is simulated, and how it is fused."""

    largest: int
    objects: int
    method: Method
    rule: ConsensusRule

    def rule_of(self, n_raters: int, *, least: bool) -> ConsensusRule:
        """What makes an object usable; at the `least` nobody of three or more is believed alone."""
        if least and n_raters > 2 and self.rule.min_raters is None:
            return replace(self.rule, min_raters=2)
        return self.rule


def plan_raters(
    components: Components,
    *,
    rng: np.random.Generator,
    largest: int = 9,
    method: str = "edges",
    rule: ConsensusRule | None = None,
    objects: int = 2000,
) -> pd.DataFrame:
    """What a consensus of 1, 2, ... raters per slice is worth.

    Parameters
    ----------
    components : Components
        From `estimate_components`.
    rng : Generator
        Draws raters and their errors. The same errors are used for every number of raters.
    largest : int
        Largest number of raters. Where it is more than the study has, others like them join.
    method : str
        Fusion method, as in the study file.
    rule : ConsensusRule, optional
        What makes an object usable, as in the study file. None: the defaults of `fuse`.
    objects : int
        Objects that are simulated.

    Returns
    -------
    DataFrame
        ``n_raters``; ``iou``, the mean IoU of the fused box with the truth where an object is
        usable, and ``iou_worst``, its 10th percentile; ``found``, the share of real objects that
        are usable, if objects that nobody drew are like the others; ``found_low`` and
        ``found_high``, what it may be, as boxes do not tell what is there and nobody sees, and
        few objects do not tell it well (95 %); ``score``, the mean IoU with 0 for an object that
        is not usable, with its ``score_low`` and ``score_high``; and ``gain``, of the score over
        one rater fewer.

    Raises
    ------
    ValueError
        If `largest` or `objects` is below 1.
    InputError
        If the method is not known.
    """
    if largest < 1 or objects < 1:
        raise ValueError(f"'largest' and 'objects' must be 1 or more; got {largest}, {objects}.")
    how = _Fusion(largest, objects, load_method(method), rule or ConsensusRule())
    table = _simulated(components, how, rng=rng)
    low, high = _bounds(components, how, rng=rng) if components.readings else (table, table)
    table = table.assign(
        gain=table["score"].diff(),
        found_low=np.minimum(low["found"], table["found"]),
        found_high=np.maximum(high["found"], table["found"]),
    )
    score = {
        f"score_{end}": table["iou"].fillna(0) * table[f"found_{end}"] for end in ("low", "high")
    }
    return table.assign(**score)[COLUMNS]


def raters_needed(table: pd.DataFrame, target: float, *, measure: str = "iou") -> int | None:
    """Fewest raters in a table of `plan_raters` with which a measure stays at a target or above.

    Parameters
    ----------
    table : DataFrame
        By ascending number of raters.
    target : float
        Wanted value.
    measure : str
        Column of `table`, of which more is better.

    Returns
    -------
    int or None
        None where even the most are too few.
    """
    reached = (table[measure] >= target).to_numpy()
    stays = np.logical_and.accumulate(reached[::-1])[::-1]
    return int(table["n_raters"].iloc[int(stays.argmax())]) if stays.any() else None


def plan_slices(
    components: Components,
    *,
    widths: tuple[float, ...] = (0.1, 0.05, 0.025),
    level: float = 0.95,
) -> pd.DataFrame:
    """How much a rater must read for the rater's agreement to be known.

    Parameters
    ----------
    components : Components
        From `estimate_components`.
    widths : tuple of float
        Wanted half widths of the interval of the agreement, in IoU.
    level : float
        Coverage of the interval.

    Returns
    -------
    DataFrame
        ``half_width, n_cases, n_slices``: cases of the usual number of objects, and slices in
        them, rounded up. Slices of the same case tell less than as many of other cases.
    """
    z = scipy.stats.norm.ppf((1 + level) / 2)
    per_case = max(components.per_case, 1.0)
    variance = components.between_cases + components.within_cases / per_case
    slices = per_case / max(components.per_slice, 1e-9)
    rows = []
    for width in widths:
        n_cases = max(2, int(np.ceil(variance * (z / width) ** 2)))
        rows.append((width, n_cases, int(np.ceil(n_cases * slices))))
    return pd.DataFrame(rows, columns=["half_width", "n_cases", "n_slices"])


def _simulated(
    components: Components,
    how: _Fusion,
    *,
    rng: np.random.Generator,
    least: bool = False,
) -> pd.DataFrame:
    """Mean over simulated studies of what a consensus of 1, 2, ... raters is worth.

    At the `least` each rater invents other things, and of three raters or more nobody is believed
    alone, unless the study says who is: where one vote is just enough, a little decides on all
    objects that one rater drew.
    """
    n_studies = max(1, round(how.objects / _STUDY))
    sizes = np.diff(np.linspace(0, how.objects, n_studies + 1).astype(int))
    met: list[list[Floats]] = [[] for _ in range(how.largest)]
    for size in sizes:
        drawn = draw(components, how.largest, int(size), rng=rng, all_invent=least)
        for n in range(1, how.largest + 1):
            data, truth, number = drawn.first(n)
            fused, rule = how.method(data), how.rule_of(n, least=least)
            usable = decide(data, fused, how.method, iou=_SAME, rule=rule)[3] & (number < size)
            some = usable.any()
            met[n - 1].append(
                paired_iou(fused.box[usable], truth[number[usable]]) if some else np.zeros(0)
            )
    rows = []
    for n, parts in enumerate(met, 1):
        iou = np.concatenate(parts)
        mean, worst = (iou.mean(), np.quantile(iou, 0.1)) if len(iou) else (np.nan, np.nan)
        rows.append((n, mean, worst, len(iou) / how.objects, iou.sum() / how.objects))
    return pd.DataFrame(rows, columns=["n_raters", "iou", "iou_worst", "found", "score"])


def _bounds(
    components: Components,
    how: _Fusion,
    *,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`_simulated` with the least and the most of what is found."""
    few = how._replace(objects=max(1, how.objects // 4))
    n, ends = max(1, round(components.n_objects)), []
    for reading, unseen, side in zip(
        components.readings, (_unseen(components), 0.0), ("low", "high"), strict=True
    ):
        seen = replace(components, detection=reading.detection, visibility=reading.visibility)
        table = _simulated(seen, few, rng=rng, least=side == "low")
        counts = (n * (1 - unseen) * table["found"]).round().astype(int)
        bounds = [scipy.stats.binomtest(k, n).proportion_ci(_LEVEL, "wilson") for k in counts]
        ends.append(table.assign(found=[getattr(bound, side) for bound in bounds]))
    return ends[0], ends[1]


def _unseen(components: Components) -> float:
    """Share of real objects that none of a large panel draws, in the reading of the least."""
    nodes = np.linspace(-4, 4, 161)
    weight = np.exp(-np.square(nodes) / 2)
    reading: Reading = components.readings[0]
    chance = marginal(reading.detection, np.array(reading.visibility), nodes)
    missed = (1 - components.share @ chance) ** _PANEL
    return float(missed @ weight / weight.sum())
