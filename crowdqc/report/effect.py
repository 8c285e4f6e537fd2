"""Filtered against unfiltered: what the quality control changed, in pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from crowdqc.report.content import Column, Interval, Section, Table
from crowdqc.report.masks import NEEDS_TRUTH, NEEDS_VOLUMES
from crowdqc.report.results import Results
from crowdqc.report.words import count, number, p_value, readable

LEVEL = 0.05
"""p value below which a difference is called more than chance."""


@dataclass(frozen=True)
class Paired:
    """Two scores of the same thing, for each organ."""

    a: str
    b: str
    labels: tuple[str, ...]
    cases: tuple[tuple[str, ...], ...]
    first: tuple[tuple[float, ...], ...]
    second: tuple[tuple[float, ...], ...]


def effect_section(results: Results) -> Section:
    """The section that holds filtered against unfiltered."""
    key, title = "effect", "Filtered against unfiltered"
    if not results.has("comparison") and not results.has("scores"):
        remedy = "" if results.has_volumes else NEEDS_VOLUMES
        remedy = remedy if results.has_truth or remedy else NEEDS_TRUTH
        return Section(key, title, missing="crowdqc evaluate", remedy=remedy)
    comparison = results.table("comparison")
    tables = (_table(comparison), _scores(results))
    return Section(
        key,
        title,
        lead=tuple(_lead(comparison)),
        tables=tuple(table for table in tables if table.rows),
        missing="" if len(comparison) else "crowdqc compare",
        view=_paired(results, comparison),
    )


def _lead(comparison: pd.DataFrame) -> list[str]:
    lead = []
    for row in comparison[comparison["label"] == "overall"].itertuples(index=False):
        better, worse = (row.a, row.b) if row.difference >= 0 else (row.b, row.a)
        name = readable(better)
        where = f"{count(row.n, 'case')}, difference {number(row.difference, 3)}"
        if not math.isnan(row.low):
            where += f", interval {number(row.low, 3)} to {number(row.high, 3)}"
        lead.append(
            f"{name[0].upper()}{name[1:]} scores {number(abs(row.difference), 3)} Dice above "
            f"{readable(worse)} on average ({where})."
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
    text = p_value(row.p)
    return f"{test}: p {text if text.startswith('<') else f'= {text}'}, so {verdict}."


def _table(comparison: pd.DataFrame) -> Table:
    """The table `comparison`; where it is of two sets only, they name the columns."""
    one = len(comparison[["a", "b"]].drop_duplicates()) == 1
    a, b = ("A", "B") if not one else (readable(n) for n in comparison[["a", "b"]].iloc[0])
    why = list(comparison["why"]) if "why" in comparison.columns else []
    if len(set(why)) < 2:  # the sentence above the table says it once
        why = [""] * len(comparison)
    columns = (
        Column("label", "Organ", "name"),
        Column("a", "A"),
        Column("b", "B"),
        Column("n", "Cases", "count", note="Pairs that were compared"),
        Column("mean_a", f"Mean, {a}", "number", 3),
        Column("mean_b", f"Mean, {b}", "number", 3),
        Column("difference", "Difference", "interval", 3, note=f"Mean of {a} − {b}, in pairs"),
        Column("test", "Test"),
        Column("p", "p", "p"),
        Column("p_holm", "p (Holm)", "p", note="Corrected for the number of organs"),
        Column("effect", "Effect", "number", note="Matched-pairs rank-biserial, from −1 to 1"),
        Column("why", "Remark"),
    )
    sets = (
        [("", "")] * len(comparison) if one else zip(comparison["a"], comparison["b"], strict=True)
    )
    rows = tuple(
        (
            *(r.label, *names, r.n, r.mean_a, r.mean_b),
            Interval(r.difference, r.low, r.high),
            *(r.test.capitalize(), r.p, r.p_holm, r.effect, text),
        )
        for r, names, text in zip(comparison.itertuples(index=False), sets, why, strict=True)
    )
    return Table("comparison", "Paired comparison", columns, rows)


def _scores(results: Results) -> Table:
    """Dice of whole volumes: one row per case and organ, a column per set."""
    volumes = _volumes(results)
    sets = list(dict.fromkeys(volumes["set"]))
    wide = volumes.pivot_table(index=["case", "label"], columns="set", values="dice", sort=True)
    wide = wide.reindex(columns=sets)
    columns = (
        Column("case", "Case", "name"),
        Column("label", "Organ", "name"),
        *(Column(name, readable(name).capitalize(), "number", 3) for name in sets),
    )
    rows = tuple(
        (*index, *values) for index, values in zip(wide.index, wide.to_numpy(), strict=True)
    )
    return Table(
        "scores",
        "Dice of whole volumes",
        columns,
        tuple((case, label, *map(float, values)) for case, label, *values in rows[:300]),
        n_left_out=max(len(rows) - 300, 0),
        search=True,
    )


def _volumes(results: Results) -> pd.DataFrame:
    scores = results.table("scores")
    return scores[scores["slice"].isna() & scores["dice"].notna()]


def _paired(results: Results, comparison: pd.DataFrame) -> Paired | None:
    volumes = _volumes(results)
    a, b = _sets(volumes, comparison)
    if not b:
        return None
    key = ["case", "label"]
    pairs = volumes[volumes["set"] == a].merge(volumes[volumes["set"] == b], on=key)
    groups = {label: pairs[pairs["label"] == label] for label in results.labels}
    groups = {label: group for label, group in groups.items() if len(group)}
    if not groups:
        return None
    return Paired(
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
