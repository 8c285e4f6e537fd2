"""The top of the report: the verdict, the three things to do next, the key figures."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from crowdqc.findings import Severity
from crowdqc.report.agreement import title_of
from crowdqc.report.content import Fact, Step
from crowdqc.report.gate import Flow, kept
from crowdqc.report.raters import compared, status_of, verdicts
from crowdqc.report.results import Results
from crowdqc.report.words import count, listing, number, readable, share

N_STEPS = 3

_HEADLINES = {
    "accept": "Ready for training",
    "review": "Look at some things first",
    "reject": "Not ready for training",
    "": "Not judged yet",
}
_NEEDED = {
    "check": ("readings", "Read and validate the annotations"),
    "agree": ("raters", "Measure agreement and the raters"),
    "complete": ("completeness", "Find what is missing"),
    "fuse": ("consensus", "Fuse the boxes"),
}


def verdict(results: Results) -> str:
    """The gate's verdict: ``accept``, ``review``, ``reject``, or "" where it was not asked."""
    return status_of(str(results.manifest.get("verdict", "")))


def headline(results: Results) -> str:
    """The verdict in a few words."""
    return _HEADLINES[verdict(results)]


def lead(results: Results) -> str:
    """The verdict in a sentence."""
    if not results.manifest:
        return "The gate has not been run on this study: what follows is measured, not judged."
    flows = [kept(results, noun) for noun in ("rater", "case")]
    comparable = compared(results)
    told = [flow for flow in flows if flow and (flow.noun == "case" or comparable)]
    said = listing([_share(flow) for flow in told])
    verb = "passes" if len(told) == 1 and told[0].after < 2 else "pass"
    text = f"{said} {verb} the gate" if said else "the gate was run"
    if not comparable and results.has("raters"):
        text += "; raters could not be compared with one another"
    return f"{text[0].upper()}{text[1:]}."


def _share(flow: Flow) -> str:
    return share(flow.after, flow.before, flow.noun) if flow.after else f"no {flow.noun}"


def steps(results: Results) -> tuple[Step, ...]:
    """The things to do next, at most three: what blocks stands before what doubts."""
    found = [
        step
        for ask in (_faulty_input, _raters, _missing, _unread, _gaps, _apart, _not_run)
        for step in ask(results)
    ]
    return tuple(found[:N_STEPS]) or (_go_on(results),)


def _faulty_input(results: Results) -> list[Step]:
    bad = [f for f in results.of("check") if f.severity is Severity.REJECT]
    if not bad:
        return []
    kinds = Counter(f.check for f in bad).most_common(3)
    why = listing([f"{readable(check)} ({n:,})" for check, n in kinds])
    return [
        Step(
            f"Mend {count(len(bad), 'fault')} in the annotation files",
            f"Found: {why}. The lines are left out until then.",
            "findings",
            "reject",
        )
    ]


def _raters(results: Results) -> list[Step]:
    failed = [name for name, (status, _) in verdicts(results).items() if status == "reject"]
    if not failed:
        return []
    reasons = verdicts(results)[failed[0]][1]
    why = f"{failed[0]}: {reasons[0]}" if reasons else "They fail the rules of the policy."
    return [
        Step(
            f"Leave out {listing(failed)}, or train them again",
            why if why.endswith(".") else f"{why}.",
            "raters",
            "reject",
        )
    ]


def _missing(results: Results) -> list[Step]:
    """Organs of a case that nobody drew."""
    table = results.table("completeness")
    runs = table.groupby(["case", "label"], sort=True)["state"].agg(set)
    gone = [index for index, states in runs.items() if states == {"missing"}]
    if not gone:
        return []
    cases = list(dict.fromkeys(case for case, _ in gone))
    labels = Counter(readable(label) for _, label in gone)
    organs = listing([f"{label} ({n:,})" if n > 1 else label for label, n in labels.items()])
    noun = "organ is" if len(gone) == 1 else "organs are"
    return [
        Step(
            f"Have {count(len(gone), 'missing organ')} drawn in {listing(cases, 3)}",
            f"Nobody drew {organs}. Training would learn that there is none."
            if len(gone) < 6
            else f"{len(gone):,} {noun} missing from cases that were read: {organs}. Training "
            "would learn that there is none.",
            "completeness",
            "reject",
        )
    ]


def _gaps(results: Results) -> list[Step]:
    table = results.table("completeness")
    broken = table[table["state"] == "partial"]
    if not len(broken):
        return []
    gaps, cut = int(broken["n_gaps"].sum()), int((broken["truncated"] != "").sum())
    parts = []
    if gaps:
        parts.append(f"{count(gaps, 'slice')} inside runs without a box")
    if cut:
        parts.append(f"{count(cut, 'run')} cut off at an end")
    worst = broken.sort_values("n_gaps", ascending=False, kind="stable").iloc[0]
    what = listing(parts) or "less is drawn than expected"
    why = f"{what}; most in {readable(worst.label)} of {worst.case}."
    return [
        Step(
            f"Redraw {count(len(broken), 'incomplete run')}",
            why[0].upper() + why[1:],
            "completeness",
        )
    ]


def _unread(results: Results) -> list[Step]:
    table = results.table("completeness")
    unread = table[table["state"] == "unread"]
    if not len(unread):
        return []
    cases = unread["case"].nunique()
    return [
        Step(
            f"Have {count(cases, 'case')} read",
            f"{count(len(unread), 'run')} {'was' if len(unread) == 1 else 'were'} only opened: "
            "nobody knows whether there is something.",
            "completeness",
            "reject",
        )
    ]


def _apart(results: Results) -> list[Step]:
    table = results.table("consensus")
    apart = table[table["state"] == "no_consensus"]
    if not len(apart):
        return []
    where = Counter(apart["label"]).most_common(1)[0]
    return [
        Step(
            f"Settle {count(len(apart), 'object')} without consensus",
            f"Too few of the raters who looked drew them; most are {readable(where[0])} "
            f"({where[1]:,}).",
            "fusion",
        )
    ]


def _not_run(results: Results) -> list[Step]:
    missing = [
        Step(f"Run crowdqc {stage}", f"{what}: not done yet.", section)
        for (stage, (table, what)), section in zip(
            _NEEDED.items(), ("findings", "raters", "completeness", "fusion"), strict=True
        )
        if not results.has(table)
    ]
    if not results.manifest:
        missing.append(Step("Run crowdqc gate", "Judge the study by a policy.", "gate"))
    return missing


def _go_on(results: Results) -> Step:
    if not results.has("masks"):
        return Step("Run crowdqc masks", "Nothing stands against it.", "masks", "accept")
    return Step("Run crowdqc dataset, and train", "Nothing stands against it.", "masks", "accept")


def facts(results: Results) -> tuple[Fact, ...]:
    """Key figures, as far as they are known."""
    found = (_fact_raters, _fact_cases, _fact_boxes, _fact_agreement, _fact_runs, _fact_masks)
    return tuple(fact for ask in found for fact in ask(results))


def _fact_raters(results: Results) -> list[Fact]:
    statuses = [status for status, _ in verdicts(results).values()]
    if not statuses:
        return []
    if not compared(results):
        return [Fact("Raters", f"{len(statuses):,}", "not comparable", "raters", "review")]
    status = next((s for s in ("reject", "review") if s in statuses), "accept")
    passed, whole = str(statuses.count("accept")), f"{len(statuses):,}"
    return [Fact("Raters who pass", passed, _left(statuses), "raters", status, whole)]


def _left(statuses: list[str]) -> str:
    words = {"review": "to watch", "reject": "failed"}
    parts = [f"{statuses.count(s)} {word}" for s, word in words.items() if s in statuses]
    return listing(parts) or "none to watch"


def _fact_cases(results: Results) -> list[Fact]:
    flow = kept(results, "case")
    if flow is None:
        return [Fact("Cases", f"{len(results.cases):,}", "not judged yet", "gate")]
    left = flow.before - flow.after - flow.review
    note = listing([f"{n} {w}" for n, w in ((flow.review, "to look at"), (left, "rejected")) if n])
    status = "reject" if left else "review" if flow.review else "accept"
    passed, whole = f"{flow.after:,}", f"{flow.before:,}"
    return [Fact("Cases that pass", passed, note or "none left out", "gate", status, whole)]


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
    note = title_of(row.measure)
    if pd.notna(row.low):
        note += f", {number(row.low)} to {number(row.high)}"
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
