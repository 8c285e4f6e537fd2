"""A whole study folder to try crowdqc on: a synthetic abdomen and raters with known faults."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from crowdqc.config import FaultyRater, Simulate
from crowdqc.findings import InputError
from crowdqc.formats.slices import write_slices
from crowdqc.simulate.abdomen import LABELS, Abdomen, make_abdomen
from crowdqc.simulate.raters import simulate_study
from crowdqc.volumes import from_pictures
from crowdqc.writing import atomic

CASES = ("abdomen1", "abdomen2", "abdomen3", "abdomen4")
"""Cases of the demo; the study file keeps the last for testing."""

RATERS = {
    "steady": FaultyRater(noise=0.4),
    "careless": FaultyRater(noise=3.0, miss=0.1, extra=0.1),
    "shifted": FaultyRater(noise=0.5, shift=(4.0, -2.0)),
    "skipping": FaultyRater(noise=0.5, skip=0.35),
    "swapping": FaultyRater(noise=0.5, swap=("right_kidney", "left_kidney")),
}
"""The raters of the demo and what each does wrong; px are 3.5 mm wide."""

_VOLUMES = {f"{case}.nii.gz" for case in CASES}


def is_demo(folder: Path) -> bool:
    """Whether `make_demo` made a folder, so that nobody's work is lost with it.

    A study of somebody's own may have the same files and folders, and a study file that began as
    the demo's, by its name and its volumes.
    """
    file = folder / "study.toml"
    if folder.is_symlink() or not file.is_file():
        return False
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    named = lines[:1] == _template().splitlines()[:1] and 'name = "demo"' in lines
    return named and {path.name for path in (folder / "images").glob("*")} == _VOLUMES


def make_demo(folder: Path, *, seed: int = 0) -> Path:
    """Write a demo study: study file, CT volumes, true masks, and five raters' boxes.

    Parameters
    ----------
    folder : Path
        Made if it is not there; must be empty.
    seed : int
        Two demos of one seed are alike, byte by byte.

    Returns
    -------
    Path
        The study file.

    Raises
    ------
    InputError
        If `folder` holds something already.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is not an empty folder. Choose another for the demo.")
    abdomens = {
        case: make_abdomen(np.random.default_rng([seed, number]))
        for number, case in enumerate(CASES)
    }
    for case, abdomen in abdomens.items():
        write_pictures(folder / "images" / f"{case}.nii.gz", abdomen.density, abdomen)
        write_pictures(folder / "labels" / f"{case}.nii.gz", abdomen.mask, abdomen)
    study = simulate_study(
        ((case, abdomen.mask) for case, abdomen in abdomens.items()),
        name="demo",
        labels=LABELS,
        simulate=Simulate(raters=RATERS),
        seed=seed,
    )
    ids = {label: str(number) for number, label in enumerate(LABELS)}
    write_slices(study, folder / "boxes", ids=ids)
    file = folder / "study.toml"
    file.write_text(_template().replace("seed = 0", f"seed = {seed}"), encoding="utf-8")
    return file


def _template() -> str:
    """The study file of a demo with the seed 0."""
    return resources.files("crowdqc.simulate").joinpath("demo.toml").read_text(encoding="utf-8")


def write_pictures(path: Path, pictures: NDArray[np.integer], abdomen: Abdomen) -> None:
    """Write pictures of an abdomen as NIfTI, turned back by ``picture = "rot90"``.

    Parameters
    ----------
    path : Path
        Of a NIfTI file; is written over.
    pictures : ndarray of int, shape (P, R, C)
        As raters see them: slices, rows, columns.
    abdomen : Abdomen
        Has the affine.
    """
    array = np.ascontiguousarray(from_pictures(pictures, "rot90"))
    image = nib.Nifti1Image(array, abdomen.affine)
    image.header.set_xyzt_units("mm")
    with atomic(path) as temporary:
        nib.save(image, temporary)
