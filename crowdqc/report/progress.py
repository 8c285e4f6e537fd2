"""Progress: how far each rater has come, how that changed over time, and what came back."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from crowdqc.assignments.history import latest
from crowdqc.report.columns import columns
from crowdqc.report.content import Link, ReportSection, Table
from crowdqc.report.raters import anchor, colour, dashed
from crowdqc.report.results import Results
from crowdqc.report.text import listing, share
from crowdqc.text import capitalised, count

RATERS = ("rater", "n_owed", "n_left", "n_read", "n_boxes", "agreement", "verdict")
RETURNS = (
    "round", "rater", "task", "n_asked", "n_back", "before", "after", "difference", "low", "high",
    "outcome",
)  # fmt: skip
WIDTH, HEIGHT = 640.0, 170.0
"""Size of the timeline, in the units of its view box."""
MAX_LINES = 12
"""Raters of whom the timeline has a line: those with most boxes."""


@dataclass(frozen=True)
class Line:
    """One rater's line: name, colour, and its points."""

    rater: str
    colour: int
    dashed: bool
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """The line as an SVG path."""
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Timeline:
    """Agreement of the raters, and what is read, on each date of the history."""

    width: float
    height: float
    dates: tuple[tuple[float, str], ...]
    grid: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    read: tuple[tuple[str, int, int], ...]
    """Date, slices that are done, and slices that are left."""
    n_hidden: int

    @property
    def alt(self) -> str:
        """The drawing in words."""
        ends = [
            f"{one.rater} from {_back(one.points[0][1]):.2f} to {_back(one.points[-1][1]):.2f}"
            for one in self.lines
        ]
        dates = f"{self.dates[0][1]} to {self.dates[-1][1]}"
        return f"Agreement from {dates}: {'; '.join(ends)}."


def progress_section(results: Results, history: pd.DataFrame) -> ReportSection | None:
    """The section on progress; `None` where no work was assigned and nothing came back.

    Parameters
    ----------
    results : Results
        All tables.
    history : DataFrame
        As of `crowdqc.assignments.history`.
    """
    returns = results.table("returns")
    now = latest(history)
    raters = now[(now["rater"] != "") & (now["case"] == "")]
    dates = sorted(set(history["date"]))
    owed = bool((raters["n_owed"] > 0).any())
    if not owed and returns.empty and len(dates) < 2:
        return None
    tables = [_raters(results, raters)] if len(raters) else []
    tables += [_returns(returns)] if len(returns) else []
    left = int(raters["n_left"].sum())
    open_ = bool(returns["outcome"].isin(["worse", "not back"]).any())
    return ReportSection(
        "progress",
        "Progress",
        lead=tuple(_lead(raters, returns, dates)),
        tables=tuple(tables),
        status="review" if left or open_ else "accept" if owed else "",
        view=timeline(results, history) if len(dates) > 1 else "no timeline",
    )


def _lead(raters: pd.DataFrame, returns: pd.DataFrame, dates: list[str]) -> Iterator[str]:
    owed, left = (int(raters[name].sum()) for name in ("n_owed", "n_left"))
    if owed:
        late = raters[raters["n_left"] > 0]
        names = listing(list(late.sort_values("n_left", ascending=False)["rater"]))
        still = f"; still to read: {names}" if len(late) else ""
        yield capitalised(f"{share(owed - left, owed, 'assigned slice')} are done{still}.")
    back = returns[returns["n_back"] > 0] if len(returns) else returns
    if len(returns):
        better, worse = (int((back["outcome"] == one).sum()) for one in ("better", "worse"))
        yield (
            f"Of {count(len(returns), 'task')} in work packages, {len(back)} came back: {better} "
            f"better than before, {worse} worse, and {len(back) - better - worse} without a "
            "difference that can be shown."
        )
    if len(dates) > 1:
        yield f"Known on {count(len(dates), 'date')}, from {dates[0]} to {dates[-1]}."


def _raters(results: Results, raters: pd.DataFrame) -> Table:
    rows = tuple(
        (Link(row[0], anchor(results, row[0])), *row[1:])
        for row in raters[list(RATERS)].itertuples(index=False, name=None)
    )
    return Table("progress", "Work of each rater", columns("history", RATERS), rows)


def _returns(returns: pd.DataFrame) -> Table:
    rows = tuple(returns[list(RETURNS)].itertuples(index=False, name=None))
    return Table(
        "returns", "What was asked for, and what came back", columns("returns", RETURNS), rows,
        paged=len(rows) > 100, choose="rater",
    )  # fmt: skip


def timeline(results: Results, history: pd.DataFrame) -> Timeline:
    """Agreement of each rater on each date, as lines; the highest value is at the top.

    Parameters
    ----------
    results : Results
        Gives the colours of the raters.
    history : DataFrame
        Table ``history``, of two dates or more.
    """
    days = [dt.date.fromisoformat(date) for date in sorted(set(history["date"]))]
    span = max((days[-1] - days[0]).days, 1)
    at = {day.isoformat(): WIDTH * (day - days[0]).days / span for day in days}
    totals = history[(history["rater"] != "") & (history["case"] == "")]
    totals = totals.drop_duplicates(["date", "rater"], keep="last").dropna(subset="agreement")
    most = totals.groupby("rater")["n_boxes"].max().sort_values(ascending=False, kind="stable")
    lines = []
    for rater in [name for name in results.raters if name in set(most.index[:MAX_LINES])]:
        mine = totals[totals["rater"] == rater]
        points = tuple(
            (at[date], HEIGHT * (1 - value))
            for date, value in zip(mine["date"], mine["agreement"], strict=True)
        )
        place = results.raters.index(rater)
        lines.append(Line(rater, colour(place), dashed(place), points))
    study = history[(history["rater"] == "") & (history["case"] == "")]
    study = study.drop_duplicates("date", keep="last")
    done = (study["n_owed"] - study["n_left"]).where(study["n_owed"] > 0, study["n_read"])
    return Timeline(
        width=WIDTH,
        height=HEIGHT,
        dates=_spread([(x, date) for date, x in at.items()]),
        grid=tuple((HEIGHT * (1 - value), f"{value:g}") for value in (0.0, 0.5, 1.0)),
        lines=tuple(lines),
        read=tuple(
            study.assign(done=done)[["date", "done", "n_left"]].itertuples(index=False, name=None)
        ),
        n_hidden=max(len(most) - MAX_LINES, 0),
    )


def _spread(dates: list[tuple[float, str]], apart: float = 90.0) -> tuple[tuple[float, str], ...]:
    """Dates that have room beside one another, the last among them."""
    kept = [dates[0]]
    for x, date in dates[1:-1]:
        if x - kept[-1][0] >= apart and dates[-1][0] - x >= apart:
            kept.append((x, date))
    return (*kept, dates[-1])


def _back(y: float) -> float:
    value = 1 - y / HEIGHT
    return value if math.isfinite(value) else 0.0
