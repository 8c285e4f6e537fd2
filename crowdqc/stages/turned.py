"""Whether the study's boxes fit its volumes as `[images] picture` turns them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError
from crowdqc.schema import BOX, Study
from crowdqc.stages.images import geometries, has_volumes, image_files
from crowdqc.text import count

if TYPE_CHECKING:
    from crowdqc.volumes.turned import Turn

LOOKED_AT = 6
"""Cases, and slices of each, whose voxels are looked at."""
_ORDER = (
    "Number them anew in the annotations (the last slice is 0), or, where [images] plane is "
    "'stored', name a plane of the patient."
)


def turn_findings(config: Config, study: Study) -> list[Finding]:
    """What says that raters saw the volumes turned otherwise than the study file says.

    Parameters
    ----------
    config : Config
        The study file.
    study : Study
        What was read.

    Returns
    -------
    list of Finding
        ``orientations-vary`` where volumes are stored in several orientations and slices follow
        the stored axes; ``picture-turned`` where boxes fit pictures turned otherwise clearly
        better. Empty without volumes.
    """
    if not has_volumes(config):
        return []
    return [*_orientations(config), *_turned(config, study)]


def _orientations(config: Config) -> list[Finding]:
    from nibabel.orientations import aff2axcodes

    if config.images.plane != "stored":
        return []
    codes = {case: "".join(aff2axcodes(one.affine)) for case, one in geometries(config).items()}
    counts = Counter(codes.values()).most_common()
    if len(counts) < 2:
        return []
    first = {code: case for case, code in reversed(codes.items())}
    said = "; ".join(f"{code} in {count(n, 'volume')}, such as {first[code]}" for code, n in counts)
    message = (
        f"The axes of the volumes point in different directions: {said}. Slices and pictures "
        "follow the axes as stored, so that 'picture' turns them differently to the patient. If "
        "raters saw all cases alike, set [images] plane = 'axial' (or 'coronal', 'sagittal')."
    )
    return [Finding(check="orientations-vary", message=message)]


def _turned(config: Config, study: Study) -> list[Finding]:
    from crowdqc.volumes.turned import TURNS, Turn, better_turn

    steps = _steps(config, study)
    if steps.empty:
        return []
    now = Turn(config.images.picture, backwards=False)
    found = better_turn(steps.to_numpy(), now, _of_size(study, now, TURNS))
    if found is None:
        return []
    at = TURNS.index(found), TURNS.index(now)
    other, present = (float(steps.iloc[:, k].mean()) for k in at)
    ways, remedies = [], []
    if found.picture != now.picture:
        ways.append(f"pictures made by '{found.picture}' and not by '{now.picture}'")
        remedies.append(f"Set picture = '{found.picture}' in [images].")
    if found.backwards:
        ways.append("slices counted from the other end")
        remedies.append(_ORDER)
    message = (
        f"Boxes fit {' and '.join(ways)} better than what the study file says: grey values change "
        f"{other / present:.1f} times as much along their edges ({len(steps)} cases and labels "
        f"looked at). If raters saw them so: {' '.join(remedies)}"
    )
    return [Finding(check="picture-turned", message=message, value=other / present)]


def _steps(config: Config, study: Study) -> pd.DataFrame:
    """Steps along the edges of boxes, a row for each case and label and a column for each way."""
    from crowdqc.volumes import read_volume
    from crowdqc.volumes.turned import turned_steps

    files, images = image_files(config), config.images
    found = []
    for case in _spread(sorted(set(study.boxes["case"]) & files.keys())):
        boxes = study.boxes[study.boxes["case"] == case]
        slices = _spread(sorted(boxes["slice"].unique()))
        groups = {int(k): boxes[boxes["slice"] == k] for k in slices}
        try:
            volume, _ = read_volume(files[case], plane=images.plane, resample=images.resample)
        except InputError:
            continue  # masks, which need the voxels, say what is wrong with them
        drawn = [group[BOX].to_numpy(np.float64) for group in groups.values()]
        label = np.concatenate([group["label"].to_numpy() for group in groups.values()])
        steps = pd.DataFrame(turned_steps(volume, list(groups), drawn))
        found.append(steps.groupby(label).mean())
    return pd.concat(found, ignore_index=True).dropna() if found else pd.DataFrame()


def _of_size(study: Study, now: Turn, turns: Iterable[Turn]) -> list[Turn]:
    """Ways that give pictures as wide and high as the present one does."""
    from crowdqc.volumes.pictures import swaps_axes

    square = bool((study.images["height"] == study.images["width"]).all())
    swapped = swaps_axes(now.picture)
    return [one for one in turns if square or swaps_axes(one.picture) == swapped]


def _spread(values: Sequence[Any]) -> list[Any]:
    """At most `LOOKED_AT` of some values, evenly spread."""
    places = np.linspace(0, len(values) - 1, min(len(values), LOOKED_AT))
    return [values[int(k)] for k in places]
