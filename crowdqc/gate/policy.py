"""A policy: rules as data, each with its reason, read from TOML."""

from __future__ import annotations

import operator
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field

from crowdqc.config import Section, read_toml, validate
from crowdqc.findings import InputError, Severity

FORMAT_VERSION = 1

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class Rule(Section):
    """One rule: it fires for a unit of its scope where ``measure op limit`` holds."""

    scope: Literal["rater", "label", "case"]
    """What is judged: a rater, a label of a case, or a case."""
    measure: str
    """Name of the number, a column of the scope's measures."""
    op: Literal["<", "<=", ">", ">=", "==", "!="]
    """How the measure is held against the limit."""
    limit: float = Field(strict=False)
    """The limit, in the unit of the measure."""
    severity: Severity = Field(strict=False)
    """What the rule asks for where it fires: note, review or reject."""
    because: str = Field(min_length=1)
    """The reason, for people."""

    def fires(self, value: float) -> bool:
        """Whether the rule fires for a number that is not nan."""
        return _OPERATORS[self.op](value, self.limit)


class Policy(Section):
    """What may be used: rules, and what a rejected label means for its case."""

    format_version: Literal[1] = 1
    """Version of this file's format."""
    exclude: Literal["case", "label"] = "case"
    """Whether a rejected label takes its whole case with it, or goes alone."""
    rules: list[Rule] = Field(min_length=1)
    """All are asked, and the worst that fires decides."""


def load_policy(path: Path | None = None) -> Policy:
    """Read a policy; `None` gives the one that crowdqc ships.

    Raises
    ------
    InputError
        If the file cannot be read or breaks a rule; every fault on a line of its own.
    """
    if path is not None:
        return validate(Policy, read_toml(path), path)
    shipped = resources.files("crowdqc.gate") / "default.toml"
    with resources.as_file(shipped) as file:
        return validate(Policy, read_toml(file), file)


__all__ = ["FORMAT_VERSION", "InputError", "Policy", "Rule", "load_policy"]
