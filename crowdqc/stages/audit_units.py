"""Masks and fused boxes as units of an audit: which are accepted, and how experts graded them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.arrays import Floats
from crowdqc.audit import box_grades, fingerprint, same_boxes
from crowdqc.audit.boxes import BAD
from crowdqc.decisions import (
    decisions_file,
    graded_boxes,
    mask_inputs,
    read_decisions,
    settled_masks,
)
from crowdqc.decisions.standing import CHANGED, CONFLICT
from crowdqc.files import sha256
from crowdqc.fusion import REVIEW
from crowdqc.judge import USABLE, Decision
from crowdqc.judge.certificate import NEW
from crowdqc.risk import STATED_BOXES
from crowdqc.risk.calibration import BAD_DICE
from crowdqc.schema import BOX, empty, stands_in
from crowdqc.stages.audited import Audited
from crowdqc.stages.base import Run
from crowdqc.stages.mask_sets import mask_files
from crowdqc.stages.settled import place_hashes
from crowdqc.stages.study import fuse_options, load_study

_PLACE = ["case", "slice", "label"]
_KEY = [*_PLACE, "object"]
_SHAPE = ["area_mm2", "box_iou", "box_fill", "z_dice"]
_DRAWN = ("readings.csv", "boxes.csv")


def audited_masks(run: Run, risk: pd.DataFrame, decision: Decision) -> Audited:
    """The masks of the table ``risk`` that nothing rejects.

    Parameters
    ----------
    run : Run
        An opened study.
    risk : DataFrame
        The table ``risk``.
    decision : Decision
        Of the gate.
    """
    rejected = decision.fine.get("mask")
    own = risk.set_index(pd.Index([f"mask {k}" for k in range(len(risk))]))
    usable = decision.usable(own)
    if rejected is not None:
        bad = rejected[rejected["verdict"] == "reject"]
        usable &= ~stands_in(bad, risk, _PLACE)
    return Audited(
        "mask",
        risk.loc[usable, [*_PLACE, "risk"]].assign(object=0),
        _masks_fingerprint(run, risk),
        grades=lambda _, below: mask_grades(run, below=below).assign(object=0),
        known=lambda table, now: stands_in(table, now, _KEY),
        lapses=NEW,
    )


def audited_boxes(run: Run, decision: Decision) -> Audited:
    """The fused boxes that may be used.

    Those that experts settled are theirs, and are as they should be. What experts decide of others
    moves boxes a little: those that moved more than the audit allows for count as bad.

    Parameters
    ----------
    run : Run
        An opened study.
    decision : Decision
        Of the gate.
    """
    consensus = run.store.read("consensus")
    consensus["object"] = consensus.groupby(_PLACE, sort=False).cumcount()
    usable = consensus["state"].isin(USABLE).to_numpy() & decision.usable(consensus)
    boxes = consensus[usable]
    risk = STATED_BOXES.probability(boxes["wrong"].to_numpy(np.float64))
    return Audited(
        "box",
        boxes[[*_KEY, *BOX]].assign(risk=risk),
        _boxes_fingerprint(run),
        grades=lambda table, below: box_grades(table, _decided(run), graded_now(run), below=below),
        known=same_boxes,
        mended=boxes.loc[boxes["method"] == REVIEW, _KEY],
    )


def _decided(run: Run) -> pd.DataFrame:
    """What experts decided of the boxes as they are, as of `crowdqc.audit.box_grades`."""
    settled = run.store.read("settled")
    settled = settled[settled["state"] != CHANGED]
    return settled.assign(conflict=settled["state"] == CONFLICT)


def graded_now(run: Run, consensus: pd.DataFrame | None = None) -> pd.DataFrame:
    """How experts graded fused boxes, where raters have not drawn anew: `graded_boxes`.

    Parameters
    ----------
    run : Run
        An opened study.
    consensus : DataFrame, optional
        The table ``consensus``, where it was read.
    """
    decisions = read_decisions(run.config)
    given = decisions[(decisions["unit"] == "box") & (decisions["decision"] == "grade")]
    if given.empty:
        return graded_boxes(given, empty("consensus"), lambda _: "")
    objects = run.store.read("consensus") if consensus is None else consensus
    hash_of = place_hashes(load_study(run).boxes, given, iou=run.config.match.iou)
    graded = graded_boxes(decisions, objects, hash_of)
    return graded[graded["state"] != CHANGED]


def found_bad(run: Run, consensus: pd.DataFrame) -> Floats:
    """1 for each fused box that an expert graded as bad, else 0, (N,).

    Parameters
    ----------
    run : Run
        An opened study.
    consensus : DataFrame
        The table ``consensus``, N rows.
    """
    graded = graded_now(run, consensus)
    keys = consensus[_PLACE].assign(object=consensus.groupby(_PLACE, sort=False).cumcount())
    bad: Floats = stands_in(graded[graded["grade"] == BAD], keys, _KEY).astype(np.float64)
    return bad


def _boxes_fingerprint(run: Run) -> str:
    """Hash of what fused boxes are made from, but for the decisions of experts."""
    files = (f"{name} {sha256(run.store.path(name))}" for name in _DRAWN)
    options = repr(sorted({**fuse_options(run.config), "iou": run.config.match.iou}.items()))
    return fingerprint(pd.DataFrame(columns=_KEY), *files, options)


def mask_grades(run: Run, *, below: float) -> pd.DataFrame:
    """What experts found of each mask as it is: its key, ``bad, reviewers, dice``.

    Parameters
    ----------
    run : Run
    below : float
        A mask with a smaller Dice is bad, and so is one that was graded as bad.
    """
    decisions = read_decisions(run.config)
    settled = settled_masks(decisions, hash_of_masks(run))
    settled = settled[settled["state"] != CHANGED]
    bad = (settled["dice"] < below) | (settled["grade"] == BAD)
    return settled[[*_PLACE, "reviewers", "dice"]].assign(bad=bad.astype(float))


def with_grade(run: Run, risk: pd.DataFrame) -> pd.DataFrame:
    """The table ``risk`` with ``graded_bad``: 1 where an expert found a mask bad, else 0.

    Parameters
    ----------
    run : Run
        An opened study.
    risk : DataFrame
        The table ``risk``.
    """
    if not decisions_file(run.config).is_file():
        return risk.assign(graded_bad=0.0)
    grades = mask_grades(run, below=BAD_DICE)
    found = risk[_PLACE].merge(grades, on=_PLACE, how="left")["bad"].fillna(0.0)
    return risk.assign(graded_bad=found.to_numpy())


def _masks_fingerprint(run: Run, risk: pd.DataFrame) -> str:
    """Hash of the masks that are audited: of their files, else of what was measured of them."""
    units = risk.assign(object=0)
    files = mask_files(run, "filtered") if run.store.has("masks") else {}
    if files:
        return fingerprint(units, *(f"{case} {sha256(files[case])}" for case in sorted(files)))
    shape = units[[name for name in _SHAPE if name in units]]
    return fingerprint(units, shape.to_csv(index=False, float_format="%.6g"))


def hash_of_masks(run: Run) -> Callable[[tuple[str, int, str]], str]:
    """Function that gives the hash of the mask at a place, as `crowdqc.decisions.mask_inputs`."""
    from crowdqc.volumes import read_labels, to_pictures

    config = run.config
    files = mask_files(run, "filtered") if run.store.has("masks") else {}
    values = {label.name: label.value for label in config.labels.values()}

    @functools.lru_cache(maxsize=4)
    def pictures(case: str) -> NDArray[Any]:
        labels, _ = read_labels(files[case], plane=config.images.plane)
        return to_pictures(labels, config.images.picture)

    def hash_of(place: tuple[str, int, str]) -> str:
        case, k, label = place
        if case not in files or label not in values or k >= len(pictures(case)):
            return ""
        return mask_inputs(pictures(case)[k] == values[label])

    return hash_of
