"""Methods of fusion: kernels of one signature, `Evidence` in, `Fused` out, and what each needs.

A `Method` is registered as an entry point of the group ``crowdqc.fusion``, by crowdqc or by
another package. Each rater has one vote per object, because the matching gives a rater one box
per object. An object without a result of its own (no pixel that most raters cover) keeps its
median box, which nobody's box needs to support.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd import Evidence, fit_evidence, median_boxes
from crowdqc.findings import InputError
from crowdqc.fusion.cells import cut, groups_of_equal_size
from crowdqc.geometry import paired_iou

_MEDIAN = (np.pi / 2) ** 0.5
"""Standard error of a median of normal values, over that of their mean."""
_BLOCK = 2**13
"""Objects that are cut into cells at a time, to bound memory."""


@dataclass(frozen=True)
class Fused:
    """One box per object.

    Parameters
    ----------
    box : ndarray, shape (O, 4)
        The fused box in px.
    spread : ndarray, shape (O, 4)
        Standard error of each edge in px; nan where the method cannot say.
    score : ndarray, shape (O,)
        Probability that the object exists where the box is; of methods without a model the
        share of the raters asked who drew it.
    group : ndarray of int64, shape (R,), optional
        Raters of one number have one voice. None: each has its own.
    error : ndarray, shape (O,), optional
        One less the expected IoU of the box with the truth, 0 where nothing is. None: not known.
    exists : ndarray, shape (O,), optional
        Probability that the object exists, wherever it is. None: the score.
    wrong : ndarray, shape (O,), optional
        Probability that the IoU of the box with the truth is below 0.5. None: not known.
    """

    box: Floats
    spread: Floats
    score: Floats
    group: Ints | None = None
    error: Floats | None = None
    exists: Floats | None = None
    wrong: Floats | None = None


@dataclass(frozen=True)
class Method:
    """A method of fusion, and what it needs.

    Parameters
    ----------
    kernel : callable
        ``kernel(data: Evidence) -> Fused``.
    quorum : float
        Share of the raters asked, 0 to 1, who must support an object where the study file gives
        no quorum.
    knows_existence : bool
        Whether `Fused.score` is a probability that the object exists, so that an object below
        the study's ``probability`` is left out.
    """

    kernel: Callable[[Evidence], Fused]
    quorum: float = 0.25
    knows_existence: bool = False

    def __call__(self, data: Evidence) -> Fused:
        """Fuse the boxes of each object.

        Raises
        ------
        InputError
            If the kernel gives no `Fused`, or one of other shapes, or boxes without an area.
        """
        fused = self.kernel(data)
        wrong = _wrong(fused, data.n_objects)
        if wrong:
            where = f"{self.kernel.__module__}.{getattr(self.kernel, '__qualname__', '')}"
            raise InputError(f"the fusion method {where} {wrong}. Report it to its authors.")
        return fused


def _wrong(fused: object, n: int) -> str:
    """What keeps the result of a kernel from being boxes of `n` objects."""
    if not isinstance(fused, Fused):
        return f"must give a crowdqc.fusion.Fused; got {type(fused).__name__}"
    for name, shape in {"box": (n, 4), "spread": (n, 4), "score": (n,)}.items():
        if np.shape(getattr(fused, name)) != shape:
            return f"must give '{name}' of shape {shape}; got {np.shape(getattr(fused, name))}"
    good = np.isfinite(fused.box).all(axis=1) & (fused.box[:, 2:] > fused.box[:, :2]).all(axis=1)
    if not good.all():
        first = int(good.argmin())
        return (
            f"must give boxes x0 < x1 and y0 < y1 of all objects; got {fused.box[first].tolist()} "
            f"for object {first}, and {n - int(good.sum())} such boxes"
        )
    return ""


@Method
def median(data: Evidence) -> Fused:
    """Median of each edge."""
    box = median_boxes(data.boxes, data.object, data.n_objects)
    return Fused(box, standard_error(data) * _MEDIAN, share_of_asked(data))


@Method
def mean(data: Evidence) -> Fused:
    """Mean of each edge."""
    weight = np.ones(len(data.boxes))
    return Fused(_weighted_mean(data, weight), standard_error(data), share_of_asked(data))


@Method
def wbf(data: Evidence) -> Fused:
    """Weighted boxes fusion: the mean, weighted with the confidence in each box.

    People give no confidence, so a rater's is the mean IoU of its boxes with the mean of the
    other raters' boxes of the same object.

    References
    ----------
    .. [1] R. Solovyev, W. Wang, T. Gabruseva, "Weighted boxes fusion: ensembling boxes from
       different object detection models", Image Vis. Comput. 107, 2021.
       :doi:`10.1016/j.imavis.2021.104117`
    """
    weight = _agreement(data)[data.rater]
    return Fused(_weighted_mean(data, weight), standard_error(data), share_of_asked(data))


@Method
def majority(data: Evidence) -> Fused:
    """The box round all that more than half of the raters who drew the object cover."""
    weight = np.ones(len(data.boxes))
    return Fused(_covered(data, weight), standard_error(data) * _MEDIAN, share_of_asked(data))


@Method
def simple(data: Evidence) -> Fused:
    """Selective and iterative: vote, judge each box by the vote, drop the worst, vote again.

    A box is dropped when its IoU with the vote is more than one standard deviation below the
    mean of its object's; the others vote with their IoU.

    References
    ----------
    .. [1] T. R. Langerak et al., "Label fusion in atlas-based segmentation using a selective
       and iterative method for performance level estimation (SIMPLE)", IEEE Trans. Med.
       Imaging 29(12), 2010. :doi:`10.1109/TMI.2010.2057442`
    """
    weight = np.ones(len(data.boxes))
    for _ in range(5):
        agreement = paired_iou(data.boxes, _covered(data, weight)[data.object])
        kept = weight > 0
        count = np.maximum(_sum(data, kept.astype(np.float64)), 1)
        centre = _sum(data, kept * agreement) / count
        spread = np.sqrt(_sum(data, kept * (agreement - centre[data.object]) ** 2) / count)
        worst = agreement < (centre - spread)[data.object] - 1e-9
        chosen = np.where(kept & ~worst, agreement, 0.0)
        fell = (_sum(data, chosen) <= 0)[data.object]  # nobody agrees: keep as it was
        weight = np.where(fell, weight, chosen)
    return Fused(_covered(data, weight), standard_error(data) * _MEDIAN, share_of_asked(data))


@partial(Method, quorum=0.0, knows_existence=True)
def edges(data: Evidence) -> Fused:
    """The model of `crowdqc.crowd`: objects, edges and raters estimated together.

    References
    ----------
    .. [1] S. K. Warfield, K. H. Zou, W. M. Wells, "Validation of image segmentation by
       estimating rater bias and variance", Phil. Trans. R. Soc. A 366, 2008.
       :doi:`10.1098/rsta.2008.0040`
    .. [2] S. Branson, G. Van Horn, P. Perona, "Lean crowdsourcing: combining humans and
       machines in an online system", CVPR 2017. :doi:`10.1109/CVPR.2017.647`
    """
    crowd = fit_evidence(data)
    score = crowd.exists * crowd.located
    return Fused(
        crowd.box,
        crowd.spread,
        score,
        crowd.group,
        error=crowd.expected_error,
        exists=crowd.exists,
        wrong=crowd.wrong,
    )


def share_of_asked(data: Evidence) -> Floats:
    """Share of the raters asked who drew each object, (O,)."""
    share: Floats = data.n_boxes / np.maximum(data.n_asked, 1)
    return share


def _sum(data: Evidence, values: Floats) -> Floats:
    """Sum over the boxes of each object, (O,)."""
    return np.bincount(data.object, values, data.n_objects).astype(np.float64)


def _weighted_mean(data: Evidence, weight: Floats) -> Floats:
    total = _sum(data, weight)
    return np.stack([_sum(data, weight * edge) / total for edge in data.boxes.T], axis=1)


def standard_error(data: Evidence) -> Floats:
    """Standard error of the mean of each edge, (O, 4); nan for a single box."""
    count = data.n_boxes[:, None]
    away = (data.boxes - _weighted_mean(data, np.ones(len(data.boxes)))[data.object]) ** 2
    squares = np.stack([_sum(data, edge) for edge in away.T], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        error: Floats = np.sqrt(squares / (count - 1) / count)
    return error


def _agreement(data: Evidence) -> Floats:
    """Mean IoU of each rater's boxes with the mean of the others' boxes, (R,), over 0."""
    count = data.n_boxes[data.object][:, None]
    total = (_weighted_mean(data, np.ones(len(data.boxes))) * data.n_boxes[:, None])[data.object]
    shared = count[:, 0] > 1
    others = (total[shared] - data.boxes[shared]) / (count[shared] - 1)
    iou = paired_iou(data.boxes[shared], others)
    overall = iou.mean() if len(iou) else 1.0
    who = data.rater[shared]
    top = np.bincount(who, iou, data.n_raters) + overall
    found: Floats = np.maximum(top / (np.bincount(who, minlength=data.n_raters) + 1), 1e-3)
    return found


def _covered(data: Evidence, weight: Floats) -> Floats:
    """Box round all that boxes with more than half of the weight cover, (O, 4)."""
    box = median_boxes(data.boxes, data.object, data.n_objects)
    for objects, rows in groups_of_equal_size(data.object, data.n_objects):
        for start in range(0, len(objects), _BLOCK):
            block = slice(start, start + _BLOCK)
            which, of = objects[block], rows[block]
            if of.shape[1] > 1:
                box[which] = covered(data.boxes[of], weight[of], otherwise=box[which])
    return box


def covered(boxes: Floats, weight: Floats, *, otherwise: Floats) -> Floats:
    """Box round all that more than half of the weight covers, for G objects of m boxes.

    Parameters
    ----------
    boxes : ndarray, shape (G, m, 4)
        Boxes in px.
    weight : ndarray, shape (G, m)
        Weight of each vote.
    otherwise : ndarray, shape (G, 4)
        Result where there is no such place.

    Returns
    -------
    box : ndarray, shape (G, 4)
    """
    hull = np.concatenate([boxes[:, :, :2].min(axis=1), boxes[:, :, 2:].max(axis=1)], axis=1)
    xs, ys, in_x, in_y = cut(boxes, hull)
    votes = np.einsum("gmy,gmx->gyx", in_y * weight[:, :, None], in_x.astype(np.float64))
    real = (np.diff(ys)[:, :, None] > 0) & (np.diff(xs)[:, None, :] > 0)
    inside = real & (votes > weight.sum(axis=1)[:, None, None] / 2 + 1e-12)
    return round_cells(inside, xs, ys, otherwise=otherwise)


def round_cells(inside: Bools, xs: Floats, ys: Floats, *, otherwise: Floats) -> Floats:
    """Box round the marked cells of G planes; `otherwise` where none is marked.

    Parameters
    ----------
    inside : ndarray of bool, shape (G, H, W)
        Marked cells.
    xs, ys : ndarray, shapes (G, W + 1) and (G, H + 1)
        Where the cells were cut.
    otherwise : ndarray, shape (G, 4)
        Box of planes without a marked cell.

    Returns
    -------
    box : ndarray, shape (G, 4)
    """
    row: Bools = np.any(inside, axis=2)
    column: Bools = np.any(inside, axis=1)
    plane = np.arange(len(inside))
    box = np.stack(
        [
            xs[plane, column.argmax(axis=1)],
            ys[plane, row.argmax(axis=1)],
            xs[plane, xs.shape[1] - 1 - column[:, ::-1].argmax(axis=1)],
            ys[plane, ys.shape[1] - 1 - row[:, ::-1].argmax(axis=1)],
        ],
        axis=1,
    )
    return np.where(np.any(row, axis=1, keepdims=True), box, otherwise)
