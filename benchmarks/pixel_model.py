"""Train the pixel model of `samgen.pixel_model` on organs and patients that no benchmark uses.

    python benchmarks/pixel_model.py ../shared/data samgen/pixel_model.json
    python benchmarks/pixel_model.py ../shared/data --check organs
    python benchmarks/pixel_model.py ../shared/data --check sets

It learns from the labels of both CT scans that `volume3d.ORGANS` does not name (CT of 3 mm in
three planes), and from the hippocampi that `volume3d.py` does not draw (some of them in three
planes, too). Each is shown in tight, noisy and faulty boxes, with all slices, with 13 % of them
lost, and as four slices at most; and turned, stretched, of other contrast, noisier, in thicker
slices. The embedded model of volumes draws each object; pixels round it are taken at random.

``--check`` measures what is gained on what was not learned from: ``organs`` trains four times,
each time without a fourth of the labels and patients; ``sets`` three times, each time without one
of the three sets. Needs PyTorch, of which nothing is left in the file that is written.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import volume3d
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from volume3d import BOXES, CT, LOST, MR, Volume, boxes_of, other_organs, read

from samgen.pixel_features import features_of
from samgen.pixel_model import ARRAYS, NOTHING_LEARNED, NUMBERS, PixelModel
from samgen.predictors.intensity3d import VERSION, Draft, Intensity3DPredictor
from samgen.regions import region_of
from samgen.volume_predictor import ObjectPrompts
from samgen.volume_predictor import Volume as Shown

PIXELS = 800
"""Of each object, drawn with replacement."""
HIDDEN, STEPS, RATE, DECAY = 12, 1000, 4e-3, 1e-3
OBJECTS, SEEN = 48, 400
"""Objects of a step, and pixels of each."""
LIMIT = 2.5
JITTER = 0.15
"""Standard deviation of what is added to a feature of all pixels of an object, in scales."""
SHARE, BORDER_PENALTY = 0.8, 0.05
TURNED = {"CT 3 mm": 6, "CT 512 px, 2 mm": 16, "MR 1 mm": 5}
"""Altered copies of an object."""
WEIGHTS = {True: 1.0, False: 0.5}
"""Of a set, in its own plane and in others."""
TRAINED_ON = {
    "both example CT scans of TotalSegmentator": {
        "source": "github.com/wasserth/TotalSegmentator",
        "licence": "Apache-2.0",
        "part": "all labels of five slices or more but the ten of benchmarks/volume3d.py",
    },
    "Medical Segmentation Decathlon, Task04 Hippocampus": {
        "source": "medicaldecathlon.com",
        "licence": "CC BY-SA 4.0",
        "part": "54 of 65 patients, none of those of benchmarks/volume3d.py",
    },
}
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


def _in_plane(one: Volume, plane: str) -> Iterator[tuple[Volume, str, bool]]:
    turned = one._replace(
        pictures=np.ascontiguousarray(one.pictures.transpose(PLANES[plane])),
        labels=np.ascontiguousarray(one.labels.transpose(PLANES[plane])),
    )
    names = turned.names or other_organs(turned.labels)
    yield turned._replace(names=names), plane, not plane


def tasks(root: Path) -> Iterator[Task]:
    """All objects to learn from, in all kinds of boxes, and altered copies."""
    for volume, plane, axial in sources(root):
        for value in volume.names:
            truth = volume.labels == value
            if truth.sum() < 100:
                continue
            name = f"{volume.data} {volume.case}{plane} {value}"
            group = volume.case if volume.data.startswith("MR") else str(value)
            first = Task(
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
            yield from _kinds(first)
            yield from _altered(first)


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


class Examples:
    """Pixels of all tasks, and what is known of each of these."""

    def __init__(self, found: Iterator[Task]) -> None:
        model = Intensity3DPredictor(pixels=NOTHING_LEARNED)
        values, truths, rows = [], [], []
        for one in found:
            value, truth, self.names = pixels_of(one, model)
            values.append(value)
            truths.append(truth)
            rows.append(
                {
                    "data": one.data,
                    "axial": one.axial,
                    "altered": one.altered,
                    "group": one.group,
                    "share": WEIGHTS[one.axial] * (0.5 if one.short else 1),
                }
            )
        self.pixels, self.truths, self.rows = np.stack(values), np.stack(truths), pd.DataFrame(rows)

    def weights(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How often each task is looked at; all sets alike."""
        n = self.rows.groupby(["data", "axial", "altered"])["share"].transform("size")
        weight = np.where(kept, self.rows["share"] / n, 0)
        return weight / weight.sum()


def pixels_of(
    one: Task, model: Intensity3DPredictor
) -> tuple[NDArray[np.float16], NDArray[np.float16], list[str]]:
    """Features (n, F) of pixels, the share of each that is the organ, and names of features."""
    draft = model.draft(*one.asked())
    named = features_of(draft.frame, draft.sketch, draft.drawings)
    truth = truth_on_grid(one, draft)
    picked = np.random.default_rng(one.seed).integers(0, len(draft.frame.index), PIXELS)
    values = np.stack([value[picked] for value in named.values()], axis=1)
    shown = truth.ravel()[draft.frame.index[picked]]
    return values.astype(np.float16), shown.astype(np.float16), list(named)


def truth_on_grid(one: Task, draft: Draft) -> NDArray[np.float32]:
    """Share of each cell of the grid that is the organ."""
    truth = one.truth[draft.slices][:, *draft.look.region].astype(np.float32)
    step, (_, rows, columns) = draft.look.step, draft.look.grey.shape
    missing = [(0, 0), (0, rows * step - truth.shape[1]), (0, columns * step - truth.shape[2])]
    cells = np.pad(truth, missing).reshape(len(truth), rows, step, columns, step)
    return cells.mean(axis=(2, 4))


def fit(examples: Examples, kept: NDArray[np.bool_]) -> PixelModel:
    """Learn from a part of the tasks: cross entropy and soft Dice, half and half."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    weight = examples.weights(kept)
    some = examples.pixels[rng.choice(len(weight), 600, p=weight)].reshape(-1, len(examples.names))
    mean, scale = some.mean(axis=0, dtype=np.float32), some.std(axis=0, dtype=np.float32) + 0.05
    hidden, out = torch.nn.Linear(len(mean), HIDDEN), torch.nn.Linear(HIDDEN, 1)
    torch.nn.init.zeros_(out.weight)
    net = torch.nn.Sequential(hidden, torch.nn.ReLU(), out)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2 * RATE, total_steps=STEPS)
    for _ in range(STEPS):
        chosen = rng.choice(len(weight), OBJECTS, p=weight)
        first = int(rng.integers(0, PIXELS - SEEN + 1))
        part = (chosen, slice(first, first + SEEN))
        values = (examples.pixels[part].astype(np.float32) - mean) / scale
        values = torch.from_numpy(values).clamp(-LIMIT, LIMIT)
        values = values + torch.randn(OBJECTS, 1, len(mean)) * JITTER
        truth = torch.from_numpy(examples.truths[part].astype(np.float32))
        optimiser.zero_grad()
        loss(net(values)[..., 0], truth).backward()
        optimiser.step()
        rates.step()
    return PixelModel(
        features=tuple(examples.names),
        mean=mean,
        scale=scale,
        limit=LIMIT,
        hidden=hidden.weight.detach().numpy().T.copy(),
        bias=hidden.bias.detach().numpy(),
        out=out.weight.detach().numpy()[0],
        base=float(out.bias.detach()[0]),
        share=SHARE,
        border_penalty=BORDER_PENALTY,
    )


def loss(odds: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(odds, truth)
    found = torch.sigmoid(odds)
    shared, size = (found * truth).sum(dim=1), found.sum(dim=1) + truth.sum(dim=1)
    return entropy + 0.5 * (1 - (2 * shared + 1) / (size + 1)).mean()


def dice_of(one: Task, model: Intensity3DPredictor) -> float:
    """Dice of an object on its slices."""
    found = model.predict(*one.asked())
    mask = found.probability.mean(axis=0) > 0.5
    shared = (mask & one.truth[np.array(found.slices)][:, *found.region]).sum()
    return 2 * int(shared) / int(mask.sum() + one.truth[one.drawn_slices()].sum())


def check(root: Path, examples: Examples, left_out: str) -> None:
    """Print what is gained on tasks that were not learned from, of whole organs in their plane."""
    rows, plain = examples.rows, Intensity3DPredictor(pixels=NOTHING_LEARNED)
    part = rows["data"] if left_out == "sets" else rows["group"].map(fold_of)
    models = {one: Intensity3DPredictor(pixels=fit(examples, part != one)) for one in set(part)}
    found = []
    for index, one in enumerate(tasks(root)):
        if one.axial and not one.altered:
            gain = dice_of(one, models[part[index]]) - dice_of(one, plain)
            found.append(
                {
                    "data": one.data,
                    "boxes": f"{one.kind}{' lost' * (one.lost > 0)}{' short' * one.short}",
                    "gain": gain,
                }
            )
    print(pd.DataFrame(found).groupby(["data", "boxes"])["gain"].agg(["mean", "size"]).round(4))


def fold_of(group: str) -> str:
    return str(zlib.crc32(group.encode()) % 4)


def short(numbers: ArrayLike) -> Any:
    """Numbers of four digits, as lists."""
    each = np.asarray(numbers, np.float64)
    return np.reshape([float(f"{n:.4g}") for n in each.ravel()], each.shape).tolist()


def write(model: PixelModel, path: Path) -> None:
    """The file of the package."""
    arrays = {name: short(getattr(model, name)) for name in ARRAYS}
    numbers = {name: short(getattr(model, name)) for name in NUMBERS}
    found = {
        "version": VERSION,
        "trained_by": "benchmarks/pixel_model.py",
        "trained_on": TRAINED_ON,
        "features": list(model.features),
        **numbers,
        **arrays,
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--check", choices=["organs", "sets"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    examples = Examples(tasks(given.data))
    if given.file:
        write(fit(examples, np.ones(len(examples.rows), bool)), given.file)
    if given.check:
        check(given.data, examples, given.check)


if __name__ == "__main__":
    main()
