"""Masks by Otsu's threshold in each box: a model for crowdqc."""

import numpy as np
from skimage.filters import threshold_otsu

from samgen.predictor import BoxPredictor, Prediction


class Otsu(BoxPredictor):
    """What is brighter than the threshold of its box."""

    name = "otsu"
    signature = "otsu 1"
    uses_gpu = False

    def encode(self, picture):
        return picture

    def predict(self, encoded, boxes):
        masks = np.zeros((len(boxes), *encoded.shape), np.float32)
        for mask, (x0, y0, x1, y1) in zip(masks, np.rint(boxes).astype(int), strict=True):
            part = encoded[y0:y1, x0:x1]
            mask[y0:y1, x0:x1] = part > threshold_otsu(part)
        return Prediction(masks, np.full(len(boxes), np.nan))
