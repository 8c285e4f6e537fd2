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
from crowdqc.schema import TABLES

Scope = Literal["rater", "box", "slice", "mask", "label", "case", "study"]
"""What can be judged, in the order in which it is."""

_TABLES: dict[str, str] = {"rater": "raters", "mask": "risk"}
"""Scopes whose measures are the numbers of a table."""
_CHECKED: dict[str, Checked] = {"rater": "rater", "label": "run"}
"""Scopes that have the measures of checks, too."""


def units(scope: Scope) -> dict[str, str]:
    """Measures of a scope with their units; "" for a number without one."""
    return dict(_units(scope))


def _units(scope: str) -> Iterator[tuple[str, str]]:
    columns = TABLES[_TABLES[scope]] if scope in _TABLES else ()
    yield from ((column.name, column.unit) for column in columns if column.kind != "text")
    yield from ((name, one["unit"]) for name, one in _own().get(scope, {}).items())
    checks = registered(_CHECKED[scope]) if scope in _CHECKED else []
    yield from ((one.name, one.unit) for check in checks for one in check.measures)


@cache
def _own() -> dict[str, dict[str, Any]]:
    text = importlib.resources.files(__package__).joinpath("measures.toml").read_text("utf-8")
    return tomllib.loads(text)


def severities() -> dict[str, Severity]:
    """All checks, those of other packages, too: name -> how grave its findings are."""
    own = {name: info.severity for name, info in known_checks().items()}
    return own | declared("rater") | declared("run")
