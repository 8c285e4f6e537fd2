"""nnU-Net v2 raw datasets from masks and a gate's manifest.

Which masks a dataset holds:

``unfiltered``
    Every training case that has a mask, drawn from every fused box of all raters: what there
    would be without quality control.
``filtered``
    The cases that the gate keeps, with masks of accepted boxes only. A case whose verdict, or
    the verdict of one of whose labels, is ``reject`` is left out whole, as the study did with
    incompletely annotated volumes [1]_: an organ that is there but not labelled teaches the
    model that it is background.
``ignore``
    The same masks, and also the cases of which only labels are rejected. What is not known
    becomes nnU-Net's ignore label: on a slice where a label is not known, its mask and the
    background, in which it may hide. The other labels on that slice stay, because a voxel of
    theirs is known to be theirs. What is lost is that background as a negative example.
``truth``
    Every training case with its expert mask.

References
----------
.. [1] P. Kulkarni et al., "Anytime, Anywhere, Anyone: Investigating the Feasibility of Segment
   Anything Model for Crowd-Sourcing Medical Image Annotations", 2024. arXiv:2403.15218
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import crowdqc
from crowdqc.config import Plane
from crowdqc.files import load_json
from crowdqc.findings import Finding, InputError
from crowdqc.links import refuse_links
from crowdqc.schema import natural_order
from crowdqc.volumes import (
    grid_mismatch,
    is_dicom,
    read_geometry,
    read_labels,
    write_labels,
    write_volume,
)
from train.evaluate import Labels, renumber

Place = Literal["copy", "hardlink", "symlink"]
ENDING = ".nii.gz"
DESCRIPTION = "dataset.json"


@dataclass(frozen=True, kw_only=True)
class TrainingCase:
    """An image and its mask.

    Parameters
    ----------
    case : str
        Name of the case.
    image, mask : Path
        NIfTI files on one grid; the image may be the folder of a DICOM series.
    unknown : ndarray of bool, shape (P, L), optional
        Which labels are not known on which slices (those that were annotated). Without it,
        all is known: where the mask has no label, there is background.
    """

    case: str
    image: Path
    mask: Path
    unknown: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetPlan:
    """What goes into one dataset.

    Parameters
    ----------
    number : int
        nnU-Net's id, 1..999.
    name : str
        Behind the number, in the name of the folder.
    labels : mapping of str to int
        Label and its value in the masks; in the dataset they are 1, 2, ... in this order.
    training : sequence of TrainingCase
        Cases to train on.
    test : mapping of str to Path
        Case to test on and its image.
    channel : str
        ``"CT"`` makes nnU-Net use CT normalisation, any other name z-scores.
    unknown_is : {"background", "ignore"}
        What becomes of what is not known: removed from the mask, or nnU-Net's ignore label.
    other_values : bool
        Whether masks may hold values that are no label, which become background.
    left_out : mapping of str to str
        Case that was left out, and why; only written down.
    plane : str
        Which slices of the volumes were annotated, and are numbered in `unknown`.
    resample : bool
        How images are read, as for `crowdqc.volumes.read_geometry`.
    licences : sequence of str
        Of the weights behind the masks; only written down.
    """

    number: int
    name: str
    labels: Mapping[str, int]
    training: Sequence[TrainingCase]
    test: Mapping[str, Path] = field(default_factory=dict)
    channel: str = "CT"
    unknown_is: Literal["background", "ignore"] = "background"
    other_values: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    plane: Plane = "stored"
    resample: bool = False
    licences: Sequence[str] = ()

    @property
    def folder(self) -> str:
        """Name of the dataset's folder."""
        return f"Dataset{self.number:03d}_{self.name}"


@dataclass(frozen=True)
class Built:
    """A dataset that was built.

    Parameters
    ----------
    folder : Path
        Where it is.
    cases : tuple of str
        Cases to train on, in natural order.
    findings : list of Finding
        Cases that were left out because their files do not fit, and other things to know.
    """

    folder: Path
    cases: tuple[str, ...]
    findings: list[Finding]


def build_dataset(raw: Path, plan: DatasetPlan, *, place: Place = "copy") -> Built:
    """Build one nnU-Net raw dataset.

    The folder appears whole, and takes the place of one that was built here before. Built
    twice from the same files it is the same byte by byte.

    Parameters
    ----------
    raw : Path
        The folder ``nnUNet_raw``.
    plan : DatasetPlan
        What goes into it.
    place : {"copy", "hardlink", "symlink"}
        How images get there. Copies travel to other machines; links cost no space. An image
        that is not gzipped, or is a DICOM series, is always written anew.

    Returns
    -------
    Built

    Raises
    ------
    InputError
        If no case is left to train on, a case is in training and in test, or the folder is
        there and was not built by crowdqc.
    """
    target = raw / plan.folder
    refuse_links(target)
    _refuse_stranger(target)
    twice = sorted({case.case for case in plan.training} & set(plan.test))
    if twice:
        raise InputError(f"{plan.folder}: {', '.join(twice)} cannot be in training and in test.")
    raw.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".part-", dir=raw))
    try:
        cases, findings = _fill(work, plan, place=place)
        if not cases:
            reasons = "\n".join(finding.message for finding in findings)
            raise InputError(f"{plan.folder}: no case is left to train on.\n{reasons}".rstrip())
        _describe(work, plan, cases)
        work.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        work.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Built(target, tuple(cases), findings)


def read_licences(folder: Path) -> list[str]:
    """Licences of the weights behind the masks of a dataset, as its ``dataset.json`` names them.

    Parameters
    ----------
    folder : Path
        An nnU-Net raw dataset.

    Returns
    -------
    list of str
        SPDX identifiers; none where it names none, or was not built by crowdqc.
    """
    ours = load_json(folder / DESCRIPTION, dict).get("crowdqc")
    named = ours.get("licences") if isinstance(ours, dict) else None
    return [str(one) for one in named] if isinstance(named, list) else []


def training_labels(
    mask: Labels,
    *,
    values: Sequence[int],
    unknown: NDArray[np.bool_] | None = None,
    unknown_is: Literal["background", "ignore"] = "background",
) -> Labels:
    """Labels to train on: numbered from 1, without what is not known.

    Parameters
    ----------
    mask : ndarray of int, shape (X, Y, P)
        Label values; slices along the last axis.
    values : sequence of int, length L
        Value of each label in `mask`.
    unknown : ndarray of bool, shape (P, L), optional
        Which labels are not known on which slices; none, when not given.
    unknown_is : {"background", "ignore"}
        Removed, or the ignore label L + 1, and with it the background of that slice: the label
        may be anywhere in it. On a slice where no label is known everything is ignored.

    Returns
    -------
    ndarray of int, shape (X, Y, P)
        0 background, 1..L labels, L + 1 ignore.

    Examples
    --------
    >>> mask = np.array([[[5], [7], [0]]])
    >>> training_labels(mask, values=[5, 7], unknown=np.array([[True, False]])).ravel()
    array([0, 2, 0])
    >>> training_labels(
    ...     mask, values=[5, 7], unknown=np.array([[True, False]]), unknown_is="ignore"
    ... ).ravel()
    array([3, 2, 3])
    """
    numbers = renumber(mask, values)
    if unknown is None:
        return numbers
    hidden = np.hstack([np.zeros((len(unknown), 1), dtype=bool), unknown])
    if unknown_is == "ignore":
        hidden[:, 0] = unknown.any(axis=1)
    planes = np.arange(mask.shape[-1])
    fill = len(values) + 1 if unknown_is == "ignore" else 0
    return np.where(hidden[planes, numbers], fill, numbers)


def _fill(work: Path, plan: DatasetPlan, *, place: Place) -> tuple[list[str], list[Finding]]:
    cases, findings = [], []
    for folder in ("imagesTr", "labelsTr", *(["imagesTs"] if plan.test else [])):
        (work / folder).mkdir()
    by_name = {case.case: case for case in plan.training}
    for name in natural_order(by_name):
        finding = _add_training(work, by_name[name], plan, place=place)
        if finding is None:
            cases.append(name)
        else:
            findings.append(finding)
    for name in natural_order(plan.test):
        try:
            read_geometry(plan.test[name], resample=plan.resample)
            target = work / "imagesTs" / f"{name}_0000{ENDING}"
            _put_image(plan.test[name], target, place, resample=plan.resample)
        except InputError as error:
            findings.append(_left_out("dataset-image", name, str(error)))
    return cases, findings


def _add_training(
    work: Path, case: TrainingCase, plan: DatasetPlan, *, place: Place
) -> Finding | None:
    """Add a case, or say why it cannot be added."""
    try:
        grid = read_geometry(case.image, plane=plan.plane, resample=plan.resample)
        mask, geometry = read_labels(case.mask, plane=plan.plane)
    except InputError as error:
        return _left_out("dataset-file", case.case, str(error))
    mismatch = grid_mismatch(grid, geometry)
    if mismatch:
        message = f"{case.image} and {case.mask} must lie on one grid; {mismatch}."
        return _left_out("dataset-geometry", case.case, message)
    strange = sorted(set(np.unique(mask).tolist()) - {0, *plan.labels.values()})
    if strange and not plan.other_values:
        message = f"{case.mask}: holds the values {strange[:10]}, which [labels] does not have."
        return _left_out("dataset-unknown-value", case.case, message)
    values = list(plan.labels.values())
    labels = training_labels(mask, values=values, unknown=case.unknown, unknown_is=plan.unknown_is)
    if not ((labels > 0) & (labels <= len(values))).any():
        message = f"{case.mask}: nothing is labelled, which would teach that nothing is there."
        return _left_out("dataset-empty-mask", case.case, message)
    target = work / "labelsTr" / f"{case.case}{ENDING}"
    write_labels(target, labels, like=case.image, plane=plan.plane, resample=plan.resample)
    target = work / "imagesTr" / f"{case.case}_0000{ENDING}"
    _put_image(case.image, target, place, resample=plan.resample)
    return None


def _left_out(check: str, case: str, message: str) -> Finding:
    return Finding(check=check, message=f"{message} The case is left out.", case=case)


def _put_image(source: Path, target: Path, place: Place, *, resample: bool) -> None:
    try:
        if is_dicom(source):
            write_volume(target, source, resample=resample)
        elif not source.name.endswith(ENDING):
            target.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
        elif place == "copy":
            shutil.copyfile(source, target)
        elif place == "hardlink":
            os.link(source.resolve(), target)
        else:
            target.symlink_to(source.resolve())
    except OSError as error:
        raise InputError(
            f"{source}: cannot be put into the dataset by {place}: {error.strerror}."
        ) from error


def _describe(work: Path, plan: DatasetPlan, cases: list[str]) -> None:
    """Write ``dataset.json``: nnU-Net's own keys, and ours in one place."""
    labels = {"background": 0} | {name: i for i, name in enumerate(plan.labels, start=1)}
    if plan.unknown_is == "ignore":
        labels["ignore"] = len(labels)
    description: dict[str, Any] = {
        "channel_names": {"0": plan.channel},
        "labels": labels,
        "numTraining": len(cases),
        "file_ending": ENDING,
        "name": plan.name,
        "description": f"Built by crowdqc {crowdqc.__version__}.",
        "crowdqc": {
            "version": crowdqc.__version__,
            "unknown_is": plan.unknown_is,
            "training": cases,
            "test": natural_order(plan.test),
            "left_out": dict(plan.left_out),
            "licences": list(plan.licences),
        },
    }
    text = json.dumps(description, indent=1, ensure_ascii=False)
    (work / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def _refuse_stranger(target: Path) -> None:
    if not target.exists():
        return
    try:
        ours = "crowdqc" in load_json(target / DESCRIPTION, dict)
    except InputError:
        ours = False
    if not ours:
        raise InputError(
            f"{target}: is there and was not built by crowdqc. Choose another [dataset] id, or "
            "move it away."
        )
