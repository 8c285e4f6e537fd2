"""Drawings as numbers: strips of slices and schematic boxes, in the units of an SVG view box.

Nothing here knows HTML: a template sets these into its tags, which escape what is text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LANE = 8.0
"""Height of the lane of one rater in a strip; its bar fills `BAR` of it."""
BAR = 6.0
_LEAST = 1 / 70
"""Least width of a part, as a share of the strip, so that one slice in 300 is seen."""


@dataclass(frozen=True)
class Run:
    """What one rater drew of one organ in one case, along the slices."""

    state: str
    first: float
    last: float
    gaps: tuple[int, ...] = ()
    truncated: str = ""


@dataclass(frozen=True)
class Strip:
    """Lanes of runs as SVG paths: drawn, gaps, cut ends, missing, unread."""

    width: float
    height: float
    drawn: str
    gaps: str
    cut: str
    missing: str
    unread: str


def strip(runs: Sequence[Run], low: int, high: int) -> Strip:
    """A strip with a lane for each run, over the slices `low` to `high`.

    Examples
    --------
    >>> strip([Run("partial", 2, 5, (3,))], 0, 9).drawn
    'M2 1h1v6h-1zM4 1h2v6h-2z'
    """
    width = float(max(high - low + 1, 1))
    paths: dict[str, list[str]] = {k: [] for k in ("drawn", "gaps", "cut", "missing", "unread")}
    for lane, run in enumerate(runs):
        top = lane * LANE + (LANE - BAR) / 2
        if run.state in {"missing", "unread"} or not math.isfinite(run.first):
            kind = "unread" if run.state == "unread" else "missing"
            paths[kind].append(_bar(0, width, top=top))
            continue
        paths["drawn"] += [_wide(a - low, b - a + 1, top=top, full=width) for a, b in _drawn(run)]
        paths["gaps"] += [
            _wide(a - low, b - a + 1, top=top, full=width) for a, b in spans(run.gaps)
        ]
        paths["cut"] += _cut(run, low, top=top, full=width)
    joined = {kind: "".join(parts) for kind, parts in paths.items()}
    return Strip(width, max(len(runs), 1) * LANE, **joined)


def spans(slices: Iterable[int]) -> list[tuple[int, int]]:
    """First and last slice of each group of neighbours.

    Examples
    --------
    >>> spans([3, 4, 5, 9])
    [(3, 5), (9, 9)]
    """
    found: list[tuple[int, int]] = []
    for k in sorted(slices):
        if found and k == found[-1][1] + 1:
            found[-1] = (found[-1][0], k)
        else:
            found.append((k, k))
    return found


def said(slices: Iterable[int], limit: int = 6) -> str:
    """Slices in a few words.

    Examples
    --------
    >>> said([3, 4, 5, 9])
    '3–5, 9'
    """
    parts = [str(a) if a == b else f"{a}\u2013{b}" for a, b in spans(slices)]
    more = f" and {len(parts) - limit} more" if len(parts) > limit else ""
    return ", ".join(parts[:limit]) + more


def _drawn(run: Run) -> list[tuple[int, int]]:
    """The run without its gaps."""
    first, last = int(run.first), int(run.last)
    found = []
    for low, high in spans(run.gaps):
        found.append((first, low - 1))
        first = high + 1
    found.append((first, last))
    return [(a, b) for a, b in found if b >= a]


def _cut(run: Run, low: int, *, top: float, full: float) -> list[str]:
    wide = max(full * _LEAST, 1.0)
    ends = []
    if run.truncated in {"low", "both"}:
        ends.append(_bar(run.first - low, wide, top=top - 1, height=BAR + 2))
    if run.truncated in {"high", "both"}:
        ends.append(_bar(run.last - low + 1 - wide, wide, top=top - 1, height=BAR + 2))
    return ends


def _wide(x: float, width: float, *, top: float, full: float) -> str:
    least = max(width, full * _LEAST)
    return _bar(min(x - (least - width) / 2, full - least), least, top=top)


def _bar(x: float, width: float, *, top: float, height: float = BAR) -> str:
    left, wide, high, tall = (f"{round(v, 2):g}" for v in (x, width, top, height))
    return f"M{left} {high}h{wide}v{tall}h-{wide}z"


@dataclass(frozen=True)
class Schematic:
    """A rater's box against the consensus, moved and scaled as the rater does, exaggerated."""

    x: float
    y: float
    width: float
    height: float
    dx: float
    dy: float
    times: float

    @property
    def arrow(self) -> str:
        """Arrow from the centre of the consensus to that of the rater; "" where they meet."""
        length = math.hypot(self.dx, self.dy)
        if length < _SEEN:
            return ""
        x, y = REFERENCE[0] + REFERENCE[2] / 2, REFERENCE[1] + REFERENCE[3] / 2
        ux, uy = self.dx / length, self.dy / length
        tip = (x + self.dx, y + self.dy)
        back = (tip[0] - 5 * ux, tip[1] - 5 * uy)
        wings = ((back[0] - 3 * uy, back[1] + 3 * ux), (back[0] + 3 * uy, back[1] - 3 * ux))
        line = [(x, y), tip, wings[0], tip, wings[1]]
        return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in line)


_SEEN = 2.5
"""Length in units from which an arrow is worth drawing."""
REFERENCE = (80.0, 30.0, 80.0, 60.0)
"""The consensus box in a schematic of 240 x 120 units: x, y, width, height."""
_ROOM = 20.0


def schematics(shifts: Sequence[tuple[float, float, float]]) -> list[Schematic]:
    """Schematic boxes of all raters, all exaggerated alike.

    Parameters
    ----------
    shifts : sequence of (dx, dy, size_ratio)
        Displacement in px and ratio of the side lengths; nan counts as none.

    Returns
    -------
    list of Schematic
        The largest displacement takes `_ROOM` units.
    """
    known = [(_or(dx, 0.0), _or(dy, 0.0), _or(size, 1.0)) for dx, dy, size in shifts]
    largest = max((abs(v) for dx, dy, _ in known for v in (dx, dy)), default=0.0)
    times = _ROOM / largest if largest > 0.05 else 1.0
    return [_schematic(shift, times) for shift in known]


def _schematic(shift: tuple[float, float, float], times: float) -> Schematic:
    x, y, width, height = REFERENCE
    dx, dy = shift[0] * times, shift[1] * times
    grow = min(max(shift[2], 0.5), 1.45)
    return Schematic(
        x=x + dx + width * (1 - grow) / 2,
        y=y + dy + height * (1 - grow) / 2,
        width=width * grow,
        height=height * grow,
        dx=dx,
        dy=dy,
        times=times,
    )


def _or(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise
