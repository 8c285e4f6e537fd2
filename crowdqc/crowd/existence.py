"""Which of the drawn objects exist: raters who miss and who invent, objects easy and hard.

An object is real, a temptation, or a slip of one rater. A real one is drawn by rater r with log
odds ``mu + skill_r + difficulty``, a temptation with log odds ``nu + lure_r + appeal``: difficulty
and appeal are normal, belong to the object, and are integrated out, because raters agree on the
hard objects that most of them skip and on the false ones that tempt them. A slip is drawn by one
rater only, at a rate of its own, so that a flood of boxes says nothing of what others drew. Only
objects that somebody drew are met, so that each kind is learned together with those of it that
nobody drew. Skill, lure and rates of slips have priors: a rater who read little is taken for an
average one. What a group of dependent raters says counts as one vote.

Where few of the raters draw many of the objects, votes cannot tell hard objects from temptations.
Both readings are fitted, one in which difficulty may vary at will, and one in which it varies no
more than is usual and raters slip much alike; both count alike. In a crowd without such objects
they say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from crowdqc.arrays import Floats


@dataclass(frozen=True)
class ExistenceSettings:
    """Settings of the model: those without a unit here are in log odds.

    Parameters
    ----------
    drawn : tuple of float
        Mean log odds that a real object, and a temptation, is drawn by one more rater; the first
        is learned, from this on.
    spread : tuple of float
        Standard deviation of difficulty, and of appeal; the first is learned, from this on.
    log_spread : float
        Standard deviation of the log of the first, beforehand.
    usual : tuple of float
        Standard deviation of difficulty in the reading in which what few draw is tempting: what it
        is learned from on, and its greatest.
    raters : tuple of float
        Standard deviation of skill, and of lure, among raters.
    rates : tuple of float
        Real objects, and temptations, for each drawn object, beforehand.
    objects : float
        How many objects each of these rates is worth.
    slips : float
        Usual slips of a rater for each object that the rater was asked for, beforehand.
    slips_spread : tuple of float
        Standard deviation of the log of that where two raters were asked for each object, of whom
        votes do not tell slips from misses, and where more were; in between by their share.
    slips_worth : tuple of float
        How many slips the usual rate is worth as a prior on each rater's, in the reading in which
        difficulty varies at will, and in that in which what few draw is tempting. With .7 in both
        the second one turned into the first one in some crowds.
    nodes : int
        Nodes of the quadrature over difficulty.
    steps : int
        Steps of EM.
    """

    drawn: tuple[float, float] = (1.0, -2.5)
    spread: tuple[float, float] = (1.0, 0.7)
    log_spread: float = 0.5
    usual: tuple[float, float] = (0.4, 1.25)
    raters: tuple[float, float] = (1.0, 0.5)
    rates: tuple[float, float] = (0.6, 0.02)
    objects: float = 10.0
    slips: float = 0.003
    slips_spread: tuple[float, float] = (1.0, 2.0)
    slips_worth: tuple[float, float] = (0.7, 2.0)
    nodes: int = 9
    steps: int = 60


@dataclass(frozen=True)
class Existence:
    """Which objects exist, and how raters see them.

    Parameters
    ----------
    probability : ndarray, shape (O,)
        That the object exists, given who drew it. Of an object that only one rater was
        asked for this is what is known of drawn objects in general.
    without : ndarray, shape (A,)
        The same without the vote of the asked rater in that row of the evidence, and of those
        who depend on that rater.
    detection, invention : ndarray, shape (R,)
        Probability that a rater draws an average real object, and that a rater joins in an
        average temptation.
    slips : ndarray, shape (R,)
        Slips of each rater for each object that it was asked for and that is no flood.
    weight : ndarray, shape (O,)
        How far each object counts against others: less than 1 for what one rater draws alone
        more often than together with others.
    slip : ndarray, shape (O,)
        Probability that boxes of an object that does not exist are slips that met, and no
        temptation.
    """

    probability: Floats
    without: Floats
    detection: Floats
    invention: Floats
    slips: Floats
    weight: Floats
    slip: Floats
