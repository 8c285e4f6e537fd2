"""Filtered against unfiltered: what the quality control changed, in pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from crowdqc.report.columns import column, columns
from crowdqc.report.content import Interval, Kind, ReportSection, Table, TableColumn
from crowdqc.report.masks import NEEDS_TRUTH, NEEDS_VOLUMES
from crowdqc.report.results import Results
from crowdqc.report.text import number, p_value, readable
from crowdqc.text import count

LEVEL = 0.05
"""p value below which a difference is called more than chance."""
MAX_ROWS = 300
SHOWN = (
    "label", "a", "b", "n", "mean_a", "mean_b", "difference", "test", "p", "p_holm", "effect",
    "detectable", "why",
)  # fmt: skip
"""Columns of a comparison, in order."""
DICE = ("mean_a", "mean_b", "difference", "detectable")
"""Those that are written with three digits."""


@dataclass(frozen=True)
class ScoreSource:
    """Where scores of one kind stand, and how people call them."""

    key: str
    scores: str
    comparison: str
    what: str


MASKS = ScoreSource("effect", "scores", "comparison", "masks")
MODELS = ScoreSource("effect_models", "model_scores", "model_comparison", "trained models")


@dataclass(frozen=True)
class PairedScores:
    """Two scores of the same thing, for each organ."""

    key: str
    what: str
    a: str
    b: str
    labels: tuple[str, ...]
    cases: tuple[tuple[str, ...], ...]
    first: tuple[tuple[float, ...], ...]
    second: tuple[tuple[float, ...], ...]


def effect_section(results: Results) -> ReportSection:
    """The section that holds filtered against unfiltered: masks, and models trained on them."""
    key, title = "effect", "Filtered against unfiltered"
    present = [s for s in (MASKS, MODELS) if results.has(s.scores) or results.has(s.comparison)]
    if not present:
        remedy = "" if results.has_volumes else NEEDS_VOLUMES
        remedy = remedy if results.has_truth or remedy else NEEDS_TRUTH
        return ReportSection(key, title, missing="evaluate", remedy=remedy)
    compared = [results.table(source.comparison) for source in present]
    tables = [
        table
        for source, comparison in zip(present, compared, strict=True)
        for table in (_table(comparison, source), _scores(results, source))
    ]
    pairs = [_paired(results, *both) for both in zip(compared, present, strict=True)]
    return ReportSection(
        key,
        title,
        lead=tuple(
            sentence for both in zip(compared, present, strict=True) for sentence in _lead(*both)
        ),
        tables=tuple(table for table in tables if table.rows),
        missing="" if any(map(len, compared)) else "compare",
        view=tuple(pair for pair in pairs if pair is not None),
    )


def _lead(comparison: pd.DataFrame, source: ScoreSource) -> list[str]:
    lead = []
    for row in comparison[comparison["label"] == "overall"].itertuples(index=False):
        better, worse = (row.a, row.b) if row.difference >= 0 else (row.b, row.a)
        where = f"{count(row.n, 'case')}, difference {number(row.difference, 3)}"
        if not math.isnan(row.low):
            where += f", interval {number(row.low, 3)} to {number(row.high, 3)}"
        lead.append(
            f"Of the {source.what}, {readable(better)} scores {number(abs(row.difference), 3)} "
            f"Dice above {readable(worse)} on average ({where})."
        )
        lead.append(_chance(row))
    return lead


def _chance(row: Any) -> str:
    """What the test says of the difference."""
    test = row.test.capitalize() or "The test"
    if math.isnan(row.p):
        why = getattr(row, "why", "")
        return f"{test} gives no p value{f': {why}' if why else ''}."
    verdict = "chance alone would rarely make it" if row.p < LEVEL else "chance may explain it"
    text = f"{test}: p {p_value(row.p, equals='= ')}, so {verdict}."
    if not math.isnan(row.detectable) and not row.p < LEVEL:
        least = number(row.detectable, 3)
        text += f" A difference below {least} would probably not have been seen with so few."
    return text


def _table(comparison: pd.DataFrame, source: ScoreSource) -> Table:
    """A table `comparison`; where it is of two sets only, they name the columns."""
    one = len(comparison[["a", "b"]].drop_duplicates()) == 1
    a, b = ("A", "B") if not one else (readable(n) for n in comparison[["a", "b"]].iloc[0])
    why = list(comparison["why"]) if "why" in comparison.columns else []
    if len(set(why)) < 2:  # the sentence above the table says it once
        why = [""] * len(comparison)
    sets = (
        [("", "")] * len(comparison) if one else zip(comparison["a"], comparison["b"], strict=True)
    )
    rows = tuple(
        (
            *(r.label, *names, r.n, r.mean_a, r.mean_b),
            Interval(r.difference, r.low, r.high),
            *(r.test.capitalize(), r.p, r.p_holm, r.effect, r.detectable, text),
        )
        for r, names, text in zip(comparison.itertuples(index=False), sets, why, strict=True)
    )
    caption = f"Paired comparison of the {source.what}"
    return Table(source.comparison, caption, _columns(a, b), rows)


def _columns(a: str, b: str) -> tuple[TableColumn, ...]:
    """Columns of a comparison of the sets that people call `a` and `b`."""
    kinds: dict[str, Kind] = {"difference": "interval", "p": "p", "p_holm": "p"}
    titles = {"mean_a": f"Mean, {a}", "mean_b": f"Mean, {b}"}
    headings = (
        column("comparison", name, kind=kinds.get(name), title=titles.get(name, ""))
        for name in SHOWN
    )
    return tuple(replace(one, digits=3) if one.name in DICE else one for one in headings)


def _scores(results: Results, source: ScoreSource) -> Table:
    """Dice of whole volumes: one row per case and organ, a column per set."""
    volumes = _volumes(results, source)
    sets = list(dict.fromkeys(volumes["set"]))
    wide = volumes.pivot_table(index=["case", "label"], columns="set", values="dice", sort=True)
    wide = wide.reindex(columns=sets)
    headings = (
        *columns("scores", ("case", "label")),
        *(TableColumn(name, readable(name).capitalize(), "number", 3) for name in sets),
    )
    rows = tuple(wide.reset_index().itertuples(index=False, name=None))
    return Table(
        source.scores,
        f"Dice of whole volumes, {source.what}",
        headings,
        rows[:MAX_ROWS],
        n_left_out=max(len(rows) - MAX_ROWS, 0),
        search=True,
    )


def _volumes(results: Results, source: ScoreSource) -> pd.DataFrame:
    scores = results.table(source.scores)
    return scores[scores["slice"].isna() & scores["dice"].notna()]


def _paired(results: Results, comparison: pd.DataFrame, source: ScoreSource) -> PairedScores | None:
    volumes = _volumes(results, source)
    a, b = _sets(volumes, comparison)
    if not b:
        return None
    key = ["case", "label"]
    pairs = volumes[volumes["set"] == a].merge(volumes[volumes["set"] == b], on=key)
    groups = results.by_label(pairs)
    if not groups:
        return None
    return PairedScores(
        source.key,
        source.what,
        a,
        b,
        tuple(groups),
        tuple(tuple(g["case"]) for g in groups.values()),
        tuple(tuple(map(float, g["dice_x"])) for g in groups.values()),
        tuple(tuple(map(float, g["dice_y"])) for g in groups.values()),
    )


def _sets(volumes: pd.DataFrame, comparison: pd.DataFrame) -> tuple[str, str]:
    """The two sets to draw: those of the comparison, else the first two of the scores."""
    present = list(dict.fromkeys(volumes["set"]))
    for row in comparison.itertuples(index=False):
        if row.a in present and row.b in present:
            return row.a, row.b
    return (present[0], present[1]) if len(present) > 1 else ("", "")
