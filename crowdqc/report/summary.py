"""The top of the report: the verdict and the key figures."""

from __future__ import annotations

import pandas as pd

from crowdqc.report.agreement import interval_name
from crowdqc.report.audit import audit_fact
from crowdqc.report.columns import measure_title
from crowdqc.report.content import Fact
from crowdqc.report.gate import Flow, kept
from crowdqc.report.raters import compared, verdict_of, verdicts
from crowdqc.report.results import Results
from crowdqc.report.text import listing, number, share
from crowdqc.text import capitalised, count

_HEADLINES = {
    "accept": "Accepted: ready for training",
    "review": "To review before training",
    "reject": "Rejected: not ready for training",
    "": "Not judged yet",
}


def verdict(results: Results) -> str:
    """The gate's verdict: ``accept``, ``review``, ``reject``, or "" where it was not asked."""
    return verdict_of(results.manifest)


def headline(results: Results) -> str:
    """The verdict in a few words."""
    return _HEADLINES[verdict(results)]


def lead(results: Results) -> str:
    """The verdict in a sentence."""
    if not results.manifest:
        return "The gate has not been run on this study: what follows is measured, not judged."
    flows = [kept(results, noun) for noun in ("rater", "case")]
    comparable = compared(results)
    counted = [flow for flow in flows if flow and (flow.noun == "case" or comparable)]
    accepted = listing([_share(flow) for flow in counted])
    few = sum(max(flow.after, 1) for flow in counted) < 2
    verb = "is" if few or not any(flow.after for flow in counted) else "are"
    text = f"{accepted} {verb} accepted" if accepted else "the gate was run"
    if not comparable and results.has("raters"):
        text += "; raters could not be compared with one another"
    return f"{capitalised(text)}."


def _share(flow: Flow) -> str:
    return share(flow.after, flow.before, flow.noun) if flow.after else f"no {flow.noun}"


def facts(results: Results) -> tuple[Fact, ...]:
    """Key figures, as far as they are known."""
    found = (
        *(_fact_raters, _fact_cases, audit_fact, _fact_boxes),
        *(_fact_agreement, _fact_runs, _fact_masks),
    )
    return tuple(fact for ask in found for fact in ask(results))


def _fact_raters(results: Results) -> list[Fact]:
    statuses = [status for status, _ in verdicts(results).values()]
    if not statuses:
        return []
    if not compared(results):
        return [Fact("Raters", f"{len(statuses):,}", "not comparable", "raters", "review")]
    status = next((s for s in ("reject", "review") if s in statuses), "accept")
    passed, whole = str(statuses.count("accept")), f"{len(statuses):,}"
    return [Fact("Raters accepted", passed, _left(statuses), "raters", status, whole)]


def _left(statuses: list[str]) -> str:
    words = {"review": "to review", "reject": "rejected"}
    parts = [f"{statuses.count(s)} {word}" for s, word in words.items() if s in statuses]
    return listing(parts) or "none to review"


def _fact_cases(results: Results) -> list[Fact]:
    flow = kept(results, "case")
    if flow is None:
        return [Fact("Cases", f"{len(results.cases):,}", "not judged yet", "gate")]
    left = flow.before - flow.after - flow.review
    note = listing([f"{n} {w}" for n, w in ((flow.review, "to review"), (left, "rejected")) if n])
    status = "reject" if left else "review" if flow.review else "accept"
    passed, whole = f"{flow.after:,}", f"{flow.before:,}"
    return [Fact("Cases accepted", passed, note or "none left out", "gate", status, whole)]


def _fact_boxes(results: Results) -> list[Fact]:
    if not results.has("boxes"):
        return []
    slices = results.table("boxes")[["case", "slice"]].drop_duplicates()
    note = f"on {count(len(slices), 'slice')} of {count(slices['case'].nunique(), 'case')}"
    return [Fact("Boxes drawn", f"{len(results.table('boxes')):,}", note, "findings")]


def _fact_agreement(results: Results) -> list[Fact]:
    table = results.table("measurements")
    pooled = table["slice"].isna() & (table[["case", "rater", "label"]] == "").all(axis=1)
    known = table[pooled & table["value"].notna()]
    if not len(known):
        return []
    row = known.iloc[0]
    note = measure_title(row.measure)
    if pd.notna(row.low):
        note += f"; {interval_name(results.level)} {number(row.low)} to {number(row.high)}"
    return [Fact("Agreement", number(row.value), note, "agreement")]


def _fact_runs(results: Results) -> list[Fact]:
    table = results.table("completeness")
    if not len(table):
        return []
    n = int((table["state"] == "complete").sum())
    states = set(table["state"])
    status = "reject" if "missing" in states else "accept" if states == {"complete"} else "review"
    note = f"{count(int(table['n_gaps'].sum()), 'slice')} in gaps"
    return [Fact("Complete runs", f"{n:,}", note, "completeness", status, f"{len(table):,}")]


def _fact_masks(results: Results) -> list[Fact]:
    table = results.table("masks")
    if not len(table):
        return []
    note = f"of {count(table['case'].nunique(), 'case')}"
    return [Fact("Masks", f"{len(table):,}", note, "masks")]
