"""Cases whose truth is known: who learns, who is held out, and which boxes are asked with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from skimage.measure import label as components

from crowdqc.findings import InputError
from crowdqc.fusion.members import COLUMN as MEMBERS
from crowdqc.geometry import pairwise_iou
from crowdqc.schema import BOX, conform, natural_order
from samgen.prompts import EDGE_LIMIT, prompt_rng
from samgen.regions import Region

Truth = NDArray[np.int32]
"""Label values of a case as its pictures show it, (planes, rows, columns)."""

HELD_OUT_MIN = 3
"""Patients who are held out, at least: an interval of fewer differences says nothing."""
GOLD_MIN = HELD_OUT_MIN + 1
SAME = 0.5
"""IoU from which a fused box is that of a true object."""
RESIDUALS_MIN = 10
"""Boxes from which the spread of a label is measured; with fewer, that of all labels counts."""
_MAD = 1.4826


@dataclass(frozen=True, kw_only=True, eq=False)
class GoldCase:
    """A case whose truth is known, all of it or some objects on some slices.

    Parameters
    ----------
    name : str
    patient : str
        Whose it is: all cases of a patient go to one side.
    image : Path
        Its volume.
    read : callable
        Gives the truth.
    places : frozenset of (int, str), optional
        Slices and labels of which the truth is known; all that it holds, by default.
    """

    name: str
    patient: str
    image: Path
    read: Callable[[], Truth]
    places: frozenset[tuple[int, str]] | None = None

    def knows(self, k: int, label: str) -> bool:
        """Whether the truth of a label on a slice is known."""
        return self.places is None or (k, label) in self.places


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueObject:
    """An object on a slice.

    Parameters
    ----------
    slice : int
    label : str
    region : tuple of slice
        The smallest part of the picture that holds it.
    part : ndarray of bool, shape of the region
        Its mask there.
    shape : tuple of int
        Rows and columns of the picture.
    """

    slice: int
    label: str
    region: Region
    part: NDArray[np.bool_]
    shape: tuple[int, int]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Its mask, (rows, columns)."""
        whole = np.zeros(self.shape, dtype=bool)
        whole[self.region] = self.part
        return whole

    @property
    def box(self) -> NDArray[np.float64]:
        """The tight box ``x0, y0, x1, y1`` in px."""
        rows, columns = self.region
        return np.array([columns.start, rows.start, columns.stop, rows.stop], np.float64)


def deal_cases(
    patients: Mapping[str, str], *, share: float, seed: int, learned: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Cases to learn from, and cases to hold out.

    Parameters
    ----------
    patients : Mapping
        Case -> patient.
    share : float
        Of the patients who are held out; `HELD_OUT_MIN` at least.
    seed : int
        Of the study.
    learned : sequence of str
        Cases that the model has learned from already: their patients are not held out.

    Returns
    -------
    train, held_out : list of str
        In natural order; no patient is in both.

    Raises
    ------
    InputError
        If there are too few patients.

    Examples
    --------
    >>> deal_cases({f"p{k}": f"p{k}" for k in range(5)}, share=0.3, seed=1)
    (['p2', 'p3'], ['p0', 'p1', 'p4'])
    """
    everybody = natural_order(set(patients.values()))
    seen = {patients[case] for case in learned if case in patients}
    free = [one for one in everybody if one not in seen]
    n = max(HELD_OUT_MIN, round(share * len(everybody)))
    if len(everybody) < GOLD_MIN or len(free) < n:
        used = f", {len(seen)} of whom the model has learned from before" if seen else ""
        raise InputError(
            f"Adapting a model needs {GOLD_MIN} patients whose truth is known, {HELD_OUT_MIN} of "
            f"them held out; got {len(everybody)}{used}. Cases of [dataset] test do not count. "
            "Give expert masks of more cases ([truth] path), or grade masks of more in "
            "crowdqc review."
        )
    order = np.random.default_rng(seed).permutation(len(free))
    held = {free[k] for k in order[:n]}
    sides: tuple[list[str], list[str]] = [], []
    for case in natural_order(patients):
        sides[patients[case] in held].append(case)
    return sides


def objects_in(
    case: GoldCase, truth: Truth, values: Mapping[str, int], *, single: Mapping[str, bool]
) -> Iterator[TrueObject]:
    """The objects of a case, in the order of slices and labels.

    Parameters
    ----------
    case : GoldCase
    truth : ndarray, shape (planes, rows, columns)
        What its `read` gave.
    values : Mapping
        Label -> its value in `truth`.
    single : Mapping
        Label -> whether a slice holds one such object at most; of others each piece is one.
    """
    for k, plane in enumerate(truth):
        for label, value in values.items():
            mask = plane == value
            if not (case.knows(k, label) and mask.any()):
                continue
            pieces = mask.astype(np.int64) if single[label] else components(mask, connectivity=2)
            for n, region in enumerate(find_objects(pieces), start=1):
                part = pieces[region] == n
                yield TrueObject(slice=k, label=label, region=region, part=part, shape=plane.shape)


@dataclass(frozen=True)
class Spread:
    """How far raters' edges stray from the fused ones, as shares of the object's sides.

    Parameters
    ----------
    labels : dict
        Label -> standard deviation for each of ``x0, y0, x1, y1``, (4,).
    every : ndarray, optional
        The same over all labels; None where nothing was measured.
    """

    labels: Mapping[str, NDArray[np.float64]]
    every: NDArray[np.float64] | None

    def px(self, label: str, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard deviation of each edge of a box, (4,); nan where it is not known."""
        share = self.labels.get(label, self.every)
        if share is None:
            return np.full(4, np.nan)
        return share * np.tile(box[2:] - box[:2], 2)


def measure_spread(fused: pd.DataFrame) -> Spread:
    """Measure how far raters' boxes stray.

    Parameters
    ----------
    fused : DataFrame
        Rows of the table ``consensus`` with the raters' boxes, as `with_members` adds them.

    Returns
    -------
    Spread
        Robust (median of absolute deviations from the fused box times 1.4826), of objects that two
        or more raters drew, and widened by ``sqrt(R / (R - 1))`` as of R boxes about their mean.
    """
    found: dict[str, list[NDArray[np.float64]]] = {}
    boxes = fused[BOX].to_numpy(dtype=np.float64)
    for label, box, members in zip(fused["label"], boxes, fused[MEMBERS], strict=True):
        drawn = np.reshape(np.asarray(members, np.float64), (-1, 4))
        if len(drawn) > 1 and np.isfinite(box).all():
            wide = np.sqrt(len(drawn) / (len(drawn) - 1))
            found.setdefault(label, []).append(
                np.abs(drawn - box) * wide / np.tile(box[2:] - box[:2], 2)
            )
    joined = {label: np.vstack(some) for label, some in found.items()}
    enough = {name: some for name, some in joined.items() if len(some) >= RESIDUALS_MIN}
    every = np.vstack(list(joined.values())) if joined else np.zeros((0, 4))
    return Spread(
        {name: _MAD * np.median(some, axis=0) for name, some in enough.items()},
        _MAD * np.median(every, axis=0) if len(every) >= RESIDUALS_MIN else None,
    )


def prompts_of(
    case: GoldCase, objects: Sequence[TrueObject], fused: pd.DataFrame, *, spread: Spread, seed: int
) -> pd.DataFrame:
    """One box for each true object: the fused one, or the true one moved as raters stray.

    Parameters
    ----------
    case : GoldCase
    objects : sequence of TrueObject
    fused : DataFrame
        Rows of the table ``consensus`` of the case.
    spread : Spread
    seed : int

    Returns
    -------
    DataFrame
        Rows of the table ``consensus``.
    """
    by_place = dict(iter(fused.groupby(["slice", "label"])))
    rows = []
    for one in objects:
        near = by_place.get((one.slice, one.label))
        box = one.box
        overlap = np.zeros(1) if near is None else pairwise_iou(box[None], near[BOX])[0]
        if near is not None and overlap.max() >= SAME:
            used = near[BOX].to_numpy(dtype=np.float64)[overlap.argmax()]
        else:
            used = _moved(
                one, spread, prompt_rng(seed, case=case.name, slice=one.slice, label=one.label)
            )
        rows.append((case.name, one.slice, one.label, *_within(used, one.shape)))
    frame = pd.DataFrame(rows, columns=["case", "slice", "label", *BOX])
    return conform("consensus", frame.assign(support=1, n_raters=1, method="adapt", state="agreed"))


def _moved(one: TrueObject, spread: Spread, rng: np.random.Generator) -> NDArray[np.float64]:
    sigma, side = (
        np.nan_to_num(spread.px(one.label, one.box)),
        np.tile(one.box[2:] - one.box[:2], 2),
    )
    return one.box + np.clip(rng.normal(size=4) * sigma, -EDGE_LIMIT * side, EDGE_LIMIT * side)


def _within(box: NDArray[np.float64], shape: tuple[int, ...]) -> list[float]:
    rows, columns = shape
    return np.clip(box, 0, [columns, rows, columns, rows]).tolist()
