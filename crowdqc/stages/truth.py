"""The expert masks of a study: where they are, and what their values mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crowdqc.config import Config
from crowdqc.files import is_volume
from crowdqc.findings import Finding, InputError
from crowdqc.stages.images import case_files, geometries

if TYPE_CHECKING:
    from crowdqc.volumes import Geometry

VALUES_REMEDY = "Write what its values mean into [truth] values, or mend the mask."
READ_MAX = 3
"""Expert masks whose values are looked at before anything is drawn: all are made alike."""


def truth_files(config: Config) -> dict[str, Path]:
    """Case -> expert mask; empty where the study has none."""
    if config.truth is None or config.truth.path is None:
        return {}
    return case_files(config, config.truth.path)


def truth_findings(config: Config) -> list[Finding]:
    """Expert masks that cannot be scored against, before anything is drawn.

    Their geometry is compared with that of the images; of the first few, values are looked at.
    """
    if config.truth is None or config.truth.path is None or not is_volume(config.truth.path):
        return []
    try:
        files = truth_files(config)
    except InputError as error:
        return [Finding(check="truth-missing", message=str(error))]
    findings, grids = [], geometries(config)
    if grids and files.keys().isdisjoint(grids):
        message = (
            f"No expert mask is of a case that has an image: '{config.truth.path}' names "
            f"{min(files)}, '{config.images.path}' {min(grids)}."
        )
        return [Finding(check="truth-missing", message=message)]
    for number, (case, path) in enumerate(files.items()):
        try:
            check, text = unlike_image(config, path, grids.get(case), whole=number < READ_MAX)
        except InputError as error:
            check, text = "truth-unreadable", str(error)
        if text:
            text = f"{text} The case cannot be scored."
            findings.append(Finding(check=check, message=text, case=case))
    return findings


def unlike_image(
    config: Config, path: Path, grid: Geometry | None, *, whole: bool
) -> tuple[str, str]:
    """What makes an expert mask no truth for its case: a check and what it found, or "".

    Parameters
    ----------
    config : Config
    path : Path
        The mask.
    grid : Geometry, optional
        Of its image.
    whole : bool
        Whether its values are looked at, too.
    """
    from crowdqc.volumes import foreign_values, grid_mismatch, read_geometry, read_labels

    geometry = read_geometry(path, plane=config.images.plane)
    mismatch = grid_mismatch(geometry, grid) if grid else ""
    if mismatch:
        return "truth-geometry", f"{path}: does not lie on the grid of its image; {mismatch}."
    if grid is None or not whole:
        return "", ""
    foreign = foreign_values(read_labels(path)[0], config.truth_values)
    return "truth-values", foreign and f"{path}: {foreign}. {VALUES_REMEDY}"
