"""The whole path on a real CT slice and a real MR slice with a SAM ViT-B of random weights.

    python benchmarks/real_sam.py ../shared/data

Mechanics, not quality: what random weights draw means nothing. Shown are the masks that were
drawn, that a second run finds them up to date, and the CPU seconds of both.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from click.testing import CliRunner
from segment_anything import sam_model_registry

from crowdqc.cli import main as crowdqc
from crowdqc.geometry import pixels_to_yolo
from crowdqc.volumes import read_labels, to_pictures
from samgen.regions import region_of

CASES = {
    "ct": ("totalsegmentator_ct/ct.nii.gz", "totalsegmentator_ct/seg.nii.gz", (1, 5, 52)),
    "mr": (
        "hippocampus/imagesTr/hippocampus_015.nii.gz",
        "hippocampus/labelsTr/hippocampus_015.nii.gz",
        (1, 2),
    ),
}
STUDY = """
[study]
name = "random-sam"
[labels]
{labels}
[annotations]
format = "yolo"
path = "boxes/{{case}}-slice{{slice}}.txt"
rater = "truth"
[images]
path = "images/{{case}}.nii.gz"
[masks]
model = "sam:{weights}"
device = "cpu"
prompts = 4
"""


def write_study(root: Path, folder: Path) -> None:
    for name in ("images", "boxes"):
        (folder / name).mkdir()
    ids: dict[tuple[str, int], int] = {}
    for case, (image, truth, values) in CASES.items():
        (folder / "images" / f"{case}.nii.gz").symlink_to((root / image).resolve())
        pictures = to_pictures(read_labels(root / truth)[0], "rot90")
        k = int(np.isin(pictures, values).sum(axis=(1, 2)).argmax())
        lines = []
        for value in values:
            region = region_of(pictures[k] == value)
            if region is None:
                continue
            key = ids.setdefault((case, value), len(ids))
            rows, columns = region
            box = [[columns.start, rows.start, columns.stop, rows.stop]]
            height, width = pictures[k].shape
            numbers = pixels_to_yolo(box, height=height, width=width)[0]
            lines.append(f"{key} " + " ".join(map(str, numbers)))
        (folder / "boxes" / f"{case}-slice{k}.txt").write_text("\n".join(lines) + "\n")
    torch.manual_seed(0)
    torch.save(sam_model_registry["vit_b"]().state_dict(), folder / "random.pth")
    labels = [
        f'{key} = {{ name = "{case}{value}", value = {key + 1} }}'
        for (case, value), key in ids.items()
    ]
    text = STUDY.format(labels="\n".join(labels), weights=folder / "random.pth")
    (folder / "study.toml").write_text(text)


def cpu_seconds() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(root, folder)
        for turn in ("first", "second"):
            start = cpu_seconds()
            result = CliRunner().invoke(
                crowdqc, ["masks", str(folder / "study.toml")], catch_exceptions=False
            )
            print(f"{turn} run: exit code {result.exit_code}, {cpu_seconds() - start:.1f} CPU s")
            print(result.stderr.strip())
        for path in sorted((folder / "out" / "masks" / "unfiltered").glob("*.json")):
            rows = pd.DataFrame(pd.read_json(path, typ="series")["masks"])
            print(rows[["case", "slice", "label", "model", "area_px", "predicted_iou"]])
            written = nib.load(path.with_suffix(".nii.gz"))
            source = nib.load(folder / "images" / f"{path.stem}.nii.gz")
            same = written.shape == source.shape and np.allclose(written.affine, source.affine)
            print(f"{path.stem}: geometry of the image kept: {same}")


if __name__ == "__main__":
    main()
