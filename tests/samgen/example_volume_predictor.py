"""Masks by one threshold for all slices of an object: a model of volumes for crowdqc."""

import numpy as np
from skimage.filters import threshold_otsu

from samgen.volume_predictor import VolumePrediction, VolumePredictor


class VolumeOtsu(VolumePredictor):
    """What is brighter than the threshold of all boxes; gaps have the hull of their neighbours."""

    name = "volume-otsu"
    signature = "volume-otsu 1"
    uses_gpu = False

    def predict(self, volume, prompts):
        boxes = dict(zip(prompts.slices, np.rint(prompts.boxes).astype(int), strict=True))
        inside = [volume.intensities[k, y0:y1, x0:x1] for k, (x0, y0, x1, y1) in boxes.items()]
        limit = threshold_otsu(np.concatenate([part.ravel() for part in inside]))
        for k in prompts.gaps:
            near = sorted(prompts.slices, key=lambda other: abs(other - k))[:2]
            low = np.min([boxes[n][:2] for n in near], axis=0)
            boxes[k] = np.append(low, np.max([boxes[n][2:] for n in near], axis=0))
        left, top = np.min(list(boxes.values()), axis=0)[:2]
        right, lower = np.max(list(boxes.values()), axis=0)[2:]
        found = np.zeros((1, len(boxes), lower - top, right - left), np.float32)
        for mask, (k, (x0, y0, x1, y1)) in zip(found[0], boxes.items(), strict=True):
            part = volume.intensities[k, y0:y1, x0:x1]
            mask[y0 - top : y1 - top, x0 - left : x1 - left] = part > limit
        region = slice(top, lower), slice(left, right)
        return VolumePrediction(slices=tuple(boxes), region=region, probability=found)
