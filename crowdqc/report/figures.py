"""Charts, as the plain records that plotly draws; and the colours that everything shares.

Colours of the page (text, lines, background) are not set here: the page has a light and a dark
face, and sets them when it draws.
"""

from __future__ import annotations

import html
import math
from typing import Any

from crowdqc.report.agreement import MAX_MATRIX, Matrix, Scatter
from crowdqc.report.content import ReportContent
from crowdqc.report.effect import PairedScores
from crowdqc.report.text import readable, shortened

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Colours that colour-blind people tell apart (M. Okabe and K. Ito, 2002)."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "hexagon")
VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c",
    "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
)  # fmt: skip
"""Eleven steps of viridis (S. van der Walt and N. Smith, CC0)."""
MAX_NAMED = 48
"""Raters up to which their names on a matrix are of full size."""
MAX_NAME = 18
"""Letters of a name on an axis; the whole of it shows when pointed at."""
ALL_POINTS = 600
"""Points of one organ up to which each is drawn."""

Figure = dict[str, Any]


def figures(content: ReportContent) -> dict[str, Figure]:
    """Charts of a report, by the name of their place on the page."""
    found: dict[str, Figure] = {}
    scatter = content.section("agreement").view
    if scatter is not None:
        found["agreement"] = points(scatter)
    for matrix in content.section("pairs").view or ():
        if len(matrix.raters) > MAX_MATRIX:
            found[f"pairs-{matrix.measure}"] = _heatmap(matrix)
    signals = (content.section("masks").view or ((), None))[1]
    if signals is not None:
        found["masks"] = points(signals)
    found |= {pairs.key: _paired(pairs) for pairs in content.section("effect").view or ()}
    return found


def points(scatter: Scatter) -> Figure:
    """A box with its points for each organ."""
    traces = []
    columns = zip(scatter.labels, scatter.cases, scatter.values, strict=True)
    for place, (label, cases, values) in enumerate(columns):
        few = len(values) <= ALL_POINTS
        traces.append(
            {
                "type": "box",
                "name": _plain(readable(label)),
                "y": [round(value, 4) for value in values],
                "text": [_plain(case) for case in cases],
                "boxpoints": "all" if few else "outliers",
                "jitter": 0.5,
                "pointpos": 0,
                "hovertemplate": "%{text}: %{y:.2f}<extra>%{fullData.name}</extra>",
                "marker": {"color": OKABE_ITO[place % len(OKABE_ITO)], "size": 5, "opacity": 0.65},
                "line": {"width": 1.5},
                "fillcolor": "rgba(0,0,0,0)",
                "hoveron": "points",
                "showlegend": False,
            }
        )
    return {"data": traces, "layout": {"yaxis": {"title": {"text": scatter.title}}, "height": 380}}


def _heatmap(matrix: Matrix) -> Figure:
    """A matrix of many raters, by colour alone; the number shows when pointed at."""
    names = [_plain(rater) for rater in matrix.raters]
    short = [_plain(shortened(rater, MAX_NAME)) for rater in matrix.raters]
    rows = [[None if math.isnan(v) else round(v, 3) for v in row] for row in matrix.values]
    axis: Figure = {"type": "category", "showgrid": False, "ticks": "", "tickvals": names}
    axis |= {"ticktext": short, "tickfont": {"size": 11 if len(names) <= MAX_NAMED else 7}}
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": rows,
        "zmin": round(matrix.low, 3),
        "zmax": round(matrix.high, 3),
        "colorscale": "Viridis",
        "hoverongaps": False,
        "hovertemplate": "%{y} and %{x}: %{z:.2f}<extra></extra>",
        "colorbar": {"thickness": 12, "outlinewidth": 0},
    }
    side = min(200 + 17 * len(names), 1000)
    layout = {"xaxis": axis, "yaxis": {**axis, "autorange": "reversed"}, "height": side}
    return {"data": [trace], "layout": layout}


def _paired(pairs: PairedScores) -> Figure:
    """One score against the other: points above the diagonal are better in the first set."""
    values = [v for group in (*pairs.first, *pairs.second) for v in group]
    low = math.floor(min(values) * 20 - 0.2) / 20
    line = {"type": "line", "x0": low, "y0": low, "x1": 1, "y1": 1, "layer": "below"}
    axis = {"range": [low, 1.005], "constrain": "domain"}
    layout = {
        "xaxis": {**axis, "title": {"text": f"Dice, {_plain(readable(pairs.b))}"}},
        "yaxis": {
            **axis,
            "title": {"text": f"Dice, {_plain(readable(pairs.a))}"},
            "scaleanchor": "x",
        },
        "shapes": [line],
        "height": 460,
        "showlegend": True,
    }
    return {"data": _points(pairs), "layout": layout}


def _points(pairs: PairedScores) -> list[dict[str, Any]]:
    """Points of each label, in a colour and a shape of its own."""
    columns = zip(pairs.labels, pairs.cases, pairs.first, pairs.second, strict=True)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": _plain(readable(label)),
            "x": [round(value, 4) for value in second],
            "y": [round(value, 4) for value in first],
            "text": [_plain(case) for case in cases],
            "marker": {
                "color": OKABE_ITO[place % len(OKABE_ITO)],
                "symbol": SYMBOLS[place % len(SYMBOLS)],
                "size": 8,
                "opacity": 0.75,
            },
            "hovertemplate": "%{text}: %{x:.3f} to %{y:.3f}<extra>%{fullData.name}</extra>",
        }
        for place, (label, cases, first, second) in enumerate(columns)
    ]


def _plain(text: str) -> str:
    """Text that plotly shows as it is: plotly reads a few tags in every text.

    Examples
    --------
    >>> _plain("<b>R&D</b>")
    '&lt;b&gt;R&amp;D&lt;/b&gt;'
    """
    return html.escape(text, quote=False)


def viridis(value: float, low: float, high: float) -> tuple[str, str]:
    """Colour of a value on a scale, and that of text upon it.

    Parameters
    ----------
    value : float
        Beyond the ends it is coloured as they are.
    low : float
        Dark end.
    high : float
        Light end; if it is not above `low`, all is light.

    Returns
    -------
    tuple of str
        Two colours of CSS.

    Examples
    --------
    >>> viridis(0.0, 0.0, 1.0), viridis(1.0, 0.0, 1.0)
    (('#440154', '#fff'), ('#fde725', '#111'))
    """
    share = (value - low) / (high - low) if high > low else 1.0
    step = round(min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1))
    return VIRIDIS[step], "#111" if step > 4 else "#fff"
