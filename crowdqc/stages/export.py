"""Finished results for an export: gathered from the folder of results, refused if out of date."""

from __future__ import annotations

from pathlib import Path

import crowdqc
from crowdqc.exports import Archive, MaskVolume, export
from crowdqc.exports.croissant import TABLES
from crowdqc.findings import Finding, InputError
from crowdqc.stages.base import Run
from crowdqc.stages.images import has_volumes, image_files
from crowdqc.stages.mask_sets import SETS, mask_files
from crowdqc.stages.pipeline import PIPELINE


def export_study(run: Run, target: str, folder: Path) -> list[Finding]:
    """Write the results of a study for a target, as `crowdqc.exports.export`.

    Parameters
    ----------
    run : Run
        An opened study.
    target : str
        One of `crowdqc.catalogue.EXPORTS`.
    folder : Path
        Where to.

    Raises
    ------
    InputError
        As `crowdqc.exports.export`; or if results are older than what they were made from.
    """
    PIPELINE.ensure("fuse", run)
    PIPELINE.ensure("agree", run)
    stale = PIPELINE.stale(run)
    if stale:
        name, why = next(iter(stale.items()))
        raise InputError(f"{run.store.folder}: {name} is out of date. {why} Run crowdqc run first.")
    return export(_archive(run), target, folder)


def _archive(run: Run) -> Archive:
    config = run.config
    drawn = mask_files(run, "filtered") if has_volumes(config) else {}
    images, masks = image_files(config) if drawn else {}, run.store.path(SETS["filtered"])
    volumes = [
        MaskVolume(
            case=case,
            image=images[case],
            mask=mask,
            uncertainty=masks / f"{case}.uncertainty.nii.gz",
            resample=config.images.resample,
        )
        for case, mask in drawn.items()
    ]
    return Archive(
        name=config.study.name,
        version=crowdqc.__version__,
        labels=tuple(config.labels.values()),
        volumes=tuple(volumes),
        tables={name: run.store.read(name) for name in TABLES if run.store.has(name)},
        publication=config.publication,
    )
