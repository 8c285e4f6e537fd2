"""Stages on boxes alone: check, agree, fuse, complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.completeness import Orientation, assess
from crowdqc.config import Config
from crowdqc.findings import Finding, Severity
from crowdqc.matching import Matched, match
from crowdqc.readers import read_study, read_truth_boxes
from crowdqc.readers.patterns import has
from crowdqc.schema import Study
from crowdqc.stages.base import Result, Run, worst
from crowdqc.stages.images import geometries, known_images

TABLES = ("images", "readings", "boxes")
USABLE = ["agreed", "single"]
"""States of a fused box that may be used."""
STATES = ("complete", "partial", "missing", "unread")
COMPLETENESS_SHOWN = ["case", "label", "rater", "state", "n_slices", "gap_slices", "truncated"]


def check(run: Run) -> Result:
    """Read and validate the annotations."""
    study, findings = read_study(run.config, known_images(run.config))
    for table in TABLES:
        run.store.write(table, getattr(study, table))
    run.store.write_findings("check", findings)
    rejects = sum(finding.severity is Severity.REJECT for finding in findings)
    summary = (
        f"{len(study.boxes)} boxes of {len(study.raters)} raters in {len(study.readings)} readings "
        f"of {len(study.cases)} cases; {rejects} of {len(findings)} findings reject."
    )
    return Result(
        table=findings_table(findings),
        shown=summarise(findings),
        summary=summary,
        files=[*(f"{table}.csv" for table in TABLES), "findings.jsonl"],
        verdict=worst(findings),
        findings=findings,
    )


def load_study(run: Run) -> Study:
    """The study as `check` wrote it."""
    config = run.config
    return Study(
        name=config.study.name,
        labels=config.label_names,
        **{table: run.store.read(table) for table in TABLES},
        rater_scope=config.annotations.rater_scope,
        single=frozenset(label.name for label in config.labels.values() if label.single),
    )


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """One row per finding."""
    columns = ["check", "severity", "case", "slice", "rater", "label", "source", "message"]
    rows = [[getattr(finding, column) for column in columns] for finding in findings]
    return pd.DataFrame(rows, columns=columns)


def summarise(findings: list[Finding]) -> pd.DataFrame:
    """One row per severity and check, worst first: how many there are, and the first of them."""
    rows: dict[tuple[str, str], list[object]] = {}
    for finding in sorted(findings, key=lambda f: -f.severity.rank):
        key = (finding.severity.value, finding.check)
        rows.setdefault(key, [*key, 0, finding.message.partition(". ")[0]])
        rows[key][2] = int(str(rows[key][2])) + 1
    return pd.DataFrame(list(rows.values()), columns=["severity", "check", "n", "first"])


def fuse(run: Run) -> Result:
    """Fuse the raters' boxes into one box per object."""
    from crowdqc.fusion import fuse as fuse_boxes

    config = run.config
    study = load_study(run)
    consensus = fuse_boxes(match_study(study, config), **fuse_options(config))
    run.store.write("consensus", consensus)
    files = ["consensus.csv", *_write_consensus(run, study, consensus)]
    counts = consensus.groupby(["label", "state"]).agg(n=("score", "size"), score=("score", "mean"))
    usable = int(consensus["state"].isin(USABLE).sum())
    summary = (
        f"{usable} of {len(consensus)} objects have a box that may be used "
        f"(method {config.fuse.method})."
    )
    return Result(table=consensus, shown=counts.reset_index(), summary=summary, files=files)


def match_study(study: Study, config: Config) -> Matched:
    """The study with its boxes matched, as the study file says."""
    return match(study, iou=config.match.iou)


def fuse_options(config: Config) -> dict[str, Any]:
    """Arguments of `crowdqc.fusion.fuse` from the study file."""
    section = config.fuse
    return {
        "method": section.method,
        "quorum": section.quorum,
        "min_raters": section.min_raters,
        "probability": section.probability,
        "interpolate": section.interpolate,
    }


def _write_consensus(run: Run, study: Study, consensus: pd.DataFrame) -> list[str]:
    """YOLO files of the usable boxes, in the layout of the input; other formats have none."""
    from crowdqc.simulate import write_yolo

    annotations = run.config.annotations
    if annotations.format != "yolo":
        return []
    usable = consensus[consensus["state"].isin(USABLE)]
    places = pd.concat([study.readings, usable])[["case", "slice"]].drop_duplicates()
    fused = Study(
        name=study.name,
        labels=study.labels,
        images=study.images,
        readings=places.assign(rater="consensus", state=""),
        boxes=usable.assign(rater="consensus", box=np.arange(len(usable))),
    )
    name = Path(annotations.path).name if has(annotations.path, "slice") else "{case}-{slice}.txt"
    ids = {label.name: key for key, label in run.config.labels.items()}
    with run.store.new_folder("consensus") as folder:
        write_yolo(fused, folder, ids=ids, pattern=name)
    return ["consensus"]


def agree(run: Run) -> Result:
    """Measure agreement, and score each rater."""
    from crowdqc.agreement import Resampling, assess_raters

    config = run.config
    matched = match_study(load_study(run), config)
    resampling = Resampling(
        n=config.agree.bootstrap, level=config.agree.level, seed=config.study.seed
    )
    assessed = assess_raters(
        matched,
        gold=_gold_boxes(config),
        resampling=resampling,
        limits=config.agree.limits,
        iou=config.agree.iou,
    )
    raters = assessed.raters
    run.store.write("measurements", assessed.measurements)
    run.store.write("raters", raters)
    run.store.write_findings("agree", assessed.findings)
    failed = raters.loc[raters["verdict"] == "fail", "rater"].tolist()
    summary = f"{len(failed)} of {len(raters)} raters fail{': ' if failed else '.'}"
    shown = raters[["rater", "n_boxes", "agreement", "reliability", "miss_rate", "extra_rate"]]
    return Result(
        table=raters,
        shown=shown.assign(verdict=raters["verdict"]),
        summary=summary + " ".join(failed),
        files=["measurements.csv", "raters.csv", "agree.findings.jsonl"],
        findings=assessed.findings,
    )


def _gold_boxes(config: Config) -> pd.DataFrame | None:
    """Boxes that count as the truth, where the study has a table of them."""
    if config.truth is None or config.truth.boxes is None:
        return None
    return read_truth_boxes(config)[0]


def _orientation(config: Config) -> Orientation:
    """Sides of the labels, and how the patient lies in the pictures of each case."""
    axes = {
        case: geometry.picture_axes(config.images.picture)[0]
        for case, geometry in geometries(config).items()
    }
    sides = {label.name: label.side for label in config.labels.values() if label.side}
    return Orientation(sides=sides, x_axis=axes)


def complete(run: Run) -> Result:
    """Find what is missing."""
    table, findings = assess(load_study(run), orientation=_orientation(run.config))
    run.store.write("completeness", table)
    run.store.write_findings("complete", findings)
    states = table["state"].value_counts()
    counts = ", ".join(f"{states.get(name, 0)} {name}" for name in STATES)
    shown = table.loc[table["state"] != "complete", COMPLETENESS_SHOWN]
    return Result(
        table=table,
        shown=shown,
        summary=f"Runs (case x label x rater): {counts}; {table['n_gaps'].sum()} gaps.",
        files=["completeness.csv", "complete.findings.jsonl"],
        findings=findings,
    )
