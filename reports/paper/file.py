"""What was published: values with their source, and claims, in a TOML file that people edit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from crowdqc.config import Section, read_toml, validate

_PLAIN = r"\d+\.?\d*(?:[eE][+-]?\d+)?"
_PRINTED = re.compile(rf"([<≤]?)\s*({_PLAIN})(?:\s*(?:±|\+-)\s*({_PLAIN}))?")


@dataclass(frozen=True)
class Printed:
    """A number as it was printed: its digits say how exact it is.

    Examples
    --------
    >>> read_printed("0.80 ± 0.05").agrees(0.7987, 0.0451)
    True
    >>> read_printed("<0.001").agrees(0.0043)
    False
    """

    value: Decimal
    ci: Decimal | None = None
    below: str = ""
    """``"<"`` or ``"≤"`` where a bound was printed."""

    def agrees(self, ours: float, ci: float = float("nan")) -> bool:
        """Whether `ours`, and its half width where one was printed, round to what was printed."""
        if self.below:
            return ours < float(self.value) or (self.below == "≤" and ours == float(self.value))
        return _rounds_to(ours, self.value) and (self.ci is None or _rounds_to(ci, self.ci))


def _printed(text: str) -> str:
    read_printed(text)
    return text


class Published(BaseModel):
    """Published values of one column of one table, and where they were found."""

    model_config = ConfigDict(extra="forbid")
    table: str
    column: str
    source: str
    printed: dict[str, Annotated[str, AfterValidator(_printed)]]
    """Row -> the number as printed: ``"0.80"``, ``"0.80 ± 0.05"`` or ``"<0.001"``."""


class Bound(BaseModel):
    """A published bound on p values: of whole tables, or of each of their rows."""

    model_config = ConfigDict(extra="forbid")
    text: str
    source: str
    tables: list[str]
    rows: list[str] = []
    """Rows that the claim is about; all, when empty."""
    below: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Bound:
        if (self.below is None) == (self.at_least is None):
            raise ValueError("a bound needs either 'below' or 'at_least'.")
        return self

    def holds(self, p: float) -> bool:
        """Whether a p value is within it."""
        return p >= self.at_least if self.below is None else p < self.below

    @property
    def words(self) -> str:
        """What it asks for."""
        return f"at least {self.at_least:g}" if self.below is None else f"below {self.below:g}"


class Remark(BaseModel):
    """What a published value that does not come out means for what is concluded from it."""

    model_config = ConfigDict(extra="forbid")
    table: str
    row: str
    column: str
    printed: str
    text: str


class Annotations(BaseModel):
    """What was said of the annotations: boxes by case, and which cases are complete."""

    model_config = ConfigDict(extra="forbid")
    study: str
    """Study file of the annotations."""
    source: str
    labels: list[str]
    boxes: dict[str, list[int]]
    """Case -> boxes of each of `labels`."""
    complete: list[str]
    """Cases that were said to be fully annotated."""
    n_boxes: int = 0
    n_slices: int = 0
    """Boxes, and slices with a box, that were said to be drawn."""
    missing: dict[str, int] = {}
    """Label -> number of cases in which it was said to be missing."""
    minutes: float = 0.0
    seconds: float = 0.0
    """How long one organ in all cases, and one slice, were said to take."""

    @model_validator(mode="after")
    def _fits(self) -> Annotations:
        """A count for each label, and no complete case without counts."""
        short = [case for case, row in self.boxes.items() if len(row) != len(self.labels)]
        alone = sorted(set(self.complete) - set(self.boxes))
        if short or alone:
            raise ValueError(
                "'boxes' must give each case a count for each of 'labels', and hold every case "
                f"of 'complete'; got {[*short, *alone]}."
            )
        return self


class PaperFile(Section):
    """What ``reports/paper/reproduce.py`` reads."""

    results: str
    out: str
    published: list[Published] = Field(default=[])
    bound: list[Bound] = Field(default=[])
    remark: list[Remark] = Field(default=[])
    annotated: Annotations | None = None


def read_paper(path: Path) -> PaperFile:
    """Read the file of a reproduction.

    Raises
    ------
    InputError
        If it cannot be read or a key is unknown, missing or of the wrong type.
    """
    return validate(PaperFile, read_toml(path), path)


def read_printed(text: str) -> Printed:
    """Read a number as it was printed.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = _PRINTED.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"'printed' must be numbers like '0.80', '0.80 ± 0.05' or '<0.001'; got {text!r}."
        )
    below, value, ci = match.groups()
    return Printed(Decimal(value), Decimal(ci) if ci else None, below)


def folder(path: Path, text: str) -> Path:
    """The folder `text` beside `path`; ``${NAME:-default}`` is read from the environment."""
    expanded = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: os.environ.get(m[1], m[2]), text)
    return (path.parent / expanded).resolve()


def _rounds_to(ours: float, printed: Decimal) -> bool:
    """Within half a unit of the last digit that was printed."""
    unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
    return abs(ours - float(printed)) <= 0.5 * float(unit) * (1 + 1e-9) + 1e-12
