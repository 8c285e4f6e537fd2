"""A fake model that paints boxes, and masks that it draws of small volumes."""

import dataclasses

import nibabel as nib
import numpy as np
import pandas as pd

from crowdqc.config import Window
from crowdqc.schema import conform
from samgen.generate import Task, generate_masks
from samgen.predictor import BoxPredictor, Prediction
from samgen.settings import MaskSettings, PromptSettings

SHAPE = (30, 24, 5)
LABELS = {"liver": 7, "aorta": 300}
ONE = MaskSettings(prompts=PromptSettings(n_prompts=1), window=Window(level=0, width=100))


class Painter(BoxPredictor):
    """A fake model: paints each box, more surely the smaller it is, and counts its pictures."""

    name = "painter"
    signature = ""
    last_wins = False

    def __init__(self, signature="painter 1", limit=None):
        self.signature, self.encoded, self.limit = signature, 0, limit

    def encode(self, picture):
        if self.encoded == self.limit:
            raise KeyboardInterrupt
        self.encoded += 1
        return picture

    def predict(self, encoded, boxes):
        probability = np.zeros((len(boxes), *encoded.shape), np.float32)
        for mask, (x0, y0, x1, y1) in zip(probability, np.rint(boxes).astype(int), strict=True):
            mask[y0:y1, x0:x1] = 1 - (x1 - x0) / 100
        return Prediction(probability, np.full(len(boxes), np.nan))


def volume(path, affine=None, shape=SHAPE):
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=shape), affine)
    if affine is None:
        image.set_sform(np.eye(4), code=0)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def consensus(*rows, case="a"):
    columns = ["slice", "label", "x0", "y0", "x1", "y1"]
    frame = pd.DataFrame(rows, columns=columns).assign(
        case=case, support=3, n_raters=3, method="median", state="agreed"
    )
    return conform("consensus", frame)


def generate(prompts, images, out, *, predictor=None, settings=ONE, **more):
    task = Task(labels=LABELS, predictor=predictor or Painter(), settings=settings)
    return generate_masks(prompts, task, images=images, out=out, **more)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


THREE = pd.concat(
    [
        consensus(
            [1, "liver", 2, 3, 10, 8],
            [1, "liver", 12, 13, 20, 18],
            [3, "aorta", 11, 1, 13, 4],
            case=case,
        )
        for case in ("a", "b", "c")
    ],
    ignore_index=True,
)
MANY = dataclasses.replace(ONE, prompts=PromptSettings(n_prompts=4))
