"""Masks against true masks: Dice of volumes and slices, surface Dice and HD95 of volumes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.config import Plane
from crowdqc.engine import LOCAL, Engine
from crowdqc.findings import Finding, InputError
from crowdqc.schema import conform
from crowdqc.volumes import Geometry, foreign_values, grid_mismatch, read_geometry, read_labels
from train.surface import hd95_mm, measure_surfaces, surface_dice

Labels = NDArray[np.integer]

TOLERANCE_MM = 2.0
"""Distance of surfaces that counts as no error, unless another is given."""


@dataclass(frozen=True, kw_only=True)
class ScoredCase:
    """A mask to score and the true mask to score it against.

    Parameters
    ----------
    case : str
        Name of the case.
    mask, truth : Path
        NIfTI files on one grid. A mask that is not there scores as an empty one.
    """

    case: str
    mask: Path
    truth: Path

    def absolute(self) -> ScoredCase:
        """The same, with paths that are right from any folder."""
        return replace(self, mask=self.mask.absolute(), truth=self.truth.absolute())


@dataclass(frozen=True)
class Overlap:
    """Voxels of each label on each slice: in both, in the mask, in the truth.

    Parameters
    ----------
    both, mask, truth : ndarray of int, shape (P, L)
        Counts; P slices, L labels.
    """

    both: NDArray[np.int64]
    mask: NDArray[np.int64]
    truth: NDArray[np.int64]

    def dice(self) -> NDArray[np.float64]:
        """Dice of each slice and label, shape (P, L); nan where both are empty."""
        return dice(self.both, self.mask, self.truth)

    def volume_dice(self) -> NDArray[np.float64]:
        """Dice of each label over all slices, shape (L,); nan where both are empty."""
        return dice(*(part.sum(axis=0) for part in (self.both, self.mask, self.truth)))


def dice(
    both: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dice coefficient ``2 |A and B| / (|A| + |B|)`` of counts.

    Parameters
    ----------
    both, a, b : ndarray of int, of one shape
        Voxels in both sets, in the first, in the second.

    Returns
    -------
    ndarray
        In [0, 1]; 0 where one set is empty, nan where both are (0/0).

    References
    ----------
    .. [1] L. R. Dice, "Measures of the Amount of Ecologic Association Between Species",
       Ecology 26(3), 1945. :doi:`10.2307/1932409`

    Examples
    --------
    >>> dice(np.array([2, 0, 0]), np.array([3, 5, 0]), np.array([5, 0, 0]))
    array([0.5, 0. , nan])
    """
    total = np.asarray(a + b, dtype=np.float64)
    result = np.full(total.shape, np.nan)
    np.divide(2.0 * both, total, out=result, where=total > 0)
    return result


def count_overlap(mask: Labels, truth: Labels, n_labels: int) -> Overlap:
    """Count the voxels that `dice` needs.

    Parameters
    ----------
    mask, truth : ndarray of int, shape (X, Y, P)
        Label numbers 1..n_labels, 0 for anything else; slices along the last axis.
    n_labels : int
        Number of labels L.

    Returns
    -------
    Overlap
    """
    planes = mask.shape[-1]
    width = n_labels + 1
    offset = np.arange(planes) * width

    def count(labels: Labels) -> NDArray[np.int64]:
        found = np.bincount((labels + offset).ravel(), minlength=planes * width)
        return found.reshape(planes, width)[:, 1:]

    return Overlap(count(np.where(mask == truth, mask, 0)), count(mask), count(truth))


def renumber(labels: Labels, values: Iterable[int]) -> Labels:
    """Label values as numbers 1, 2, ... in the order of `values`; any other value as 0.

    Parameters
    ----------
    labels : ndarray of int
        Of any shape; no value below 0.
    values : iterable of int
        At least one; each once.

    Returns
    -------
    ndarray of int64
        Shape of `labels`.

    Examples
    --------
    >>> renumber(np.array([0, 5, 52, 7]), [52, 5])
    array([0, 2, 1, 0])
    """
    wanted = list(values)
    table = np.zeros(max(int(labels.max(initial=0)), *wanted) + 1, dtype=np.int64)
    table[wanted] = np.arange(1, len(wanted) + 1)
    return table[labels]


def score_masks(
    cases: Iterable[ScoredCase],
    *,
    set_name: str,
    labels: Mapping[str, int],
    truth_values: Mapping[str, int] | None = None,
    tolerances_mm: Mapping[str, float] | None = None,
    plane: Plane = "stored",
    engine: Engine = LOCAL,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Score masks against true masks.

    Parameters
    ----------
    cases : iterable of ScoredCase
        What to score.
    set_name : str
        What to call these masks in the column `set`.
    labels : mapping of str to int
        Label and its value in the masks.
    truth_values : mapping of str to int, optional
        Label and its value in the true masks, where that is another one.
    tolerances_mm : mapping of str to float, optional
        Label and the tolerance of its surface Dice; `TOLERANCE_MM` where it has none.
    plane : str
        Which slices of the volumes were annotated (`crowdqc.config.Plane`).
    engine : Engine
        Where the cases are scored.

    Returns
    -------
    scores : DataFrame
        Table `scores`. A row for each label of a case with an empty `slice`: Dice, surface Dice
        and HD95 of the volume. For an organ that one side lacks Dice and surface Dice are 0 and
        HD95 is inf; all are nan for one that both lack. A row, with Dice only, for each
        slice on which at least one side has the label; a slice that both leave empty has none,
        because no mean should count the slices where there is nothing to find.
    findings : list of Finding
        Cases that could not be scored, with the reason, and masks that are not there and score 0.
    """
    scorer = partial(
        _Scorer,
        labels=dict(labels),
        truth_values={**labels, **(truth_values or {})},
        tolerances_mm=[(tolerances_mm or {}).get(label, TOLERANCE_MM) for label in labels],
        plane=plane,
    )
    scored = engine.run(scorer, {case.case: case.absolute() for case in cases})
    tables = [table for table, _ in scored]
    rows = pd.concat([_no_rows(), *tables], ignore_index=True).assign(set=set_name)
    return conform("scores", rows), [finding for _, found in scored for finding in found]


@dataclass(frozen=True)
class _Scorer:
    """Scores one case after the other."""

    labels: Mapping[str, int]
    truth_values: Mapping[str, int]
    tolerances_mm: list[float]
    plane: Plane

    def __call__(self, case: ScoredCase) -> tuple[pd.DataFrame, list[Finding]]:
        """Rows of the table; none where the findings say why the case cannot be scored."""
        wanted = {label: self.truth_values[label] for label in self.labels}
        try:
            values, true_values, grid = self._read(case, wanted)
        except _NotScoredError as error:
            return _no_rows(), [_finding(error.check, f"{error} Not scored.", case.case)]
        findings = []
        if values is None:
            message = f"{case.mask}: is not there; all labels of case {case.case} score as missed."
            findings.append(_finding("mask-missing", message, case.case))
            values = np.zeros(grid.shape, np.int32)
        mask = renumber(values, self.labels.values())
        truth = renumber(true_values, wanted.values())
        rows = _rows(count_overlap(mask, truth, len(self.labels)), list(self.labels))
        surfaces = _surface_scores(mask, truth, grid=grid, tolerances_mm=self.tolerances_mm)
        return rows.join(surfaces).assign(case=case.case), findings

    def _read(
        self, case: ScoredCase, wanted: Mapping[str, int]
    ) -> tuple[Labels | None, Labels, Geometry]:
        """Mask (`None` where there is none), expert mask and their grid, which is looked at first.

        What does not lie on one grid is not unpacked: a header may claim anything.
        """
        there = case.mask.exists()
        with _not_scored("truth-unreadable"):
            grid = read_geometry(case.truth, plane=self.plane)
        if there:
            with _not_scored("mask-unreadable"):
                mismatch = grid_mismatch(read_geometry(case.mask, plane=self.plane), grid)
            if mismatch:
                raise _NotScoredError("mask-geometry", f"{case.mask} and {case.truth}: {mismatch}.")
        with _not_scored("truth-unreadable"):
            truth, _ = read_labels(case.truth, plane=self.plane)
        foreign = foreign_values(truth, wanted)
        if foreign:
            remedy = "Write what its values mean into [truth] values."
            raise _NotScoredError("truth-values", f"{case.truth}: {foreign}. {remedy}")
        with _not_scored("mask-unreadable"):
            mask = read_labels(case.mask, plane=self.plane)[0] if there else None
        return mask, truth, grid


class _NotScoredError(Exception):
    """Why a case cannot be scored, under the name of a check."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


@contextlib.contextmanager
def _not_scored(check: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise _NotScoredError(check, str(error)) from error


def _finding(check: str, message: str, case: str) -> Finding:
    return Finding(check=check, message=message, case=case)


def _no_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "case": pd.Series(dtype=str),
            "slice": pd.Series(dtype=np.float64),
            "label": pd.Series(dtype=str),
            "dice": pd.Series(dtype=np.float64),
        }
    )


def _rows(overlap: Overlap, labels: list[str]) -> pd.DataFrame:
    planes, numbers = np.nonzero(overlap.mask + overlap.truth)
    names = np.array(labels, dtype=object)
    volumes = pd.DataFrame({"slice": np.nan, "label": labels, "dice": overlap.volume_dice()})
    slices = pd.DataFrame(
        {
            "slice": planes.astype(np.float64),
            "label": names[numbers],
            "dice": overlap.dice()[planes, numbers],
        }
    )
    return pd.concat([volumes, slices], ignore_index=True)


def _surface_scores(
    mask: Labels, truth: Labels, *, grid: Geometry, tolerances_mm: list[float]
) -> pd.DataFrame:
    """Surface Dice and HD95 of label 1, 2, ...; a row for each."""
    rows = []
    for number, tolerance in enumerate(tolerances_mm, start=1):
        surfaces = measure_surfaces(mask == number, truth == number, spacing_mm=grid.spacing)
        dice_within = surface_dice(*surfaces, tolerance_mm=tolerance)
        rows.append({"surface_dice": dice_within, "hd95_mm": hd95_mm(*surfaces)})
    return pd.DataFrame(rows)
