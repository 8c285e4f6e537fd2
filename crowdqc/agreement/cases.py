"""Whole cases of a rater that show something else than the others': a file, not a hand, is wrong.

Left and right exchanged in some files, two labels exchanged in a case, pixels of a smaller picture,
slices counted from the other end, boxes of another case: all boxes of an organ are wrong there, and
none elsewhere. Of all boxes of the rater they may be few, and between cases they vary so much that
no bound of a share names them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdqc.agreement.extent import past_others, run_ends
from crowdqc.agreement.rater_data import ELSEWHERE, FEWEST, Fault, RaterData, confused_boxes
from crowdqc.agreement.suspicion import SAME_PX, recurring
from crowdqc.arrays import Bools, Ints, numbered, pairs_within
from crowdqc.checks import check
from crowdqc.findings import Finding
from crowdqc.text import count

_WHOLE = 0.8
"""Share of an organ's boxes in a case from which all of them are wrong: one or two may fit."""
_AGAIN = 0.5
"""Share of the boxes of a case that stand in another one, from which it was handed in twice."""
_FEW = 5
"""Boxes to the pixel alike, above which a thing lies still: no other case was handed in."""
_GAINED = 0.15
"""Share of the boxes of a case that meet the others' only where slices count from the other end."""
_RUNS = 4
"""Organs of cases from which on one step between slices says something."""
_SEVERAL = 2
"""Cases from which it is the rater's fault; or a third of them. One is a slip, and is found."""
_SHOWN = 5
"""Cases that are named."""


@dataclass(frozen=True)
class _Held:
    """Boxes (N) that were looked at, which of them are wrong, and how, in words."""

    box: Ints
    wrong: Bools
    what: str


@check("rater", "cases-astray", order=100)
def astray_in_cases(data: RaterData) -> list[Fault | Finding]:
    """Raters of whom whole organs lie elsewhere, or have other labels, in some of their cases."""
    looks = (_organs_astray, _slices_reversed, _handed_in_twice)
    return [one for look in looks for one in _judged(data, look(data))]


@check("rater", "slices-offset", order=101)
def offset_in_all(data: RaterData) -> list[Fault | Finding]:
    """Raters whose organs begin and end as many slices past those of the others, nearly all."""
    ends = run_ends(data.matched)
    if ends.empty:
        return []
    first, last = (past_others(ends, end) for end in ("first", "last"))
    person, place = ends["person"].to_numpy(), ends["place"].to_numpy()
    found: list[Fault | Finding] = []
    for r in np.unique(person).tolist():
        both = (person == r) & (first == last) & (np.abs(first) >= 1) & (first % 1 == 0)
        steps, n = np.unique(first[both], return_counts=True)
        runs = int((person == r).sum())
        if runs < _RUNS or n.max(initial=0) < _WHOLE * runs:
            continue
        step = steps[n.argmax()]
        text = (
            f"begins and ends {n.max()} of {runs} organs {count(int(abs(step)), 'slice')} "
            f"{'after' if step > 0 else 'before'} the others: slices may be counted from another "
            "number"
        )
        worst = data.worst(r, person, at=place, badness=(both & (first == step)).astype(float))
        share = float(n.max() / runs)
        found.append(Fault(r, "slices-offset", text, share, _WHOLE, "1", worst))
    return found


def _organs_astray(data: RaterData) -> _Held:
    """Boxes of organs that lie elsewhere than the others' or are, they agree, another label."""
    items = data.items
    held = (items.box >= 0) & (~items.extra | data.moved) & (data.n_others > 1)[items.rater]
    box = items.box[held]
    off = (items.iou[held] < ELSEWHERE) | np.isin(box, confused_boxes(data)[0])
    organ = _case(data, box) * len(data.labels) + data.places.label[data.box_place[box]]
    n, n_off, of = _counted(organ, off)
    whole = (n >= FEWEST) & (n_off >= _WHOLE * n)
    what = "draws {labels} elsewhere than the others, or under another label"
    return _Held(box, whole[of] & off, what)


def _slices_reversed(data: RaterData) -> _Held:
    """Boxes of cases where others drew the same organs on slices counted from the other end."""
    box = np.flatnonzero((data.n_others > 1)[data.compared.drawn.rater])
    at, places = data.box_place[box], data.places
    rater, plane, ends = data.compared.drawn.rater[box], places.plane[at], _ends(data)
    back = ends[places.case[at]] - plane
    run = (places.case[at] * len(data.labels) + places.label[at]) * int(ends.max(initial=0) + 1)
    here, there = (_others_drew(run + plane, rater, at=run + end) for end in (plane, back))
    n, n_here, of = _counted(_case(data, box), here)
    n_there = np.bincount(of, there)
    whole = (n >= 2 * FEWEST) & (n_there >= _WHOLE * n) & (n_there - n_here >= _GAINED * n)
    return _Held(box, whole[of], "draws {labels} as if slices were counted from the other end")


def _ends(data: RaterData) -> Ints:
    """First and last slice of each case, added up."""
    slices = data.matched.study.images.groupby("case")["slice"].agg(["min", "max"]).sum(axis=1)
    ends: Ints = slices.reindex(data.places.names["case"]).to_numpy(np.int64)
    return ends


def _others_drew(drawn: Ints, rater: Ints, *, at: Ints) -> Bools:
    """Whether anybody but the rater of each row drew at the number `at`, of what all drew."""
    n_raters = int(rater.max(initial=0)) + 1
    each = np.unique(drawn * n_raters + rater)
    place, count = np.unique(each // n_raters, return_counts=True)
    found = np.minimum(np.searchsorted(place, at), max(len(place) - 1, 0))
    n = np.where(place[found] == at, count[found], 0)
    others: Bools = n > np.isin(at * n_raters + rater, each)
    return others


def _handed_in_twice(data: RaterData) -> _Held:
    """Boxes that stand to the pixel on the same slices of another case, if half of a case's do."""
    drawn, n_cases = data.compared.drawn, len(data.places.names["case"])
    box = np.arange(len(drawn.boxes))
    case = _case(data, box)
    one, other = _again(data)
    n, _, of = _counted(case, np.ones(len(case), bool))
    _, first, back, shared = np.unique(
        case[one] * n_cases + case[other] % n_cases,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    whole = n[of[one[first]]]
    twice = (whole >= 2 * FEWEST) & (shared >= _AGAIN * whole)
    wrong = np.isin(box, one[twice[back]])
    return _Held(box, wrong, "has the boxes of one case to the pixel in another")


def _again(data: RaterData) -> tuple[Ints, Ints]:
    """Pairs of boxes of a rater, both ways, alike to the pixel on a slice of two cases."""
    drawn, places = data.compared.drawn, data.places
    rows = np.flatnonzero(recurring(drawn.boxes, drawn.rater, places.case[data.box_place]))
    at = data.box_place[rows]
    pixels = np.round(drawn.boxes[rows] / SAME_PX).astype(np.int64)
    key = np.column_stack([drawn.rater[rows], places.label[at], places.plane[at], pixels])
    _, of, size = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    of = of.reshape(-1)
    few = np.flatnonzero(size[of] <= _FEW)
    first, second = (rows[few[side]] for side in pairs_within(of[few]))
    return np.concatenate([first, second]), np.concatenate([second, first])


def _case(data: RaterData, box: Ints) -> Ints:
    """Number of the rater and case of each box."""
    case = data.places.case[data.box_place[box]]
    return data.compared.drawn.rater[box] * len(data.places.names["case"]) + case


def _counted(code: Ints, shown: Bools) -> tuple[Ints, Ints, Ints]:
    """Number of rows of each code, of those that show something, and the row's code in these."""
    of = numbered(code)[1]
    return np.bincount(of), np.bincount(of, shown).astype(np.int64), of


def _judged(data: RaterData, held: _Held) -> list[Fault | Finding]:
    """Faults of raters who are wrong in several of their cases, findings about single cases.

    Of a rater of whom no case is right other checks say what is wrong.
    """
    places, at = data.places, data.box_place[held.box]
    rater = data.compared.drawn.rater[held.box]
    found: list[Fault | Finding] = []
    for r in np.unique(rater[held.wrong]).tolist():
        mine, here = rater == r, held.wrong & (rater == r)
        cases, n = np.unique(places.case[at[here]]), len(np.unique(places.case[at[mine]]))
        if len(cases) == n:
            continue
        labels = [data.labels[label] for label in np.unique(places.label[at[here]])]
        text = held.what.format(labels=", ".join(labels))
        names = [str(name) for name in places.names["case"][cases]]
        if len(cases) < _SEVERAL and 3 * len(cases) < n:
            found.append(_finding(text, names[0], rater=data.people[r]))
            continue
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        where = f"in {len(names)} of {n} cases ({', '.join(names[:_SHOWN])}{more})"
        worst = data.worst(r, rater, at=at, badness=here.astype(np.float64))
        text = f"{text}, {where}: look at the files of these"
        found.append(Fault(r, "cases-astray", text, float(len(names)), 0.0, "cases", worst))
    return found


def _finding(text: str, case: str, *, rater: str) -> Finding:
    message = f"{text}, in this case and in no other: look at its file."
    return Finding(check="cases-astray", message=message, case=case, rater=rater)
