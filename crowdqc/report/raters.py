"""Raters: the table of all, and a card for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from crowdqc.findings import Finding, Reason, Severity, Where, read_reasons
from crowdqc.judge.text import message
from crowdqc.report.columns import column
from crowdqc.report.content import Interval, Kind, Link, ReportSection, Table
from crowdqc.report.results import Results
from crowdqc.report.scorecards import (
    edge_biases,
    faults_of,
    further,
    further_sentences,
)
from crowdqc.report.svg import BoxDrawing, box_drawings
from crowdqc.report.text import displacement, listing, percent, reason_sentences, share
from crowdqc.text import capitalised, count

N_COLOURS = 6
"""Colours that tell raters apart; further raters get the same ones, dashed."""
MAX_CARDS = 24
MAX_ROWS = 500
MAX_FINDINGS = 5
BY_LABEL = "rater_agreement"
"""Measure that gives a rater's agreement on each label."""

Decided = dict[str, tuple[str, list[Reason]]]
"""Rater -> verdict and reasons."""

_RANK = {"reject": 0, "review": 1, "": 2, "accept": 3}

SHOWN = (
    "rater", "verdict", "reasons", "agreement", "reliability", "miss_rate", "extra_rate",
    "shift_x", "shift_y", "size_ratio", "n_boxes",
)  # fmt: skip
"""Columns of the first table."""
KINDS: dict[str, Kind] = {"agreement": "interval", "reasons": "reasons"}
"""How those are written that are not as declared."""


@dataclass(frozen=True)
class Noticed:
    """Findings of one check about one rater: the first of them, and how many there are."""

    severity: str
    message: str
    n: int


@dataclass(frozen=True)
class Card:
    """One rater's own section."""

    rater: str
    anchor: str
    colour: int
    dashed: bool
    status: str
    reasons: tuple[str, ...]
    faults: tuple[str, ...]
    edges: str
    """Where each edge of the boxes lies, for people who hear it."""
    sentences: tuple[str, ...]
    work: str
    drawing: BoxDrawing | None
    labels: tuple[tuple[str, Interval, int], ...]
    findings: tuple[Noticed, ...]
    n_more: int


@dataclass(frozen=True)
class RatersView:
    """Cards of raters, those who need attention first."""

    cards: tuple[Card, ...]
    n_without_card: int


def anchor(results: Results, rater: str) -> str:
    """Place of a rater's card on the page: made of a number, never of the name.

    Parameters
    ----------
    results : Results
        Names all raters.
    rater : str
        One without a card is sent to the head of the section.
    """
    names = results.raters
    return f"rater-{names.index(rater) + 1}" if rater in names else "raters"


def verdicts(results: Results) -> Decided:
    """Rater -> verdict and reasons.

    Both are the gate's where it ran, which knows more than the scorecard.
    """
    table = results.table("raters")
    found = {row.rater: (row.verdict, read_reasons(row.reasons)) for row in table.itertuples()}
    entries = results.manifest.get("raters") or []
    return found | {str(one["rater"]): (verdict_of(one), reasons_of(one)) for one in entries}


def verdict_of(entry: Mapping[str, Any]) -> str:
    """Verdict of the manifest or of an entry of it: accept, review, reject, or "" for none."""
    return str(entry.get("verdict", ""))


def reasons_of(entry: Mapping[str, Any]) -> list[Reason]:
    """Reasons of the manifest or of an entry of it."""
    return [Reason.from_record(record) for record in entry.get("reasons") or []]


def compared(results: Results) -> bool:
    """Whether any rater could be compared with another."""
    return bool(results.table("raters")["agreement"].notna().any())


def raters_section(results: Results) -> ReportSection:
    """The section on raters."""
    if not results.has("raters"):
        return ReportSection("raters", "Raters", missing="agree")
    decided = verdicts(results)
    table = results.table("raters")
    order = table["rater"].map(lambda r: _RANK[decided[r][0]])
    table = table.assign(_order=order).sort_values(
        ["_order", "agreement"], kind="stable", na_position="last"
    )
    statuses = [decided[rater][0] for rater in table["rater"]]
    return ReportSection(
        "raters",
        "Raters",
        lead=tuple(_lead(table, statuses)),
        tables=tuple(t for t in (_table(results, table, decided), further(table)) if t.rows),
        status=_worst(statuses),
        view=_view(results, table, decided),
    )


def _worst(statuses: list[str]) -> str:
    """The status that asks for most."""
    return min(statuses, key=_RANK.__getitem__, default="")


def _lead(table: pd.DataFrame, statuses: list[str]) -> list[str]:
    n, passed = len(statuses), statuses.count("accept")
    if table["agreement"].isna().all():
        reasons = [reason for cell in table["reasons"] for reason in read_reasons(cell)]
        why = reasons[0].because if reasons else "nothing was read by two of them"
        return [f"No rater can be compared with another: {why}."]
    accepted = share(passed, n, "rater") if passed else "no rater"
    lead = [f"{capitalised(accepted)} {'are' if passed > 1 else 'is'} accepted."]
    for status, what in (("reject", "rejected"), ("review", "to be reviewed")):
        names = [r for r, s in zip(table["rater"], statuses, strict=True) if s == status]
        if names:
            lead.append(f"{listing(names)} {'is' if len(names) == 1 else 'are'} {what}.")
    return lead


def _table(results: Results, table: pd.DataFrame, decided: Decided) -> Table:
    rows = []
    for place, row in enumerate(table.head(MAX_ROWS).itertuples(index=False)):
        status, reasons = decided[row.rater]
        target = anchor(results, row.rater) if place < MAX_CARDS else ""
        rows.append(
            (
                Link(row.rater, target),
                status,
                reason_sentences(reasons, Where(rater=row.rater)),
                Interval(row.agreement, row.agreement_low, row.agreement_high),
                row.reliability,
                row.miss_rate,
                row.extra_rate,
                row.shift_x,
                row.shift_y,
                row.size_ratio,
                row.n_boxes,
            )
        )
    return Table(
        "raters",
        "Scorecards of the raters",
        tuple(column("raters", name, kind=KINDS.get(name)) for name in SHOWN),
        tuple(rows),
        n_left_out=max(len(table) - MAX_ROWS, 0),
        search=len(rows) > 8,
        choose="verdict",
    )


def _view(results: Results, table: pd.DataFrame, decided: Decided) -> RatersView:
    biases = list(edge_biases(table).itertuples(index=False, name=None))
    found, labels = _findings(results), _labels(results)
    cards: list[Card] = []
    for row, drawing in zip(table.itertuples(index=False), box_drawings(biases), strict=True):
        place = results.raters.index(row.rater)
        card = Card(
            rater=row.rater,
            anchor=anchor(results, row.rater),
            colour=colour(place),
            dashed=dashed(place),
            status=decided[row.rater][0],
            reasons=reason_sentences(decided[row.rater][1], Where(rater=row.rater)),
            faults=faults_of(row),
            edges=_edges(biases[len(cards)]),
            sentences=_sentences(row),
            work=_work(row),
            drawing=None if math.isnan(row.shift_x) and math.isnan(row.shift_y) else drawing,
            labels=labels.get(row.rater, ()),
            findings=tuple(found.get(row.rater, [])[:MAX_FINDINGS]),
            n_more=max(len(found.get(row.rater, [])) - MAX_FINDINGS, 0),
        )
        cards.append(card)
        if len(cards) == MAX_CARDS:
            break
    return RatersView(tuple(cards), len(table) - len(cards))


def colour(place: int) -> int:
    """Number of the colour of the rater at this place in the order of names, from 1."""
    return place % N_COLOURS + 1


def dashed(place: int) -> bool:
    """Whether that rater's lines are dashed, because all colours were used before."""
    return place >= N_COLOURS


def _work(row: Any) -> str:
    return (
        f"{count(row.n_boxes, 'box')} on {count(row.n_slices, 'slice')} of "
        f"{count(row.n_cases, 'case')}"
    )


def _sentences(row: Any) -> tuple[str, ...]:
    """What a rater does, without numbers that are not known."""
    texts = []
    if not math.isnan(row.shift_x):
        texts.append(f"Boxes are {displacement(row.shift_x, row.shift_y)}.")
    if not math.isnan(row.size_ratio):
        texts.append(_size(row.size_ratio))
    if not math.isnan(row.miss_rate):
        texts.append(f"Missed of what the others drew: {percent(row.miss_rate)}.")
    if not math.isnan(row.extra_rate):
        texts.append(f"Boxes where nobody else drew: {percent(row.extra_rate)}.")
    return (*texts, *further_sentences(row))


def _edges(bias: tuple[float, ...]) -> str:
    """The four edges in words."""
    names = ("left", "upper", "right", "lower")
    axes = ((1, 0), (0, 1), (1, 0), (0, 1))
    texts = [
        f"{name} edge {displacement(value * x, value * y)}"
        for name, value, (x, y) in zip(names, bias, axes, strict=True)
    ]
    return f"{', '.join(texts)}.".capitalize()


def _size(ratio: float) -> str:
    if abs(ratio - 1) < 0.01:
        return "They are as large as the consensus."
    word = "larger" if ratio > 1 else "smaller"
    return f"They are {percent(abs(ratio - 1))} {word} than the consensus."


def _findings(results: Results) -> dict[str, list[Noticed]]:
    """Rater -> what was found about them, one entry for each check, the worst first."""
    groups: dict[str, dict[str, list[Finding]]] = {}
    for item in sorted(results.findings, key=lambda found: -found.finding.severity.rank):
        finding = item.finding
        if finding.rater and finding.severity is not Severity.NOTE:
            groups.setdefault(finding.rater, {}).setdefault(finding.check, []).append(finding)
    return {
        rater: [
            Noticed(str(same[0].severity), message(same[0], Where(rater=rater)), len(same))
            for same in by.values()
        ]
        for rater, by in groups.items()
    }


def _labels(results: Results) -> dict[str, tuple[tuple[str, Interval, int], ...]]:
    """Rater -> agreement on each label, where that was measured."""
    table = results.table("measurements")
    table = table[
        table["value"].notna()
        & (table["measure"] == BY_LABEL)
        & (table["case"] == "")
        & (table["label"] != "")
    ]
    found: dict[str, list[tuple[str, Interval, int]]] = {}
    for row in table[table["rater"] != ""].itertuples(index=False):
        interval = Interval(row.value, row.low, row.high)
        found.setdefault(row.rater, []).append((row.label, interval, row.n))
    order = {label: place for place, label in enumerate(results.labels)}
    return {
        rater: tuple(sorted(rows, key=lambda row: order.get(row[0], len(order))))
        for rater, rows in found.items()
    }
