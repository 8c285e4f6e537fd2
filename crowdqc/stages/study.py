"""The study as `check` wrote it, matched and fused as the study file says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from crowdqc.assignments import owed_readings, read_assignments
from crowdqc.config import Config
from crowdqc.findings import Finding
from crowdqc.judge import Policy, load_policy
from crowdqc.schema import ReadingState, Study
from crowdqc.stages.base import Run

if TYPE_CHECKING:
    from crowdqc.matching import Matched

TABLES = ("images", "readings", "boxes")
_PLACE = ["case", "slice"]


def load_study(run: Run) -> Study:
    """The study as `check` wrote it, read once."""
    if "study" not in run.kept:
        run.kept["study"] = _read(run)
    study: Study = run.kept["study"]
    return study


def load_matched(run: Run) -> Matched:
    """The study of `load_study` with its boxes matched, as the study file says, matched once."""
    if "matched" not in run.kept:
        run.kept["matched"] = _match_study(load_study(run), run.config)
    matched: Matched = run.kept["matched"]
    return matched


def _read(run: Run) -> Study:
    config, readings = run.config, run.store.read("readings")
    # A box is traced to its line where nobody else's say more; these lines take gigabytes.
    lines = () if _read_by_one(readings) else ("source",)
    return Study(
        name=config.study.name,
        labels=config.label_names,
        images=run.store.read("images"),
        readings=readings,
        boxes=run.store.read("boxes", without=lines),
        rater_scope=config.annotations.rater_scope,
        single=frozenset(label.name for label in config.labels.values() if label.single),
    )


def _read_by_one(readings: pd.DataFrame) -> bool:
    """Whether a slice may have been read by one rater only, for some label."""
    counted = readings[readings["state"] != ReadingState.OPENED.value]
    return bool((counted["labels"] != "").any() or not counted.duplicated(_PLACE, keep=False).all())


def load_owed(run: Run) -> pd.DataFrame | None:
    """Readings that the assignments ask for; `None` where the study has none."""
    if "owed" not in run.kept:
        assignments = read_assignments(run.config)
        images = run.store.read("images")
        run.kept["owed"] = None if assignments is None else owed_readings(assignments, images)
    owed: pd.DataFrame | None = run.kept["owed"]
    return owed


def _match_study(study: Study, config: Config) -> Matched:
    """The study with its boxes matched, as the study file says."""
    from crowdqc.matching import match

    return match(study, iou=config.match.iou)


def calibrates(config: Config) -> bool:
    """Whether the boxes of ``[truth]`` correct the model of the raters."""
    return config.truth is not None and config.truth.calibrate


def fuse_options(config: Config) -> dict[str, Any]:
    """Arguments of `crowdqc.fusion.fuse` from the study file."""
    section = config.fuse
    return {
        "method": section.method,
        "quorum": section.quorum,
        "min_raters": section.min_raters,
        "probability": section.probability,
        "interpolate": section.interpolate,
        "whole_pixels": section.whole_pixels,
    }


def person(frame: pd.DataFrame, scope: str) -> pd.Series:
    """Name of the rater of each row as `raters.csv` has it.

    Parameters
    ----------
    frame : DataFrame
        With case and rater.
    scope : str
        ``"case"`` if raters of two cases are never the same, else ``"study"``.
    """
    return frame["case"] + "/" + frame["rater"] if scope == "case" else frame["rater"]


def write_findings(run: Run, stage: str, findings: Iterable[Finding]) -> list[Finding]:
    """Write the findings of a stage, each as grave as the policy says, and return them.

    Parameters
    ----------
    run : Run
        An opened study.
    stage : str
        Name of the stage.
    findings : iterable of Finding
        Of any severity.
    """
    weighed = policy_of(run.config).weigh(findings)
    run.store.write_findings(stage, weighed)
    return weighed


def policy_of(config: Config) -> Policy:
    """The policy that the study names, else the one that crowdqc ships."""
    named = config.gate.policy
    return load_policy(None if named is None else config.resolve(named))
