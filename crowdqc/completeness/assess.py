"""The table ``completeness``: which runs are complete, and why not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.checks import measured
from crowdqc.completeness.checks import RunData, list_findings
from crowdqc.completeness.done import with_done
from crowdqc.completeness.ends import LONG, end_sizes, shared_ends, usual_sizes
from crowdqc.completeness.expected import expected_by_cases, expected_by_raters
from crowdqc.completeness.runs import Runs, find_runs
from crowdqc.completeness.settings import Orientation, Settings
from crowdqc.findings import Finding
from crowdqc.geometry import paired_iou
from crowdqc.schema import BOX, ORGAN, TABLES, Study, conform
from crowdqc.text import count

SAME_THING = 0.3
"""IoU of the boxes before and after a gap from which they are of one thing, as in ``[match]``."""
FAR = 5
"""Slices without a box beyond which boxes that are fewer than half as many are stray."""


def assess(
    study: Study,
    settings: Settings | None = None,
    *,
    orientation: Orientation | None = None,
    owed: pd.DataFrame | None = None,
    shown: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Which runs are complete, and what must be redrawn.

    Parameters
    ----------
    study : Study
        A reading that was only opened counts as asked, not as read.
    settings : Settings, optional
        None: the defaults.
    orientation : Orientation, optional
        Where given, labels on the wrong side of the patient are found.
    owed : DataFrame, optional
        ``case, slice, rater, labels`` of what was assigned, as from
        `crowdqc.assignments.owed_readings`. Then a case that a rater never opened is known to be
        owed, and what was not assigned is not missing.
    shown : DataFrame, optional
        ``case, slice, label, rater, x0, y0, x1, y1``: boxes that raters were shown as done. They
        count as drawn where half of those who were not shown them drew them.

    Returns
    -------
    completeness : DataFrame
        Table ``completeness``: one row for each case, label and rater who was asked for it.
        `coverage` is the share of the expected slices that has a box: those that more than half
        of the other raters who drew the label there drew; without others, those from the first
        to the last own box (but for few boxes beyond a wide gap) and, unless two or more read the
        case and drew none, those where the other cases have the label; nan where nothing is
        expected. `lost_slices` are the gaps on
        which the unit drew nothing at all; `ends`, the slices between which the label is expected;
        `length_ratio`, its length over the usual one; `faults`, the names of the checks that
        found something.
    findings : list of Finding
        What is wrong with each run, and which slices to draw again.

    Examples
    --------
    >>> import crowdqc
    >>> table, _ = crowdqc.assess_completeness(crowdqc.Study.from_boxes(crowdqc.example_boxes()))
    >>> table.loc[table["n_gaps"] > 0, ["case", "label", "rater", "gap_slices"]].values.tolist()
    [['1', 'liver', 'cem', '3']]
    """
    settings = settings or Settings()
    study, noticed = with_done(study, shown)
    runs = find_runs(study, owed)
    by_cases = expected_by_cases(runs).mask(_absent_by_readers(runs))
    facts = pd.concat([runs.table, expected_by_raters(runs), by_cases], axis=1)
    facts = _with_gaps(facts, runs)
    low, high = _truncated(facts, runs, settings)
    facts["truncated"] = np.select(
        [(low != "") & (high != ""), low != "", high != ""], ["both", "low", "high"], default=""
    )
    facts["why_low"], facts["why_high"] = low, high
    facts = facts.assign(**_coverage(facts, runs))
    facts["length_ratio"] = runs.length / facts["length"]
    facts["short"] = _short(facts, runs, settings)
    facts["state"] = _states(facts, study, settings)
    data = RunData(facts, runs, settings, orientation)
    findings, faults = list_findings(data)
    facts["faults"] = faults
    facts["ends"] = _ends(facts)
    facts["reasons"] = [_reasons(row) for row in facts.to_dict("records")]
    table = _table(facts)
    further = measured("run", data, n=len(table), taken=table.columns)
    return table.assign(**further), [*findings, *noticed]


def _absent_by_readers(runs: Runs) -> pd.Series:
    """Runs of organs that two or more read the case for and did not draw, and one drew at most.

    There the readers say that the case lacks it, whatever the other cases show.
    """
    organ = [runs.table[key] for key in ORGAN]
    drawn = runs.table["n_slices"] > 0
    without = ~drawn & (runs.table["n_read"] > 0) & ~runs.dealt
    n_drawn, n_without = (of.groupby(organ).transform("sum") for of in (drawn, without))
    return (n_drawn <= 1) & (n_without >= 2)


def _table(facts: pd.DataFrame) -> pd.DataFrame:
    return conform("completeness", facts)[[column.name for column in TABLES["completeness"]]]


def _with_gaps(facts: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """Slices inside each run that have no box."""
    run, slices = _gaps(runs)
    lost = _lost(run, slices, runs)
    own = np.bincount(run, minlength=len(facts))
    lists = {
        "gap_slices": _joined(run, slices, len(facts)),
        "lost_slices": _joined(run[lost], slices[lost], len(facts)),
        "missed_slices": _joined(run[~lost], slices[~lost], len(facts)),
    }
    return facts.assign(n_gaps=own, **lists)


def _gaps(runs: Runs) -> tuple[Ints, Ints]:
    run, slices = (runs.drawn[name].to_numpy(dtype=np.int64) for name in ("run", "slice"))
    steps = np.flatnonzero((np.diff(run) == 0) & (np.diff(slices) > 1))
    box = runs.drawn[BOX].to_numpy(dtype=np.float64)
    goes_on = paired_iou(box[steps], box[steps + 1]) >= SAME_THING
    steps = steps[goes_on | ~runs.of_things[run[steps]]]
    n = slices[steps + 1] - slices[steps] - 1
    offset = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    run, slices = np.repeat(run[steps], n), np.repeat(slices[steps], n) + 1 + offset
    given = runs.was_given(run, slices)
    return run[given], slices[given]


def _lost(run: Ints, slices: Ints, runs: Runs) -> Bools:
    """Gaps on a slice on which the unit drew nothing at all, though two labels go through it."""
    _, label, unit = runs.codes
    place = _key(unit[run], slices)
    drawn = _key(unit[runs.drawn["run"]], runs.drawn["slice"].to_numpy(dtype=np.int64))
    labels = pd.Series(label[run]).groupby(place).transform("nunique").to_numpy()
    lost: Bools = ~np.isin(place, drawn) & (labels >= 2)
    return lost


def _key(unit: Ints, slices: Ints) -> Ints:
    return unit * (1 << 32) + slices


def _joined(run: Ints, slices: Ints, n: int) -> list[str]:
    """The slices of each run as text."""
    ends = np.searchsorted(run, np.arange(n + 1))
    text = slices.astype(str)
    return [" ".join(text[a:b]) for a, b in itertools.pairwise(ends)]


def _truncated(
    facts: pd.DataFrame, runs: Runs, settings: Settings
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Why each run is truncated at its lower and upper end; "" where it is not."""
    short = np.column_stack(
        [facts["first"] - facts["expected_first"], facts["expected_last"] - facts["last"]]
    )
    by_raters = (short >= settings.beyond) & ~runs.dealt[:, None]
    alone = (facts["n_others"] == 0) & (facts["n_slices"] > 0) & ~runs.of_things & ~runs.dealt
    open_end = alone.to_numpy()[:, None] & ~runs.at_edge
    shared = open_end & _ends_together(facts, runs, settings)
    by_cases = np.column_stack([facts["first"] - facts["low"], facts["high"] - facts["last"]])
    full = open_end & _ends_full(runs, settings) & ~(by_cases < settings.beyond)
    early = open_end & _ends_early(facts, runs, settings)
    whys = ("others drew on", "many labels end here", "it ends at full size", "other cases go on")
    conditions = (by_raters, shared, full, early)
    low, high = (
        np.select([c[:, end] for c in conditions], whys, default="").astype(object)
        for end in range(2)
    )
    return low, high


def _ends_together(facts: pd.DataFrame, runs: Runs, settings: Settings) -> Bools:
    """Ends that several labels share: half of those on the slice, and not because they taper."""
    together = np.zeros((len(facts), 2), dtype=bool)
    some = np.flatnonzero(facts["n_slices"] > 0)
    _, label, unit = (code[some] for code in runs.codes)
    first, last = (facts[name].to_numpy()[some].astype(np.int64) for name in ("first", "last"))
    wide = ~(_end_sizes(runs)[0][some] < settings.wide)
    for end, ends in enumerate((first, last)):
        places, place = np.unique(_key(unit, ends), return_inverse=True)
        begun = np.searchsorted(np.sort(_key(unit, first)), places, side="right")
        through = begun - np.searchsorted(np.sort(_key(unit, last)), places)
        share_wide = np.bincount(place, wide[:, end]) / np.bincount(place)
        sharing = shared_ends(ends, unit, label)
        half = (sharing * 2 >= through[place]) & (share_wide[place] >= 0.5)
        together[some, end] = (sharing >= settings.shared) & half
    return together


def _end_sizes(runs: Runs) -> tuple[Floats, Floats]:
    """Area of the box at each end over the run's median, and over that of the box beside it."""
    box = runs.drawn[BOX].to_numpy(dtype=np.float64)
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    beside = np.full((len(runs.table), 2), np.nan)
    long = np.diff(runs.starts) >= LONG
    starts, stops = runs.starts[:-1][long], runs.starts[1:][long]
    beside[long, 0] = area[starts] / area[starts + 1]
    beside[long, 1] = area[stops - 1] / area[stops - 2]
    return end_sizes(area, runs.starts), beside


def _ends_full(runs: Runs, settings: Settings) -> Bools:
    """Ends at the full size of a label that usually tapers off, and not with a stray box."""
    case, label, _ = runs.codes
    sizes, beside = _end_sizes(runs)
    usual = usual_sizes(sizes, label, case)
    full: Bools = (sizes >= np.maximum(settings.full, usual + 0.2)) & (usual <= settings.taper)
    return full & (beside < 1.5)


def _ends_early(facts: pd.DataFrame, runs: Runs, settings: Settings) -> Bools:
    """Ends that fall short of where the other cases end, by more than those differ."""
    short = np.column_stack([facts["first"] - facts["low"], facts["high"] - facts["last"]])
    floor = settings.beyond_slices
    if runs.unit == "mm":
        floor = settings.beyond_mm / runs.volumes["spacing_z"]
    limit = np.maximum(settings.spreads * facts["spread"], np.maximum(floor, settings.beyond))
    early: Bools = short > limit.to_numpy()[:, None]
    return early


def _main_parts(facts: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """``first, last, n`` of each run without stray ends: few boxes, beyond a wide gap.

    One box far away is not evidence that the organ goes on to there.
    """
    parts = facts[["first", "last"]].assign(n=facts["n_slices"])
    drawn = runs.drawn["slice"].to_numpy(np.int64)
    for run in np.flatnonzero(facts["n_gaps"] > 0):
        slices = drawn[runs.starts[run] : runs.starts[run + 1]]
        pieces = np.split(slices, np.flatnonzero(np.diff(slices) > 1) + 1)
        kept = _without_stray_ends(pieces)
        parts.iloc[run] = kept[0][0], kept[-1][-1], sum(map(len, kept))
    return parts


def _without_stray_ends(pieces: list[Ints]) -> list[Ints]:
    for _ in range(2):  # from one end, then from the other
        while len(pieces) > 1 and _is_stray(pieces[0], pieces[1:]):
            pieces = pieces[1:]
        pieces = [piece[::-1] for piece in reversed(pieces)]
    return pieces


def _is_stray(piece: Ints, rest: list[Ints]) -> bool:
    gap = abs(int(rest[0][0]) - int(piece[-1])) - 1
    return gap >= FAR and 2 * len(piece) < min(gap, sum(map(len, rest)))


def _coverage(facts: pd.DataFrame, runs: Runs) -> dict[str, Any]:
    """Share of the expected slices that has a box, how many these are, and who expects them."""
    main = _main_parts(facts, runs)
    first, last = np.fmin(main["first"], facts["low"]), np.fmax(main["last"], facts["high"])
    own = facts["n_slices"] + facts["n_gaps"]
    alone = (last - first + 1).where(~(runs.of_things | runs.dealt), own).fillna(0)
    by_raters = facts["n_others"] > 0
    wanted = facts["n_expected"].where(by_raters, alone)
    hit = facts["n_hit"].where(by_raters, main["n"].where(~runs.of_things, facts["n_slices"]))
    source = np.select([by_raters, facts["low"].notna()], ["raters", "cases"], default="itself")
    return {
        "coverage": (hit / wanted.where(wanted > 0)).to_numpy(np.float64),
        "slices_expected": wanted.to_numpy(np.int64),
        "source": source.astype(object),
    }


def _short(facts: pd.DataFrame, runs: Runs, settings: Settings) -> Bools:
    """Runs much shorter than in the other cases. The volume may cut off a part, hardly all.

    Of an organ that several drew, runs are short where all are a small part of the usual length:
    then they agree on what they were given rather than on where it ends.
    """
    cut = runs.at_edge.any(axis=1)
    ratio, drawn = facts["length_ratio"], facts["n_slices"] > 0
    limit = np.where(cut, settings.cut_off, settings.length)
    alone = drawn & (facts["n_others"] == 0) & (ratio < limit)
    longest = ratio.where(drawn).groupby([facts["case"], facts["label"]]).transform("max")
    cut &= ~runs.at_edge.all(axis=1)  # such a run is all that is known of its volume
    together = drawn & ~cut & (longest < settings.cut_off) & ~runs.of_things
    short: Bools = (alone | together).to_numpy()
    return short


def _states(facts: pd.DataFrame, study: Study, settings: Settings) -> NDArray[np.object_]:
    nothing = facts["n_slices"] == 0
    least = np.where(facts["source"] == "cases", settings.coverage_cases, settings.coverage)
    flawed = (facts["n_gaps"] > 0) | (facts["truncated"] != "") | (facts["coverage"] < least)
    flawed |= facts["short"]
    things = ~facts["label"].isin(study.single)
    unread = nothing & (facts["n_read"] == 0) & ~_worked_on(facts)
    nothing_there = nothing & (facts["n_expected"] == 0) & (things | _read_by_several(facts))
    choices = [unread, nothing_there, nothing, flawed]
    return np.select(choices, ["unread", "absent", "missing", "partial"], "complete").astype(object)


def _read_by_several(facts: pd.DataFrame) -> pd.Series:
    """Whether two raters or more read the case for the label.

    One rater who draws nothing may have forgotten the organ; several have not.
    """
    organ = [facts["case"], facts["label"]]
    return (facts["n_read"] > 0).groupby(organ).transform("sum") >= 2


def _worked_on(facts: pd.DataFrame) -> pd.Series:
    """Whether somebody drew in the case, of a label that only one rater was asked for.

    Where each label has its own rater, all of them worked in the same files: files with the
    boxes of the others in them were looked at, so a label without boxes is missing.
    """
    alone = facts.groupby(["case", "label"])["rater"].transform("size") == 1
    case_drawn = facts.groupby("case")["n_slices"].transform("sum") > 0
    return alone & case_drawn & (facts["n_opened"] > 0)


def _ends(facts: pd.DataFrame) -> list[str]:
    """First and last slice expected, ``"40-103"``; "" where nothing is."""
    by_raters = facts["n_others"] > 0
    first = facts["expected_first"].where(by_raters, facts["low"])
    last = facts["expected_last"].where(by_raters, facts["high"])
    return [
        "" if np.isnan(a) or np.isnan(b) else f"{a:g}-{b:g}"
        for a, b in zip(first, last, strict=True)
    ]


def _reasons(row: dict[str, object]) -> str:
    if row["state"] == "unread":
        if row["n_opened"]:
            return (
                f"{count(int(str(row['n_opened'])), 'slice')} opened, and nothing drawn in the case"
            )
        return "the case was assigned and not opened"
    if row["state"] == "missing":
        return "others drew it here" if row["n_expected"] else "nobody drew it in this case"
    if row["state"] == "absent":
        return "most who read the case drew none"
    reasons = []
    if row["n_gaps"]:
        reasons.append(f"no box on {count(int(str(row['n_gaps'])), 'slice')} inside the run")
    for end, name in (("low", "first"), ("high", "last")):
        if row[f"why_{end}"]:
            reasons.append(f"truncated at slice {row[name]:g}: {row[f'why_{end}']}")
    if row["short"]:
        reasons.append(f"{row['length_ratio']:.0%} of the usual length")
    source = {
        "raters": "the slices that most of the others drew",
        "cases": "the slices from its first to its last, and where the other cases have it",
        "itself": "the slices from its first to its last",
    }
    return "; ".join([*reasons, f"expected: {source[str(row['source'])]}"])
