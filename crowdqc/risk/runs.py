"""The masks of one label of one case, cut out of their volume with its boxes. Arrays inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.arrays import Bools, Floats, Ints
from crowdqc.geometry import Boxes
from crowdqc.risk.votes import ellipses, mask_boxes
from crowdqc.schema import BOX

MaskSet = Callable[[str], NDArray[np.integer[Any]] | None]
"""Case -> its masks as pictures, label values of shape (P, R, C); None where it has none."""
Pictures = Callable[[str], NDArray[np.uint8] | None]
"""Case -> its grey pictures, of the same shape; None where it has none."""

MARGIN_PX = 2
"""Pixels kept round everything when a run is cut out."""


@dataclass(frozen=True)
class Run:
    """The masks of one label of one case, cut out."""

    planes: Ints
    boxes: Boxes
    """Hull of the boxes on each plane, in px of the cut-out; nan where there is none."""
    filled: Bools
    """Ellipses of all boxes."""
    cores: Bools
    """Ellipses of half their size."""
    sets: list[Bools]
    grey: Floats
    """Median grey value under each mask of the first set; nan where it is empty or not known."""
    depth: int
    spacing: tuple[float, float, float]


def runs_of(
    case: str,
    boxes: pd.DataFrame,
    sets: Sequence[MaskSet],
    *,
    labels: Mapping[str, int],
    spacing: tuple[float, float, float],
    pictures: Pictures | None,
) -> Iterator[tuple[str, Run]]:
    """The labels of a case that have a box or a mask.

    Parameters
    ----------
    case, boxes, sets, labels, spacing, pictures
        As for `crowdqc.risk.assess_risk`; spacing along x, y and z in mm.

    Yields
    ------
    str, Run
        Label, and what is of it.
    """
    stacks = [stack for one in sets if (stack := one(case)) is not None]
    if not stacks:
        return
    shown = None if pictures is None else pictures(case)
    mine = boxes[boxes["case"] == case]
    for label, value in labels.items():
        drawn = mine[mine["label"] == label]
        run = _cut_out(drawn, stacks, value=value, spacing=spacing, shown=shown)
        if run is not None:
            yield label, run


def _cut_out(
    drawn: pd.DataFrame,
    stacks: Sequence[NDArray[np.integer[Any]]],
    *,
    value: int,
    spacing: tuple[float, float, float],
    shown: NDArray[np.uint8] | None,
) -> Run | None:
    """The slices of a label that have a box or a mask, cut to where something is."""
    masks = [stack == value for stack in stacks]
    depth, rows, columns = masks[0].shape
    boxed = drawn["slice"].to_numpy()
    planes = np.union1d(np.flatnonzero(masks[0].any(axis=(1, 2))), boxed[boxed < depth])
    planes = planes.astype(np.int64)
    if not planes.size:
        return None
    masks = [mask[planes] for mask in masks]
    hull = drawn.groupby("slice").agg({"x0": "min", "y0": "min", "x1": "max", "y1": "max"})
    hulls = hull.reindex(planes)[BOX].to_numpy(dtype=np.float64)
    seen = np.concatenate([hulls, *(mask_boxes(mask) for mask in masks)])
    low = np.maximum(np.floor(np.nanmin(seen[:, :2], axis=0)).astype(int) - MARGIN_PX, 0)
    high = np.ceil(np.nanmax(seen[:, 2:], axis=0)).astype(int) + MARGIN_PX
    high = np.minimum(high, [columns, rows])
    window = (slice(None), slice(low[1], high[1]), slice(low[0], high[0]))
    offset = np.tile(low, 2)
    cut = [np.ascontiguousarray(mask[window]) for mask in masks]
    single = drawn[BOX].to_numpy(dtype=np.float64) - offset
    rows_of = np.searchsorted(planes, boxed)
    filled, cores = (
        _painted(ellipses(part, cut[0].shape[1:]), rows_of, len(planes))
        for part in (single, _halved(single))
    )
    values = np.full(len(planes), np.nan)
    if shown is not None:
        for k, (plane, mask) in enumerate(zip(planes, cut[0], strict=True)):
            values[k] = np.median(shown[plane][window[1:]][mask]) if mask.any() else np.nan
    return Run(planes, hulls - offset, filled, cores, cut, values, depth, spacing)


def _painted(ellipses_of: Bools, rows: Ints, n: int) -> Bools:
    """Ellipses (K, R, C) of boxes on the planes `rows`, together on each of n planes."""
    found = np.zeros((n, *ellipses_of.shape[1:]), dtype=bool)
    for row, ellipse in zip(rows, ellipses_of, strict=True):
        found[row] |= ellipse
    return found


def _halved(boxes: Boxes) -> Boxes:
    """Boxes of half the width and height round the same centres."""
    inset = (boxes[:, 2:] - boxes[:, :2]) / 4
    return np.hstack([boxes[:, :2] + inset, boxes[:, 2:] - inset])
