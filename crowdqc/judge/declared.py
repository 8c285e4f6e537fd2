"""What a policy may name: the measures of each scope, and the checks."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from crowdqc.checks import Scope as Checked
from crowdqc.checks import declared, registered
from crowdqc.findings import Severity, known_checks
from crowdqc.schema import TABLES, Column

Scope = Literal["rater", "box", "slice", "mask", "label", "case", "study"]
"""What can be judged, in the order in which it is."""

_TABLES: dict[str, str] = {"rater": "raters", "mask": "risk"}
"""Scopes whose measures are the numbers of a table."""
FINDINGS = "findings:"
"""Before the name of a check: the measure that counts the findings of the check about a unit."""
COUNTED: dict[str, list[str]] = {
    "rater": ["rater"],
    "label": ["case", "label"],
    "case": ["case"],
    "study": [],
}
"""Scopes for which findings are counted, and what a finding must name to be about a unit."""
_CHECKED: dict[str, Checked] = {"rater": "rater", "label": "run"}
"""Scopes that have the measures of checks, too."""


def measures_of(scope: Scope) -> dict[str, Column]:
    """Measures of a scope by name, with unit and meaning."""
    return {one.name: one for one in _declared(scope)}


def _declared(scope: str) -> Iterator[Column]:
    columns = TABLES[_TABLES[scope]] if scope in _TABLES else ()
    yield from (one for one in columns if one.kind != "text" and one.name != "slice")
    own = _own().get(scope, {}).items()
    yield from (Column(name, "float", optional=True, **one) for name, one in own)
    for check in registered(_CHECKED[scope]) if scope in _CHECKED else []:
        for one in check.measures:
            yield Column(one.name, "float", optional=True, unit=one.unit, about=one.about)


@cache
def _own() -> dict[str, dict[str, Any]]:
    text = importlib.resources.files(__package__).joinpath("measures.toml").read_text("utf-8")
    return tomllib.loads(text)


def severities() -> dict[str, Severity]:
    """All checks, those of other packages, too: name -> how grave its findings are."""
    own = {name: info.severity for name, info in known_checks().items()}
    return own | declared("rater") | declared("run")
