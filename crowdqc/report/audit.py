"""The audit: how many bad masks are left at most, or how many gradings are missing to say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crowdqc.report.content import Fact, Table, TableColumn
from crowdqc.report.results import Results
from crowdqc.report.text import listing, readable
from crowdqc.text import count, plural

_LAPSED = {
    "changed": "{units} have changed since the audit began",
    "new": "{units} were accepted that the audit does not know",
}
_PARTS = {"label": "organ", "risk": "risk", "risk below": "all with a risk below"}
_COLUMNS = (
    TableColumn("part", "Part", "text"),
    TableColumn("n", "Left", "count"),
    TableColumn("share", "Bad at most", "percent", note="upper bound, each by itself"),
)


def audit_fact(results: Results) -> list[Fact]:
    """The certificates as key figures; nothing where there are no masks."""
    if not (found := _certificates(results)):
        if not results.has("risk"):
            return []
        return [Fact("Bad masks left", "?", "not audited: crowdqc audit", "gate")]
    return [_fact(one) for one in found]


def _certificates(results: Results) -> list[Mapping[str, Any]]:
    """Those of the manifest: of masks, of boxes, of both."""
    found = [results.manifest.get(name) for name in ("certificate", "certificate_boxes")]
    return [one for one in found if isinstance(one, dict)]


def _fact(found: Mapping[str, Any]) -> Fact:
    units = plural(str(found["unit"]))
    title = f"Bad {units} left"
    if found["lapsed"]:
        why = _LAPSED.get(str(found["lapsed"]), "lapsed").format(units=units)
        return Fact(title, "?", f"{why}: crowdqc audit", "gate", "review")
    status = "accept" if found["reached"] else "review"
    known = found["n_drawn"] > 0
    value = f"≤ {_percent(found['bad_share_high'])}" if known else "?"
    return Fact(title, value, _note(found), "gate", status)


def _note(found: Mapping[str, Any]) -> str:
    if not found["reached"]:
        missing = count(int(found["n_missing"]), "grading")
        return f"about {missing} missing for {_percent(found['limit'])}"
    graded = f"{found['n_graded']:,} of {found['design']['n']:,} graded"
    who = f" by {listing(found['graders'])}" if found["graders"] else ""
    return f"{100 * found['confidence']:g} % confidence; {graded}{who}"


def audit_table(results: Results) -> Table:
    """Bounds of parts, and under a stricter limit; no row without a certificate."""
    certificates = _certificates(results)
    several = len(certificates) > 1
    rows = tuple(
        (_part(one, str(found["unit"]) if several else ""), one["n"], one["bad_share_high"])
        for found in certificates
        if not found["lapsed"]
        for one in found["parts"]
    )
    return Table("audit", "How many bad ones are left in a part", _COLUMNS, rows)


def _part(one: Mapping[str, Any], unit: str) -> str:
    of = f"{plural(unit)}: " if unit else ""
    return f"{of}{_PARTS.get(one['part'], one['part'])} {readable(one['name'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
