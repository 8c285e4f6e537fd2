"""Which units an expert grades next: first those that are probably bad, then random ones.

A bad unit that is found is taken out, so grading the riskiest first leaves fewer bad ones, of which
fewer random draws then show that they are few. This goes on for as long as it saves gradings. What
is left is the frame of the random draws: their order is fixed by the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.audit.expect import Units, probabilities
from crowdqc.audit.size import Goal, draws_needed

BATCH = 10
"""Risky units of one round: what they turn out to be changes what is graded next."""
MORE = 0.25
"""Random draws of a later round, as a share of those planned."""
LIKELY = 0.4
"""Once random draws have begun, a unit that is bad with this probability is graded, too."""
START_DOUBT, DOUBT = 0.9, 0.4
"""Standard deviation of the logarithm of how many bad units are expected: before any was found, and
after many were."""
FLOOR = 0.125
"""Share of the limit that is expected to be bad at least: a plan is not made for risks that are
too good to be true."""
_STEPS = (0, 5, 10, 20, 40, 60, 80, 120, 160, 240, 320, 480, 640)
"""Numbers of risky units that a plan may begin with; the last is the most there are in all, as
random draws tell better whether the risk is right."""


@dataclass(frozen=True)
class Design:
    """A plan as far as it was made, for N units.

    Parameters
    ----------
    goal : Goal
        What is to be shown.
    order : ndarray of int64, shape (N,)
        Place of each unit in the order of random draws, a permutation: see `draw_order`.
    frame : ndarray of bool, shape (N,)
        Units that random draws are made from; none before they begin.
    listed : ndarray of bool, shape (N,)
        Units that were listed for grading.
    planned : int
        Random draws that were planned when they began; 0 before.
    """

    goal: Goal
    order: Ints
    frame: Bools
    listed: Bools
    planned: int


@dataclass(frozen=True)
class Round:
    """What is listed next.

    Parameters
    ----------
    risky, random : ndarray of int64
        Rows of the units, in the order in which they are to be graded.
    frame : ndarray of bool, shape (N,)
        As in `Design`, from now on.
    planned : int
        As in `Design`, from now on.
    """

    risky: Ints
    random: Ints
    frame: Bools
    planned: int


def draw_order(keys: Iterable[str], seed: int) -> Ints:
    """Place of each unit in a random order, shape (N,), the same for the same seed and names.

    Parameters
    ----------
    keys : iterable of str
        Names of the units, no two alike.
    seed : int
        Must be chosen without knowing what is bad.
    """
    digests = [hashlib.sha256(f"{seed}\0{key}".encode()).digest() for key in keys]
    place = np.empty(len(digests), dtype=np.int64)
    place[sorted(range(len(digests)), key=digests.__getitem__)] = np.arange(len(digests))
    return place


def gradings_missing(units: Units, design: Design) -> tuple[int, int]:
    """About how many risky units and random draws are left to grade, if all goes as expected.

    Parameters
    ----------
    units : Units
        What is accepted, with its risks and the grades so far.
    design : Design
        Goal, and what is listed.

    Returns
    -------
    risky, random : int
        Both 0 where nothing is left to grade.
    """
    chance = probabilities(units)
    if design.planned:
        drawn = int(np.count_nonzero(units.graded & design.listed & design.frame))
        return 0, max(design.planned - drawn, 0)
    left = np.flatnonzero(~units.graded)
    bad = np.concatenate([[0.0], np.cumsum(np.sort(chance[left])[::-1])])
    good = np.count_nonzero(units.bad == 0)
    doubt = DOUBT + (START_DOUBT - DOUBT) / (1 + np.count_nonzero(units.bad == 1))
    costs: list[tuple[int, int, int]] = []
    most = min(len(left), _STEPS[-1] - int(np.count_nonzero(design.listed)))
    for k in [step for step in _STEPS if step <= max(most, 0)]:
        known = round(good + k - bad[k])
        n = draws_needed(
            bad[-1] - bad[k], frame=len(left) - k, known=known, goal=design.goal, doubt=doubt
        )
        costs.append((k + n, k, n))
    _, risky, drawn = min(costs)
    least = FLOOR * design.goal.limit * (len(left) - risky)
    cautious = draws_needed(
        least, frame=len(left) - risky, known=int(good) + risky, goal=design.goal
    )
    return risky, max(drawn, cautious)


def next_round(units: Units, design: Design) -> Round:
    """What to grade next.

    Parameters
    ----------
    units : Units
        With all grades that are known.
    design : Design
        What was listed before.

    Returns
    -------
    Round
        Nothing new while risky units are listed and not graded.
    """
    waiting = design.listed & ~units.graded
    nothing = np.zeros(0, np.int64)
    if design.planned:
        risky = _likely(units, design)
        more = nothing if waiting.any() else _draws(design, round(MORE * design.planned))
        return Round(risky, more, design.frame, design.planned)
    if waiting.any():
        return Round(nothing, nothing, design.frame, 0)
    n_risky, n_random = gradings_missing(units, design)
    if n_risky:
        return Round(_riskiest(units)[: min(n_risky, BATCH)], nothing, design.frame, 0)
    frame = ~units.graded
    planned = max(n_random, 1)
    begun = Design(design.goal, design.order, frame, design.listed, planned)
    return Round(nothing, _draws(begun, planned), frame, planned)


def _riskiest(units: Units) -> Ints:
    """Units that were not graded, those that are probably bad first."""
    chance = probabilities(units)
    left = np.flatnonzero(~units.graded)
    return left[np.argsort(-chance[left], kind="stable")]


def _likely(units: Units, design: Design) -> Ints:
    chance: Floats = probabilities(units)
    rows = _riskiest(units)
    return rows[(chance[rows] >= LIKELY) & ~design.listed[rows]][:BATCH]


def _draws(design: Design, n: int) -> Ints:
    """The next `n` units of the frame in the order of draws that were not listed."""
    rows = np.flatnonzero(design.frame & ~design.listed)
    return rows[np.argsort(design.order[rows])][: max(n, 1)]
