"""The stage `check`: read and validate the annotations."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pandas as pd

from crowdqc.assignments import owed_readings, read_assignments
from crowdqc.assignments.owed import contradictions
from crowdqc.findings import Finding, Severity
from crowdqc.formats import merge_rounds, read_rounds, with_labels_asked
from crowdqc.judge.text import in_few_words
from crowdqc.packages.sent import returned_rounds
from crowdqc.stages.base import Result, Run, worst
from crowdqc.stages.images import known_images, volume_findings
from crowdqc.stages.study import TABLES, write_findings
from crowdqc.stages.truth import truth_findings
from crowdqc.stages.turned import turn_findings
from crowdqc.text import count


def check(run: Run) -> Result:
    """Read and validate the annotations."""
    config = run.config
    known, assignments = known_images(config), read_assignments(config)
    owed = None if assignments is None else partial(owed_readings, assignments)
    rounds, findings = read_rounds(config, known, owed=owed)
    rounds += returned_rounds(config, rounds[0].study)
    study, superseded = merge_rounds(sorted(rounds, key=lambda one: one.number))
    study, inferred = with_labels_asked(study, config, owed=owed)
    findings += inferred
    if assignments is not None:
        findings += contradictions(assignments, study, has_images=known is not None)
    findings += [*volume_findings(config), *turn_findings(config, study), *truth_findings(config)]
    findings = write_findings(run, "check", findings)
    tables = {table: getattr(study, table) for table in (*TABLES, "points")}
    tables["superseded"] = superseded
    for table, frame in tables.items():
        run.store.write(table, frame)
    rejects = sum(finding.severity is Severity.REJECT for finding in findings)
    points = f" and {count(len(study.points), 'point')}" if len(study.points) else ""
    summary = (
        f"{count(len(study.boxes), 'box')}{points} of {count(len(study.raters), 'rater')} in "
        f"{count(len(study.readings), 'reading')} of {count(len(study.cases), 'case')}; "
        f"{count(len(findings), 'finding')}{f', of which {rejects:,} reject' if rejects else ''}."
    )
    return Result(
        table=findings_table(findings),
        shown=_summarise(findings),
        summary=summary,
        files=[*(f"{table}.csv" for table in tables), "findings.jsonl"],
        verdict=worst(findings),
        findings=findings,
    )


def findings_table(findings: list[Finding]) -> pd.DataFrame:
    """One row per finding."""
    columns = ["check", "severity", "case", "slice", "rater", "label", "source", "message"]
    rows = [[getattr(finding, column) for column in columns] for finding in findings]
    return pd.DataFrame(rows, columns=columns).astype({"slice": "Int64"})


def _summarise(findings: list[Finding]) -> pd.DataFrame:
    """One row per severity and check, worst first: how many there are, and where the first is."""
    counts = Counter((finding.severity, finding.check) for finding in findings)
    first = {(finding.severity, finding.check): finding for finding in reversed(findings)}
    rows = [
        (severity.value, check, n, *in_few_words(first[severity, check]))
        for (severity, check), n in sorted(counts.items(), key=lambda item: -item[0][0].rank)
    ]
    return pd.DataFrame(rows, columns=["severity", "check", "n", "what", "first"])
