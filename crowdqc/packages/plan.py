"""Which slices go to whom, for what, and what is drawn on them already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from crowdqc.completeness.slices import from_ranges
from crowdqc.findings import Verdict, from_cell
from crowdqc.geometry import paired_iou
from crowdqc.schema import BOX, PLACE, ReadingState, Study, natural_order, stands_in

Prefill = Literal["none", "own", "fused"]
PREFILL: dict[str, Prefill] = {
    **dict.fromkeys(["read", "draw", "redraw"], "none"),
    **dict.fromkeys(["extend", "relabel", "remove", "check"], "own"),
}
"""Task -> what is drawn already where nothing else is asked for."""
REDRAWN = frozenset(
    [
        *("boxes-copied", "boxes-too-large", "boxes-too-small", "boxes-repeated"),
        *("boxes-constant", "boxes-guessed", "boxes-whole-image", "boxes-astray"),
        *("rater-shifts", "rater-scatters", "labels-confused"),
    ]
)
"""Faults of raters that drawing again mends."""
ALL = "all"
COLUMNS = ["rater", *PLACE, "task", "prefill", "expected_error"]


@dataclass(frozen=True)
class PackageSources:
    """What tasks are made of.

    Parameters
    ----------
    study : Study
        What was read.
    todo, consensus : DataFrame
        Tables ``todo`` and ``consensus``.
    raters : DataFrame
        Table ``raters``.
    owed : DataFrame, optional
        ``case, slice, rater`` of what was assigned.
    """

    study: Study
    todo: pd.DataFrame
    consensus: pd.DataFrame
    raters: pd.DataFrame
    owed: pd.DataFrame | None = None


@dataclass(frozen=True)
class Wanted:
    """How much is asked for.

    Parameters
    ----------
    error : float
        Expected error from which an object is drawn again, though no check found anything: by the
        one of its readers whose box differs most from the fused one.
    redraw : int
        Slices that a rater draws again who is not accepted for a fault of drawing (`REDRAWN`):
        those first on which the boxes differ most from the fused ones.
    limit : int, optional
        Slices at most: those of the work list first, then by falling expected error.
    prefill : {"none", "own", "fused"}, optional
        What is drawn already; none given: as `PREFILL` says for each task.
    """

    error: float = 0.3
    redraw: int = 20
    limit: int | None = None
    prefill: Prefill | None = None


def plan_tasks(sources: PackageSources, wanted: Wanted) -> pd.DataFrame:
    """One row for each rater, slice and label that is to be done.

    Parameters
    ----------
    sources : PackageSources
    wanted : Wanted

    Returns
    -------
    DataFrame
        ``rater, case, slice, label, task, prefill, expected_error``, by rater, case and slice.
        Where several tasks are about one place, the first of the work list counts.
    """
    listed = _of_work_list(sources)
    doubtful = _of_doubtful(sources, wanted.error)
    faulty = _of_faulty(sources, wanted.redraw)
    parts = [part.assign(rank=k) for k, part in enumerate((listed, doubtful, faulty))]
    tasks = pd.concat(parts, ignore_index=True)
    tasks = tasks.drop_duplicates(["rater", *PLACE])
    errors = sources.consensus[[*PLACE, "expected_error"]].drop_duplicates(PLACE)
    tasks = tasks.merge(errors, on=PLACE, how="left")
    if wanted.limit is not None:
        tasks = _worst(tasks, wanted.limit)
    start = tasks["task"].map(PREFILL).fillna("none")
    tasks["prefill"] = start if wanted.prefill is None else wanted.prefill
    return _in_order(tasks, sources.study)[COLUMNS]


def _of_work_list(sources: PackageSources) -> pd.DataFrame:
    study = sources.study
    table = sources.todo.assign(
        label=[[name for name in text.split(", ") if name] or list(study.labels)
               for text in sources.todo["label"]]
    )  # fmt: skip
    whole = table["slices"].isin(["", ALL])
    some = table[~whole].assign(slice=[from_ranges(text) for text in table.loc[~whole, "slices"]])
    all_slices = _whole_cases(table[whole].drop(columns="slices"), sources).assign(whole=True)
    parts = [some.explode("slice").assign(whole=False), all_slices]
    tasks = pd.concat(
        [part[["rater", "case", "slice", "label", "task", "whole"]] for part in parts]
    )
    tasks = tasks.explode("label").astype({"slice": np.int64})
    drawn = stands_in(study.boxes, tasks, ["rater", *PLACE])
    drawn |= stands_in(sources.consensus.dropna(subset=BOX), tasks, PLACE)
    tasks = tasks[drawn | ~tasks["whole"].eq(True) | (tasks["task"] == "read")]  # noqa: FBT003
    tasks = tasks.drop(columns="whole")
    return tasks[stands_in(study.images, tasks, ["case", "slice"])].reset_index(drop=True)


def _whole_cases(rows: pd.DataFrame, sources: PackageSources) -> pd.DataFrame:
    """Rows about a whole case, slice by slice: those that were assigned, else all."""
    found = rows.merge(sources.study.images[["case", "slice"]], on="case")
    if sources.owed is None:
        return found
    known = stands_in(sources.owed, found, ["case", "rater"])
    return found[~known | stands_in(sources.owed, found, ["case", "slice", "rater"])]


def _of_doubtful(sources: PackageSources, error: float) -> pd.DataFrame:
    """Objects of a high expected error, each for the reader who differs most from the fused box."""
    columns = ["rater", *PLACE, "task"]
    fused = sources.consensus.dropna(subset=[*BOX, "expected_error"])
    fused = fused[fused["expected_error"] >= error]
    read = sources.study.readings
    read = read.loc[read["state"] != ReadingState.OPENED.value, ["case", "slice", "rater"]]
    asked = fused.reset_index(names="object").merge(read, on=["case", "slice"])
    keys = ["case", "slice", "rater", "label"]
    boxes = sources.study.boxes[[*keys, *BOX]]
    both = asked.merge(boxes, on=keys, how="left", suffixes=("", "_own"))
    if both.empty:
        return pd.DataFrame(columns=columns)
    own = both[[f"{edge}_own" for edge in BOX]].to_numpy()
    drew = ~np.isnan(own).any(axis=1)
    overlap = np.zeros(len(both))
    overlap[drew] = paired_iou(own[drew], both.loc[drew, BOX].to_numpy())
    nearest = both.assign(iou=overlap).groupby(["object", "rater"], as_index=False)["iou"].max()
    furthest = nearest.sort_values(["object", "iou", "rater"]).drop_duplicates("object")
    found = fused.reset_index(names="object").merge(furthest[["object", "rater"]], on="object")
    found = found.sort_values("expected_error", ascending=False, kind="stable")
    return found.assign(task="redraw")[columns]


def _of_faulty(sources: PackageSources, n: int) -> pd.DataFrame:
    """Slices that raters draw again who are not accepted for a fault of drawing."""
    raters = sources.raters[sources.raters["verdict"] != Verdict.ACCEPT.value]
    faulty = [row.rater for row in raters.itertuples() if REDRAWN & set(from_cell(row.faults))]
    own = sources.study.boxes[sources.study.boxes["rater"].isin(faulty)]
    fused = sources.consensus.dropna(subset=BOX)[[*PLACE, *BOX]]
    both = own.merge(fused, on=PLACE, how="left", suffixes=("", "_fused"))
    there = both[[f"{edge}_fused" for edge in BOX]].to_numpy()
    known = ~np.isnan(there).any(axis=1)
    overlap = np.zeros(len(both))
    overlap[known] = paired_iou(both.loc[known, BOX].to_numpy(), there[known])
    slices = both.assign(iou=overlap).groupby(["rater", "case", "slice"], as_index=False)["iou"]
    worst = slices.mean().sort_values(["rater", "iou", "case", "slice"])
    worst = worst.groupby("rater").head(n)
    tasks = own.merge(worst, on=["rater", "case", "slice"]).drop_duplicates(["rater", *PLACE])
    return tasks.assign(task="redraw")[["rater", *PLACE, "task"]]


def _worst(tasks: pd.DataFrame, limit: int) -> pd.DataFrame:
    """The rows of the first slices, by rank and then by falling expected error."""
    order = tasks.assign(error=-tasks["expected_error"].fillna(0.0))
    order = order.sort_values(["rank", "error"], kind="stable")
    slices = order[["rater", "case", "slice"]].drop_duplicates().head(limit)
    return tasks[stands_in(slices, tasks, ["rater", "case", "slice"])].reset_index(drop=True)


def _in_order(tasks: pd.DataFrame, study: Study) -> pd.DataFrame:
    ranks: list[Mapping[str, int]] = [
        {name: k for k, name in enumerate(names)}
        for names in (study.labels, study.cases, natural_order(tasks["rater"].unique()))
    ]
    label, case, rater = (
        tasks[key].map(rank) for key, rank in zip(("label", "case", "rater"), ranks, strict=True)
    )
    return tasks.iloc[np.lexsort([label, tasks["slice"], case, rater])].reset_index(drop=True)
