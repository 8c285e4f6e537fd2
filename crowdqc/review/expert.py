"""An expert's annotations as decisions on the fused boxes of a study."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

import crowdqc
from crowdqc.arrays import Floats
from crowdqc.decisions import append_decisions, decisions_file
from crowdqc.decisions.standing import SAME
from crowdqc.findings import InputError
from crowdqc.geometry import pairwise_iou
from crowdqc.schema import BOX, PLACE, Study, stands_in
from crowdqc.stages.base import Run
from crowdqc.stages.pipeline import PIPELINE
from crowdqc.stages.settled import place_hashes
from crowdqc.stages.study import load_study


def _decisions_of(expert: Study, consensus: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """What an expert's boxes say of fused boxes, as rows of the table ``decisions``.

    Parameters
    ----------
    expert : Study
        Annotations of one or more experts: each rater is a reviewer.
    consensus : DataFrame
        Fused boxes. At each place that an expert was asked for, a box is the true one of the fused
        box that it overlaps most, or of an object that nobody drew; fused boxes without one are
        nothing.

    Yields
    ------
    dict
        One row.
    """
    places = expert.asked()
    places = places[places["state"] != "opened"]
    places = places[stands_in(consensus, places, ["case"])]
    keys = [*PLACE, "rater"]
    drawn = {key: of[BOX].to_numpy() for key, of in expert.boxes.groupby(keys, sort=False)}
    fused = {key: of[BOX].to_numpy() for key, of in consensus.groupby(PLACE, sort=False)}
    none = np.zeros((0, 4))
    for key in places[keys].itertuples(index=False, name=None):
        own, known = drawn.get(key, none), fused.get(key[:3], none)
        base = dict(zip([*PLACE, "reviewer"], key, strict=True)) | {"unit": "box"}
        pairs = _paired(own, known)
        for place, box in enumerate(own):
            edges = dict(zip(BOX, box.tolist(), strict=True))
            yield {**base, **edges, "decision": "draw", "object": pairs.get(place)}
        for number in sorted(set(range(len(known))) - set(pairs.values())):
            yield {**base, "decision": "nothing", "object": number}


def _paired(own: Floats, known: Floats) -> dict[int, int]:
    """Place of a box -> number of the fused box that it is of."""
    good = np.flatnonzero(np.isfinite(known).all(axis=1))
    if not len(own) or not len(good):
        return {}
    overlap = pairwise_iou(own, known[good])
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    alone = len(own) == 1 == len(known)
    same = (overlap[rows, columns] >= SAME) | alone
    return {int(i): int(good[j]) for i, j in zip(rows[same], columns[same], strict=True)}


def add_expert(run: Run, expert: Study) -> int:
    """Add an expert's annotations to the decisions of a study.

    Parameters
    ----------
    run : Run
        The study; its fused boxes are brought up to date.
    expert : Study
        As of `_decisions_of`.

    Returns
    -------
    int
        How many rows were added.

    Raises
    ------
    InputError
        If the expert read nothing of the study, or the rows cannot be added.
    """
    PIPELINE.ensure("fuse", run)
    consensus = run.store.read("consensus")
    rows = list(_decisions_of(expert, consensus))
    if not rows:
        raise InputError(
            f"{run.config.file}: no case of the expert's annotations is one of this study. Names "
            f"of cases must be the same; here they are like '{consensus['case'].iloc[0]}'."
        )
    hash_of = place_hashes(
        load_study(run).boxes, pd.DataFrame(rows)[PLACE], iou=run.config.match.iou
    )
    more = {"time": time.time(), "version": crowdqc.__version__, "shown": "the expert's own folder"}
    for row in rows:
        row.update(more, inputs=hash_of((row["case"], row["slice"], row["label"])))
    append_decisions(decisions_file(run.config), rows)
    return len(rows)
