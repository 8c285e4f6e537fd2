"""Claims of the study, each with what the released files say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crowdqc.completeness import assess
from crowdqc.config import load_config
from crowdqc.formats import read_study
from crowdqc.stages.images import known_images
from reports.paper.file import Annotations, Bound
from reports.paper.scores import MEAN
from reports.paper.tables import signed


@dataclass(frozen=True)
class Checked:
    """One claim, and what came out."""

    claim: str
    source: str
    found: str
    verdict: str
    """``holds``, ``in part``, ``does not hold`` or ``noted``: nothing was claimed."""


def check_bound(ours: pd.DataFrame, bound: Bound) -> Checked:
    """Whether every p value that the claim is about is below its bound."""
    about = ours[ours["table"].isin(bound.tables)]
    if bound.rows:
        about = about[about["row"].isin(bound.rows)]
    above = about[~(about["p"] < bound.below)]
    found = f"{len(about) - len(above)} of {len(about)} are below {bound.below:g}"
    if len(above):
        broken = [
            f"{r.row} p = {r.p:.2g} ({r.a} against {r.b})" for r in above.itertuples(index=False)
        ]
        found += f"; not: {', '.join(broken)}"
    return Checked(bound.text, bound.source, f"{found}.", _verdict(len(above), len(about)))


def check_scores(ours: pd.DataFrame) -> list[Checked]:
    """What the tables rest on: the slices that are averaged, intervals, the effect of filtering."""
    rows = {(row.table, row.row): row for row in ours.itertuples(index=False)}
    return [_averaged(rows), _level(rows), _interval(rows), _filtered(rows)]


def check_annotations(published: Annotations, study: Path) -> list[Checked]:
    """The counts of boxes, and whether the cases called complete are.

    Parameters
    ----------
    said : Annotations
        What was published.
    study : Path
        The study file of the annotations.
    """
    config = load_config(study)
    crowd, _ = read_study(config, known_images(config))
    table, _ = assess(crowd)
    counts = crowd.boxes.groupby(["case", "label"]).size()
    return [
        _counted(published, counts),
        _complete(published, table, counts),
        _others(published, table),
    ]


def _verdict(n_broken: int, n: int) -> str:
    return "holds" if not n_broken else "does not hold" if n_broken == n else "in part"


def _counted(published: Annotations, counts: pd.Series) -> Checked:
    wrong = [
        f"{case} {label}: {n} printed, {counts.get((case, label), 0)} found"
        for case, row in published.boxes.items()
        for label, n in zip(published.labels, row, strict=True)
        if counts.get((case, label), 0) != n
    ]
    n = sum(len(row) for row in published.boxes.values())
    found = f"{n - len(wrong)} of {n} counts are the same"
    found += f"; not: {'; '.join(wrong)}." if wrong else "."
    claim = f"Boxes drawn, by case and organ ({n} counts)"
    return Checked(claim, published.source, found, _verdict(len(wrong), n))


def _complete(published: Annotations, table: pd.DataFrame, counts: pd.Series) -> Checked:
    gaps = table[table["case"].isin(published.complete)].groupby("case")["n_gaps"].sum()
    every = [c for c in published.complete if all((c, x) in counts.index for x in published.labels)]
    least = counts[counts.index.get_level_values("case").isin(published.complete)].idxmin()
    gaps = gaps.reindex(published.complete, fill_value=0)
    whole = [case for case in every if gaps[case] == 0]
    found = (
        f"{len(every)} of {len(published.complete)} have a box of each organ; {len(whole)} "
        f"({', '.join(whole) or 'none'}) {'has' if len(whole) == 1 else 'have'} no empty slice "
        f"inside an organ, the others {gaps.sum()} together. The least is "
        f"{least[1].replace('_', ' ')} of {least[0]}: {counts[least]} box."
    )
    verdict = "holds" if len(whole) == len(published.complete) else "in part"
    claim = (
        f"{len(published.complete)} of {len(published.boxes)} training volumes were fully annotated"
    )
    return Checked(claim, published.source, found, verdict)


def _others(published: Annotations, table: pd.DataFrame) -> Checked:
    other = table[~table["case"].isin(published.boxes)]
    drawn = other[other["n_slices"] > 0]
    found = (
        f"Prompts of {table['case'].nunique()} volumes were released; {other['case'].nunique()} "
        f"of them are test volumes, and {drawn['case'].nunique()} of those hold boxes "
        f"({', '.join(sorted(set(drawn['case'])))})."
    )
    claim = f"Prompts are of the {len(published.boxes)} training volumes"
    return Checked(claim, published.source, found, "in part" if len(other) else "holds")


Rows = dict[tuple[str, str], "pd.Series"]


def _averaged(rows: Rows) -> Checked:
    mean, spleen = rows["slices", MEAN], rows["slices_all", "spleen"]
    drawn = {row: rows["slices_all", row].n for table, row in rows if table == "slices_all"}
    found = (
        f"The notebook keeps the slices on which all five organs have a score of both models: "
        f"{mean.n} slices of {mean.n_volumes} volumes, out of {min(drawn.values())} to "
        f"{max(drawn.values())} slices of {spleen.n_volumes} volumes that have one of an organ."
    )
    return Checked(
        "Dice by slice on BTCV (table 3 here)", "analysis.ipynb, cell 20", found, "noted"
    )


def _level(rows: Rows) -> Checked:
    volume, some = rows["volumes", MEAN], rows["slices", MEAN]
    found = (
        f"By volume the mean is {volume.mean_a:.3f} (SAM) and {volume.mean_b:.3f} (MedSAM), by "
        f"slice {some.mean_a:.3f} and {some.mean_b:.3f}: a slice without a box costs a volume, "
        "but is no slice that is scored. Neither difference is significant "
        f"(p = {volume.p:.2g} and {some.p:.2g})."
    )
    return Checked("Masks have high mean Dice", "arXiv:2403.15218v1, abstract", found, "noted")


def _interval(rows: Rows) -> Checked:
    spleen, mean = rows["msd", "spleen, slices"], rows["slices", MEAN]
    found = (
        "Slices of one volume are taken as independent. With volumes as clusters the half width "
        f"is {spleen.clustered_b:.3f} instead of {spleen.ci_b:.3f} (MSD spleen, MedSAM, "
        f"{spleen.n} slices of {spleen.n_volumes} volumes) and {mean.clustered_a:.3f} instead of "
        f"{mean.ci_a:.3f} (BTCV, SAM); p by slice is too small for the same reason."
    )
    return Checked("Intervals and p by slice", "analysis.ipynb", found, "noted")


def _filtered(rows: Rows) -> Checked:
    crowd, truth = (rows[table, MEAN] for table in ("filtering", "control"))
    organs = [r for (table, row), r in rows.items() if table == "filtering" and row != MEAN]
    sure = [f"{r.row} (p = {r.p_holm:.2g})" for r in organs if r.p_holm < 0.05]
    found = (
        f"Crowd masks of 11 instead of 15 volumes: {signed(crowd.difference)} "
        f"({signed(crowd.low)} to {signed(crowd.high)}, p = {crowd.p:.2g}). Expert masks of the "
        f"same volumes: {signed(truth.difference)} ({signed(truth.low)} to {signed(truth.high)}, "
        f"p = {truth.p:.2g}), so it is not that fewer volumes would help. Of the organs, "
        f"corrected for five: {', '.join(sure) or 'none'}. One training each, {crowd.n} test "
        f"volumes: a difference below {crowd.detectable:.3f} would probably not have been seen."
    )
    claim = "Without the 4 incompletely annotated volumes the mean Dice is higher"
    return Checked(claim, "told second-hand", found, "holds")


def check_all(
    ours: pd.DataFrame, bounds: Sequence[Bound], annotations: list[Checked]
) -> list[Checked]:
    """Every claim, what was published first."""
    return [*(check_bound(ours, bound) for bound in bounds), *annotations, *check_scores(ours)]
