"""Fusion of a whole study: `Matched` in, the table ``consensus`` out."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from crowdqc import plugins
from crowdqc.arrays import Bools, Floats
from crowdqc.crowd import Evidence, evidence
from crowdqc.findings import InputError
from crowdqc.fusion.interpolate import interpolate_gaps
from crowdqc.fusion.methods import Fused, Method
from crowdqc.geometry import paired_iou
from crowdqc.matching import Matched
from crowdqc.schema import BOX, conform


def fuse(
    matched: Matched,
    *,
    method: str = "edges",
    quorum: float | None = None,
    min_raters: int = 2,
    probability: float = 0.5,
    interpolate: bool = False,
    whole_pixels: bool = False,
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
    min_raters : int
        Number of raters who must support it, where at least so many were asked.
    probability : float
        Score from which an object is taken to exist, of a method that knows it.
    interpolate : bool
        Whether boxes missing between two drawn slices are interpolated, see
        `crowdqc.fusion.interpolate`.
    whole_pixels : bool
        Whether fused edges are rounded to whole px. Worth it where raters draw on whole px: the
        truth lies there too, and on small objects half a pixel is a large share of the IoU.

    Returns
    -------
    DataFrame
        Table ``consensus``, in the order of ``matched.objects``. `support` counts the raters
        whose box overlaps the fused one with at least ``matched.iou``, `raters` names them.
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
    fused = chosen(data)
    quorum = chosen.quorum if quorum is None else quorum
    backs = _backs(data, fused, matched.iou)
    support = np.bincount(data.object[backs], minlength=data.n_objects)
    asked = data.n_asked
    needed = np.maximum(np.minimum(min_raters, asked), np.ceil(quorum * asked - 1e-9))
    agreed = support >= needed
    if chosen.knows_existence:
        agreed &= fused.score >= probability
    state = np.where(asked == 1, "single", np.where(agreed, "agreed", "no_consensus"))
    frame = matched.objects[["case", "slice", "label"]].assign(
        support=support,
        n_raters=asked,
        score=np.where(asked > 1, fused.score, np.nan),
        raters=_names(matched, backs),
        method=method,
        state=state,
    )
    frame[BOX] = fused.box
    frame[[f"spread_{edge}" for edge in BOX]] = fused.spread
    consensus = conform("consensus", frame)
    if interpolate:
        consensus = interpolate_gaps(consensus)
    if whole_pixels:
        consensus[BOX] = rounded(consensus[BOX].to_numpy())
    return consensus


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


def rounded(box: Floats) -> Floats:
    """Boxes (O, 4) with edges on whole px; opposite edges that would meet stay as they are.

    Halves go up, so that boxes which are shifted by a pixel are rounded alike.

    Examples
    --------
    >>> rounded(np.array([[0.5, 1.4, 7.5, 8.6], [2.1, 0.0, 2.4, 5.2]]))
    array([[1. , 1. , 8. , 9. ],
           [2.1, 0. , 2.4, 5. ]])
    """
    near = np.floor(box + 0.5)
    met = near[:, 2:] <= near[:, :2]
    return np.where(np.hstack([met, met]), box, near)


def _backs(data: Evidence, fused: Fused, iou: float) -> Bools:
    """Whether each drawn box supports the fused box of its object, (N,)."""
    if len(data.boxes) == 0:
        return np.zeros(0, bool)
    overlap = paired_iou(data.boxes, fused.box[data.object])
    backs: Bools = overlap >= iou
    return backs


def _names(matched: Matched, backs: Bools) -> list[str]:
    """Names of the supporting raters of each object, with spaces between, (O,)."""
    boxes = matched.boxes.loc[backs, ["object", "person", "rater"]]
    boxes = boxes.sort_values(["object", "person"])
    raters = boxes["rater"].tolist()
    stops = np.cumsum(np.bincount(boxes["object"], minlength=len(matched.objects))).tolist()
    return [" ".join(raters[a:b]) for a, b in itertools.pairwise([0, *stops])]
