"""Small cases whose truth is known: a bright ellipse in noise, on all slices but the first."""

from functools import partial

import nibabel as nib
import numpy as np

from crowdqc.config import Window
from crowdqc.schema import empty
from crowdqc.volumes import to_pictures
from samgen.adapt.examples import Example, Setting
from samgen.adapt.gold import GoldCase, Spread
from samgen.settings import MaskSettings

SHAPE = (36, 44, 5)
MASKS = MaskSettings(window=Window(level=100, width=200), picture="identity")
NOTHING = Spread({}, None)


def ellipse(seed):
    rng = np.random.default_rng(seed)
    x, y, z = np.indices(SHAPE)
    middle, half = np.array([18, 22]) + rng.integers(-3, 4, 2), rng.integers(6, 10, 2)
    return (((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 < 1) & (z > 0)


def write_volume(path, mask, seed, contrast=70):
    grey = np.random.default_rng(seed).normal(60, 12, SHAPE) + contrast * mask
    nib.save(nib.Nifti1Image(grey.astype(np.float32), np.diag([1, 1, 2, 1])), path)
    return path


def gold_case(folder, name, seed, **more):
    mask = ellipse(seed)
    read = partial(to_pictures, mask.astype(np.int32), "identity")
    path = write_volume(folder / f"{name}.nii.gz", mask, seed, **more)
    return GoldCase(name=name, patient=name, image=path, read=read)


def setting(spread=NOTHING, **more):
    return Setting(
        labels={"organ": 3},
        truth_values={"organ": 1},
        single={"organ": True},
        masks=MASKS,
        spread=spread,
        seed=0,
        **more,
    )


def examples(folder, names, **more):
    return [
        Example(gold_case(folder, name, seed, **more), empty("consensus"), setting())
        for seed, name in enumerate(names)
    ]
