"""One finding for each thing that is wrong with a run, with the slices to draw again.

Each check is registered as an entry point of the group ``crowdqc.checks``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.arrays import numbered
from crowdqc.checks import check
from crowdqc.completeness.asked import usual_labels
from crowdqc.completeness.checks import Found, RunData, run_finding
from crowdqc.completeness.contradiction import contradicted
from crowdqc.completeness.labels import Organs, drawn_as_another, swapped_pairs
from crowdqc.completeness.position import run_places, wrong_side
from crowdqc.completeness.slices import from_ranges, in_ranges, named, to_ranges
from crowdqc.findings import Finding
from crowdqc.schema import BOX, stands_in
from crowdqc.text import count


@check("run", "case-unread", order=10)
def case_unread(data: RunData) -> Found:
    """A case of which a rater opened files and drew nothing, or that is owed and not opened."""
    facts = data.facts
    unread = facts[facts["state"] == "unread"]
    for (case, rater), group in unread.groupby(["case", "rater"], sort=False):
        labels, n = ", ".join(group["label"]), group["n_opened"].iloc[0]
        message = (
            f"{count(n, 'slice')} opened and not one box drawn ({labels}). Read the case, or say "
            "that it was read and is empty (empty_file = 'nothing')."
        )
        if not n:
            message = f"assigned, and not opened ({labels}). Read the case."
        yield group.index, Finding(check="case-unread", message=message, case=case, rater=rater)


@check("run", "slices-unread", order=15)
def slices_unread(data: RunData) -> Found:
    """Assigned slices of a case that was begun, of which there is no annotation at all."""
    owed, facts, keys = data.runs.owed, data.facts, ["case", "slice", "rater"]
    if owed is None:
        return
    readings = data.runs.study.readings
    begun = stands_in(readings, owed, ["case", "rater"])
    left = owed[begun & ~stands_in(readings, owed, keys)]
    rows = facts.groupby(["case", "rater"]).indices
    for (case, rater), group in left.groupby(["case", "rater"], sort=False):
        slices = to_ranges(group["slice"])
        message = f"{count(len(group), 'assigned slice')} not opened: {slices}. Read them."
        finding = Finding(
            check="slices-unread",
            message=message,
            case=case,
            rater=rater,
            value=float(len(group)),
            limit=0.0,
            unit="slices",
            slices=slices,
        )
        yield rows.get((case, rater), []), finding


@check("run", "organ-missing", order=20)
def organ_missing(data: RunData) -> Found:
    """An organ without a box in a case that was worked on."""
    facts = data.facts
    for row in facts[facts["state"] == "missing"].itertuples():
        slices = _expected(row)
        where = f" Draw it on slices {slices}." if slices else " Draw it."
        text = f"the organ has no box; {'others drew it' if row.n_expected else 'nobody drew it'}."
        yield (
            [row.Index],
            run_finding(row, "organ-missing", text + where, slices=slices or None),
        )


def _expected(row: Any) -> str:
    first, last = row.expected_first, row.expected_last
    if np.isnan(first):
        first, last = row.low, row.high
    return "" if np.isnan(first) else to_ranges(range(int(first), int(last) + 1))


@check("run", "slice-lost", order=30)
def slice_lost(data: RunData) -> Found:
    """Slices inside several organs on which nothing at all was drawn."""
    facts = data.facts
    lost = facts[facts["lost_slices"] != ""]
    for (case, rater), group in lost.groupby(["case", "rater"], sort=False):
        numbers = {int(k) for text in group["lost_slices"] for k in text.split()}
        slices, labels = to_ranges(numbers), ", ".join(group["label"])
        message = (
            f"nothing at all was drawn on {named(slices)}, inside {labels}: they were skipped, or "
            "their files lost. Read them."
        )
        yield (
            group.index,
            Finding(
                check="slice-lost",
                message=message,
                case=case,
                rater=rater,
                label=group["label"].iloc[0] if len(group) == 1 else None,
                value=float(len(numbers)),
                limit=0.0,
                unit="slices",
                slices=slices,
            ),
        )


@check("run", "organ-gap", order=40)
def organ_gap(data: RunData) -> Found:
    """Slices inside one organ without its box, where other organs were drawn."""
    facts = data.facts
    for row in facts[facts["missed_slices"] != ""].itertuples():
        slices = in_ranges(row.missed_slices)
        n = len(row.missed_slices.split())
        text = f"no box on {named(slices)}, inside the organ. Draw what is missing."
        yield (
            [row.Index],
            run_finding(
                row, "organ-gap", text, value=float(n), limit=0.0, unit="slices", slices=slices
            ),
        )


@check("run", "run-truncated", order=50)
def run_truncated(data: RunData) -> Found:
    """Runs that end too early."""
    facts = data.facts
    for row in facts[facts["truncated"] != ""].itertuples():
        expected = from_ranges(_expected(row))
        parts, slices = [], []
        for why, at, verb, side in (
            (row.why_low, row.first, "begins", -1),
            (row.why_high, row.last, "ends", 1),
        ):
            if why:
                parts.append(f"{verb} at slice {at:g}, but {why}")
                slices += [k for k in expected if side * (k - at) > 0]
        where = to_ranges(slices)
        remedy = f"Look at {named(where)}." if where else "Look at the slices beyond."
        text = f"{'; '.join(parts)}. {remedy}"
        yield [row.Index], run_finding(row, "run-truncated", text, slices=where or None)


@check("run", "run-short", "single-slice", order=60)
def run_short(data: RunData) -> Found:
    """Runs much shorter than in other cases; those of a single slice have a name of their own."""
    facts = data.facts
    for row in facts[facts["short"]].itertuples():
        single = row.n_slices == 1
        slices = _expected(row)
        where = f" Look at {named(slices)}." if slices else ""
        text = (
            f"{'only one slice has a box' if single else 'the run is short'}: "
            f"{row.length_ratio:.0%} of the usual {row.length:.0f} {data.runs.unit}.{where}"
        )
        yield (
            [row.Index],
            run_finding(
                row,
                "single-slice" if single else "run-short",
                text,
                value=float(row.length_ratio),
                unit="of the usual length",
                slices=slices or None,
            ),
        )


@check("run", "run-sparse", order=70)
def run_sparse(data: RunData) -> Found:
    """Runs that lack much of what others drew, for no reason named so far."""
    facts, settings = data.facts, data.settings
    by_raters = facts["n_others"] > 0
    least = np.where(by_raters, settings.coverage, settings.coverage_cases)
    sparse = (facts["n_slices"] > 0) & (facts["source"] != "itself") & (facts["coverage"] < least)
    sparse &= (facts["n_gaps"] == 0) & (facts["truncated"] == "") & ~facts["short"]
    for row in facts[sparse].itertuples():
        who = "that most of the others drew" if row.n_others else "where the other cases have it"
        slices = _expected(row)
        text = f"{row.coverage:.0%} of the slices {who} have a box. Look at {named(slices)}."
        yield (
            [row.Index],
            run_finding(
                row,
                "run-sparse",
                text,
                value=float(row.coverage),
                limit=settings.coverage if row.n_others else settings.coverage_cases,
                unit="of the expected slices",
                slices=slices,
            ),
        )


@check("run", "double-box", order=80)
def double_box(data: RunData) -> Found:
    """Two boxes of an organ of which there is one."""
    facts, runs = data.facts, data.runs
    double = runs.drawn[runs.drawn["n_boxes"] > 1]
    for row, group in _with_rows(facts, double.groupby("run")):
        if row.label in runs.study.single:
            slices = to_ranges(group["slice"])
            text = f"more than one box on {named(slices)}, but there is one such organ. Keep one."
            n = float(len(group))
            yield [row.Index], run_finding(row, "double-box", text, value=n, slices=slices)


@check("run", "box-jump", order=90)
def box_jump(data: RunData) -> Found:
    """Boxes that lie elsewhere than those before and after them."""
    facts, runs = data.facts, data.runs
    for row, group in _with_rows(facts, runs.drawn[data.jumped].groupby("run")):
        slices = to_ranges(group["slice"])
        text = (
            f"what is drawn on {named(slices)} lies far from the slices before and after. Check it."
        )
        n = float(len(group))
        yield [row.Index], run_finding(row, "box-jump", text, value=n, slices=slices)


@check("run", "box-contradicted", order=95)
def box_contradicted(data: RunData) -> Found:
    """Boxes of an organ that lie elsewhere, or are of another size, than the others agree on."""
    facts, runs = data.facts, data.runs
    case, label, _ = runs.codes
    drawn = runs.drawn[(runs.drawn["n_boxes"] == 1) & ~runs.of_things[runs.drawn["run"]]]
    run, slices = (drawn[name].to_numpy(np.int64) for name in ("run", "slice"))
    organ = case[run] * len(runs.study.labels) + label[run]
    place = numbered(organ * (int(slices.max(initial=0)) + 1) + slices)[1]
    wrong = contradicted(drawn[BOX].to_numpy(np.float64), place)
    wrong &= ~data.jumped[drawn.index]  # named already
    for row, group in _with_rows(facts, drawn[wrong].groupby("run")):
        where = to_ranges(group["slice"])
        text = (
            f"what is drawn on {named(where)} lies elsewhere, or is of another size, than the "
            "others agree on. Check it, and draw it again if it is wrong."
        )
        more = {"value": float(len(group)), "slices": where}
        yield [row.Index], run_finding(row, "box-contradicted", text, **more)


@check("run", "labels-swapped", order=100)
def labels_swapped(data: RunData) -> Found:
    """Labels drawn for another one: as the others of the case, and the other cases, have it."""
    facts, runs = data.facts, data.runs
    case, label, unit = runs.codes
    drawn = np.flatnonzero((facts["n_slices"] > 0) & ~runs.of_things)
    organs = Organs(unit[drawn], label[drawn], *(part[drawn] for part in run_places(runs)))
    found = {(at, a): b for at, a, b in drawn_as_another(organs, case[drawn])}
    for at, a, b in swapped_pairs(organs):
        found.setdefault((at, a), b)
        found.setdefault((at, b), a)
    place = {(unit[run], label[run]): run for run in drawn}
    swapped = ((place[key], other) for key, other in sorted(found.items()))
    for row, other in _with_rows(facts, swapped):
        text = (
            f"is drawn where {runs.study.labels[other]} is elsewhere: the labels were swapped, or "
            "the picture is mirrored. Check the labels."
        )
        yield [row.Index], run_finding(row, "labels-swapped", text)


@check("run", "wrong-side", order=110)
def on_wrong_side(data: RunData) -> Found:
    """Labels on the wrong side of the patient."""
    facts, runs, orientation = data.facts, data.runs, data.orientation
    if orientation is None:
        return
    middle, _ = run_places(runs)
    side = facts["label"].map(orientation.sides).map({"left": 1.0, "right": -1.0}).fillna(0.0)
    axis = facts["case"].map(orientation.x_axis).map({"L": 1.0, "R": -1.0})
    _, _, unit = runs.codes
    usable = axis.notna().to_numpy() & np.isfinite(middle[:, 0]) & (side != 0).to_numpy()
    for rows in _groups(unit, usable):
        width = float(runs.volumes["width"].iloc[rows[0]])
        grows = float(axis.iloc[rows[0]])
        wrong = wrong_side(
            grows * middle[rows, 0],
            side.to_numpy()[rows],
            middle=grows * width / 2,
            width=width,
        )
        for row, run in _with_rows(facts, ((run, run) for run in rows[wrong])):
            text = (
                f"is drawn on the patient's {'left' if side[run] < 0 else 'right'}, but belongs "
                f"on the {orientation.sides[row.label]}. Check the label."
            )
            yield [run], run_finding(row, "wrong-side", text)


def _groups(unit: np.ndarray, usable: np.ndarray) -> Iterator[np.ndarray]:
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(unit[rows], kind="stable")]
    if rows.size:
        yield from np.split(rows, np.flatnonzero(np.diff(unit[rows])) + 1)


@check("run", "label-unused", order=120)
def label_unused(data: RunData) -> Found:
    """Labels that nobody, or that one rater, never drew."""
    facts, labels = data.facts, data.runs.study.labels
    of_label = facts.groupby("label")["n_slices"].sum()
    for label in labels:
        if not of_label.get(label, 0):
            yield facts.index[facts["label"] == label], _unused(label)
    of_rater = facts.groupby(["label", "rater"])["n_slices"].transform("sum")
    expected = (facts["state"] == "missing") & (facts["n_expected"] > 0)
    for (label, rater), mine in facts[(of_rater == 0) & expected].groupby(["label", "rater"]):
        if len(mine) >= 3:
            yield mine.index, _unused(str(label), str(rater), len(mine))


@check("run", "labels-rare", order=125)
def labels_rare(data: RunData) -> Found:
    """Labels that most cases do not show: named once, not for each case that lacks them."""
    shown = data.runs.study.boxes.groupby("label")["case"].nunique()
    rare = sorted(set(shown.index) - set(usual_labels(data.runs.study)), key=shown.get)
    if rare:
        few = ", ".join(f"{label} ({shown[label]})" for label in rare[:5])
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        text = (
            f"Most cases do not show {few}{more} (cases that do): a case in which nobody drew "
            "such a label is not reported as lacking it."
        )
        yield (
            [],
            Finding(
                check="labels-rare",
                message=text,
                label=rare[0] if len(rare) == 1 else None,
                value=float(len(rare)),
                unit="labels",
            ),
        )


@check("run", "spacing-unknown", order=128)
def spacing_unknown(data: RunData) -> Found:
    """Lengths that can only be counted in slices."""
    if (
        data.runs.unit == "slices"
        and len(data.runs.study.single)
        and data.facts["n_slices"].max() > 1
    ):
        text = (
            "The distance of the slices is not known for every case: how long organs are was "
            "compared in slices. Name the volumes in [images], or give a spacing."
        )
        yield [], Finding(check="spacing-unknown", message=text)


def _unused(label: str, rater: str | None = None, n_cases: int = 0) -> Finding:
    text = "was never drawn in the whole study, though it was asked for."
    if rater is not None:
        text = (
            f"was never drawn, though others drew it in {n_cases} of the same cases. Ask whether "
            "the rater knew of it."
        )
    return Finding(check="label-unused", message=text, label=label, rater=rater)


@check("run", "cut-by-volume", order=130)
def cut_by_volume(data: RunData) -> Found:
    """Organs that leave the volume: there is nothing to redraw."""
    facts, runs = data.facts, data.runs
    cut = runs.at_edge.any(axis=1) & (facts["length_ratio"] < 0.5) & ~facts["short"]
    for row in facts[cut].itertuples():
        text = "the organ leaves the volume; less than half of its usual length is to be seen."
        yield [row.Index], run_finding(row, "cut-by-volume", text)


def _with_rows(facts: pd.DataFrame, found: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """What was `found` of runs, with the row of the facts of each in the place of its number."""
    every = list(found)
    rows = facts.loc[[int(run) for run, _ in every]].itertuples()
    yield from zip(rows, (one for _, one in every), strict=True)
