"""Raters who err alike, in all they drew or on a part of the slices: one voice, not two."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.copies import Copies, part_copies
from crowdqc.agreement.rater_data import ENOUGH, EXAMPLES, FEWEST, Fault, RaterData
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd.grid import COARSE
from crowdqc.crowd.same_misses import same_misses
from crowdqc.findings import Finding

_NEAR = 0.85
"""Median IoU of two raters from which one may have copied the other."""
_GAIN, _PART = 60.0, 0.05
"""Gain in log likelihood, and share of the slices, from which two raters copied a part: of 4,000
pairs of raters on real sets the largest gain is 46, of pairs of honest simulated ones 4."""
_SEVERAL = 3
"""Raters from whom one took slices from which it was surely that one who copied, and not they."""


def one_tool(steps: Floats) -> Bools:
    """Which raters draw on a grid in common, (R, R), of which equal edges and errors come.

    Parameters
    ----------
    steps : ndarray, shape (R,)
        Distance of the lines of each rater's grid in px; 0 for none.
    """
    coarse = np.where(steps >= COARSE, steps, np.nan)
    times = np.fmax(coarse[:, None] / coarse, coarse / coarse[:, None])
    common: Bools = np.abs(times - np.round(times)) < 1e-3
    return common


def draw_on_grid(data: RaterData) -> list[Finding]:
    """What is nobody's fault: tools that put edges on multiples of some pixels, and whose.

    Parameters
    ----------
    data : RaterData
        What was measured of the raters.
    """
    found = []
    for step in np.unique(data.steps[data.steps >= COARSE]).tolist():
        names = ", ".join(data.people[r] for r in np.flatnonzero(data.steps == step))
        text = (
            f"The edges of {names} lie on multiples of {step:.3g} px, as a tool puts them that "
            f"shows small pictures or snaps to a grid: up to {step / 2:.3g} px off, and boxes of "
            "two with such a tool are equal though nobody copied. Let them draw at full size."
        )
        found.append(Finding(check="edges-on-grid", message=text, value=step, unit="px"))
    return found


def copied_in_part(data: RaterData, known: set[int]) -> list[Fault]:
    """Pairs of raters of whom one copied some slices, but for those who are `known` to copy.

    Parameters
    ----------
    data : RaterData
        What was measured of the raters.
    known : set of int
        Raters of whom it is said already that they copied.
    """
    found, group, faults = part_copies(data.crowd), data.crowd.group, []
    alike = one_tool(data.steps)
    copied = found.share * found.n
    surely = np.flatnonzero((found.gain >= _GAIN) & (found.share >= _PART) & (copied >= FEWEST))
    takers = _take_from_several(data, found, surely)
    for pair in surely:
        both = int(found.first[pair]), int(found.second[pair])
        if group[both[0]] == group[both[1]] or alike[both] or known.issuperset(both):
            continue
        rows = np.flatnonzero(found.pair == pair)
        rows = rows[np.argsort(-found.ratio[rows], kind="stable")][:EXAMPLES]
        places = data.crowd.evidence.place[found.object[rows]]
        value, unit = float(found.share[pair]), "share of the slices of both"
        for r, other in (both, both[::-1]):
            if other in takers:
                continue
            who = data.people[other]
            what = f"drew {value:.0%} of the slices as {who} did, nearer than two hands draw"
            faults.append(Fault(r, "raters-dependent", what, value, _PART, unit, places))
    return faults


def _take_from_several(data: RaterData, found: Copies, surely: Ints) -> set[int]:
    """Raters with slices in common with several others, never one slice with two of these.

    Had the others copied, they would have chosen the same slices now and then.
    """
    evidence, takers = data.crowd.evidence, set()
    depth = int(evidence.plane.max(initial=0)) + 1
    image = (evidence.case * depth + evidence.plane)[found.object]
    likely = found.ratio > np.log(1 / found.share - 1 + 1e-9)[found.pair]
    for r in np.unique([found.first[surely], found.second[surely]]).tolist():
        pairs = surely[(found.first[surely] == r) | (found.second[surely] == r)]
        mine = np.isin(found.pair, pairs)
        n, share = len(np.unique(image[mine])), [likely[found.pair == pair].sum() for pair in pairs]
        by_chance = sum(share) - n * (1 - np.prod(1 - np.array(share) / n))
        twice = sum(share) - len(np.unique(image[mine & likely]))
        if len(pairs) >= _SEVERAL and twice < by_chance / 2:
            takers.add(r)
    return takers


def dependent(data: RaterData, known: set[int]) -> list[Fault]:
    """Raters of a group of the model, but those who are `known` to copy to the pixel.

    Parameters
    ----------
    data : RaterData
        What was measured of the raters.
    known : set of int
        Raters of whom it is said already that they copied.
    """
    share, group, limit = data.crowd.dependence, data.crowd.group, data.limits.dependent
    near, faults = _near(data) & ~one_tool(data.steps) | _miss_the_same(data), []
    for r in range(len(data.people)):
        mates = np.flatnonzero((group == group[r]) & near[r])
        if r in known or not len(mates):
            continue
        names = ", ".join(data.people[mate] for mate in mates)
        value = float(share[r].max())
        what = f"errs as {names} does: one copied the other, or they worked together"
        unit = "share of the error in common"
        places = _alike(data, r, mates)
        faults.append(Fault(r, "raters-dependent", what, value, limit, unit, places))
    return faults


def _miss_the_same(data: RaterData) -> Bools:
    """Which raters miss so much the same, (R, R), that one copied it, wherever boxes lie."""
    n = len(data.people)
    code, share = same_misses(data.crowd.evidence)
    same = np.zeros((n, n), bool)
    same.flat[code[share > 0.5]] = True
    return same | same.T


def _near(data: RaterData) -> Bools:
    """Which raters lie so near to one another, (R, R), that one may have copied the other.

    Where most others are bad, two good raters look alike, too; copies lie nearer than that. Of
    many pairs that share a few boxes some are near by chance.
    """
    pairs, n = data.compared.pairs, len(data.people)
    both = pairs.drew_a & pairs.drew_b
    of_pair = pd.Series(pairs.iou[both]).groupby(pairs.a[both] * n + pairs.b[both])
    overlap = of_pair.median()[of_pair.size() >= ENOUGH]
    near = np.zeros((n, n), bool)
    near.flat[overlap.index[overlap >= _NEAR].to_numpy(np.int64)] = True
    return near | near.T


def _alike(data: RaterData, rater: int, mates: Ints) -> Ints:
    """Places where boxes of the rater and of the mates are nearest to one another."""
    pairs, drawn = data.compared.pairs, data.compared.drawn
    own, other = pairs.a == rater, pairs.b == rater
    mine = (own & np.isin(pairs.b, mates)) | (other & np.isin(pairs.a, mates))
    overlap = np.where(mine & pairs.drew_a & pairs.drew_b, pairs.iou, 0.0)
    at = drawn.place[pairs.object]
    return data.worst(rater, np.where(mine, rater, -1), at=at, badness=overlap)
