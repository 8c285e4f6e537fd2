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


_NOTHING = ("missing", "unread", "absent")
"""States of a rater who drew nothing."""


@dataclass(frozen=True)
class Lane:
    """What one rater drew of one organ in one case, along the slices; nan where nothing."""

    state: str
    first: float
    last: float
    gaps: tuple[int, ...] = ()
    truncated: str = ""


@dataclass(frozen=True)
class Strip:
    """Lanes of runs as SVG paths: drawn, gaps, cut ends; lanes of those who drew nothing."""

    width: float
    height: float
    paths: dict[str, str]
    """Class of a path -> the path."""


def strip(lanes: Sequence[Lane], low: int, high: int) -> Strip:
    """A strip of lanes, one below the other, over the slices `low` to `high`.

    Parameters
    ----------
    lanes : sequence of Lane
        From top to bottom.
    low : int
        First slice.
    high : int
        Last slice.

    Examples
    --------
    >>> strip([Lane("partial", 2, 5, (3,))], 0, 9).paths["drawn"]
    'M2 1h1v6h-1zM4 1h2v6h-2z'
    """
    width = float(max(high - low + 1, 1))
    paths: dict[str, list[str]] = {k: [] for k in ("drawn", "gaps", "cut", *_NOTHING)}
    for place, lane in enumerate(lanes):
        top = place * LANE + (LANE - BAR) / 2
        if lane.state and not math.isfinite(lane.first):
            kind = lane.state if lane.state in _NOTHING else "missing"
            flat = BAR / 2 if kind == "absent" else 0.0
            paths[kind].append(_bar(0, width, top=top + flat, height=BAR - 1.8 * flat))
        if not math.isfinite(lane.first):
            continue
        for kind, ranges in (("drawn", _drawn(lane)), ("gaps", slice_ranges(lane.gaps))):
            paths[kind] += [_wide(a - low, b - a + 1, top=top, full=width) for a, b in ranges]
        paths["cut"] += _cut(lane, low, top=top, full=width)
    joined = {kind: "".join(parts) for kind, parts in paths.items()}
    return Strip(width, max(len(lanes), 1) * LANE, joined)


def slice_ranges(slices: Iterable[int]) -> list[tuple[int, int]]:
    """First and last slice of each group of neighbours.

    Examples
    --------
    >>> slice_ranges([3, 4, 5, 9])
    [(3, 5), (9, 9)]
    """
    found: list[tuple[int, int]] = []
    for k in sorted(slices):
        if found and k == found[-1][1] + 1:
            found[-1] = (found[-1][0], k)
        else:
            found.append((k, k))
    return found


def ranges_text(slices: Iterable[int], limit: int = 6) -> str:
    """Slices in a few words.

    Parameters
    ----------
    slices : iterable of int
        In any order.
    limit : int
        Most ranges that are written out; the others are counted.

    Examples
    --------
    >>> ranges_text([3, 4, 5, 9])
    '3–5, 9'
    """
    parts = [str(a) if a == b else f"{a}\u2013{b}" for a, b in slice_ranges(slices)]
    more = f" and {len(parts) - limit} more" if len(parts) > limit else ""
    return ", ".join(parts[:limit]) + more


def _drawn(lane: Lane) -> list[tuple[int, int]]:
    """The lane without its gaps."""
    first, last = int(lane.first), int(lane.last)
    found = []
    for low, high in slice_ranges(lane.gaps):
        found.append((first, low - 1))
        first = high + 1
    found.append((first, last))
    return [(a, b) for a, b in found if b >= a]


def _cut(lane: Lane, low: int, *, top: float, full: float) -> list[str]:
    wide = max(full * _LEAST, 1.0)
    ends = []
    if lane.truncated in {"low", "both"}:
        ends.append(_bar(lane.first - low, wide, top=top - 1, height=BAR + 2))
    if lane.truncated in {"high", "both"}:
        ends.append(_bar(lane.last - low + 1 - wide, wide, top=top - 1, height=BAR + 2))
    return ends


def _wide(x: float, width: float, *, top: float, full: float) -> str:
    least = max(width, full * _LEAST)
    return _bar(min(x - (least - width) / 2, full - least), least, top=top)


def _bar(x: float, width: float, *, top: float, height: float = BAR) -> str:
    left, wide, high, tall = (f"{round(v, 2):g}" for v in (x, width, top, height))
    return f"M{left} {high}h{wide}v{tall}h-{wide}z"


@dataclass(frozen=True)
class BoxDrawing:
    """A rater's box against the consensus, each edge moved as the rater moves it, exaggerated."""

    x: float
    y: float
    width: float
    height: float
    arrows: str
    """An arrow from each edge of the consensus to the rater's, as one SVG path."""
    times: float
    """Units of the drawing for one px."""


_SEEN = 3.0
"""Length in units from which an arrow is worth drawing."""
REFERENCE = (80.0, 30.0, 80.0, 60.0)
"""The consensus box in a schematic of 240 x 120 units: x, y, width, height."""
_ROOM = 20.0

Edges = tuple[float, float, float, float]


def box_drawings(biases: Sequence[Edges]) -> list[BoxDrawing]:
    """Schematic boxes of all raters, all exaggerated alike.

    Parameters
    ----------
    biases : sequence of (x0, y0, x1, y1)
        Mean displacement of each edge in px, to the right and downwards; nan counts as none.

    Returns
    -------
    list of BoxDrawing
        The largest displacement takes `_ROOM` units.
    """
    known = [[value if math.isfinite(value) else 0.0 for value in bias] for bias in biases]
    largest = max((abs(value) for bias in known for value in bias), default=0.0)
    times = _ROOM / largest if largest > 0.05 else 1.0
    return [_box_drawing([value * times for value in bias], times) for bias in known]


def _box_drawing(moved: Sequence[float], times: float) -> BoxDrawing:
    x, y, width, height = REFERENCE
    left, top, right, bottom = moved
    middle_x, middle_y = x + width / 2, y + height / 2
    arrows = [
        _arrow((x, middle_y), left, across=True),
        _arrow((x + width, middle_y), right, across=True),
        _arrow((middle_x, y), top, across=False),
        _arrow((middle_x, y + height), bottom, across=False),
    ]
    return BoxDrawing(
        x=x + left,
        y=y + top,
        width=width + right - left,
        height=height + bottom - top,
        arrows="".join(arrows),
        times=times,
    )


def _arrow(start: tuple[float, float], length: float, *, across: bool) -> str:
    """An arrow along one axis; "" where it would be too short to see."""
    if abs(length) < _SEEN:
        return ""
    back = length - math.copysign(min(5.0, abs(length)), length)
    points = [(0.0, 0.0), (length, 0.0), (back, 3.0), (length, 0.0), (back, -3.0)]
    placed = [(a, b) if across else (b, a) for a, b in points]
    return "M" + "L".join(f"{start[0] + a:.1f} {start[1] + b:.1f}" for a, b in placed)
