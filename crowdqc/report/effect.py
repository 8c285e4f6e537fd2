"""Filtered against unfiltered: what the quality control changed, in pairs."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crowdqc.report.content import Column, Interval, Section, Table
from crowdqc.report.results import Results
from crowdqc.report.words import number, p_value, readable

COLUMNS = (
    Column("label", "Organ", "name"),
    Column("a", "A", "text"),
    Column("b", "B", "text"),
    Column("n", "n", "count", note="Pairs"),
    Column("mean_a", "Mean of A", "number", 3),
    Column("mean_b", "Mean of B", "number", 3),
    Column("difference", "A − B", "interval", 3, note="Mean paired difference with its interval"),
    Column("test", "Test", "text"),
    Column("p", "p", "p"),
    Column("p_holm", "p (Holm)", "p", note="Corrected for the number of organs"),
    Column("effect", "Effect", "number", note="Effect size"),
)


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
        return Section(key, title, missing="crowdqc evaluate")
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
    overall = comparison[comparison["label"] == "overall"]
    for row in overall.itertuples(index=False):
        better, worse = (row.a, row.b) if row.difference >= 0 else (row.b, row.a)
        certain = "" if row.p < 0.05 else ", which chance may explain"
        lead.append(
            f"{readable(better)[0].upper()}{readable(better)[1:]} scores "
            f"{number(abs(row.difference), 3)} Dice above {readable(worse)} on average "
            f"(p {_p(row.p)}){certain}."
        )
    return lead


def _p(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _table(comparison: pd.DataFrame) -> Table:
    rows = tuple(
        (
            *(r.label, r.a, r.b, r.n, r.mean_a, r.mean_b),
            Interval(r.difference, r.low, r.high),
            *(r.test, r.p, r.p_holm, r.effect),
        )
        for r in comparison.itertuples(index=False)
    )
    return Table("comparison", "Paired comparison", COLUMNS, rows)


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
