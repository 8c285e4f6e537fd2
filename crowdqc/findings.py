"""Findings: what was noticed, where, how bad it is, and which rule says so.

Everything that crowdqc complains about is one of two things. Input that makes the work
impossible (a study file that cannot be read, a folder that is not there) is an `InputError`:
the command stops with exit code 2. Everything else is a `Finding`, a record that is
collected, written as JSON lines and judged by the gate; finding one never stops the work.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from enum import StrEnum

VERSION = 1
"""Format version of a finding in a JSONL file."""


class InputError(ValueError):
    """Input that the user can mend and without which the command cannot go on.

    The message names the place, the value that was met, the rule and the remedy.
    """


class Severity(StrEnum):
    """How bad a finding is: ``note < review < reject``."""

    NOTE = "note"
    REVIEW = "review"
    REJECT = "reject"

    @property
    def rank(self) -> int:
        """Position in the order, from 0 (mildest)."""
        return list(Severity).index(self)


class Verdict(StrEnum):
    """What is decided about a thing: ``accept``, ``review`` or ``reject``."""

    ACCEPT = "accept"
    REVIEW = "review"
    REJECT = "reject"

    @property
    def rank(self) -> int:
        """Position in the order, from 0 (mildest)."""
        return list(Verdict).index(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was noticed.

    Parameters
    ----------
    check : str
        Name of the check in kebab case, for example ``"box-outside-image"``.
    severity : Severity
        How bad it is.
    message : str
        A sentence for people: what was met, the rule, and what to do.
    case, rater, label : str, optional
        Where; `None` means that the finding is not about one of them.
    slice : int, optional
        Index along the slice axis, from 0.
    value, limit : float, optional
        The number that was met and the one that it was held against, in `unit`.
    unit : str, optional
        Unit of `value` and `limit`.
    source : str, optional
        ``file:line`` in the user's input, relative to the folder of the study file.
    slices : str, optional
        Where it is about several slices: ``"40-43 74"``.

    Examples
    --------
    >>> Finding(check="gap", severity=Severity.REVIEW, message="no box", slice=79).slice
    79
    """

    check: str
    severity: Severity
    message: str
    case: str | None = None
    slice: int | None = None
    rater: str | None = None
    label: str | None = None
    value: float | None = None
    limit: float | None = None
    unit: str | None = None
    source: str | None = None
    slices: str | None = None

    def to_json(self) -> str:
        """One line of JSON: fields in a fixed order, those that are `None` left out.

        A `value` or `limit` that is not finite is written as text ("nan", "inf"), which
        `from_json` reads back: strict JSON has no such numbers.
        """
        record: dict[str, object] = {"version": VERSION}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if isinstance(value, float) and not math.isfinite(value):
                value = str(value)
            record[field.name] = value
        return json.dumps(record, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Finding:
        """Inverse of `to_json`.

        Raises
        ------
        InputError
            If `line` is no finding, or one of another format version.
        """
        try:
            record = json.loads(line)
            version = record.pop("version")
            numbers = {n: float(record[n]) for n in ("value", "limit") if n in record}
            finding = cls(**{**record, **numbers, "severity": Severity(record["severity"])})
        except (
            AttributeError,
            KeyError,
            OverflowError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise InputError(f"Not a finding: {line[:200]!r} ({error}).") from error
        if version != VERSION:
            raise InputError(
                f"A finding has format version {version!r}; this crowdqc reads {VERSION}. "
                "Run the stage that wrote it again."
            )
        return finding


def parse_findings(text: str) -> list[Finding]:
    """Inverse of `dump_findings`."""
    lines = text.split("\n")  # splitlines would split texts too
    return [Finding.from_json(line) for line in lines if line.strip()]


def dump_findings(findings: Iterable[Finding]) -> str:
    """JSONL text of `findings`, in their order."""
    return "".join(finding.to_json() + "\n" for finding in findings)
