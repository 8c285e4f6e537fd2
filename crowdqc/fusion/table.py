"""Fusion of a whole study: `Matched` in, the table ``consensus`` out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from crowdqc import plugins
from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd import Evidence, evidence, size_of, with_gold, with_settled, without_shown
from crowdqc.findings import InputError
from crowdqc.fusion.interpolate import interpolate_gaps
from crowdqc.fusion.methods import Fused, Method
from crowdqc.fusion.settled import REVIEW, in_force, obeying, with_decided, without_refused
from crowdqc.geometry import paired_iou
from crowdqc.matching import Matched
from crowdqc.schema import BOX, SPREAD, conform
from crowdqc.text import names_cell

VAGUE = 2.0
"""Spread, in px, from which an edge is not rounded to whole px."""
_WHOLE_HOLDS = 0.9
"""Share of edges on whole px that 1.96 spreads hold at least."""


def fuse(  # noqa: PLR0913  as many keys as the section of the study file has, and gold
    matched: Matched,
    *,
    method: str = "edges",
    quorum: float | None = None,
    min_raters: int | None = None,
    probability: float = 0.5,
    interpolate: bool = False,
    whole_pixels: bool | None = None,
    gold: pd.DataFrame | None = None,
    settled: pd.DataFrame | None = None,
    shown: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One box per object of a matched study.

    Parameters
    ----------
    matched : Matched
        Nothing of it is dropped: every object has a row.
    method : str
        Name of an entry point of the group ``crowdqc.fusion``.
    quorum : float, optional
        Share of the raters asked who must support an object, 0 to 1. None: what the method needs.
    min_raters : int, optional
        Number of raters who must support it, where at least so many were asked. None: two, but
        one where so few were asked that two are not to be had: of two raters, and of three where
        the method knows how likely the object is.
    probability : float
        Score from which an object is taken to exist, of a method that knows it.
    interpolate : bool
        Whether boxes missing between two drawn slices are interpolated, see
        `crowdqc.fusion.interpolate`.
    whole_pixels : bool, optional
        Whether fused edges are rounded to whole px. None: where the raters draw on whole px and
        the edge is known to less than 2 px. The truth of such raters mostly lies there, and on
        small objects half a pixel is a large share of the IoU; of an edge that is known less
        well the nearest px is no better than what was estimated.
    gold : DataFrame, optional
        True boxes, which a method that knows existence learns from; as in `crowdqc.crowd.fit`.
    settled : DataFrame, optional
        What reviewers decided, as from `crowdqc.decisions.settled_boxes`: these objects are as
        they say, with the method ``review``, and raters are judged by them, too. Conflicts, and
        what was decided on other boxes, are left out.
    shown : DataFrame, optional
        Boxes that raters were shown as done, and did not draw: `crowdqc.crowd.without_shown`.

    Returns
    -------
    DataFrame
        Table ``consensus``, in the order of ``matched.objects``. `support` counts the voices
        whose box overlaps the fused one with at least ``matched.iou``, `raters` names the
        raters; `n_raters` counts the voices asked. Raters who copy or collude are one voice.
        `state` is ``agreed``, ``no_consensus`` (too few support it, or it is unlikely; the
        box is what it would be) or ``single`` (only one rater was asked: its score is nan).

    Raises
    ------
    InputError
        If `method` is not registered, or is no method.

    Examples
    --------
    >>> import crowdqc
    >>> matched = crowdqc.match(crowdqc.Study.from_boxes(crowdqc.example_boxes()))
    >>> crowdqc.fuse(matched, method="median")["state"].value_counts().to_dict()
    {'agreed': 24}
    """
    data, chosen = evidence(matched), load_method(method)
    if shown is not None and len(shown):
        data = without_shown(data, matched, shown)
    if gold is not None and len(gold):
        data = with_gold(data, matched, gold)
    settled = in_force(settled)
    if len(settled):
        data = with_settled(data, matched, settled)
    fused = obeying(chosen(data), matched, settled)
    rule = ConsensusRule(quorum, min_raters, probability)
    backs, support, asked, usable = decide(data, fused, chosen, iou=matched.iou, rule=rule)
    value = _worth(fused, usable)
    state = np.where(asked == 1, "single", np.where(usable, "agreed", "no_consensus"))
    frame = matched.objects[["case", "slice", "label"]].assign(
        support=support,
        n_raters=asked,
        score=np.where(asked > 1, fused.score, np.nan),
        raters=_names(matched, backs),
        method=method,
        state=state,
        expected_error=np.nan if fused.error is None else fused.error,
        wrong=np.nan if fused.wrong is None else fused.wrong,
        worth=value,
        depends=_depends(data, value),
    )
    frame[BOX] = fused.box
    frame[SPREAD] = fused.spread
    consensus = conform("consensus", with_decided(frame, matched, settled))
    if interpolate:
        consensus = without_refused(interpolate_gaps(consensus), settled)
    if data.whole_pixels if whole_pixels is None else whole_pixels:
        free = (consensus["method"] != REVIEW).to_numpy()
        box, spread = (consensus.loc[free, of].to_numpy() for of in (BOX, SPREAD))
        exact = spread >= (VAGUE if whole_pixels is None else np.inf)
        consensus.loc[free, BOX] = rounded(box, but=exact)
        consensus.loc[free, SPREAD] = np.where(exact, spread, whole_spread(box, spread))
    return consensus


@dataclass(frozen=True)
class ConsensusRule:
    """What makes an object usable; None: as the method needs, see `fuse`."""

    quorum: float | None = None
    min_raters: int | None = None
    probability: float = 0.5


def decide(
    data: Evidence, fused: Fused, method: Method, *, iou: float, rule: ConsensusRule
) -> tuple[Bools, Ints, Ints, Bools]:
    """Which boxes support the fused ones, and which objects are usable.

    Parameters
    ----------
    data : Evidence
        What was drawn.
    fused : Fused
        By `method`.
    method : Method
        Says what it needs where the rule says nothing.
    iou : float
        IoU with the fused box from which a drawn one supports it.
    rule : ConsensusRule
        What is asked.

    Returns
    -------
    backs : ndarray of bool, shape (N,)
        Whether each drawn box supports the fused one.
    support, asked : ndarray of int64, shape (O,)
        Voices that support each object, and that were asked.
    usable : ndarray of bool, shape (O,)
        Whether enough support it, and it is likely; always so where one was asked.
    """
    backs = _backs(data, fused, iou)
    group = np.arange(data.n_raters) if fused.group is None else fused.group
    support = _voices(data.object[backs], group[data.rater[backs]], data.n_objects)
    asked = _voices(data.asked_object, group[data.asked_rater], data.n_objects)
    share = method.quorum if rule.quorum is None else rule.quorum
    few = 3 if method.knows_existence else 2
    least = np.where(asked <= few, 1, 2) if rule.min_raters is None else rule.min_raters
    usable = support >= np.maximum(np.minimum(least, asked), np.ceil(share * asked - 1e-9))
    if method.knows_existence:
        usable &= fused.score >= rule.probability
    return backs, support, asked, usable | (asked == 1)


def _worth(fused: Fused, usable: Bools) -> Floats:
    """Expected error that goes when somebody who knows decides on each object, in [0, 1], (O,).

    Of one that is used it is that of the box, of one that is left out the chance that it exists.
    """
    off = np.minimum((2 / np.pi) ** 0.5 * (fused.spread / size_of(fused.box)).sum(axis=1), 1.0)
    error = 1 - fused.score * (1 - np.nan_to_num(off)) if fused.error is None else fused.error
    exists = fused.score if fused.exists is None else fused.exists
    return np.where(usable, error, exists)


def _depends(data: Evidence, value: Floats) -> Floats:
    """Share of all doubt that lies in other objects of the raters who drew each object, (O,).

    A decision on an object judges its raters, on whom their other objects depend: the mean over
    those who drew it of the doubt in what else each drew, over that in all objects.
    """
    doubt = np.nan_to_num(value)
    each = doubt[data.object]
    other = np.bincount(data.rater, each, data.n_raters)[data.rater] - each
    mean = np.bincount(data.object, other, data.n_objects) / np.maximum(data.n_boxes, 1)
    share: Floats = mean / max(float(doubt.sum()), 1e-12)
    return share


def _voices(objects: Ints, group: Ints, n: int) -> Ints:
    """Number of different groups in the rows of each object, (n,)."""
    known = np.unique(objects * (int(group.max(initial=0)) + 1) + group)
    return np.bincount(known // (int(group.max(initial=0)) + 1), minlength=n)


def load_method(name: str) -> Method:
    """The method that is registered under a name.

    Raises
    ------
    InputError
        If there is none of that name, or it is not a `Method`.
    """
    found = plugins.load("crowdqc.fusion", name)
    if not isinstance(found, Method):
        kind = type(found).__name__
        raise InputError(
            f"fusion method '{name}' must be a crowdqc.fusion.Method; got a {kind}. "
            "Wrap its kernel: Method(kernel, quorum=0.25)."
        )
    return found


def rounded(box: Floats, *, but: Bools | None = None) -> Floats:
    """Boxes with edges on whole px; opposite edges that would meet stay as they are.

    Halves go up, so that boxes which are shifted by a pixel are rounded alike.

    Parameters
    ----------
    box : ndarray, shape (O, 4)
    but : ndarray of bool, shape (O, 4), optional
        Edges that stay as they are.

    Examples
    --------
    >>> rounded(np.array([[0.5, 1.4, 7.5, 8.6], [2.1, 0.0, 2.4, 5.2]]))
    array([[1. , 1. , 8. , 9. ],
           [2.1, 0. , 2.4, 5. ]])
    """
    near = np.floor(box + 0.5)
    if but is not None:
        near = np.where(but, box, near)
    met = near[:, 2:] <= near[:, :2]
    return np.where(np.hstack([met, met]), box, near)


def whole_spread(box: Floats, spread: Floats) -> Floats:
    """Standard deviations of edges that lie on whole px once they are rounded, in px.

    Such an edge is right, or one or more whole px off. 1.96 of them reach as many px as hold nine
    edges in ten at least; to ask nineteen in twenty of each would hold ninety-nine in a hundred.

    Parameters
    ----------
    box, spread : ndarray, shape (O, 4)
        Edges before they are rounded, and their standard deviations.

    Examples
    --------
    >>> whole_spread(np.array([[3.0, 3.4, 3.0, 3.0]]), np.array([[0.1, 0.1, 0.35, 1.0]])).round(2)
    array([[0.31, 0.52, 0.52, 1.04]])
    """
    off, found = box - np.floor(box + 0.5), np.hypot(spread, 12**-0.5)
    unit, short = np.maximum(spread, 1e-9), spread < VAGUE  # wider ones reach far enough
    for px in range(1, 1 + int(2 * VAGUE)):
        held = ndtr((px - 0.5 - off) / unit) - ndtr((0.5 - px - off) / unit)
        short &= held < _WHOLE_HOLDS
        found = np.where(short, np.maximum(found, (px + 0.01) / 1.96), found)
    return found


def _backs(data: Evidence, fused: Fused, iou: float) -> Bools:
    """Whether each drawn box supports the fused box of its object, (N,)."""
    if len(data.boxes) == 0:
        return np.zeros(0, bool)
    overlap = paired_iou(data.boxes, fused.box[data.object])
    backs: Bools = overlap >= iou
    return backs


def _names(matched: Matched, backs: Bools) -> list[str]:
    """Names of the supporting raters of each object in one cell, (O,)."""
    boxes = matched.boxes.loc[backs, ["object", "person", "rater"]]
    boxes = boxes.sort_values(["object", "person"])
    raters = boxes["rater"].tolist()
    stops = np.cumsum(np.bincount(boxes["object"], minlength=len(matched.objects))).tolist()
    return [names_cell(raters[a:b]) for a, b in itertools.pairwise([0, *stops])]
