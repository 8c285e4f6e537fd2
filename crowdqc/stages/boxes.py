"""Stages on boxes alone: check, agree, fuse, complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.completeness import Orientation, assess, todo
from crowdqc.completeness.slices import in_ranges
from crowdqc.config import Config
from crowdqc.findings import Finding, Severity
from crowdqc.formats import read_gold, read_study
from crowdqc.formats.patterns import find, has
from crowdqc.judge import USABLE, Policy, judge_raters, load_policy, rater_runs
from crowdqc.matching import Matched, match
from crowdqc.schema import Study
from crowdqc.stages.base import Result, Run, worst
from crowdqc.stages.images import geometries, known_images

TABLES = ("images", "readings", "boxes")
STATES = ("complete", "partial", "missing", "unread")
RATERS_SHOWN = [
    "rater",
    "n_boxes",
    "agreement",
    "reliability",
    "miss_rate",
    "extra_rate",
    "verdict",
]
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


def person(frame: pd.DataFrame, scope: str) -> pd.Series:
    """Name of the rater of each row as `raters.csv` has it."""
    return frame["case"] + "/" + frame["rater"] if scope == "case" else frame["rater"]


def policy_of(config: Config) -> Policy:
    """The policy that the study names, else the one that crowdqc ships."""
    named = config.gate.policy
    return load_policy(None if named is None else config.resolve(named))


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
        "whole_pixels": section.whole_pixels,
    }


def _with_slices(images: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """`images` with a row for every place: one that nobody opened is like its case."""
    new = places.merge(images[["case", "slice"]], how="left", indicator=True)
    new = new.loc[new["_merge"] == "left_only", ["case", "slice"]]
    alike = images.drop_duplicates("case").drop(columns=["slice", "path"])
    return pd.concat([images, new.merge(alike, on="case")], ignore_index=True)


def _write_consensus(run: Run, study: Study, consensus: pd.DataFrame) -> list[str]:
    """YOLO files of the usable boxes, in the layout of the input; other formats have none."""
    from crowdqc.formats.slices import write_slices

    annotations = run.config.annotations
    if annotations.format != "yolo":
        return []
    usable = consensus[consensus["state"].isin(USABLE)]
    places = pd.concat([study.readings, usable])[["case", "slice"]].drop_duplicates()
    fused = Study(
        name=study.name,
        labels=study.labels,
        images=_with_slices(study.images, places),
        readings=places.assign(rater="consensus", state=""),
        boxes=usable.assign(rater="consensus", box=np.arange(len(usable))),
    )
    name = _consensus_pattern(annotations.path)
    name = name.replace("{slice}", f"{{slice:0{_slice_digits(run.config)}d}}")
    ids = {label.name: key for key, label in run.config.labels.items()}
    with run.store.new_folder("consensus") as folder:
        write_slices(fused, folder, ids=ids, pattern=name)
    return ["consensus"]


def _consensus_pattern(path: str) -> str:
    """The pattern of the input from the part on that names case or slice, without raters' folders.

    Examples
    --------
    >>> _consensus_pattern("boxes/{rater}/{case}/slice{slice}.txt")
    '{case}/slice{slice}.txt'
    """
    if not has(path, "slice"):
        return "{case}-{slice}.txt"
    parts = Path(path).parts
    first = next(k for k, part in enumerate(parts) if has(part, "case") or has(part, "slice"))
    return "/".join(part for part in parts[first:] if part != "{rater}")


def _slice_digits(config: Config) -> int:
    """Digits to which slices are padded in the names of the files; 1 where they are not."""
    found = find(config.resolve(config.annotations.path)).files
    digits = {len(one.fields.get("slice", "0")) for one in found}
    return digits.pop() if len(digits) == 1 else 1


def agree(run: Run) -> Result:
    """Measure agreement, and score each rater."""
    from crowdqc.agreement import Resampling, assess_raters

    config = run.config
    section = config.agree
    gold, bad = read_gold(config, known_images(config))
    study = load_study(run)
    runs = run.store.read("completeness")
    runs = rater_runs(runs.assign(rater=person(runs, study.rater_scope)))
    result = assess_raters(
        match_study(study, config),
        gold=gold,
        iou=section.iou,
        limits=section.limits,
        resampling=Resampling(n=section.bootstrap, level=section.level, seed=config.study.seed),
    )
    raters = judge_raters(result, policy_of(config), runs=runs)
    findings = [*bad, *result.findings]
    run.store.write("measurements", result.measurements)
    run.store.write("raters", raters)
    run.store.write_findings("agree", findings)
    failed = raters.loc[raters["verdict"] == "fail", "rater"]
    return Result(
        table=raters,
        shown=raters[RATERS_SHOWN].rename(columns={"reliability": "reliable"}),
        summary=f"{len(failed)} of {len(raters)} raters fail: {' '.join(failed) or 'none'}.",
        files=["measurements.csv", "raters.csv", "agree.findings.jsonl"],
        findings=findings,
    )


def complete(run: Run) -> Result:
    """Find what is missing, and write the worklist."""
    table, findings = assess(load_study(run), orientation=_orientation(run.config))
    tasks = todo(table, findings)
    run.store.write("completeness", table)
    run.store.write_findings("complete", findings)
    run.store.write("todo", tasks)
    states = table["state"].value_counts()
    counts = ", ".join(f"{states.get(name, 0)} {name}" for name in STATES)
    shown = table.loc[table["state"] != "complete", COMPLETENESS_SHOWN]
    shown = shown.assign(gap_slices=shown["gap_slices"].map(in_ranges))
    return Result(
        table=table,
        shown=shown,
        summary=f"Runs (case x label x rater): {counts}; {table['n_gaps'].sum()} gaps; "
        f"{len(tasks)} tasks in todo.csv.",
        files=["completeness.csv", "complete.findings.jsonl", "todo.csv"],
        findings=findings,
    )


def _orientation(config: Config) -> Orientation | None:
    """Sides of the labels and of the pictures, where the study file gives both."""
    sides = {label.name: label.side for label in config.labels.values() if label.side}
    found = geometries(config) if sides else {}
    if not found:
        return None
    picture = config.images.picture
    axes = {case: geometry.picture_axes(picture)[0] for case, geometry in found.items()}
    return Orientation(sides, axes)
