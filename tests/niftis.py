"""NIfTI files that tests write."""

import nibabel as nib
import numpy as np

AFFINE = np.diag([-1.0, 1.0, 3.0, 1.0])
"""Stored from right to left, with slices 3 mm apart."""


def save(path, array, *, affine=AFFINE, dtype=np.int16):
    """Write a volume, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(array, dtype=dtype), affine), path)
    return path
