"""What breaks nnU-Net runs or spoils them in silence, looked for before any hour is paid for.

nnU-Net's own integrity check refuses wrong shapes, spacings and undeclared labels. It lets pass
a moved or mirrored label, damaged files, empty masks, a label that no case has, constant images
and the same image under two names; those are found here too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from crowdqc.config import Train
from crowdqc.files import sha256
from crowdqc.findings import Finding, InputError
from crowdqc.schema import natural_order
from crowdqc.volumes import Geometry, grid_mismatch, read_labels, read_volume
from train.dataset import DESCRIPTION, ENDING
from train.splits import Split, patient_of

ORTHOGONAL = 1e-3
"""Largest cosine of the angle of two axes of a volume that counts as a right angle."""
BYTES_PER_VOXEL = 5
"""Of a preprocessed case: float32 and a label byte, before compression."""
BYTES_PER_LOGIT = 8
"""Of a prediction at full size: logits as float32, twice while they are resampled."""
CHECKPOINT_BYTES = 250e6
"""Of nnU-Net's usual network with 32 features; three of them lie in a fold's folder."""
FEATURES = 32
FOLDS = 5
"""Folds that nnU-Net makes by itself."""
SPLITS = "splits_final.json"
SIDES = ("train", "val")


@dataclass
class _Dataset:
    """What the checks look at: the description, and what reading every case has shown."""

    folder: Path
    description: dict[str, Any]
    patient: str | None
    found: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Label number -> cases that have it."""
    same: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """SHA-256 of an image -> cases."""
    shapes: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, int]:
        return {name: int(value) for name, value in self.description["labels"].items()}

    @property
    def ignore(self) -> int | None:
        return self.labels.get("ignore")

    @property
    def cases(self) -> list[str]:
        names = (path.name for path in (self.folder / "labelsTr").glob(f"*{ENDING}"))
        return natural_order(name.removesuffix(ENDING) for name in names)

    def images(self, case: str, part: str = "Tr") -> list[Path]:
        channels = range(len(self.description["channel_names"]))
        folder = self.folder / f"images{part}"
        return [folder / f"{case}_{channel:04d}{ENDING}" for channel in channels]


def preflight(folder: Path, *, settings: Train, patient: str | None = None) -> list[Finding]:
    """Look for what would break or spoil a training, by reading every voxel of a raw dataset.

    Parameters
    ----------
    folder : Path
        An nnU-Net raw dataset, of ours or of others.
    settings : Train
        The study file's ``[train]``, for the estimate of memory and disk.
    patient : str, optional
        See `train.splits.patient_of`.

    Returns
    -------
    list of Finding
        ``reject``: nnU-Net would stop, or learn something that is not so. ``review``: look
        before you pay. ``note``: an estimate.
    """
    try:
        dataset = _Dataset(folder, _describe(folder), patient)
    except InputError as error:
        return [_finding("description", str(error))]
    findings = [*_check_labels(dataset), *_check_files(dataset)]
    for case in dataset.cases:
        findings += _check_case(dataset, case)
    findings += [*_check_presence(dataset), *_check_tests(dataset), *_check_copies(dataset)]
    try:
        splits = _read_splits(folder)
        findings += _check_splits(dataset, splits)
    except InputError as error:
        splits = None
        findings.append(_finding("splits", str(error)))
    return [*findings, *_estimate(dataset, settings, folds=len(splits or []) or 5)]


def _describe(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}.") from error
    needed = ("channel_names", "labels", "numTraining", "file_ending")
    absent = [key for key in needed if key not in description]
    if absent:
        raise InputError(f"{path}: lacks {', '.join(absent)}.")
    if any(not isinstance(value, int) for value in description["labels"].values()):
        raise InputError(f"{path}: labels must be whole numbers (regions are not checked here).")
    if description["file_ending"] != ENDING:
        raise InputError(f"{path}: only {ENDING} is checked; got {description['file_ending']!r}.")
    return dict(description)


def _check_labels(dataset: _Dataset) -> Iterator[Finding]:
    labels = dataset.labels
    if labels.get("background") != 0:
        yield _finding("labels", "dataset.json: the label 'background' must be 0.")
    if sorted(labels.values()) != list(range(len(labels))):
        message = f"dataset.json: labels must be 0, 1, 2, ... without a gap; got {labels}."
        yield _finding("labels", message)
    if dataset.ignore is not None and dataset.ignore != max(labels.values()):
        yield _finding("labels", f"dataset.json: 'ignore' must be the highest label; got {labels}.")


def _check_files(dataset: _Dataset) -> Iterator[Finding]:
    cases, n = dataset.cases, dataset.description["numTraining"]
    if len(cases) != n:
        yield _finding(
            "files", f"dataset.json: numTraining is {n}, but labelsTr holds {len(cases)}."
        )
    wanted = {path for case in cases for path in dataset.images(case)}
    there = set((dataset.folder / "imagesTr").glob(f"*{ENDING}"))
    for path in sorted(wanted - there):
        case = path.name[: -len(ENDING) - 5]
        yield _finding("files", f"imagesTr/{path.name}: is not there.", case=case)
    for path in sorted(there - wanted):
        yield _finding("files", f"imagesTr/{path.name}: has no label, or a channel too many.")


def _check_case(dataset: _Dataset, case: str) -> Iterator[Finding]:
    """Read a case whole; each file that cannot be read is one finding."""
    path = dataset.folder / "labelsTr" / f"{case}{ENDING}"
    try:
        labels, grid = read_labels(path)
    except InputError as error:
        yield _finding("unreadable", str(error), case=case)
        return
    dataset.shapes[case] = grid.shape
    yield from _check_mask(dataset, case, labels)
    yield from _check_affine(case, grid)
    for image in dataset.images(case):
        if image.exists():
            yield from _check_image(dataset, case, image, grid=grid)


def _check_mask(dataset: _Dataset, case: str, labels: NDArray[np.int32]) -> Iterator[Finding]:
    values = set(np.unique(labels).tolist())
    for value in values:
        dataset.found[value].add(case)
    strange = sorted(values - set(dataset.labels.values()))
    if strange:
        message = f"the mask holds {strange[:10]}, which dataset.json does not declare."
        yield _finding("undeclared-label", message, case=case)
    if values <= {dataset.ignore}:
        yield _finding("all-ignored", "every voxel is ignored.", case=case)
    elif values <= {0, dataset.ignore}:
        message = "nothing is labelled, which teaches that nothing is there."
        yield _finding("empty-mask", message, case=case)


def _check_affine(case: str, grid: Geometry) -> Iterator[Finding]:
    axes = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    cosine = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if cosine > ORTHOGONAL:
        message = (
            f"the axes of the volume are not at right angles (cosine {cosine:.3g}), "
            "which SimpleITK, and so nnU-Net, refuses. Resample it."
        )
        yield _finding("sheared", message, case=case, value=cosine, limit=ORTHOGONAL)


def _check_codes(case: str, path: Path) -> Iterator[Finding]:
    header = nib.load(path).header
    if int(header["qform_code"]) == int(header["sform_code"]) == 0:
        message = (
            f"{path.name} does not say where it lies (qform_code and sform_code are "
            "0). nibabel and SimpleITK, and so nnU-Net, then orient it differently, and its "
            "predictions will not lie on its grid. Write the image with its affine."
        )
        yield _finding("no-orientation", message, case=case)


def _check_image(dataset: _Dataset, case: str, path: Path, *, grid: Geometry) -> Iterator[Finding]:
    try:
        voxels, geometry = read_volume(path)
    except InputError as error:
        yield _finding("unreadable", str(error), case=case)
        return
    dataset.same[sha256(path)].append(case)
    yield from _check_codes(case, path)
    mismatch = grid_mismatch(geometry, grid)
    if mismatch:
        message = f"image and mask must lie on one grid; {mismatch}."
        yield _finding("geometry", message, case=case)
    if np.ptp(voxels) == 0:
        message = f"{path.name} has one intensity everywhere."
        yield _finding("constant-image", message, case=case)


def _check_presence(dataset: _Dataset) -> Iterator[Finding]:
    """Labels that too few cases have."""
    for name, value in dataset.labels.items():
        cases = dataset.found[value]
        if name in {"background", "ignore"}:
            continue
        if not cases:
            message = f"Label '{name}' is in no case; nnU-Net would learn never to find it."
            yield _finding("absent-label", message, label=name)
        elif len(cases) == 1:
            message = (
                f"Label '{name}' is in one case only ({min(cases)}): the fold that validates on it "
                "trains without the label."
            )
            yield _finding("rare-label", message, label=name)


def _check_tests(dataset: _Dataset) -> Iterator[Finding]:
    """Test images, which nnU-Net reads when all the training is done and paid for."""
    for path in sorted((dataset.folder / "imagesTs").glob(f"*{ENDING}")):
        case = path.name[: -len(ENDING) - 5]
        try:
            _, grid = read_volume(path)
        except InputError as error:
            yield _finding("unreadable", str(error), case=case)
            continue
        yield from _check_affine(case, grid)
        yield from _check_codes(case, path)


def _check_copies(dataset: _Dataset) -> Iterator[Finding]:
    """The same image twice, which would leak between training, validation and test."""
    for path in sorted((dataset.folder / "imagesTs").glob(f"*{ENDING}")):
        dataset.same[sha256(path)].append(path.name.removesuffix(ENDING)[:-5] + " (test)")
    for cases in dataset.same.values():
        if len(set(cases)) > 1:
            names = natural_order(set(cases))
            yield _finding("same-image", f"The same image is {' and '.join(names)}; keep one.")


def _read_splits(folder: Path) -> list[Split] | None:
    path = folder / SPLITS
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [{part: list(map(str, split[part])) for part in SIDES} for split in content]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no list of {SIDES}: {error!r}.") from error


def _check_splits(dataset: _Dataset, splits: list[Split] | None) -> Iterator[Finding]:
    cases = set(dataset.cases)
    if splits is not None and not splits:
        message = (
            f"{len(cases)} cases of one patient cannot be cross-validated: folds need two "
            "patients. Annotate more of them."
        )
        yield _finding("few-cases", message, value=float(len(cases)), limit=2.0)
    if splits is None and len(cases) < FOLDS:
        message = f"{len(cases)} cases are too few for nnU-Net's {FOLDS} folds; write {SPLITS}."
        yield _finding("few-cases", message, value=float(len(cases)), limit=float(FOLDS))
    for fold, split in enumerate(splits or []):
        unknown = natural_order({case for side in SIDES for case in split[side]} - cases)
        if unknown:
            yield _finding("splits", f"Fold {fold} names cases that are not there: {unknown[:5]}.")
        if not split["train"] or not split["val"]:
            yield _finding("splits", f"Fold {fold} has nothing to train or to validate on.")
        patients = [{patient_of(case, dataset.patient) for case in split[side]} for side in SIDES]
        if patients[0] & patients[1]:
            both = natural_order(patients[0] & patients[1])
            yield _finding("leak", f"Fold {fold} trains and validates on {', '.join(both[:5])}.")
        yield from _check_fold_labels(dataset, fold, trained=set(split["train"]))


def _check_fold_labels(dataset: _Dataset, fold: int, *, trained: set[str]) -> Iterator[Finding]:
    """Labels that several cases have, but none that a fold trains on."""
    for name, value in dataset.labels.items():
        cases = dataset.found[value]
        if name not in {"background", "ignore"} and len(cases) > 1 and not cases & trained:
            message = (
                f"Fold {fold} trains on no case with the label '{name}'; all that have it, "
                f"{', '.join(natural_order(cases)[:5])}, validate."
            )
            yield _finding("label-not-trained", message, label=name)


def _estimate(dataset: _Dataset, settings: Train, *, folds: int) -> Iterator[Finding]:
    """Disk and memory, roughly, against what this machine has."""
    if not dataset.shapes:
        return
    voxels = [float(np.prod(shape)) for shape in dataset.shapes.values()]
    checkpoints = 3 * folds * CHECKPOINT_BYTES * (settings.features / FEATURES) ** 2
    disk = sum(voxels) * BYTES_PER_VOXEL + checkpoints
    memory = max(voxels) * len(dataset.labels) * BYTES_PER_LOGIT
    yield _resource("disk", disk, shutil.disk_usage(dataset.folder).free, what="free disk")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield _resource("memory", memory, total, what="memory")


def _resource(name: str, needed: float, there: float, *, what: str) -> Finding:
    enough = needed < there
    message = (
        f"About {needed / 1e9:.2g} GB of {what} will be needed{'' if enough else ', too much'}: "
        f"{there / 1e9:.3g} GB are there. A rough estimate, before nnU-Net has resampled."
    )
    check = f"estimate-{name}" if enough else f"too-little-{name}"
    return _finding(check, message, value=needed / 1e9, limit=there / 1e9, unit="GB")


def _finding(check: str, message: str, **more: Any) -> Finding:
    return Finding(check=f"preflight-{check}", message=message, **more)
