"""Finished results out, for archives and in standards: what is fused, drawn and decided.

One module a target (two of DICOM share one), each with a function ``write_TARGET(archive, folder)``
that returns what the target cannot hold. Annotation formats are written by `crowdqc.formats`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from crowdqc.catalogue import EXPORTS
from crowdqc.exports.archive import Archive, MaskVolume
from crowdqc.findings import Finding, InputError
from crowdqc.text import must_be_one_of
from crowdqc.writing import new_folder

__all__ = ["Archive", "MaskVolume", "export"]


def export(archive: Archive, target: str, folder: Path) -> list[Finding]:
    """Write results for a target.

    Parameters
    ----------
    archive : Archive
        What is written.
    target : str
        One of `crowdqc.catalogue.EXPORTS`.
    folder : Path
        Where to: a folder that is not there yet, or is empty. It appears whole or not at all.

    Returns
    -------
    list of Finding
        What the target cannot hold, and what was assumed; empty if nothing is lost.

    Raises
    ------
    InputError
        If the target is unknown, what it needs is not there (masks, a DICOM series, a package),
        or the folder cannot be written or is not empty.
    """
    if target not in EXPORTS:
        raise InputError(must_be_one_of("target", target, EXPORTS))
    name, _, kind = target.removeprefix("dicom-").partition("-")
    try:
        module = importlib.import_module(f"crowdqc.exports.{name}")
    except ModuleNotFoundError as error:
        raise InputError(
            f"'{target}' needs the package {error.name}: pip install crowdqc[export]."
        ) from error
    write: Callable[[Archive, Path], list[Finding]] = getattr(module, f"write_{kind or name}")
    with new_folder(folder) as temporary:
        return write(archive, temporary)
