"""What `crowdqc masks` would do, how long it would take and in how much memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from crowdqc.findings import InputError
from crowdqc.stages.base import Result, Run, duration
from crowdqc.stages.extras import load
from crowdqc.stages.images import has_volumes, image_files
from crowdqc.stages.mask_sets import SETS
from crowdqc.stages.masks import mask_prompts, mask_task
from crowdqc.text import count

SHOWN = 5
"""Cases that are named where masks are missing."""
COUNTS = ["slices", "objects", "prompts"]


def dry_run(run: Run) -> Result:
    """Count what there is to draw, measure one slice, and draw nothing."""
    task, images, sets = (
        mask_task(run, cache=None),
        image_files(run.config),
        mask_prompts(run),
    )
    table = _mask_work(run, task, sets)
    left = table[~table["current"]]
    if left.empty:
        summary = "All masks are up to date: there is nothing to draw."
    else:
        name = left["set"].iloc[0]
        todo = left.loc[left["set"] == name, "case"].tolist()
        rates = load("samgen.forecast").measure_rates(sets[name], task, images=images, cases=todo)
        summary = _summary(rates, left, encoded_once=task.predictor.keeps_encoded)
    return Result(table=table, shown=_totals(table), summary=summary)


def _mask_work(run: Run, task: Any, sets: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What there is to draw: ``set`` and the columns of `samgen.forecast.list_work`."""
    config = run.config
    if not has_volumes(config):
        raise InputError(f"{config.file}: masks need volumes: give [images] path (NIfTI).")
    images, list_work = image_files(config), load("samgen.forecast").list_work
    work = [
        list_work(prompts, task, images=images, out=run.store.path(SETS[name])).assign(set=name)
        for name, prompts in sets.items()
    ]
    table = pd.concat(work, ignore_index=True)
    return table[["set", *table.columns.drop("set")]]


def refuse_undrawn(run: Run) -> None:
    """Refuse where masks of the study as it is are not all drawn.

    Raises
    ------
    InputError
        Naming the first cases that are not.
    """
    work = _mask_work(run, mask_task(run, cache=None), mask_prompts(run))
    left = work.loc[~work["current"], "case"].unique()
    if len(left):
        more = " ..." if len(left) > SHOWN else ""
        raise InputError(
            f"{run.store.folder}: masks of {count(len(left), 'case')} are not drawn, or are not of "
            f"these boxes: {', '.join(left[:SHOWN])}{more}. Run the shards that are missing, or "
            "draw them here: crowdqc masks."
        )


def _totals(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each set of masks."""
    rows = []
    for name, one in table.groupby("set", sort=False):
        left = one[~one["current"]]
        counts = {"set": name, "cases": len(one), "up_to_date": int(one["current"].sum())}
        rows.append(counts | {f"{what}_to_draw": int(left[what].sum()) for what in COUNTS})
    return pd.DataFrame(rows)


def _summary(rates: Any, left: pd.DataFrame, *, encoded_once: bool) -> str:
    """How long and in how much memory, and how that is known."""
    per_case = left.groupby("case")["slices"]
    slices = int((per_case.max() if encoded_once else per_case.sum()).sum())
    prompts = int(left["prompts"].sum())
    seconds = rates.seconds(cases=len(left), slices=slices, prompts=prompts)
    device = f", and {rates.device_gb:.1f} GB on the GPU" if rates.device_gb else ""
    return (
        f"About {duration(seconds)} and {rates.host_gb:.1f} GB of memory{device}: "
        f"{count(len(left), 'volume')} to read ({_short(rates.volume_s)} each), "
        f"{count(slices, 'slice')} to encode ({_short(rates.slice_s)}), {count(prompts, 'prompt')} "
        f"({_short(rates.prompt_s)}), measured now on "
        f"{rates.where}, one after the other on this machine. Not counted: writing files, and "
        "that pictures encoded before are not encoded again. Memory is the peak so far, and what "
        "the largest volume adds."
    )


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:.1f} ms"
