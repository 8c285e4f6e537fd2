"""What drawing the masks of a study will take, before it is begun.

What there is to draw is counted. How long it takes is measured: one volume is read, one of its
slices encoded and its objects drawn, on the device that will do the work; a model of volumes draws
the shortest object, and its time for a slice counts. What memory it takes is
that of the process once this was done, and more where another volume is larger.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd

from crowdqc.volumes import read_geometry
from samgen.case import Case, Task
from samgen.generate import cases_of
from samgen.objects import objects_of
from samgen.predictor import BoxPredictor, Prompts
from samgen.slices import ObjectMask, draw_objects
from samgen.volume_predictor import Volume, VolumePredictor

VOXEL_BYTES = 20
"""What a voxel takes at the peak: 8 and 4 bytes as read and scaled, 1 as grey, 2 and 4 as label
and uncertainty, and a byte of checks."""

QUICK_S = 1.0
"""What took less is measured once more: first times are slow times."""

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What was measured.

    Parameters
    ----------
    volume_s, slice_s, prompt_s : float
        Seconds to read a volume, to encode a slice, and for each prompt on it.
    host_gb, device_gb : float
        Memory of the process, and of the GPU (0 on a CPU), at their peak.
    where : str
        Case and slice.
    """

    volume_s: float
    slice_s: float
    prompt_s: float
    host_gb: float
    device_gb: float
    where: str

    def seconds(self, *, cases: int, slices: int, prompts: int) -> float:
        """Seconds for so many; slices are those to encode."""
        return cases * self.volume_s + slices * self.slice_s + prompts * self.prompt_s


def list_work(
    prompts: pd.DataFrame, task: Task, *, images: Mapping[str, Path], out: Path
) -> pd.DataFrame:
    """What there is to draw, case by case.

    Parameters
    ----------
    prompts, task, images, out
        As for `samgen.generate.generate_masks`, which would draw it.

    Returns
    -------
    DataFrame
        ``case``; ``current``, whether its masks are up to date; ``slices`` with prompts;
        ``objects``; ``prompts``.
    """
    n = task.settings.prompts.n_prompts
    rows = [
        (one.name, one.is_current(out), one.slices, len(one.prompts), n * len(one.prompts))
        for one in cases_of(prompts, task, images=images)
    ]
    return pd.DataFrame(rows, columns=["case", "current", "slices", "objects", "prompts"])


def measure_rates(
    prompts: pd.DataFrame, task: Task, *, images: Mapping[str, Path], cases: Sequence[str]
) -> Rates:
    """Times and memory, measured on a slice of the first of some cases that has most objects.

    Parameters
    ----------
    prompts, task, images
        As for `samgen.generate.generate_masks`.
    cases : sequence of str
        Those that will be drawn; at least one.
    """
    work = {one.name: one for one in cases_of(prompts, task, images=images)}
    first = work[cases[0]]
    volume, volume_s = _timed(first.read)
    k, on_slice = max(first.by_slice(), key=lambda pair: len(pair[1]))
    asked = list(first.asking(volume).prompts_of(on_slice))
    slice_s = prompt_s = 0.0
    for model in (task.predictor, task.second):
        if model is None:
            continue
        if model.in_3d:
            slice_s += _slice_in_3d(cast("VolumePredictor", model), first, volume)
            continue
        flat = cast("BoxPredictor", model)
        encoded, seconds = _timed(partial(flat.encode, volume.pictures[k]))
        slice_s += seconds
        _, seconds = _timed(partial(_draw, flat, encoded, asked))
        prompt_s += seconds / sum(len(one.boxes) for one in asked)
    return Rates(
        volume_s=volume_s,
        slice_s=slice_s,
        prompt_s=prompt_s,
        host_gb=_peak_gb() + _more_gb(first, [work[name] for name in cases]),
        device_gb=sum(
            model.device_bytes() for model in (task.predictor, task.second) if model is not None
        )
        / 1e9,
        where=f"slice {k} of {first.name}",
    )


def _slice_in_3d(model: VolumePredictor, case: Case, volume: Volume) -> float:
    """Seconds for all objects of a slice, by those of the shortest object."""
    table = case.prompts.reset_index(drop=True)
    asking = case.asking(volume)
    objects = objects_of(table, list(asking.prompts_of(table)), asking, empty={})
    shortest = min((one for _, one in objects), key=lambda one: len(one.slices))
    _, seconds = _timed(partial(model.predict, volume, shortest))
    return seconds / len(shortest.slices) * len(table) / case.slices


def _draw(model: BoxPredictor, encoded: Any, asked: Sequence[Prompts]) -> list[ObjectMask]:
    return list(draw_objects(model, encoded, asked))


def _timed(work: Callable[[], Outcome]) -> tuple[Outcome, float]:
    """Outcome of some work and how long it took; the second time, where it is quick."""
    for _ in range(2):
        start = time.perf_counter()
        outcome = work()
        seconds = time.perf_counter() - start
        if seconds > QUICK_S:
            break
    return outcome, seconds


def _peak_gb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _more_gb(measured: Case, work: Sequence[Case]) -> float:
    """What the largest volume takes more than the one that was measured."""
    voxels = {one.name: _voxels(one) for one in work}
    return (max(voxels.values()) - voxels[measured.name]) * VOXEL_BYTES / 1e9


def _voxels(case: Case) -> int:
    one, two, three = read_geometry(case.image, resample=case.task.settings.resample).shape
    return one * two * three
