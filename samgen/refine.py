"""The masks of one organ on all slices, made better by what its other slices say.

Each step is optional, and they follow each other in this order:

1. A slice whose mask disagrees with those of both its neighbours, which agree with each other, is
   prompted again, with the box halfway between the boxes round the neighbours' masks, which
   strays as far as these two differ. Of the two masks the one with the higher mean Dice with the
   neighbours is kept.
2. Probabilities are smoothed across slices where the organ goes on, in mm, but not by more than
   the length of the organ allows: a small one is its own curvature.
3. Pieces that hang on to nothing are removed, and holes filled, in 3D. What was removed has a
   probability of 0.5 at most, and what was filled of just above, so that another organ that was
   drawn there keeps it, and maps of uncertainty show both as unsure.

A label with more than one object on a slice is left as it is: which of them goes on as which is
not known. One label is worked on at a time, and only the part of the pictures that it takes up
on any slice: at most 13 bytes for each voxel of that part, beside the drawings themselves (4 bytes
for each pixel of the box round each). For an organ of 250 x 250 px on 200 slices these are 160 MB;
the largest that 512 x 512 x 300 voxels allow is 1 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from samgen.predictor import SUPPORT
from samgen.regions import hull, region_of, within
from samgen.settings import VolumeSettings
from samgen.slices import ObjectMask, mask_dice
from samgen.volume3d import (
    Stack,
    odd_one_out,
    runs_of,
    smooth_slices,
    without_holes,
    without_islands,
)

Edges = NDArray[np.float64]
"""One number, in px, for each of ``x0, y0, x1, y1``."""

Redraw = Callable[[int, Edges, Edges], ObjectMask]
"""Draws the object on a slice again: number of the slice, box and spread of its edges, in px."""

LENGTH_SHARE = 1 / 16
"""Largest standard deviation of the kernel, as a share of the organ's length. In the middle of an
ellipsoid of length L, smoothing by s takes (s / L)^2 of its radius, and more towards the ends."""

JUST_INSIDE = np.nextafter(np.float32(0.5), np.float32(1))


def refine(
    slices: Sequence[int],
    items: Sequence[ObjectMask],
    *,
    spacing_mm: float,
    settings: VolumeSettings,
    redraw: Redraw | None = None,
) -> list[ObjectMask]:
    """Refine the masks of one label of a case.

    Parameters
    ----------
    slices : sequence of int, length P
        Numbers of the slices on which it was drawn, increasing.
    items : sequence of ObjectMask, length P
        The object on each of them.
    spacing_mm : float
        Distance of slices.
    settings : VolumeSettings
        Which steps are taken.
    redraw : callable, optional
        Needed where `settings.reprompt`.

    Returns
    -------
    list of ObjectMask, length P
        With the columns `reprompted`, `removed_px` and `filled_px` of the table ``masks`` among
        their measures.
    """
    again: set[int] = set()
    drawn = items
    if settings.reprompt and redraw is not None:
        drawn, again = _reprompted(slices, items, redraw)
    rows, columns = hull(item.region for item in drawn)
    stack = np.zeros(
        (len(drawn), rows.stop - rows.start, columns.stop - columns.start), dtype=np.float32
    )
    for plane, item in zip(stack, drawn, strict=True):
        plane[within(item.region, (rows, columns))] = item.mean
    if settings.smooth_mm > 0:
        for run in runs_of(slices):
            length_mm = (run.stop - run.start) * spacing_mm
            sigma_mm = min(settings.smooth_mm, LENGTH_SHARE * length_mm)
            stack[run] = smooth_slices(stack[run], spacing_mm=spacing_mm, sigma_mm=sigma_mm)
    removed, filled = _clean(stack, settings)
    return [
        _cut_out(plane, item, corner=(rows.start, columns.start)).adding(
            reprompted=index in again, removed_px=int(removed[index]), filled_px=int(filled[index])
        )
        for index, (plane, item) in enumerate(zip(stack, drawn, strict=True))
    ]


def _reprompted(
    slices: Sequence[int], items: Sequence[ObjectMask], redraw: Redraw
) -> tuple[list[ObjectMask], set[int]]:
    """The objects with odd ones drawn again, and where that was better."""
    drawn, better = list(items), set()
    for index in range(1, len(items) - 1):
        before, item, after = items[index - 1 : index + 2]
        if slices[index + 1] - slices[index - 1] != 2:
            continue
        fit = mask_dice(before, item), mask_dice(item, after)
        if not odd_one_out(*fit, mask_dice(before, after)):
            continue
        edges = np.array([_mask_box(before), _mask_box(after)])
        other = redraw(slices[index], edges.mean(axis=0), np.abs(edges[1] - edges[0]) / 2)
        if mask_dice(before, other) + mask_dice(other, after) > sum(fit):
            drawn[index] = other
            better.add(index)
    return drawn, better


def _mask_box(item: ObjectMask) -> Edges:
    """Box round a mask, which is not empty: it shares pixels with another one."""
    found = region_of(item.mean > 0.5) or (slice(0), slice(0))
    box = [part.start for part in found[::-1]] + [part.stop for part in found[::-1]]
    corner = [item.region[1].start, item.region[0].start]
    return np.array(box, dtype=np.float64) + np.tile(corner, 2)


def _clean(stack: Stack, settings: VolumeSettings) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Clean a stack in place; pixels that were removed from and added to each slice."""
    before = stack > 0.5
    mask = without_islands(before) if settings.remove_islands else before
    lost = before & ~mask
    stack[lost] = 0.5
    removed = lost.sum(axis=(1, 2))
    if not settings.fill_holes:
        return removed, np.zeros_like(removed)
    gained = without_holes(mask) & ~mask
    stack[gained] = np.maximum(stack[gained], JUST_INSIDE)
    return removed, gained.sum(axis=(1, 2))


def _cut_out(
    plane: NDArray[np.float32], item: ObjectMask, *, corner: tuple[int, int]
) -> ObjectMask:
    """An object with the probabilities of a plane whose first pixel is `corner`."""
    rows, columns = corner
    own = within(item.region, (slice(rows, None), slice(columns, None)))
    likely = region_of(plane > SUPPORT)
    part = own if likely is None else hull([own, likely])
    region = (
        slice(part[0].start + rows, part[0].stop + rows),
        slice(part[1].start + columns, part[1].stop + columns),
    )
    return ObjectMask(region, plane[part].copy(), item.measures)
