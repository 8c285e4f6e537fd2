"""Dice of the embedded model on pixels that are no squares, shown as they are and stretched.

    python benchmarks/square.py ../shared/data

A real CT of 3 mm voxels; columns are averaged in threes and the truth taken in the middle, so
that pixels are 9 mm wide and 3 mm high; coronal slices, every third one; one tight box an object.
The second set is the CT of 0.98 mm pixels and slices of 2 mm, seen coronally as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from crowdqc.config import Window
from crowdqc.volumes import read_labels, read_volume, to_grey, to_pictures
from samgen.predictors.intensity import IntensityPredictor
from samgen.regions import region_of
from samgen.square import SquarePixels

ORGANS = {1: "spleen", 2: "right kidney", 3: "left kidney", 5: "liver", 52: "aorta"}
EVERY = 3
LEAST_PX = 20


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data") / "totalsegmentator_ct"
    for image, truth, thin in (("ct.nii.gz", "seg.nii.gz", 3), ("dicom", "dicom_seg.nii.gz", 1)):
        volume, grid = read_volume(folder / image, plane="coronal")
        labels, _ = read_labels(folder / truth, plane="coronal")
        width, height, _ = grid.spacing
        n = volume.shape[0] // thin * thin
        volume = volume[:n].reshape(-1, thin, *volume.shape[1:]).mean(axis=1)
        labels = labels[thin // 2 : n : thin]
        pictures = to_pictures(to_grey(volume, Window(level=40, width=400)), "transverse")
        seen = to_pictures(labels, "transverse")
        own = IntensityPredictor()
        models = [own, SquarePixels(own, width_mm=width * thin, height_mm=height)]
        dice = np.array(list(compare(models, pictures[::EVERY], seen[::EVERY])))
        change = dice[:, 1] - dice[:, 0]
        rng = np.random.default_rng(0)
        means = change[rng.integers(len(change), size=(10_000, len(change)))].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        print(
            f"{image}: {width * thin:.2f} x {height:.2f} mm, {len(dice)} objects: as they "
            f"are {dice[:, 0].mean():.4f}, as squares {dice[:, 1].mean():.4f}, difference "
            f"{change.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        )


def compare(models, pictures, labels):
    for picture, on_slice in zip(pictures, labels, strict=True):
        encoded = [model.encode(picture) for model in models]
        for value in ORGANS:
            mask = on_slice == value
            if mask.sum() < LEAST_PX:
                continue
            rows, columns = region_of(mask)
            box = np.array([[columns.start, rows.start, columns.stop, rows.stop]], float)
            drawn = [
                model.predict(code, box).probability[0] > 0.5
                for model, code in zip(models, encoded, strict=True)
            ]
            yield [2 * (one & mask).sum() / (one.sum() + mask.sum()) for one in drawn]


if __name__ == "__main__":
    main()
