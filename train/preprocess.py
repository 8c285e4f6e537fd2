"""nnU-Net's planning and preprocessing, with intensities of labelled voxels alone."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from crowdqc.config import Train
from crowdqc.volumes import read_geometry, read_labels, write_labels


def preprocess(raw: Path, settings: Train, *, plans: str) -> None:
    """Let nnU-Net take the fingerprint of a dataset, plan for it, and preprocess it.

    Parameters
    ----------
    raw : Path
        The raw dataset, of the environment that `train.environment.nnunet` sets.
    settings : Train
        The study file's ``[train]``.
    plans : str
        Name of the plans that are written.
    """
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    number, workers = int(raw.name[7:10]), max(1, settings.workers)
    extractor = api.DatasetFingerprintExtractor(number, workers)
    extractor.show_progress_bar = False
    # nnU-Net draws 10^8 foreground voxels with replacement: more than all voxels is waste.
    most = extractor.num_foreground_voxels_for_intensitystats
    extractor.num_foreground_voxels_for_intensitystats = min(most, _count_voxels(raw))
    with tempfile.TemporaryDirectory() as folder:
        _hide_ignored(extractor, Path(folder))
        extractor.run(overwrite_existing=True)
    planner = api.ExperimentPlanner(
        number, gpu_memory_target_in_gb=settings.memory_gb, plans_name=plans
    )
    planner.UNet_base_num_features = settings.features
    planner.plan_experiment()
    api.preprocess_dataset(
        number, plans, (settings.configuration,), (workers,), show_progress_bar=False
    )


def _hide_ignored(extractor: Any, folder: Path) -> None:
    """Let the fingerprint take its intensities from labels alone.

    nnU-Net counts every voxel above 0 as foreground, also the ignored ones, which are mostly
    background; CT is clipped and normalised by what it finds there.
    """
    ignore = extractor.dataset_json["labels"].get("ignore")
    if ignore is None:
        return
    for case, files in extractor.dataset.items():
        labels, _ = read_labels(Path(files["label"]))
        target = folder / f"{case}.nii.gz"
        write_labels(target, np.where(labels == ignore, 0, labels), like=Path(files["label"]))
        files["label"] = str(target)


def _count_voxels(raw: Path) -> int:
    images = sorted((raw / "imagesTr").glob("*.nii.gz"))
    return sum(math.prod(read_geometry(image).shape) for image in images)
