"""The masks in the folder of results, and the manifest that they follow."""

from __future__ import annotations

from pathlib import Path

from crowdqc.findings import InputError
from crowdqc.judge import Manifest
from crowdqc.stages.base import Run
from crowdqc.stages.images import image_files

RISK = "risk.csv"
SETS = {"filtered": "masks", "unfiltered": "masks/unfiltered"}
"""Set of masks -> its folder."""


def read_manifest(run: Run) -> Manifest:
    """The manifest, if everything that it was made from is unchanged.

    The risk of masks may have changed: it comes after the boxes that they are drawn from, and where
    it does, the stage `gate again` is out of date.

    Raises
    ------
    InputError
        If it is not there, is damaged, or an input has changed since the gate decided.
    """
    path = run.store.path("manifest.json")
    if not path.is_file():
        raise InputError(f"{path}: is not there; run crowdqc gate.")
    manifest = Manifest.read(path)
    manifest.check(run.store.folder, but=(RISK,))
    return manifest


def mask_files(run: Run, name: str) -> dict[str, Path]:
    """Case -> mask volume of one set."""
    folder = run.store.path(SETS[name])
    return {
        case: path
        for case in image_files(run.config)
        if (path := folder / f"{case}.nii.gz").is_file()
    }
