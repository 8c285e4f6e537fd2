"""What reviewers settled, for the stages that obey it, and what of it cannot be obeyed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.crowd import median_boxes
from crowdqc.decisions import (
    FILE,
    box_inputs,
    decisions_file,
    hash_of_box_rows,
    read_decisions,
    reviewer_agreement,
    settled_boxes,
)
from crowdqc.decisions.standing import CHANGED, CONFLICT
from crowdqc.findings import Finding
from crowdqc.matching import Matched
from crowdqc.schema import BOX, PLACE, Study
from crowdqc.stages.base import Run
from crowdqc.stages.study import load_matched, load_study

_TOLERANCE = 0.01
"""How far beyond its image a box may reach, in px: what rounding does."""

_REFUSED = {
    "decision-unplaced": "the study has no such slice or label; mend the row, or take it back",
    "decision-outside": "the decided box reaches beyond the image; decide again",
}
"""Check -> what is to be done about a decision that has no place."""


def decision_files(config: Config) -> list[Path]:
    """The file of decisions, as an input of stages; it need not be there."""
    return [decisions_file(config)]


def box_decisions(config: Config) -> str:
    """Hash of what was decided on boxes."""
    return hash_of_box_rows(config)


def load_settled(run: Run) -> pd.DataFrame:
    """The table ``settled``, made once."""
    if "settled" not in run.kept:
        run.kept["settled"] = _settled(run)
    settled: pd.DataFrame = run.kept["settled"][0]
    return settled


def settled_findings(run: Run) -> list[Finding]:
    """Decisions that are not obeyed, and why."""
    settled = load_settled(run)
    findings: list[Finding] = list(run.kept["settled"][1])
    for state, check, text in (
        (CONFLICT, "decision-conflict", "{} decided differently; one of them must decide again"),
        (CHANGED, "decision-outdated", "{} decided on other boxes than those of now; decide again"),
    ):
        rows = settled[settled["state"] == state]
        findings += [
            Finding(
                check=check,
                message=text.format(row.reviewers) + ": crowdqc review.",
                case=row.case,
                slice=row.slice,
                label=row.label,
            )
            for row in rows.itertuples()
        ]
    return findings


def agreement_of_reviewers(run: Run) -> str:
    """How far reviewers who decided on the same agree, in a sentence; "" where there are none."""
    load_settled(run)
    rows = run.kept["settled"][2].itertuples()
    pairs = [f"{r.reviewer} and {r.other} agree on {r.agreed:.0%} of {r.n:,}" for r in rows]
    return f" {'; '.join(pairs)}." if pairs else ""


def _settled(run: Run) -> tuple[pd.DataFrame, list[Finding], pd.DataFrame]:
    decisions, matched = read_decisions(run.config), load_matched(run)
    known, findings = _placed(decisions, load_study(run))
    objects = _object_boxes(matched)
    hash_of = place_hashes(matched.study.boxes, known, iou=run.config.match.iou)
    agreed = reviewer_agreement(known, objects)
    return settled_boxes(known, objects, hash_of), findings, agreed


def _object_boxes(matched: Matched) -> pd.DataFrame:
    """``case, slice, label, x0, y0, x1, y1`` of all objects: medians of what was drawn."""
    boxes = matched.boxes
    median = median_boxes(boxes[BOX].to_numpy(), boxes["object"].to_numpy(), len(matched.objects))
    return matched.objects[PLACE].assign(**dict(zip(BOX, median.T, strict=True)))


def place_hashes(
    boxes: pd.DataFrame, places: pd.DataFrame, *, iou: float
) -> Callable[[tuple[str, int, str]], str]:
    """Function that gives the hash of what raters drew at one of some places.

    Parameters
    ----------
    boxes : DataFrame
        Of all raters.
    places : DataFrame
        Case, slice and label; may name a place more than once.
    iou : float
        As of the matching.
    """
    near = boxes.merge(places[PLACE].drop_duplicates(), on=PLACE)
    found = {place: box_inputs(group, iou=iou) for place, group in near.groupby(PLACE, sort=False)}
    nothing = box_inputs(boxes.iloc[:0], iou=iou)
    return lambda place: found.get(place, nothing)


def _placed(decisions: pd.DataFrame, study: Study) -> tuple[pd.DataFrame, list[Finding]]:
    """Decisions on boxes that have a place in the study, and findings about the others."""
    boxes = decisions[decisions["unit"] == "box"]
    case = study.images.groupby("case").agg(
        first=("slice", "min"),
        last=("slice", "max"),
        width=("width", "max"),
        height=("height", "max"),
    )
    case = case.reindex(boxes["case"])
    within = boxes["slice"].between(case["first"].to_numpy(), case["last"].to_numpy())
    placed = within & boxes["label"].isin(study.labels)
    most = case[["width", "height"]].to_numpy(np.float64) + _TOLERANCE
    low, high = boxes[BOX[:2]].to_numpy(), boxes[BOX[2:]].to_numpy()
    beyond = placed & ((low < -_TOLERANCE).any(axis=1) | (high > most).any(axis=1))
    findings = [
        Finding(
            check=check,
            message=_REFUSED[check],
            case=row.case,
            slice=row.slice,
            label=row.label,
            source=f"{FILE}:{row.line}",
        )
        for check, rows in (("decision-unplaced", ~placed), ("decision-outside", beyond))
        for row in boxes[rows].itertuples()
    ]
    return boxes[placed & ~beyond], findings
