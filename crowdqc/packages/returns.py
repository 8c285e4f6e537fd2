"""What came back of each round: was it read, and is it better than what was there before.

A place (slice and label) agrees with the others as far as the rater's box overlaps the median of
their boxes; where the rater and the others draw nothing it agrees wholly, where only one of the two
draws something not at all. Before and after are held against the same boxes of the others, those of
now. Slices of one run resemble each other, so that the test is on runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crowdqc.agreement.arrays import to_drawn
from crowdqc.agreement.boxes import Items, leave_one_out
from crowdqc.compare.paired import compare_paired
from crowdqc.geometry import paired_iou
from crowdqc.matching import Matched
from crowdqc.schema import BOX, conform, stands_in

PLACE = ["rater", "case", "slice", "label"]
TASK = ["round", "rater", "task"]
RUNS_MIN = 3
"""Runs below which better or worse is not decided."""


@dataclass(frozen=True)
class Rounds:
    """What is compared.

    Parameters
    ----------
    matched : Matched
        The study as it is now, with its boxes matched.
    superseded : DataFrame
        Table ``superseded``.
    asked : DataFrame
        ``round, rater, case, slice, label, task`` of what was asked for.
    shown : DataFrame
        ``round, rater, case, slice, label`` of which the rater has seen where most drew.
    """

    matched: Matched
    superseded: pd.DataFrame
    asked: pd.DataFrame
    shown: pd.DataFrame


def measure_returns(rounds: Rounds, *, rng: np.random.Generator) -> pd.DataFrame:
    """Table ``returns``: one row for each round, rater and task.

    Parameters
    ----------
    rounds : Rounds
    rng : Generator
        For bootstrap intervals.

    Returns
    -------
    DataFrame
        `outcome` is "better" or "worse" where the whole interval of the difference lies on one
        side of 0, "no difference shown" where it does not, "too few" below `RUNS_MIN` runs, and
        "not back" where nothing was read. Places that the rater's feedback sheet showed are counted
        in `n_shown` and not compared.
    """
    readings = rounds.matched.study.readings
    last = readings[["rater", "case", "slice"]].assign(last=readings.get("round", 1))
    asked = rounds.asked.merge(last, on=["rater", "case", "slice"], how="left")
    asked["back"] = asked["last"].fillna(0) >= asked["round"]
    asked["seen"] = stands_in(rounds.shown, asked, ["round", *PLACE])
    back = asked[asked["back"] & ~asked["seen"]]
    scores = _scores(back, rounds)
    rows = [
        (
            *key,
            len(group),
            int(group["back"].sum()),
            int(group["seen"].sum()),
            *_compared(scores[stands_in(group, scores, ["round", *PLACE])], rng),
        )
        for key, group in asked.groupby(TASK, sort=True)
    ]
    columns = [*TASK, "n_asked", "n_back", "n_shown", "n_runs", "before", "after", "difference"]
    table = pd.DataFrame(rows, columns=[*columns, "low", "high", "p", "outcome"])
    table.loc[table["n_back"] == 0, "outcome"] = "not back"
    return conform("returns", table)


def _scores(back: pd.DataFrame, rounds: Rounds) -> pd.DataFrame:
    """Agreement of each place before and after, with the others as they are now."""
    others = _others(rounds.matched)
    earlier = _before(back, rounds.superseded)
    now = rounds.matched.study.boxes
    return back.assign(
        before=_agreement(back, earlier, others), after=_agreement(back, now, others)
    )


def _before(back: pd.DataFrame, superseded: pd.DataFrame) -> pd.DataFrame:
    """Boxes that were replaced in the round that asked for their place."""
    old = back[["round", *PLACE]].merge(superseded, on=PLACE, suffixes=("", "_drawn"))
    old = old[old["round_drawn"] < old["round"]]
    last = old.groupby(["round", *PLACE])["round_drawn"].transform("max")
    return old[old["round_drawn"] == last]


def _others(matched: Matched) -> pd.DataFrame:
    """Median box of the others: ``rater, case, slice, label, x0 .. y1``."""
    items: Items = leave_one_out(to_drawn(matched))
    there = ~np.isnan(items.others).any(axis=1)
    person = matched.asked.drop_duplicates("person").set_index("person")["rater"]
    objects = matched.objects.loc[items.object[there], ["case", "slice", "label"]]
    frame = objects.reset_index(drop=True).assign(
        rater=person.reindex(items.rater[there]).to_numpy()
    )
    return frame.assign(**dict(zip(BOX, items.others[there].T, strict=True)))


def _agreement(places: pd.DataFrame, boxes: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
    """Agreement of each place: best overlap; 1 where neither drew, 0 where only one did."""
    keys = ["round", *PLACE] if "round" in boxes and "round_drawn" in boxes else PLACE
    numbered = places[["round", *PLACE]].reset_index(drop=True).reset_index(names="row")
    own = numbered.merge(boxes[[*keys, *BOX]], on=keys)
    both = own.merge(others, on=PLACE, suffixes=("", "_other"))
    iou = paired_iou(both[BOX].to_numpy(), both[[f"{edge}_other" for edge in BOX]].to_numpy())
    best = pd.Series(iou).groupby(both["row"].to_numpy()).max()
    drew = numbered["row"].isin(own["row"]).to_numpy()
    expected = stands_in(others, numbered, PLACE)
    result = np.where(~drew & ~expected, 1.0, 0.0)
    result[best.index.to_numpy(dtype=np.int64)] = best.to_numpy()
    return result


def _compared(scores: pd.DataFrame, rng: np.random.Generator) -> tuple[object, ...]:
    """Number of runs, before, after, difference, interval, p, outcome."""
    if scores.empty:
        return (0, *(np.nan,) * 6, "too few")
    runs = scores.groupby(["case", "label"])[["before", "after"]].mean()
    if len(runs) < RUNS_MIN:
        difference = float((runs["after"] - runs["before"]).mean())
        return (len(runs), *runs.mean(), difference, np.nan, np.nan, np.nan, "too few")
    found = compare_paired(runs["after"].to_numpy(), runs["before"].to_numpy(), rng=rng)
    outcome = "better" if found.low > 0 else "worse" if found.high < 0 else "no difference shown"
    means = (found.mean_b, found.mean_a, found.difference)
    return (len(runs), *means, found.low, found.high, found.p, outcome)
