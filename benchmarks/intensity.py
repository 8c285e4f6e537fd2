"""Dice of the embedded model on real data, and its time per box.

    python benchmarks/intensity.py ../shared/data
    python benchmarks/intensity.py ../shared/data --sensitivity

Boxes are tight round the expert masks, or have each edge moved uniformly by up to 2 px (noisy).
Columns: one prompt on tight boxes; 16 prompts (SAM's training noise) and the mean probability
on tight boxes; one prompt and 16 prompts on noisy boxes. Dice per slice, mean over slices.
With --sensitivity, each setting is halved and doubled in turn, on a quarter of the slices with
one prompt on tight boxes: the mean over the five organs of the first set, and over the others.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from crowdqc.config import Window
from crowdqc.simulate.boxes import tight_boxes
from crowdqc.volumes import read_labels, read_volume, to_grey, to_pictures
from samgen.predictors.intensity import IntensityPredictor
from samgen.prompts import make_prompts
from samgen.settings import IntensitySettings, PromptSettings

CT = Window(level=40, width=400)
MR = Window(percentiles=(0.5, 99.5))
ORGANS = {1: "spleen", 2: "right kidney", 3: "left kidney", 5: "liver", 52: "aorta"}
MORE = {6: "stomach", 7: "pancreas", 20: "colon", 79: "spinal cord", 63: "vena cava"}
FIRST = "CT 3 mm"
SMALLEST_PX = 10
"""Masks of fewer pixels on a slice are left out, but for the five organs."""


class Example(NamedTuple):
    """One organ on one slice."""

    data: str
    organ: str
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def examples(root: Path) -> Iterator[Example]:
    yield from _totalsegmentator(root / "totalsegmentator_ct")
    yield from _dicom(root / "totalsegmentator_ct")
    yield from _hippocampus(root / "hippocampus")
    yield from _sam_med2d(root / "sam_med2d" / "data_demo")


def _slices(
    data: str, pictures: NDArray[np.uint8], labels: NDArray[np.int32], *, names: dict[int, str]
) -> Iterator[Example]:
    for picture, on_slice in zip(pictures, labels, strict=True):
        for value, organ in names.items():
            mask = on_slice == value
            if mask.sum() >= (1 if value in ORGANS else SMALLEST_PX):
                yield Example(data, organ, picture, mask)


def _totalsegmentator(folder: Path) -> Iterator[Example]:
    pictures = to_pictures(to_grey(read_volume(folder / "ct.nii.gz")[0], CT), "rot90")
    labels = to_pictures(read_labels(folder / "seg.nii.gz")[0], "rot90")
    yield from _slices(FIRST, pictures, labels, names=ORGANS | MORE)


def _dicom(folder: Path) -> Iterator[Example]:
    import SimpleITK as sitk  # noqa: N813

    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder / "dicom"))
    image = sitk.ReadImage(files)
    labels = sitk.ReadImage(str(folder / "dicom_seg.nii.gz"))
    labels = sitk.Resample(labels, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    pictures = to_grey(sitk.GetArrayFromImage(image), CT)
    values = sitk.GetArrayFromImage(labels).astype(np.int32)
    yield from _slices("CT 512 px", pictures, values, names=ORGANS | MORE)


def _hippocampus(folder: Path) -> Iterator[Example]:
    for path in sorted((folder / "imagesTr").glob("*.nii.gz"))[::6]:
        pictures = to_pictures(to_grey(read_volume(path)[0], MR), "rot90")
        labels = to_pictures(read_labels(folder / "labelsTr" / path.name)[0], "rot90")
        whole = (labels > 0).astype(np.int32) * 3
        yield from _slices("MR 1 mm", pictures, labels, names={1: "anterior", 2: "posterior"})
        yield from _slices("MR 1 mm", pictures, whole, names={3: "hippocampus"})


def _sam_med2d(folder: Path) -> Iterator[Example]:
    for image in sorted((folder / "images").glob("*.png")):
        picture = np.asarray(Image.open(image).convert("L"))
        for path in sorted((folder / "masks").glob(f"{image.stem}_*.png")):
            mask = np.asarray(Image.open(path).convert("L")) > 0
            if mask.sum() >= SMALLEST_PX:
                yield Example("SAM-Med2D", "all", picture, mask)


def noisy_box(
    mask: NDArray[np.bool_], rng: np.random.Generator, *, noise_px: float = 2.0
) -> NDArray[np.float64]:
    """The tight box with its edges moved, once more where nothing is left of it."""
    rows, columns = mask.shape
    while True:
        moved = tight_boxes(mask)[0] + rng.uniform(-noise_px, noise_px, size=4)
        box = np.clip(moved, 0, [columns, rows, columns, rows])
        if (box[2:] - box[:2] >= 1).all():
            return box


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def score(example: Example, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    model = IntensityPredictor()
    encoded = model.encode(example.picture)
    row: dict[str, object] = {"data": example.data, "organ": example.organ, "n": 1}
    for name, box in (
        ("tight", tight_boxes(example.mask)[0]),
        ("noisy", noisy_box(example.mask, rng)),
    ):
        prompts = make_prompts(
            box, shape=example.mask.shape, rng=rng, settings=PromptSettings()
        ).boxes
        start = time.process_time()
        probability = model.predict(encoded, prompts).probability
        row["ms/box"] = 1e3 * (time.process_time() - start) / len(prompts)
        row[f"{name}, 1"] = dice(probability[0] > 0.5, example.mask)
        row[f"{name}, 16"] = dice(probability.mean(axis=0) > 0.5, example.mask)
    return row


def sensitivity(sample: list[Example]) -> pd.DataFrame:
    plain = IntensitySettings()
    rows = {"as it is": _summary(sample, plain)}
    for name, value in dataclasses.asdict(plain).items():
        for factor in (0.5, 2.0):
            changed = dataclasses.replace(plain, **{name: _scaled(value, factor)})
            rows[f"{name} x {factor:g}"] = _summary(sample, changed)
    table = pd.DataFrame(rows).T
    return table.join((table - table.iloc[0]).add_suffix(", change"))


def _scaled(value: float | tuple[float, ...], factor: float) -> object:
    if isinstance(value, tuple):
        return tuple(_scaled(part, factor) for part in value)
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


def _summary(sample: list[Example], settings: IntensitySettings) -> dict[str, float]:
    model = IntensityPredictor(settings)
    rows = []
    for data, organ, picture, mask in sample:
        box = tight_boxes(mask)
        found = model.predict(model.encode(picture), box).probability[0] > 0.5
        rows.append((data, organ, dice(found, mask)))
    means = pd.DataFrame(rows, columns=["data", "organ", "dice"]).groupby(["data", "organ"])["dice"]
    first = means.mean().loc[FIRST]
    others = means.mean().drop(FIRST).groupby("data").mean()
    return {"five organs": first.loc[list(ORGANS.values())].mean(), "other sets": others.mean()}


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    if "--sensitivity" in sys.argv:
        print(sensitivity(list(examples(root))[::4]).round(3).to_string())
        return
    rows = [score(example, seed) for seed, example in enumerate(examples(root))]
    table = pd.DataFrame(rows)
    measures = {name: "mean" for name in table if name not in {"data", "organ", "n"}}
    means = table.groupby(["data", "organ"], sort=False).agg({"n": "sum", **measures})
    print(means.round(3).to_string())
    for data in (FIRST, "CT 512 px"):
        five = means.loc[data].reindex(ORGANS.values()).dropna()
        print(f"\nMean over {len(five)} of the five organs, {data}:")
        print(five.drop(columns="n").mean().round(3).to_frame().T.to_string(index=False))


if __name__ == "__main__":
    main()
