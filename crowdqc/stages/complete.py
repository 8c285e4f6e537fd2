"""The stage `complete`: find what is missing, and write the worklist."""

from __future__ import annotations

from crowdqc.completeness import Orientation, assess, todo
from crowdqc.completeness.slices import in_ranges
from crowdqc.config import Config
from crowdqc.judge.text import checks_in_words
from crowdqc.stages.base import Result, Run
from crowdqc.stages.images import geometries
from crowdqc.stages.shown import load_shown
from crowdqc.stages.study import load_owed, load_study, write_findings
from crowdqc.text import count

STATES = ("complete", "partial", "missing", "absent", "unread")
COMPLETENESS_SHOWN = ["case", "label", "rater", "state", "n_slices", "gap_slices", "truncated"]


def complete(run: Run) -> Result:
    """Find what is missing, and write the worklist."""
    table, findings = assess(
        load_study(run),
        orientation=_orientation(run.config),
        owed=load_owed(run),
        shown=load_shown(run.config),
    )
    findings = write_findings(run, "complete", findings)
    tasks = todo(table, findings)
    run.store.write("completeness", table)
    run.store.write("todo", tasks)
    run.store.begin("gate")  # which adds to the work list: it has to run again
    states = table["state"].value_counts()
    counts = ", ".join(f"{states.get(name, 0)} {name}" for name in STATES)
    shown = table.loc[~table["state"].isin(["complete", "absent"]), COMPLETENESS_SHOWN]
    shown = shown.assign(gap_slices=shown["gap_slices"].map(in_ranges))
    return Result(
        table=table,
        shown=shown,
        summary=f"Runs (case x label x rater): {counts}; "
        f"{count(int(table['n_gaps'].sum()), 'gap')}; {count(len(tasks), 'task')} in todo.csv.",
        files=["completeness.csv", "complete.findings.jsonl", "todo.csv"],
        findings=findings,
    )


def work_list(run: Run) -> Result:
    """What each rater has to do again."""
    tasks = run.store.read("todo")
    return Result(
        table=tasks,
        shown=tasks.assign(why=tasks["why"].map(checks_in_words)),
        summary=f"{count(len(tasks), 'task')} of {count(tasks['rater'].nunique(), 'rater')}.",
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
