"""Findings and provenance: everything that was noticed, and what the report was made from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import crowdqc
from crowdqc.catalogue import STAGES
from crowdqc.findings import Severity
from crowdqc.judge.text import message
from crowdqc.report.content import PAGE, ReportSection, Table, TableColumn
from crowdqc.report.results import Results, StageFinding
from crowdqc.report.text import file_size, listing
from crowdqc.text import count

MAX_FINDINGS = 5000

COLUMNS = (
    TableColumn("severity", "Severity", "severity"),
    TableColumn("check", "Check", "name"),
    TableColumn("message", "What was found", "text"),
    TableColumn("case", "Case", "name"),
    TableColumn("slice", "Slice", "text"),
    TableColumn("rater", "Rater", "name"),
    TableColumn("label", "Organ", "name"),
    TableColumn("source", "File", "text"),
)


@dataclass(frozen=True)
class CheckCount:
    """Findings of one check: how bad at worst, and how many."""

    check: str
    severity: str
    n: int


def findings_section(results: Results) -> ReportSection:
    """The section with all findings."""
    if not any(stage in results.stages for stage in STAGES) and not results.findings:
        return ReportSection("findings", "Findings", missing="check")
    ranked = sorted(results.findings, key=lambda found: -found.finding.severity.rank)
    severities = Counter(str(found.finding.severity) for found in ranked)
    return ReportSection(
        "findings",
        "Findings",
        lead=tuple(_lead(severities)),
        tables=(_table(ranked),) if ranked else (),
        status=next((s for s in ("reject", "review") if severities[s]), "accept"),
        view=tuple(_groups(ranked)),
    )


def _lead(severities: Counter[str]) -> list[str]:
    if not severities:
        return ["Nothing was found."]
    words = {"reject": "to correct", "review": "to review", "note": "for information"}
    parts = [f"{severities[s]:,} {word}" for s, word in words.items() if severities[s]]
    return [f"{count(severities.total(), 'finding')}: {listing(parts)}."]


def _groups(ranked: list[StageFinding]) -> list[CheckCount]:
    numbers = Counter(found.finding.check for found in ranked)
    worst: dict[str, Severity] = {}
    for found in ranked:
        worst.setdefault(found.finding.check, found.finding.severity)
    return [CheckCount(check, str(worst[check]), numbers[check]) for check in worst]


def _table(ranked: list[StageFinding]) -> Table:
    rows = []
    for found in ranked[:MAX_FINDINGS]:
        f = found.finding
        place = "" if f.slice is None else str(f.slice)
        texts = (f.case or "", place, f.rater or "", f.label or "", f.source or "")
        rows.append((str(f.severity), f.check, message(f, f.where), *texts))
    return Table(
        "findings",
        "All findings, the worst first",
        COLUMNS,
        tuple(rows),
        n_left_out=max(len(ranked) - MAX_FINDINGS, 0),
        search=True,
        paged=len(rows) > PAGE,
        choose="severity",
    )


def provenance_section(results: Results) -> ReportSection:
    """The section that says what the report was made from, and how to make it again."""
    commands = [f"crowdqc {STAGES[stage].command} STUDY.toml" for stage in results.stages]
    versions = (
        f"Results were written by crowdqc {results.version}; this page by crowdqc "
        f"{crowdqc.__version__}."
    )
    promise = (
        "The page holds no path of the machine that it was made on, loads nothing from a network, "
        "and shows numbers that the stages wrote; it computes none."
    )
    return ReportSection(
        "provenance",
        "Provenance",
        lead=(versions, promise),
        tables=tuple(table for table in (_files(results), _inputs(results)) if table.rows),
        view=(*commands, "crowdqc report STUDY.toml"),
    )


def _files(results: Results) -> Table:
    return Table(
        "files",
        "Files of the results that this report was made from",
        (
            TableColumn("name", "File", "name"),
            TableColumn("size", "Size", "text"),
            TableColumn("sha256", "SHA-256", "hash"),
        ),
        tuple((file.name, file_size(file.size), file.sha256) for file in results.files),
    )


def _inputs(results: Results) -> Table:
    sources = results.manifest.get("created_from") or {}
    return Table(
        "inputs",
        "Files that the gate judged",
        (TableColumn("name", "File", "name"), TableColumn("sha256", "SHA-256", "hash")),
        tuple((str(name), str(digest)) for name, digest in sources.items()),
    )
