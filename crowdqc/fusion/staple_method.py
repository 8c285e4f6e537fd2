"""STAPLE as a method of fusion: each object is a plane of its own, and raters are pooled.

The region of interest is the hull of an object's boxes, and every object counts alike,
whatever its size in pixels. The raters who drew it vote there; whether it exists is for the
quorum to say, because STAPLE cannot tell a rater who missed an object from one who drew it
small. Sensitivity and specificity of a rater are pooled over all objects, with a prior, so
that neither background nor one odd object decides them, and two raters have a result too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.crowd import Evidence, median_boxes
from crowdqc.fusion.cells import cut, groups_of_equal_size, patterns
from crowdqc.fusion.em import UNREAD, Votes, solve
from crowdqc.fusion.methods import Fused, round_cells, share_of_asked, standard_error

PRIOR = np.array([[4.0, 1.0], [1.0, 4.0]])
"""Five objects already seen of every rater, who was right on four fifths of their area."""
_BLOCK = 2**12
"""Objects that are cut into cells at a time, to bound memory."""


@dataclass(frozen=True)
class _Part:
    """Objects with equally many boxes, cut into cells."""

    objects: Ints
    xs: Floats
    ys: Floats
    real: Bools
    pattern: Ints
    label: NDArray[np.int8]
    rater: Ints
    count: Floats


def staple(data: Evidence) -> Fused:
    """The box round all that is more likely foreground than not.

    References
    ----------
    .. [1] S. K. Warfield, K. H. Zou, W. M. Wells, "Simultaneous truth and performance level
       estimation (STAPLE)", IEEE Trans. Med. Imaging 23(7), 2004. :doi:`10.1109/TMI.2004.828354`
    """
    parts = list(_parts(data))
    posterior = _posterior(parts, data.n_raters)
    box = median_boxes(data.boxes, data.object, data.n_objects)
    for part, values in zip(parts, posterior, strict=True):
        likely = np.zeros(part.real.shape)
        likely[part.real] = values[part.pattern]
        box[part.objects] = round_cells(likely > 0.5, part.xs, part.ys, otherwise=box[part.objects])
    return Fused(box, standard_error(data) * (np.pi / 2) ** 0.5, share_of_asked(data))


def _parts(data: Evidence) -> Iterator[_Part]:
    for objects, rows in groups_of_equal_size(data.object, data.n_objects):
        for start in range(0, len(objects), _BLOCK):
            block = slice(start, start + _BLOCK)
            yield _cut(data, objects[block], rows[block])


def _cut(data: Evidence, objects: Ints, rows: Ints) -> _Part:
    boxes, who = data.boxes[rows], data.rater[rows]
    hull = np.concatenate([boxes[:, :, :2].min(axis=1), boxes[:, :, 2:].max(axis=1)], axis=1)
    xs, ys, in_x, in_y = cut(boxes, hull)
    covers = in_y[:, :, :, None] & in_x[:, :, None, :]
    width, height = np.diff(xs), np.diff(ys)
    real = (height[:, :, None] > 0) & (width[:, None, :] > 0)
    area = height[:, :, None] * width[:, None, :]
    area = area / area.sum(axis=(1, 2), keepdims=True)
    plane = np.nonzero(real)[0]
    label = np.moveaxis(covers, 1, -1)[real].astype(np.int8)
    first, pattern = patterns(2 * who[plane, k] + label[:, k] for k in range(who.shape[1]))
    count = np.bincount(pattern, area[real], len(first)).astype(np.float64)
    return _Part(
        objects, xs, ys, real, pattern, label=label[first], rater=who[plane[first]], count=count
    )


def _posterior(parts: list[_Part], raters: int) -> list[Floats]:
    """Probability of foreground of each part's patterns, with raters pooled over all."""
    width = max((part.label.shape[1] for part in parts), default=0)

    def wide(values: NDArray[np.integer], fill: int) -> NDArray[np.integer]:
        return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=fill)

    if not parts:
        return []
    votes = Votes(
        np.concatenate([wide(part.label, UNREAD) for part in parts]),
        np.concatenate([wide(part.rater, 0) for part in parts]),
        np.concatenate([part.count for part in parts]),
        raters,
    )
    found = solve(votes, prior=PRIOR).posterior[:, 1]
    return np.split(found, np.cumsum([len(part.count) for part in parts])[:-1])
