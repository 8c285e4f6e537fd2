"""Dice of whole organs with and without what `samgen.refine` does between slices.

    python benchmarks/volume3d.py ../shared/data
    python benchmarks/volume3d.py ../shared/data --others

With ``--others`` the organs are all other labels of both scans with five slices or more, and the
patients others: what the learned part of the model of volumes learned from (``pixel_model.py``).

Boxes are tight round the expert masks; or each edge is moved by a normal error of 5 % of its
side, and half a pixel (noisy); or noisy, and one slice in ten has its box moved by 40 % of its
size (faulty). The embedded model draws each object from 2 prompts, once; every option then works
on the same drawings. Dice is that of an organ in a volume, with no other organ in its way. The
interval is that of the mean difference to what was drawn: 10,000 bootstrap samples of organs (CT,
one patient each) or of patients (MR). The embedded model of volumes draws from the same boxes, from
all of them and from those that are left when 13 % of the inner slices have none; given is also the
longest processor time of an object.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import samgen.volume_predictor
from crowdqc.config import Window
from crowdqc.volumes import read_labels, read_volume, to_grey, to_pictures
from samgen.predictor import Prompts
from samgen.predictors.intensity import IntensityPredictor
from samgen.predictors.intensity3d import Intensity3DPredictor
from samgen.prompts import make_prompts
from samgen.refine import refine
from samgen.regions import region_of
from samgen.settings import PromptSettings, VolumeSettings
from samgen.slices import ObjectMask, draw_objects
from samgen.volume_predictor import ObjectPrompts

CT, MR = Window(level=40, width=400), Window(percentiles=(0.5, 99.5))
ORGANS = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    5: "liver",
    6: "stomach",
    7: "pancreas",
    20: "colon",
    52: "aorta",
    63: "vena cava",
    79: "spinal cord",
}
OPTIONS = {
    "reprompt": VolumeSettings(reprompt=True),
    "smooth 2 mm": VolumeSettings(smooth_mm=2),
    "smooth 4 mm": VolumeSettings(smooth_mm=4),
    "islands": VolumeSettings(remove_islands=True),
    "holes": VolumeSettings(fill_holes=True),
    "together (2 mm)": VolumeSettings(
        reprompt=True, smooth_mm=2, remove_islands=True, fill_holes=True
    ),
}
IN_3D = ("intensity3d", "13 % lost")
BOXES = ("tight", "noisy", "faulty")
LOST = 0.13
SETTINGS = PromptSettings(n_prompts=2, prompt_boxes="fused", jitter="training")


class Volume(NamedTuple):
    """One patient: grey pictures, labels, distance of slices in mm."""

    data: str
    case: str
    pictures: NDArray[np.uint8]
    labels: NDArray[np.int32]
    spacing_mm: float
    names: dict[int, str]


def volumes(root: Path, *, others: bool = False) -> Iterator[Volume]:
    folder = root / "totalsegmentator_ct"
    for data, image, labels in (
        ("CT 3 mm", "ct.nii.gz", "seg.nii.gz"),
        ("CT 512 px, 2 mm", "dicom", "dicom_seg.nii.gz"),
    ):
        one = read(data, folder / image, folder / labels, window=CT, names=ORGANS)
        yield one._replace(names=other_organs(one.labels)) if others else one
    part = slice(4, None, 8) if others else slice(1, None, 6)
    for path in sorted((root / "hippocampus" / "imagesTr").glob("*.nii.gz"))[part]:
        truth = root / "hippocampus" / "labelsTr" / path.name
        yield read("MR 1 mm", path, truth, window=MR, names={1: "anterior", 2: "posterior"})


def other_organs(labels: NDArray[np.int32]) -> dict[int, str]:
    """Those of five slices or more that are not among `ORGANS`."""
    found = (int(value) for value in np.unique(labels) if value and value not in ORGANS)
    return {v: f"label {v}" for v in found if (labels == v).any(axis=(1, 2)).sum() >= 5}


def read(data: str, image: Path, truth: Path, *, window: Window, names: dict[int, str]) -> Volume:
    values, grid = read_volume(image, plane="axial")
    labels, _ = read_labels(truth, plane="axial")
    pictures = to_pictures(to_grey(values, window), "transverse")
    seen = to_pictures(labels, "transverse")
    return Volume(data, image.stem, pictures, seen, grid.spacing[2], names)


def boxes_of(mask: NDArray[np.bool_], kind: str, rng: np.random.Generator) -> dict[int, NDArray]:
    """Slice -> box."""
    found = {}
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        rows, columns = region_of(mask[k])
        box = np.array([columns.start, rows.start, columns.stop, rows.stop], float)
        side = np.tile(box[2:] - box[:2], 2)
        if kind != "tight":
            box = box + rng.normal(size=4) * (0.05 * side + 0.5)
        if kind == "faulty" and rng.random() < 0.1:
            angle = rng.uniform(0, 2 * np.pi)
            box = box + 0.4 * side * np.tile([np.cos(angle), np.sin(angle)], 2)
        limit = np.array(mask.shape[:0:-1])
        low, high = np.clip(box[:2], 0, limit - 1), np.clip(box[2:], 1, limit)
        found[int(k)] = np.concatenate([low, np.maximum(high, low + 1)])
    return found


def score(volume: Volume) -> Iterator[dict[str, object]]:
    model = IntensityPredictor()
    encoded: dict[int, object] = {}

    def draw(k: int, box: NDArray, spread: NDArray | None = None) -> ObjectMask:
        if k not in encoded:
            encoded[k] = model.encode(volume.pictures[k])
        prompts = make_prompts(
            box,
            spread=spread,
            shape=volume.pictures.shape[1:],
            rng=np.random.default_rng(k),
            settings=SETTINGS,
        )
        return next(draw_objects(model, encoded[k], [prompts]))

    for value, name in volume.names.items():
        truth = volume.labels == value
        if truth.sum() < 100:
            continue
        for kind in BOXES:
            boxes = boxes_of(truth, kind, np.random.default_rng(value))
            items = [draw(k, box) for k, box in boxes.items()]
            dice = {"as drawn": dice_of(list(boxes), items, truth)}
            for option, settings in OPTIONS.items():
                refined = refine(
                    list(boxes),
                    items,
                    spacing_mm=volume.spacing_mm,
                    settings=settings,
                    redraw=draw,
                )
                dice[option] = dice_of(list(boxes), refined, truth)
                dice[f"{option}: reprompted"] = sum(i.measures["reprompted"] for i in refined)
            begun = time.process_time()
            for option, lost in zip(IN_3D, (0.0, LOST), strict=True):
                dice[option] = draw_volume(volume, boxes, truth, lost=lost, seed=value)
            dice["seconds"] = (time.process_time() - begun) / 2
            place = {"data": volume.data, "case": volume.case, "organ": name, "boxes": kind}
            yield {**place, "slices": len(boxes), **dice}


def shown(volume: Volume) -> samgen.volume_predictor.Volume:
    """A patient as models of volumes see it."""
    pictures = volume.pictures
    return samgen.volume_predictor.Volume(
        pictures, (volume.spacing_mm, 1, 1), lambda: pictures.astype(np.float32)
    )


def asked(boxes: dict[int, NDArray]) -> ObjectPrompts:
    """An object by its boxes, one on each slice."""
    n = len(boxes)
    return ObjectPrompts(
        label="organ",
        slices=tuple(boxes),
        prompts=tuple(Prompts(box, box[None], (1,)) for box in boxes.values()),
        spread=np.full((n, 4), np.nan),
        raters=(np.zeros((0, 4)),) * n,
        interpolated=np.zeros(n, bool),
        empty=frozenset(),
        tracked=True,
        again=lambda *_: Prompts(np.zeros(4), np.zeros((1, 4)), (1,)),
    )


def draw_volume(
    volume: Volume, boxes: dict[int, NDArray], truth: NDArray[np.bool_], *, lost: float, seed: int
) -> float:
    """Dice of an organ that the model of volumes draws from a part of the boxes."""
    inner = list(boxes)[1:-1]
    n = round(lost * len(inner))
    gone = np.random.default_rng(seed).choice(inner, n, replace=False) if n else []
    kept = {k: box for k, box in boxes.items() if k not in gone}
    found = Intensity3DPredictor().predict(shown(volume), asked(kept))
    mask = found.probability.mean(axis=0) > 0.5
    shared = (mask & truth[np.array(found.slices)][:, *found.region]).sum()
    return 2 * int(shared) / int(mask.sum() + truth.sum())


def dice_of(slices: list[int], items: list[ObjectMask], truth: NDArray[np.bool_]) -> float:
    shared = size = 0
    for k, item in zip(slices, items, strict=True):
        mask = item.mean > 0.5
        shared += int((mask & truth[k][item.region]).sum())
        size += int(mask.sum())
    return 2 * shared / (size + int(truth.sum()))


def interval(rows: pd.DataFrame, option: str) -> tuple[float, float, float]:
    """Mean difference to what was drawn, and its interval: organs or, of many patients, these."""
    unit = "case" if len(set(rows["case"])) > 1 else "organ"
    each = (rows[option] - rows["as drawn"]).groupby(rows[unit]).mean().to_numpy()
    rng = np.random.default_rng(0)
    means = each[rng.integers(len(each), size=(10_000, len(each)))].mean(axis=1)
    return each.mean(), *np.percentile(means, [2.5, 97.5])


def report(table: pd.DataFrame) -> None:
    for kind, rows in table.groupby("boxes", sort=False):
        n = f"{len(set(rows['case']))} volumes, {len(rows)} organs, {rows['slices'].sum()} slices"
        drawn = rows["as drawn"].mean()
        print(f"\n{rows['data'].iloc[0]}, {kind} boxes ({n}): Dice as drawn {drawn:.4f}")
        for option in OPTIONS:
            mean, low, high = interval(rows, option)
            again = int(rows[f"{option}: reprompted"].sum())
            print(f"  {option:16s} {mean:+.4f} [{low:+.4f}, {high:+.4f}]  {again} reprompted")
        for option in IN_3D:
            mean, low, high = interval(rows, option)
            print(f"  {option:16s} {mean:+.4f} [{low:+.4f}, {high:+.4f}]")
        print(f"  {rows['seconds'].max():.1f} s at most for an object in 3D")
    sys.stdout.flush()


def main() -> None:
    given = [one for one in sys.argv[1:] if one != "--others"]
    root = Path(given[0] if given else "../shared/data")
    found = volumes(root, others="--others" in sys.argv)
    for _, group in itertools.groupby(found, key=lambda volume: volume.data):
        report(pd.DataFrame([row for volume in group for row in score(volume)]))


if __name__ == "__main__":
    main()
