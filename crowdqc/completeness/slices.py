"""Lists of slices as text, for people and files.

Examples
--------
>>> to_ranges([40, 41, 42, 43, 74]), from_ranges("40-43 74")
('40-43 74', [40, 41, 42, 43, 74])
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def to_ranges(slices: Iterable[int]) -> str:
    """Ascending slices as ``"40-43 74"``."""
    ordered = np.unique(np.fromiter(slices, dtype=np.int64))
    if not ordered.size:
        return ""
    parts = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    return " ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def in_ranges(text: str) -> str:
    """Slices one by one, as tables hold them, as ranges.

    Examples
    --------
    >>> in_ranges("3 4 5 10")
    '3-5 10'
    """
    return to_ranges(int(k) for k in text.split())


def from_ranges(text: str) -> list[int]:
    """Inverse of `to_ranges`."""
    slices: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        slices += range(int(first), int(last or first) + 1)
    return slices


def named(ranges: str) -> str:
    """Slices of `to_ranges` in a sentence.

    Examples
    --------
    >>> named("19"), named("40-43 74")
    ('slice 19', 'slices 40-43, 74')
    """
    noun = "slice" if ranges.isdecimal() else "slices"
    return f"{noun} {ranges.replace(' ', ', ')}"
