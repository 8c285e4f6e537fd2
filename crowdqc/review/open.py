"""From a study to the work of a reviewer."""

from __future__ import annotations

import pandas as pd

from crowdqc.decisions import graded_boxes, read_decisions, settled_masks
from crowdqc.findings import InputError
from crowdqc.review.queue import SAMPLES, make_queue
from crowdqc.review.session import Session
from crowdqc.review.study import StudyView
from crowdqc.schema import TABLES
from crowdqc.stages.base import Run
from crowdqc.stages.pipeline import PIPELINE


def open_review(
    run: Run,
    *,
    order: str,
    rater: str | None,
    reviewer: str,
    blind: bool = False,
    read_only: bool = False,
) -> Session:
    """Bring the fused boxes up to date, and read what is to be shown.

    Parameters
    ----------
    run : Run
        The study. Its folder of results is locked while it is read, and free afterwards.
    order, rater
        As of `crowdqc.review.queue.make_queue`.
    reviewer, blind, read_only
        As of `Session` and `StudyView`.

    Returns
    -------
    Session

    Raises
    ------
    InputError
        If there is nothing to ask, or the results cannot be read.
    """
    store = run.store
    store.claim()
    PIPELINE.ensure("fuse", run)
    view = StudyView(store, run.config, blind=blind)
    tables = {"consensus": view.consensus}
    tables |= {name: store.read(name) for name in _READ if name in TABLES and store.has(name)}
    if rater is not None:
        tables["boxes"] = store.read("boxes")
    if order in {"masks", "audit"}:
        tables["settled"] = _graded(view, tables["settled"] if order == "audit" else None)
    queue = make_queue(tables, order=order, rater=rater, seed=run.config.study.seed)
    store.release()
    if queue.empty:
        raise InputError(f"{run.config.file}: nothing is to be decided in this order.")
    sampled = order in SAMPLES
    return Session(view, queue, reviewer=reviewer, read_only=read_only, sampled=sampled)


def _graded(view: StudyView, settled: pd.DataFrame | None) -> pd.DataFrame:
    """What was decided of masks (with -1 for their object) and, beside `settled`, of boxes."""
    decisions = read_decisions(view.config)
    masks = settled_masks(decisions, lambda place: view.mask_hash(*place)).assign(object=-1)
    if settled is None:
        return masks
    boxes = graded_boxes(decisions, view.consensus, lambda place: view.inputs(*place))
    found = [table for table in (settled, boxes, masks) if len(table)]
    return pd.concat(found) if found else masks


_READ = ("settled", "risk", "audit")
