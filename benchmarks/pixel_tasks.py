"""What the pixel model learns from: objects of real scans in boxes, and altered copies of them.

`pixel_model.py` says what they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import volume3d
from numpy.typing import NDArray
from scipy import ndimage
from volume3d import BOXES, CT, LOST, MR, Volume, boxes_of, other_organs, read

from samgen.regions import region_of
from samgen.volume_predictor import ObjectPrompts
from samgen.volume_predictor import Volume as Shown

TURNED = {"CT 3 mm": 6, "CT 512 px, 2 mm": 16, "MR 1 mm": 5, "CT 3 mm, pelvis": 6, "MR 3 mm": 6}
MAGNIFIED, LEAST_SLAB = 8, 6
"""Altered copies of an object."""
ABOVE = 82
"""First slice of the trunk that is part of the CT of 3 mm."""
PLANES = {"": (0, 1, 2), " coronal": (1, 0, 2), " sagittal": (2, 0, 1)}


@dataclass(frozen=True, kw_only=True)
class Task:
    """An object to draw."""

    data: str
    group: str
    """Label or patient: all of one group are learned from, or none."""
    axial: bool
    altered: bool
    kind: str
    lost: float
    short: bool
    seed: int
    volume: Volume
    truth: NDArray[np.bool_]

    def boxes(self) -> dict[int, NDArray]:
        """Slice -> box, of those slices that are given."""
        rng = np.random.default_rng(self.seed)
        found = boxes_of(self.truth, self.kind, rng)
        if self.short:
            n = int(rng.integers(1, 5))
            first = int(rng.integers(0, len(found) - n + 1))
            return dict(list(found.items())[first : first + n])
        inner = list(found)[1:-1]
        gone = rng.choice(inner, round(self.lost * len(inner)), replace=False) if inner else []
        return {k: box for k, box in found.items() if k not in gone}

    def asked(self) -> tuple[Shown, ObjectPrompts]:
        """What a model of volumes is shown."""
        return volume3d.shown(self.volume), volume3d.asked(self.boxes())

    def drawn_slices(self) -> slice:
        """Those whose truth counts."""
        kept = list(self.boxes()) if self.short else np.flatnonzero(self.truth.any(axis=(1, 2)))
        return slice(int(min(kept)), int(max(kept)) + 1)


def sources(root: Path) -> Iterator[tuple[Volume, str, bool]]:
    """Volumes, which plane they show, and whether altered copies are made of them."""
    folder = root / "totalsegmentator_ct"
    one = read("CT 3 mm", folder / "ct.nii.gz", folder / "seg.nii.gz", window=CT, names={})
    for plane in PLANES:
        yield from _in_plane(one, plane)
    one = read(
        "CT 512 px, 2 mm", folder / "dicom", folder / "dicom_seg.nii.gz", window=CT, names={}
    )
    yield from _in_plane(one, "")
    for n, path in enumerate(sorted((root / "hippocampus" / "imagesTr").glob("*.nii.gz"))):
        if n % 6 == 1:  # of the benchmark
            continue
        truth = root / "hippocampus" / "labelsTr" / path.name
        one = read("MR 1 mm", path, truth, window=MR, names={1: "anterior", 2: "posterior"})
        for plane in PLANES if n % 3 == 2 else [""]:
            yield from _in_plane(one, plane)


def further_sources(clone: Path) -> Iterator[tuple[Volume, str, bool]]:
    """Scans of TotalSegmentator's tests that `volume3d.py` does not draw."""
    folder = clone / "tests" / "reference_files"
    one = read(
        "CT 3 mm, pelvis",
        folder / "example_ct.nii.gz",
        folder / "example_seg_fast_force_split.nii.gz",
        window=CT,
        names={},
    )
    below = slice(0, ABOVE)
    below_it = one._replace(pictures=one.pictures[below], labels=one.labels[below])
    yield from _in_plane(below_it, "")
    one = read(
        "MR 3 mm",
        folder / "example_mr_sm.nii.gz",
        folder / "example_seg_mr.nii.gz",
        window=MR,
        names={},
    )
    found = (int(value) for value in np.unique(one.labels) if value)
    names = {v: f"label {v}" for v in found if (one.labels == v).any(axis=(1, 2)).sum() >= 5}
    yield from _in_plane(one._replace(names=names), "")


def _in_plane(one: Volume, plane: str) -> Iterator[tuple[Volume, str, bool]]:
    turned = one._replace(
        pictures=np.ascontiguousarray(one.pictures.transpose(PLANES[plane])),
        labels=np.ascontiguousarray(one.labels.transpose(PLANES[plane])),
    )
    names = turned.names or other_organs(turned.labels)
    yield turned._replace(names=names), plane, not plane


def tasks(root: Path, clone: Path) -> Iterator[Task]:
    """All objects to learn from, in all kinds of boxes, and altered copies."""
    own = list(_objects(sources(root)))
    for first in own:
        yield from _kinds(first)
        yield from _altered(first)
    for first in own:
        yield from _magnified(first)
    for first in _objects(further_sources(clone)):
        yield from _kinds(first)
        yield from _altered(first)
        yield from _magnified(first)


def _objects(found: Iterator[tuple[Volume, str, bool]]) -> Iterator[Task]:
    """Each label of volumes, in tight boxes."""
    for volume, plane, axial in found:
        for value in volume.names:
            truth = volume.labels == value
            if truth.sum() < 100:
                continue
            name = f"{volume.data} {volume.case}{plane} {value}"
            group = {"MR 1 mm": volume.case, "MR 3 mm": f"MR {value}"}.get(volume.data, str(value))
            yield Task(
                data=volume.data,
                group=group,
                axial=axial,
                altered=False,
                kind="tight",
                lost=0.0,
                short=False,
                seed=zlib.crc32(name.encode()),
                volume=volume,
                truth=truth,
            )


def _kinds(first: Task) -> Iterator[Task]:
    for n, kind in enumerate(BOXES):
        for lost, short in ((0.0, False), (LOST, False), (0.0, True)):
            if short and kind == "tight":
                continue
            seed = first.seed + 10 * n + int(1000 * lost) + short
            yield replace(first, kind=kind, lost=lost, short=short, seed=seed)


def _altered(first: Task) -> Iterator[Task]:
    for n in range(TURNED[first.data] // (1 if first.axial else 2)):
        rng = np.random.default_rng([first.seed, n])
        pictures, truth, spacing = altered(first, rng)
        if truth.sum() < 100 or truth.any(axis=(1, 2)).sum() < 3:
            continue
        volume = first.volume._replace(
            pictures=pictures, labels=truth.astype(np.int32), spacing_mm=spacing
        )
        short = bool(rng.random() < 0.12)
        lost = LOST if not short and rng.random() < 0.4 else 0.0
        kind = str(rng.choice(BOXES, p=[0.24, 0.38, 0.38]))
        changes = {"kind": kind, "lost": lost, "short": short, "seed": int(rng.integers(1 << 31))}
        yield replace(first, altered=True, volume=volume, truth=truth, **changes)


def altered(
    one: Task, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], float]:
    """Pictures, truth and distance of slices of an object as it might have been scanned, too."""
    grey, truth = _cropped(one)
    spacing = one.volume.spacing_mm
    if len(grey) >= 16 and rng.random() < 0.3:
        grey, truth, spacing = grey[::2], truth[::2], 2 * spacing
    if rng.random() < 0.8:
        grey, truth = _turned(grey, truth, rng)
    filled = np.flatnonzero(truth.any(axis=(1, 2)))
    if filled.size:
        grey, truth = (part[filled[0] : filled[-1] + 1] for part in (grey, truth))
    return _of_other_contrast(grey, rng), truth, spacing


def _magnified(first: Task) -> Iterator[Task]:
    """Copies on pixels of a third of the size, of a part of the slices."""
    for n in range(MAGNIFIED if first.data.startswith("CT 3 mm") and first.axial else 0):
        rng = np.random.default_rng([first.seed, 1000 + n])
        pictures, truth = magnified(first, rng)
        if truth.sum() < 100 or truth.any(axis=(1, 2)).sum() < 3:
            continue
        volume = first.volume._replace(pictures=pictures, labels=truth.astype(np.int32))
        yield replace(
            first,
            data="CT 3 mm, magnified",
            altered=True,
            volume=volume,
            truth=truth,
            lost=LOST if rng.random() < 0.3 else 0.0,
            kind=str(rng.choice(BOXES, p=[0.24, 0.38, 0.38])),
            seed=int(rng.integers(1 << 31)),
        )


def magnified(one: Task, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pictures and truth of an object as a thin slab of a CT of 512 px might show it."""
    grey, truth = _cropped(one)
    if len(grey) > LEAST_SLAB and rng.random() < 0.7:
        thick = int(rng.integers(LEAST_SLAB, min(len(grey), 24) + 1))
        begin = int(rng.integers(0, len(grey) - thick + 1))
        grey, truth = (part[begin : begin + thick] for part in (grey, truth))
    zoom = (1, *[rng.uniform(2.2, 3.4)] * 2)
    order, how = int(rng.integers(0, 2)), {"mode": "nearest", "grid_mode": True}
    grey = ndimage.zoom(grey, zoom, order=3, **how)
    truth = ndimage.zoom(truth.astype(np.float32), zoom, order=order, **how) > 0.5
    for axis in (2, 1):
        if rng.random() < 0.5:
            grey, truth = np.flip(grey, axis), np.flip(truth, axis)
    noise = ndimage.gaussian_filter(rng.normal(size=grey.shape), (0.4, 0.7, 0.7))
    grey = grey + noise / noise.std() * rng.uniform(3, 16)
    if rng.random() < 0.4:
        grey = _of_other_contrast(grey.astype(np.float32), rng)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8), truth


def _cropped(one: Task) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The surroundings of an object, as far as boxes may stray."""
    planes = np.flatnonzero(one.truth.any(axis=(1, 2)))
    rows, columns = (
        slice(max(0, part.start - margin), part.stop + margin)
        for part in region_of(one.truth.any(axis=0))
        for margin in [int(0.8 * (part.stop - part.start) + 12)]
    )
    part = (slice(planes[0], planes[-1] + 1), rows, columns)
    return one.volume.pictures[part].astype(np.float32), one.truth[part]


def _turned(
    grey: NDArray[np.float32], truth: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Turned by any angle, sheared and stretched on the slices."""
    rows, columns = region_of(truth.any(axis=0))
    side = max(rows.stop - rows.start, columns.stop - columns.start)
    wanted = np.exp(rng.uniform(np.log(max(8, side / 3)), np.log(max(40, min(130, side * 3)))))
    scale = wanted / side * np.exp(rng.normal(0, 0.12, 2))
    turn = rng.uniform(0, 2 * np.pi)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = matrix @ np.array([[1, rng.normal(0, 0.15)], [0, 1]]) @ np.diag(scale)
    before = np.array(grey.shape[1:])
    corners = np.array([[0, 0], [before[0], 0], [0, before[1]], before]) @ matrix.T
    after = np.clip(np.ceil(np.ptp(corners, axis=0)), 8, 420).astype(int)
    back = np.linalg.inv(matrix)
    offset = before / 2 - 0.5 - back @ (after / 2 - 0.5)

    def warp(plane: NDArray, mode: str) -> NDArray:
        if scale.min() < 0.8:
            plane = ndimage.gaussian_filter(plane, 0.35 / scale.min())
        return ndimage.affine_transform(
            plane, back, offset, output_shape=tuple(after), order=1, mode=mode
        )

    masks = [warp(plane.astype(np.float32), "constant") > 0.5 for plane in truth]
    return np.stack([warp(plane, "nearest") for plane in grey]), np.stack(masks)


def _of_other_contrast(grey: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another window, at times inverted, blurred or noisier."""
    if rng.random() < 0.6:
        low, high = rng.uniform(-40, 60), rng.uniform(195, 295)
        grey = 255 * np.clip((grey - low) / (high - low), 0, 1) ** np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.2:
        grey = 255 - grey
    if rng.random() < 0.4:
        sigma = rng.uniform(0.3, 1)
        grey = ndimage.gaussian_filter(grey, (0, sigma, sigma))
    if rng.random() < 0.6:
        grey = grey + rng.normal(size=grey.shape) * rng.uniform(2, 18)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
