"""Box plots as SVG: two boxes for each row of a table, with the p of their difference."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from reports.paper.scores import Pairing

COLOURS = ("#0072b2", "#e69f00")
"""Blue and orange of Okabe and Ito: told apart in every common colour blindness."""
_LEFT, _TOP, _HEIGHT, _SLOT, _BOX = 44, 40, 220, 104, 30
_STYLE = (
    ".paper-plot text{font:13px system-ui,sans-serif;fill:#1a1e24}"
    ".paper-plot .line{stroke:#1a1e24;stroke-width:1.2}"
    ".paper-plot .grid{stroke:#d5dae1}.paper-plot .back{fill:#fff}"
    "@media(prefers-color-scheme:dark){.paper-plot text{fill:#e7eaee}"
    ".paper-plot .line{stroke:#e7eaee}.paper-plot .grid{stroke:#3a424c}"
    ".paper-plot .back{fill:#14171b}}"
)


def box_plot(pairings: Sequence[Pairing], p: Sequence[float], *, title: str) -> str:
    """One SVG picture with a box for each side of each pairing.

    Boxes span the quartiles, the line inside is the median, whiskers reach to the last value
    within 1.5 times the box, dots are beyond; above stands the p of the signed-rank test.

    Parameters
    ----------
    pairings : sequence of Pairing
        Rows of one table.
    p : sequence of float
        One for each pairing.
    title : str
        What the picture shows, for people who hear it.
    """
    low = _floor(pairings)
    width = _LEFT + _SLOT * len(pairings) + 12
    parts = [_axis(low, width), _legend(pairings[0].names, width)]
    for place, (pairing, value) in enumerate(zip(pairings, p, strict=True)):
        middle = _LEFT + _SLOT * (place + 0.5)
        for side, dice in enumerate((pairing.a, pairing.b)):
            x = middle + (side - 0.5) * (_BOX + 10)
            parts.append(_box(dice, x=x, low=low, colour=COLOURS[side]))
        parts.append(_text(middle, _TOP - 6, f"p {_p(value)}"))
        parts.append(_text(middle, _TOP + _HEIGHT + 20, pairing.row))
    height = _TOP + _HEIGHT + 32
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="paper-plot" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f'<rect class="back" width="{width}" height="{height}"/>{"".join(parts)}</svg>\n'
    )


def _floor(pairings: Sequence[Pairing]) -> float:
    """Lower end of the axis: the next tenth below every value."""
    lowest = min(float(min(pairing.a.min(), pairing.b.min())) for pairing in pairings)
    return float(np.floor(lowest * 10) / 10)


def _y(value: float, low: float) -> float:
    return round(_TOP + _HEIGHT * (1 - value) / (1 - low), 1)


def _axis(low: float, width: float) -> str:
    step = 0.1 if low > 0.4 else 0.2
    lines = []
    for value in np.arange(1, low - 1e-9, -step):
        y = _y(float(value), low)
        lines.append(f'<path class="grid" d="M{_LEFT} {y}H{width - 8}"/>')
        lines.append(_text(_LEFT - 8, y + 4, f"{value:.1f}", anchor="end"))
    return "".join([*lines, _text(8, 16, "Dice", anchor="start")])


def _legend(names: tuple[str, str], width: float) -> str:
    parts = []
    for place, name in enumerate(names):
        x = width - 190 + place * 96
        parts.append(f'<rect x="{x}" y="6" width="12" height="12" fill="{COLOURS[place]}"/>')
        parts.append(_text(x + 17, 16, name, anchor="start"))
    return "".join(parts)


def _box(dice: NDArray[np.float64], *, x: float, low: float, colour: str) -> str:
    first, median, third = np.percentile(dice, (25, 50, 75))
    reach = 1.5 * (third - first)
    inside = dice[(dice >= first - reach) & (dice <= third + reach)]
    top, upper, middle, lower, end = (
        _y(float(v), low) for v in (inside.max(), third, median, first, inside.min())
    )
    left, right = x - _BOX / 2, x + _BOX / 2
    dots = "".join(
        f'<circle cx="{x}" cy="{_y(float(v), low)}" r="1.8" fill="{colour}" fill-opacity=".6"/>'
        for v in dice[(dice < first - reach) | (dice > third + reach)]
    )
    return (
        f'<path class="line" d="M{x} {top}V{upper}M{x} {lower}V{end}"/>'
        f'<rect x="{left}" y="{upper}" width="{_BOX}" height="{round(lower - upper, 1)}" '
        f'fill="{colour}" fill-opacity=".55" class="line"/>'
        f'<path class="line" stroke-width="2" d="M{left} {middle}H{right}"/>{dots}'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _p(value: float) -> str:
    digits = 2 if value >= 0.1 else 3
    return "< .001" if value < 0.001 else f"= {value:.{digits}f}".replace("0.", ".")
