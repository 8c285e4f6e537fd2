"""Masks of a whole study: consensus boxes and volumes in, label and uncertainty volumes out.

One case is done at a time (`samgen.case`), here or on the machines of a cluster. A run that was cut
short goes on after the last case whose record fits, and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from crowdqc.engine import LOCAL, Engine, LocalEngine
from crowdqc.findings import InputError
from crowdqc.schema import BOX, conform, empty, natural_order
from samgen.case import Case, Task
from samgen.records import Rows

__all__ = ["Task", "cases_of", "generate_masks"]

Progress = Callable[[int, int], None]


def generate_masks(
    prompts: pd.DataFrame,
    task: Task,
    *,
    images: Mapping[str, Path],
    out: Path,
    engine: Engine = LOCAL,
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Draw the masks of all cases.

    Parameters
    ----------
    prompts : DataFrame
        Rows of the table ``consensus``. Rows without a box, and those in the state
        ``no_consensus``, are no prompts. The raters' own boxes are in the column that
        `crowdqc.fusion.members.with_members` adds.
    task : Task
        Labels, model and settings.
    images : Mapping
        Case -> NIfTI volume.
    out : Path
        Folder; gets ``<case>.nii.gz`` (labels, uint8 or uint16, 0 is background),
        ``<case>.uncertainty.nii.gz`` (float32, nats: on each voxel the largest entropy of
        a label's mean probability) and ``<case>.json``, in the geometry of the volume.
    engine : Engine
        Where the cases are drawn. Other machines than this one load the model for themselves: give
        it as a `samgen.predictor.LazyPredictor`.
    say : callable, optional
        Called with a line for each case when it is done.
    progress : callable, optional
        Called with how many slices were drawn since the last call, and how many there are in
        all; slices of cases that turn out to be up to date do not count.

    Returns
    -------
    DataFrame
        The table ``masks``: a row for each object, ordered by case, slice and label.
        `area_px` is what is left after overlaps, which go to the object with the highest
        mean probability; of equals, to the one whose label comes first in ``task.labels``.

    Raises
    ------
    InputError
        If a case has no volume, a slice or box lies outside it, or a label is not known.
    """
    work = cases_of(prompts, task, images=images)
    tracker = _Tracker({one.name: one.slices for one in work}, progress or _silent)
    # Only here can slices be counted; another machine reports whole cases.
    drawn = tracker.slice_done if isinstance(engine, LocalEngine) else _silent

    def done(case: str, answer: tuple[Rows, bool]) -> None:
        rows, new = answer
        tracker.case_done(case, new=new)
        (say or _silent)(f"{case}: {len(rows)} masks{'' if new else ' are up to date'}")

    answers = engine.run(
        partial(_Worker, task, out.absolute(), drawn),
        {one.name: _Order(one.name, one.prompts, one.image.absolute()) for one in work},
        done=done,
    )
    tables = [conform("masks", pd.DataFrame(rows)) for rows, _ in answers]
    return pd.concat(tables, ignore_index=True) if tables else empty("masks")


def cases_of(prompts: pd.DataFrame, task: Task, *, images: Mapping[str, Path]) -> list[Case]:
    """The cases that `generate_masks` would draw; it says what is refused.

    Parameters
    ----------
    prompts, task, images : DataFrame, Task, Mapping
        As for `generate_masks`.

    Returns
    -------
    list of Case
        In natural order.
    """
    usable = _usable(prompts, task.labels)
    _refuse_missing(usable, images)
    names = natural_order(usable["case"].unique())
    return [Case(name, usable[usable["case"] == name], images[name], task) for name in names]


@dataclass(frozen=True)
class _Order:
    """A case to draw, without the model."""

    case: str
    prompts: pd.DataFrame
    image: Path


@dataclass(frozen=True)
class _Worker:
    """Draws one case after the other with the model of `task`, into `out`."""

    task: Task
    out: Path
    drawn: Callable[[str], None]

    def __call__(self, order: _Order) -> tuple[Rows, bool]:
        """Rows of the table, and whether they are new."""
        case = Case(order.case, order.prompts, order.image, self.task)
        return case.rows(self.out, self.drawn)


class _Tracker:
    """Counts slices, whether each of them is reported or whole cases only.

    Parameters
    ----------
    slices : dict
        Case -> number of its slices.
    progress : callable
        As in `generate_masks`.
    """

    def __init__(self, slices: dict[str, int], progress: Progress) -> None:
        self._left = dict(slices)
        self._total = sum(slices.values())
        self._progress = progress

    def slice_done(self, case: str) -> None:
        """A slice of a case was drawn."""
        self._left[case] -= 1
        self._tell(1)

    def case_done(self, case: str, *, new: bool) -> None:
        """The rest of a case was drawn, or it was up to date."""
        rest, self._left[case] = self._left[case], 0
        if not new:
            self._total -= rest
        self._tell(rest if new else 0)

    def _tell(self, drawn: int) -> None:
        self._progress(drawn, self._total)


def _usable(prompts: pd.DataFrame, labels: Mapping[str, int]) -> pd.DataFrame:
    """The rows that are prompts, in the order of case, slice, label and position."""
    table = conform("consensus", prompts)
    table = table[(table["state"] != "no_consensus") & table[BOX].notna().all(axis=1)]
    unknown = sorted(set(table["label"]) - set(labels))
    if unknown:
        raise InputError(
            f"Prompts carry labels that [labels] does not name: {', '.join(unknown)}. Run crowdqc "
            "gate again."
        )
    rank = {label: index for index, label in enumerate(labels)}
    table = table.assign(_rank=table["label"].map(rank))
    return table.sort_values(["case", "slice", "_rank", *BOX], ignore_index=True).drop(
        columns="_rank"
    )


def _refuse_missing(prompts: pd.DataFrame, images: Mapping[str, Path]) -> None:
    missing = natural_order(set(prompts["case"]) - set(images))
    if missing:
        raise InputError(
            f"[images] path: there is no volume for {len(missing)} of the cases with boxes, "
            f"first '{missing[0]}'. Masks are drawn on the images: mend the path, or leave "
            "the cases out."
        )
    for case in prompts["case"].unique():
        if Path(case).name != case:
            raise InputError(f"Case '{case}' cannot name a file: it must not hold a '/'.")


def _silent(*_: object) -> None:
    """Say nothing."""
