"""The upright box round a polygon, an ellipse or a mask, where a study asks for it.

Corners are ``x0, y0, x1, y1`` in px; `None` stands for a shape that is none, or has no extent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from crowdqc.formats.files import parse_number

Corners = list[object]
_SHIFT_MAX = 60
PIXELS_MAX = 100_000_000
"""Most pixels of a mask."""


def box_of_points(xs: Sequence[object], ys: Sequence[object]) -> Corners | None:
    """The box round a polygon of at least three points.

    Parameters
    ----------
    xs : sequence
        Columns of N corners in px: numbers, or text that holds one.
    ys : sequence
        Rows, as `xs`.

    Returns
    -------
    list of float or None
        ``x0, y0, x1, y1``; `None` if fewer than three, or not all of them are numbers.

    Examples
    --------
    >>> box_of_points([1, 5, "3.5"], [2, 2, 7])
    [1.0, 2.0, 5.0, 7.0]
    """
    x, y = ([parse_number(str(value)) for value in values] for values in (xs, ys))
    known = [(a, b) for a, b in zip(x, y, strict=False) if a is not None and b is not None]
    if len(x) != len(y) or len(known) < len(x) or len(known) < 3:
        return None
    columns, rows = zip(*known, strict=True)
    return [min(columns), min(rows), max(columns), max(rows)]


def box_of_ellipse(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float
) -> Corners:
    """The box round an ellipse that is turned by some degrees.

    Parameters
    ----------
    centre : tuple of float
        x, y in px.
    radii : tuple of float
        Along its own x and y axis, in px.
    degrees : float
        In either direction: the box is the same.

    Returns
    -------
    list of float
        ``x0, y0, x1, y1`` in px.
    """
    turn = math.radians(degrees)
    half_width = math.hypot(radii[0] * math.cos(turn), radii[1] * math.sin(turn))
    half_height = math.hypot(radii[0] * math.sin(turn), radii[1] * math.cos(turn))
    x, y = centre
    return [x - half_width, y - half_height, x + half_width, y + half_height]


def box_of_runs(counts: object, size: object) -> Corners | None:
    """The box round a mask in COCO's runs of 0 and 1 by columns, as numbers or packed as a text.

    Parameters
    ----------
    counts : list of int, or str
        Lengths of the runs, or COCO's packed text of them.
    size : list of int
        Height and width in px.

    Returns
    -------
    list of float or None
        ``x0, y0, x1, y1`` in px; `None` if the mask is empty or the two do not fit.

    Examples
    --------
    >>> box_of_runs([4, 2, 1, 1, 1], [3, 3])
    [1, 1, 3, 3]
    """
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(n, int) for n in size):
        return None
    height, width = size
    runs = list(_unpacked_counts(counts)) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(isinstance(n, int) and n >= 0 for n in runs):
        return None
    if not 0 < height * width <= PIXELS_MAX or sum(runs) != height * width:
        return None
    ends = list(accumulate(runs))
    box = _box_of_ranges(zip(ends[::2], ends[1::2], strict=False), height)
    return box and [box[1], box[0], box[3], box[2]]


def _unpacked_counts(text: str) -> Iterator[int]:
    """COCO's runs: 5 bits a character, lowest first, each the difference to the last but one."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            if shift > _SHIFT_MAX:
                yield -1  # no run is so long
                return
            continue
        value -= (1 << shift) * bool(bits & 16)
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        yield counts[-1]
        value = shift = 0


def box_of_brush(rle: object, width: int, height: int) -> Corners | None:
    """The box round a brush mask of Label Studio: packed runs of red, green, blue and alpha.

    Parameters
    ----------
    rle : list of int
        Bytes of the packed runs.
    width : int
        Of the image, in px.
    height : int
        Of the image, in px.

    Returns
    -------
    list of float or None
        ``x0, y0, x1, y1`` in px; `None` if nothing is painted, or it cannot be unpacked.
    """
    if not isinstance(rle, list) or not all(isinstance(n, int) and 0 <= n < 256 for n in rle):
        return None
    try:
        box = _box_of_ranges(_brush_ranges(bytes(rle), 4 * width * height), width)
    except ValueError:  # ends too early
        return None
    return None if box is None else list(box)


def _brush_ranges(data: bytes, n_values: int) -> Iterator[tuple[int, int]]:
    """Pixels ``start, end`` that are painted, in the order of rows."""
    bits, place = "".join(f"{byte:08b}" for byte in data), 0

    def take(n: int) -> int:
        nonlocal place
        place += n
        return int(bits[place - n : place], 2)

    if take(32) != n_values or n_values > 4 * PIXELS_MAX:
        raise ValueError("another number of values")
    word, sizes = take(5) + 1, [take(4) + 1 for _ in range(4)]
    at = 0
    while at < n_values:
        repeated = take(1)
        end = at + 1 + take(sizes[take(2)])
        if repeated:
            if take(word):
                yield at // 4, (end + 3) // 4
        else:
            yield from ((k // 4, k // 4 + 1) for k in range(at, end) if take(word))
        at = end


def _box_of_ranges(
    ranges: Iterable[tuple[int, int]], width: int
) -> tuple[int, int, int, int] | None:
    """The box round pixels that are numbered along rows of `width`, given as ``start, end``."""
    found = [(start, end) for start, end in ranges if end > start]
    if not found:
        return None
    rows = [(start // width, (end - 1) // width) for start, end in found]
    whole = any(first < last for first, last in rows)
    x0 = 0 if whole else min(start % width for start, _ in found)
    x1 = width if whole else max((end - 1) % width + 1 for _, end in found)
    return x0, min(first for first, _ in rows), x1, max(last for _, last in rows) + 1
