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
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

VERSION = 1
"""Format version of a finding in a JSONL file."""


_AS_DECLARED: Any = None
"""Severity of a finding that is made without one: it is never seen."""


class InputError(ValueError):
    """Input that the user can mend and without which the command cannot go on.

    The message names the place, the value that was met, the rule and the remedy.
    """


def refuse_all(faults: Sequence[str], *, most: int = 20) -> None:
    """Refuse input for all its faults at once, so that they can be mended in one go.

    Parameters
    ----------
    faults : sequence of str
        A message for each; none is no fault.
    most : int
        So many are shown, and the rest counted.

    Raises
    ------
    InputError
        With a line for each fault.
    """
    if faults:
        more = [f"and {len(faults) - most} more"] if len(faults) > most else []
        raise InputError("\n".join([*faults[:most], *more]))


class _Ranked(StrEnum):
    """Words in order, the mildest first."""

    @property
    def rank(self) -> int:
        """Position in the order, from 0 (mildest)."""
        return list(type(self)).index(self)


class Severity(_Ranked):
    """How bad a finding is: ``note < review < reject``."""

    NOTE = "note"
    REVIEW = "review"
    REJECT = "reject"


class Verdict(_Ranked):
    """What is decided about a thing: ``accept``, ``review`` or ``reject``."""

    ACCEPT = "accept"
    REVIEW = "review"
    REJECT = "reject"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Where:
    """What a finding or a reason is about; `None` means that it is not about one of them."""

    case: str | None = None
    slice: int | None = None
    label: str | None = None
    rater: str | None = None

    def to_record(self) -> dict[str, Any]:
        """The parts that are named, as plain values."""
        return _known(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reason:
    """Why something got its verdict: a rule that fired or could not be asked, or a finding.

    Parameters
    ----------
    measure : str
        Name of the measure, or of the finding's check.
    value, limit : float, optional
        The number that was met and the one that it was held against, in `unit`. A rule
        (`op` is given) without a value: the measure is not known.
    op : str, optional
        How they were compared: ``< <= > >= == !=``. `None`: no rule, but a finding or a count.
    unit : str, optional
        Unit of `value` and `limit`.
    because : str
        The rule's reason, or what was found, for people.
    where : Where
        What it is about.

    Examples
    --------
    >>> reason = Reason(measure="n_gaps", value=5.0, op=">", limit=0.0, because="no box")
    >>> Reason.from_record(reason.to_record()) == reason
    True
    """

    measure: str
    value: float | None = None
    op: str | None = None
    limit: float | None = None
    unit: str | None = None
    because: str
    where: Where = Where()

    @property
    def unknown(self) -> bool:
        """Whether a rule could not be asked, for want of the measure."""
        return self.op is not None and self.value is None

    def to_record(self) -> dict[str, Any]:
        """All fields as plain JSON values; a number that is not finite is text, as "inf"."""
        record = {name: _plain(value) for name, value in vars(self).items()}
        return {**record, "where": self.where.to_record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Reason:
        """Inverse of `to_record`.

        Raises
        ------
        InputError
            If `record` is no reason.
        """
        try:
            where = Where(**record.get("where", {}))
            return cls(**{**record, **_numbers(record), "where": where})
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise InputError(f"Not a reason: {str(record)[:200]} ({error}).") from error


def dump_reasons(reasons: Iterable[Reason]) -> str:
    """A list of reasons as a cell of a table: JSON, or "" where there are none."""
    return to_cell([reason.to_record() for reason in reasons])


def read_reasons(cell: str) -> list[Reason]:
    """Inverse of `dump_reasons`.

    Raises
    ------
    InputError
        If `cell` holds anything else.
    """
    return [Reason.from_record(record) for record in from_cell(cell)]


def to_cell(values: Sequence[Any]) -> str:
    """A list of plain values as a cell of a table: JSON, or "" for an empty one.

    Examples
    --------
    >>> to_cell(["boxes-copied"]), to_cell([])
    ('["boxes-copied"]', '')
    """
    return json.dumps(values, ensure_ascii=False, allow_nan=False) if values else ""


def from_cell(cell: str) -> list[Any]:
    """Inverse of `to_cell`.

    Raises
    ------
    InputError
        If `cell` holds no JSON list.
    """
    try:
        values = json.loads(cell) if cell else []
    except (ValueError, RecursionError) as error:
        raise InputError(f"Not a list: {cell[:200]!r} ({error}).") from error
    if not isinstance(values, list):
        raise InputError(f"Not a list: {cell[:200]!r}.")
    return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was noticed.

    Parameters
    ----------
    check : str
        Name of the check in kebab case, for example ``"box-outside-image"``.
    severity : Severity, optional
        How bad it is. None: what ``checks.toml`` declares for the check.
    message : str
        For people: what was met, the rule, and what to do; not where, which the fields say.
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
    examples : tuple of Where
        Places that show it, the clearest first.

    Examples
    --------
    >>> Finding(check="organ-gap", message="no box", slice=79).severity
    <Severity.REVIEW: 'review'>
    """

    check: str
    severity: Severity = _AS_DECLARED
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
    examples: tuple[Where, ...] = ()

    def __post_init__(self) -> None:
        if not self.severity:
            object.__setattr__(self, "severity", check_info(self.check).severity)

    @property
    def where(self) -> Where:
        """What it is about."""
        return Where(case=self.case, slice=self.slice, label=self.label, rater=self.rater)

    @property
    def reason(self) -> Reason:
        """The finding as a reason of a verdict."""
        return Reason(
            measure=self.check,
            value=self.value,
            limit=self.limit,
            unit=self.unit,
            because=self.message,
            where=self.where,
        )

    def to_json(self) -> str:
        """One line of JSON: fields in a fixed order, those that are `None` left out.

        A `value` or `limit` that is not finite is written as text ("nan", "inf"), which
        `from_json` reads back: strict JSON has no such numbers.
        """
        record = {"version": VERSION, **_known(self)}
        record["examples"] = [place.to_record() for place in self.examples]
        if not self.examples:
            del record["examples"]
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
            record["examples"] = tuple(Where(**place) for place in record.get("examples", ()))
            record["severity"] = Severity(record["severity"])
            finding = cls(**{**record, **_numbers(record)})
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


@dataclasses.dataclass(frozen=True)
class CheckInfo:
    """What is declared of a check: how bad its findings are, and what it finds."""

    severity: Severity
    about: str


def check_info(check: str) -> CheckInfo:
    """What ``checks.toml`` declares of a check; one that it does not name asks for a review."""
    return known_checks().get(check, CheckInfo(Severity.REVIEW, ""))


@cache
def known_checks() -> dict[str, CheckInfo]:
    """All checks of crowdqc: name -> severity, and what it finds."""
    text = (resources.files("crowdqc") / "checks.toml").read_text(encoding="utf-8")
    return {
        name: CheckInfo(Severity(severity), about)
        for severity, group in tomllib.loads(text).items()
        for name, about in group.items()
    }


def _known(record: Any) -> dict[str, Any]:
    """Fields of a record that are not `None`, as plain JSON values."""
    values = {name: _plain(value) for name, value in vars(record).items()}
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """`value` and `limit` of a record, which are text where they are not finite."""
    return {n: float(record[n]) for n in ("value", "limit") if record.get(n) is not None}
