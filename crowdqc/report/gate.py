"""Gate: what the policy lets through, what it leaves out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crowdqc.findings import Where
from crowdqc.report.audit import audit_table
from crowdqc.report.content import ReportSection, Table, TableColumn
from crowdqc.report.raters import reasons_of, verdict_of
from crowdqc.report.results import Results
from crowdqc.report.text import listing, readable, reason_sentences, share

MAX_ROWS = 300

COLUMNS = (
    TableColumn("kind", "What", "text"),
    TableColumn("name", "Which", "name"),
    TableColumn(
        "verdict", "Verdict", "verdict", note="reject: not used; review: somebody should look first"
    ),
    TableColumn("reasons", "Why", "reasons"),
)


@dataclass(frozen=True)
class VerdictRow:
    """Something that has a verdict."""

    kind: str
    name: str
    status: str
    reasons: tuple[str, ...]
    inside: str = ""
    """Case that it is a part of."""


@dataclass(frozen=True)
class Flow:
    """How much of one kind is there before the gate, and how much passes."""

    noun: str
    before: int
    after: int
    review: int


def gate_section(results: Results) -> ReportSection:
    """The section on the gate."""
    if not results.manifest:
        return ReportSection("gate", "Gate", missing="gate")
    entries = _entries(results)
    flows = _flows(results)
    verdict = verdict_of(results.manifest)
    return ReportSection(
        "gate",
        "Gate",
        lead=tuple(_lead(verdict, flows)),
        tables=tuple(
            t for t in (_excluded(entries), audit_table(results), _policy(results)) if t.rows
        ),
        status=verdict,
        view=tuple(flows),
    )


def _lead(verdict: str, flows: list[Flow]) -> list[str]:
    texts = {
        "accept": "The gate accepts the study.",
        "review": "Somebody should review the study before it is used.",
        "reject": "The gate rejects the study.",
    }
    lead = [texts.get(verdict, "The gate gave no verdict.")]
    kept = [f"{share(flow.after, flow.before, flow.noun)}" for flow in flows if flow.before]
    if kept:
        lead.append(f"Used as they are: {listing(kept, 6)}.")
    return lead


def _entries(results: Results) -> list[VerdictRow]:
    """All that has a verdict: raters, cases, organs of cases."""
    raters, cases = (results.manifest.get(kind) or [] for kind in ("raters", "cases"))
    found = [
        _entry("rater", str(entry["rater"]), entry, unit=Where(rater=entry["rater"]))
        for entry in raters
    ]
    for entry in cases:
        case = str(entry["case"])
        found.append(_entry("case", case, entry, unit=Where(case=case)))
        for label, part in (entry.get("labels") or {}).items():
            unit = Where(case=case, label=label)
            found.append(
                _entry("organ", f"{case}, {readable(label)}", part, unit=unit, inside=case)
            )
    return found


def _entry(
    kind: str, name: str, entry: Mapping[str, Any], *, unit: Where, inside: str = ""
) -> VerdictRow:
    return VerdictRow(
        kind, name, verdict_of(entry), reason_sentences(reasons_of(entry), unit), inside
    )


def _flows(results: Results) -> list[Flow]:
    entries = _entries(results)
    flows = []
    for kind, noun in (("rater", "rater"), ("case", "case"), ("organ", "organ run")):
        statuses = [entry.status for entry in entries if entry.kind == kind]
        if statuses:
            accepted, review = statuses.count("accept"), statuses.count("review")
            flows.append(Flow(noun, len(statuses), accepted, review))
    usable = results.n_prompts
    if usable is not None and results.has("consensus"):
        flows.append(Flow("fused box", len(results.table("consensus")), usable, 0))
    return flows


def _excluded(entries: list[VerdictRow]) -> Table:
    """Raters and cases that do not pass; an organ only where its case does."""
    bad = [entry for entry in entries if entry.status != "accept"]
    cases = {entry.name for entry in bad if entry.kind == "case"}
    rows = [entry for entry in bad if entry.inside not in cases]
    rows.sort(key=lambda entry: entry.status != "reject")
    return Table(
        "gate",
        "What is not used as it is, and why",
        COLUMNS,
        tuple((e.kind, e.name, e.status, e.reasons) for e in rows[:MAX_ROWS]),
        n_left_out=max(len(rows) - MAX_ROWS, 0),
        search=len(rows) > 8,
        choose="kind",
    )


def _policy(results: Results) -> Table:
    """The rules that were asked, as far as the manifest lists them."""
    policy = results.manifest.get("policy")
    rules = policy.get("rules") if isinstance(policy, dict) else None
    rules = [rule for rule in rules or [] if isinstance(rule, dict)]
    names = list(dict.fromkeys(name for rule in rules for name in rule))
    columns = tuple(TableColumn(name, name.capitalize(), "text") for name in names)
    rows = tuple(tuple(_value(rule.get(name, "")) for name in names) for rule in rules)
    return Table("policy", "The policy: every rule that was asked", columns, rows)


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def kept(results: Results, noun: str) -> Flow | None:
    """How many of a kind pass.

    Parameters
    ----------
    results : Results
        With a manifest.
    noun : str
        In the singular: ``"case"``, ``"rater"``, ``"box"``.

    Returns
    -------
    Flow or None
        `None` if there are none of the kind.
    """
    return next((flow for flow in _flows(results) if flow.noun == noun), None)
