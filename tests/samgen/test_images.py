import nibabel as nib
import numpy as np

from crowdqc.config import Window
from samgen.images import read_pictures


def test_pictures_are_windowed_turned_slices(tmp_path):
    values = np.zeros((3, 4, 2))
    values[2, 1, 0], values[0, 3, 1] = 100, 50
    nib.save(nib.Nifti1Image(values, np.diag([1, 2, 3, 1])), tmp_path / "a.nii")

    pictures, geometry = read_pictures(
        tmp_path / "a.nii", picture="rot90", window=Window(level=50, width=100)
    )

    assert geometry.spacing == (1, 2, 3)
    assert pictures.shape == (2, 4, 3)
    assert pictures.dtype == np.uint8
    assert np.argwhere(pictures[0]).tolist() == [[2, 2]]
    assert np.argwhere(pictures[1]).tolist() == [[0, 0]]
    assert (pictures[0, 2, 2], pictures[1, 0, 0]) == (255, 128)
