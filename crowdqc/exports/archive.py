"""What is exported, as plain records: no target reads the study file or the folder of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from crowdqc.config import Code, Label, Publication
from crowdqc.findings import Finding, InputError
from crowdqc.volumes import Geometry, grid_mismatch, read_geometry, read_labels, read_volume

ENTROPY_MAX = float(np.log(2))
"""Entropy, in nats, of a probability of one half."""


@dataclass(frozen=True)
class MaskVolume:
    """A case whose masks are drawn."""

    case: str
    image: Path
    """Its volume: a file, or the folder of a DICOM series."""
    mask: Path
    uncertainty: Path
    """Map of the entropy of the mean probability, in nats."""
    resample: bool = False
    """Whether the volume is read as ``[images] resample`` says."""

    def labels(self) -> tuple[NDArray[np.int32], Geometry]:
        """The labels, as stored, on the grid of the volume.

        Raises
        ------
        InputError
            If their grid is another one than the volume's.
        """
        labels, geometry = read_labels(self.mask)
        problem = grid_mismatch(geometry, read_geometry(self.image, resample=self.resample))
        if problem:
            raise InputError(
                f"{self.mask}: is not on the grid of {self.image}: {problem}. Run crowdqc masks."
            )
        return labels, geometry

    def probabilities(self, values: Mapping[str, int]) -> dict[str, NDArray[np.float32]]:
        """Label -> probability of each voxel, as stored.

        The map holds one entropy for each voxel: that of the least certain object. It is taken as
        that of the voxel's own label, and outside of all masks as that of the nearest label.
        """
        labels, _ = self.labels()
        entropy, _ = read_volume(self.uncertainty)
        certain = probability_of(np.clip(entropy, 0, ENTROPY_MAX))
        owner = labels
        if labels.any() and (labels == 0).any():
            place = ndimage.distance_transform_edt(
                labels == 0, return_distances=False, return_indices=True
            )
            owner = labels[tuple(place)]
        inside = np.where(labels > 0, certain, 1 - certain)
        return {name: np.where(owner == v, inside, 0.0) for name, v in values.items()}


def probability_of(entropy: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The probability from 0.5 whose entropy this is.

    Parameters
    ----------
    entropy : ndarray
        In ``[0, ln 2]``, in nats.

    Returns
    -------
    ndarray of float32, shape of `entropy`
        In ``[0.5, 1]``, to 1e-4.

    Examples
    --------
    >>> probability_of(np.array([0.0, 0.3251, 0.6931])).round(2)
    array([1. , 0.9, 0.5], dtype=float32)
    """
    p = np.linspace(0.5, 1.0, 5001)
    with np.errstate(divide="ignore", invalid="ignore"):
        h = -(p * np.log(p) + np.where(p < 1, (1 - p) * np.log(1 - p), 0.0))
    return np.interp(entropy, h[::-1], p[::-1]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A study's results.

    Parameters
    ----------
    name : str
        Name of the study.
    version : str
        Version of crowdqc that made them.
    labels : tuple of Label
        In the order of the study file.
    volumes : tuple of MaskVolume
        Cases with masks.
    tables : dict of str to DataFrame
        ``images``, ``readings``, ``boxes``, ``raters``, ``consensus``, ``masks`` and so on, as far
        as they are there.
    publication : Publication
        What the study file says for those who read the export.
    """

    name: str
    version: str
    labels: tuple[Label, ...]
    volumes: tuple[MaskVolume, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    publication: Publication = field(default_factory=Publication)

    @property
    def numbers(self) -> dict[str, int]:
        """Label -> its value in masks."""
        return {label.name: label.value for label in self.labels}

    @property
    def codes(self) -> dict[str, Code]:
        """Label -> code of what it is, where the study file has one."""
        return {label.name: label.code for label in self.labels if label.code}

    @property
    def models(self) -> str:
        """Names of the models that drew the masks, by ", "."""
        masks = self.tables.get("masks")
        return "" if masks is None else ", ".join(sorted(set(masks["model"])))

    def needed_volumes(self) -> tuple[MaskVolume, ...]:
        """Cases with masks.

        Raises
        ------
        InputError
            If there are none.
        """
        if not self.volumes:
            raise InputError("There are no masks to export. Run crowdqc masks first.")
        return self.volumes


def loss(message: str, case: str = "") -> Finding:
    """What an export cannot hold, or had to assume.

    Parameters
    ----------
    message : str
        A whole sentence.
    case : str
        Empty if it concerns all cases.
    """
    return Finding(check="export-lost", message=message, case=case)
