"""Quality of boxes that nobody else drew: an organ changes little from slice to slice.

Each edge of a run (the boxes of one label of one case by one rater) is held against what the
neighbouring slices say, and the size and place of each organ against those of other cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.agreement.traits import TRAITS, Trait, measure_traits
from crowdqc.arrays import Bools, Floats, Ints, known_medians
from crowdqc.findings import Finding
from crowdqc.matching import Matched
from crowdqc.schema import BOX
from crowdqc.text import names_of

SIDES = ("left", "upper", "right", "lower")
"""What the edges x0, y0, x1, y1 are called on the picture."""
_SD = 1.4826
BLOCK = 2**16
"""Boxes that are held against their neighbours at a time, to bound memory."""


@dataclass(frozen=True)
class ContinuitySettings:
    """When an edge or an organ stands out.

    Parameters
    ----------
    reach : int
        Slices on either side that count as neighbours: 3 stay right when one of them is wrong.
    sds : float
        Robust standard deviations of the label's edges: organs end abruptly, so the tails are
        heavy, and 8 is beyond what clean runs show.
    share : float
        Least distance, as a share of the organ's size on that slice: less does not harm.
    px : float
        Least distance in px: less is drawing accuracy.
    cases : int
        Cases that a label must have before one is held against the others.
    case_sds : float
        Robust standard deviations between cases from which an organ is a stranger.
    size_sd : float
        Least standard deviation of an organ's size between people, as a share.
    place_sd_mm : float
        Least standard deviation of its place between people, in mm.
    """

    reach: int = 3
    sds: float = 8.0
    share: float = 0.2
    px: float = 3.0
    cases: int = 8
    case_sds: float = 5.0
    size_sd: float = 0.15
    place_sd_mm: float = 8.0


def neighbour_edges(plane: Ints, run: Ints, edges: Floats, *, reach: int = 3) -> Floats:
    """Where each edge should be by its neighbours in the run.

    Parameters
    ----------
    plane, run : ndarray of int, shape (N,)
        Slice and run of each box, sorted by run and slice.
    edges : ndarray, shape (N, 4)
        In px.
    reach : int
        Boxes on either side that count.

    Returns
    -------
    expected : ndarray, shape (N, 4)
        Median over all pairs of a neighbour before and one behind of the straight line
        between them; nan at the ends of a run.

    Examples
    --------
    >>> plane = np.arange(5)
    >>> edges = np.tile(np.array([0.0, 2, 40, 6, 8])[:, None], 4)
    >>> neighbour_edges(plane, np.zeros(5, int), edges)[2].tolist()
    [4.0, 4.0, 4.0, 4.0]
    """
    n = len(plane)
    expected = np.empty((n, 4))
    for start in range(0, n, BLOCK):
        first, last = max(0, start - reach), min(n, start + BLOCK + reach)
        rows, kept = slice(first, last), slice(start - first, start - first + BLOCK)
        found = _between_neighbours(plane[rows], run[rows], edges[rows], reach=reach)
        expected[start : start + BLOCK] = found[kept]
    return expected


def _between_neighbours(plane: Ints, run: Ints, edges: Floats, *, reach: int) -> Floats:
    """As `neighbour_edges`, of all rows at once."""
    n = len(plane)
    guesses = np.full((reach * reach, n, 4), np.nan)
    for before in range(1, reach + 1):
        for behind in range(1, reach + 1):
            at = np.arange(before, n - behind)
            at = at[(run[at - before] == run[at]) & (run[at + behind] == run[at])]
            low, high = plane[at - before], plane[at + behind]
            share = ((plane[at] - low) / (high - low))[:, None]
            line = edges[at - before] * (1 - share) + edges[at + behind] * share
            guesses[(before - 1) * reach + behind - 1, at] = line
    return known_medians(guesses)


def edge_jumps(plane: Ints, run: Ints, edges: Floats, *, reach: int = 3) -> Floats:
    """By how much each edge moves from the box before, beyond its usual steps there.

    Parameters
    ----------
    plane, run, edges, reach
        As in `neighbour_edges`.

    Returns
    -------
    jump : ndarray, shape (N, 4)
        Step from the box before, less the median of the steps within `reach` on either side
        (per slice), in px; nan where fewer than two other steps are near.
    """
    n = len(plane)
    gap = np.diff(plane, prepend=plane[:1]).astype(np.float64)
    inside = np.zeros(n, bool)
    inside[1:] = run[1:] == run[:-1]
    step = np.full((n, 4), np.nan)
    step[inside] = np.diff(edges, axis=0)[inside[1:]] / gap[inside][:, None]
    around = np.full((2 * reach, n, 4), np.nan)
    for row, offset in enumerate([*range(-reach, 0), *range(1, reach + 1)]):
        at = np.arange(max(0, -offset), n - max(0, offset))
        at = at[run[at + offset] == run[at]]
        around[row, at] = step[at + offset]
    enough = inside & (np.isfinite(around[..., 0]).sum(axis=0) >= 2)
    jump = np.full((n, 4), np.nan)
    usual = known_medians(around[:, enough])
    jump[enough] = (step[enough] - usual) * gap[enough][:, None]
    return jump


def check_continuity(matched: Matched, settings: ContinuitySettings | None = None) -> list[Finding]:
    """Boxes that do not go with their neighbours, and organs unlike those of other cases.

    Parameters
    ----------
    matched : Matched
        Only labels that a slice holds once are looked at.
    settings : ContinuitySettings, optional
        None: the defaults.

    Returns
    -------
    list of Finding
        One for each box that stands out or jumps, of those that one rater alone was asked
        for: elsewhere the others say more. And one for each organ of a case that is unlike
        that of all other cases.
    """
    settings = settings or ContinuitySettings()
    boxes = runs_of(matched)
    findings = _rough_places(boxes[boxes["alone"]].reset_index(drop=True), settings)
    return findings + _unlike_other_cases(matched, boxes, settings)


def measure_roughness(matched: Matched, settings: ContinuitySettings | None = None) -> pd.DataFrame:
    """Rows ``roughness`` of the table ``measurements``, for each rater and label.

    The robust standard deviation of an edge from where its neighbours say it is, as a share
    of the organ's size; of labels that a slice holds once.

    Parameters
    ----------
    matched : Matched
        A study whose boxes are joined to objects.
    settings : ContinuitySettings, optional
        Which neighbours count.

    Returns
    -------
    DataFrame
        No row for who has no box with enough neighbours.
    """
    settings = settings or ContinuitySettings()
    boxes = runs_of(matched)
    away, _ = _away(boxes, settings)
    frame = boxes[["rater", "label"]].assign(away=np.abs(away).mean(axis=1))
    groups = frame.dropna().groupby(["rater", "label"], sort=True)["away"]
    table = groups.agg(value="median", n="size").reset_index()
    return table.assign(measure="roughness", value=_SD * table["value"], unit="share of size")


def unsteadiness(boxes: pd.DataFrame) -> Floats:
    """How far each box of `runs_of` lies from where its neighbours say, as a share of its size."""
    away, _ = _away(boxes, ContinuitySettings())
    mean: Floats = np.abs(away).mean(axis=1)
    return mean


def _away(boxes: pd.DataFrame, settings: ContinuitySettings) -> tuple[Floats, Floats]:
    """Distance of each edge from its neighbours as a share of size, and where they say it is."""
    edges = boxes[BOX].to_numpy(np.float64)
    plane, run = boxes["slice"].to_numpy(np.int64), boxes["run"].to_numpy(np.int64)
    expected = neighbour_edges(plane, run, edges, reach=settings.reach)
    return (edges - expected) / _size(edges, expected), expected


def _size(edges: Floats, expected: Floats) -> Floats:
    """Width and height of each organ by its neighbours, (N, 4): a wrong box has a wrong size."""
    sides = np.where(np.isfinite(_sides(expected)), _sides(expected), _sides(edges))
    return np.maximum(np.hstack([sides, sides]), 1.0)


def _rough_places(boxes: pd.DataFrame, settings: ContinuitySettings) -> list[Finding]:
    """Findings for boxes that stand out from their neighbours, or jump."""
    if boxes.empty:
        return []
    edges, label = boxes[BOX].to_numpy(np.float64), boxes["label"].to_numpy()
    plane, run = boxes["slice"].to_numpy(np.int64), boxes["run"].to_numpy(np.int64)
    away, expected = _away(boxes, settings)
    size = _size(edges, expected)
    out = _outliers(away, away * size, label, settings=settings)
    # Where a run jumps for good, a box goes with one side; what is wrong goes with neither.
    out &= _from_nearer_side(run, edges, reach=settings.reach) >= np.abs(away * size) / 2
    jump = edge_jumps(plane, run, edges, reach=settings.reach)
    leap = _outliers(jump / size, jump, label, settings=settings)
    near = np.asarray(out.any(axis=1))
    near[1:] |= near[:-1] & (run[1:] == run[:-1])  # out and back again is one fault, not three
    leap[near] = False
    findings = [
        _edge_finding(boxes.iloc[row], expected[row], away[row])
        for row in np.flatnonzero(out.any(axis=1))
    ]
    return findings + [
        _jump_finding(boxes.iloc[row], jump[row], size[row])
        for row in np.flatnonzero(leap.any(axis=1))
    ]


def _sides(edges: Floats) -> Floats:
    return edges[:, 2:] - edges[:, :2]


def runs_of(matched: Matched) -> pd.DataFrame:
    """Boxes of single labels by run and slice; a rater's second box on a slice is left out."""
    boxes = matched.boxes[matched.boxes["label"].isin(matched.study.single)]
    keys = ["case", "label", "person", "slice"]
    boxes = boxes.sort_values([*keys, "box"]).drop_duplicates(keys).reset_index(drop=True)
    names = np.array(matched.people, dtype=object)[boxes["person"]]
    run = boxes.groupby(["case", "label", "person"], sort=True).ngroup()
    n_asked = matched.objects["n_asked"].to_numpy()[boxes["object"]]
    return boxes.assign(run=run.to_numpy(), rater=names, alone=n_asked <= 1)


def _from_nearer_side(run: Ints, edges: Floats, *, reach: int) -> Floats:
    """Distance of each edge in px from the median of the boxes before or behind, if nearer."""
    n = len(run)
    sides = []
    for sign in (-1, 1):
        beside = np.full((reach, n, 4), np.nan)
        for offset in range(1, reach + 1):
            at = np.arange(n)
            other = at + sign * offset
            there = (other >= 0) & (other < n)
            there[there] = run[other[there]] == run[at[there]]
            beside[offset - 1, at[there]] = edges[other[there]]
        sides.append(np.abs(edges - known_medians(beside)))
    nearer: Floats = np.fmin(*sides)
    return nearer


def _outliers(
    share: Floats, px: Floats, label: NDArray[np.object_], *, settings: ContinuitySettings
) -> Bools:
    """Edges that lie too far off, (N, 4), by the scatter of all edges of the label."""
    out = np.zeros(share.shape, bool)
    for name in pd.unique(label):
        mine = label == name
        known = np.abs(share[mine])
        if not np.isfinite(known).any():
            continue
        limit = np.maximum(settings.sds * _SD * np.nanmedian(known, axis=0), settings.share)
        out[mine] = (known > limit) & (np.abs(px[mine]) > settings.px)
    return out


def _edge_finding(box: pd.Series, expected: Floats, away: Floats) -> Finding:
    worst = int(np.nanargmax(np.abs(away)))
    edge = float(box[BOX[worst]])
    return _finding(
        box,
        "edge-outlier",
        f"the {SIDES[worst]} edge is at {edge:.0f} px where the slices around say "
        f"{expected[worst]:.0f} ({abs(edge - expected[worst]):.0f} px off)",
        value=abs(float(away[worst])),
    )


def _jump_finding(box: pd.Series, jump: Floats, size: Floats) -> Finding:
    worst = int(np.nanargmax(np.abs(jump / size)))
    return _finding(
        box,
        "edge-jump",
        f"the {SIDES[worst]} edge jumps by {jump[worst]:+.0f} px from the slice before",
        value=abs(float(jump[worst] / size[worst])),
    )


def _finding(box: pd.Series, check: str, what: str, *, value: float) -> Finding:
    return Finding(
        check=check,
        message=f"{what}. Look at the slice and redraw the box if it is wrong.",
        case=str(box["case"]),
        slice=int(box["slice"]),
        rater=str(box["rater"]),
        label=str(box["label"]),
        value=round(value, 4),
        unit="share of size",
        source=str(box["source"]) or None,
    )


def _unlike_other_cases(
    matched: Matched, boxes: pd.DataFrame, settings: ContinuitySettings
) -> list[Finding]:
    """Organs of a case whose size or place is unlike that of all other cases."""
    findings = []
    for label, group in measure_traits(matched, boxes).groupby("label", sort=True):
        if len(group) < settings.cases:
            continue
        for name, trait in TRAITS.items():
            values = group[name].to_numpy(np.float64)
            if not np.isfinite(values).all():
                continue
            least = settings.size_sd if trait.log else settings.place_sd_mm
            middle = float(np.median(values))
            scatter = max(_SD * float(np.median(np.abs(values - middle))), least)
            for row in np.flatnonzero(np.abs(values - middle) > settings.case_sds * scatter):
                place = (str(group["case"].iloc[row]), str(label), str(group["raters"].iloc[row]))
                findings.append(_unlike_finding(place, trait, value=values[row], usual=middle))
    return findings


def _unlike_finding(
    place: tuple[str, str, str], trait: Trait, *, value: float, usual: float
) -> Finding:
    case, label, raters = place
    found, expected = trait.shown(value), trait.shown(usual)
    names = names_of(raters)
    several = f" (raters {', '.join(names)})" if len(names) > 1 else ""
    return Finding(
        check="organ-unlike-others",
        message=f"the {trait.what} is {found:.0f} mm{several}, in the median case {expected:.0f} "
        "mm. Look whether it is the right organ, wholly drawn.",
        case=case,
        rater=names[0] if len(names) == 1 else None,
        label=label,
        value=round(found, 3),
        limit=round(expected, 3),
        unit="mm",
    )
