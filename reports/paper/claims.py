"""Claims of the study, each with what the released files say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crowdqc.completeness import assess
from crowdqc.config import load_config
from crowdqc.formats import read_study
from crowdqc.schema import Study
from crowdqc.stages.images import known_images
from reports.paper.file import Annotations, Bound
from reports.paper.scores import MEAN
from reports.paper.tables import signed

SLICE = ["case", "slice"]


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
    above = about[~about["p"].map(bound.holds)]
    found = f"{len(about) - len(above)} of {len(about)} are {bound.words}"
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
        *(_totals(published, crowd) if published.seconds else []),
    ]


def _verdict(n_broken: int, n: int) -> str:
    return "holds" if not n_broken else "does not hold" if n_broken == n else "in part"


def _totals(published: Annotations, crowd: Study) -> list[Checked]:
    """What was said of all boxes together, of what is missing, and of the time that it took."""
    ours = crowd.boxes[crowd.boxes["case"].isin(published.boxes)]
    opened = crowd.readings[crowd.readings["case"].isin(published.boxes)]
    n, n_all = (table.drop_duplicates(SLICE) for table in (ours, crowd.boxes))
    n_opened = len(opened.drop_duplicates(SLICE))
    found = (
        f"{len(ours):,} boxes on {len(n)} slices are of the {len(published.boxes)} training "
        f"volumes; {len(crowd.boxes):,} on {len(n_all)} are of all volumes that were released."
    )
    same = (len(ours), len(n)) == (published.n_boxes, published.n_slices)
    source = "the paper, text of section 3.2"
    claim = f"{published.n_slices} slices of {len(published.boxes)} volumes have "
    claim += f"{published.n_boxes:,} boxes"
    slices = published.minutes * 60 / published.seconds
    pace = (
        f"{published.minutes:.2f} min at {published.seconds:.2f} s are {slices:.0f} slices, and "
        f"{n_opened} slices of the {len(published.boxes)} volumes have a file: consistent, where a "
        f"slice is one that was opened. A slice with a box takes "
        f"{published.minutes * 60 / (len(ours.drop_duplicates([*SLICE, 'label'])) / 5):.1f} s."
    )
    return [
        Checked(claim, source, found, "holds" if same else "in part"),
        _missing(published, ours, source),
        Checked(
            f"{published.minutes:.2f} min for an organ in all volumes, {published.seconds:.2f} s "
            "for a slice",
            source,
            pace,
            "holds" if abs(slices / n_opened - 1) < 0.01 else "in part",
        ),
    ]


def _missing(published: Annotations, boxes: pd.DataFrame, source: str) -> Checked:
    there = set(zip(boxes["case"], boxes["label"], strict=True))
    found, broken = [], 0
    for label, n in published.missing.items():
        without = [case for case in published.boxes if (case, label) not in there]
        broken += len(without) != n
        found.append(f"{label.replace('_', ' ')} {len(without)} ({', '.join(without)})")
    said = ", ".join(f"{x.replace('_', ' ')} in {n}" for x, n in published.missing.items())
    verdict = _verdict(broken, len(found))
    return Checked(f"Missing: {said}", source, f"Without a box: {'; '.join(found)}.", verdict)


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
        "Dice by slice of the training set, n = 15 (caption of Table 3)",
        "the paper, Table 3",
        found,
        "noted",
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
    return Checked(claim, "the paper, text of section 3.2", found, "holds")


def check_all(
    ours: pd.DataFrame, bounds: Sequence[Bound], annotations: list[Checked]
) -> list[Checked]:
    """Every claim, what was published first."""
    return [*(check_bound(ours, bound) for bound in bounds), *annotations, *check_scores(ours)]
